"""The types of what name servers of the same zones tell one another, and of what a status says of them."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Amount, Count, Moment
from geodns.control.peers import Topic
from geodns.model.shared import CURSOR
from geodns.model.state import HealthState

PLACE = f"^{CURSOR}$"
Seconds = Annotated[float, Field(description="Since the epoch.")]


class PeerZoneJson(TypedDict):
    """What a server serves of a zone; each counts its own edits, so serials of one content may differ."""

    digest: str
    serial: Annotated[int, Field(ge=0, le=2**32 - 1)]


class HostListJson(TypedDict):
    """The last list of a source of `hosts_from`."""

    hosts: Count
    digest: str


class PeerJson(TypedDict):
    """What a server says of itself to the others."""

    node: str
    version: str
    clock: Seconds
    started: Annotated[float, Field(description="Of the control process: two with one name are two servers.")]
    ready: bool
    zones: dict[str, PeerZoneJson]
    orders: Annotated[str, Field(description="A digest of all orders.")]
    verdicts: Annotated[dict[str, str], Field(description="By zone, a digest of the hosts that are down.")]
    hosts_from: Annotated[dict[str, dict[str, HostListJson]], Field(description="By zone and source.")]


class PeerStatesJson(TypedDict):
    """The states of hosts by their probes, by zone and host; zones that are not served are left out."""

    states: dict[str, dict[str, HealthState]]


class VotesJson(TypedDict):
    """What a server sees of the addresses that it shares, signed as in Redis."""

    node: str
    group: str
    since: Annotated[
        str | None, Field(pattern=PLACE, description="What came before is not in it; null: it is all.")
    ]
    next: Annotated[str, Field(pattern=PLACE, description="For `since` of the next question.")]
    beat: Annotated[str, Field(description="The heartbeat.")]
    votes: Annotated[dict[str, str], Field(description="By address and check.")]
    gone: Annotated[list[str], Field(description="Addresses that it does not have any more.")]


# --- in the status --------------------------------------------------------------------------------------


class PeerDifferenceJson(TypedDict):
    """Something in which this server and another have differed for longer than they may."""

    topic: Topic
    zone: Annotated[str | None, Field(description="null: all of them, or several.")]
    what: str
    since: Moment


class PeerStatusJson(TypedDict):
    """Another name server of these zones, as it was when it answered last."""

    url: str
    seen: Annotated[Moment | None, Field(description="When it answered last; null: never.")]
    version: str | None
    clock_offset_s: Annotated[float | None, Field(description="By how much its clock is ahead.")]
    lag_ms: Annotated[Amount | None, Field(description="How long its last answer took.")]
    error: Annotated[str | None, Field(description="Why it does not answer; null: it does.")]
    zones: dict[str, PeerZoneJson]
    differs: list[PeerDifferenceJson]


class LoneJson(TypedDict):
    """An address of which one server alone says otherwise than the others."""

    server: str
    says: Annotated[str, Field(description="`up` or `down`.")]
    hosts: Annotated[list[str], Field(description="With their zones.")]
    check: str
    address: Annotated[str, Field(description="With the port.")]
    why: Annotated[str, Field(description="What its probe found; empty where it does not say.")]


class CountsOfServerJson(TypedDict):
    """What a server has counted of mail."""

    told: Annotated[Moment | None, Field(description="When it told sums last; null: not since this start.")]
    today: Annotated[Count, Field(description="First attempts of today, in UTC.")]


class SharedJson(TypedDict):
    """How things stand among the servers that share verdicts and orders."""

    connected: bool
    since: Annotated[Moment, Field(description="Of the last change of `connected`.")]
    why: Annotated[str, Field(description="What is the matter; empty: nothing.")]
    group: str
    agree: Annotated[str, Field(description="`quorum` or `own`, as the settings say.")]
    store: Annotated[str, Field(description="What answers, as Redis 7.0.15; empty before it does.")]
    heard: Annotated[list[str], Field(description="The servers that are heard, this one among them.")]
    known: Annotated[Count, Field(description="How many there should be.")]
    mode: Annotated[
        str,
        Field(
            description="Whose verdicts are served: `quorum`, the majority's; `frozen`, the last ones for a "
            "short while; `own`, this server's."
        ),
    ]
    alone: Annotated[list[LoneJson], Field(description="Where one server alone says otherwise; 20 at most.")]
    alone_count: Count
    tied: Annotated[Count, Field(description="Addresses on which the servers are evenly divided.")]
    skipped: Annotated[dict[str, Count], Field(description="Values that were skipped, by reason.")]
    signals: Annotated[
        dict[str, CountsOfServerJson], Field(description="Whose counts of mail are in the totals, by server.")
    ]
    programs: Annotated[str, Field(description="The server whose programs give orders and move warm-ups.")]
    pending: Annotated[
        list[str], Field(description="Servers that have not confirmed the last orders given here.")
    ]
    http: Annotated[
        dict[str, str],
        Field(
            description="The servers that are asked for their votes by HTTP, as Redis does not bring them: "
            "why each is not heard; empty: it is."
        ),
    ]
