"""Bounds the connections of clients that a worker answers, gives them turns, and ends them."""

import asyncio
import contextlib
import errno
import logging
import resource
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from geodns.serve.sockets import BACKLOG
from geodns.serve.worker import AGAIN, LEAVE, TableFollower
from geodns.wire.networks import packed

log = logging.getLogger(__name__)

UNSENT = 1 << 16
"""Bytes of answers that a client leaves untaken before its queries wait."""

KERNEL_BUFFER = 1 << 17
"""Bytes that the kernel may hold of one connection, each way; left to itself it takes megabytes for a client
that sends all the time, or never reads."""

ACCEPTED = 64
"""Connections of one listener that are let in at once."""

ROOM = 64
"""Descriptors that the worker keeps for everything but connections."""

PATIENCE = 1.0
"""Seconds that clients have at the worker's end: to send the rest of a query, take their answers, close."""

QUIET = 0.05
"""Seconds of these without a byte from any client, after which nothing more is on its way."""

UNUSED = 1.0
"""Seconds without a question after which a leaving worker lets go of a connection; who asks on and on has as
long to go by itself."""

LONGEST_LEAVE = 60.0
"""Seconds after which a leaving worker goes, however long a connection may be idle."""

FULL_EVERY = 60.0
"""Seconds from one line about a lack of descriptors to the next."""

_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def client_key(host: str) -> str | bytes:
    """Count connections by IPv4 address, or by the /64 that an IPv6 client owns."""
    return packed(host)[:8] if ":" in host else host


def _within_descriptors(wanted: int, listeners: int, what: str) -> int:
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
            "only %d %s connections at one time, not %d: the limit of open files is %d "
            "(LimitNOFILE= of the service, or ulimit -n)",
            possible,
            what,
            wanted,
            soft,
        )
    return possible


