"""Votes, heartbeats and orders that the servers of a zone tell one another, as values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, JsonValue

from geodns.model.base import Frozen

GROUP = "[a-z0-9-]{1,32}"
CURSOR = "[0-9]{1,16}[.][0-9]{1,16}"
"""A place in a server's changes of its votes: its epoch and a number of its own."""
MAX_COUNTER = 2**53
"""The largest number that JSON keeps whole everywhere."""
MAX_HALVINGS = 10
SHED_OUT = MAX_HALVINGS + 1
"""The level of an address that shedding has taken out."""
MAX_WHY = 100
"""Characters of what a probe found, as others are told."""
TOMBSTONE_KEPT = 365 * 86400
"""Seconds that the end of an order is remembered."""


class Vote(StrEnum):
    """What a server says of an address; unknown is no vote."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


class AddressVote(Frozen):
    """A server's vote on an address.

    Attributes:
        level: halvings of the weight by shedding; `SHED_OUT`: nothing is left.
        held: the merged state that the server holds.
        seq: of the server; later votes have higher ones.
        backs: the server whose vote for a change made this one probe again; empty: its own finding.
        why: what the last probe found, for people; nothing follows of it.

    """

    vote: Vote
    level: int = Field(default=0, ge=0, le=SHED_OUT)
    held: Vote
    seq: int = Field(ge=0, le=MAX_COUNTER)
    backs: str = Field(default="", max_length=63)
    why: str = Field(default="", max_length=MAX_WHY)


class ZoneContent(Frozen):
    """What a server serves of a zone."""

    digest: str = Field(max_length=64)
    serial: int = Field(ge=0, le=2**32 - 1)


class Heartbeat(Frozen):
    """What a server says of itself each second.

    Attributes:
        epoch: of its votes; those of another epoch do not count.
        seq: of its last vote.
        at: its wall clock, in seconds since the epoch; shown, and never decides.
        heard: the nodes that it hears.
        digests: of what it has written, by kind (``votes``, ``orders``, ``sums``), and of what is in force:
            its votes as merged (``ballots``) and its orders (``held``).

    """

    node: str = Field(min_length=1, max_length=63)
    epoch: int = Field(ge=0, le=MAX_COUNTER)
    seq: int = Field(ge=0, le=MAX_COUNTER)
    version: str = Field(max_length=64)
    at: float = Field(allow_inf_nan=False)
    heard: tuple[str, ...] = ()
    zones: Mapping[str, ZoneContent] = Field(default_factory=dict)
    digests: Mapping[str, str] = Field(default_factory=dict)


class OrderVersion(Frozen):
    """Orders the versions of one override: the higher pair wins on every server."""

    counter: int = Field(ge=0, le=MAX_COUNTER)
    id: str = Field(pattern="^[0-9a-f]{32}$")

    @property
    def rank(self) -> tuple[int, str]:
        return self.counter, self.id


class SharedOrder(Frozen):
    """An override of a host, or its end.

    Attributes:
        kind: ``state`` or ``weight``; others are of later versions, and kept as they are.
        node: the server that took it.
        at: when, in seconds since the epoch.
        content: None: it is ended.
        more: fields that this version does not know.

    """

    zone: str = Field(max_length=255)
    host: str = Field(max_length=255)
    kind: str = Field(max_length=32)
    version: OrderVersion
    node: str = Field(max_length=63)
    at: float = Field(allow_inf_nan=False)
    content: Mapping[str, JsonValue] | None = None
    more: Mapping[str, Any] = Field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.zone, self.host, self.kind


class SharedSettings(Frozen):
    """How a server reaches what its group shares, with the secrets read from their files.

    Attributes:
        url: as `model.shared_url` reads it.
        secret: signs what is written; without it nothing is signed, and nothing signed is asked for.

    """

    url: str
    group: str = Field(pattern=f"^{GROUP}$")
    agree: Literal["quorum", "own"] = "quorum"
    password: bytes | None = Field(default=None, repr=False)
    secret: bytes | None = Field(default=None, repr=False)
