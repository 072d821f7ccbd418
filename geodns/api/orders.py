"""What operators order over HTTP: drain a host, and give it back."""

import json
from typing import Any

from aiohttp import web

from geodns.api.parts import BACKEND, CARRY, TOKEN, Order, RefusedError, host_key
from geodns.errors import printable
from geodns.live import Forced
from geodns.scalars import seconds_asked

MAX_REASON = 500
"""Characters of a reason."""


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
    return [
        web.post("/api/v1/hosts/{zone}/{host}/drain", _drain),
        web.post("/api/v1/hosts/{zone}/{host}/undrain", _undrain),
    ]


async def _drain(request: web.Request) -> web.Response:
    reason, seconds = await _wishes(request)
    return await _ordered(request, Order(Forced.DRAINED, reason, _author(request), seconds))


async def _undrain(request: web.Request) -> web.Response:
    reason, seconds = await _wishes(request)
    if seconds is not None:
        raise RefusedError(400, "`for` has no meaning here: `drain` takes it, and ends by itself")
    return await _ordered(request, Order(None, reason, _author(request), None))


async def _ordered(request: web.Request, order: Order) -> web.Response:
    """Carry an order out; 202 where some worker may still deal what was dealt before."""
    backend = request.app[BACKEND]
    key = host_key(request)
    pending = await request.app[CARRY](key, order)
    shown = backend.host(key)
    if pending:
        return web.json_response({**shown, "pending": list(pending)}, status=202)
    return web.json_response(shown)


def _author(request: web.Request) -> str:
    said = f"{printable(request.headers.get('X-Geodns-Author', 'api')[:100])}@{request.remote}"
    token = request[TOKEN]
    return said if token is None or token.name is None else f"{said} (token {token.name})"


async def _wishes(request: web.Request) -> tuple[str, float | None]:
    """Read the reason and the duration; a body that is missing asks for neither."""
    content = await request.read()
    try:
        body: Any = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f'the body is no JSON ({error}): write {{"reason": "…"}}') from error
    if not isinstance(body, dict) or not body.keys() <= {"reason", "for"}:
        raise RefusedError(400, 'the body takes {"reason": "…", "for": "2h"} and nothing else')
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
        raise RefusedError(400, f"`reason` is one line of at most {MAX_REASON} characters")
    if body.get("for") is None:
        return reason, None
    return reason, seconds_asked(body["for"], "leave it out: it holds until it is ended")
