"""The HTTP side: status, health, metrics, control. It knows requests; a `Backend` knows the rest."""

import hmac
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol

from aiohttp import web

from geodns.control import require_host
from geodns.errors import BadNameError, GeodnsError, NotFoundError, UsageError, printable
from geodns.live import Forced, HostKey
from geodns.model import Zone
from geodns.scalars import seconds_asked
from geodns.status import Json

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
"""Bytes of a request."""
MAX_REASON = 500
"""Characters of a reason."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Order(NamedTuple):
    """What an operator asks to be imposed on a host.

    Attributes:
        forced: what; None ends everything imposed.
        reason: why, in the operator's words.
        author: who, as far as it is known.
        seconds: how long; None until it is ended.

    """

    forced: Forced | None
    reason: str
    author: str
    seconds: float | None


class Backend(Protocol):
    """What the HTTP side asks of the running server."""

    def zones(self) -> dict[str, Zone]:
        """Return the zones served, by name."""

    def status(self) -> Json:
        """Return everything that ``/status`` shows."""

    def unready(self) -> str | None:
        """Return why the server cannot answer; None when it can."""

    def host(self, host: HostKey) -> Json:
        """Return a host's status."""

    def explain(self, name: str, rtype: str) -> Json:
        """Return the pools and hosts behind a name; raises NotFoundError."""


Carry = Callable[[HostKey, Order], Awaitable[tuple[str, ...]]]
"""Imposes something, and returns the workers that have not taken it in time (none: all have)."""

_BACKEND: web.AppKey[Backend] = web.AppKey("backend")
_METRICS: web.AppKey[Callable[[], bytes]] = web.AppKey("metrics")
_CARRY: web.AppKey[Carry] = web.AppKey("carry")
_TOKEN: web.AppKey[str | None] = web.AppKey("token")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def make_app(
    backend: Backend,
    metrics: Callable[[], bytes],
    carry: Carry,
    token: str | None,
    more: Iterable[web.RouteDef] = (),
) -> web.Application:
    """Return the application.

    Args:
        backend: the running server, to be read.
        metrics: gives them in Prometheus' text format.
        carry: carries an order out.
        token: what writers must show; None lets clients on this machine write, and no others.
        more: routes that other parts have; they raise UsageError for what is asked wrongly.

    """
    app = web.Application(middlewares=[_guard], client_max_size=MAX_BODY)
    app[_BACKEND] = backend
    app[_METRICS] = metrics
    app[_CARRY] = carry
    app[_TOKEN] = token
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/status", _status),
            web.get("/metrics", _metrics),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/api/v1/explain", _explain),
            web.get("/api/v1/hosts/{zone}/{host}", _host),
            web.post("/api/v1/hosts/{zone}/{host}/drain", _drain),
            web.post("/api/v1/hosts/{zone}/{host}/undrain", _undrain),
            *more,
        ]
    )
    return app


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Check who writes, and turn every error into ``{"error": …}``."""
    try:
        if request.method not in {"GET", "HEAD"}:
            _may_write(request)
        response = await handler(request)
    except _RefusedError as refused:
        response = _error(str(refused), refused.status)
    except NotFoundError as error:
        response = _error(str(error), 404)
    except (BadNameError, UsageError) as error:
        response = _error(str(error), 400)
    except GeodnsError as error:
        response = _error(str(error), 500)
    except web.HTTPException as error:
        response = _error(f"{request.method} {request.path}: {error.reason}", error.status)
    except Exception:
        log.exception("%s %s failed", request.method, request.rel_url)
        response = _error("this failed by a fault of the server's own: its log says more", 500)
    if response.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 section 15.5.2
    response.headers.update(_HEADERS)
    return response


def _error(text: str, status: int) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _may_write(request: web.Request) -> None:
    """Refuse a writer without the token; where none is set, one that is not on this machine."""
    token = request.app[_TOKEN]
    if token is not None:
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode(errors="surrogateescape"), f"Bearer {token}".encode()):
            raise _RefusedError(401, "writing needs `Authorization: Bearer TOKEN`, or GEODNS_TOKEN set")
        return
    if not _is_loopback(request.remote or ""):
        raise _RefusedError(403, "writing from another machine needs a token: set `token` in geodns.yaml")
    # A page in a browser on this machine is on this machine too. It cannot leave Origin out, nor can a name
    # that was pointed here (DNS rebinding) appear as an address in Host.
    try:
        asked = request.url.host or ""
    except ValueError as error:
        raise _RefusedError(400, f"the Host header is wrong: {error}") from error
    if "Origin" in request.headers or not _is_loopback(asked):
        raise _RefusedError(403, "writing from a browser needs a token: set `token` in geodns.yaml")


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
        # A listener on [::] sees clients of IPv4 as ::ffff:127.0.0.1.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost"


async def _index(request: web.Request) -> web.Response:  # noqa: ARG001 - whatever is asked, it goes there
    return web.Response(status=302, headers={"Location": "/status"})


async def _status(request: web.Request) -> web.Response:
    return web.json_response(request.app[_BACKEND].status())


async def _metrics(request: web.Request) -> web.Response:
    return web.Response(
        body=request.app[_METRICS](),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - to answer at all is the answer
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    reason = request.app[_BACKEND].unready()
    return web.Response(
        text="ready\n" if reason is None else f"{reason}\n", status=200 if reason is None else 503
    )


async def _explain(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if not name:
        raise _RefusedError(400, "say which name: /api/v1/explain?name=out.example.com&type=A")
    return web.json_response(request.app[_BACKEND].explain(name, request.query.get("type", "A").upper()))


def _key(request: web.Request) -> HostKey:
    zones = request.app[_BACKEND].zones()
    return require_host(zones, request.match_info["zone"], request.match_info["host"])


async def _host(request: web.Request) -> web.Response:
    return web.json_response(request.app[_BACKEND].host(_key(request)))


async def _drain(request: web.Request) -> web.Response:
    reason, seconds = await _wishes(request)
    return await _ordered(request, Order(Forced.DRAINED, reason, _author(request), seconds))


async def _undrain(request: web.Request) -> web.Response:
    reason, seconds = await _wishes(request)
    if seconds is not None:
        raise _RefusedError(400, "`for` has no meaning here: `drain` takes it, and ends by itself")
    return await _ordered(request, Order(None, reason, _author(request), None))


async def _ordered(request: web.Request, order: Order) -> web.Response:
    """Carry an order out; 202 where some worker may still deal what was dealt before."""
    backend = request.app[_BACKEND]
    key = _key(request)
    pending = await request.app[_CARRY](key, order)
    shown = backend.host(key)
    if pending:
        return web.json_response({**shown, "pending": list(pending)}, status=202)
    return web.json_response(shown)


def _author(request: web.Request) -> str:
    return f"{printable(request.headers.get('X-Geodns-Author', 'api')[:100])}@{request.remote}"


async def _wishes(request: web.Request) -> tuple[str, float | None]:
    """Read the reason and the duration; a body that is missing asks for neither."""
    content = await request.read()
    try:
        body: Any = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, f'the body is no JSON ({error}): write {{"reason": "…"}}') from error
    if not isinstance(body, dict) or not body.keys() <= {"reason", "for"}:
        raise _RefusedError(400, 'the body takes {"reason": "…", "for": "2h"} and nothing else')
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
        raise _RefusedError(400, f"`reason` is one line of at most {MAX_REASON} characters")
    if body.get("for") is None:
        return reason, None
    return reason, seconds_asked(body["for"], "leave it out: it holds until it is ended")
