"""Lists all that may be asked by HTTP: with what, by whom, and what is answered."""

from dataclasses import dataclass, field
from typing import Any

from geodns.api.access import scope_of
from geodns.api.bodies import (
    HostOrderBody,
    IgnoreBody,
    LoadBody,
    ModeBody,
    OrderBody,
    QueryLogWish,
    ReloadBody,
    StateJson,
    WarmupOrderBody,
)
from geodns.api.connections import SIGNALS, SIMULATE
from geodns.api.history import STEPS
from geodns.api.schemas import (
    DescribedJson,
    ErrorJson,
    EventsJson,
    HistoryJson,
    QueryLogJson,
    RecentJson,
    ReloadedJson,
    SignalsTakenJson,
    ZoneJson,
    ZonesJson,
)
from geodns.api.schemas_experiments import ExperimentsJson
from geodns.api.schemas_explain import ExplanationJson
from geodns.api.schemas_orders import ImportedJson, OrderedHostJson, OrderedJson, UnconfirmedJson
from geodns.api.schemas_peers import PLACE, PeerJson, PeerStatesJson, VotesJson
from geodns.api.schemas_reputation import ReputationJson
from geodns.api.schemas_routes import RoutesJson
from geodns.api.schemas_simulate import SimulationJson
from geodns.api.schemas_status import HostJson, StatusJson
from geodns.api.schemas_warmup import WarmupJson, WarmupsJson
from geodns.api.signals import SignalsBody
from geodns.api.simulate import SimulateBody
from geodns.config.tokens import Scope
from geodns.control.orders import Verb
from geodns.control.peer_service import PATH as PEER
from geodns.control.peer_service import STATES_PATH as PEER_STATES
from geodns.control.peer_service import VOTES_PATH as VOTES
from geodns.responder.route_explained import RouteJson
from geodns.storage.event_log import KINDS

PATH = "/api/v1/openapi.json"
STREAM = "/api/v1/events/stream"

