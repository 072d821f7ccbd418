"""What is believed of hosts and targets, and what is forced on hosts."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from geodns.model.hosts import Host

PoolKey = tuple[str, str]
"""Zone name and pool name."""


class HealthState(StrEnum):
    """What is believed of a target, an address or a host, from worst to best (the order of `rank`)."""

    DOWN = "down"
    SHEDDING = "shedding"
    UNKNOWN = "unknown"
    UP = "up"

    @property
    def rank(self) -> int:
        """0 is worst."""
        return _RANKS[self]


_RANKS = {state: rank for rank, state in enumerate(HealthState)}


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
        degraded: whether it answers slowly.
        share: the percentage of its weight that the host's agent asks for.

    """

    state: HealthState = HealthState.UNKNOWN
    failures: int = 0
    successes: int = 0
    sheds: int = 0
    level: int = 0
    shed_out: bool = False
    degraded: bool = False
    share: int = 100

    @property
    def factor(self) -> Fraction:
        """What shedding leaves of the weight, 0 to 1."""
        return Fraction(0) if self.shed_out else Fraction(1, 2**self.level)

    @property
    def shown(self) -> HealthState:
        """The state as the status shows it."""
        return HealthState.SHEDDING if self.shed_out and self.state is not HealthState.DOWN else self.state

    @property
    def live(self) -> bool:
        """Whether mail may be sent there; nothing known counts as fit."""
        return self.state is not HealthState.DOWN and not self.shed_out

    @property
    def pending(self) -> bool:
        """Whether a change is under way, so that probes come faster."""
        return (self.state is HealthState.UP and self.failures > 0) or (
            self.state is HealthState.DOWN and self.successes > 0
        )


NOTHING_KNOWN = Verdict()
HostKey = tuple[str, str]
"""Zone name and host name."""


@dataclass(frozen=True, slots=True)
class ForcedState:
    """What is imposed on a host, by whom and for how long.

    Attributes:
        forced: what.
        reason: why, in the author's words; may be empty.
        author: who did it.
        since: when.
        until: when it ends; None means when somebody ends it.
        badness: how bad a host is that a program has quarantined: `max_out` bounds these, and the worst go
            first; None: an operator said so.

    """

    forced: Forced
    reason: str
    author: str
    since: float
    until: float | None = None
    badness: float | None = None


@dataclass(frozen=True, slots=True)
class ForcedWeight:
    """A weight that is imposed on a host, by whom and for how long.

    Attributes:
        weight: what, instead of the file's in every pool; 0 is never dealt.
        reason: why, in the author's words; may be empty.
        author: who did it.
        since: when.
        until: when it ends; None means when somebody ends it.
        file: the weights that the file gave the host then, as `control.file_weights` writes them.
        edited: since when the file gives it others; None while it does not.

    """

    weight: int
    reason: str
    author: str
    since: float
    until: float | None = None
    file: str = ""
    edited: float | None = None


@dataclass(frozen=True, slots=True)
class StoredZone:
    """The last good state of a zone.

    Attributes:
        digest: `Zone.digest` of it.
        serial: what its SOA said.
        text: the zone as JSON of the model.
        at: when it was loaded.

    """

    digest: str
    serial: int
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class HostSince:
    """A host's state and since when it has had it."""

    state: HealthState
    since: float


@dataclass(frozen=True, slots=True)
class RetiredHost:
    """A host taken out of its zone's file that answers for its own name until a time."""

    host: Host
    until: float
