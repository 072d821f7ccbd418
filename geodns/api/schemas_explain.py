"""Types of an explanation: the pools behind a name, their hosts, the next answers."""

from typing import (
    Annotated,
    Literal,
    NotRequired,  # pydantic takes typing's own from Python 3.12 on
)

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Count, Moment, Share
from geodns.api.schemas_status import WeighedJson
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


class ExplainedClientJson(TypedDict):
    """The client that the answer is for."""

    network: str
    by: Annotated[Literal["ecs", "source"], Field(description="Whether RFC 7871's option names it.")]
    why: str
    scope: Annotated[
        Count,
        Field(description="Bits of its network for which the answer holds; 0: for all."),
    ]


class ExplainedRuleJson(TypedDict):
    """A rule of the list: whether the client meets it, and why."""

    rule: Annotated[int, Field(ge=1)]
    preference: NotRequired[Annotated[Count, Field(description="Of MX; of SRV the priority.")]]
    when: str
    pool: str
    applies: Annotated[bool | None, Field(description="null: no client was given, who may meet it.")]
    why: str
    hidden_by: Annotated[list[int], Field(description="Rules that take all of its clients.")]


class ViewDealJson(TypedDict):
    """The pools of a view's clients: of all, or of those in one arm of an experiment."""

    arm: Annotated[str | None, Field(description="EXPERIMENT/ARM; null: there is no experiment.")]
    share: Annotated[Share, Field(description="Of the view's client networks.")]
    failover: Annotated[bool, Field(description="Whether it has nobody live: the first arm's is dealt.")]
    pools: Annotated[
        dict[str, dict[str, Share]],
        Field(description="The first picks of each pool's hosts; no pool: there is no host of the family."),
    ]


class ViewJson(TypedDict):
    """Clients who are dealt the same."""

    rules: Annotated[list[int], Field(description="Whose pools these are, of the first list with rules.")]
    applies: Annotated[bool | None, Field(description="Whether the client is among them; null: none given.")]
    deals: list[ViewDealJson]


class ExplainedArmJson(TypedDict):
    """The client's arm of an experiment."""

    experiment: str
    by: Literal["client", "time"]
    arm: str
    why: str


class ExplainedAffinityJson(TypedDict):
    """The hosts of a client in a pool that picks by client, the first first."""

    pool: str
    bucket: Count
    hosts: list[str]


class ClientAnswerJson(TypedDict):
    """The client's part in the answer."""

    client: Annotated[ExplainedClientJson | None, Field(description="null: none was given.")]
    rules: list[ExplainedRuleJson]
    views: list[ViewJson]
    experiment: ExplainedArmJson | None
    affinity: list[ExplainedAffinityJson]
    compiled: Annotated[Moment, Field(description="For when it was compiled.")]


class ExplanationJson(TypedDict):
    """Why a name is answered as it is; `hosts` are by their addresses and names in answers."""

    name: str
    type: str
    zone: str
    serial: Count
    tiers: list[TierJson]
    no_pool: Annotated[str | None, Field(description="Why no pool is behind it; null where one is.")]
    near: Annotated[list[str], Field(description="Of a name that is not there: the nearest that are.")]
    by_client: Annotated[
        ClientAnswerJson | None, Field(description="null: everybody gets the same, whenever they ask.")
    ]
    next: Annotated[
        list[NextJson],
        Field(description="None where the name is delegated, or the client decides and none was given."),
    ]
    hosts: dict[str, str]
