"""A worker's own state: its place in every rotation, its caches of ready answers, and what it has counted."""

import random
from collections import defaultdict
from typing import NamedTuple

from geodns.responder.answer_policy import Policy
from geodns.responder.edns_options import PLAIN, Reply, plain_reply, reply
from geodns.responder.lookup import LookupResult
from geodns.responder.query_log import Recorder
from geodns.responder.rate_limit import Cells, Limited, Limiter
from geodns.responder.ready_answers import (
    CountKey,
    Cursor,
    KnownPacket,
    PackedAnswers,
    ReadyRotation,
)
from geodns.responder.table import EMPTY, Rotation, RotationKey, Table
from geodns.responder.view_cache import ReadyViews, ViewCache
from geodns.responder.views import BUCKETS, ClientNetwork, client_number
from geodns.wire import codes, edns
from geodns.wire.codes import NUMBERS
from geodns.wire.edns import Edns
from geodns.wire.message import Query, question

REMEMBERED = 16_384
"""Entries of each cache, at most; then it starts anew."""

SHORT_TAIL = 128
"""Bytes of an OPT record, at most, whose reply is kept: options that nobody needs may be 64 KiB long."""

_WORTH_COUNTING = "A AAAA ANY CAA CNAME DNSKEY DS HTTPS MX NAPTR NS PTR SOA SRV SVCB TLSA TXT"
COUNTED_TYPES = frozenset(NUMBERS[name] for name in _WORTH_COUNTING.split())
OTHER_TYPE = 0
"""Counts for all other types: whoever asks must not fill our memory."""


class Counts(NamedTuple):
    """A worker's counts since they were last taken.

    Attributes:
        queries: by zone name (empty: none of ours), QTYPE and RCODE.
        dealt: by rotation (`Rotation.uid`), part and position in the part's answers.
        limited: answers over the rate limit, which the others do not count; None: none.
        names: answered with data and new in the question cache; on the wire, in lower case.
        networks: queries of experiments, by zone, arm (`RotationKey.arm`) and the seat of the client's
            network.

    """

    queries: dict[tuple[str, int, int], int]
    dealt: dict[tuple[bytes, int, int], int]
    limited: Limited | None = None
    names: frozenset[bytes] = frozenset()
    networks: dict[tuple[str, str, int], int] = {}  # noqa: RUF012 - nobody writes to it

    def __bool__(self) -> bool:
        return bool(self.queries or self.dealt or self.limited or self.names or self.networks)


def _is_cacheable(query: Query) -> bool:
    """Say whether no other question is the same in lower case: `lower` spoils some types and classes."""
    return (
        query.qclass == codes.IN
        and query.type in COUNTED_TYPES
        and query.question[-4:].lower() == query.question[-4:]
        and not 0x61 <= query.type & 0xFF <= 0x7A
    )


def _packed(packet: bytes, end: int, variant: int, cursor: Cursor) -> PackedAnswers | None:
    """Return the answers that a packet may get, if all of them fit."""
    # Packets whose lower case is the same share an entry. They differ in nothing that an answer depends
    # on but the size in their OPT records, which is least in upper case. Options hardly ever come back.
    length = len(packet) - end
    if length not in {0, edns.LENGTH}:
        return None
    asked = edns.read_tail(packet[end:].upper()) if length else None
    if length and asked is None:
        return None
    size, opt = plain_reply(asked)[:2]
    if opt and cursor.ready.error:
        opt = edns.with_rcode(opt, codes.NOERROR, cursor.ready.error)
    return cursor.ready.packed(variant, opt) if end + cursor.ready.longest + len(opt) <= size else None


