"""What every request passes: who may ask, errors as JSON, headers that keep browsers in their place."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from geodns.api.access import ACCESS
from geodns.api.parts import TOKEN, RefusedError
from geodns.errors import AmbiguousError, BadNameError, GeodnsError, NotFoundError, UsageError
from geodns.tokens import Scope

log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Of every answer that does not say otherwise."""
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}

OPEN = frozenset({"/healthz", "/readyz"})
"""What everybody may read, as often as they like: those who ask are machines that hold no secrets."""

PAGE = "/assets/"
"""The page and its parts say nothing of what is served: they ask for that, and show a token."""

_MORE = {
    401: {"WWW-Authenticate": "Bearer"},  # RFC 9110 section 15.5.2
    429: {"Retry-After": "1"},
}
_STATUSES = {NotFoundError: 404, AmbiguousError: 400, BadNameError: 400, UsageError: 400, GeodnsError: 500}
"""The nearest kind comes first."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Check who asks, and turn every error into ``{"error": …}``."""
    try:
        _let_in(request)
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - every error becomes an answer
        response = _answer(request, error)
    if not response.prepared:  # what has been sent already is a stream, with headers of its own
        for name, value in headers_for(request).items():
            response.headers.setdefault(name, value)
    return response


def headers_for(request: web.Request) -> dict[str, str]:
    """Return the headers of an answer that does not say otherwise."""
    return {**_HEADERS, **(_TLS_HEADERS if request.secure else {})}


def _answer(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, RefusedError):
        return _error(str(error), error.status, **_MORE.get(error.status, {}))
    if isinstance(error, web.HTTPException):
        more = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return _error(f"{request.method} {request.path}: {error.reason}", error.status, **more)
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return _error(str(error), status)
    log.error("%s %s failed", request.method, request.rel_url, exc_info=error)
    return _error("this failed by a fault of the server's own: its log says more", 500)


def _error(text: str, status: int, **headers: str) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


def _let_in(request: web.Request) -> None:
    if request.path in OPEN:
        return
    access = request.app[ACCESS]
    access.count(request.remote or "")
    if request.path == "/" or request.path.startswith(PAGE):
        return
    scope: Scope = "read" if request.method in {"GET", "HEAD"} else "control"
    request[TOKEN] = access.require(request, scope)
