"""How commands talk to running servers: requests, JSON answers, and errors in an operator's words."""

import asyncio
import errno
import getpass
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import click

from geodns.errors import GeodnsError, NotFoundError, ServerError, UsageError

if TYPE_CHECKING:
    from geodns.cli.reach import ServerList

Json = dict[str, Any]
"""An object of the API: commands read it as it comes, since types of pydantic take long to load."""

DEFAULT_SERVER = "http://127.0.0.1:8053"
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
DEFAULT_FILE = Path("geodns.yaml")
_CONFIG = "geodns.config"
_REACH = "geodns.reach"


# --- options -------------------------------------------------------------------------------------------


def _note_config(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        context.meta[_CONFIG] = value


def _reach(context: click.Context) -> "ServerList | None":
    """Return what geodns.yaml says of the servers; it is read when something of it is needed."""
    if _REACH not in context.meta:
        path = context.meta.get(_CONFIG) or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
        context.meta[_REACH] = None if path is None else _read(path)
    found: ServerList | None = context.meta[_REACH]
    return found


def _read(path: Path) -> "ServerList":
    # To read YAML, and the kinds of values, takes as long to load as all the rest of a command.
    from geodns.cli.reach import read_server_list  # noqa: PLC0415 - see above

    return read_server_list(path)


def _servers(context: click.Context, _: click.Parameter, value: tuple[str, ...]) -> str:
    if value:
        return ",".join(value)
    reach = _reach(context)
    return ",".join((reach and reach.servers) or (DEFAULT_SERVER,))


def _token(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value:
        return value
    reach = _reach(context)
    return None if reach is None or reach.token is None else reach.token.get_secret_value()


def server_option(command: Any) -> Any:
    """Add the options that say which servers are meant; the command gets them as one text, with commas."""
    command = click.option(
        "--server",
        envvar="GEODNS_SERVER",
        multiple=True,
        callback=_servers,
        metavar="URL",
        help="The HTTP side of the running server; several with commas, or the option again "
        f"[`servers` or `http` of geodns.yaml, or {DEFAULT_SERVER}].",
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_note_config,
        help="The settings that say where the servers are [./geodns.yaml if there].",
    )(command)


token_option = click.option(
    "--token",
    envvar="GEODNS_TOKEN",
    metavar="TOKEN",
    callback=_token,
    help="What the server asks for [`token` or `token_file` of geodns.yaml].",
)
author_option = click.option(
    "--author", metavar="NAME", help="Who orders it; shown in the status and the events [the user's name]."
)


# --- requests ------------------------------------------------------------------------------------------


class HttpReply(NamedTuple):
    """What a server says: the status (200 done, 202 under way) and what it shows."""

    status: int
    body: Json


class Server:
    """A running server, or several.

    Args:
        url: of its HTTP side; several with commas.
        token: for writing; None where the server asks for none.
        author: who asks; None: the user who runs the command.

    Attributes:
        urls: of all of them.
        url: of the first.

    """

    def __init__(self, url: str, token: str | None = None, author: str | None = None) -> None:
        if author is not None and not author.isprintable():
            raise UsageError("--author is one line of text")
        urls = (one.strip().rstrip("/") for one in url.split(","))
        self.urls = tuple(dict.fromkeys(one if "://" in one else f"http://{one}" for one in urls if one))
        if not self.urls:
            raise UsageError(f"--server names no server: write a URL, as {DEFAULT_SERVER}")
        self.url = self.urls[0]
        self._token = token
        self._author = author or _user()

    def headers(self) -> dict[str, str]:
        """Return what every request says: who asks, and with which token."""
        shown = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"X-Geodns-Author": self._author, **shown}

    def get(self, path: str, **query: str) -> Json:
        """Return what the server shows; of several, the first that is there.

        Raises:
            ServerError: no answer, or one that says what is wrong; NotFoundError for what it has not.

        """
        return asyncio.run(self.first(path, query)).body

    def post(self, path: str, body: Json) -> tuple[int, Json]:
        """Ask for a change; return the status (200 done, 202 under way) and what the server shows then.

        Raises:
            ServerError: as for `get`.
            UsageError: there are several servers.

        """
        if len(self.urls) > 1:
            raise UsageError(f"this goes to one server: name it with --server, one of {', '.join(self.urls)}")
        return asyncio.run(self._ask(self.urls[0], "POST", path, {}, body))

    def get_all(self, path: str, **query: str) -> dict[str, HttpReply | GeodnsError]:
        """Return what each server shows, or why it does not."""
        return asyncio.run(self._all(self.urls, "GET", path, query, None))

    def post_all(
        self, path: str, body: Json, urls: Iterable[str] | None = None, **query: str
    ) -> dict[str, HttpReply | GeodnsError]:
        """Ask each server for a change, all at once; return what each answers, or why it does not.

        Args:
            path: what for.
            body: likewise.
            urls: ask these alone.
            query: likewise.

        """
        return asyncio.run(self._all(self.urls if urls is None else urls, "POST", path, query, body))

    async def first(self, path: str, query: dict[str, str]) -> HttpReply:
        """Do what `get` does where a loop runs already."""
        for url in self.urls[:-1]:
            try:
                return await self._ask(url, "GET", path, query, None)
            except UnreachableError as error:
                click.echo(f"{error}; asking the next", err=True)
        return await self._ask(self.urls[-1], "GET", path, query, None)

    async def _all(
        self, urls: Iterable[str], method: str, path: str, query: dict[str, str], body: Json | None
    ) -> dict[str, HttpReply | GeodnsError]:
        async def one(url: str) -> HttpReply | GeodnsError:
            try:
                return await self._ask(url, method, path, query, body)
            except GeodnsError as error:
                return error

        urls = list(urls)
        return dict(zip(urls, await asyncio.gather(*map(one, urls)), strict=True))

    async def _ask(
        self, url: str, method: str, path: str, query: dict[str, str], body: Json | None
    ) -> HttpReply:
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, headers=self.headers()) as session,
                session.request(method, url + path, params=query, json=body) as response,
            ):
                answer: Any = await response.json(content_type=None)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{url}: {in_words(error)}") from error
        except ValueError as error:
            raise ServerError(f"{url}{path}: the answer is no JSON: is that a geodns?") from error
        if status >= 400:
            raise _refusal(status, answer)
        if not isinstance(answer, dict):
            raise ServerError(f"{url}{path}: the answer is no JSON object: is that a geodns?")
        return HttpReply(status, answer)


