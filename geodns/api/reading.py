"""What is read of the running server: status, metrics, health, explanations."""

import json
from collections.abc import Callable
from ipaddress import ip_address

from aiohttp import web

from geodns.api.parts import BACKEND, KEPT, METRICS, RefusedError, host_key, takes_gzip
from geodns.explain import Asking
from geodns.networks import Network, parse_network
from geodns.shown import Json


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
    return [
        web.get("/status", _status),
        web.get("/metrics", _metrics),
        web.get("/healthz", _healthz),
        web.get("/readyz", _readyz),
        web.get("/api/v1/explain", _explain),
        web.get("/api/v1/hosts/{zone}/{host}", _host),
    ]


async def _status(request: web.Request) -> web.Response:
    return _json(request, "status", request.app[BACKEND].status)


async def _metrics(request: web.Request) -> web.Response:
    return _kept(request, "metrics", request.app[METRICS], "text/plain; version=0.0.4; charset=utf-8")


def _json(request: web.Request, name: str, make: Callable[[], Json]) -> web.Response:
    return _kept(request, name, lambda: json.dumps(make()).encode(), "application/json; charset=utf-8")


def _kept(request: web.Request, name: str, make: Callable[[], bytes], kind: str) -> web.Response:
    """Return an answer that is made at most once in a moment."""
    body = request.app[KEPT].get(name, request.app[BACKEND].mark(), make)
    headers = {"Content-Type": kind, "Vary": "Accept-Encoding"}
    if not takes_gzip(request):
        return web.Response(body=body.plain, headers=headers)
    return web.Response(body=body.packed, headers=headers | {"Content-Encoding": "gzip"})


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - to answer at all is the answer
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    reason = request.app[BACKEND].unready()
    return web.Response(
        text="ready\n" if reason is None else f"{reason}\n", status=200 if reason is None else 503
    )


async def _explain(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if not name:
        raise RefusedError(400, "say which name: /api/v1/explain?name=out.example.com&type=A")
    rtype = request.query.get("type", "A").upper()
    asking = Asking(_client(request.query.get("client", "127.0.0.1")), _network(request.query.get("ecs")))
    backend = request.app[BACKEND]
    return _json(request, f"explain {(name, rtype, asking)}", lambda: backend.explain(name, rtype, asking))


def _client(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise RefusedError(400, f"client {text!r} is no address: write one, as 192.0.2.7") from error


def _network(text: str | None) -> Network | None:
    try:
        return None if text is None else parse_network(text)
    except ValueError as error:
        raise RefusedError(400, f"ecs: {': '.join(map(str, error.args))}") from error


async def _host(request: web.Request) -> web.Response:
    return web.json_response(request.app[BACKEND].host(host_key(request)))
