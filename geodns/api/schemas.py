"""The types of what the HTTP side answers; `api/openapi.py` describes the API from them.

An answer may get more keys in a later version. Request bodies stand in `api/bodies.py`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from geodns.compiler.choice import LastResort
from geodns.config.report import quoted
from geodns.control.peers import Topic
from geodns.model.limits import MAX_REASON, MAX_WEIGHT
from geodns.model.state import Forced, HealthState
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


OrderId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", examples=["4f1d5a0c9e8b7766554433221100ffee"])]
Revisions = Annotated[
    dict[str, str], Field(description="By zone: a digest of the versions of its orders, after this.")
]
Changes = dict[str, dict[str, "PoolChangeJson"]]
"""By zone and pool."""


class ErrorJson(TypedDict):
    """Why a request was refused, and what to write instead."""

    error: str


class UnconfirmedJson(ErrorJson):
    """Why an order needs a `yes`, and what the pools would deal."""

    confirm: Literal[True]
    why: Annotated[str, Field(description="What would be lost: the part of `error` that is to be confirmed.")]
    pools: Changes
    revision: Annotated[
        dict[str, str], Field(description="Of the orders by which it would be so: a `yes` may name it.")
    ]


# --- status ---------------------------------------------------------------------------------------------


class StatusJson(TypedDict):
    """Everything as it is now; hosts and pools by zone and name."""

    node: str
    identity: Annotated[str | None, Field(description="For NSID and id.server; null: nobody is told.")]
    version: str
    backend: str
    uptime_s: Amount
    ready: bool
    processes: Annotated[
        dict[str, int | None], Field(description="PIDs: supervisor, control, udp0 …, tcp; null: not running.")
    ]
    listen: list[str]
    routes_listen: Annotated[NotRequired[list[str]], Field(description="Where MTAs ask for routes.")]
    warnings: list[str]
    zones: dict[str, "ZoneStateJson"]
    hosts: dict[str, dict[str, "HostJson"]]
    pools: dict[str, dict[str, "PoolJson"]]
    views: Annotated[
        dict[str, dict[str, list["RuleJson"]]],
        Field(description="By zone and name: the rules that choose its pool by client and time, in order."),
    ]
    peers: NotRequired[
        Annotated[
            dict[str, "PeerStatusJson"],
            Field(description="The other name servers of `servers`, by node; left out where there are none."),
        ]
    ]
    shared: NotRequired[
        Annotated[
            "SharedJson", Field(description="What is shared through Redis; left out without the setting.")
        ]
    ]


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


class PeerZoneJson(TypedDict):
    """What a server serves of a zone; each counts its own edits, so serials of one content may differ."""

    digest: str
    serial: Annotated[int, Field(ge=0, le=2**32 - 1)]


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


class RuleJson(TypedDict):
    """A rule of a name that has rules; the first that a client meets says its pool."""

    rule: Annotated[int, Field(ge=1, description="Its number in the list.")]
    types: Annotated[list[str], Field(description="The record types that have this list.")]
    preference: NotRequired[Annotated[Count, Field(description="Of MX; of SRV the priority.")]]
    when: Annotated[str, Field(description="Its conditions; empty: the last, for all others.")]
    pool: str
    since: Annotated[Moment | None, Field(description="null: its hours are not, or that is not known yet.")]


class SourceJson(TypedDict):
    """A source of hosts that come and go."""

    source: str
    hosts: Count
    at: Moment | None
    error: str | None
    since: Annotated[Moment | None, Field(description="Since when it fails.")]


class ZoneStateJson(TypedDict):
    """A zone's file; `error` says why its last edit is not served, `waiting` what an edit waits for."""

    serial: Annotated[Count | None, Field(description="null: the zone is not served.")]
    digest: Annotated[
        str | None, Field(description="Servers of one version share it if they serve the same.")
    ]
    file: str
    error: str | None
    waiting: NotRequired[list[str]]
    sources: NotRequired[list[SourceJson]]
    routes: Annotated[NotRequired["RouteUseJson"], Field(description="Where the zone has any.")]
    views_at: NotRequired[
        Annotated[Moment, Field(description="For when what clients are dealt was compiled last.")]
    ]
    views_until: NotRequired[
        Annotated[Moment | None, Field(description="When hours or slots change that next; null: never.")]
    ]


class RouteUseJson(TypedDict):
    """The rules of a zone, and what MTAs were answered in the last hour; /api/v1/routes has more."""

    rules: Count
    looked_up: Count


class WeighedJson(TypedDict):
    """A weight, and what is left of it after every factor in force."""

    weight: Count
    factors: dict[str, Share]
    effective_weight: Amount


class ForcedWeightJson(TypedDict):
    """A host's weight by an override; `hides` names a later edit of the file that it hides."""

    weight: Weight
    file_weight: Count
    reason: str
    author: str
    since: Moment
    until: Moment | None
    hides: str | None


