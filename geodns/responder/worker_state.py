"""A worker's own state: its place in every rotation, what the short ways know, and what it has counted."""

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from geodns.responder.answer_policy import Policy
from geodns.responder.edns_options import PLAIN, Reply, plain_reply, reply
from geodns.responder.query_log import Recorder
from geodns.responder.rate_limit import Cells, Limited, Limiter, empty, positive
from geodns.responder.table import EMPTY, Rotation, RotationKey, Table, ZoneTable
from geodns.wire import codes, edns, message
from geodns.wire.codes import NUMBERS
from geodns.wire.edns import Edns
from geodns.wire.message import Answer, Query

REMEMBERED = 16_384
"""Questions that the short way knows, or packets that the shortest does, at most; then each starts anew."""

_WORTH_COUNTING = "A AAAA ANY CAA CNAME DNSKEY DS HTTPS MX NAPTR NS PTR SOA SRV SVCB TLSA TXT"
SHORT_TAIL = 128
"""Bytes of an OPT record, at most, whose reply is kept: options that nobody needs may be 64 KiB long."""

COUNTED_TYPES = frozenset(NUMBERS[name] for name in _WORTH_COUNTING.split())
OTHER_TYPE = 0
"""Counts for any type that is not worth a number of its own: whoever asks must not fill our memory."""


class Counts(NamedTuple):
    """What a worker has answered since it was last asked.

    Attributes:
        queries: by zone name (empty: none of ours), QTYPE and RCODE.
        dealt: by rotation (`Rotation.uid`), part and position in the part's answers.
        names: that were asked for, answered and not said so lately; on the wire, in lower case.
        limited: answers that were over the rate limit, which are not among the others; None: there were none.

    """

    queries: dict[tuple[str, int, int], int]
    dealt: dict[tuple[bytes, int, int], int]
    limited: Limited | None = None
    names: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        """Say whether anything was counted."""
        return bool(self.queries or self.dealt or self.limited or self.names)


class CountKey:
    """What one more dealt answer counts for; it is its own key, because an object's hash is the cheapest."""

    __slots__ = ("dealt", "query")

    def __init__(self, zone: str, qtype: int, dealt: tuple[bytes, int, int] | None) -> None:
        self.query = (zone, qtype, codes.NOERROR)
        self.dealt = dealt


class ReadyRotation:
    """A rotation, or a fixed answer, made ready for the short way."""

    __slots__ = ("_dressed", "answers", "error", "index", "longest", "questions", "rotation", "size")

    def __init__(self, answers: list[tuple[tuple[bytes, ...], bytes, CountKey]], index: "list[int]") -> None:
        self.answers = answers
        self.index = index
        self.size = len(index)
        self.longest = max(len(body) for _, body, _ in answers)
        self.rotation: Rotation | None = None
        self.error = b""
        """An option for whoever debugs (RFC 8914)."""
        self.questions: list[bytes] = []
        self._dressed: dict[tuple[int, bytes], list[PackedAnswer]] = {}

    def dressed(self, shape: int, opt: bytes) -> "list[PackedAnswer]":
        """Return the answers with what goes before and behind them, which packets of a kind share."""
        ready = self._dressed.get((shape, opt))
        if ready is None:
            ready = [(heads[shape], body + opt, tally) for heads, body, tally in self.answers]
            self._dressed[shape, opt] = ready
        return ready


PackedAnswer = tuple[bytes, bytes, CountKey]
"""What stands between the ID and the question; what stands behind it; what it counts for."""


class Cursor:
    """The place of one name and type in a rotation, and the kind of answer that it is for the rate limit."""

    __slots__ = ("at", "kind", "spin")

    def __init__(self, spin: ReadyRotation, at: int, kind: bytes) -> None:
        self.spin = spin
        self.at = at
        self.kind = kind


def _ready(answer: Answer, tally: CountKey) -> tuple[tuple[bytes, ...], bytes, CountKey]:
    return message.heads(answer), answer.body + b"".join(answer.extra), tally


