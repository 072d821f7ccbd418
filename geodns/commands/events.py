"""``geodns events``: what has happened on a running server and why, and what happens."""

import asyncio
import json
import os
import stat
import sys
import time
from datetime import datetime

import click

from geodns.commands.client import Server, server_option, token_option
from geodns.commands.following import follow
from geodns.events import KINDS
from geodns.status import Json
from geodns.when import precise, since_asked

PATH = "/api/v1/events"
PAGE = 1_000
SHOWN = 50
"""Events that are shown when nobody says since when."""
BEFORE = 10
"""Events that are shown before those that are followed."""


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

    Times are local. With --follow the command waits for a server that is restarted, and misses nothing.
    """
    asked = Server(server, token)
    query = {
        name: value for name, value in (("kind", ",".join(kinds)), ("zone", zone), ("host", host)) if value
    }
    try:
        position = _past(asked, since, query, BEFORE if following else SHOWN, as_json=as_json)
        if following:
            asyncio.run(_follow(asked, position, query, as_json=as_json))
    except KeyboardInterrupt:  # the usual end of it
        sys.exit(130)


def _past(server: Server, since: str | None, query: dict[str, str], most: int, *, as_json: bool) -> int:
    """Show what has happened; return the position from which to go on."""
    if since is None:
        shown = server.get(PATH, limit=str(most), **query)
        _show(shown["events"], as_json=as_json)
        return int(shown["last"])
    # Asked once: while pages are turned, "an hour ago" would move on.
    query = {**query, "since": precise(since_asked(since, time.time(), None))}
    position, full = 0, True
    while full:
        shown = server.get(PATH, after=str(position), limit=str(PAGE), **query)
        _show(shown["events"], as_json=as_json)
        position, full = int(shown["last"]), len(shown["events"]) == PAGE
    return position


async def _follow(server: Server, position: int, query: dict[str, str], *, as_json: bool) -> None:
    async def work() -> None:
        async for event in follow(server, position, query, _say):
            _show([event], as_json=as_json)

    task = asyncio.create_task(work())
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        # Else a reader that is gone would be found out by the next event, which may be long in coming.
        asyncio.get_running_loop().add_reader(1, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # we are in one
            raise


def _say(text: str) -> None:
    click.echo(f"geodns: {text}", err=True)


def _show(shown: list[Json], *, as_json: bool) -> None:
    for event in shown:
        # One by one and flushed, so that whoever reads a pipe has each at once.
        click.echo(json.dumps(event, ensure_ascii=False) if as_json else line(event))


def line(event: Json) -> str:
    """Return an event as people read it: when, by the clock of this machine, and what."""
    at = datetime.fromisoformat(event["at"]).astimezone()
    today = at.date() == datetime.now().astimezone().date()
    return f"{at:%H:%M:%S} {event['text']}" if today else f"{at:%Y-%m-%d %H:%M:%S} {event['text']}"