class CheckJson(TypedDict):
    """A check of one address, and its last result."""

    check: str
    address: str
    port: Annotated[int, Field(ge=1, le=65535)]
    state: HealthState
    failures: Count
    degraded: Annotated[bool, Field(description="It answers slowly.")]
    outcome: str | None
    detail: Annotated[str | None, Field(description="The banner, or what went wrong.")]
    rtt_ms: Amount | None
    ehlo_ms: Amount | None
    at: Moment | None
    certificate: NotRequired[dict[str, Any] | None]
    probed: Annotated[NotRequired[str], Field(description="Where it is probed, if not at `address`.")]


class HostLoadJson(TypedDict):
    """A host's load; at `full` it has as much as it can bear."""

    value: Amount | None
    full: Amount
    at: Moment | None
    stale: bool
    error: str | None


class HostFamiliesJson(TypedDict, total=False):
    """A host's state in each address family that it has: that of its best address there."""

    A: HealthState
    AAAA: HealthState


class HostJson(WeighedJson):
    """A host; the optional keys tell of its overrides, its source and its load."""

    state: HealthState
    unchecked: Annotated[bool, Field(description="No check judges it: it counts as up.")]
    families: HostFamiliesJson
    forced: Forced | None
    forced_weight: ForcedWeightJson | None
    addresses: list[str]
    since: Moment | None
    checks: list[CheckJson]
    reason: NotRequired[str]
    author: NotRequired[str]
    forced_since: NotRequired[Moment]
    until: NotRequired[Moment | None]
    badness: NotRequired[Badness]
    held_back: Annotated[NotRequired[str | None], Field(description="Why its quarantine waits.")]
    source: NotRequired[str]
    load: NotRequired[HostLoadJson]


class FamilyJson(TypedDict):
    """A pool's part in A or AAAA answers; `using` is empty where nobody has an address of the family."""

    using: list[str]
    last_resort: LastResort | None
    live: list[str]
    share: dict[str, Share]


class FamiliesJson(TypedDict):
    """By the type of the answers."""

    A: FamilyJson
    AAAA: FamilyJson


class PoolJson(TypedDict):
    """A pool; `using` names the pools that it deals from, `need` how many of its checks must pass.

    `using` and `live` are those of both families, `last_resort` is the worse one's, `ttl` the shorter one's.
    """

    checks: list[str]
    need: Count
    using: list[str]
    last_resort: LastResort | None
    live: list[str]
    answers: Annotated[int, Field(ge=1, le=32)]
    ttl: Count
    max_ttl: Count
    prober_suspect: bool
    held_until: Moment | None
    families: FamiliesJson
    overflow: NotRequired[
        Annotated[str, Field(description="The pool that takes what hosts that warm up may not.")]
    ]


# --- orders ---------------------------------------------------------------------------------------------


class FamilySharesJson(TypedDict):
    """Each host's part of the answers, by their type."""

    A: dict[str, Share]
    AAAA: dict[str, Share]


class DealtJson(TypedDict):
    """The hosts that a pool deals, with their shares; `last_resort` is the worse of both families'."""

    shares: FamilySharesJson
    using: list[str]
    last_resort: LastResort | None
    last_resorts: "FamilyResortsJson"
    live: list[str]


class FamilyResortsJson(TypedDict):
    """What a pool deals where nobody in its chain is live, by the type of the answers."""

    A: LastResort | None
    AAAA: LastResort | None


class PoolChangeJson(TypedDict):
    """A pool before an order, and after it."""

    before: DealtJson
    after: DealtJson


Kept = Annotated[bool, Field(description="It is on disk; false: a restart forgets it so far.")]


class OutcomeJson(TypedDict):
    """The result of an order; see OrderedJson."""

    pools: Changes
    pending: list[str]
    notes: list[str]
    left: list[str]
    kept: Kept
    dry_run: bool
    confirm: str | None
    id: OrderId | None
    revision: Revisions
    shared: bool
    peers: list[str]
    unasked: list[str]


class OrderedJson(OutcomeJson):
    """The result of an order; hosts by zone and name.

    `pending` names the workers that have not taken it yet, `left` the hosts that are not as was ordered,
    `confirm` what would need a `yes`, `cached_s` for how many seconds caches may hold a host's addresses.
    With `shared` the other servers take it from this one: `peers` names those that have not confirmed it
    yet, `unasked` those that could not be asked whether they know of a later order.
    """

    hosts: dict[str, dict[str, HostJson]]
    dealt_by: dict[str, dict[str, list[str]]]
    cached_s: dict[str, dict[str, Count]]


class ImportedJson(OrderedJson):
    """The result of an import; entries that are over, or about hosts not served here, change nothing."""

    imposed: list[str]
    expired: list[str]
    unknown: list[str]


class HostOutcomeJson(TypedDict, total=False):
    """The result of an order for one host; see OrderedJson."""

    pools: Changes
    pending: list[str]
    notes: list[str]
    left: list[str]
    kept: Kept
    dry_run: bool
    confirm: str | None
    id: OrderId | None
    revision: Revisions
    shared: bool
    peers: list[str]
    unasked: list[str]


class OrderedHostJson(HostJson, HostOutcomeJson):
    """A host, and what has become of the order for it; see Ordered."""


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
