"""Hostile clients of the HTTP side: half requests, bodies that never come, answers that nobody takes."""

import asyncio
import contextlib
import errno
import gzip
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from geodns.api import connections, nuisances
from geodns.api.access import ACCESS, Access, guard
from geodns.api.connections import bound
from geodns.api.nuisances import NUISANCES, Nuisances
from geodns.api.site import Site

HALF = b"GET /healthz HTTP/1.1\r\nHost: "
ASK = b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Lab:
    """A listener, and clients that speak to it in bytes."""

    def __init__(self, app: web.Application, most: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.site = Site(app, self.listener, None, end=0.2, connections=most)
        self.port: int = self.listener.getsockname()[1]
        self._held: list[Pair] = []

    async def hold(self, data: bytes = HALF, source: str = "127.0.0.1", number: int = 1) -> list[Pair]:
        """Open connections, send something over each, and keep them."""
        new = []
        for _ in range(number):
            pair = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
            pair[1].write(data)
            new.append(pair)
        self._held += new
        await asyncio.sleep(0.05)
        return new

    async def ask(
        self, path: str = "/healthz", method: str = "GET", more: bytes = b"", source: str = "127.0.0.1"
    ) -> tuple[int, str]:
        """Return the status and the body of an answer; 0 where there is none."""
        pair = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        head, _, rest = more.partition(b"\r\n\r\n")
        pair[1].write(ASK % (method.encode(), path.encode(), head + b"\r\n" if head else b"") + rest)
        return await answer(pair)

    async def close(self) -> None:
        for _, writer in self._held:
            writer.close()
        await self.site.close()
        await asyncio.sleep(0.05)  # for those that were being let in


async def answer(pair: Pair) -> tuple[int, str]:
    try:
        text = (await asyncio.wait_for(pair[0].read(), 10)).decode()
    except ConnectionError:
        text = ""
    pair[1].close()
    return int(text.split(" ")[1]) if text else 0, text.partition("\r\n\r\n")[2]


async def ended(pair: Pair, within: float = 5.0) -> bool:
    try:
        async with asyncio.timeout(within):
            return await pair[0].read() == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def run(talk: Callable[[Lab], Awaitable[None]], most: int = 500) -> None:
    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def order(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 40_000_000)

    async def main() -> None:
        app = web.Application(middlewares=[guard, bound])
        app[ACCESS] = Access((), time.monotonic)
        app[NUISANCES] = Nuisances(time.monotonic)
        app.router.add_get("/healthz", alive)
        app.router.add_get("/status", alive)
        app.router.add_post("/order", order)
        app.router.add_get("/slow", slow)
        app.router.add_get("/large", large)
        lab = Lab(app, most)
        await lab.site.start()
        try:
            await asyncio.wait_for(talk(lab), 40)
        finally:
            await lab.close()

    asyncio.run(main())


def test_five_hundred_half_headers_shut_nobody_out() -> None:
    async def talk(lab: Lab) -> None:
        await lab.hold(number=500)
        for _ in range(3):
            assert await lab.ask() == (200, "alive\n")
            assert (await lab.ask("/order", "POST", b"Content-Length: 2\r\n\r\n{}"))[0] == 200

    run(talk)


def test_nor_do_those_of_many_clients() -> None:
    async def talk(lab: Lab) -> None:
        for number in range(2, 9):
            await lab.hold(source=f"127.0.0.{number}", number=90)
        assert await lab.ask() == (200, "alive\n")

    run(talk)


def test_a_clients_bound_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PER_CLIENT", 5)

    async def talk(lab: Lab) -> None:
        (other,) = await lab.hold(source="127.0.0.2")
        held = await lab.hold(number=6)
        assert await ended(held[0]), "the one that waited longest"
        assert not await ended(held[1], 0.1)
        assert not await ended(other, 0.1)

    run(talk)


def test_a_whole_request_is_read_before_later_ones_of_its_client_push_it_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "PER_CLIENT", 20)

    async def talk(lab: Lab) -> None:
        with contextlib.ExitStack() as stack:
            # All come before the listener takes the first of them.
            burst = [
                stack.enter_context(socket.create_connection(("127.0.0.1", lab.port))) for _ in range(100)
            ]
            burst[0].sendall(ASK % (b"GET", b"/healthz", b""))
            burst[0].setblocking(False)
            async with asyncio.timeout(5):
                assert b"200 OK" in await asyncio.get_running_loop().sock_recv(burst[0], 4096)

    run(talk)


def test_headers_have_their_time_also_when_they_drip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS", 0.5)

    async def talk(lab: Lab) -> None:
        (one,) = await lab.hold()
        (silent,) = await lab.hold(b"")
        begun = time.monotonic()
        while not (gone := one[0].at_eof() or one[0].exception()) and time.monotonic() < begun + 5:
            one[1].write(b"x")
            await asyncio.sleep(0.05)
        assert gone
        assert await ended(silent)

    run(talk)


