"""The TCP worker: DNS over connections that stay open (RFC 7766), on every listener of the server."""

import asyncio
import contextlib
import errno
import logging
import resource
import signal
import socket
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from geodns.responder.respond import respond
from geodns.serve.plan import TcpLimits
from geodns.serve.sockets import BACKLOG
from geodns.serve.worker import AGAIN, TableFollower
from geodns.wire.networks import packed

log = logging.getLogger(__name__)

UNSENT = 1 << 16
"""Bytes of answers that a client leaves untaken before its queries wait."""

KERNEL_BUFFER = 1 << 17
"""Bytes that the kernel may hold of one connection, each way; left to itself it takes megabytes for a client
that sends all the time, or never reads."""

TURN = 64
"""Queries of one connection that are answered before the others' turn."""

ACCEPTED = 64
"""Connections of one listener that are let in at once."""

ROOM = 64
"""Descriptors that the worker keeps for everything but connections."""

PATIENCE = 1.0
"""Seconds that clients have at the worker's end: to send the rest of a query, take their answers, close."""

QUIET = 0.05
"""Seconds of these without a byte from any client, after which nothing more is on its way."""

FULL_EVERY = 60.0
"""Seconds from one line about a lack of descriptors to the next."""

_LENGTH = struct.Struct(">H")
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def serve(follower: TableFollower, listeners: Sequence[socket.socket], limits: TcpLimits) -> None:
    """Answer until the worker shall end; raises SystemExit then."""
    asyncio.run(_TcpServer(follower, limits, len(listeners)).run(listeners))
    raise SystemExit(0)


def client_key(host: str) -> str | bytes:
    """Count connections by IPv4 address, or by the /64 that an IPv6 client owns."""
    return packed(host)[:8] if ":" in host else host


def _within_descriptors(wanted: int, listeners: int) -> int:
    """Raise the limit of open files for the connections wanted; return how many there is room for."""
    reserve = ROOM + ACCEPTED * listeners
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted + reserve if hard == resource.RLIM_INFINITY else min(hard, wanted + reserve)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError):  # a system-call filter may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            soft = allowed
    possible = wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - reserve))
    if possible < wanted:
        log.warning(
            "only %d TCP connections at one time, not %d: the limit of open files is %d "
            "(LimitNOFILE= of the service, or ulimit -n)",
            possible,
            wanted,
            soft,
        )
    return possible


