"""The HTTP side described for programs (OpenAPI 3.1): what may be asked, by whom, and what is answered.

https://spec.openapis.org/oas/v3.1.1.html
"""

import asyncio
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from geodns import __version__
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
from geodns.api.schemas_peers import PeerJson, PeerStatesJson
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
from geodns.responder.route_explained import RouteJson
from geodns.storage.event_log import KINDS

PATH = "/api/v1/openapi.json"
STREAM = "/api/v1/events/stream"

_JSON, _PLAIN = "application/json", "text/plain"
_HOST = "/api/v1/hosts/{zone}/{host}"

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "minLength": 1}
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
        open: whether everybody may ask, as often as they like.

    """

    method: str
    path: str
    summary: str
    gives: Any = None
    kind: str = _JSON
    takes: Any = None
    optional: bool = False
    query: dict[str, Schema] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    also: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()
    open: bool = False

    @property
    def scope(self) -> Scope:
        """The tokens that let it in."""
        return scope_of(self.method.upper(), self.path)


_SINCE: Schema = {"type": "string", "minLength": 2, "examples": ["1h", "2026-11-25T03:00:00Z"]}
_ID: Schema = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_KIND: Schema = {"type": "string", "examples": ["state,forced"], "description": f"Of {', '.join(KINDS)}."}
_FILTER: dict[str, Schema] = {"since": _SINCE, "after": _ID, "kind": _KIND, "zone": _TEXT, "host": _TEXT}
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
            "name": _NAME | {"examples": ["out.example.com"]},
            "type": _TEXT | {"default": "A"},
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
            "zone": _TEXT | {"description": "May be left out where one zone alone has routes."},
            "recipient": _NAME | {"examples": ["bob@example.org"]},
            "sender": _TEXT | {"description": "Empty, or <>: that of bounces."},
            "class": _TEXT,
            "client": {"type": "string", "examples": ["192.0.2.7"]},
            "sasl": _TEXT,
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
            "zone": _TEXT,
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
            "zone": _TEXT,
            "host": {"type": "array", "items": _TEXT},
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
        query={"zones": _NAME | {"examples": ["out.example.com"], "description": "With commas."}},
        needs=frozenset({"zones"}),
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

_ANYWHERE = (400, 401, 403, 429, 500)
_TOLD = {
    200: "As asked.",
    202: "Done, but the workers in `pending` may still answer as before.",
    400: "Asked wrongly; the error says what to write instead.",
    401: "No token, or none that is known.",
    403: "A token of too small a scope, or another machine where there is none.",
    404: "There is no such zone, host or name.",
    409: "A pool would be left without a live host: nothing was changed; `yes` does it all the same.",
    413: "The body is too large.",
    429: "Asked too often.",
    500: "A fault of the server's own; its log says more.",
    503: "Not now: the server is starting, or has too much to do.",
}
_HEADERS = {401: ("WWW-Authenticate", "Bearer"), 429: ("Retry-After", "1")}

_ABOUT = """\
Status and control of a geodns server. Reading is open unless the server has a token of scope `read`; what
changes something needs a token of scope `control` (which may read, too), and without one configured is for
clients on the server's own machine alone. A token of scope `signals` is for telling what became of mail, and
for nothing else. Tokens are shown as `Authorization: Bearer TOKEN`. A method that a path does not have is
answered 405 with `Allow`, a path that is not there 404. Errors are `{"error": …}`."""


def document() -> dict[str, Any]:
    """Return the description."""
    refs, shared = _schemas()
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _described(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "geodns", "version": __version__, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": shared,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


class _SchemaMaker(GenerateJsonSchema):
    """Names types without the suffixes that tell them from the house's own."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(name).removesuffix("Json").removesuffix("Body")

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - a name is title enough
        return False


def _schemas() -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """Return a reference for each type, and what they refer to, by name."""
    types = [ErrorJson, UnconfirmedJson, *(kind for one in OPERATIONS for kind in (one.takes, one.gives))]
    refs, found = TypeAdapter.json_schemas(
        [(kind, "validation", TypeAdapter(kind)) for kind in dict.fromkeys(types) if kind is not None],
        ref_template="#/components/schemas/{model}",
        schema_generator=_SchemaMaker,
    )
    shared = {name: _plain(schema) for name, schema in found["$defs"].items()}
    return {kind: ref for (kind, _), ref in refs.items()}, shared


def _plain(schema: Schema) -> Schema:
    """Leave out the name of the class, and what an enumeration says to whoever reads its code."""
    dropped = {"title", "description"} if "enum" in schema else {"title"}
    return {key: value for key, value in schema.items() if key not in dropped}


def _described(one: Operation, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _id(one),
        "summary": one.summary,
        # Without a token, too: the server may have none of that scope.
        "security": [] if one.open else [{}, {"token": [one.scope]}],
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _NAME} for name in _places(one)),
            *(
                {"name": name, "in": "query", "required": name in one.needs, "schema": schema}
                for name, schema in one.query.items()
            ),
        ],
        "responses": {str(status): _response(one, status, refs) for status in sorted(_statuses(one))},
    }
    if one.takes is not None:
        content = {_JSON: {"schema": refs[one.takes]}}
        found["requestBody"] = {"required": not one.optional, "content": content}
    return found


def _id(one: Operation) -> str:
    words = re.findall(r"\w+", one.path.removeprefix("/api/v1").removesuffix(".json"))
    return "_".join([one.method, *words])


def _places(one: Operation) -> list[str]:
    return re.findall(r"{(\w+)}", one.path)


def _statuses(one: Operation) -> set[int]:
    anywhere = () if one.open else (*_ANYWHERE, *((413,) if one.takes else ()))
    return {200, *one.also, *one.errors, *anywhere}


def _response(one: Operation, status: int, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    if status == 200 or status in one.also:
        schema, kind = _TEXT if one.gives is None else refs[one.gives], one.kind
    else:
        schema, kind = refs[UnconfirmedJson if status == 409 else ErrorJson], _JSON
    found: dict[str, Any] = {"description": _TOLD[status], "content": {kind: {"schema": schema}}}
    if status in _HEADERS:
        name, example = _HEADERS[status]
        found["headers"] = {name: {"required": True, "schema": _TEXT, "example": example}}
    return found


def routes() -> list[web.RouteDef]:
    """Return where it is."""
    return [web.get(PATH, _document)]


@functools.cache
def _text() -> str:
    return json.dumps(document())


async def _document(request: web.Request) -> web.Response:  # noqa: ARG001 - it is the same for all
    # In a thread: the first request makes it, which takes a tenth of a second.
    return web.json_response(text=await asyncio.to_thread(_text))
