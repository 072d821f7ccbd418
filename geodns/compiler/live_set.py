"""LiveSet: verdicts, forced states, weights and factors of all hosts at one moment.

A verdict belongs to a target (check, address, port). Only a pool's own checks decide whether it deals a host;
the status shows the worst over all pools' checks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

from geodns.model.base import Address, Family
from geodns.model.checks import CheckPolicy, Target
from geodns.model.hosts import Host
from geodns.model.state import NOTHING_KNOWN, Forced, HealthState, HostKey, Verdict
from geodns.model.zone import Pool, Zone, target_of


@dataclass(frozen=True, slots=True)
class Fitness:
    """A host as one pool sees it.

    Attributes:
        live: its addresses that may be dealt, in the host's order.
        factors: every factor in force on its weight, by name; each 0 to 1.
        seconds_to_fall: how soon the failures seen so far can take a live address down, at the earliest;
            None: they cannot.

    """

    live: tuple[Address, ...]
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    seconds_to_fall: float | None = None

    @property
    def factor(self) -> Fraction:
        return math.prod(self.factors.values(), start=Fraction(1))


class _Grade(NamedTuple):
    """A live address: the factors of its checks, and how soon these can take it down."""

    shedding: Fraction
    degraded: Fraction
    agent: Fraction
    seconds_to_fall: float | None

    @property
    def factor(self) -> Fraction:
        return self.shedding * self.degraded * self.agent


@dataclass(frozen=True, slots=True)
class LiveSet:
    """Everything that decides which hosts are dealt, at one moment.

    Attributes:
        verdicts: a target without one counts as `NOTHING_KNOWN`.
        newcomers: hosts added while running that no probe has found good yet.
        factors: further factors of hosts (load, slow start …), by name.
        weights: forced instead of the files' weights, in every pool.
        ceilings: the largest share that a host which warms up may have in a pool that sends; 1 or more: it
            is warm; without one it gets nothing.
        judged: hosts that are quarantined for their reputation: only in pools that send.

    """

    verdicts: Mapping[Target, Verdict] = field(default_factory=dict)
    forced: Mapping[HostKey, Forced] = field(default_factory=dict)
    newcomers: frozenset[HostKey] = frozenset()
    factors: Mapping[HostKey, Mapping[str, Fraction]] = field(default_factory=dict)
    weights: Mapping[HostKey, int] = field(default_factory=dict)
    ceilings: Mapping[HostKey, Fraction] = field(default_factory=dict)
    judged: frozenset[HostKey] = frozenset()

    def seen_by(self, pool: Pool) -> "LiveSet":
        """Return what a pool goes by: reputation is of the mail that leaves, and not of what comes in."""
        lowered = {host: left for host, left in self.factors.items() if "reputation" in left}
        if pool.mail != "in" or not (lowered or self.judged):
            return self
        others = {
            host: {name: factor for name, factor in left.items() if name != "reputation"}
            for host, left in lowered.items()
        }
        forced = {host: one for host, one in self.forced.items() if host not in self.judged}
        return replace(self, forced=forced, factors={**self.factors, **others}, judged=frozenset())

    def warming(self, zone: Zone, pool: Pool) -> dict[str, Fraction]:
        """Return the largest shares of the hosts that warm up; none where a pool receives."""
        if not zone.warms or pool.mail == "in":
            return {}
        ceilings = {host: self.ceilings.get((zone.name, host), Fraction(0)) for host in zone.sending_pools_of}
        return {host: ceiling for host, ceiling in ceilings.items() if ceiling < 1}

    def weight(self, zone: Zone, host: str, given: int) -> int:
        """Return the weight that is forced on a host, else the given one."""
        return self.weights.get((zone.name, host), given)

    def verdict(self, target: Target) -> Verdict:
        return self.verdicts.get(target, NOTHING_KNOWN)

    def fitness(
        self, zone: Zone, host: Host, policy: CheckPolicy | None, family: Family | None = None
    ) -> Fitness:
        """Judge a host for a pool with these checks; None: it has none, its hosts are always up.

        With a family only the addresses of that count.
        """
        addresses = host.addresses if family is None else host.by_family.get(family, ())
        key = (zone.name, host.name)
        forced = self.forced.get(key)
        if forced is not None and forced is not Forced.UP:
            return Fitness(())
        further = self.factors.get(key, {})
        if policy is None or forced is Forced.UP:
            return Fitness(addresses, further)
        new = key in self.newcomers
        judged = {address: self._grade(zone, host, address, policy, new) for address in addresses}
        live = {address: grade for address, grade in judged.items() if grade is not None}
        if not live:
            return Fitness(())
        best = max(live.values(), key=lambda grade: grade.factor)
        lowered = {"shedding": best.shedding, "degraded": best.degraded, "agent": best.agent}
        own = {name: factor for name, factor in lowered.items() if factor < 1}
        waits = [grade.seconds_to_fall for grade in live.values() if grade.seconds_to_fall is not None]
        return Fitness(tuple(live), {**further, **own}, min(waits, default=None))

    def _grade(
        self, zone: Zone, host: Host, address: Address, policy: CheckPolicy, newcomer: bool
    ) -> "_Grade | None":
        """Judge an address; None: it may not be dealt."""
        good = [
            (verdict, check)
            for check in policy.checks
            if (verdict := self.verdict(target_of(zone, host, address, check))).live
            and (verdict.state is HealthState.UP or not newcomer)
        ]
        if len(good) < policy.need:
            return None
        # Only as many checks as are needed count: the best of the good ones.
        factors = [
            (
                verdict.factor,
                check.degraded if verdict.degraded else Fraction(1),
                Fraction(verdict.share, 100),
            )
            for verdict, check in good
        ]
        needed = sorted(factors, key=math.prod, reverse=True)[: policy.need]
        # The spare ones may fail first; the one after them takes the address down.
        waits = sorted(
            check.fast_interval * (check.fall - verdict.failures)
            for verdict, check in good
            if verdict.failures
        )
        spare = len(good) - policy.need
        shedding, degraded, agent = (min(column) for column in zip(*needed, strict=True))
        return _Grade(
            shedding,
            degraded,
            agent,
            waits[spare] if len(waits) > spare else None,
        )

    def address_state(self, zone: Zone, host: Host, address: Address) -> HealthState:
        """Return an address's state in the pool that sees it worst; UP if none has checks."""
        states = (
            self._state_for(zone, host, address, policy)
            for policy in zone.check_policies_by_host[host.name]
            if policy is not None
        )
        return min(states, key=lambda state: state.rank, default=HealthState.UP)

    def _state_for(self, zone: Zone, host: Host, address: Address, policy: CheckPolicy) -> HealthState:
        """Return the best state that as many checks as are needed have or surpass."""
        states = (self.verdict(target_of(zone, host, address, check)).shown for check in policy.checks)
        return sorted(states, key=lambda state: state.rank, reverse=True)[policy.need - 1]

    def host_state(self, zone: Zone, host: Host) -> HealthState:
        """Return the state of a host's best address."""
        return max(self.family_states(zone, host).values(), key=lambda state: state.rank)

    def family_states(self, zone: Zone, host: Host) -> dict[Family, HealthState]:
        """Return the state of a host's best address of each family that it has."""
        return {
            family: max(
                (self.address_state(zone, host, address) for address in addresses),
                key=lambda state: state.rank,
            )
            for family, addresses in host.by_family.items()
        }


def factors_of(live: LiveSet, zone: Zone, host: Host) -> dict[str, Fraction]:
    """Return every factor in force on a host, each the lowest over the pools that have it."""
    found: dict[str, Fraction] = {}
    for policy in zone.check_policies_by_host[host.name]:
        for name, value in live.fitness(zone, host, policy).factors.items():
            found[name] = min(value, found.get(name, value))
    return found


def effective_weight(live: LiveSet, zone: Zone, host: Host) -> Fraction:
    """Return a host's weight with every factor; 0 while it is not live in one of its pools."""
    weight = live.weight(zone, host.name, host.weight)
    weights = [
        weight * fitness.factor if fitness.live else Fraction(0)
        for policy in zone.check_policies_by_host[host.name]
        for fitness in (live.fitness(zone, host, policy),)
    ]
    return min(weights, default=Fraction(weight))
