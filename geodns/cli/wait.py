"""``drain --wait``: wait until nobody deals a host, no cache has it, and its queue is empty."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import click

from geodns.cli.client import HttpReply, Json, Server
from geodns.errors import GeodnsError

LATE = 3
"""The exit status."""
LOOK_EVERY = 1.0
SAY_EVERY = 10.0
"""Seconds between two lines of progress."""


class Drained(NamedTuple):
    """A host that was drained.

    Attributes:
        dealt: when the last worker of any server had stopped dealing it, in seconds since the epoch.
        cached: until when caches may have it.

    """

    zone: str
    name: str
    dealt: float
    cached: float

    def __str__(self) -> str:
        return f"{self.name}.{self.zone}"


class Progress(NamedTuple):
    """A line about a host, and whether it may be rebooted."""

    line: str
    done: bool


def drained_by(answers: Iterable[Json], now: float) -> list[Drained]:
    """Return the hosts that servers have drained, by their answers to the order.

    Args:
        answers: of the servers that have taken it.
        now: seconds since the epoch, after the last answer came.

    """
    cached: dict[tuple[str, str], float] = {}
    for answer in answers:
        for zone, hosts in answer["cached_s"].items():
            for name, seconds in hosts.items():
                cached[zone, name] = max(seconds, cached.get((zone, name), 0))
    return [Drained(zone, name, now, now + seconds) for (zone, name), seconds in cached.items()]


class Readings:
    """When each server had read a load at our first look after the caches' end: none of it counts yet.

    Mail may come in until then. The servers' own clocks are not compared with ours.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[Drained, str], str | None] = {}

    def is_later(self, one: Drained, server: str, load: Json, now: float) -> bool:
        """Take a look at a host's load; tell whether it was read after the caches' end."""
        if now < one.cached:
            return False
        return bool(load["at"] != self._first.setdefault((one, server), load["at"]))


def progress(one: Drained, hosts: Mapping[str, Json], now: float, readings: Readings) -> Progress:
    """Judge a host by what each server shows of it.

    Args:
        one: the host.
        hosts: what each server shows of it, by the server's URL.
        now: seconds since the epoch.
        readings: what the servers had read before.

    Raises:
        GeodnsError: it is not drained any more somewhere.

    """
    queues: list[float] = []
    late: list[float] = []
    told = False
    for server, host in hosts.items():
        if host["forced"] != "drained":
            raise GeodnsError(f"{one} is not drained any more: somebody has ended it")
        load = host.get("load")
        if load is not None:
            told = True
            later = readings.is_later(one, server, load, now)
            # A value from before the exporter died says nothing of what is queued now.
            if load["value"] is not None and not load["stale"] and load["error"] is None:
                queues.append(load["value"])
                late += [load["value"]] if later else []
    parts = [f"dealt until {_clock(one.dealt)}", f"cached until {_clock(one.cached)}"]
    empty = max(queues) <= 0 if queues else not told
    if queues:
        parts.append(f"queue {max(queues):g}")
        if empty and not late and now >= one.cached:
            parts.append("read before that")
            empty = False
    elif told:
        parts.append("queue not known")
    return Progress(f"{one}: {', '.join(parts)}", now >= one.cached and empty)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def wait(
    server: Server, answers: Mapping[str, HttpReply | GeodnsError], timeout: float | None = None
) -> None:
    """Wait until the hosts that servers have just drained may be rebooted, and say how far along they are.

    Raises:
        GeodnsError: a host is drained no more.
        Exit: with status 3 when seconds have passed before.

    """
    end = float("inf") if timeout is None else time.monotonic() + timeout
    taken = [answer.body for answer in answers.values() if isinstance(answer, HttpReply)]
    left = drained_by(taken, time.time())
    said: dict[Drained, float] = {}
    readings = Readings()
    while left:
        answered = server.get_all("/status").items()
        shown = {url: one.body["hosts"] for url, one in answered if isinstance(one, HttpReply)}
        now = time.time()
        for one in list(left):
            hosts = {url: some.get(one.zone, {}).get(one.name) for url, some in shown.items()}
            found = progress(one, {url: host for url, host in hosts.items() if host}, now, readings)
            if not shown:
                found = Progress(f"{found.line}, and no server answers", done=False)
            late = time.monotonic() >= end and not found.done
            if late:
                click.echo(f"{found.line}: not safe to reboot, and the time is over", err=True)
            elif found.done or now - said.get(one, float("-inf")) >= SAY_EVERY:
                said[one] = now
                click.echo(found.line)
            if found.done:
                click.echo(f"{one}: safe to reboot")
                left.remove(one)
        if left and time.monotonic() >= end:
            raise click.exceptions.Exit(LATE)
        if left:
            time.sleep(max(0.0, min(LOOK_EVERY, end - time.monotonic())))
