"""The HTTP listener and its TLS, and the files of the page."""

import asyncio
import errno
import gzip
import hashlib
import logging
import socket
import ssl
import time
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from geodns.api.connections import CONNECTIONS, ROOM, Connections
from geodns.api.nuisances import NUISANCES, Nuisances
from geodns.api.responses import takes_gzip
from geodns.config.server_keys import HttpTls
from geodns.errors import StartError
from geodns.serve.connections import KERNEL_BUFFER
from geodns.serve.sockets import BACKLOG

log = logging.getLogger(__name__)

ACCEPTED = 4
"""Connections that are let in at once; also the errors that asyncio reports at once, without descriptors.

Few: of a client that opens ever more, one with a whole request is read before the next ones push it out.
"""
LOOK_EVERY = 30.0
"""Seconds between two looks at the certificate's files."""
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Site:
    """Listens for an application, and shows a renewed certificate as soon as it is there.

    Args:
        app: answers.
        listener: a bound socket.
        tls: None: speak plain HTTP.
        end: seconds that a slow client may hold up the end.
        connections: at one time.

    """

    def __init__(
        self,
        app: web.Application,
        listener: socket.socket,
        tls: HttpTls | None,
        *,
        end: float,
        connections: int = CONNECTIONS,
    ) -> None:
        """Raises StartError for a certificate that cannot be used."""
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=end)
        self._end = end
        self._listener = listener
        self._tls = tls
        self._connections = Connections(connections, app.get(NUISANCES) or Nuisances(time.monotonic))
        app[ROOM] = self._connections
        self._server: asyncio.Server | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._dates = _dates(tls)
            self._context = certificate_context(tls)

    async def start(self) -> None:
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=self._listener, backlog=ACCEPTED)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # a connection inherits them
            self._listener.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER)
        self._listener.listen(BACKLOG)  # asyncio has one number for both
        loop.set_exception_handler(self._trouble)
        self._watching.append(loop.create_task(self._connections.watch()))
        if self._tls is not None:
            self._watching.append(loop.create_task(self._watch(self._tls)))

    async def close(self, *, gently: bool = False) -> None:
        """Take no more requests, and let those under way end.

        Args:
            gently: whether another process listens on: whoever was let in is answered, if that is soon.

        """
        for task in self._watching:
            task.cancel()
        if self._server is not None:
            # asyncio would lose the sockets of clients that it has accepted a moment ago.
            asyncio.get_running_loop().remove_reader(self._listener)
            await asyncio.sleep(0)
            if gently:
                await self._connections.answered(self._end)
            self._server.close()
        await self._runner.cleanup()
        self._connections.drop_all()

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        return _Full() if server is None else self._connections.connection(server, self._context)

    def _trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room where a connection could not be let in; asyncio tries again in a second."""
        error = context.get("exception")
        if isinstance(error, ValueError) and self._server is not None and not self._server.is_serving():
            return  # the next try, where the listener is closed by now
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            loop.default_exception_handler(context)
            return
        self._connections.drop_waiting(1)
        why = error.strerror or ""
        if error.errno == errno.EMFILE:
            why = f"{why}: let the server open more (LimitNOFILE)"
        self._connections.nuisances.note("no room for a connection", "anybody", why)

    async def _watch(self, tls: HttpTls) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.renew(tls)

    def renew(self, tls: HttpTls) -> None:
        """Show the certificate that is in the files now; one that is no good changes nothing."""
        dates = _dates(tls)
        if dates == self._dates or self._context is None:
            return
        self._dates = dates
        try:
            certificate_context(tls)  # both files fit each other: not half of a pair is taken
            self._context.load_cert_chain(tls.cert, tls.key)
        except (StartError, OSError) as error:
            log.error("%s; the one before is shown further on", error)  # noqa: TRY400 - no traceback: see the text
        else:
            log.info("the HTTP side shows the renewed certificate of %s", tls.cert)


class _Full(asyncio.Protocol):
    """Ends a connection: the server ends."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def certificate_context(tls: HttpTls) -> ssl.SSLContext:
    """Return a context that shows a certificate; raises StartError where its files are no good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 section 3.1.1
    try:
        # A passphrase would be asked for on a terminal that is not there.
        context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        files = f"{tls.cert}" if tls.key is None else f"{tls.cert} and {tls.key}"
        why = error.strerror or str(error)
        raise StartError(
            f"http_tls: {files} cannot be used ({why}): write a certificate in PEM, with its chain after it, "
            "and its key without a passphrase, that the server's user may read"
        ) from error
    return context


def _dates(tls: HttpTls) -> tuple[int, ...]:
    return tuple(_date(path) for path in (tls.cert, tls.key) if path is not None)


def _date(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


# --- the page -------------------------------------------------------------------------------------------

FOLDER = "web"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""By the ending of a name; files of other endings are not for browsers."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    # Text of hosts and operators is never markup: a browser that knows this refuses to take it as such.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only what this server sends runs or shows, and nothing is sent elsewhere."""


class Asset(NamedTuple):
    """A file of the page; `kind` is its media type, `tag` changes with its bytes."""

    plain: bytes
    packed: bytes
    kind: str
    tag: str


def routes() -> list[web.RouteDef]:
    """Read the files of the page, and return their routes."""
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
