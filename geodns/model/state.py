"""Verdicts on targets, states of hosts, and what operators force on hosts."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from geodns.model.hosts import Host

PoolKey = tuple[str, str]
"""Zone name and pool name."""


class HealthState(StrEnum):
    """The state of a target, an address or a host, from worst to best."""

    DOWN = "down"
    SHEDDING = "shedding"
    UNKNOWN = "unknown"
    UP = "up"

    @property
    def rank(self) -> int:
        """0 is worst."""
        return _RANKS[self]


_RANKS = {state: rank for rank, state in enumerate(HealthState)}


NOT_LIVE = frozenset({HealthState.DOWN, HealthState.SHEDDING})
"""States in which a host, or an address, is not live."""


class Forced(StrEnum):
    """A state that an operator or a program forces on a host."""

    DRAINED = "drained"
    QUARANTINED = "quarantined"
    UP = "up"
    DOWN = "down"


TAKEN_OUT = frozenset({Forced.DRAINED, Forced.QUARANTINED, Forced.DOWN})
"""Forced states in which no answer names a host while others are live."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The health of a target, and how near it is to changing.

    Attributes:
        state: UP, DOWN or UNKNOWN (no result yet); never SHEDDING, which is a factor of 0.
        failures: gathered while UP.
        successes: in a row.
        sheds: 4xx replies that shed, in a row.
        level: how often shedding has halved the weight.
        shed_out: whether sheds in a row made the factor 0.
        degraded: whether it answers slowly.
        share: percent of its weight, as the host's agent asks.

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
        """The part of the weight that shedding leaves, 0 to 1."""
        return Fraction(0) if self.shed_out else Fraction(1, 2**self.level)

    @property
    def shown(self) -> HealthState:
        """The state for the status: SHEDDING where nothing of the weight is left."""
        return HealthState.SHEDDING if self.shed_out and self.state is not HealthState.DOWN else self.state

    @property
    def live(self) -> bool:
        """Whether mail may be sent there; nothing known counts as fit."""
        return self.state is not HealthState.DOWN and not self.shed_out

    @property
    def pending(self) -> bool:
        """Whether the state is about to change, so that probes come at `fast_interval`."""
        return (self.state is HealthState.UP and self.failures > 0) or (
            self.state is HealthState.DOWN and self.successes > 0
        )


NOTHING_KNOWN = Verdict()
HostKey = tuple[str, str]
"""Zone name and host name."""


REPUTATION = "reputation"
"""Author of the quarantines that follow from a host's reputation."""


@dataclass(frozen=True, slots=True)
class ForcedState:
    """A state forced on a host, by whom and for how long; times are seconds since the epoch.

    Attributes:
        reason: in the author's words; may be empty.
        until: None: until somebody ends it.
        badness: how bad a host is that a program has quarantined: `max_out` bounds these, and the worst go
            first; None: an operator said so.

    """

    forced: Forced
    reason: str
    author: str
    since: float
    until: float | None = None
    badness: float | None = None

    @property
    def by_reputation(self) -> bool:
        """Whether it follows from what is said of the addresses that the host's mail leaves from."""
        return self.author == REPUTATION and self.badness is not None


@dataclass(frozen=True, slots=True)
class ForcedWeight:
    """A weight that is forced on a host, by whom and for how long; times are seconds since the epoch.

    Attributes:
        weight: instead of the file's, in every pool; 0: never dealt.
        reason: in the author's words; may be empty.
        until: None: until somebody ends it.
        file: the weights that the file gave the host then, as `control.orders.file_weights` writes them.
        edited: since when the file gives others; None while it does not.

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
    """A zone as it was served last.

    Attributes:
        digest: `Zone.digest`.
        serial: the SOA's.
        text: the zone as JSON of the model.
        at: when it was loaded, in seconds since the epoch.

    """

    digest: str
    serial: int
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class HostSince:
    """A host's state, and since when in seconds since the epoch."""

    state: HealthState
    since: float


@dataclass(frozen=True, slots=True)
class RetiredHost:
    """A host taken out of its file that answers for its own name until a time in seconds since the epoch."""

    host: Host
    until: float
