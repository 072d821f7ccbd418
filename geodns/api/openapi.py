"""Describes the HTTP side for programs (OpenAPI 3.1), from the table of `api/operations.py`.

https://spec.openapis.org/oas/v3.1.1.html
"""

import asyncio
import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from geodns import __version__
from geodns.api.operations import JSON, NAME, OPERATIONS, PATH, TEXT, Operation, Schema
from geodns.api.schemas import ErrorJson
from geodns.api.schemas_orders import UnconfirmedJson

_ANYWHERE = (400, 401, 403, 429, 500)
_TOLD = {
    200: "As asked.",
    202: "Done, but the workers in `pending` and the servers in `peers` may still answer as before.",
    400: "Asked wrongly; the error says what to write instead.",
    401: "No token, or none that is known.",
    403: "A token of too small a scope, or another machine where there is none.",
    404: "There is no such zone, host or name.",
    409: "Much would be lost: a `yes` to that does it all the same, and not one to something else.",
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
            *({"name": name, "in": "path", "required": True, "schema": NAME} for name in _places(one)),
            *(
                {"name": name, "in": "query", "required": name in one.needs, "schema": schema}
                for name, schema in one.query.items()
            ),
        ],
        "responses": {str(status): _response(one, status, refs) for status in sorted(_statuses(one))},
    }
    if one.takes is not None:
        content = {JSON: {"schema": refs[one.takes]}}
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
        schema, kind = TEXT if one.gives is None else refs[one.gives], one.kind
    else:
        schema, kind = refs[one.unconfirmed if status == 409 else ErrorJson], JSON
    found: dict[str, Any] = {"description": _TOLD[status], "content": {kind: {"schema": schema}}}
    if status in _HEADERS:
        name, example = _HEADERS[status]
        found["headers"] = {name: {"required": True, "schema": TEXT, "example": example}}
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
