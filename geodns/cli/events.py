"""``geodns events``: the events of running servers, past ones by pages and new ones as a stream."""

import asyncio
import contextlib
import heapq
import json
import os
import stat
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import aiohttp
import click

from geodns.cli.client import Json, Server, UnreachableError, read_json
from geodns.cli.options import server_option, token_option
from geodns.config.times import precise, since_asked
from geodns.errors import ServerError
from geodns.storage.event_log import KINDS

EVENTS = "/api/v1/events"
STREAM = f"{EVENTS}/stream"
PAGE = 1_000
SHOWN = 50
"""Events that are shown without --since."""
BEFORE = 10
"""Events that are shown before those that are followed."""
SILENT = 40.0
"""Seconds without even a comment after which the connection is taken for dead."""
AGAIN = (0.2, 2.0)
"""Seconds to the next try: at first, and at most after doubling."""
LONGEST = 1 << 20
"""Bytes of an event."""


@click.command()
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what happens, until interrupted.")
@click.option("--since", metavar="TIME", help="From then on: 30m, 1h, 7d, or 2026-11-25T03:00 [the last 50].")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; may be repeated.")
@click.option("--zone", metavar="ZONE", help="Only of this zone.")
@click.option("--host", metavar="HOST", help="Only of this host: mta1, or mta1.out.example.com.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as the server gives it.")
@server_option
@token_option
def events(
    *,
    following: bool,
    since: str | None,
    kinds: tuple[str, ...],
    zone: str | None,
    host: str | None,
    as_json: bool,
    server: str,
    token: str | None,
) -> None:
    """Show what has happened: hosts that went down or came back, orders, edits, errors, and why.

    Times are local. With --follow the command waits for a server that is restarted, and misses nothing. Of
    several servers, what happened on all of them is shown in the order of time, each line with its server.
    """
    asked = Server(server, token)
    query = {
        name: value for name, value in (("kind", ",".join(kinds)), ("zone", zone), ("host", host)) if value
    }
    if since is not None:  # worked out once: "an hour ago" would move on from page to page
        query["since"] = precise(since_asked(since, time.time(), None))
    most = BEFORE if following else SHOWN
    pasts = [_Past(Server(url, token), query, most) for url in asked.urls]
    show = _Show(asked.urls, as_json=as_json)
    try:
        show.all(pasts, None if since is not None else most)
        if following:
            wanted = {name: value for name, value in query.items() if name != "since"}
            asyncio.run(_follow(pasts, wanted, show))
    except KeyboardInterrupt:  # the usual end of it
        sys.exit(130)
    if any(past.missed for past in pasts):
        sys.exit(1)


class _Past:
    """The past events of a server.

    Attributes:
        position: the id from which to go on; None where the server could not be asked at all.
        missed: whether the server went away before all was read.

    """

    def __init__(self, server: Server, query: Mapping[str, str], most: int) -> None:
        self.server = server
        self.position: int | None = None
        self.missed = False
        self._query = query
        self._most = most

    def read(self) -> Iterator[tuple[str, Json]]:
        """Yield each event with the server's URL, oldest first."""
        if "since" not in self._query:
            yield from self._page(limit=str(self._most))
            return
        after = 0
        while True:
            page = list(self._page(after=str(after), limit=str(PAGE)))
            yield from page
            if len(page) < PAGE or self.position is None or self.position <= after:  # or it goes in a circle
                return
            after = self.position

    def _page(self, **place: str) -> Iterator[tuple[str, Json]]:
        shown = self.server.get(EVENTS, **place, **self._query)
        self.position = int(shown["last"])
        return ((self.server.url, event) for event in shown["events"])

    def read_if_there(self) -> Iterator[tuple[str, Json]]:
        """Read as far as the server is there; it does not keep the others' events from being shown."""
        try:
            yield from self.read()
        except UnreachableError as error:
            self.missed = True
            _say(str(error))


