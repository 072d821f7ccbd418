"""The TCP worker: DNS over connections that stay open (RFC 7766), on every listener of the server."""

import asyncio
import contextlib
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Sequence

from geodns.responder import respond
from geodns.serve.worker import AGAIN, Follower

IDLE = 10.0
"""Seconds that a connection may stay without a whole query, or with an answer that is not taken."""

CONNECTIONS = 1000
"""Connections at one time; past that the one that was idle longest goes."""

PER_CLIENT = 100
"""Connections of one address at one time; further ones are closed at once."""

UNSENT = 1 << 16
"""Bytes of answers that a client leaves untaken before its queries wait."""

TURN = 64
"""Queries of one connection that are answered before the others' turn."""

_LENGTH = struct.Struct(">H")


def serve(follower: Follower, listeners: Sequence[socket.socket]) -> None:
    """Answer until the worker shall end, which raises SystemExit."""
    asyncio.run(_Server(follower).run(listeners))
    raise SystemExit(0)


class _Server:
    """All connections, and the worker's own affairs between them."""

    def __init__(self, follower: Follower) -> None:
        self.connections: set[_Connection] = set()
        self.by_client: Counter[str] = Counter()
        self._follower = follower
        self._seen = AGAIN
        self._end = asyncio.Event()

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        """Serve until SIGTERM or the supervisor's end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end.set)
        loop.add_reader(self._follower.stream.socket, self._changed)
        servers = [await loop.create_server(lambda: _Connection(self), sock=one) for one in listeners]
        tick = asyncio.create_task(self._tick())
        await self._end.wait()
        tick.cancel()
        loop.remove_reader(self._follower.stream.socket)
        for server in servers:
            server.close()
        for connection in self.connections:
            connection.close()
        await asyncio.sleep(0)  # the turn in which connections close

    def answer(self, packet: bytes, client: tuple[str, int, str]) -> bytes | None:
        """Return the answer from the newest Table there is."""
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
        with contextlib.suppress(SystemExit):
            while True:
                now = time.monotonic()
                self._follower.pulse(now)
                for connection in [one for one in self.connections if now - one.last > IDLE]:
                    connection.drop()
                await asyncio.sleep(1.0)
        self._end.set()


class _Connection(asyncio.Protocol):
    """One connection: messages of two bytes of length and a query, answered in order.

    Attributes:
        last: when a whole query came or an answer was taken last, by `time.monotonic`.

    """

    def __init__(self, server: _Server) -> None:
        self.last = time.monotonic()
        self._server = server
        self._transport: asyncio.Transport
        self._client = ("", 0, "tcp")
        self._in = bytearray()
        self._full = False
        self._turn: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in, if there is room."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNSENT)
        peer = transport.get_extra_info("peername") or ("", 0)
        self._client = (peer[0], peer[1], "tcp")
        server = self._server
        server.connections.add(self)
        server.by_client[self._client[0]] += 1
        if server.by_client[self._client[0]] > PER_CLIENT:
            self.drop()
        elif len(server.connections) > CONNECTIONS:
            min(server.connections, key=lambda one: one.last).drop()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection."""
        if self._turn is not None:
            self._turn.cancel()
        server = self._server
        server.connections.discard(self)
        server.by_client[self._client[0]] -= 1
        if not server.by_client[self._client[0]]:
            del server.by_client[self._client[0]]

    def close(self) -> None:
        """Close when what is answered is sent."""
        self._transport.close()

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._server.connections.discard(self)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer every query that is whole now."""
        self._in += data
        self._answer()

    def pause_writing(self) -> None:
        """Answer no more: the client does not take what it has asked for."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on where the client was too slow."""
        self.last = time.monotonic()
        self._full = False
        self._answer()

    def _answer(self) -> None:
        """Answer a turn's queries; read on only when all that came is answered."""
        self._turn = None
        answers = bytearray()
        start = 0
        whole = False
        for _ in range(TURN):
            if len(answers) >= UNSENT:
                break
            whole, packet, start = self._next(start)
            if not whole:
                break
            answer = self._server.answer(packet, self._client)
            if answer is None:
                # What is no query at all is no DNS client either, or one that lost its place.
                self._transport.write(bytes(answers))
                self.close()
                return
            answers += _LENGTH.pack(len(answer)) + answer
        del self._in[:start]
        if answers:
            self.last = time.monotonic()
            self._transport.write(bytes(answers))
        if self._transport.is_closing():
            return
        if whole or self._full:
            self._transport.pause_reading()
            if not self._full:
                self._turn = asyncio.get_running_loop().call_soon(self._answer)
        else:
            self._transport.resume_reading()

    def _next(self, start: int) -> tuple[bool, bytes, int]:
        """Return whether there is a whole message at `start`, the message, and where the next one starts."""
        if len(self._in) < start + 2:
            return False, b"", start
        end = start + 2 + _LENGTH.unpack_from(self._in, start)[0]
        if len(self._in) < end:
            return False, b"", start
        return True, bytes(self._in[start + 2 : end]), end
