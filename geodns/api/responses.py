"""What the HTTP side is given to work with, and how it finds it in a request."""

import gzip
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar

from aiohttp import web
from aiohttp.hdrs import ACCEPT_ENCODING

from geodns.api.schemas import (
    ExplanationJson,
    HostJson,
    OrderedJson,
    OutcomeJson,
    StatusJson,
    UnconfirmedJson,
)
from geodns.config.tokens import Token
from geodns.control.host_lookup import require_host
from geodns.control.orders import OrderRequest, OrderResult
from geodns.errors import NotFoundError, printable
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.wire.networks import Network


class Asking(NamedTuple):
    """Who would ask.

    Attributes:
        client: the resolver's address.
        network: the network that it says it asks for (RFC 7871); None: it does not say.

    """

    client: str = "127.0.0.1"
    network: Network | None = None


class Backend(Protocol):
    """What the HTTP side asks of the running server."""

    def zones(self) -> dict[str, Zone]:
        """Return the zones served, by name."""

    def status(self) -> StatusJson:
        """Return everything that ``/status`` shows."""

    def mark(self) -> object:
        """Return what is another one as soon as something worth telling has happened."""

    def unready(self) -> str | None:
        """Return why the server cannot answer; None when it can."""

    def host(self, host: HostKey) -> HostJson:
        """Return a host's status."""

    def explain(self, name: str, rtype: str, asking: Asking) -> ExplanationJson:
        """Return the pools and hosts behind a name, and why; raises NotFoundError."""


Carry = Callable[[OrderRequest], Awaitable[OrderResult]]
"""Carries out what an operator wishes."""

BACKEND: web.AppKey[Backend] = web.AppKey("backend")
METRICS: web.AppKey[Callable[[], bytes]] = web.AppKey("metrics")
CARRY: web.AppKey[Carry] = web.AppKey("carry")
TOKEN: web.RequestKey[Token | None] = web.RequestKey("token")
"""What let a request in; None where nothing had to."""


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


KEPT: web.AppKey[ResponseCache] = web.AppKey("kept")


class RefusedError(Exception):
    """A request that is answered with an error and a status of its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def host_key(request: web.Request) -> HostKey:
    """Return the host that the path names in full; raises NotFoundError."""
    zones = request.app[BACKEND].zones()
    return require_host(zones, request.match_info["zone"], request.match_info["host"])


def takes_gzip(request: web.Request) -> bool:
    """Say whether the client takes gzip (RFC 9110 section 12.5.3)."""
    for part in request.headers.get(ACCEPT_ENCODING, "").split(","):
        coding, _, weight = part.replace(" ", "").lower().partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False


T = TypeVar("T")


def answer(request: web.Request, ordered: OrderResult, *, dry_run: bool, **more: Any) -> web.Response:
    """Return what has become of an order; 202 where some worker may still deal what was dealt before."""
    hosts, gone = {}, []
    for key in ordered.hosts:
        try:
            hosts[key] = request.app[BACKEND].host(key)
        except NotFoundError as error:  # an edit has taken it meanwhile
            gone.append(str(error))
    shown: OrderedJson = {
        "hosts": _by_zone(hosts),
        **outcome_json(ordered._replace(left=(*ordered.left, *gone)), dry_run=dry_run),
        "dealt_by": _by_zone(ordered.dealt_by),
        "cached_s": _by_zone(ordered.cached_s),
    }
    return web.json_response({**shown, **more}, status=202 if ordered.pending else 200)


def outcome_json(ordered: OrderResult, *, dry_run: bool) -> OutcomeJson:
    """Return what has become of an order, without its hosts."""
    return {
        "pools": ordered.pools,
        "pending": list(ordered.pending),
        "notes": list(ordered.notes),
        "left": list(ordered.left),
        "dry_run": dry_run,
        "confirm": ordered.refused or None,
    }


def _by_zone(hosts: Mapping[HostKey, T]) -> dict[str, dict[str, T]]:
    shown: dict[str, dict[str, T]] = {}
    for key, value in hosts.items():
        shown.setdefault(key[0], {})[key[1]] = value
    return shown


def unconfirmed(ordered: OrderResult) -> web.Response:
    """Return what somebody has to say yes to."""
    error = f"{ordered.refused}: nothing was changed; say yes (`--yes`) if that is meant"
    shown: UnconfirmedJson = {"error": error, "confirm": True, "pools": ordered.pools}
    return web.json_response(shown, status=409)


def author_of(request: web.Request) -> str:
    """Return who asks, as far as it is known."""
    said = f"{printable(request.headers.get('X-Geodns-Author', 'api')[:100])}@{request.remote}"
    token = request[TOKEN]
    return said if token is None or token.name is None else f"{said} (token {token.name})"