class ConnectionServer(ABC):
    """All connections, and the worker's own affairs between them.

    Attributes:
        connections: the one that has been idle longest stands first.
        by_client: connections of each client, see `client_key`.
        leaving: another worker lets clients in; those that are here are answered on.
        parting: who still asks has had time to go by itself, and is let go of behind its next answer.
        ending: only what was asked before is still answered.

    """

    UNUSED = UNUSED
    PARTS = True
    """Whether who asks on and on is let go of after that time too."""

    def __init__(
        self,
        follower: TableFollower,
        listeners: Sequence[socket.socket],
        what: str,
        *,
        most: int,
        per_client: int,
        idle: float,
    ) -> None:
        """Prepare a server.

        Args:
            follower: the worker's link.
            listeners: where clients connect.
            what: its connections are called in logs.
            most: connections at one time.
            per_client: of one client at one time.
            idle: seconds that a connection may stay idle.

        """
        self.connections: OrderedDict[Connection, None] = OrderedDict()
        self.by_client: Counter[str | bytes] = Counter()
        self.leaving = False
        self.parting = False
        self.ending = False
        self.follower = follower
        self._listeners = listeners
        self._what = what
        self._most = _within_descriptors(most, len(listeners), what)
        self._per_client = per_client
        self._idle = idle
        self._seen = AGAIN
        self._full_told = -FULL_EVERY
        self._leave = asyncio.Event()
        self._end = asyncio.Event()
        self._empty = asyncio.Event()

    @abstractmethod
    def connection(self, listener: int) -> "Connection":
        """Return a connection for a client of one of the listeners, by its place among them."""

    def tick(self, now: float) -> None:
        """Do what is to be done each second."""
        self.follower.pulse(now)

    async def run(self) -> None:
        """Serve until the worker shall end."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._trouble)
        loop.add_signal_handler(signal.SIGTERM, self._end.set)
        loop.add_signal_handler(LEAVE, self._leave.set)
        loop.add_reader(self.follower.stream.socket, self._changed)
        servers = []
        for number, one in enumerate(self._listeners):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # a connection inherits them
                one.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)

            def made(number: int = number) -> Connection:
                return self.connection(number)

            servers.append(await loop.create_server(made, sock=one, backlog=ACCEPTED))
            one.listen(BACKLOG)  # asyncio has one number for both
        tick = asyncio.create_task(self._tick())
        ends = asyncio.create_task(self._end.wait())
        leaves = asyncio.create_task(self._leave.wait())
        await asyncio.wait({ends, leaves}, return_when=asyncio.FIRST_COMPLETED)
        leaves.cancel()
        await self._accept_no_more(servers)
        if not self._end.is_set():
            await self._answer_out()
        ends.cancel()
        tick.cancel()
        loop.remove_reader(self.follower.stream.socket)
        await self._finish()

    async def _accept_no_more(self, servers: Sequence[asyncio.Server]) -> None:
        """Close the listeners, which stay open where other processes have them."""
        loop = asyncio.get_running_loop()
        self.leaving = True
        for one in self._listeners:
            loop.remove_reader(one)
        for _ in range(3):  # asyncio would lose the sockets that it has accepted a moment ago
            await asyncio.sleep(0)
        for server in servers:
            server.close()

    async def _answer_out(self) -> None:
        """Answer those who are here until they go, or ask nothing; another worker lets new ones in.

        Who asks on and on hears with each answer that it shall go (RFC 7828 section 3.4). Where it does not,
        it meets the end between two questions (RFC 7766 section 6.2.3).
        """
        self.follower.ask_to_go()
        begun = time.monotonic()
        end = begun + min(self._idle, LONGEST_LEAVE)
        while self.connections and not self._end.is_set() and (now := time.monotonic()) < end:
            self.parting = self.PARTS and now - begun >= self.UNUSED
            for one in list(self.connections):
                if one.over:
                    if now - one.ended >= PATIENCE:
                        one.drop()
                elif now - one.last >= self.UNUSED:
                    one.finish()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._end.wait(), min(QUIET, end - now))

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

    def arrived(self, connection: "Connection") -> None:
        """Let a connection in, if there is room; where there is none, the one that was idle longest goes."""
        self.connections[connection] = None
        self.by_client[connection.key] += 1
        if self.by_client[connection.key] > self._per_client or self.ending:
            connection.drop()
        elif len(self.connections) > self._most:
            next(iter(self.connections)).drop()

    def moved(self, connection: "Connection") -> None:
        if connection in self.connections:
            self.connections.move_to_end(connection)

    def left(self, connection: "Connection") -> None:
        self.connections.pop(connection, None)
        self.by_client[connection.key] -= 1
        if not self.by_client[connection.key]:
            del self.by_client[connection.key]
        self._left()

    def _left(self) -> None:
        if self.ending and not self.connections:
            self._empty.set()

    def keep_up(self) -> None:
        """Take the changes that have come since the last answer."""
        if self.follower.word[0] != self._seen and not self.follower.behind:
            self._catch_up()

    def _changed(self) -> None:
        self._catch_up(0)

    def _catch_up(self, budget: float | None = None) -> None:
        try:
            self._seen = self.follower.catch_up() if budget is None else self.follower.catch_up(budget)
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
                self.tick(now)
                while self.connections and now - (oldest := next(iter(self.connections))).last > self._idle:
                    oldest.drop()
                await asyncio.sleep(min(1.0, self._idle / 4))
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
            log.error("no room for a %s connection (%s): those idle longest go", self._what, error.strerror)


class Connection(asyncio.Protocol, ABC):
    """One connection, whose questions are answered in order.

    Attributes:
        key: what its client is counted by.
        last: when the connection, a question or an answer was begun last, by `time.monotonic`. The bytes of
            a question that follow its first do not count: a client cannot trickle them.
        heard: when a byte came last.
        transport: to the client.
        full: whether the client does not take its answers.
        over: whether nothing more is answered.
        ended: when the client was told so.

    """

    def __init__(self, server: ConnectionServer) -> None:
        self.key: str | bytes = ""
        self.last = self.heard = time.monotonic()
        self.transport: asyncio.Transport
        self.full = False
        self.over = False
        self.ended = 0.0
        self._all = server
        self._turn: asyncio.Handle | None = None

    @property
    @abstractmethod
    def unread(self) -> bool:
        """Whether something has come that is not answered yet."""

    @abstractmethod
    def answer(self) -> None:
        """Answer a turn's questions; read on only when all that came is answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=UNSENT)
        self.key = client_key(self.peer()[0])
        self._all.arrived(self)

    def peer(self) -> tuple[str, int]:
        """Return the client's address and port; without them where it is gone again, or has none."""
        found = self.transport.get_extra_info("peername") or ("", 0)
        return found[0], found[1]

    def connection_lost(self, _error: Exception | None) -> None:
        self.begin_turn()
        self._all.left(self)

    def drop(self) -> None:
        """Close at once, whatever is still to be sent."""
        self._all.connections.pop(self, None)
        self.transport.abort()

    def finish(self) -> None:
        """Say that nothing more will come, once all that was asked is answered and sent."""
        unread = self.unread or self.full or self._turn is not None
        if self.over or unread or self.transport.is_closing():
            return
        self.say_end()

    def say_end(self) -> None:
        """Say that nothing more will come, behind what is still to be sent, and wait for the client's end."""
        self.over = True
        self.ended = time.monotonic()
        try:
            self.transport.write_eof()
        except OSError:  # it is gone, and that was not seen while nothing was read
            self.drop()
            return
        self.transport.resume_reading()

    def pause_writing(self) -> None:
        """Answer no more: the client does not take its answers."""
        self.full = True

    def resume_writing(self) -> None:
        """Go on where the client was too slow."""
        self.full = False
        if not self.over:
            self.touch(time.monotonic())
            self.answer()

    def touch(self, now: float) -> None:
        self.last = now
        self._all.moved(self)

    def begin_turn(self) -> None:
        """Forget the turn that was to come."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def end_turn(self, *, more: bool) -> None:
        """Read on, or have another turn where there may be more that has come."""
        if self.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if more or self.full:
            self.transport.pause_reading()
            if not self.full:
                self._turn = loop.call_soon(self.answer)
            return
        self.transport.resume_reading()
        if self._all.parting:
            self.finish()
        elif self._all.ending:
            loop.call_later(QUIET, self.finish)
