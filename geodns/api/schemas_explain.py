"""Types of an explanation: the pools behind a name, their hosts, the next answers."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from geodns.api.schemas import Count, Share, WeighedJson
from geodns.compiler.choice import LastResort
from geodns.model.state import Forced, HealthState


class LinkJson(TypedDict):
    """A pool of a chain of fallbacks; the last has none, and no `min_live`."""

    pool: str
    hosts: Count
    live: Count
    live_weight: Share
    min_live: str | None
    fallback: str | None
    fallback_mode: str
    when_down: str


class BurstJson(TypedDict):
    """The part of a resolver's clients that one cached answer may send to one host, and for how long."""

    seconds: Count
    uniform: dict[str, Share]


class DealtHostJson(WeighedJson):
    """A host that is dealt."""

    addresses: list[str]


class MemberJson(WeighedJson):
    """A host that could be dealt: its part of first picks and of uniform picks, and why."""

    pool: str
    state: HealthState
    forced: Forced | None
    first: Share
    uniform: Share
    why: str


class TierJson(TypedDict):
    """A pool behind a name, with its fallbacks."""

    pool: str
    preference: Count
    using: list[str]
    last_resort: LastResort | None
    chain: list[LinkJson]
    ttl: Count
    ttl_why: str
    pick: Annotated[
        Literal["rotation", "client"],
        Field(description="client: each network of clients has a bucket, and keeps its answer."),
    ]
    cycle: Annotated[
        Count, Field(description="Answers until they come again in the same order, or buckets of clients.")
    ]
    sizes: Annotated[dict[str, Share], Field(description="The part of the answers with so many hosts.")]
    burst: BurstJson | None
    hosts: dict[str, DealtHostJson]
    members: dict[str, MemberJson]


class NextJson(TypedDict):
    """An answer that a worker may give next."""

    rcode: str
    ttl: Count | None
    data: list[str]
    hosts: list[str]


class ExplanationJson(TypedDict):
    """Why a name is answered as it is; `hosts` are by their addresses and names in answers."""

    name: str
    type: str
    zone: str
    serial: Count
    tiers: list[TierJson]
    no_pool: Annotated[str | None, Field(description="Why no pool is behind it; null where one is.")]
    near: Annotated[list[str], Field(description="Of a name that is not there: the nearest that are.")]
    next: Annotated[list[NextJson], Field(description="None where the name is delegated.")]
    hosts: dict[str, str]
