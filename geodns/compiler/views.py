"""Rules, experiments and the networks they name → what each client is dealt, at one moment."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from geodns.compiler.static import arm_key, picks_by_client, pool_families, rotation_key, view_key
from geodns.model.address_ranges import EVERYWHERE, NOWHERE, AddressRanges, Bounds, any_of, ranges_of
from geodns.model.experiments import SEATS, Experiment
from geodns.model.views import GeoNetworks, PoolRule
from geodns.model.zone import Rule, Tier, Zone
from geodns.responder.table import ClientViews, RotationKey, View, ViewKey
from geodns.responder.views import Partition, hash_seed

K = TypeVar("K")
Pools = tuple[str, ...]
"""A pool for each tier of a dealt RRset."""


@dataclass(frozen=True, eq=False)
class ZoneViews:
    """The views of a zone's names at one moment.

    Attributes:
        until: when hours or slots make it another, in seconds since the epoch; None: never.
        at: the moment, in seconds since the epoch.

    """

    views: Mapping[ViewKey, ClientViews] = field(default_factory=dict)
    partitions: Mapping[bytes, Partition] = field(default_factory=dict)
    until: float | None = None
    at: float = 0.0

    def rotation_keys(self) -> Iterable[RotationKey]:
        """Yield the rotations that clients may be dealt from."""
        for one in self.views.values():
            for view in one.views:
                yield from (key for key in view.keys if key is not None)


def compile_views(zone: Zone, geo: GeoNetworks, now: float) -> ZoneViews:
    """Compile what clients and times decide; seconds since the epoch.

    Heavy where rules name many networks: some seconds for a million.
    """
    compiling = _Compiling(zone, geo, now)
    for rule in zone.rules:
        key = view_key(zone, rule)
        if key is not None and key not in compiling.views:
            compiling.add(key, rule)
    return ZoneViews(compiling.views, compiling.partitions, min(compiling.changes, default=None), now)


def with_known(before: ZoneViews, after: ZoneViews) -> ZoneViews:
    """Return views with the objects of before where they are equal: workers get the others alone."""
    partitions = {key: before.partitions.get(key, one) for key, one in after.partitions.items()}
    views = {
        key: known if (known := before.views.get(key)) is not None and _same(known, one) else one
        for key, one in after.views.items()
    }
    return ZoneViews(views, partitions, after.until, after.at)


def _same(one: ClientViews, other: ClientViews) -> bool:
    return one.partition == other.partition and one.views == other.views


@dataclass(frozen=True, slots=True)
class _Division:
    """All addresses of both families, divided: where each range begins, and the place of its pools."""

    pools: tuple[Pools, ...]
    ipv4: tuple[Bounds, Sequence[int]]
    ipv6: tuple[Bounds, Sequence[int]]


class _Compiling:
    """A zone's views in the making; names that share a list of rules share its division."""

    def __init__(self, zone: Zone, geo: GeoNetworks, now: float) -> None:
        self._zone = zone
        self._geo = geo
        self._now = now
        self._families = pool_families(zone)
        self._divisions: dict[tuple[tuple[tuple[str, ...], ...], Pools], _Division] = {}
        """By the digests of each tier's rules, and the last pools."""
        self._ranges: dict[str, AddressRanges] = {}
        """By a rule's digest."""
        self.views: dict[ViewKey, ClientViews] = {}
        self.partitions: dict[bytes, Partition] = {}
        self.changes: list[float] = []

    def add(self, key: ViewKey, rule: Rule) -> None:
        division = self._divided(rule.tiers)
        ttl = self._ttl(rule)
        views = [self._view(rule, pools, ttl) for pools in division.pools]
        numbers = {view: number for number, view in enumerate(dict.fromkeys(views))}
        if len(numbers) == 1:
            self.views[key] = ClientViews(tuple(numbers))
            return
        places = [numbers[view] for view in views]
        ipv4, ipv6 = (_renumbered(family, places) for family in (division.ipv4, division.ipv6))
        digest = hashlib.blake2b(digest_size=12)
        for starts, found in (ipv4, ipv6):
            digest.update(repr((len(starts), list(starts), list(found))).encode())
        partition = digest.digest()
        if partition not in self.partitions:
            self.partitions[partition] = Partition(ipv4, ipv6)
        self.views[key] = ClientViews(tuple(numbers), partition)

    def _ttl(self, rule: Rule) -> int:
        """Return a name's TTL: short before its hours change, so that what was dealt is forgotten by then."""
        hours = dict.fromkeys(one.hours for tier in rule.tiers for one in tier.rules if one.hours is not None)
        changes = [change for one in hours if (change := one.next_change(self._now)) is not None]
        if not changes:
            return rule.ttl
        change = min(changes)
        near = self._now >= change - rule.ttl
        self.changes.append(change if near else change - rule.ttl)
        return min(rule.ttl, self._zone.min_ttl) if near else rule.ttl

    def _divided(self, tiers: tuple[Tier, ...]) -> _Division:
        clauses = tuple(_holding(tier.rules, self._now) for tier in tiers)
        last = tuple(tier.pool for tier in tiers)
        key = tuple(tuple(one.digest for one in rules) for rules in clauses), last
        known = self._divisions.get(key)
        if known is None:
            numbers: dict[Pools, int] = {}
            ipv4, ipv6 = (
                _divide(
                    [[(self._bounds(one, ipv6=ipv6), one.use) for one in rules] for rules in clauses],
                    last,
                    numbers,
                    1 << (128 if ipv6 else 32),
                )
                for ipv6 in (False, True)
            )
            known = self._divisions[key] = _Division(tuple(numbers), ipv4, ipv6)
        return known

    def _bounds(self, rule: PoolRule, *, ipv6: bool) -> Bounds:
        found = self._ranges.get(rule.digest)
        if found is None:
            found = self._ranges[rule.digest] = clients_of(rule, self._geo)
        return found.ipv6 if ipv6 else found.ipv4

    def _view(self, rule: Rule, pools: Pools, ttl: int) -> View:
        held = self._zone.experiment_at.get(rule.owner)
        if held is None or held.pool not in pools:
            return View((self._key(rule, pools, ttl),), near=picks_by_client(self._zone, rule, pools))
        seed = hash_seed("arm", held.salt)
        if held.by == "time":
            arm, until = held.arm_at(self._now)
            self.changes.append(until)
            pools = in_place(pools, held, arm.pool)
            key = self._key(rule, pools, ttl, arm_key(held, arm.name))
            # The first arm's pool helps out where this one has nobody live.
            near = picks_by_client(self._zone, rule, (*pools, held.arms[0].pool))
            return View((key,), (SEATS,), seed, near)
        keys = tuple(
            self._key(rule, in_place(pools, held, arm.pool), ttl, arm_key(held, arm.name))
            for arm in held.arms
        )
        return View(keys, held.bounds, seed, near=True)

    def _key(self, rule: Rule, pools: Pools, ttl: int, arm: str = "") -> RotationKey | None:
        return rotation_key(self._zone, rule, self._families, pools, ttl, arm)


