"""The listener of the HTTP side over real sockets, and the files of the page.

TLS, renewed certificates, too many connections; what is sent of the page, how it is kept in place, and that
nothing in it takes text for markup.
"""

import asyncio
import contextlib
import gzip
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api import connections, site
from geodns.api.access import guard
from geodns.api.site import Site
from geodns.config.server_keys import HttpTls
from geodns.errors import StartError
from tests.controlling import until
from tests.health.certificates import authority, server


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.scheme}\n")


def listening(
    talk: Callable[[Site, int], Awaitable[None]], tls: HttpTls | None = None, most: int = 10
) -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        app = web.Application()
        app.router.add_get("/", _hello)
        one = Site(app, listener, tls, end=0.2, connections=most)
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


def test_clients_that_never_agree_on_tls_shut_nobody_out(
    trust: tuple[HttpTls, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE", 1.0)

    async def talk(_: Site, port: int) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        for number, (_reader, writer) in enumerate(held):
            writer.write(b"\x16\x03\x01" if number % 2 else b"")
        for _round in range(3):
            assert await read(f"https://127.0.0.1:{port}/", trust[1]) == "https\n"
        for reader, writer in held:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()

    listening(talk, trust[0])


def test_a_connection_that_is_dropped_before_its_handshake_leaves_nothing_behind(
    trust: tuple[HttpTls, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE", 0.5)

    def agreeing() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if "_agree" in repr(task.get_coro())]

    async def talk(one: Site, port: int) -> None:
        # In one turn of the loop: for want of room the first are dropped before they have a turn themselves.
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        await until(agreeing)
        await until(lambda: not agreeing())
        # One after the other: they are dropped while they are waited for.
        later = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        await until(lambda: not agreeing())
        assert not one._connections._open
        for client in held:
            client.close()
        for _reader, writer in later:
            writer.close()
        assert await read(f"https://127.0.0.1:{port}/", trust[1]) == "https\n"

    listening(talk, trust[0], most=4)


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


# --- the page -------------------------------------------------------------------------------------------

FILES = site.read()


def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
    """Ask once, as a client that unpacks nothing; return the status, the body and the headers."""

    async def run() -> tuple[int, bytes, Any]:
        app = web.Application()
        app.add_routes(site.routes())
        async with TestClient(TestServer(app, host="127.0.0.1"), auto_decompress=False) as client:
            headers.setdefault("Accept-Encoding", "identity")
            async with client.request(method, path, headers=headers) as response:
                return response.status, await response.read(), response.headers

    return asyncio.run(run())


def test_the_page_is_at_the_root() -> None:
    status, body, headers = ask("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!doctype html>")
    assert headers["Content-Security-Policy"] == site.POLICY


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_a_part_is_sent_by_its_kind(name: str, kind: str) -> None:
    status, body, headers = ask(f"/assets/{name}")
    assert (status, headers["Content-Type"], body) == (200, kind, FILES[name].plain)


@pytest.mark.parametrize("path", ["/assets/nothing.js", "/assets/..%2Fcli.py", "/assets/", "/assets/a/b.js"])
def test_there_is_nothing_else(path: str) -> None:
    assert ask(path)[0] == 404


def test_head_tells_what_get_would_send() -> None:
    status, body, headers = ask("/", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == str(len(FILES[site.INDEX].plain))


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("GZIP", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("identity", False),
        ("", False),
    ],
)
def test_it_is_packed_for_those_who_take_it(accepted: str, packed: bool) -> None:
    status, body, headers = ask("/assets/page.js", **{"Accept-Encoding": accepted})
    assert (status, headers.get("Content-Encoding"), headers["Vary"]) == (
        200,
        "gzip" if packed else None,
        "Accept-Encoding",
    )
    assert (gzip.decompress(body) if packed else body) == FILES["page.js"].plain


def test_what_has_not_changed_is_not_sent_again() -> None:
    tag = ask("/")[2]["ETag"]
    status, body, headers = ask("/", **{"If-None-Match": f'"x", {tag}'})
    assert (status, body, headers["ETag"]) == (304, b"", tag)
    assert ask("/", **{"If-None-Match": '"x"'})[0] == 200
    # The packed one is another representation.
    assert ask("/", **{"If-None-Match": tag, "Accept-Encoding": "gzip"})[0] == 200


def test_the_guard_leaves_the_pages_own_headers() -> None:
    response = web.Response(headers={"Content-Security-Policy": site.POLICY})

    async def handler(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        return response

    async def run() -> None:
        app = web.Application(middlewares=[guard])
        app.router.add_get("/healthz", handler)
        async with TestClient(TestServer(app, host="127.0.0.1")) as client, client.get("/healthz") as shown:
            assert shown.headers["Content-Security-Policy"] == site.POLICY
            assert shown.headers["X-Content-Type-Options"] == "nosniff"

    asyncio.run(run())


def test_every_part_is_named_by_the_page_or_another_part() -> None:
    texts = {name: asset.plain.decode() for name, asset in FILES.items()}
    assert {name for name in texts if name.endswith(".js")} == {
        *re.findall(r'"assets/(\w+\.js)"', texts[site.INDEX])
    }
    for name, text in texts.items():
        for part in re.findall(r'from "\./([^"]+)"|(?:href|src)="assets/([^"]+)"', text):
            assert set(part) - {""} <= texts.keys(), name


MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|\beval\b"
ELSEWHERE = r"""(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9]"""
KEPT = r"localStorage|indexedDB|document\.cookie"


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        pytest.param("text as markup", MARKUP, id="markup"),
        pytest.param("another origin", rf"""["'(]{ELSEWHERE}""", id="elsewhere"),
        pytest.param("a token that stays", KEPT, id="kept"),
    ],
)
def test_no_part_does(what: str, pattern: str) -> None:
    found = {name: re.findall(pattern, asset.plain.decode()) for name, asset in FILES.items()}
    assert {name: some for name, some in found.items() if some} == {}, what


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    index = FILES[site.INDEX].plain.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", index) == []