class _Show:
    """Prints events; of several servers, each with its server."""

    def __init__(self, urls: tuple[str, ...], *, as_json: bool) -> None:
        names = {url: urlsplit(url).netloc for url in urls}
        width = max(map(len, names.values()))
        self._as_json = as_json
        self._names = {url: f"{name:{width}} " for url, name in names.items()} if len(urls) > 1 else {}

    def all(self, pasts: Sequence[_Past], most: int | None) -> None:
        """Print the past of all servers in the order of time, or the last of it."""
        if len(pasts) == 1:
            merged = pasts[0].read()
        else:
            merged = heapq.merge(*(past.read_if_there() for past in pasts), key=lambda one: one[1]["at"])
        for url, event in merged if most is None else deque(merged, most):
            self.one(url, event)

    def one(self, url: str, event: Json) -> None:
        """Print an event, flushed, so that whoever reads a pipe has each at once."""
        if self._as_json:
            event = {"server": url, **event} if self._names else event
            click.echo(json.dumps(event, ensure_ascii=False))
        else:
            click.echo(f"{self._names.get(url, '')}{line(event)}")

    def say(self, url: str, text: str) -> None:
        _say(f"{url}: {text}" if self._names else text)


def _say(text: str) -> None:
    click.echo(f"geodns: {text}", err=True)


def line(event: Json) -> str:
    """Return an event as a line, its time by the clock of this machine."""
    at = datetime.fromisoformat(event["at"]).astimezone()
    today = at.date() == datetime.now().astimezone().date()
    return f"{at:%H:%M:%S} {event['text']}" if today else f"{at:%Y-%m-%d %H:%M:%S} {event['text']}"


# --- following ------------------------------------------------------------------------------------------


async def _follow(pasts: Sequence[_Past], query: Mapping[str, str], show: _Show) -> None:
    async def one(past: _Past) -> None:
        url = past.server.url
        async for event in follow(past.server, past.position, query, partial(show.say, url)):
            show.one(url, event)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            for past in pasts:
                group.create_task(one(past))

    task = asyncio.create_task(work())
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        # Else only the next event, which may be long in coming, would show that the reader is gone.
        asyncio.get_running_loop().add_reader(1, task.cancel)
    try:
        await task
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # we are in one
            raise


async def follow(
    server: Server, position: int | None, query: Mapping[str, str], say: Callable[[str], None]
) -> AsyncIterator[Json]:
    """Yield the events after one, and go on for ever; while the server is away, wait for it.

    Args:
        server: of the events.
        position: the id of that event; None: of the last there is once the server is there.
        query: which events, as the API asks for them.
        say: called with a line when the server is gone, and when it is back.

    Raises:
        ServerError: it refuses.

    """
    pause = AGAIN[0]
    away = position is None
    while True:
        try:
            if position is None:
                position = int((await server.first(EVENTS, {"limit": "1"})).body["last"])
            async with _connected(server, position, query) as response:
                pause = AGAIN[0]
                if away:
                    away = False
                    say("the server is back")
                async for event in _events(response):
                    position = event["id"]
                    yield event
            why = "it ended the stream"
        except (aiohttp.ClientError, TimeoutError, OSError, _BusyError, UnreachableError) as error:
            why = str(error) or "nothing came any more"
        if not away:
            away = True
            say(f"the server is gone ({why}): trying again")
        await asyncio.sleep(pause)
        pause = min(2 * pause, AGAIN[1])


class _BusyError(Exception):
    """The server cannot be followed at this moment."""


@contextlib.asynccontextmanager
async def _connected(
    server: Server, position: int, query: Mapping[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {**server.headers(), "Last-Event-ID": str(position)}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENT)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers, read_bufsize=LONGEST) as session,
        session.get(server.url + STREAM, params=query) as response,
    ):
        if response.status != 200:
            raise await _refusal(response)
        yield response


async def _refusal(response: aiohttp.ClientResponse) -> Exception:
    try:
        text = str(read_json(await response.content.read(LONGEST))["error"])
    except (ValueError, KeyError, TypeError, ServerError):
        text = f"status {response.status}"
    # A server that starts, has too many clients or is behind a proxy may answer in a moment.
    return _BusyError(text) if response.status in {429, 500, 502, 503, 504} else ServerError(text)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    """Read server-sent events, each of them one line of data."""
    try:
        async for line in response.content:
            name, _, value = line.decode().rstrip("\r\n").partition(":")
            if name == "data":
                event: Json = read_json(value)
                yield event
    except ValueError as error:
        raise ServerError(
            f"{response.url}: what it sends are no events ({error}): is that a geodns?"
        ) from error
