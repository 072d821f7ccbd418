"""The query log over HTTP: read it, switch it on and off."""

import time

from aiohttp import web

from geodns.api.bodies import QueryLogWish, query_log_of, read_body
from geodns.api.responses import SERVICES
from geodns.api.schemas import QueryLogJson
from geodns.config.times import timestamp
from geodns.control.query_log_service import QueryLogService
from geodns.wire.names import name_from_wire

_EXAMPLE = '{"on": true, "zones": ["out.example.com"], "clients": ["192.0.2.0/24"], "sample": "1%"}'


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/querylog", _get), web.post("/api/v1/querylog", _post)]


async def _get(request: web.Request) -> web.Response:
    return web.json_response(shown(request.app[SERVICES].policy.query_log))


async def _post(request: web.Request) -> web.Response:
    wish = read_body(await request.read(), QueryLogWish, _EXAMPLE)
    policy = request.app[SERVICES].policy
    pending, unkept = await policy.switch_query_log(query_log_of(wish, time.monotonic()), str(request.remote))
    answer = shown(policy.query_log)
    answer["kept"] = unkept is None
    if pending:
        answer["pending"] = list(pending)
    return web.json_response(answer, status=202 if pending else 200)


def shown(log: QueryLogService) -> QueryLogJson:
    """Return which queries are logged."""
    found: QueryLogJson = {"on": log.wanted is not None, "written": log.written, "dropped": log.dropped}
    wanted = log.wanted
    if wanted is None:
        return found
    left = None if wanted.until is None else max(0.0, wanted.until - time.monotonic())
    return {
        **found,
        "zones": [name_from_wire(name).removesuffix(".") for name in wanted.zones],
        "clients": [str(network) for network in wanted.clients],
        "sample": wanted.sample,
        "until": None if left is None else timestamp(time.time() + left),
    }