JSON, _PLAIN = "application/json", "text/plain"
_HOST = "/api/v1/hosts/{zone}/{host}"

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
_ORDER_ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_TRUTH: Schema = {"type": "boolean"}


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method: in small letters, as OpenAPI has it.
        path: with its places in braces.
        gives: the type of the answer; None: text.
        kind: the media type of the answer.
        takes: the type of the body; None: there is none.
        optional: whether the body may be left out.
        needs: what must stand in the query.
        also: statuses with an answer of its own kind beside 200.
        errors: statuses with an error, beside those that any request may get.
        unconfirmed: the type of an answer 409.
        open: whether everybody may ask, as often as they like.

    """

    method: str
    path: str
    summary: str
    gives: Any = None
    kind: str = JSON
    takes: Any = None
    optional: bool = False
    query: dict[str, Schema] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    also: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()
    unconfirmed: Any = UnconfirmedJson
    open: bool = False

    @property
    def scope(self) -> Scope:
        """The tokens that let it in."""
        return scope_of(self.method.upper(), self.path)


_SINCE: Schema = {"type": "string", "minLength": 2, "examples": ["1h", "2026-11-25T03:00:00Z"]}
_ID: Schema = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_KIND: Schema = {"type": "string", "examples": ["state,forced"], "description": f"Of {', '.join(KINDS)}."}
_FILTER: dict[str, Schema] = {"since": _SINCE, "after": _ID, "kind": _KIND, "zone": TEXT, "host": TEXT}
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 500}

OPERATIONS = (
    Operation("get", "/status", "Zones, hosts, pools and warnings, as they are now", StatusJson),
    Operation("get", "/metrics", "Metrics in Prometheus' text format", kind=_PLAIN),
    Operation("get", "/healthz", "Says that the process lives", kind=_PLAIN, open=True),
    Operation("get", "/readyz", "Says whether it can answer", kind=_PLAIN, also=(503,), open=True),
    Operation("get", PATH, "This description", DescribedJson),
    Operation(
        "get",
        "/api/v1/explain",
        "Why a name is answered as it is",
        ExplanationJson,
        query={
            "name": NAME | {"examples": ["out.example.com"]},
            "type": TEXT | {"default": "A"},
            "client": {"type": "string", "examples": ["192.0.2.7"]},
            "ecs": {"type": "string", "examples": ["192.0.2.0/24"]},
        },
        needs=frozenset({"name"}),
        errors=(404, 503),
    ),
    Operation(
        "post",
        SIMULATE,
        "What clients would be dealt, with hosts down or other weights too; changes nothing",
        SimulationJson,
        takes=SimulateBody,
        errors=(404, 503),
    ),
    Operation("get", "/api/v1/zones", "The zones that are served", ZonesJson),
    Operation("get", "/api/v1/zones/{zone}", "A zone as it was read", ZoneJson, errors=(404, 503)),
    Operation(
        "post",
        "/api/v1/reload",
        "Read the zone files anew",
        ReloadedJson,
        takes=ReloadBody,
        optional=True,
        errors=(409,),
        unconfirmed=ErrorJson,
    ),
    Operation("get", _HOST, "One host", HostJson, errors=(404, 503)),
    *(
        Operation(
            "post",
            f"{_HOST}/{verb}",
            f"Order for one host: {verb}",
            OrderedHostJson,
            takes=HostOrderBody,
            optional=True,
            also=(202,),
            errors=(404, 409, 503),
        )
        for verb in Verb
    ),
    Operation(
        "post", f"{_HOST}/load", "Push how busy a host is", HostJson, takes=LoadBody, errors=(404, 503)
    ),
    Operation("get", "/api/v1/warmup", "Where hosts stand in their warm-ups", WarmupsJson),
    Operation(
        "post",
        f"{_HOST}/warmup",
        "Order for the warm-up of one host",
        WarmupJson,
        takes=WarmupOrderBody,
        also=(202,),
        errors=(404, 503),
    ),
    Operation(
        "post",
        "/api/v1/orders",
        "One order for any number of hosts",
        OrderedJson,
        takes=OrderBody,
        also=(202,),
        errors=(404, 409, 503),
    ),
    Operation("get", "/api/v1/reputation", "What is known of the reputation of hosts", ReputationJson),
    Operation(
        "post",
        "/api/v1/reputation/ignore",
        "Overrule a rule or block list for a host",
        ReputationJson,
        takes=IgnoreBody,
        errors=(404, 503),
    ),
    Operation(
        "post",
        "/api/v1/reputation/mode",
        "Observe or act for a while, whatever the zone file says",
        ReputationJson,
        takes=ModeBody,
        errors=(404, 503),
    ),
    Operation("get", "/api/v1/experiments", "The arms of experiments, and what differs", ExperimentsJson),
    Operation(
        "get",
        "/api/v1/route",
        "Where a message leaves by the routes of a zone, and why; takes no turn in any rotation",
        RouteJson,
        query={
            "zone": TEXT | {"description": "May be left out where one zone alone has routes."},
            "recipient": NAME | {"examples": ["bob@example.org"]},
            "sender": TEXT | {"description": "Empty, or <>: that of bounces."},
            "class": TEXT,
            "client": {"type": "string", "examples": ["192.0.2.7"]},
            "sasl": TEXT,
            "size": {"type": "integer", "minimum": 0, "maximum": 10**15, "description": "Bytes."},
        },
        errors=(404, 503),
    ),
    Operation(
        "get",
        "/api/v1/routes",
        "The rules by which messages leave, and what each answered",
        RoutesJson,
        query={
            "zone": TEXT,
            "since": _SINCE,
            "most": {
                "type": "integer",
                "minimum": 0,
                "maximum": 999_999,
                "description": "Only so many rules of a zone, those that answered most.",
            },
        },
        errors=(404, 503),
    ),
    Operation("get", "/api/v1/state", "Everything that is forced", StateJson),
    Operation(
        "post",
        "/api/v1/state",
        "Force what another server, or this one earlier, has exported",
        ImportedJson,
        takes=StateJson,
        query={"dry_run": _TRUTH, "yes": _TRUTH, "id": _ORDER_ID},
        also=(202,),
        errors=(409,),
    ),
    Operation("get", "/api/v1/events", "What has happened", EventsJson, query=_FILTER | {"limit": _LIMIT}),
    Operation(
        "get",
        STREAM,
        "What happens, as server-sent events: `data` is an Event, Last-Event-ID goes on after one",
        kind="text/event-stream",
        query=_FILTER,
        errors=(503,),
    ),
    Operation(
        "get",
        "/api/v1/history",
        "How the hosts of a zone fared over time",
        HistoryJson,
        query={
            "zone": TEXT,
            "host": {"type": "array", "items": TEXT},
            "since": _SINCE,
            "step": {"type": "string", "enum": list(STEPS)},
        },
        errors=(404, 503),
    ),
    Operation("get", "/api/v1/history/recent", "The last half hour of all hosts", RecentJson),
    Operation(
        "post",
        SIGNALS,
        "Tell what became of mail; a batch counts once, however often it is sent",
        SignalsTakenJson,
        takes=SignalsBody,
        errors=(503,),
    ),
    Operation("get", PEER, "What this server says of itself to the others", PeerJson),
    Operation(
        "get",
        PEER_STATES,
        "The states of the hosts of some zones, by their probes",
        PeerStatesJson,
        query={"zones": NAME | {"examples": ["out.example.com"], "description": "With commas."}},
        needs=frozenset({"zones"}),
    ),
    Operation(
        "get",
        VOTES,
        "The votes of this server on addresses, for the others while Redis is away",
        VotesJson,
        query={
            "since": {
                "type": "string",
                "pattern": PLACE,
                "description": "`next` of the answer before: only what changed since.",
            }
        },
        errors=(404, 503),
    ),
    Operation("get", "/api/v1/querylog", "Which queries are logged", QueryLogJson),
    Operation(
        "post",
        "/api/v1/querylog",
        "Log other queries, or none",
        QueryLogJson,
        takes=QueryLogWish,
        also=(202,),
    ),
)
"""Everything that the HTTP side has but the page, which is for people."""
