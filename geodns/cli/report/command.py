"""``geodns report``: uptime, failovers and shares of hosts over a time, as one HTML file."""

import time
from pathlib import Path
from typing import Any

import click

from geodns.cli.client import Json, Server
from geodns.cli.options import server_option, token_option
from geodns.cli.report.page import page
from geodns.config.times import since_asked
from geodns.errors import GeodnsError, NotFoundError

MOST = 100_000
"""Events at most, as many as a server keeps."""


@click.command()
@click.option(
    "--since", default="7d", show_default=True, metavar="TIME", help="From 24h, 7d … ago, or a date."
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default="geodns-report.html",
    show_default=True,
    help="Where to write it; - is standard output.",
)
@server_option
@token_option
def report(since: str, output: Path, server: str, token: str | None) -> None:
    """Write a report on every host: uptime, failovers, answers against its share, latency, reputation.

    The file is complete in itself and can be sent by mail. It has a point a minute for the last day, and a
    point an hour for the last 90 days.
    """
    now = time.time()
    begin = since_asked(since, now, None)
    source = Server(server, token)
    status = source.get("/status")
    zones = [name for name in status["zones"] if name in status["hosts"]]
    asked = {"since": f"{now - begin:.0f}s"}
    history = {name: source.get("/api/v1/history", zone=name, **asked)["hosts"] for name in zones}
    events = _events(source, asked["since"])
    text = page(status, history, events, begin, now, _reputation(source))
    if str(output) == "-":
        click.echo(text)
        return
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise GeodnsError(
            f"{output} cannot be written ({error.strerror}): name another file with -o"
        ) from error
    click.echo(f"{output}: {len(zones)} zones, {sum(len(status['hosts'][name]) for name in zones)} hosts")


def _reputation(source: Server) -> Json:
    try:
        return source.get("/api/v1/reputation")
    except NotFoundError:  # a server of an older version
        return {}


def _events(source: Server, since: str) -> list[Any]:
    """Return all changes of hosts' states, of what is forced on them, and of reputation, oldest first."""
    found: list[Any] = []
    after = 0
    while len(found) < MOST:
        asked = {"kind": "state,forced,reputation", "since": since, "after": str(after), "limit": "1000"}
        shown = source.get("/api/v1/events", **asked)
        found += shown["events"]
        last = shown["events"][-1]["id"] if shown["events"] else after
        if last <= after:  # there are no more, or the server goes round in a circle
            break
        after = last
    return found
