"""The description of the HTTP side for programs (OpenAPI 3.1): what can be asked, and what is answered."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import web

from geodns import __version__
from geodns.api.schemas import SCHEMAS, TEXT, TRUTH, Schema, body, ref
from geodns.events import KINDS
from geodns.orders import Verb

PATH = "/api/v1/openapi.json"

_PLAIN, _JSON = "text/plain", "application/json"


class Operation(NamedTuple):
    """What can be asked at a path.

    Attributes:
        method: in small letters.
        path: with its places in braces.
        summary: one line.
        answers: the schema of what is answered when all is well, or its type where that is no JSON.
        query: what may be asked for in the query, and how.
        takes: the schema of the body; None: there is none.
        statuses: further answers that are no faults of the server's: all with an error but 202.
        required: what of the query must be there.

    """

    method: str
    path: str
    summary: str
    answers: Schema | str
    query: Mapping[str, Schema] = MappingProxyType({})
    takes: Schema | None = None
    statuses: tuple[int, ...] = ()
    required: tuple[str, ...] = ()


_KINDS: Schema = {"type": "string", "enum": list(KINDS)}
_WHEN: Schema = {"type": "string", "examples": ["1h", "2026-11-25T03:00:00Z"]}
_OF_HOST = "/api/v1/hosts/{zone}/{host}"

OPERATIONS = (
    Operation("get", "/status", "Everything: zones, hosts, pools, warnings.", ref("Status")),
    Operation("get", "/metrics", "Prometheus' text format.", _PLAIN),
    Operation("get", "/healthz", "Whether the process lives.", _PLAIN),
    Operation("get", "/readyz", "Whether it can answer.", _PLAIN, statuses=(503,)),
    Operation("get", PATH, "This description.", {"type": "object"}),
    Operation(
        "get",
        "/api/v1/explain",
        "Why a name is answered as it is.",
        ref("Explanation"),
        {"name": TEXT, "type": TEXT, "client": TEXT, "ecs": TEXT},
        statuses=(400, 404),
        required=("name",),
    ),
    Operation("get", _OF_HOST, "One host.", ref("Host"), statuses=(404,)),
    *(
        Operation(
            "post",
            f"{_OF_HOST}/{verb}",
            f"Give a host the order {verb}.",
            ref("Host"),
            takes=ref("HostOrder"),
            statuses=(202, 400, 404, 409),
        )
        for verb in Verb
    ),
    Operation(
        "post",
        f"{_OF_HOST}/load",
        "Push how busy a host is.",
        ref("Host"),
        takes=body({}, {"value": {"type": "number", "minimum": 0}}),
        statuses=(400, 404),
    ),
    Operation(
        "post",
        "/api/v1/orders",
        "Give one order to any number of hosts.",
        ref("Ordered"),
        takes=ref("Order"),
        statuses=(202, 400, 404, 409),
    ),
    Operation("get", "/api/v1/state", "Everything that is imposed.", ref("State")),
    Operation(
        "post",
        "/api/v1/state",
        "Impose what was exported.",
        ref("Ordered"),
        {"dry_run": TRUTH, "yes": TRUTH},
        takes=ref("State"),
        statuses=(202, 400, 409),
    ),
    Operation(
        "get",
        "/api/v1/events",
        "What has happened.",
        ref("Events"),
        {
            "since": _WHEN,
            "after": {"type": "integer", "minimum": 0, "maximum": 10**17},
            "limit": {"type": "integer", "minimum": 1, "maximum": 1000},
            "kind": _KINDS,
            "zone": TEXT,
            "host": TEXT,
        },
        statuses=(400,),
    ),
    Operation(
        "get",
        "/api/v1/events/stream",
        "What happens, as server-sent events.",
        "text/event-stream",
        {"since": _WHEN, "kind": _KINDS, "zone": TEXT, "host": TEXT},
        statuses=(400, 503),
    ),
    Operation(
        "get",
        "/api/v1/history",
        "How the hosts of a zone fared.",
        ref("History"),
        {"zone": TEXT, "host": TEXT, "since": _WHEN, "step": {"enum": ["1m", "1h"]}},
        statuses=(400, 404),
    ),
    Operation("get", "/api/v1/history/recent", "The last half hour of all hosts.", ref("Recent")),
    Operation("get", "/api/v1/zones", "The zones that are served.", ref("Zones")),
    Operation("get", "/api/v1/zones/{zone}", "A zone as it is served.", ref("Zone"), statuses=(404,)),
    Operation(
        "post",
        "/api/v1/reload",
        "Read the zone files anew.",
        ref("Reloaded"),
        takes=body({"yes": TRUTH}),
        statuses=(400,),
    ),
    Operation("get", "/api/v1/querylog", "Which queries are logged.", ref("QueryLog")),
    Operation(
        "post",
        "/api/v1/querylog",
        "Log other queries.",
        ref("QueryLog"),
        takes=ref("QueryLogWish"),
        statuses=(202, 400),
    ),
)
"""Everything but the page and its parts, which are for browsers."""

_WORDS = {
    202: "Done, but for the workers that are pending.",
    400: "Asked wrongly: the error says what to write instead.",
    401: "No token, or a wrong one.",
    403: "This token, or this client, may not do that.",
    404: "There is no such zone, host or name.",
    409: "It would leave a pool without a live host: ask again with `yes`.",
    413: "The body is too large.",
    429: "Asked too often.",
    500: "A fault of the server's own.",
    503: "Not now.",
}


def document(operations: Iterable[Operation] = OPERATIONS) -> dict[str, Any]:
    """Return the description."""
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "geodns",
            "version": __version__,
            "description": "Status and control of an authoritative DNS server that balances mail hosts.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Of scope control for whatever changes something, and of scope read (or "
                    "control) to read, where the server has such tokens.",
                }
            },
        },
        "security": [{}, {"token": []}],
    }


def _described(one: Operation) -> dict[str, Any]:
    places = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in places
    ] + [
        {"name": name, "in": "query", "required": name in one.required, "schema": schema}
        for name, schema in one.query.items()
    ]
    answers = {"200": _answer("All is well.", one.answers)}
    statuses = (*one.statuses, 401, 403, 429, 500, *((413,) if one.takes else ()))
    for status in sorted(statuses):
        kind = one.answers if status == 202 else ref("Unconfirmed") if status == 409 else ref("Error")
        if one.path == "/readyz":
            kind = _PLAIN
        answers[str(status)] = _answer(_WORDS[status], kind)
    found: dict[str, Any] = {
        "operationId": f"{one.method} {one.path}",
        "summary": one.summary,
        "parameters": parameters,
        "responses": answers,
    }
    if one.takes is not None:
        found["requestBody"] = {"required": True, "content": {_JSON: {"schema": one.takes}}}
    return found


def _answer(text: str, kind: Schema | str) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"description": text, "content": {kind: {"schema": {"type": "string"}}}}
    return {"description": text, "content": {_JSON: {"schema": kind}}}


def routes() -> list[web.RouteDef]:
    """Return where it is."""
    return [web.get(PATH, _document)]


async def _document(request: web.Request) -> web.Response:  # noqa: ARG001 - it is the same for all
    return web.json_response(document())
