"""From a packet to its answer: `respond`, pure but for a worker's `State`.

Three ways lead to an answer. The shortest serves a packet that came before, but for its ID and letter case:
one look-up and one join. The short one serves a question that was answered before, behind an ordinary
header, and lets the shortest know the packet. Everything else takes the long way, which reads the whole
message, finds the name by RFC 1034 section 4.3.2 and RFC 4592, and remembers what the short way may deal.
"""

import logging
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from geodns import wire
from geodns.encode import TYPE_NUMBERS
from geodns.table import EMPTY, Node, Rotation, RotationKey, Table, ZoneTable
from geodns.wire import QNAME, SHAPE, SHAPES, Answer, Query

log = logging.getLogger(__name__)

Client = tuple[str, int, str]
"""Address, port, and ``udp`` or ``tcp``."""

REMEMBERED = 16_384
"""Questions that the short way knows, or packets that the shortest does, at most; then each starts anew."""

MAX_CHAIN = 16
"""CNAME records in an answer, at most."""

ANY_TTL = 3600
_ANY = Answer(wire.record(wire.HINFO, ANY_TTL, b"\x07RFC8482\x00"), an=1)
"""What ANY gets instead of everything (RFC 8482 section 4.2)."""
_COUNTED_TYPES = frozenset(TYPE_NUMBERS.values()) | {wire.DS, wire.ANY, 64, 65}
OTHER_TYPE = 0
"""Counts for any type that is not worth a number of its own: whoever asks must not fill our memory."""


class Counts(NamedTuple):
    """What a worker has answered since it was last asked.

    Attributes:
        queries: by zone name (empty: none of ours), QTYPE and RCODE.
        dealt: by rotation (`Rotation.uid`), part and position in the part's answers.

    """

    queries: dict[tuple[str, int, int], int]
    dealt: dict[tuple[bytes, int, int], int]

    def __bool__(self) -> bool:
        """Say whether anything was counted."""
        return bool(self.queries or self.dealt)


class _Tally:
    """What one more dealt answer counts for; it is its own key, because an object's hash is the cheapest."""

    __slots__ = ("dealt", "query")

    def __init__(self, zone: str, qtype: int, dealt: tuple[bytes, int, int] | None) -> None:
        self.query = (zone, qtype, wire.NOERROR)
        self.dealt = dealt


class _Spin:
    """A rotation, or a fixed answer, made ready for the short way."""

    __slots__ = ("_dressed", "answers", "index", "longest", "questions", "rotation", "size")

    def __init__(self, answers: list[tuple[tuple[bytes, ...], bytes, _Tally]], index: "list[int]") -> None:
        self.answers = answers
        self.index = index
        self.size = len(index)
        self.longest = max(len(body) for _, body, _ in answers)
        self.rotation: Rotation | None = None
        self.questions: list[bytes] = []
        self._dressed: dict[tuple[int, bytes], list[_Dressed]] = {}

    def dressed(self, shape: int, opt: bytes) -> "list[_Dressed]":
        """Return the answers with what goes before and behind them, which packets of a kind share."""
        ready = self._dressed.get((shape, opt))
        if ready is None:
            ready = [(heads[shape], body + opt, tally) for heads, body, tally in self.answers]
            self._dressed[shape, opt] = ready
        return ready


_Dressed = tuple[bytes, bytes, _Tally]
"""What stands between the ID and the question; what stands behind it; what it counts for."""


class _Deal:
    """The place of one name and type in a rotation."""

    __slots__ = ("at", "spin")

    def __init__(self, spin: _Spin, at: int) -> None:
        self.spin = spin
        self.at = at


def _ready(answer: Answer, tally: _Tally) -> tuple[tuple[bytes, ...], bytes, _Tally]:
    return wire.heads(answer), answer.body + b"".join(answer.extra), tally