def in_place(pools: Pools, experiment: Experiment, arm: str) -> Pools:
    """Return pools with an arm's in place of the experiment's."""
    return tuple(arm if pool == experiment.pool else pool for pool in pools)


def _holding(rules: tuple[PoolRule, ...], now: float) -> tuple[PoolRule, ...]:
    """Return the rules that hold now, up to the first for every client."""
    found = []
    for one in rules:
        if one.hours is None or one.hours.include(now):
            found.append(one)
            if not one.by_client:
                break
    return tuple(found)


def clients_of(rule: PoolRule, geo: GeoNetworks) -> AddressRanges:
    """Return the clients that meet a rule's conditions, whatever the hour."""
    found = ranges_of(rule.subnets) if rule.subnets else EVERYWHERE
    if rule.countries:
        found &= _any_of(rule.countries, geo.countries)
    if rule.continents:
        found &= _any_of(rule.continents, geo.continents)
    if rule.asns:
        found &= _any_of(rule.asns, geo.asns)
    return found


def _any_of(named: Iterable[K], known: Mapping[K, AddressRanges]) -> AddressRanges:
    return any_of(known.get(one, NOWHERE) for one in named)


def _divide(
    tiers: Sequence[Sequence[tuple[Bounds, str]]], last: Pools, numbers: dict[Pools, int], behind: int
) -> tuple[Bounds, Sequence[int]]:
    """Divide the addresses of one family by the first rule of each tier that has them.

    One pass over all bounds in order, with a bit for each rule that has the address at hand.

    Args:
        tiers: for each the bounds of its rules and their pools.
        last: the pools of addresses that no rule has.
        numbers: of the pools found; new ones are added.
        behind: the number behind the last address.

    """
    turns = sorted(
        (at, number, place)
        for number, rules in enumerate(tiers)
        for place, (bounds, _) in enumerate(rules)
        for at in bounds
        if at < behind
    )
    having = [0] * len(tiers)
    pools = list(last)
    starts, found = [0], [last]
    kept = {last: last}
    for at, number, place in turns:
        having[number] ^= 1 << place
        bits = having[number]
        pools[number] = tiers[number][(bits & -bits).bit_length() - 1][1] if bits else last[number]
        if at != starts[-1]:
            starts.append(at)
            found.append(last)
        # Several rules may turn at one address: only what stands after the last of them is dealt.
        now = tuple(pools)
        found[-1] = kept.setdefault(now, now)
    return _merged(starts, [numbers.setdefault(one, len(numbers)) for one in found])


def _merged(starts: Sequence[int], numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Join neighbours that have the same number."""
    kept = [place for place in range(len(starts)) if not place or numbers[place] != numbers[place - 1]]
    return [starts[place] for place in kept], [numbers[place] for place in kept]


def _renumbered(family: tuple[Bounds, Sequence[int]], numbers: Sequence[int]) -> tuple[Bounds, Sequence[int]]:
    starts, found = family
    return _merged(starts, [numbers[number] for number in found])
