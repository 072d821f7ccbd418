"""The listener of the HTTP side over real sockets: TLS, renewed certificates, too many connections."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from geodns.api import site
from geodns.api.site import Site
from geodns.config.server_keys import HttpTls
from geodns.errors import StartError
from tests.health.certificates import authority, server


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.scheme}\n")


def listening(
    talk: Callable[[Site, int], Awaitable[None]], tls: HttpTls | None = None, connections: int = 10
) -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        app = web.Application()
        app.router.add_get("/", _hello)
        one = Site(app, listener, tls, end=0.2, connections=connections)
        await one.start()
        try:
            await asyncio.wait_for(talk(one, listener.getsockname()[1]), 20)
        finally:
            await one.close()

    asyncio.run(run())


async def read(url: str, context: ssl.SSLContext | bool = True) -> str:
    async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
        return await response.text()


@pytest.fixture
def trust(tmp_path: Path) -> tuple[HttpTls, ssl.SSLContext]:
    """A certificate for 127.0.0.1, and a client that trusts who signed it."""
    signer = authority()
    server(tmp_path, signer, names=("127.0.0.1",))
    context = ssl.create_default_context(cafile=signer.trusted_in(tmp_path))
    return HttpTls(cert=tmp_path / "server.pem"), context


def test_without_a_certificate_it_speaks_http() -> None:
    async def talk(_: Site, port: int) -> None:
        assert await read(f"http://127.0.0.1:{port}/") == "http\n"

    listening(talk)


def test_with_one_it_speaks_https_alone(trust: tuple[HttpTls, ssl.SSLContext]) -> None:
    async def talk(_: Site, port: int) -> None:
        assert await read(f"https://127.0.0.1:{port}/", trust[1]) == "https\n"
        with pytest.raises(aiohttp.ClientError):
            await read(f"http://127.0.0.1:{port}/")

    listening(talk, trust[0])


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(
    trust: tuple[HttpTls, ssl.SSLContext], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tls, before = trust
    signer = authority()
    (tmp_path / "other").mkdir()
    after = ssl.create_default_context(cafile=signer.trusted_in(tmp_path / "other"))

    def write(at: int) -> None:
        server(tmp_path, signer, names=("127.0.0.1",))
        os.utime(tls.cert, (at, at))

    async def talk(one: Site, port: int) -> None:
        url = f"https://127.0.0.1:{port}/"
        tls.cert.write_text("half a file")
        one.renew(tls)
        assert await read(url, before) == "https\n"
        write(1)
        one.renew(tls)
        assert await read(url, after) == "https\n"
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await read(url, before)

    listening(talk, tls)
    assert "cannot be used" in caplog.text
    assert "the one before is shown further on" in caplog.text


def test_a_certificate_that_cannot_be_used_is_no_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for content, why in ((None, "No such file"), ("nonsense", "PEM")):
            if content is not None:
                (tmp_path / "a.pem").write_text(content)
            with pytest.raises(StartError, match=rf"http_tls: .*a\.pem cannot be used \(.*{why}"):
                Site(web.Application(), listener, HttpTls(cert=tmp_path / "a.pem"), end=0.1)


def test_one_connection_too_many_is_ended_and_the_next_is_not() -> None:
    async def talk(_: Site, port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        # A connection counts from when the server has taken it.
        while (await _asked(held[-1])) == b"":
            held[-1] = await asyncio.open_connection("127.0.0.1", port)
        refused, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await refused.read() == b""
        writer.close()
        held[0][1].close()
        await held[0][1].wait_closed()
        for _round in range(100):
            with contextlib.suppress(aiohttp.ClientError):
                assert await read(f"http://127.0.0.1:{port}/") == "http\n"
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError("no place became free")
        for held_one in held:
            held_one[1].close()

    listening(talk, connections=3)


async def _asked(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    reader, writer = connection
    writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return await reader.readline()


def test_a_connection_that_never_asks_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "IDLE", 0.3)

    async def talk(_: Site, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()

    listening(talk)
