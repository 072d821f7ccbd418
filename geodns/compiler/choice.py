"""Chooses the hosts that a pool deals: its live ones, its fallbacks', or the last resort."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from geodns.compiler.live_set import Fitness, LiveSet
from geodns.model.base import Address, Family, family_of
from geodns.model.state import Forced
from geodns.model.zone import Member, Pool, Zone


class LastResort(StrEnum):
    """The hosts that a pool deals when nobody in its chain is live."""

    DOWN = "down"
    QUARANTINED = "quarantined"
    DRAINED = "drained"
    SERVFAIL = "servfail"


_RESORTS: tuple[tuple[LastResort, frozenset[Forced | None]], ...] = (
    # Down or shedding, or forced up with a factor of 0: the sender queues and tries again. Quarantined: its
    # mail might bounce. Drained: it may be under the knife. Forced down is in no row: that is an order.
    (LastResort.DOWN, frozenset({None, Forced.UP})),
    (LastResort.QUARANTINED, frozenset({Forced.QUARANTINED})),
    (LastResort.DRAINED, frozenset({Forced.DRAINED})),
)


@dataclass(frozen=True, slots=True)
class Dealt:
    """A host that is dealt.

    Attributes:
        addresses: those that are live, of both families.
        weight: the pool's, or what an operator has forced instead.
        factors: by name; each 0 to 1.

    """

    host: str
    addresses: tuple[Address, ...]
    weight: int
    factors: Mapping[str, Fraction] = field(default_factory=dict)

    @property
    def effective(self) -> Fraction:
        return math.prod(self.factors.values(), start=Fraction(self.weight))

    def of(self, family: Family) -> tuple[Address, ...]:
        return tuple(address for address in self.addresses if family_of(address) == family)


@dataclass(frozen=True, slots=True)
class Choice:
    """The hosts that a pool deals now, for every name and type alike.

    Attributes:
        using: the pools dealt from, nearest first.
        last_resort: None while anybody in the chain is live.
        dealt: each host once.
        answers: hosts in an answer, at most.
        longest_ttl: seconds that an answer may be kept just now; None: nothing limits it.

    """

    pool: str
    using: tuple[str, ...]
    last_resort: LastResort | None
    dealt: tuple[Dealt, ...]
    answers: int
    longest_ttl: float | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dealt.host for dealt in self.dealt)

    @property
    def live(self) -> tuple[str, ...]:
        """The hosts dealt because they are live."""
        return self.hosts if self.last_resort is None else ()

    def of(self, family: Family) -> tuple[Dealt, ...]:
        return tuple(dealt for dealt in self.dealt if dealt.of(family))

    def ttl(self, zone: Zone, ceiling: int) -> int:
        """Return the TTL of an answer, where `ceiling` is that of its name when all is well."""
        if self.longest_ttl is None:
            return ceiling
        return min(ceiling, max(zone.min_ttl, int(self.longest_ttl)))


def choose(zone: Zone, pool: Pool, live: LiveSet) -> Choice:
    """Decide what a pool deals."""
    chain = zone.chain(pool.name)
    picked = _unique(_pick(zone, chain, live))
    resort = None
    if not picked:
        resort, picked = _last_resort(zone, pool, chain, live)
    using = tuple(dict.fromkeys(name for name, _, _ in picked))
    waits = [fitness.seconds_to_fall for _, _, fitness in picked if fitness.seconds_to_fall is not None]
    policy = zone.check_policy_of(pool)
    if policy is not None and (resort is not None or using != (pool.name,)):
        waits.append(min(check.interval * check.rise for check in policy.checks))
    dealt = tuple(
        Dealt(member.host, fitness.live, live.weight(zone, member.host, member.weight), fitness.factors)
        for _, member, fitness in picked
    )
    return Choice(pool.name, using, resort, dealt, pool.answers, min(waits, default=None))


_Picked = tuple[str, Member, Fitness]
"""The pool that a host is dealt from, its membership there, and its fitness."""


def _pick(zone: Zone, chain: tuple[Pool, ...], live: LiveSet) -> list[_Picked]:
    """Return the live hosts of the first pool; where they are too few, with its fallback's or these alone."""
    helpers: list[_Picked] = []
    for pool in reversed(chain):
        policy = zone.check_policy_of(pool)
        judged = [
            (pool.name, member, live.fitness(zone, zone.host_by_name[member.host], policy))
            for member in pool.members
            if live.weight(zone, member.host, member.weight)
        ]
        fit = [entry for entry in judged if entry[2].live and entry[2].factor]
        if pool.fallback is None or _enough(zone, pool, live, fit):
            helpers = fit
        elif pool.fallback_mode == "add" or not helpers:
            helpers = fit + helpers
    return helpers


def _enough(zone: Zone, pool: Pool, live: LiveSet, fit: list[_Picked]) -> bool:
    """Say whether the live hosts reach `min_live`; none is never enough."""
    if not fit:
        return False
    if not pool.min_live.percent:
        return len(fit) >= pool.min_live.amount

    def weight(members: Iterable[Member]) -> int:
        return sum(live.weight(zone, member.host, member.weight) for member in members)

    return weight(member for _, member, _ in fit) * 100 >= pool.min_live.amount * weight(pool.members)


def _unique(picked: Iterable[_Picked]) -> list[_Picked]:
    """Keep each host once, from the nearest pool that has it."""
    hosts: dict[str, _Picked] = {}
    for entry in picked:
        hosts.setdefault(entry[1].host, entry)
    return list(hosts.values())


def _last_resort(
    zone: Zone, pool: Pool, chain: tuple[Pool, ...], live: LiveSet
) -> tuple[LastResort, list[_Picked]]:
    """Return the hosts to deal, by plain weight, when nobody in the chain is live."""
    if pool.when_down == "servfail":
        return LastResort.SERVFAIL, []
    everybody = _unique(
        (link.name, member, Fitness(zone.host_by_name[member.host].addresses))
        for link in chain
        for member in link.members
        if live.weight(zone, member.host, member.weight)
    )
    for resort, forced in _RESORTS:
        if found := [one for one in everybody if live.forced.get((zone.name, one[1].host)) in forced]:
            return resort, found
    return LastResort.SERVFAIL, []


def shares(dealt: Sequence[Dealt]) -> dict[str, Fraction]:
    """Return each host's part of the answers."""
    total = sum((entry.effective for entry in dealt), Fraction(0))
    return {entry.host: entry.effective / total for entry in dealt}
