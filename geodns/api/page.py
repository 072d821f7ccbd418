"""The page at ``/`` and its parts: files of the package, read once and sent as they are or packed."""

import gzip
import hashlib
from importlib import resources
from typing import NamedTuple

from aiohttp import web

from geodns.api.parts import takes_gzip

FOLDER = "web"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is sent, by how its name ends; other files there are not for browsers."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    # Text of hosts and operators is never markup: a browser that knows this refuses to take it as such.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only what this server sends is run or shown, and nothing is sent anywhere else."""


class Asset(NamedTuple):
    """A file as it is sent.

    Attributes:
        plain: its bytes.
        packed: the same through gzip.
        kind: its media type.
        tag: changes with its bytes.

    """

    plain: bytes
    packed: bytes
    kind: str
    tag: str


def routes() -> list[web.RouteDef]:
    """Read the files, and return where they are."""
    assets = read()

    async def index(request: web.Request) -> web.Response:
        return _sent(request, assets[INDEX])

    async def asset(request: web.Request) -> web.Response:
        found = assets.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return _sent(request, found)

    return [web.get("/", index), web.get("/assets/{name}", asset)]


def read() -> dict[str, Asset]:
    """Return the files of the page, by name."""
    return {
        entry.name: _asset(entry.read_bytes(), kind)
        for entry in resources.files("geodns").joinpath(FOLDER).iterdir()
        if (kind := TYPES.get("." + entry.name.rpartition(".")[2])) is not None
    }


def _asset(plain: bytes, kind: str) -> Asset:
    packed = gzip.compress(plain, mtime=0)  # without a time: the same file is the same bytes
    return Asset(plain, packed, kind, hashlib.sha256(plain).hexdigest()[:16])


def _sent(request: web.Request, asset: Asset) -> web.Response:
    packs = takes_gzip(request)
    tag = f"{asset.tag}-gzip" if packs else asset.tag  # RFC 9110 section 8.8.3.3: each coding has its own
    headers = {
        "Cache-Control": "no-cache",  # kept, and asked for again: an update shows at once
        "Content-Security-Policy": POLICY,
        "ETag": f'"{tag}"',
        "Vary": "Accept-Encoding",
    }
    known = request.if_none_match or ()
    if any(one.value in {tag, "*"} for one in known):
        return web.Response(status=304, headers=headers)
    if packs:
        headers["Content-Encoding"] = "gzip"
    body = asset.packed if packs else asset.plain
    return web.Response(body=body, headers=headers | {"Content-Type": asset.kind})
