"""How a command follows a running server's events: over restarts, and without a gap."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp

from geodns.commands.client import Server, UnreachableError
from geodns.errors import ServerError
from geodns.shown import Json

EVENTS = "/api/v1/events"
STREAM = f"{EVENTS}/stream"
SILENT = 40.0
"""Seconds without even a comment after which the connection is taken for dead."""
AGAIN = (0.2, 2.0)
"""Seconds to the next try: at first, and at most after doubling."""
LONGEST = 1 << 20
"""Bytes of an event."""


async def follow(
    server: Server, position: int | None, query: Mapping[str, str], say: Callable[[str], None]
) -> AsyncIterator[Json]:
    """Return the events after one, and go on for ever; while the server is away, wait for it.

    Args:
        server: whose.
        position: the id of that event; None: of the last there is once the server is there.
        query: which events, as the API asks for them.
        say: called when the server is gone, and when it is back.

    Raises:
        ServerError: it does not let us follow.

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
    """The server cannot be followed just now."""


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
        text = str((await response.json(content_type=None))["error"])
    except (ValueError, KeyError, TypeError):
        text = f"status {response.status}"
    # A server that starts, has too many clients or is behind a proxy may be well in a moment.
    return _BusyError(text) if response.status in {429, 500, 502, 503, 504} else ServerError(text)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    """Read server-sent events, each of them one line of data."""
    async for line in response.content:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name == "data":
            event: Json = json.loads(value)
            yield event