class State:
    """A worker's only mutable object: places in rotations, what the short way knows, and counts.

    Args:
        rng: says where in each rotation this worker starts.

    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.table: Table = EMPTY
        self.packets: dict[bytes, tuple[_Deal, int, list[_Dressed]]] = {}
        self.known: dict[bytes, _Deal] = {}
        self.tails: dict[bytes, tuple[int, bytes]] = {}
        self.counted: defaultdict[_Tally, int] = defaultdict(int)
        self._places: dict[tuple[bytes, RotationKey], int] = {}
        self._spins: dict[RotationKey, _Spin] = {}
        self._queries: defaultdict[tuple[str, int, int], int] = defaultdict(int)
        self._dealt: defaultdict[tuple[bytes, int, int], int] = defaultdict(int)

    def adopt(self, table: Table) -> None:
        """Take another Table as the current one; forget what it changes, but no name's place."""
        other_zones = not table.has_zones_of(self.table)
        self.packets = {}
        for key, spin in list(self._spins.items()):
            if other_zones or table.rotations.get(key) is not spin.rotation:
                self._forget(key, spin)
        if other_zones:
            self.known = {}
            self._places = {place: at for place, at in self._places.items() if place[1] in table.rotations}
        self.table = table

    def _forget(self, key: RotationKey, spin: _Spin) -> None:
        """Take a rotation from the short way, but keep each name's place."""
        for question in spin.questions:
            deal = self.known.pop(question, None)
            if deal is not None:
                self._places[question[:-4], key] = deal.at
        del self._spins[key]

    def take_counts(self) -> Counts:
        """Return what was counted since the last call."""
        queries, dealt = self._queries, self._dealt
        for tally, number in self.counted.items():
            queries[tally.query] += number
            if tally.dealt is not None:
                dealt[tally.dealt] += number
        self.counted.clear()
        self._queries, self._dealt = defaultdict(int), defaultdict(int)
        return Counts(dict(queries), dict(dealt))

    def count(self, zone: str, qtype: int, rcode: int) -> None:
        """Count an answer of the long way."""
        self._queries[zone, qtype if qtype in _COUNTED_TYPES else OTHER_TYPE, rcode] += 1

    def deal(self, owner: bytes, rotation: Rotation) -> Iterator[Answer]:
        """Yield the next answer of each part of a rotation, at this owner name's own place."""
        at = self._next_place(owner, rotation)
        for number, part in enumerate(rotation.parts):
            chosen = part.index[at % len(part.index)]
            self._dealt[rotation.uid, number, chosen] += 1
            yield part.answers[chosen]

    def _next_place(self, owner: bytes, rotation: Rotation) -> int:
        """Return a name's place in a rotation, and move it on where it is kept: by the short way, or here."""
        known = self.known.get(wire.question(owner, TYPE_NUMBERS[rotation.key.type]))
        if known is not None and known.spin.rotation is rotation:
            at = known.at
            known.at = (at + 1) % known.spin.size
            return at
        place = (owner, rotation.key)
        start = self._places.get(place)
        at = self._rng.getrandbits(32) if start is None else start
        self._places[place] = at + 1
        return at

    def remember_rotation(self, query: Query, zone: ZoneTable, rotation: Rotation) -> None:
        """Let the short way deal from a rotation of one part."""
        question = query.question.lower()
        if question in self.known:
            return
        self._make_room()
        spin = self._spins.get(rotation.key)
        if spin is None:
            part = rotation.parts[0]
            spin = _Spin(
                [
                    _ready(answer, _Tally(zone.name, query.type, (rotation.uid, 0, number)))
                    for number, answer in enumerate(part.answers)
                ],
                list(part.index),
            )
            spin.rotation = rotation
            self._spins[rotation.key] = spin
        at = self._places.get((query.name, rotation.key), 0)
        self.known[question] = _Deal(spin, at % spin.size)
        spin.questions.append(question)

    def remember_answer(self, query: Query, zone: ZoneTable, answer: Answer) -> None:
        """Let the short way give a fixed answer."""
        question = query.question.lower()
        if question not in self.known:
            self._make_room()
            spin = _Spin([_ready(answer, _Tally(zone.name, query.type, None))], [0])
            self.known[question] = _Deal(spin, 0)

    def remember_packet(self, packet: bytes, end: int, shape: int, deal: _Deal) -> None:
        """Let the shortest way answer a packet, if every answer that can be dealt fits.

        Args:
            packet: one that the short way answered.
            end: where its question ends.
            shape: of its header.
            deal: what its question is dealt.

        """
        # Packets whose lower case is the same share an entry. They differ in nothing that an answer depends
        # on but the size in their OPT records, which is least in upper case. Options hardly ever come back.
        tail = packet[end:].upper()
        limits = wire.short_tail(tail) if len(tail) <= wire.OPT_LENGTH else None
        if limits is not None and end + deal.spin.longest + len(limits[1]) <= limits[0]:
            if len(self.packets) >= REMEMBERED:
                self.packets = {}
            self.packets[packet[2:].lower()] = deal, end, deal.spin.dressed(shape, limits[1])

    def _make_room(self) -> None:
        """Start anew when full; this comes before a spin is looked up, which else would escape `adopt`."""
        if len(self.known) >= REMEMBERED:
            self.packets = {}
            for key, spin in list(self._spins.items()):
                self._forget(key, spin)
            self.known = {}


