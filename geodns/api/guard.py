"""Who may ask, and what every answer has: errors as JSON, headers that keep browsers in their place."""

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from geodns.api.parts import TOKEN, RefusedError
from geodns.errors import BadNameError, GeodnsError, NotFoundError, UsageError

log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Check who writes, and turn every error into ``{"error": …}``."""
    try:
        if request.method not in {"GET", "HEAD"}:
            may_write(request)
        response = await handler(request)
    except RefusedError as refused:
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


def may_write(request: web.Request) -> None:
    """Refuse a writer without the token; where none is set, one that is not on this machine."""
    token = request.app[TOKEN]
    if token is not None:
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode(errors="surrogateescape"), f"Bearer {token}".encode()):
            raise RefusedError(401, "writing needs `Authorization: Bearer TOKEN`, or GEODNS_TOKEN set")
        return
    if not _is_loopback(request.remote or ""):
        raise RefusedError(403, "writing from another machine needs a token: set `token` in geodns.yaml")
    # A page in a browser on this machine is on this machine too. It cannot leave Origin out, nor can a name
    # that was pointed here (DNS rebinding) appear as an address in Host.
    try:
        asked = request.url.host or ""
    except ValueError as error:
        raise RefusedError(400, f"the Host header is wrong: {error}") from error
    if "Origin" in request.headers or not _is_loopback(asked):
        raise RefusedError(403, "writing from a browser needs a token: set `token` in geodns.yaml")


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
        # A listener on [::] sees clients of IPv4 as ::ffff:127.0.0.1.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost"