class WorkerState:
    """A worker's only mutable object: places in rotations, what the short way knows, and counts.

    Args:
        rng: says where in each rotation this worker starts, and what is left to chance elsewhere.
        cells: of the rate limit, where other workers share them.

    Attributes:
        guarded: whether answers are limited or queries are logged: then there is more to do for each.

    """

    def __init__(self, rng: random.Random, cells: Cells | None = None) -> None:
        self._rng = rng
        self._cells = cells
        self.table: Table = EMPTY
        self.guarded = False
        self.limiter: Limiter | None = None
        self.recorder: Recorder | None = None
        self.packets: dict[bytes, tuple[Cursor, int, list[PackedAnswer]]] = {}
        self.known: dict[bytes, Cursor] = {}
        self.tails: dict[bytes, Reply] = {}
        self.fault_told = float("-inf")
        """When a fault of our own was logged last."""
        self.epoch = 0.0
        """What is added to `now` for the seconds since the epoch, of which cookies tell."""
        self._replies: dict[tuple[str, bytes], tuple[float, Reply]] = {}
        self.counted: defaultdict[CountKey, int] = defaultdict(int)
        self._places: dict[tuple[bytes, RotationKey], int] = {}
        self._spins: dict[RotationKey, ReadyRotation] = {}
        self._queries: defaultdict[tuple[str, int, int], int] = defaultdict(int)
        self._dealt: defaultdict[tuple[bytes, int, int], int] = defaultdict(int)
        self._asked: set[bytes] = set()
        self._drawn: list[tuple[bytes, int, int]] = []
        """What the last answer of the long way was dealt, until it counts."""

    def adopt(self, table: Table) -> None:
        """Take another Table as the current one; forget what it changes, but no name's place."""
        other_zones = not table.has_zones_of(self.table)
        self.packets = {}
        if table.policy != self.table.policy:
            self.tails, self._replies = {}, {}
            self._guard(self.table.policy, table.policy)
        for key, spin in list(self._spins.items()):
            if other_zones or table.rotations.get(key) is not spin.rotation:
                self._forget(key, spin)
        if other_zones:
            self.known = {}
            self._places = {place: at for place, at in self._places.items() if place[1] in table.rotations}
        self.table = table

    def _guard(self, before: Policy, policy: Policy) -> None:
        """Limit and log by another policy; notes that nobody has taken are lost with the recorder."""
        if (policy.rate_limit, policy.require_cookie) != (before.rate_limit, before.require_cookie):
            self.limiter = None
            if policy.rate_limit is not None:
                self._cells = self._cells or Cells.shared()
                self.limiter = Limiter(
                    policy.rate_limit, self._cells, self._rng, require_cookie=policy.require_cookie
                )
        if policy.query_log != before.query_log:
            self.recorder = None if policy.query_log is None else Recorder(policy.query_log, self._rng)
        self.guarded = self.limiter is not None or self.recorder is not None

    def _forget(self, key: RotationKey, spin: ReadyRotation) -> None:
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
        limited = None if self.limiter is None else self.limiter.take()
        asked, self._asked = self._asked, set()
        return Counts(dict(queries), dict(dealt), limited, frozenset(asked))

    def count(self, zone: str, qtype: int, rcode: int) -> None:
        """Count an answer of the long way."""
        self._queries[zone, qtype if qtype in COUNTED_TYPES else OTHER_TYPE, rcode] += 1
        for drawn in self._drawn:
            self._dealt[drawn] += 1
        self._drawn = []

    def withdraw(self) -> None:
        """Count nothing for an answer that is not given."""
        self._drawn = []

    def deal(self, owner: bytes, rotation: Rotation) -> Iterator[Answer]:
        """Yield the next answer of each part of a rotation, at this owner name's own place."""
        at = self._next_place(owner, rotation)
        self._drawn = []
        for number, part in enumerate(rotation.parts):
            chosen = part.index[at % len(part.index)]
            self._drawn.append((rotation.uid, number, chosen))
            yield part.answers[chosen]

    def _next_place(self, owner: bytes, rotation: Rotation) -> int:
        """Return a name's place in a rotation, and move it on where it is kept: by the short way, or here."""
        known = self.known.get(message.question(owner, NUMBERS[rotation.key.type]))
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
        self._asked.add(query.name)
        self._make_room()
        spin = self._spins.get(rotation.key)
        if spin is None:
            part = rotation.parts[0]
            spin = ReadyRotation(
                [
                    _ready(answer, CountKey(zone.name, query.type, (rotation.uid, 0, number)))
                    for number, answer in enumerate(part.answers)
                ],
                list(part.index),
            )
            spin.rotation = rotation
            if rotation.note:
                spin.error = edns.error_option(edns.EDE_OTHER, rotation.note)
            self._spins[rotation.key] = spin
        at = self._places.get((query.name, rotation.key), 0)
        self.known[question] = Cursor(spin, at % spin.size, positive(query.name, query.type))
        spin.questions.append(question)

    def remember_answer(self, query: Query, zone: ZoneTable, answer: Answer) -> None:
        """Let the short way give a fixed answer."""
        question = query.question.lower()
        if question not in self.known:
            if answer.an:
                self._asked.add(query.name)
            self._make_room()
            spin = ReadyRotation([_ready(answer, CountKey(zone.name, query.type, None))], [0])
            kind = positive(query.name, query.type) if answer.an else empty(query.name)
            self.known[question] = Cursor(spin, 0, kind)

    def remember_packet(self, packet: bytes, end: int, shape: int, deal: Cursor) -> None:
        """Let the shortest way answer a packet, if every answer that can be dealt fits.

        Args:
            packet: one that the short way answered.
            end: where its question ends.
            shape: of its header.
            deal: what its question is dealt.

        """
        # Packets whose lower case is the same share an entry. They differ in nothing that an answer depends
        # on but the size in their OPT records, which is least in upper case. Options hardly ever come back.
        length = len(packet) - end
        if length not in {0, edns.LENGTH}:
            return
        asked = edns.read_tail(packet[end:].upper()) if length else None
        if length and asked is None:
            return
        size, opt, _, _ = plain_reply(asked)
        if opt and deal.spin.error:
            opt = edns.with_rcode(opt, codes.NOERROR, deal.spin.error)
        if end + deal.spin.longest + len(opt) <= size:
            if len(self.packets) >= REMEMBERED:
                self.packets = {}
            self.packets[packet[2:].lower()] = deal, end, deal.spin.dressed(shape, opt)

    def tail_reply(self, tail: bytes, client: tuple[str, int, str], now: float) -> Reply | None:
        """Return what to reply to a tail; None when it is more than an ordinary OPT record.

        Args:
            tail: what stands behind the question.
            client: address, port and transport.
            now: seconds of a clock that only goes forward.

        """
        if edns.LENGTH < len(tail) <= SHORT_TAIL:
            # A resolver sends the same cookie with all its queries.
            known = self._replies.get((client[0], tail))
            if known is not None and now < known[0]:
                return known[1]
        asked = edns.read_tail(tail) if tail else None
        if tail and (asked is None or asked.broken):
            return None
        found = self.reply(asked, client, now)
        if len(tail) <= edns.LENGTH:
            if len(self.tails) >= REMEMBERED:
                self.tails = {}
            self.tails[tail] = found
        elif found.fresh and len(tail) <= SHORT_TAIL:
            if len(self._replies) >= REMEMBERED:
                self._replies = {}
            self._replies[client[0], tail] = now + found.fresh, found
        return found

    def reply(self, asked: Edns | None, client: tuple[str, int, str], now: float) -> Reply:
        """Return what to reply to what an OPT record said."""
        return PLAIN if asked is None else reply(asked, self.table.policy, client, now + self.epoch)

    def _make_room(self) -> None:
        """Start anew when full; this comes before a spin is looked up, which else would escape `adopt`."""
        if len(self.known) >= REMEMBERED:
            self.start_anew()

    def start_anew(self) -> None:
        """Forget what the short ways know, but no name's place: whoever asks again is seen again."""
        self.packets = {}
        for key, spin in list(self._spins.items()):
            self._forget(key, spin)
        self.known = {}