def respond(table: Table, packet: bytes, client: Client, now: float, state: State) -> bytes | None:  # noqa: ARG001
    """Return the answer to a packet, or None when there shall be none.

    Args:
        table: what to answer from.
        packet: as it came.
        client: who asks.
        now: seconds of a clock that only goes forward.
        state: this worker's.

    """
    if table is not state.table:
        state.adopt(table)
    way = state.packets.get(packet[2:].lower())
    if way is not None:
        deal, end, answers = way
        spin, at = deal.spin, deal.at
        head, rest, tally = answers[spin.index[at]]
        at += 1
        deal.at = at if at < spin.size else 0
        state.counted[tally] += 1
        return b"".join((packet[:2], head, packet[wire.HEADER : end], rest))
    return _short_way(table, packet, client, state)


def _short_way(table: Table, packet: bytes, client: Client, state: State) -> bytes | None:
    shape = SHAPES.get(packet[SHAPE])
    if shape is not None:
        end = packet.find(b"\0", wire.HEADER) + 5
        # Lowering type and class too is harmless: `_may_be_known` lets in no type that it could confuse.
        deal = state.known.get(packet[wire.HEADER : end].lower())
        if deal is not None:
            tail = packet[end:]
            limits = state.tails.get(tail) or _tail(state, tail)
            if limits is not None and (shape > 1) == bool(tail):
                spin = deal.spin
                at = deal.at
                heads, body, tally = spin.answers[spin.index[at]]
                answer = b"".join((packet[:2], heads[shape], packet[wire.HEADER : end], body, limits[1]))
                if len(answer) <= limits[0]:
                    at += 1
                    deal.at = at if at < spin.size else 0
                    state.counted[tally] += 1
                    state.remember_packet(packet, end, shape, deal)
                    return answer
    return _long_way(table, packet, client, state)


def _long_way(table: Table, packet: bytes, client: Client, state: State) -> bytes | None:
    if not wire.is_query(packet):
        return None
    try:
        query = wire.parse(packet)
    except wire.BadQuery as bad:
        state.count("", OTHER_TYPE, bad.rcode)
        return wire.refusal(packet, bad.rcode)
    limit = wire.size_limit(query.edns, tcp=client[2] == "tcp")
    try:
        found = _find(table, query, state)
    except Exception:
        # A bug must cost one answer, not the worker; the sender's resolver asks another server.
        log.exception("no answer for %s type %d", wire.name_from_wire(query.name), query.type)
        found = _Found("", wire.SERVFAIL, wire.NOTHING, authoritative=False)
    state.count(found.zone, query.type, found.rcode)
    return wire.message(query, found.rcode, found.answer, limit, authoritative=found.authoritative)


def _tail(state: State, tail: bytes) -> tuple[int, bytes] | None:
    limits = wire.short_tail(tail)
    # Only tails without options come back: cookies differ from query to query.
    if limits is not None and len(tail) <= wire.OPT_LENGTH and len(state.tails) < REMEMBERED:
        state.tails[tail] = limits
    return limits


class _Found(NamedTuple):
    zone: str
    rcode: int
    answer: Answer
    authoritative: bool = True


def _find(table: Table, query: Query, state: State) -> _Found:
    """Answer a query that could be read."""
    if query.edns is not None and query.edns.version:
        return _Found("", wire.BADVERS, wire.NOTHING, authoritative=False)
    zone = None
    if query.qclass in {wire.IN, wire.CLASS_ANY} and query.type not in {wire.AXFR, wire.IXFR}:
        zone = _zone_of(table, query.name)
    if zone is None:
        return _Found("", wire.REFUSED, wire.NOTHING, authoritative=False)
    return _Chain(table, zone, query, state).follow()


def _zone_of(table: Table, name: bytes) -> ZoneTable | None:
    """Return the zone with the longest matching name."""
    zone = table.zones.get(name)
    if zone is not None:
        return zone
    for parent in wire.parents(name):
        zone = table.zones.get(parent)
        if zone is not None:
            return zone
    return None


def _node_of(zone: ZoneTable, name: bytes) -> tuple[Node | None, bytes]:
    """Return the node that answers for a name in the zone, and that node's own name; None: no such name."""
    node = zone.nodes.get(name)
    if node is not None:
        return node, name
    for encloser in wire.parents(name):
        node = zone.nodes.get(encloser)
        if node is not None:
            if node.referral is not None:
                return node, encloser
            # The closest encloser's wildcard, and no other one (RFC 4592 section 3.3.1).
            wildcard = b"\x01*" + encloser
            return zone.nodes.get(wildcard), wildcard
    return None, name


def rotation_of(zone: ZoneTable, name: bytes, qtype: int) -> RotationKey | None:
    """Return the key of what is dealt for a name on the wire and a type, through wildcards and CNAMEs.

    None where nothing is dealt: the answer is fixed, or there is no such name.
    """
    for _ in range(MAX_CHAIN):
        node, _ = _node_of(zone, name)
        if node is None or node.referral is not None:
            return None
        found, alias = node.rrsets.get(qtype), node.rrsets.get(wire.CNAME)
        if found is not None or not isinstance(alias, Answer):
            return found if isinstance(found, RotationKey) else None
        name = wire.only_rdata(alias.body)
    return None


