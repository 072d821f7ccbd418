"""The routes of the query log: read it, switch it on and off."""

import json
import time
from typing import Any

from aiohttp import web

from geodns.api.json_types import Json
from geodns.api.responses import SERVICES
from geodns.config.answer_keys import MAX_ITEMS, zone_on_wire
from geodns.config.report import quoted
from geodns.config.times import seconds_asked, timestamp
from geodns.config.value_types import HOW_MANY, parse_share
from geodns.control.query_log_service import QueryLogService
from geodns.errors import BadNameError, UsageError
from geodns.responder.answer_policy import QueryLog
from geodns.wire.names import name_from_wire
from geodns.wire.networks import parse_network

FOR = 600.0
"""Seconds after which a query log that an operator switched on ends by itself, unless told otherwise."""

_BODY = 'write {"on": true, "zones": ["out.example.com"], "clients": ["192.0.2.0/24"], "sample": "1%"}'
_KEYS = {"on", "zones", "clients", "sample", "for"}


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/querylog", _get), web.post("/api/v1/querylog", _post)]


async def _get(request: web.Request) -> web.Response:
    return web.json_response(shown(request.app[SERVICES].policy.query_log))


async def _post(request: web.Request) -> web.Response:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no JSON ({error}): {_BODY}") from error
    policy = request.app[SERVICES].policy
    wanted = read_wish(body, time.monotonic())
    pending = await policy.switch_query_log(wanted, str(request.remote))
    if pending:
        return web.json_response({**shown(policy.query_log), "pending": list(pending)}, status=202)
    return web.json_response(shown(policy.query_log))


def shown(log: QueryLogService) -> Json:
    """Return which queries are logged."""
    found: Json = {"on": log.wanted is not None, "written": log.written, "dropped": log.dropped}
    wanted = log.wanted
    if wanted is None:
        return found
    left = None if wanted.until is None else max(0.0, wanted.until - time.monotonic())
    return found | {
        "zones": [name_from_wire(name).removesuffix(".") for name in wanted.zones],
        "clients": [str(network) for network in wanted.clients],
        "sample": wanted.sample,
        "until": None if left is None else timestamp(time.time() + left),
    }


def read_wish(body: Any, now: float) -> QueryLog | None:
    """Return what an operator asks for; None is off.

    Args:
        body: as it came, already read as JSON.
        now: seconds of the monotonic clock.

    Raises:
        UsageError: says what is wrong, and what to write instead.

    """
    if not isinstance(body, dict) or not isinstance(body.get("on"), bool):
        raise UsageError(f"`on` is true or false: {_BODY}")
    for key in body.keys() - _KEYS:
        raise UsageError(f"{quoted(key)} is not known here: {_BODY}")
    if not body["on"]:
        if len(body) > 1:
            raise UsageError("with `on` false nothing else has a meaning")
        return None
    share = body.get("sample", 1)
    sample = _share(share)
    if sample is None:
        raise UsageError(f"`sample` {quoted(str(share))} is no part of the queries: {HOW_MANY}")
    return QueryLog(
        tuple(_zone(text) for text in _texts(body, "zones")),
        tuple(_network(text) for text in _texts(body, "clients")),
        sample,
        _end(body.get("for", FOR), now),
    )


def _texts(body: Json, key: str) -> list[str]:
    given = body.get(key, [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise UsageError(f"`{key}` is a list of texts: {_BODY}")
    if len(given) > MAX_ITEMS:
        raise UsageError(f"`{key}` names {len(given)}, at most {MAX_ITEMS} are looked for")
    return given


def _share(given: object) -> float | None:
    if isinstance(given, str):
        return parse_share(given)
    # Numbers as they are: as text 0.00001 is 1e-05, which nobody writes.
    return float(given) if isinstance(given, int | float) and given is not True and 0 < given <= 1 else None


def _zone(text: str) -> bytes:
    try:
        return zone_on_wire(text)
    except BadNameError as error:
        raise UsageError(f"`zones`: {error}") from error


def _network(text: str) -> Any:
    try:
        return parse_network(text)
    except ValueError as error:
        raise UsageError(f"`clients`: {error.args[0]}: {error.args[1]}") from error


def _end(given: Any, now: float) -> float | None:
    return None if given == "unlimited" else now + seconds_asked(given, "write unlimited")