@pytest.mark.parametrize("how", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_bodies_that_never_come_have_their_time(how: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODY", 0.3)

    async def talk(lab: Lab) -> None:
        assert await lab.ask("/order", "POST", how + b"\r\n\r\n") == (
            408,
            '{"error": "the body did not come within 0.3 s"}',
        )

    run(talk)


def test_where_all_are_at_work_places_are_kept_for_health_and_orders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "KEPT", 2)

    async def talk(lab: Lab) -> None:
        await lab.hold(ASK % (b"GET", b"/slow", b""), number=5)
        assert await lab.ask() == (200, "alive\n")
        assert (await lab.ask("/order", "POST", b"Content-Length: 2\r\n\r\n{}"))[0] == 200
        status, text = await lab.ask("/status")
        assert status == 503
        assert json.loads(text)["error"].startswith("too many connections, try again later")
        await lab.hold(ASK % (b"GET", b"/slow", b""), number=2)  # refused
        assert await lab.ask() == (200, "alive\n")

    run(talk, most=5)


def test_a_client_whose_places_are_all_at_work_takes_none_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PER_CLIENT", 3)

    async def talk(lab: Lab) -> None:
        await lab.hold(ASK % (b"GET", b"/slow", b""), number=12)
        assert await lab.ask("/status", source="127.0.0.2") == (200, "alive\n")
        assert (await lab.ask("/status"))[0] == 503
        assert await lab.ask() == (200, "alive\n")

    run(talk, most=10)


def test_who_takes_nothing_of_an_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNTAKEN", 6)  # a busy machine may stop everybody for seconds

    async def talk(lab: Lab) -> None:
        deaf, slow = socket.socket(), socket.socket()
        for one in (deaf, slow):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            one.connect(("127.0.0.1", lab.port))
            one.sendall(ASK % (b"GET", b"/large", b""))
            one.setblocking(False)
        with deaf, slow:
            loop, got, left = asyncio.get_running_loop(), 0, 0
            while piece := await loop.sock_recv(slow, 1_000_000):
                got += len(piece)
                await asyncio.sleep(0.01)
            assert got > 40_000_000, "slow is not deaf"
            while lab.site._connections._open:  # noqa: ASYNC110 - it ends with the time for the whole test
                await asyncio.sleep(0.1)
            with contextlib.suppress(ConnectionResetError):
                while piece := await loop.sock_recv(deaf, 1_000_000):
                    left += len(piece)
            assert left < 40_000_000

    run(talk)


BROKEN = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    b"POST /order HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /status HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /order HTTP/1.1\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n0123456789",
]


def test_malformed_requests_are_counted_and_told_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nuisances, "TELL_EVERY", 1.5)

    async def talk(lab: Lab) -> None:
        for _ in range(5):
            for data in BROKEN:
                (pair,) = await lab.hold(data)
                pair[1].write_eof()
                status, text = await answer(pair)
                assert status in {0, 400, 404, 405}, data
                assert not text or "error" in json.loads(text), data
        await asyncio.sleep(2.5)

    run(talk)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(record.exc_info is None for record in lines), caplog.text
    assert 1 <= len(lines) <= 4, caplog.text
    assert "HTTP: malformed requests from 127.0.0.1: " in caplog.text
    assert " more in " in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"0123456789", id="none at all"),
        pytest.param(gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20, id="a good head"),
        pytest.param(b"", id="empty"),
    ],
)
def test_gzip_that_is_none_is_the_clients_fault(body: bytes) -> None:
    async def talk(lab: Lab) -> None:
        how = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        status, text = await lab.ask("/order", "POST", how + body)
        assert status == (400 if body else 200), text
        if body:
            assert json.loads(text)["error"].startswith("the body cannot be read: ")

    run(talk)


def test_without_descriptors_one_line_is_written_and_who_waits_goes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(lab: Lab) -> None:
        held = await lab.hold(number=3)
        loop = asyncio.get_running_loop()
        for _ in range(2):
            error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            loop.call_exception_handler({"message": "socket.accept() out of …", "exception": error})
        assert await ended(held[0])
        assert await ended(held[1])
        assert await lab.ask() == (200, "alive\n")

    run(talk)
    (told,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    why = "Too many open files: let the server open more (LimitNOFILE)"
    assert told == f"HTTP: no room for a connection from anybody: {why}"


def test_what_is_counted_is_told_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    counted = Nuisances(lambda: now)
    for number in range(1_000):
        counted.note("wrong tokens", f"192.0.2.{number % 5}", "a\nb")
    counted.tell()
    now = 61.0
    counted.tell()
    now = 200.0
    counted.tell()  # nothing has come
    counted.note("wrong tokens", "192.0.2.9")
    assert [record.getMessage() for record in caplog.records] == [
        "HTTP: wrong tokens from 192.0.2.0: a\\nb",
        "HTTP: wrong tokens: 999 more in 61 s, the last from 192.0.2.4: a\\nb",
        "HTTP: wrong tokens from 192.0.2.9",
    ]
