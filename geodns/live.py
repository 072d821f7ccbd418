"""LiveSet: an immutable snapshot of what is known about every host: verdicts, forced states, factors.

A *verdict* belongs to a target (check, address, port) and is made by the state machine in ``health.state``.
A host in a pool is judged by the pool's check alone; the status page shows the sum over all its checks.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from geodns.model import Address, Check, Host, Target, Zone, target_of


class State(StrEnum):
    """What is believed of a target, an address or a host, from worst to best (the order of `rank`)."""

    DOWN = "down"
    SHEDDING = "shedding"
    UNKNOWN = "unknown"
    UP = "up"

    @property
    def rank(self) -> int:
        """0 is worst."""
        return _RANKS[self]


_RANKS = {state: rank for rank, state in enumerate(State)}


class Forced(StrEnum):
    """What an operator (or reputation) has imposed on a host."""

    DRAINED = "drained"
    QUARANTINED = "quarantined"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is believed of a target, and how near it is to changing.

    Attributes:
        state: UP, DOWN or UNKNOWN (no result yet); never SHEDDING, which is a factor of 0.
        failures: gathered while UP.
        successes: in a row.
        sheds: 4xx greetings in a row.
        level: how often the weight is halved; the factor is 2 to the power of -level.
        shed_out: whether so many sheds came in a row that the factor is 0.

    """

    state: State = State.UNKNOWN
    failures: int = 0
    successes: int = 0
    sheds: int = 0
    level: int = 0
    shed_out: bool = False

    @property
    def factor(self) -> Fraction:
        """What shedding leaves of the weight, 0 to 1."""
        return Fraction(0) if self.shed_out else Fraction(1, 2**self.level)

    @property
    def shown(self) -> State:
        """The state as the status shows it."""
        return State.SHEDDING if self.shed_out and self.state is not State.DOWN else self.state

    @property
    def live(self) -> bool:
        """Whether mail may be sent there; nothing known counts as fit."""
        return self.state is not State.DOWN and not self.shed_out

    @property
    def pending(self) -> bool:
        """Whether a change is under way, so that probes come faster."""
        return (self.state is State.UP and self.failures > 0) or (
            self.state is State.DOWN and self.successes > 0
        )


NOTHING_KNOWN = Verdict()
HostKey = tuple[str, str]
"""Zone name and host name."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """A host as one pool sees it.

    Attributes:
        live: its addresses that may be dealt, in the host's order; empty when none may.
        factors: every factor in force on its weight, by name; each 0 to 1.
        seconds_to_fall: the least time in which an address of `live` with failures could go down; None
            when none has failures.

    """

    live: tuple[Address, ...]
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    seconds_to_fall: float | None = None

    @property
    def factor(self) -> Fraction:
        """The product of the factors."""
        return math.prod(self.factors.values(), start=Fraction(1))


@dataclass(frozen=True, slots=True)
class LiveSet:
    """Everything that decides which hosts are dealt, at one moment.

    Attributes:
        verdicts: of targets; one that is missing counts as `NOTHING_KNOWN`.
        forced: what is imposed on hosts.
        newcomers: hosts added while running that no probe has found good yet.
        factors: further factors of hosts (warm-up, reputation, load …), by name.

    """

    verdicts: Mapping[Target, Verdict] = field(default_factory=dict)
    forced: Mapping[HostKey, Forced] = field(default_factory=dict)
    newcomers: frozenset[HostKey] = frozenset()
    factors: Mapping[HostKey, Mapping[str, Fraction]] = field(default_factory=dict)

    def verdict(self, target: Target) -> Verdict:
        """Return what is believed of a target."""
        return self.verdicts.get(target, NOTHING_KNOWN)

    def with_forced(self, host: HostKey, forced: Forced | None) -> "LiveSet":
        """Return a copy in which a host is forced, or no longer."""
        rest = {key: value for key, value in self.forced.items() if key != host}
        return replace(self, forced=rest if forced is None else rest | {host: forced})

    def fitness(self, zone: Zone, host: Host, check: Check | None) -> Fitness:
        """Judge a host for a pool with this check (None: always up)."""
        key = (zone.name, host.name)
        forced = self.forced.get(key)
        if forced is Forced.UP:
            return Fitness(host.addresses, self.factors.get(key, {}))
        if forced is not None:
            return Fitness(())
        if check is None:
            return Fitness(host.addresses, self.factors.get(key, {}))
        judged = {address: self.verdict(target_of(zone, host, address, check)) for address in host.addresses}
        if key in self.newcomers:
            judged = {address: verdict for address, verdict in judged.items() if verdict.state is State.UP}
        live = tuple(address for address, verdict in judged.items() if verdict.live)
        if not live:
            return Fitness(())
        best = max(judged[address].factor for address in live)
        shedding = {"shedding": best} if best < 1 else {}
        return Fitness(
            live, {**self.factors.get(key, {}), **shedding}, self._seconds_to_fall(judged, live, check)
        )

    @staticmethod
    def _seconds_to_fall(
        judged: Mapping[Address, Verdict], live: Iterable[Address], check: Check
    ) -> float | None:
        waits = [
            check.fast_interval * (check.fall - judged[address].failures)
            for address in live
            if judged[address].failures
        ]
        return min(waits, default=None)

    def address_state(self, zone: Zone, host: Host, address: Address) -> State:
        """Return the worst state of an address over its checks; UP when nothing checks it."""
        targets = zone.targets_by_host[host.name][address]
        states = (self.verdict(target).shown for target in targets)
        return min(states, key=lambda state: state.rank, default=State.UP)

    def host_state(self, zone: Zone, host: Host) -> State:
        """Return the best state of a host over its addresses."""
        states = (self.address_state(zone, host, address) for address in host.addresses)
        return max(states, key=lambda state: state.rank)
