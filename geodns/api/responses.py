"""Helpers of all handlers: services, answers cached for a moment, the host and the author of a request."""

import gzip
import json
from collections.abc import Callable, Mapping
from functools import cached_property

from aiohttp import web
from aiohttp.hdrs import ACCEPT_ENCODING

from geodns.config.tokens import Token
from geodns.control.host_lookup import require_host
from geodns.control.services import Services
from geodns.errors import printable
from geodns.model.state import HostKey

SERVICES: web.AppKey[Services] = web.AppKey("services")
TOKEN: web.RequestKey[Token | None] = web.RequestKey("token")
"""The token that let a request in; None where it needed none."""


def has_token(request: web.Request) -> bool:
    """Tell whether a good token came with a request, needed or not."""
    return request.get(TOKEN) is not None


class CachedBody:
    """The body of an answer, packed once for all who take that.

    Attributes:
        plain: its bytes.

    """

    def __init__(self, plain: bytes) -> None:
        self.plain = plain

    @cached_property
    def packed(self) -> bytes:
        """The same through gzip."""
        return gzip.compress(self.plain, 1)


class ResponseCache:
    """Answers that are costly to make, kept for a moment: many may watch, and what they see is the same.

    Args:
        clock: seconds, of any beginning.
        worked: seconds that this thread has computed, of any beginning; a busy machine makes no answer older.

    """

    LEAST = 0.2
    """Seconds for which every answer is kept."""
    TIMES = 10
    """So many times as long as it was computed, if that is longer: each takes a tenth of a core at most."""
    LONGEST = 2.0
    """Seconds for which none is kept longer."""
    MOST = 64
    """So many answers at most: some are made for what a client says."""

    def __init__(self, clock: Callable[[], float], worked: Callable[[], float]) -> None:
        self._clock = clock
        self._worked = worked
        self._kept: dict[str, tuple[float, object, CachedBody]] = {}

    def get(self, name: str, mark: object, make: Callable[[], bytes]) -> CachedBody:
        """Return an answer that was made a moment ago, or make it.

        Args:
            name: of the answer.
            mark: an answer with another one is of no use any more.
            make: makes it.

        """
        known = self._kept.get(name)
        if known is not None and known[1] == mark and self._clock() < known[0]:
            return known[2]
        began = self._worked()
        answer = CachedBody(make())
        cost = self._worked() - began
        if len(self._kept) >= self.MOST:
            self._kept.clear()
        until = self._clock() + min(self.LONGEST, max(self.LEAST, self.TIMES * cost))
        self._kept[name] = until, mark, answer
        return answer


CACHE: web.AppKey[ResponseCache] = web.AppKey("cache")


class RefusedError(Exception):
    """A request that is answered with an error and a status of its own.

    Attributes:
        status: of HTTP.
        again: seconds after which it may come again; None: nothing is said of that.

    """

    def __init__(self, status: int, text: str, again: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.again = again


def host_key(request: web.Request) -> HostKey:
    """Return the host that the path names in full; raises NotFoundError."""
    zones = request.app[SERVICES].cluster.zones
    return require_host(zones, request.match_info["zone"], request.match_info["host"])


def cached(request: web.Request, name: str, make: Callable[[], bytes], kind: str) -> web.Response:
    """Return an answer that is made at most once in a moment; anew as soon as something is told."""
    services = request.app[SERVICES]
    mark = services.cluster.compiled, services.events.last, services.watchdog.ready
    body = request.app[CACHE].get(name, mark, make)
    headers = {"Content-Type": kind, "Vary": "Accept-Encoding"}
    if not takes_gzip(request):
        return web.Response(body=body.plain, headers=headers)
    return web.Response(body=body.packed, headers=headers | {"Content-Encoding": "gzip"})


def cached_json(request: web.Request, name: str, make: Callable[[], Mapping[str, object]]) -> web.Response:
    """Return an answer in JSON that is made at most once in a moment."""
    return cached(request, name, lambda: json.dumps(make()).encode(), "application/json; charset=utf-8")


def takes_gzip(request: web.Request) -> bool:
    """Say whether the client takes gzip (RFC 9110 section 12.5.3)."""
    for part in request.headers.get(ACCEPT_ENCODING, "").split(","):
        coding, _, weight = part.replace(" ", "").lower().partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False


def author_of(request: web.Request) -> str:
    """Return who asks, as far as it is known."""
    said = f"{printable(request.headers.get('X-Geodns-Author', 'api')[:100])}@{request.remote}"
    token = request[TOKEN]
    return said if token is None or token.name is None else f"{said} (token {token.name})"
