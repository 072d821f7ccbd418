"""The types of what the HTTP side says of simulations."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Count, Moment, Share
from geodns.compiler.choice import LastResort

Rank = Annotated[Count, Field(description="MX preference or SRV priority; else 0.")]


class SimulatedHostJson(TypedDict):
    """A host's part of the answers to all queries of one name and type."""

    host: str
    rank: Rank
    answers: Annotated[Share, Field(description="Answers that name it.")]
    first: Annotated[Share, Field(description="Where clients take the first of an answer; SRV: by weight.")]
    uniform: Annotated[Share, Field(description="Where clients pick one of it by chance; SRV: by weight.")]


class SimulatedRuleJson(TypedDict):
    """The queries that a rule is for."""

    rank: Rank
    rule: Annotated[int, Field(ge=1, description="Its place in the list.")]
    when: Annotated[str, Field(description="Its conditions; empty: it is for whoever is left.")]
    pool: Annotated[str, Field(description="Before any experiment.")]
    share: Share


class SimulatedPoolJson(TypedDict):
    """The queries that come to a pool, and the pools that it deals from."""

    rank: Rank
    pool: str
    share: Share
    using: list[str]
    last_resort: LastResort | None


class SimulatedArmJson(TypedDict):
    """The queries in an arm of an experiment; `failover`: those dealt the first arm's pool instead."""

    arm: Annotated[str, Field(description="Of its experiment, as new-mta/trial.")]
    share: Share
    failover: Share


class SimulatedCeilingJson(TypedDict):
    """The largest share of a host that warms up, and the one that it gets."""

    host: str
    ceiling: Share
    share: Share
    within: Annotated[float, Field(description="What is left up to the ceiling; below 0: it is passed.")]


class SimulatedTtlJson(TypedDict):
    """The shortest and the longest TTL that is dealt, in seconds."""

    least: Count
    most: Count


class SampledJson(TypedDict):
    """The made-up clients: each range of addresses that rules tell apart counts alike."""

    ranges: Count
    taken: Annotated[Count, Field(description="Of these that are in the sample.")]


class SimulatedNameJson(TypedDict):
    """The fate of the queries for one name and type; shares are of these."""

    name: str
    type: str
    zone: str
    queries: Count
    sample: Annotated[SampledJson | None, Field(description="null: clients were given.")]
    ttl: SimulatedTtlJson | None
    servfail: Share
    nodata: Share
    last_resort: Annotated[Share, Field(description="Dealt hosts of which none is live.")]
    hosts: list[SimulatedHostJson]
    rules: list[SimulatedRuleJson]
    pools: list[SimulatedPoolJson]
    arms: list[SimulatedArmJson]
    ceilings: list[SimulatedCeilingJson]


class SimulationJson(TypedDict):
    """The result of a simulation."""

    at: Moment
    clients: Annotated[Count | None, Field(description="null: none were given, and samples stand for them.")]
    skipped: Annotated[Count, Field(description="Queries for names that are not simulated.")]
    names: list[SimulatedNameJson]
    more: Annotated[Count, Field(description="Names for which there was no room.")]
    remarks: list[str]
