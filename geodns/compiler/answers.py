"""The bytes of a rotation's answers: A, AAAA, MX and SRV of its pools."""

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, count
from struct import pack

from geodns.compiler.affinity import SEED, address_scores
from geodns.compiler.choice import Choice, Deal
from geodns.compiler.dealt import Dealt
from geodns.compiler.rotation import cycle, units
from geodns.compiler.routes import RoutedName, routed_names
from geodns.compiler.static import addresses_of, compile_names, with_helper
from geodns.model.hosts import Host
from geodns.model.state import PoolKey
from geodns.model.zone import Zone
from geodns.responder.table import Part, Rotation, RotationKey, ZoneTable
from geodns.wire.codes import NUMBERS
from geodns.wire.edns import UDP_SIZE
from geodns.wire.message import Answer
from geodns.wire.names import name_to_wire
from geodns.wire.records import record

MAX_DEALT = UDP_SIZE - 320
"""Bytes of a dealt answer with its additional records: what fits UDP with any question and a cookie."""


@dataclass(frozen=True, eq=False)
class Source:
    """A zone to serve: its file, and what only the running server knows of it.

    Attributes:
        retired: hosts taken out of the file that still answer for their own names.

    """

    zone: Zone
    serial: int
    retired: tuple[Host, ...] = ()

    @cached_property
    def names(self) -> ZoneTable:
        return compile_names(self.zone, self.serial, self.retired)

    @cached_property
    def routed(self) -> dict[str, RoutedName]:
        """The names that routes use."""
        return routed_names(self.zone)


def compile_rotation(source: Source, key: RotationKey, choices: Mapping[PoolKey, Choice]) -> Rotation:
    """Compile a rotation from what its pools deal."""
    zone = source.zone
    failover = _failover(zone, key, choices)
    chosen = [
        (choices[zone.name, failover.get(pool, pool)].of(key.type), preference, port)
        for (pool, preference), port in zip(key.tiers, key.ports or (0,) * len(key.tiers), strict=True)
    ]
    # With several tiers, one that has nobody live is left out while another lives.
    serving = [entry for entry in chosen if entry[0].last_resort is None] or chosen
    ttl = min(deal.ttl(zone, key.ttl) for deal, _, _ in serving)
    dead = [deal for deal, _, _ in serving if deal.last_resort is not None]
    note = _note(dead)
    serving = list(_each_target_once(zone, serving))
    if not serving:
        return Rotation(key, (), servfail=bool(dead), note=note, failover=bool(failover))
    parts = (
        _srv_part(source, deal, preference, port, ttl)
        if key.type == "SRV"
        else _mx_part(source, deal, answers, preference, ttl)
        if key.type == "MX"
        else _address_part(zone, deal, answers, NUMBERS[key.type], ttl)
        for deal, preference, port in serving
        for answers in (zone.pool_by_name[deal.pool].answers,)
    )
    return Rotation(key, tuple(parts), note=note, failover=bool(failover))


def _failover(zone: Zone, key: RotationKey, choices: Mapping[PoolKey, Choice]) -> dict[str, str]:
    """Return the first arm's pool by that of an arm with nobody live."""
    found = with_helper(zone, key.arm)
    if found is None:
        return {}
    pool, helper = found
    nobody = choices[zone.name, pool].of(key.type).last_resort is not None
    return {pool: helper} if nobody and pool != helper else {}


def _each_target_once(
    zone: Zone, serving: Iterable[tuple[Deal, int, int]]
) -> Iterator[tuple[Deal, int, int]]:
    """Leave a host to the first pool that names it at a rank and port: no RRset holds a record twice."""
    named: set[tuple[int, int, str]] = set()
    for deal, rank, port in serving:
        dealt = tuple(entry for entry in deal.dealt if (rank, port, entry.host) not in named)
        if len(dealt) < len(deal.dealt):  # nor may one that warms up get what the warm ones leave
            dealt = tuple(entry for entry in dealt if entry.host not in deal.warmup)
        named |= {(rank, port, entry.host) for entry in dealt}
        if len(dealt) < len(deal.dealt):
            deal = deal.of_these(dealt, zone.pool_by_name[deal.pool].answers)  # noqa: PLW2901 - what is left
        if dealt:
            yield deal, rank, port


MAX_NOTE = 120
"""Characters of a note, at most: it goes into answers, where room is short."""


def _note(dead: Sequence[Deal]) -> str:
    """Name the pools that deal although nobody in them or their fallbacks is live."""
    if not dead:
        return ""
    first = dead[0]
    more = f" (and {len(dead) - 1} pools more)" if len(dead) > 1 else ""
    what = f": hosts are dealt that are {first.last_resort}" if first.dealt else ""
    who = "no warm host" if first.warmup else "nobody"
    return f"{who} in pool {first.pool}{more} is live{what}"[:MAX_NOTE]


def _address_part(zone: Zone, deal: Deal, answers: int, rtype: int, ttl: int) -> Part:
    """Compile a pool's A or AAAA cycle; a host with several addresses lends one to each answer."""
    lent = [record(rtype, ttl, address.packed) for entry in deal.dealt for address in entry.addresses]
    lenders = [host for host, entry in enumerate(deal.dealt) for _ in entry.addresses]
    rows = _rows(zone, deal, answers)
    if len(lent) > len(deal.dealt):
        rows = _lent(deal, rows)
    return _part(deal, rows, lent, lenders)


