"""LiveSet: an immutable snapshot of what is known about every host: verdicts, forced states, factors.

A *verdict* belongs to a target (check, address, port) and is made by the state machine in ``health.state``.
A host in a pool is judged by the pool's checks alone; the status page shows the sum over all pools' checks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from geodns.model.base import Address
from geodns.model.checks import CheckPolicy, Target
from geodns.model.hosts import Host
from geodns.model.state import NOTHING_KNOWN, Forced, HealthState, HostKey, Verdict
from geodns.model.zone import Zone, target_of


@dataclass(frozen=True, slots=True)
class Fitness:
    """A host as one pool sees it.

    Attributes:
        live: its addresses that may be dealt, in the host's order; empty when none may.
        factors: every factor in force on its weight, by name; each 0 to 1.
        seconds_to_fall: the least time in which the failures seen could take an address of `live` down; None
            when there are too few for that.

    """

    live: tuple[Address, ...]
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    seconds_to_fall: float | None = None

    @property
    def factor(self) -> Fraction:
        """The product of the factors."""
        return math.prod(self.factors.values(), start=Fraction(1))


class _Grade(NamedTuple):
    """A live address: what its checks leave of the weight, and how soon they could take it down."""

    shedding: Fraction
    degraded: Fraction
    agent: Fraction
    seconds_to_fall: float | None

    @property
    def factor(self) -> Fraction:
        """What all leave."""
        return self.shedding * self.degraded * self.agent


@dataclass(frozen=True, slots=True)
class LiveSet:
    """Everything that decides which hosts are dealt, at one moment.

    Attributes:
        verdicts: of targets; one that is missing counts as `NOTHING_KNOWN`.
        forced: what is imposed on hosts.
        newcomers: hosts added while running that no probe has found good yet.
        factors: further factors of hosts (warm-up, reputation, load …), by name.
        weights: what operators have imposed on hosts instead of their files' weights, in every pool.

    """

    verdicts: Mapping[Target, Verdict] = field(default_factory=dict)
    forced: Mapping[HostKey, Forced] = field(default_factory=dict)
    newcomers: frozenset[HostKey] = frozenset()
    factors: Mapping[HostKey, Mapping[str, Fraction]] = field(default_factory=dict)
    weights: Mapping[HostKey, int] = field(default_factory=dict)

    def weight(self, zone: Zone, host: str, given: int) -> int:
        """Return a host's weight: what is imposed on it, or else what its file (or a pool there) gives it."""
        return self.weights.get((zone.name, host), given)

    def verdict(self, target: Target) -> Verdict:
        """Return what is believed of a target."""
        return self.verdicts.get(target, NOTHING_KNOWN)

    def with_forced(self, host: HostKey, forced: Forced | None) -> "LiveSet":
        """Return a copy in which a host is forced, or no longer."""
        rest = {key: value for key, value in self.forced.items() if key != host}
        return replace(self, forced=rest if forced is None else rest | {host: forced})

    def fitness(self, zone: Zone, host: Host, jury: CheckPolicy | None) -> Fitness:
        """Judge a host for a pool with these checks (None: always up)."""
        key = (zone.name, host.name)
        forced = self.forced.get(key)
        if forced is not None and forced is not Forced.UP:
            return Fitness(())
        further = self.factors.get(key, {})
        if jury is None or forced is Forced.UP:
            return Fitness(host.addresses, further)
        new = key in self.newcomers
        judged = {address: self._grade(zone, host, address, jury, new) for address in host.addresses}
        live = {address: grade for address, grade in judged.items() if grade is not None}
        if not live:
            return Fitness(())
        best = max(live.values(), key=lambda grade: grade.factor)
        lowered = {"shedding": best.shedding, "degraded": best.degraded, "agent": best.agent}
        own = {name: factor for name, factor in lowered.items() if factor < 1}
        waits = [grade.seconds_to_fall for grade in live.values() if grade.seconds_to_fall is not None]
        return Fitness(tuple(live), {**further, **own}, min(waits, default=None))

    def _grade(
        self, zone: Zone, host: Host, address: Address, jury: CheckPolicy, newcomer: bool
    ) -> "_Grade | None":
        """Judge an address; None when it may not be dealt."""
        good = [
            (verdict, check)
            for check in jury.checks
            if (verdict := self.verdict(target_of(zone, host, address, check))).live
            and (verdict.state is HealthState.UP or not newcomer)
        ]
        if len(good) < jury.need:
            return None
        # Those that are not needed do not weigh: of the good ones the best as many.
        factors = [
            (
                verdict.factor,
                check.degraded if verdict.degraded else Fraction(1),
                Fraction(verdict.share, 100),
            )
            for verdict, check in good
        ]
        needed = sorted(factors, key=math.prod, reverse=True)[: jury.need]
        # So many of the good ones can go before the address does; the last of them takes it down.
        waits = sorted(
            check.fast_interval * (check.fall - verdict.failures)
            for verdict, check in good
            if verdict.failures
        )
        spare = len(good) - jury.need
        shedding, degraded, agent = (min(column) for column in zip(*needed, strict=True))
        return _Grade(
            shedding,
            degraded,
            agent,
            waits[spare] if len(waits) > spare else None,
        )

    def address_state(self, zone: Zone, host: Host, address: Address) -> HealthState:
        """Return what the checks of an address come to, in the pool that sees it worst; UP without any."""
        states = (
            self._state_for(zone, host, address, jury)
            for jury in zone.juries_by_host[host.name]
            if jury is not None
        )
        return min(states, key=lambda state: state.rank, default=HealthState.UP)

    def _state_for(self, zone: Zone, host: Host, address: Address, jury: CheckPolicy) -> HealthState:
        """Return the state that as many checks as are needed have or surpass."""
        states = (self.verdict(target_of(zone, host, address, check)).shown for check in jury.checks)
        return sorted(states, key=lambda state: state.rank, reverse=True)[jury.need - 1]

    def host_state(self, zone: Zone, host: Host) -> HealthState:
        """Return the best state of a host over its addresses."""
        states = (self.address_state(zone, host, address) for address in host.addresses)
        return max(states, key=lambda state: state.rank)


def factors_of(live: LiveSet, zone: Zone, host: Host) -> dict[str, Fraction]:
    """Return every factor in force on a host, the lowest over the checks that judge it; 0 when it is out."""
    found: dict[str, Fraction] = {}
    for jury in zone.juries_by_host[host.name]:
        for name, value in live.fitness(zone, host, jury).factors.items():
            found[name] = min(value, found.get(name, value))
    return found


def effective_weight(live: LiveSet, zone: Zone, host: Host) -> Fraction:
    """Return a host's weight with every factor; 0 while it is not dealt as a live one."""
    weight = live.weight(zone, host.name, host.weight)
    weights = [
        weight * fitness.factor if fitness.live else Fraction(0)
        for jury in zone.juries_by_host[host.name]
        for fitness in (live.fitness(zone, host, jury),)
    ]
    return min(weights, default=Fraction(weight))
