"""The types of what the HTTP side answers; `api/operations.py` says which belongs where.

An answer may get more keys in a later version. Request bodies stand in `api/bodies.py`.
"""

from datetime import datetime
from typing import Annotated, Any, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from geodns.config.report import quoted
from geodns.model.limits import MAX_REASON, MAX_WEIGHT
from geodns.storage.event_log import KINDS
from geodns.storage.history_file import MINUTE, SHOWN

LATEST = 4_000_000_000.0
"""A moment in the year 2096: later ones are typing errors."""


def seconds_of(moment: str) -> float:
    """Return an RFC 3339 time as seconds since the epoch; raises ValueError."""
    try:
        found = datetime.fromisoformat(moment)
        seconds = found.timestamp() if found.tzinfo is not None else -1.0
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= LATEST:
        raise ValueError(f"{quoted(moment)} is no time: write it as 2026-11-25T03:00:00Z")
    return seconds


def _moment(text: str) -> str:
    seconds_of(text)
    return text


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{quoted(text)}: write one line that can be printed")
    return text


Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[str, AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})]
Weight = Annotated[int, Field(ge=0, le=MAX_WEIGHT)]
Badness = Annotated[float, Field(ge=0, le=100, description="The worst hosts are taken out first.")]
PRINTABLE = AfterValidator(_line)
Reason = Annotated[str, Field(max_length=MAX_REASON, description="One line."), PRINTABLE]


class ErrorJson(TypedDict):
    """Why a request was refused, and what to write instead."""

    error: str


Kept = Annotated[bool, Field(description="It is on disk; false: a restart forgets it so far.")]


# --- what happened --------------------------------------------------------------------------------------


class EventJson(TypedDict):
    """Something that happened."""

    id: Count
    at: Moment
    kind: Annotated[str, Field(json_schema_extra={"enum": [*KINDS]})]
    zone: str | None
    host: str | None
    pool: str | None
    author: str | None
    reason: str | None
    text: str
    data: dict[str, Any]


class EventsJson(TypedDict):
    """Events, the oldest first; ask for what comes later with `after` and the id in `last`."""

    events: list[EventJson]
    last: Count


class ColumnsJson(TypedDict):
    """A host's points: one of each list for each moment in `at`, in seconds since the epoch."""

    at: list[Amount]
    answers: list[Amount]
    share: list[Share | None]
    intended: list[Share | None]
    rtt_ms: Annotated[list[Amount | None], Field(description="The mean; time-outs are not in it.")]
    up: list[Share | None]
    timeouts: list[Count]


HistoryJson = TypedDict(  # `from` is a word of Python's
    "HistoryJson",
    {
        "step_s": Annotated[int, Field(json_schema_extra={"enum": [*SHOWN]})],
        "zone": str,
        "from": Moment,
        "hosts": dict[str, ColumnsJson],
    },
)


class SparklineJson(TypedDict):
    """A host's last half hour, a minute each."""

    rtt_ms: list[Amount | None]
    rate: list[Amount | None]


class RecentJson(TypedDict):
    """The last half hour by zone and host."""

    step_s: Annotated[int, Field(json_schema_extra={"const": MINUTE})]
    zones: dict[str, dict[str, SparklineJson]]


# --- the rest -------------------------------------------------------------------------------------------


class QueryLogJson(TypedDict):
    """The queries that are logged; empty lists mean all."""

    on: bool
    written: Count
    dropped: Count
    zones: NotRequired[list[str]]
    clients: NotRequired[list[str]]
    sample: NotRequired[Share]
    until: NotRequired[Moment | None]
    pending: NotRequired[list[str]]
    kept: NotRequired[Kept]


class ZoneDigestJson(TypedDict):
    """A digest that two servers share if they serve the same zone."""

    digest: str
    hosts: Count
    pools: Count


class ZonesJson(TypedDict):
    """The zones that are served, by name."""

    zones: dict[str, ZoneDigestJson]


class ZoneJson(TypedDict):
    """A zone as it was read."""

    name: str
    digest: str
    zone: dict[str, Any]


class ReloadedJson(TypedDict):
    """By zone, why an edit is not served without a `yes`, and the digest of all these edits for that."""

    waiting: dict[str, list[str]]
    digest: Annotated[NotRequired[str], Field(description="Of the edits that wait: a `yes` may name it.")]
    kept: Kept


class DescribedJson(TypedDict):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


# --- signals of mail ------------------------------------------------------------------------------------


class RejectedSignalJson(TypedDict):
    """A signal that was not taken: its place in the batch, from 0, and why."""

    index: Count
    error: str


class SignalsTakenJson(TypedDict):
    """What became of a batch; of one that was taken before, what became of it then."""

    accepted: Count
    rejected: list[RejectedSignalJson]
    duplicate: bool
    strangers: NotRequired[Annotated[list[str], Field(description="Of `alive`: nobody's here.")]]
