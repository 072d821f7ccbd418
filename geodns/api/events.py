"""Events over HTTP: those of a time, and a stream of them as they come.

The stream is of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import Any

from aiohttp import web

from geodns.api.access import headers_for
from geodns.api.responses import SERVICES, RefusedError, has_token
from geodns.config.report import quoted
from geodns.config.times import precise, since_asked
from geodns.errors import UsageError
from geodns.serve.connections import client_key
from geodns.storage.event_file import Event, EventFilter
from geodns.storage.event_log import KINDS

MOST = 1_000
"""Events in one answer."""
USUAL = 500
STREAMS = 100
"""Clients that may follow at once."""
PER_CLIENT = 50
"""Of one client, see `client_key`."""
COMMENT_EVERY = 15.0
"""Seconds without an event after which a comment keeps the connection from being taken for dead."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether the client is still there."""
PATIENCE = 10.0
"""Seconds that a client may take nothing before it is sent away; it comes back where it left off."""
BATCH = 100
"""Events that are written at once."""
RETRY = 1_000
"""Milliseconds after which a browser comes back."""


FOLLOWERS: web.AppKey[dict[web.StreamResponse, web.Request]] = web.AppKey("followers")
"""The streams that are open, the oldest first."""


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/v1/events", _list),
        web.get("/api/v1/events/stream", _stream, allow_head=False),
    ]


async def _list(request: web.Request) -> web.Response:
    events, wanted = request.app[SERVICES].events, _wanted(request)
    limit = _number(request, "limit", USUAL)
    if not 1 <= limit <= MOST:
        raise UsageError(f"`limit` is 1 to {MOST}")
    last = events.last
    if "after" in request.query:
        position = min(last, _number(request, "after", 0))
        found = await events.after(position, limit, wanted)
        if len(found) == limit:  # there may be more
            last = found[-1].id
    else:
        found = await events.newest(limit, wanted)
    shown = [event_json(one) for one in found]
    return web.json_response({"events": shown, "last": max([last, *(one.id for one in found)])})


async def _stream(request: web.Request) -> web.StreamResponse:
    events, followers = request.app[SERVICES].events, request.app[FOLLOWERS]
    wanted = _wanted(request)
    position = _position(request, events.last)
    _make_room(followers, request)
    response = web.StreamResponse(
        headers=headers_for(request) | {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    )
    followers[response] = request
    try:
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            await _write(request, response, f"retry: {RETRY}\n\n")
            await _follow(request, response, position, wanted)
    finally:
        followers.pop(response, None)
    return response


def _make_room(followers: dict[web.StreamResponse, web.Request], new: web.Request) -> None:
    """Make a place for one more; raise RefusedError (503) where there is none for it.

    Who shows a token may have the place of one without. Otherwise that of a client that has many goes to one
    who has few: it comes back where it left off, if it can.
    """
    client, known = client_key(new.remote or ""), has_token(new)
    # Whom it may send away.
    peers = {
        response: client_key(one.remote or "")
        for response, one in followers.items()
        if known or not has_token(one)
    }
    strangers = {
        response: theirs for response, theirs in peers.items() if known and not has_token(followers[response])
    }
    if sum(client_key(one.remote or "") == client for one in followers.values()) >= PER_CLIENT:
        full = f"{PER_CLIENT} clients of this address follow the events"
        greedy, among = client, strangers
    elif len(followers) >= STREAMS:
        full = f"{STREAMS} clients follow the events already"
        numbers = Counter((strangers or peers).values())
        greedy, number = max(numbers.items(), key=lambda one: one[1], default=(client, 0))
        among = strangers or (peers if number > numbers[client] + 1 else {})
    else:
        return
    oldest = next((response for response, theirs in among.items() if theirs == greedy), None)
    if oldest is None:
        raise RefusedError(503, f"{full}: try again later")
    transport = followers.pop(oldest).transport
    if transport is not None:
        transport.abort()


async def _follow(
    request: web.Request, response: web.StreamResponse, position: int, wanted: EventFilter
) -> None:
    events = request.app[SERVICES].events
    said = time.monotonic()
    while True:
        last = events.last
        found = await events.after(position, BATCH, wanted)
        position = found[-1].id if len(found) == BATCH else max(position, last)
        if found:
            await _write(request, response, "".join(map(_framed, found)))
            said = time.monotonic()
        elif time.monotonic() - said >= COMMENT_EVERY:
            await _write(request, response, ": still here\n\n")
            said = time.monotonic()
        if position < events.last:
            continue
        if events.ending:
            # Where to go on, past those that were not wanted too.
            await _write(request, response, f"id: {position}\nretry: {RETRY}\n\n")
            return
        await events.wait(position, LOOK_EVERY)
        if request.transport is None or request.transport.is_closing():
            return


async def _write(request: web.Request, response: web.StreamResponse, text: str) -> None:
    """Write; raises TimeoutError, and lets go of the connection, where the client takes nothing."""
    try:
        async with asyncio.timeout(PATIENCE):
            await response.write(text.encode())
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "id": event.id,
        "at": precise(event.at),
        "kind": event.kind,
        "zone": event.zone,
        "host": event.host,
        "pool": event.pool,
        "author": event.author,
        "reason": event.reason,
        "text": event.text,
        "data": dict(event.data),
    }


def _framed(event: Event) -> str:
    data = json.dumps(event_json(event), ensure_ascii=False, default=str)
    return f"id: {event.id}\nevent: event\ndata: {data}\n\n"


def _position(request: web.Request, last: int) -> int:
    """Return after which event to begin: as the client says, or with what comes from now on."""
    asked = request.headers.get("Last-Event-ID")
    if asked is None:
        return min(last, _number(request, "after", last))
    if not asked.isascii() or not asked.isdigit() or len(asked) > 18:
        raise UsageError(f"Last-Event-ID {quoted(asked)} is no event's id")
    return min(last, int(asked))


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise UsageError(f"`{name}` {quoted(text)} is no whole number")
    return int(text)


def _wanted(request: web.Request) -> EventFilter:
    query = request.query
    kinds = frozenset(kind for some in query.getall("kind", []) for kind in some.split(",") if kind)
    for kind in sorted(kinds - set(KINDS)):
        raise UsageError(f"`kind` {quoted(kind)} is none: write some of {', '.join(KINDS)}")
    since = query.get("since")
    return EventFilter(
        kinds,
        _name(query.get("zone")),
        _name(query.get("host")),
        0.0 if since is None else since_asked(since, time.time()),
    )


def _name(text: str | None) -> str | None:
    return None if text is None else text.lower().rstrip(".")
