"""The types of what the HTTP side tells of everything as it is now: zones, hosts and pools."""

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from geodns.api.schemas import Amount, Badness, Count, Moment, Share, Weight
from geodns.api.schemas_peers import PeerStatusJson, SharedJson
from geodns.compiler.choice import LastResort
from geodns.model.state import Forced, HealthState


class StatusJson(TypedDict):
    """Everything as it is now; hosts and pools by zone and name."""

    node: str
    identity: Annotated[str | None, Field(description="For NSID and id.server; null: nobody is told.")]
    version: str
    version_since: Annotated[
        Moment, Field(description="When this version was started first, whatever was restarted since.")
    ]
    last_upgrade: NotRequired[
        Annotated["LastUpgradeJson", Field(description="Left out where none was tried since the start.")]
    ]
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
            dict[str, PeerStatusJson],
            Field(description="The other name servers of `servers`, by node; left out where there are none."),
        ]
    ]
    shared: NotRequired[
        Annotated[
            SharedJson, Field(description="What is shared through Redis; left out without the setting.")
        ]
    ]


class LastUpgradeJson(TypedDict):
    """How the last upgrade in place ended."""

    at: Moment
    outcome: Annotated[
        str,
        Field(
            description="`upgraded`; `refused`: it changed nothing; `went_back`: the new version had taken "
            "over, and failed."
        ),
    ]
    before: Annotated[str, Field(description="The version that served before it.")]
    step: Annotated[NotRequired[str], Field(description="In which it failed.")]
    why: NotRequired[str]


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