class WorkerState:
    """A worker's only mutable object: places in rotations, caches of ready answers, and counts.

    Args:
        rng: chooses where in each rotation this worker starts, and whatever else is random.
        cells: of the rate limit, if other workers share them.

    Attributes:
        guarded: whether answers are limited or queries are logged: then there is more to do for each.
        packets: the packet cache: by a packet without its ID in lower case, the cursor, where the question
            ends, and the answers.
        questions: the question cache: by a question in lower case.
        views: both caches for names whose answer depends on the client.
        tails: replies by what stands behind a question, where nothing there depends on who sent it.
        fault_logged: when a fault of our own was logged last.
        epoch: what is added to `now` for the seconds since the epoch, of which cookies tell.
        counted: answers of both caches.

    """

    def __init__(self, rng: random.Random, cells: Cells | None = None) -> None:
        self._rng = rng
        self._cells = cells
        self.table: Table = EMPTY
        self.guarded = False
        self.limiter: Limiter | None = None
        self.recorder: Recorder | None = None
        self.packets: dict[bytes, KnownPacket] = {}
        self.questions: dict[bytes, Cursor] = {}
        self.views = ViewCache()
        self.tails: dict[bytes, Reply] = {}
        self.fault_logged = float("-inf")
        self.epoch = 0.0
        self.counted: defaultdict[CountKey, int] = defaultdict(int)
        self._replies: dict[tuple[str, bytes], tuple[float, Reply]] = {}
        self._places: dict[tuple[bytes, RotationKey], int] = {}
        self._ready: dict[RotationKey, ReadyRotation] = {}
        self._queries: defaultdict[tuple[str, int, int], int] = defaultdict(int)
        self._dealt: defaultdict[tuple[bytes, int, int], int] = defaultdict(int)
        self._asked: set[bytes] = set()

    def adopt(self, table: Table) -> None:
        """Make a Table the current one; forget what it changes, but no name's place."""
        other_zones = not table.has_zones_of(self.table)
        self.packets = {}
        if table.policy != self.table.policy:
            self.tails, self._replies = {}, {}
            self._guard(self.table.policy, table.policy)
        for asked, key, cursor in self.views.adopt(table, other_zones=other_zones):
            self._places[asked[:-4], key] = cursor.at
            self._ready[key].questions.discard(asked)
        for key, ready in list(self._ready.items()):
            if other_zones or table.rotations.get(key) is not ready.rotation:
                self._forget(key, ready)
        if other_zones:
            self.questions = {}
            self._places = {place: at for place, at in self._places.items() if place[1] in table.rotations}
        self.table = table

    def _guard(self, before: Policy, policy: Policy) -> None:
        """Limit and log by another policy; notes that were not taken yet are lost with the recorder."""
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

    def _forget(self, key: RotationKey, ready: ReadyRotation) -> None:
        """Take a rotation from the question cache, but keep each name's place."""
        for asked in ready.questions:
            cursor = self.questions.pop(asked, None) or self.views.forget(asked, key)
            if cursor is not None:
                self._places[asked[:-4], key] = cursor.at
        del self._ready[key]

    def take_counts(self) -> Counts:
        queries, dealt = self._queries, self._dealt
        for count_key, number in self.counted.items():
            queries[count_key.query] += number
            if count_key.dealt is not None:
                dealt[count_key.dealt] += number
        self.counted.clear()
        self._queries, self._dealt = defaultdict(int), defaultdict(int)
        limited = None if self.limiter is None else self.limiter.take()
        asked, self._asked = self._asked, set()
        return Counts(dict(queries), dict(dealt), limited, frozenset(asked), self.views.take_networks())

    def count(self, zone: str, qtype: int, rcode: int) -> None:
        """Count an answer of the full lookup."""
        self._queries[zone, qtype if qtype in COUNTED_TYPES else OTHER_TYPE, rcode] += 1

    def count_dealt(self, rotation: Rotation, positions: tuple[int, ...]) -> None:
        """Count what the full lookup dealt: a position in the answers of each part."""
        for part, position in enumerate(positions):
            self._dealt[rotation.uid, part, position] += 1

    def deal(self, name: bytes, rotation: Rotation, client: ClientNetwork | None = None) -> tuple[int, ...]:
        """Move a name on in a rotation; return the position of its next answer in each part.

        Parts that pick by client move nothing.
        """
        at = 0
        if client is None or not all(part.seed for part in rotation.parts):
            at = self._next_place(name, rotation)
        return tuple(
            [
                part.index[client_number(part.seed, client, BUCKETS)]
                if client is not None and part.seed
                else part.index[at % len(part.index)]
                for part in rotation.parts
            ]
        )

    def _next_place(self, name: bytes, rotation: Rotation) -> int:
        """Return a name's place in a rotation, and move it on where it is kept: in its cursor, or here."""
        asked = question(name, NUMBERS[rotation.key.type])
        cursor = self.questions.get(asked) or self.views.cursor(asked, rotation.key)
        if cursor is not None and cursor.ready.rotation is rotation:
            at = cursor.at
            cursor.at = (at + 1) % cursor.ready.size
            return at
        place = (name, rotation.key)
        start = self._places.get(place)
        at = self._rng.getrandbits(32) if start is None else start
        self._places[place] = at + 1
        return at

    def remember(self, query: Query, found: LookupResult) -> None:
        """Let the question cache answer next time, if it can."""
        rotation, asked = found.rotation, query.question.lower()
        if not found.exact or (rotation is not None and len(rotation.parts) > 1):
            return
        if asked in self.questions or not _is_cacheable(query):
            return
        deal = found.deal
        if deal is not None and self.views.cursor(asked, deal.key) is not None:
            return
        if rotation is not None or found.answer.an:
            self._asked.add(query.name)
        self._make_room()
        if rotation is None:
            count_key = CountKey(found.zone, query.type, None)
            cursor = Cursor(ReadyRotation([found.answer], [0], lambda _: count_key), 0, found.kind)
        else:
            ready = self._ready.get(rotation.key) or self._make_ready(found, rotation)
            at = self._places.get((query.name, rotation.key), 0) % ready.size
            ready.questions.add(asked)
            cursor = Cursor(ready, at, found.kind)
        if deal is None:
            self.questions[asked] = cursor
        else:
            self.views.remember(asked, deal, self.table, cursor)

    def _make_ready(self, found: LookupResult, rotation: Rotation) -> ReadyRotation:
        (part,) = rotation.parts
        qtype = NUMBERS[rotation.key.type]
        zone, uid = found.zone, rotation.uid
        ready = ReadyRotation(
            part.answers,
            part.index if part.seed else list(part.index),  # a list is faster, but much larger
            lambda position: CountKey(zone, qtype, (uid, 0, position)),
            part.seed,
        )
        ready.rotation = rotation
        ready.error = found.error
        self._ready[rotation.key] = ready
        return ready

    def remember_packet(self, packet: bytes, end: int, variant: int, cursor: Cursor) -> None:
        """Let the packet cache answer next time, if every answer that can be dealt fits.

        Args:
            packet: one that the question cache answered.
            end: where its question ends.
            variant: which of `heads` its answers get.
            cursor: of its question.

        """
        packed = _packed(packet, end, variant, cursor)
        if packed is not None:
            if len(self.packets) >= REMEMBERED:
                self.packets = {}
            self.packets[packet[2:].lower()] = cursor, end, packed

    def remember_viewed(
        self, packet: bytes, end: int, variant: int, cursor: Cursor, views: ReadyViews, target: int
    ) -> None:
        """Do the same for all clients that have this target of the name's views."""
        packed = _packed(packet, end, variant, cursor)
        if packed is not None:
            self.views.remember_packet(packet[2:].lower(), views, target, (cursor, end, packed))

    def tail_reply(self, tail: bytes, client: tuple[str, int, str], now: float) -> Reply | None:
        """Return the reply to what stands behind a question; None if that is more than an OPT record."""
        if edns.LENGTH < len(tail) <= SHORT_TAIL:
            # A resolver sends the same cookie with all its queries.
            known = self._replies.get((client[0], tail))
            if known is not None and now < known[0]:
                return known[1]
        asked = edns.read_tail(tail) if tail else None
        if tail and (asked is None or asked.broken):
            return None
        found = self.reply(asked, client, now)
        whoever = asked is not None and asked.subnet and not asked.cookie and not asked.keepalive
        if len(tail) <= (SHORT_TAIL if whoever else edns.LENGTH):
            if len(self.tails) >= REMEMBERED:
                self.tails = {}
            self.tails[tail] = found
        elif found.fresh and len(tail) <= SHORT_TAIL:
            if len(self._replies) >= REMEMBERED:
                self._replies = {}
            self._replies[client[0], tail] = now + found.fresh, found
        return found

    def reply(self, asked: Edns | None, client: tuple[str, int, str], now: float) -> Reply:
        return PLAIN if asked is None else reply(asked, self.table.policy, client, now + self.epoch)

    def _make_room(self) -> None:
        """Start anew when full: before a ready rotation is looked up, which else would escape `adopt`."""
        if len(self.questions) + self.views.cursors >= REMEMBERED:
            self.start_anew()

    def start_anew(self) -> None:
        """Forget what both caches know, but no name's place: whoever asks again is seen again."""
        self.packets = {}
        for key, ready in list(self._ready.items()):
            self._forget(key, ready)
        self.questions = {}
        self.views.start_anew()
