"""Requests to running servers, their JSON answers, and errors in an operator's words."""

import asyncio
import errno
import getpass
import json
import os
import socket
import time
import traceback
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import aiohttp
import click

from geodns.cli.options import DEFAULT_SERVER, why_no_token
from geodns.errors import GeodnsError, NotFoundError, ServerError, UsageError, printable

Json = dict[str, Any]
"""An object of the API: commands read it as it comes, since types of pydantic take long to load."""

MAX_ANSWER = 64 * 2**20
"""Bytes, unpacked: more than the largest state that a server takes."""
ANSWERED = "geodns.answered"
"""In the context of the running command: the URL of the server that has answered last."""
AS_THEY_ARE = "/api/v1/zones/"
"""Paths below are of zones, which are compared and not shown."""
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
PATIENCE = 30.0
"""Seconds for which an order is given again where a server says that it can be in a moment (RFC 9110 section
10.2.3): it is being upgraded."""
SOON = 5
"""Seconds after which it may say so; whoever shall wait longer is told."""


class HttpReply(NamedTuple):
    """A server's answer: the status (200 done, 202 under way) and the body."""

    status: int
    body: Json


class CompleteObject(dict[str, Any]):
    """An object of an answer; asking it for a key that is not there raises ServerError."""

    def __missing__(self, key: str) -> Any:
        raise ServerError(f"the answer has no {key!r}: {_OTHER}")


def read_json(text: str | bytes, *, as_it_is: bool = False) -> Any:
    """Read an answer; what its texts have of terminals' control characters is escaped.

    Raises:
        ValueError: it is no JSON.

    """
    try:
        found = json.loads(text, object_hook=CompleteObject)
        return found if as_it_is else _printable(found)
    except RecursionError as error:
        raise ValueError("the JSON is too deep") from error


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return CompleteObject((printable(key), _printable(one)) for key, one in value.items())
    return value


class Server:
    """A running server, or several; `url` is the first one's.

    Args:
        url: of its HTTP side; several with commas.
        token: for writing; None where the server asks for none.
        author: who asks; None: the user who runs the command.

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
        shown = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"X-Geodns-Author": self._author, **shown}

    def get(self, path: str, **query: str) -> Json:
        """Ask the server; of several, the first that answers.

        Raises:
            ServerError: no answer, or one that says what is wrong.
            NotFoundError: the server knows no such thing.

        """
        return asyncio.run(self.first(path, query)).body

    def post(self, path: str, body: Json) -> Json:
        """Ask as `get` does, where the question is too long for a URL; it changes nothing."""
        return asyncio.run(self.first(path, {}, body)).body

    def get_all(self, path: str, **query: str) -> dict[str, HttpReply | GeodnsError]:
        """Ask each server, all at once; return what each answers, or why it does not."""
        return asyncio.run(self._all(self.urls, "GET", path, query, None))

    def post_all(
        self, path: str, body: Json, urls: Iterable[str] | None = None, **query: str
    ) -> dict[str, HttpReply | GeodnsError]:
        """Ask each server for a change, or those of `urls` alone, as `get_all` does."""
        return asyncio.run(self._all(self.urls if urls is None else urls, "POST", path, query, body))

    def post_each(self, path: str, bodies: Mapping[str, Json]) -> dict[str, HttpReply | GeodnsError]:
        """Ask some servers for changes, each for its own, by their URLs, as `post_all` does."""

        async def all_of_them() -> dict[str, HttpReply | GeodnsError]:
            asked = (self._all([url], "POST", path, {}, body) for url, body in bodies.items())
            return {url: answer for one in await asyncio.gather(*asked) for url, answer in one.items()}

        return asyncio.run(all_of_them())

    async def first(self, path: str, query: dict[str, str], body: Json | None = None) -> HttpReply:
        """Do as `get` does, or as `post` with a body, where a loop runs already."""
        method = "GET" if body is None else "POST"
        for url in self.urls[:-1]:
            try:
                return await self._ask(url, method, path, query, body)
            except UnreachableError as error:
                click.echo(f"{error}; asking the next", err=True)
        return await self._ask(self.urls[-1], method, path, query, body)

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
        """Ask a server, and again where it says that it will answer in a moment."""
        end = time.monotonic() + PATIENCE
        said = False
        while True:
            try:
                return await self._ask_once(url, method, path, query, body)
            except BusyServerError as error:
                if time.monotonic() + error.again > end:
                    raise
                if not said:
                    said = True
                    click.echo(f"{url}: {error}: waiting", err=True)
                await asyncio.sleep(error.again)

    async def _ask_once(
        self, url: str, method: str, path: str, query: dict[str, str], body: Json | None
    ) -> HttpReply:
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, headers=self.headers()) as session,
                session.request(method, url + path, params=query, json=body) as response,
            ):
                status = response.status
                again = response.headers.get("Retry-After", "")
                content = await _content(response)
            answer = read_json(content, as_it_is=path.startswith(AS_THEY_ARE))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{url}: {in_words(error)}") from error
        except ValueError as error:
            raise ServerError(f"{url}{path}: the answer is no JSON: is that a geodns?") from error
        context = click.get_current_context(silent=True)
        if context is not None:
            context.meta[ANSWERED] = url
        if status >= 400:
            raise _refusal(status, answer, again)
        if not isinstance(answer, dict):
            raise ServerError(f"{url}{path}: the answer is no JSON object: is that a geodns?")
        return HttpReply(status, answer)


async def _content(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > MAX_ANSWER:
            raise ServerError(
                f"{response.url}: the answer is longer than {MAX_ANSWER // 2**20} MiB: is that a geodns?"
            )
    return bytes(content)


class UnreachableError(ServerError):
    """Nothing answers there, or no geodns does."""


class UnableError(ServerError):
    """The server answers that it cannot do it now: another may."""


class BusyServerError(UnableError):
    """The server answers that it can do it in a moment: `again` seconds."""

    def __init__(self, text: str, again: int) -> None:
        super().__init__(text)
        self.again = again


def _refusal(status: int, answer: Any, again: str) -> ServerError | NotFoundError:
    text = str(answer.get("error", f"status {status}") if isinstance(answer, dict) else f"status {status}")
    if status == 404:
        return NotFoundError(text)
    if status == 401 and (trouble := why_no_token()) is not None:
        text = f"{text} ({trouble})"
    if status == 503 and again.isascii() and again.isdecimal() and len(again) < 4 and int(again) <= SOON:
        return BusyServerError(text, max(1, int(again)))
    error = UnableError(text) if status >= 500 else ServerError(text)
    if status == 400:
        error.status = UsageError.status
    return error


_OTHER = "is that a geodns of this version?"
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
"""The first kind that fits gives the text."""


def misread(url: str, error: Exception) -> ServerError:
    """Return the error of a command that stumbled over an answer."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{os.path.basename(at.filename)}:{at.lineno}"  # noqa: PTH119 - no path: a name in a text
    return ServerError(
        f"{url}: the answer is not as expected: {_OTHER} ({type(error).__name__} at {place}: {error})"
    )


def in_words(error: BaseException) -> str:
    """Say why a server could not be asked, in an operator's words."""
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
