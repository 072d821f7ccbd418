"""The types of what the HTTP side answers of experiments."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Amount, Count, Moment, Share

Difference = Annotated[float, Field(ge=-1, le=1)]


class ArmRateJson(TypedDict):
    """A part of the first attempts, and its interval of 95 %; null: too little is known for one."""

    value: Share
    low: Share | None
    high: Share | None
    n: Count


class ArmJson(TypedDict):
    """An arm of an experiment, in this epoch.

    `share`, `realised`: its part of the clients or the time as the file gives it, and of the queries;
    `failovers`: answers of the first arm's hosts, as nobody of this arm was live; `undated`: events of mail
    that came in nobody knows when, so that they count by when they happened.
    """

    share: Share
    realised: Share
    pool: str
    queries: Count
    answers: Count
    failovers: Count
    networks: Count
    effective_networks: Amount
    undated: Count
    rates: dict[str, ArmRateJson]


class ArmDifferenceJson(TypedDict):
    """By how much an arm's rate is above that of the first arm (`against`); null: too little is known."""

    metric: str
    arm: str
    against: str
    difference: Difference | None
    low: float | None
    high: float | None


class VerdictJson(ArmDifferenceJson):
    """The verdict by the primary metric, and why."""

    enough: bool
    why: str


class ExperimentJson(TypedDict):
    """An experiment since nothing of it was changed.

    `effective_networks`: how many of equal size would ask as these do; `left_out_s`: seconds in which an arm
    was on a fallback, or by time the control process away; `others`: further metrics and arms, corrected for
    their number (Holm).
    """

    name: str
    by: Literal["client", "time"]
    since: Moment
    epoch: Count
    horizon: Moment
    networks: Count
    effective_networks: Amount
    left_out_s: Count
    arms: dict[str, ArmJson]
    verdict: VerdictJson
    others: list[ArmDifferenceJson]


class ExperimentsJson(TypedDict):
    """The experiments by zone and name."""

    experiments: dict[str, dict[str, ExperimentJson]]
