"""The page's files: what is sent, how it is kept in place, and that nothing in it takes text for markup."""

import asyncio
import gzip
import re
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api import site
from geodns.api.access import guard

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