def _lent(deal: Deal, rows: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Return rows of addresses instead of hosts: each lends its own in turn, or the nearest to a bucket."""
    numbers = [len(entry.addresses) for entry in deal.dealt]
    starts = [0, *accumulate(numbers)]
    if not deal.rows:
        turns = [count() for _ in numbers]
        return tuple(tuple(starts[host] + next(turns[host]) % numbers[host] for host in row) for row in rows)
    scores = [[address_scores(address.packed) for address in entry.addresses] for entry in deal.dealt]

    def nearest(host: int, bucket: int) -> int:
        return min(range(numbers[host]), key=lambda number: scores[host][number][bucket])

    return tuple(
        tuple(starts[host] + nearest(host, bucket) for host in row) for bucket, row in enumerate(rows)
    )


def _mx_part(source: Source, deal: Deal, answers: int, preference: int, ttl: int) -> Part:
    """Compile a pool's MX cycle: the hosts' names at equal preference, with their live addresses beside."""
    names = [name_to_wire(source.zone.host_name(host)) for host in deal.hosts]
    start = preference.to_bytes(2, "big")
    lent = [record(NUMBERS["MX"], ttl, start + name) for name in names]
    rows = _rows(source.zone, deal, answers)
    beside = [_live_addresses(source, name, entry) for name, entry in zip(names, deal.dealt, strict=True)]
    return _part(deal, rows, lent, range(len(lent)), beside)


MAX_SERVICE_WEIGHT = 65535
MOST_SERVICES = 32
"""SRV records in an answer, at most; more would not even come near a UDP answer."""


def _srv_part(source: Source, deal: Deal, priority: int, port: int, ttl: int) -> Part:
    """Compile a pool's SRV: its hosts with their weights, all in one answer unless there are too many."""
    if deal.warmup and len(deal.dealt) > MOST_SERVICES:
        # Sets of many hosts weigh unlike the whole: none of them may raise a share that is bounded.
        deal = replace(deal, dealt=tuple(one for one in deal.dealt if one.host not in deal.warmup))
    names = [name_to_wire(source.zone.host_name(host)) for host in deal.hosts]
    lent = [
        record(NUMBERS["SRV"], ttl, pack(">HHH", priority, weight, port) + name)
        for name, weight in zip(names, service_weights(deal.dealt), strict=True)
    ]
    answers = -(-len(lent) // MOST_SERVICES)
    rows = [tuple(range(first, len(lent), answers)) for first in range(answers)]
    beside = [_live_addresses(source, name, entry) for name, entry in zip(names, deal.dealt, strict=True)]
    return _part(deal, rows, lent, range(len(lent)), beside)


def service_weights(dealt: Sequence[Dealt]) -> list[int]:
    """Return weights as numbers of 16 bits (RFC 2782); none falls to 0, which means hardly ever."""
    weights = [entry.portion for entry in dealt]
    scale = Fraction(math.lcm(*(weight.denominator for weight in weights)))
    if max(weights) * scale > MAX_SERVICE_WEIGHT:
        scale = MAX_SERVICE_WEIGHT / max(weights)
    return [max(1, round(weight * scale)) for weight in weights]


def _live_addresses(source: Source, name: bytes, entry: Dealt) -> tuple[bytes, ...]:
    """Return those of a host's own address records whose addresses are dealt."""
    live = {address.packed for address in entry.addresses}
    data = len(name) + 10  # after type, class, TTL and length
    return tuple(one for one in addresses_of(source.names, name) if one[data:] in live)


def _rows(zone: Zone, deal: Deal, answers: int) -> tuple[tuple[int, ...], ...]:
    if deal.rows:
        return deal.rows
    weights = units([entry.portion for entry in deal.dealt])
    # The seed differs from pool to pool, so that not all pools pair their first hosts.
    seed = int.from_bytes(f"{zone.name}/{deal.pool}".encode()[-8:], "big")
    return cycle(weights, answers, seed)


def _part(
    deal: Deal,
    rows: Sequence[tuple[int, ...]],
    lent: Sequence[bytes],
    lenders: Sequence[int],
    beside: Sequence[tuple[bytes, ...]] = (),
) -> Part:
    """Number the distinct answers of a cycle.

    Args:
        deal: has the hosts.
        rows: the records of answers, in the order of the cycle.
        lent: the records that rows count; one that two hosts lend, as an address that both have, stands in an
            answer once.
        lenders: the host of each record.
        beside: additional records of each host; an answer goes without where they make it too long for UDP.

    """
    numbers = {row: number for number, row in enumerate(dict.fromkeys(rows))}
    names = [deal.dealt[host].host for host in lenders]
    lent_once = len(set(lent)) == len(lent)
    answers, sets = [], []
    for row in numbers:
        records = [lent[one] for one in row] if lent_once else [*dict.fromkeys(lent[one] for one in row)]
        body = b"".join(records)
        extra = tuple([one for lender in row for one in beside[lenders[lender]]]) if beside else ()
        fits = not extra or len(body) + sum(map(len, extra)) <= MAX_DEALT
        answers.append(Answer(body, len(records), extra=extra if fits else ()))
        sets.append(tuple([names[one] for one in row]))
    index = array("I", map(numbers.__getitem__, rows))
    return Part(deal.pool, tuple(answers), index, tuple(sets), SEED if deal.rows else b"")
