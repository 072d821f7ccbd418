"""Access: tokens and their scopes, request rates; errors of handlers as JSON; headers of every answer."""

import hmac
import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from geodns.api.connections import OPEN, READS, SIGNALS, SIMULATE
from geodns.api.nuisances import Nuisances
from geodns.api.order_gate import GATE
from geodns.api.responses import SERVICES, TOKEN, RefusedError
from geodns.config.report import quoted
from geodns.config.tokens import Scope, Token
from geodns.errors import AmbiguousError, BadNameError, GeodnsError, NotFoundError, UsageError
from geodns.serve.connections import client_key

log = logging.getLogger(__name__)

RATE = 200.0
"""Requests a second that one client (an address, or a /64 of IPv6) may make, in the long run."""
BURST = 400.0
"""Requests that it may make at once."""
CLIENTS = 4096
"""Clients remembered; past that the one that asked longest ago is forgotten."""

FORWARDED = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"})
"""Headers of proxies (RFC 7239, RFC 9110), as are `X-Forwarded-…`: who asks one here may be anywhere."""
PAGE = "/assets/"
"""The page's parts; they need no token, since they say nothing of what is served."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}
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
        response = await _handled(request, handler)
    except Exception as error:  # noqa: BLE001 - every error becomes an answer
        response = _answer(request, error)
    if not response.prepared:  # a stream has been sent already, with headers of its own
        for name, value in headers_for(request).items():
            response.headers.setdefault(name, value)
        gate = request.app.get(GATE)
        if gate is not None and gate.closed:
            response.force_close()  # its next request is for another control process
    return response


async def _handled(request: web.Request, handler: _Handler) -> web.StreamResponse:
    gate = request.app.get(GATE)
    if gate is None or scope_of(request.method, request.path) == "read":
        return await handler(request)
    with gate.passed():
        return await handler(request)


def headers_for(request: web.Request) -> dict[str, str]:
    """Return the headers that an answer has unless it says otherwise."""
    return {**_HEADERS, **(_TLS_HEADERS if request.secure else {})}


def _let_in(request: web.Request) -> None:
    if request.path in OPEN:
        return
    access = request.app[ACCESS]
    # A stranger beside them must not use up the requests of those with a token.
    access.count(request.remote or "", known=access.token_in(request) is not None)
    if request.path == "/" or request.path.startswith(PAGE):
        return
    request[TOKEN] = access.require(request, scope_of(request.method, request.path))


def scope_of(method: str, path: str) -> Scope:
    """Return the scope that a request needs."""
    if method in READS or path == SIMULATE:
        return "read"
    return "signals" if path == SIGNALS else "control"


def _answer(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, NotFoundError) and not request.app[SERVICES].watchdog.ready:
        # A zone or host that is asked for may be among those that are not taken up yet.
        return _error("the server is starting, and knows no zones yet: ask again in some seconds", 503)
    if isinstance(error, RefusedError):
        again = {} if error.again is None else {"Retry-After": str(error.again)}
        return _error(str(error), error.status, **again, **_MORE.get(error.status, {}))
    if isinstance(error, web.HTTPException):
        more = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        return _error(f"{request.method} {request.path}: {error.reason}", error.status, **more)
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return _error(str(error), status)
    if isinstance(error, ConnectionError):
        return _error("the client is gone", 400)  # to nobody
    log.error("%s %s failed", request.method, request.rel_url, exc_info=error)
    return _error("this failed by a fault of the server's own: its log says more", 500)


def _error(text: str, status: int, **headers: str) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


class Access:
    """Checks tokens, and bounds how often a client may ask.

    Without a token of scope ``control`` clients on this machine may write, and no others; without one of
    scope ``read`` everybody may read. Without one of scope ``signals`` those who may write may tell what
    became of mail, and no others. Clients on this machine must then ask by its own names.

    Args:
        tokens: of all scopes.
        clock: seconds, of any beginning.
        nuisances: counts wrong tokens.
        names: of this machine.

    """

    def __init__(
        self,
        tokens: tuple[Token, ...],
        clock: Callable[[], float],
        nuisances: Nuisances | None = None,
        names: Iterable[str] = (),
    ) -> None:
        self._tokens = tuple((token, token.secret.get_secret_value().encode()) for token in tokens)
        self._scopes = {token.scope for token in tokens}
        self._clock = clock
        self._nuisances = nuisances or Nuisances(clock)
        self._names = frozenset(name.lower() for name in names)
        self._clients: OrderedDict[tuple[str | bytes, bool], tuple[float, float]] = OrderedDict()

    def require(self, request: web.Request, scope: Scope) -> Token | None:
        """Return the token that lets a request in; None: it needs none.

        Raises:
            RefusedError: 401 without a good token; 403 for too small a scope, another machine, or a name that
                is not this machine's; 400 for a wrong Host header.

        """
        token = self.token_in(request)
        if token is None and self._tokens and _bearer(request) is not None:
            self._nuisances.note("wrong tokens", request.remote or "")
        if token is not None and token.scope == "signals" != scope:
            raise RefusedError(403, f"this token is for signals and nothing else: {scope} needs another")
        scope = "control" if scope == "signals" and scope not in self._scopes else scope
        if scope not in self._scopes:
            if token is not None and token.scope in {scope, "control"}:
                return token
            if scope == "control":
                _must_be_here(request)
            if is_loopback(request.remote or ""):
                self._must_be_meant(request, scope)
            return None
        return _good(request, token, scope)

    def token_in(self, request: web.Request) -> Token | None:
        """Return the good token that a request shows, needed or not."""
        shown = _bearer(request)
        if shown is None:
            return None
        # All of them, so that the time does not tell which.
        given = shown.encode(errors="surrogateescape")
        found = None
        for token, secret in self._tokens:
            if hmac.compare_digest(given, secret):
                found = token
        return found

    def _must_be_meant(self, request: web.Request, scope: Scope) -> None:
        # A foreign page in a browser on this machine is on this machine too. It cannot leave Origin out or
        # lie in it, nor can a name that was pointed here (DNS rebinding) appear as an address in Host.
        try:
            asked, own = request.url.host or "", str(request.url.origin())
        except ValueError as error:
            raise RefusedError(400, f"the Host header is wrong: {error}") from error
        known = is_loopback(asked) or asked.lower() in self._names
        if scope == "read":
            if not known and not _is_address(asked):
                raise RefusedError(
                    401 if self._tokens else 403,  # the page asks for a token after 401
                    f"reading by the name {quoted(asked)} needs a token: ask 127.0.0.1, or set "
                    "`read_token_file` in geodns.yaml, or GEODNS_READ_TOKEN",
                )
            if request.method not in READS and request.headers.get("Origin", own) != own:
                raise RefusedError(403, "from a page elsewhere this needs a token of scope `read`")
        elif not known or request.headers.get("Origin", own) != own:
            raise RefusedError(403, "writing from a browser needs a token: set `token` in geodns.yaml")

    def count(self, address: str, *, known: bool = False) -> None:
        """Count a request; raises RefusedError (429) for a client that asks too often.

        Those with a token are `known`, and counted apart from others of their address.
        """
        now, client = self._clock(), (client_key(address), known)
        left, at = self._clients.pop(client, (BURST, now))
        left = min(BURST, left + (now - at) * RATE)
        self._clients[client] = (max(0.0, left - 1), now)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        if left < 1:
            raise RefusedError(429, f"too many requests: at most {RATE:.0f} a second, please")


ACCESS: web.AppKey[Access] = web.AppKey("access")


def _bearer(request: web.Request) -> str | None:
    """Return what a request shows as a token, good or not."""
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    return shown.strip() if kind.lower() == "bearer" else None  # RFC 9110 section 11.1: in any case


def _good(request: web.Request, token: Token | None, scope: Scope) -> Token:
    """Return the token of a request, if it is one for a scope; raise RefusedError."""
    if "Authorization" not in request.headers:
        variable = "GEODNS_TOKEN"
        raise RefusedError(401, f"no token: show it as `Authorization: Bearer TOKEN`, or set {variable}")
    if _bearer(request) is None:
        raise RefusedError(401, "the Authorization header is not `Bearer TOKEN`")
    if token is None:
        raise RefusedError(401, "wrong token: none of this server's is that")
    if token.scope not in {scope, "control"}:
        raise RefusedError(403, f"this token is for {token.scope}: {scope} needs another")
    return token


def _must_be_here(request: web.Request) -> None:
    if not is_loopback(request.remote or ""):
        raise RefusedError(403, "writing from another machine needs a token: set `token` in geodns.yaml")
    names = {name.lower() for name in request.headers}
    if names & FORWARDED or any(name.startswith("x-forwarded-") for name in names):
        raise RefusedError(403, "writing through a proxy needs a token: set `token` in geodns.yaml")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether an address or a name can only be this machine's."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
        # A listener on [::] sees clients of IPv4 as ::ffff:127.0.0.1.
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return host == "localhost"


def exposed(host: str, tokens: tuple[Token, ...], *, encrypted: bool) -> list[str]:
    """Return warnings of who can read the HTTP side, or the tokens on their way to it, at an address."""
    if is_loopback(host):
        return []
    found = []
    if all(token.scope != "read" for token in tokens):
        found.append(
            "HTTP listens for other machines, and all of them may read it: `read_token_file` in geodns.yaml, "
            "or GEODNS_READ_TOKEN, asks them for a token"
        )
    if tokens and not encrypted:
        found.append(
            "HTTP listens for other machines without TLS, so tokens can be read on the way: `http_tls` in "
            "geodns.yaml takes a certificate"
        )
    return found
