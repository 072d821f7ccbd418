"""The TCP worker: DNS over connections that stay open (RFC 7766), on every listener of the server."""

import asyncio
import socket
import struct
import time
from collections.abc import Sequence

from geodns.responder.respond import respond
from geodns.serve.connections import UNSENT, Connection, ConnectionServer
from geodns.serve.plan import TcpLimits
from geodns.serve.worker import TableFollower

TURN = 64
"""Queries of one connection that are answered before the others' turn."""

_LENGTH = struct.Struct(">H")


def serve(follower: TableFollower, listeners: Sequence[socket.socket], limits: TcpLimits) -> None:
    """Answer until the worker shall end; raises SystemExit then."""
    asyncio.run(_serve(follower, listeners, limits))
    raise SystemExit(0)


async def _serve(follower: TableFollower, listeners: Sequence[socket.socket], limits: TcpLimits) -> None:
    await _TcpServer(
        follower,
        listeners,
        "TCP",
        most=limits.connections,
        per_client=limits.per_client,
        idle=limits.idle,
    ).run()


class _TcpServer(ConnectionServer):
    def connection(self, listener: int) -> Connection:  # noqa: ARG002 - all answer the same
        return _TcpConnection(self)

    def reply(self, packet: bytes, client: tuple[str, int, str]) -> bytes | None:
        self.keep_up()
        follower = self.follower
        return respond(follower.table, packet, client, time.monotonic(), follower.state)


class _TcpConnection(Connection):
    """One connection: messages of two bytes of length and a query."""

    def __init__(self, server: _TcpServer) -> None:
        super().__init__(server)
        self._server = server
        self._client = ("", 0, "tcp")
        self._in = bytearray()

    @property
    def unread(self) -> bool:
        return bool(self._in)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._client = (*self.peer(), "tcp")

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        if self.over:
            return
        if not self._in:
            self.touch(self.heard)
        self._in += data
        self.answer()

    def answer(self) -> None:
        self.begin_turn()
        answers, more, lost = self._answers()
        if answers:
            self.touch(time.monotonic())
            self.transport.write(answers)
        if lost:
            self.transport.close()
        self.end_turn(more=more)

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
            answer = self._server.reply(packet, self._client)
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
