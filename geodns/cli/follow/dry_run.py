"""``geodns follow --dry-run``: the signals of what is there now, printed."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from geodns.cli.client import Server
from geodns.cli.follow.attempts import Attempts
from geodns.cli.follow.feedback import maildir, read_report
from geodns.cli.follow.follower import Tell
from geodns.cli.follow.log_reader import LogReader
from geodns.cli.follow.log_times import LogTimes
from geodns.cli.follow.poster import host_addresses, open_session
from geodns.cli.follow.run import STDIN
from geodns.cli.follow.signals import Collector, Network, Ours, Sender
from geodns.errors import GeodnsError


def print_signals(
    files: tuple[str, ...],
    arf: tuple[str, ...],
    sender: Sender,
    networks: tuple[Network, ...],
    servers: Server,
    tell: Tell,
) -> None:
    """Print the signals of files and standard input up to their ends, and of feedback reports."""
    ours = Ours(networks, asyncio.run(_hosts_now(servers, sender.zone, tell)))
    collector = Collector(sender, Attempts(), ours)
    for name in files:
        reader = LogReader(LogTimes(time.time()))
        try:
            file = sys.stdin.buffer if name == STDIN else Path(name).open("rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise GeodnsError(f"{name} cannot be read: {error.strerror}") from error
        with file:
            for line in file:
                for said in reader.read(line.rstrip(b"\n")):
                    collector.add(said)
                _print(collector)
    for content in _mails(arf):
        complaint = read_report(content, time.time())
        if isinstance(complaint, str):
            tell(f"a mail is left out: {complaint}")
        else:
            collector.add(complaint)
        _print(collector)
    if collector.inside:
        tell(f"{collector.inside} deliveries to loopback, to the zone's hosts or inside are not counted")
    if collector.nameless:
        tell(
            f"{collector.nameless} deliveries do not say which address they left from: "
            "give --egress IP, --egress NAME=IP or --host NAME"
        )


def _print(collector: Collector) -> None:
    for one, count in collector.take():
        click.echo(json.dumps(collector.shown(one, count), ensure_ascii=False))


def _mails(arf: tuple[str, ...]) -> Iterator[bytes]:
    for name in arf:
        if name == STDIN:
            yield sys.stdin.buffer.read()
        else:
            yield from (path.read_bytes() for path in sorted(maildir(Path(name))[0].iterdir()))


async def _hosts_now(servers: Server, zone: str, tell: Tell) -> frozenset[str]:
    async with open_session(servers) as session:
        found = await host_addresses(session, servers.urls, zone, tell)
    if found is None:
        tell("no server says which addresses are the zone's own: mail to them is shown too")
    return found or frozenset()