class UnreachableError(ServerError):
    """A server that is not there, or not one of ours."""


def _refusal(status: int, answer: Any) -> ServerError | NotFoundError:
    text = answer.get("error", f"status {status}") if isinstance(answer, dict) else f"status {status}"
    if status == 404:
        return NotFoundError(text)
    context = click.get_current_context(silent=True)
    reach: ServerList | None = None if context is None else context.meta.get(_REACH)
    if status == 401 and reach is not None and reach.trouble is not None:
        text = f"{text} ({reach.trouble})"
    error = ServerError(text)
    if status == 400:
        error.status = UsageError.status
    return error


_RUNNING = "is `geodns serve` running? --server names it"
_ERRORS = {
    errno.ECONNREFUSED: f"nobody listens there (connection refused): {_RUNNING}",
    errno.EHOSTUNREACH: "no route to it",
    errno.ENETUNREACH: "no route to it",
    errno.ECONNRESET: "it closed the connection: is that the HTTP side of a geodns?",
    errno.EACCES: "this machine lets nobody connect there (permission denied)",
    errno.EPERM: "this machine lets nobody connect there (permission denied)",
}


_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (TimeoutError, "no answer in time (timed out)"),
    (
        (aiohttp.ClientConnectorDNSError, socket.gaierror),
        "there is no such name: --server takes the URL of its HTTP side",
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        "its certificate is not trusted: SSL_CERT_FILE names a file of the authorities to trust",
    ),
    (
        aiohttp.ClientSSLError,
        "it does not speak TLS: is that the HTTP side of a geodns, and not http://?",
    ),
    (
        (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError),
        f"that is no URL of a server: write it as {DEFAULT_SERVER}",
    ),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError),
        "what listens there speaks no HTTP: is that the HTTP side of a geodns, and not https://?",
    ),
)
"""The first kind that fits says it."""


def in_words(error: BaseException) -> str:
    """Return why a server could not be asked, as an operator says it."""
    for kind, text in _KINDS:
        if isinstance(error, kind):
            return text
    number = error.errno if isinstance(error, OSError) else None
    return _ERRORS.get(number or 0) or f"{str(error) or type(error).__name__}: {_RUNNING}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container the user may have a number and no name
        return str(os.getuid())
