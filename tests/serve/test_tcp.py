"""A TCP worker that leaves as another takes its place: nobody is refused, reset or left unanswered."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Awaitable, Callable

import dns.edns
import dns.message
import pytest

from geodns.responder.table import EMPTY
from geodns.serve import connections
from geodns.serve.frames import Stream
from geodns.serve.tcp import _TcpServer
from geodns.serve.worker import LEAVE, TableFollower

SOON = 20.0
KEEPALIVE = dns.edns.OptionType.make(11)
"""RFC 7828."""


def framed(*, number: int = 1) -> bytes:
    query = dns.message.make_query(
        "out.example.com", "A", use_edns=0, options=[dns.edns.GenericOption(KEEPALIVE, b"")], id=number
    )
    wire = query.to_wire()
    return struct.pack(">H", len(wire)) + wire


async def answer(reader: asyncio.StreamReader) -> tuple[int, float]:
    """An answer's number, and the seconds that it says a connection may be idle."""
    (length,) = struct.unpack(">H", await asyncio.wait_for(reader.readexactly(2), SOON))
    message = dns.message.from_wire(await asyncio.wait_for(reader.readexactly(length), SOON))
    option = next(one for one in message.options if one.otype == KEEPALIVE)
    return message.id, struct.unpack(">H", option.to_wire())[0] / 10


def run(test: Callable[[socket.socket, asyncio.Task[None]], Awaitable[None]], idle: float = 30.0) -> None:
    """Run a test beside a worker; it gets the listener, as other processes have it, and the worker's end."""

    async def whole() -> None:
        ours, theirs = socket.socketpair()
        word = memoryview(bytearray(8)).cast("Q")
        with ours, theirs, socket.socket() as listener, listener.dup() as shared:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            follower = TableFollower("tcp", "tcp", Stream(theirs), word, (EMPTY, 1), os.getppid())
            server = _TcpServer(follower, [listener], "TCP", most=100, per_client=100, idle=idle)
            serving = asyncio.create_task(server.run())
            await asyncio.sleep(0)
            try:
                await test(shared, serving)
            finally:
                if not serving.done():
                    signal.raise_signal(signal.SIGTERM)
                await asyncio.wait_for(serving, SOON)

    asyncio.run(whole())


def test_who_is_there_is_answered_and_asked_to_go_and_who_comes_waits_for_the_other_worker() -> None:
    async def test(shared: socket.socket, serving: asyncio.Task[None]) -> None:
        address = shared.getsockname()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(framed())
        assert await answer(reader) == (1, 10.0)
        writer.write(framed(number=2)[:20])
        await asyncio.sleep(0.05)  # so that it is read, or will be
        signal.raise_signal(LEAVE)
        await asyncio.sleep(0.05)
        shared.setblocking(False)
        with socket.create_connection(address, SOON) as other:
            other.sendall(framed())
            taken, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(shared), SOON)
            assert taken.recv(1000) == framed(), "it waited for another process"
            taken.close()
        writer.write(framed(number=2)[20:] + framed(number=3))
        assert await answer(reader) == (2, 0.0)
        assert await answer(reader) == (3, 0.0)
        assert not serving.done()
        writer.close()
        await asyncio.wait_for(serving, SOON)

    run(test)


def test_a_connection_without_a_question_is_let_go_of_without_a_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_TcpServer, "UNUSED", 0.1)

    async def test(shared: socket.socket, serving: asyncio.Task[None]) -> None:
        reader, writer = await asyncio.open_connection(*shared.getsockname())
        writer.write(framed())
        await answer(reader)
        signal.raise_signal(LEAVE)
        assert await asyncio.wait_for(reader.read(), SOON) == b""
        writer.write(framed())  # it crossed the end: read, so that there is no reset
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(serving, SOON)

    run(test)


@pytest.mark.parametrize("deaf", [False, True])
def test_who_asks_on_and_on_meets_the_end_between_two_questions(
    monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    monkeypatch.setattr(_TcpServer, "UNUSED", 0.2)
    monkeypatch.setattr(connections, "PATIENCE", 0.2)

    async def test(shared: socket.socket, serving: asyncio.Task[None]) -> None:
        reader, writer = await asyncio.open_connection(*shared.getsockname())
        signal.raise_signal(LEAVE)
        asked = 0
        while True:
            try:
                writer.write(framed(number=asked % 9) + framed(number=asked % 9 + 1))
                assert (await answer(reader))[0] == asked % 9
                assert (await answer(reader))[0] == asked % 9 + 1
            except asyncio.IncompleteReadError as error:
                cut_off = error.partial
                break
            asked += 2
        assert not cut_off
        assert asked >= 10
        assert not serving.done()
        while deaf and not serving.done():
            writer.write(framed())
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(serving, SOON)

    run(test, idle=600.0)


@pytest.mark.parametrize("bound", ["idle", "most", "the server's end"])
def test_who_is_waited_for_holds_it_up_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(_TcpServer, "PARTS", False)
    monkeypatch.setattr(connections, "LONGEST_LEAVE", 0.3 if bound == "most" else 600.0)
    monkeypatch.setattr(connections, "PATIENCE", 0.3)

    async def test(shared: socket.socket, serving: asyncio.Task[None]) -> None:
        reader, writer = await asyncio.open_connection(*shared.getsockname())
        signal.raise_signal(LEAVE)
        asked = 0
        while not serving.done():
            writer.write(framed())
            try:
                await answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            asked += 1
            if asked == 10 and bound == "the server's end":
                signal.raise_signal(signal.SIGTERM)
        assert asked >= 10
        writer.close()
        await asyncio.wait_for(serving, SOON)

    run(test, idle=0.3 if bound == "idle" else 600.0)


def test_connections_that_were_accepted_as_it_leaves_are_answered() -> None:
    async def test(shared: socket.socket, serving: asyncio.Task[None]) -> None:
        clients = []
        for _ in range(20):
            client = socket.create_connection(shared.getsockname(), SOON)
            client.sendall(framed())
            clients.append(client)
        await asyncio.sleep(0)  # accepted, without a protocol yet
        signal.raise_signal(LEAVE)
        await asyncio.sleep(0.2)
        shared.setblocking(False)
        waiting = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                shared.accept()[0].close()
                waiting += 1
        answered = 0
        for client in clients:
            client.settimeout(SOON)
            with contextlib.suppress(ConnectionError):
                answered += bool(client.recv(2))
            client.close()
        assert answered + waiting == len(clients)
        assert answered
        await asyncio.wait_for(serving, SOON)

    run(test)