class _Chain:
    """One answer in the making: the question's name, or what its CNAMEs lead to."""

    def __init__(self, table: Table, zone: ZoneTable, query: Query, state: State) -> None:
        self.table = table
        self.zone = zone
        self.query = query
        self.state = state
        self.links: list[bytes] = []
        self.owner = QNAME
        """How the name that is looked at now is written in the message."""

    def follow(self) -> _Found:
        """Look names up until there is an answer."""
        name = self.query.name
        seen: set[bytes] = set()
        while len(self.links) < MAX_CHAIN:
            seen.add(name)
            node, owner = _node_of(self.zone, name)
            if node is None:
                return self._done(wire.NXDOMAIN, self._no_data())
            if node.referral is not None and (owner != name or self.query.type != wire.DS):
                return self._referral(node.referral, owner)
            alias = node.rrsets.get(wire.CNAME)
            if not isinstance(alias, Answer) or self.query.type in {wire.CNAME, wire.ANY}:
                return self._rrset(node, owner, exact=owner == self.query.name)
            name = self._link(alias)
            if name in seen or _zone_of(self.table, name) is not self.zone:
                break
        return self._done(wire.NOERROR, wire.NOTHING)

    def _rrset(self, node: Node, owner: bytes, *, exact: bool) -> _Found:
        if self.query.type == wire.ANY and node.rrsets:
            alias = node.rrsets.get(wire.CNAME)
            return self._done(wire.NOERROR, alias if isinstance(alias, Answer) else _ANY)
        entry = node.rrsets.get(self.query.type)
        if isinstance(entry, RotationKey):
            return self._rotation(self.table.rotations[entry], owner, exact=exact)
        answer = self._no_data() if entry is None else entry
        if exact and self._may_be_known():
            self.state.remember_answer(self.query, self.zone, answer)
        return self._done(wire.NOERROR, answer)

    def _rotation(self, rotation: Rotation, owner: bytes, *, exact: bool) -> _Found:
        if not rotation.parts:
            if rotation.servfail:
                return _Found(self.zone.name, wire.SERVFAIL, wire.NOTHING, authoritative=False)
            return self._done(wire.NOERROR, self._no_data())
        answers = list(self.state.deal(owner, rotation))
        if exact and len(rotation.parts) == 1 and self._may_be_known():
            self.state.remember_rotation(self.query, self.zone, rotation)
        body = b"".join(answer.body for answer in answers)
        return self._done(wire.NOERROR, Answer(body, sum(answer.an for answer in answers)))

    def _may_be_known(self) -> bool:
        """Say whether the short way may answer: class IN, no CNAME, and a type that `lower` leaves alone."""
        query = self.query
        lowered = query.question[-4:].lower() != query.question[-4:]
        return (
            not self.links
            and query.qclass == wire.IN
            and query.type in _COUNTED_TYPES
            and not lowered
            and not 0x61 <= query.type & 0xFF <= 0x7A
        )

    def _link(self, alias: Answer) -> bytes:
        """Add a CNAME record; return the name it leads to, which owns what comes next."""
        target = wire.only_rdata(alias.body)
        self.links.append(wire.renamed(alias.body, self.owner))
        written = wire.HEADER + len(self.query.question) + sum(len(link) for link in self.links)
        self.owner = wire.pointer(written - len(target)) or target
        return target

    def _written(self, name: bytes) -> bytes:
        """How a name is written behind the question: as a pointer into it where it is a suffix of that."""
        if name == self.query.name or name in wire.parents(self.query.name):
            return wire.pointer(wire.HEADER + len(self.query.name) - len(name)) or name
        return name

    def _referral(self, referral: Answer, cut: bytes) -> _Found:
        body = wire.renamed(referral.body, self._written(cut))
        return self._done(wire.NOERROR, referral._replace(body=body), authoritative=bool(self.links))

    def _no_data(self) -> Answer:
        """The SOA in the authority section (RFC 2308 section 3)."""
        return Answer(wire.renamed(self.zone.negative, self._written(self.zone.origin)), ns=1)

    def _done(self, rcode: int, answer: Answer, *, authoritative: bool = True) -> _Found:
        body = wire.renamed(answer.body, self.owner) if answer.an and self.owner != QNAME else answer.body
        whole = b"".join((*self.links, body))
        counted = answer._replace(body=whole, an=answer.an + len(self.links))
        return _Found(self.zone.name, rcode, counted, authoritative)