class _TcpServer:
    """All connections, and the worker's own affairs between them.

    Attributes:
        connections: the one that has been idle longest stands first.
        by_client: connections of each client, see `client_key`.
        ending: only what was asked before is still answered.

    """

    def __init__(self, follower: TableFollower, limits: TcpLimits, listeners: int) -> None:
        self.connections: OrderedDict[_Connection, None] = OrderedDict()
        self.by_client: Counter[str | bytes] = Counter()
        self.ending = False
        self._limits = limits
        self._most = _within_descriptors(limits.connections, listeners)
        self._follower = follower
        self._seen = AGAIN
        self._full_told = -FULL_EVERY
        self._end = asyncio.Event()
        self._empty = asyncio.Event()

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._trouble)
        loop.add_signal_handler(signal.SIGTERM, self._end.set)
        loop.add_reader(self._follower.stream.socket, self._changed)
        servers = []
        for one in listeners:
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # a connection inherits them
                one.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
            servers.append(await loop.create_server(lambda: _Connection(self), sock=one, backlog=ACCEPTED))
            one.listen(BACKLOG)  # asyncio has one number for both
        tick = asyncio.create_task(self._tick())
        await self._end.wait()
        tick.cancel()
        loop.remove_reader(self._follower.stream.socket)
        for server in servers:
            server.close()
        await self._finish()

    async def _finish(self) -> None:
        """Answer what was asked, and let go of the clients (RFC 7766 section 6.2.4).

        A client must not meet a reset: it would lose answers that it has not read yet. So each is told the
        end (FIN) when it has all its answers, and has then a while to close from its side.
        """
        end = time.monotonic() + PATIENCE
        while self.connections:
            await asyncio.sleep(QUIET / 5)
            newest = next(reversed(self.connections), None)
            if newest is None or not newest.heard + QUIET > time.monotonic() < end:
                break
        self.ending = True
        for connection in list(self.connections):
            connection.finish()
        self._left()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), max(0.0, end - time.monotonic()))
        for connection in list(self.connections):
            connection.drop()
        await asyncio.sleep(0)  # the turn in which connections close

    def arrived(self, connection: "_Connection") -> None:
        """Let a connection in, if there is room; where there is none, the one that was idle longest goes."""
        self.connections[connection] = None
        self.by_client[connection.key] += 1
        if self.by_client[connection.key] > self._limits.per_client or self.ending:
            connection.drop()
        elif len(self.connections) > self._most:
            next(iter(self.connections)).drop()

    def moved(self, connection: "_Connection") -> None:
        if connection in self.connections:
            self.connections.move_to_end(connection)

    def left(self, connection: "_Connection") -> None:
        self.connections.pop(connection, None)
        self.by_client[connection.key] -= 1
        if not self.by_client[connection.key]:
            del self.by_client[connection.key]
        self._left()

    def _left(self) -> None:
        if self.ending and not self.connections:
            self._empty.set()

    def answer(self, packet: bytes, client: tuple[str, int, str]) -> bytes | None:
        follower = self._follower
        if follower.word[0] != self._seen and not follower.behind:
            self._catch_up()
        return respond(follower.table, packet, client, time.monotonic(), follower.state)

    def _changed(self) -> None:
        self._catch_up(0)

    def _catch_up(self, budget: float | None = None) -> None:
        try:
            self._seen = self._follower.catch_up() if budget is None else self._follower.catch_up(budget)
        except SystemExit:
            self._end.set()
            return
        if self._seen == AGAIN:
            asyncio.get_running_loop().call_soon(self._changed)

    async def _tick(self) -> None:
        """Report, and close what is idle."""
        idle = self._limits.idle
        with contextlib.suppress(SystemExit):
            while True:
                now = time.monotonic()
                self._follower.pulse(now)
                while self.connections and now - (oldest := next(iter(self.connections))).last > idle:
                    oldest.drop()
                await asyncio.sleep(min(1.0, idle / 4))
        self._end.set()

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room where a connection could not be let in; asyncio tries again in a second."""
        error = context.get("exception")
        if isinstance(error, ValueError) and self._end.is_set():
            return  # the next try, where the listener is closed by now
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            loop.default_exception_handler(context)
            return
        for oldest in list(self.connections)[:ACCEPTED]:
            oldest.drop()
        now = time.monotonic()
        if now - self._full_told >= FULL_EVERY:
            self._full_told = now
            log.error("no room for a TCP connection (%s): those idle longest go", error.strerror)


class _Connection(asyncio.Protocol):
    """One connection: messages of two bytes of length and a query, answered in order.

    Attributes:
        key: what its client is counted by.
        last: when the connection, a query or an answer was begun last, by `time.monotonic`. The bytes of a
            query that follow its first do not count: a client cannot trickle them.
        heard: when a byte came last.

    """

    def __init__(self, server: _TcpServer) -> None:
        self.key: str | bytes = ""
        self.last = self.heard = time.monotonic()
        self._server = server
        self._transport: asyncio.Transport
        self._client = ("", 0, "tcp")
        self._in = bytearray()
        self._full = False
        self._over = False
        self._turn: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNSENT)
        peer = transport.get_extra_info("peername") or ("", 0)  # nothing when it is gone again
        self._client = (peer[0], peer[1], "tcp")
        self.key = client_key(peer[0])
        self._server.arrived(self)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._turn is not None:
            self._turn.cancel()
        self._server.left(self)

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._server.connections.pop(self, None)
        self._transport.abort()

    def finish(self) -> None:
        """Say that nothing more will come, once all that was asked is answered and sent."""
        unread = self._in or self._full or self._turn is not None
        if self._over or unread or self._transport.is_closing():
            return
        self._over = True
        self._transport.write_eof()
        self._transport.resume_reading()  # the client's end is to be seen

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        if self._over:
            return
        if not self._in:
            self._touch(self.heard)
        self._in += data
        self._answer()

    def pause_writing(self) -> None:
        """Answer no more: the client does not take its answers."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on where the client was too slow."""
        self._full = False
        if not self._over:
            self._touch(time.monotonic())
            self._answer()

    def _touch(self, now: float) -> None:
        self.last = now
        self._server.moved(self)

    def _answer(self) -> None:
        """Answer a turn's queries; read on only when all that came is answered."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        answers, more, lost = self._answers()
        if answers:
            self._touch(time.monotonic())
            self._transport.write(answers)
        if lost:
            self._transport.close()
        if self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if more or self._full:
            self._transport.pause_reading()
            if not self._full:
                self._turn = loop.call_soon(self._answer)
            return
        self._transport.resume_reading()
        if self._server.ending:
            loop.call_later(QUIET, self.finish)

    def _answers(self) -> tuple[bytes, bool, bool]:
        """Return a turn's answers, whether there may be more queries, and whether one got no answer at all.

        Who sends such a query is no DNS client, or one that lost its place in the stream.
        """
        answers = bytearray()
        start = 0
        whole = lost = False
        for _ in range(TURN):
            whole, packet, start = self._next(start)
            if not whole:
                break
            answer = self._server.answer(packet, self._client)
            if answer is None:
                lost = True
                break
            answers += _LENGTH.pack(len(answer)) + answer
            if len(answers) >= UNSENT:
                break
        del self._in[:start]
        return bytes(answers), whole, lost

    def _next(self, start: int) -> tuple[bool, bytes, int]:
        """Return whether a whole message stands at `start`, the message, and where the next one starts."""
        if len(self._in) < start + 2:
            return False, b"", start
        end = start + 2 + _LENGTH.unpack_from(self._in, start)[0]
        if len(self._in) < end:
            return False, b"", start
        return True, bytes(self._in[start + 2 : end]), end
