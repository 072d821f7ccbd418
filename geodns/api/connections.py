"""Bounds the connections of the HTTP side: how many, how many of one client, and how long each may wait.

A connection *waits* while it has no whole request, is between two, or owes the body of one. When places run
out, the one that has waited longest goes, so whoever asks something whole gets an answer. Where all are at
work (streams, slow answers), some further ones are let in for `/healthz`, `/readyz` and orders alone.
"""

import asyncio
import resource
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from geodns.api.nuisances import Nuisances
from geodns.api.responses import RefusedError
from geodns.errors import printable
from geodns.serve.connections import client_key

CONNECTIONS = 500
"""At one time: descriptors are for probes, too."""
PER_CLIENT = 100
"""Of one address, or of one /64 of IPv6."""
KEPT = 50
"""Beyond those, for `OPEN` and orders."""
OPEN = frozenset({"/healthz", "/readyz"})
"""Open to all, at any rate: those who ask are machines that hold no secrets."""
OTHERS = 64
"""Descriptors for everything else; half of the rest are for probes."""
SIGNALS = "/api/v1/signals"
SIMULATE = "/api/v1/simulate"
"""Changes nothing, so reading is enough, although it is asked by POST."""
LARGE = frozenset({"/api/v1/state", SIGNALS, SIMULATE})
"""Their handlers read the bodies, which are larger than others."""
READS = frozenset({"GET", "HEAD"})

HANDSHAKE = 10.0
"""Seconds for TLS."""
IDLE = 75.0
"""Seconds between two requests of a connection."""
HEADERS = 10.0
"""Seconds from the first byte of a request, or from the beginning, to the end of its headers."""
BODY = 10.0
"""Seconds from there to the end of the body."""
UNTAKEN = 20.0
"""Seconds for which a client may take nothing of its answer."""
QUIET = 0.05
"""Seconds without a request, after which nothing more is on its way."""
LINGER = 2.0
"""Seconds for which the rest of a request that was refused is still read: a reset would lose the refusal."""

CLIENTS_FAULTS = (HttpProcessingError, web.RequestPayloadError, ConnectionError)
"""Errors of aiohttp that are no fault of the server's."""

_OPTIONS: dict[str, Any] = {"access_log": None, "keepalive_timeout": IDLE, "lingering_time": LINGER}


class HttpConnection(web.RequestHandler):
    """A client's connection.

    Attributes:
        client: see `client_key`.
        since: when it began to wait; `time.monotonic`.
        patience: seconds from then after which it is ended; None: it is at work.
        spare: one of those that are `KEPT`.

    """

    def __init__(self, room: "Connections", server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            **_OPTIONS,
        )
        self.client: str | bytes = ""
        self.since = time.monotonic()
        self.patience: float | None = HEADERS
        self.spare = False
        self._room = room
        self._unsent = 0
        self._taken = self.since
        """When the client last took something of what it is to get."""
        self._line: asyncio.Transport | None = None
        self._counted = False

    @property
    def remote(self) -> str:
        peer = None if self._line is None else self._line.get_extra_info("peername")
        return str(peer[0]) if peer else ""  # nothing when it is gone again

    def begin(self, transport: asyncio.BaseTransport, patience: float) -> None:
        """Be counted, and wait: for TLS, or for a request."""
        assert isinstance(transport, asyncio.Transport)
        self._line = transport
        self._wait(patience)
        if not self._counted:
            self._counted = True
            self.client = client_key(self.remote)
            self._room.arrived(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.begin(transport, HEADERS)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._room.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.patience == IDLE:
            self._wait(HEADERS)
        super().data_received(data)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        if not self._noted(kw.get("exc_info")):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not self._noted(exc):
            return super().handle_error(request, status, exc, message)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer is sent")
        answer = web.json_response({"error": f"this is no HTTP request: {_first_line(exc)}"}, status=400)
        answer.force_close()
        return answer

    def _noted(self, error: object) -> bool:
        """Count an error that is the client's."""
        if isinstance(error, CLIENTS_FAULTS):
            self._room.nuisances.note("malformed requests", self.remote, _first_line(error))
            return True
        return False

    def _wait(self, patience: float) -> None:
        self.since, self.patience = time.monotonic(), patience

    def is_spare(self) -> bool:
        """Tell whether it is one of those that are kept for others; not any more once there is room."""
        self.spare = self.spare and not self._room.has_place_for(self.client)
        return self.spare

    def await_body(self) -> None:
        self._wait(BODY + 1)  # the request is told so first

    def work(self) -> None:
        self.patience = None

    def rest(self) -> None:
        self._wait(IDLE)

    def look(self, now: float) -> None:
        """End it where its time is over."""
        assert self._line is not None
        unsent = self._line.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._taken = now
        self._unsent = unsent
        late = self.patience is not None and not unsent and now - self.since > self.patience
        if late or now - self._taken > UNTAKEN:
            self.drop()

    def drop(self) -> None:
        if self._line is not None:
            self._line.abort()
        self._room.left(self)


class _Handshake(asyncio.Protocol):
    """Agrees on TLS for a connection, which is counted from its very beginning.

    asyncio's own listener for TLS names a connection only afterwards: who never speaks could not be ended.
    """

    def __init__(self, connection: HttpConnection, tls: ssl.SSLContext) -> None:
        self._connection = connection
        self._tls = tls
        self._early = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._connection.begin(transport, HANDSHAKE + 1)
        if transport.is_closing():  # there was no room
            return
        self._task = asyncio.get_running_loop().create_task(self._agree(transport))

    def data_received(self, data: bytes) -> None:
        self._early += data

    async def _agree(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            # One that is dropped meanwhile would be waited for without end.
            async with asyncio.timeout(HANDSHAKE + 1):
                line = await loop.start_tls(
                    transport, self, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE
                )
        except OSError:
            line = None
        if line is None or line.is_closing():
            self._connection.drop()
            return
        line.set_protocol(self._connection)
        self._connection.connection_made(line)
        if self._early:
            self._connection.data_received(self._early)


class Connections:
    """All connections of the listener.

    Args:
        most: at one time; fewer where the process may open few files.
        nuisances: counts malformed requests.

    """

    LOOK_EVERY = 0.5
    """Seconds between two looks at all of them."""

    def __init__(self, most: int, nuisances: Nuisances) -> None:
        self.nuisances = nuisances
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = most if soft == resource.RLIM_INFINITY else min(most, max(8, (soft - OTHERS) // 2))
        self._open: dict[HttpConnection, None] = {}
        self._ended = False

    def connection(self, server: web.Server, tls: ssl.SSLContext | None) -> asyncio.Protocol:
        """Return the protocol for a client that comes."""
        new = HttpConnection(self, server)
        return new if tls is None else _Handshake(new, tls)

    def arrived(self, new: HttpConnection) -> None:
        self._open[new] = None
        if self._ended:  # it was being let in
            new.drop()
            return
        mine = [one for one in self._open if one.client == new.client]
        if len(mine) > PER_CLIENT:
            self._make_room(mine, new)
        elif len(self._open) > self._most:
            self._make_room(self._open, new)

    def has_place_for(self, client: str | bytes) -> bool:
        """Tell whether a client may have one more; those that are kept for others are left out."""
        plain = [one.client for one in self._open if not one.spare]
        return len(plain) < self._most and plain.count(client) < PER_CLIENT

    def _make_room(self, among: Iterable[HttpConnection], new: HttpConnection) -> None:
        waiting = [one for one in among if one.patience is not None and one is not new]
        if waiting:
            self.nuisances.note("too many connections", new.remote)
            min(waiting, key=lambda one: one.since).drop()
        elif sum(one.spare for one in self._open) < min(KEPT, self._most):
            new.spare = True
        else:
            self.nuisances.note("too many connections", new.remote)
            new.drop()

    @property
    def number(self) -> int:
        return len(self._open)

    @property
    def number_at_work(self) -> int:
        return sum(one.patience is None for one in self._open)

    def left(self, connection: HttpConnection) -> None:
        self._open.pop(connection, None)

    async def answered(self, within: float) -> None:
        """Wait until all that have asked something, or are about to, are answered: at most some seconds."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            await asyncio.sleep(QUIET)
            if all(one.patience == IDLE for one in self._open):
                return

    def drop_waiting(self, number: int) -> None:
        """End those that have waited longest: descriptors have run out."""
        waiting = [one for one in self._open if one.patience is not None]
        for one in sorted(waiting, key=lambda one: one.since)[:number]:
            one.drop()

    def drop_all(self) -> None:
        """End what is left, such as those without TLS yet, and whoever still comes."""
        self._ended = True
        for one in list(self._open):
            one.drop()

    async def watch(self) -> None:
        """End the connections whose time is over, and tell what was counted."""
        while True:
            await asyncio.sleep(self.LOOK_EVERY)
            now = time.monotonic()
            for one in list(self._open):
                one.look(now)
            self.nuisances.tell()


ROOM: web.AppKey[Connections] = web.AppKey("room")


@web.middleware
async def bound(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Hold a request to the bounds of its connection; read its body, for which there is little time.

    Raises:
        RefusedError: 503 on a connection that is kept for others; 408 for a body that is late; 400 for one
            that is broken.

    """
    connection = request.protocol
    if not isinstance(connection, HttpConnection):  # in a test
        await read_in_time(request)
        return await handler(request)
    try:
        if connection.is_spare() and request.path not in OPEN and request.method in READS:
            raise RefusedError(
                503, "too many connections, try again later: those left are for orders, /healthz and /readyz"
            )
        connection.await_body()
        await read_in_time(request)
        connection.work()
        return await handler(request)
    finally:
        connection.rest()


async def read_in_time(request: web.Request, most: int | None = None) -> bytes:
    """Read the body; the request keeps it for its handler, unless its path is in `LARGE`.

    Raises:
        RefusedError: see `bound`.

    """
    if most is not None:
        request = request.clone(client_max_size=most)
    elif request.path in LARGE or not request.can_read_body:
        return b""
    try:
        async with asyncio.timeout(BODY):
            return await request.read()
    except TimeoutError:
        raise RefusedError(408, f"the body did not come within {BODY:g} s") from None
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise RefusedError(400, f"the body cannot be read: {_first_line(error)}") from error


def _first_line(error: object) -> str:
    text = error.message if isinstance(error, HttpProcessingError) else str(error)
    text = text.removeprefix("400, message:").lstrip()  # aiohttp's words for one error inside another
    return printable(text.partition("\n")[0].removesuffix(":"))  # further lines show the bytes
