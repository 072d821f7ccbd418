"""What probing costs: CPU and memory of a prober by itself, with mail servers in a process of their own."""

import asyncio
import multiprocessing
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from bench.figures import Figure
from bench.processes import memory
from bench.servers import free_port
from geodns.errors import GeodnsError
from geodns.health.monitor import Monitor
from geodns.health.outcome import ProbeOutcome
from geodns.model.checks import Check, Target
from geodns.model.state import Verdict

TARGETS = (2_000, 10_000)
INTERVAL = 10.0
SETTLING = 2
"""Intervals until what the first round, which is all at once, leaves of its crowd has spread."""

START_WITHIN = 60.0
"""Seconds for the mail servers to listen, and for the first round, at most."""

REPLIES = {b"EHLO": b"250-mta1\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"QUIT": b"221 2.0.0 Bye\r\n"}
_SPAWN = multiprocessing.get_context("spawn")


class Probed(NamedTuple):
    """What a prober took, once its first round was over.

    Attributes:
        first_round: seconds.
        kinds: how many probes there were of each outcome.
        wall: seconds that were measured.
        cpu: seconds of them on a core.
        late: seconds that a probe started too late, at most.
        before: MiB before there was a target.
        after: MiB at the end.

    """

    first_round: float
    kinds: dict[str, int]
    wall: float
    cpu: float
    late: float
    before: float
    after: float


def measure(seconds: float, sizes: Iterable[int] = TARGETS, interval: float = INTERVAL) -> list[Figure]:
    """Probe so many addresses of loopback, one size after the other."""
    return [figure for targets in sizes for figure in _measure(seconds, targets, interval)]


def _measure(seconds: float, targets: int, interval: float) -> list[Figure]:
    port = free_port()
    with _process(_serve, targets, port) as servers:
        _answer(servers)
        with _process(_probe, targets, port, interval, seconds) as prober:
            got: Probed = _answer(prober, START_WITHIN + (1 + SETTLING) * interval + seconds)
    probes = sum(got.kinds.values())
    if not probes or set(got.kinds) != {"ok"}:
        raise GeodnsError(f"the probes of the bench found {got.kinds}, not ok alone")
    what = f"{targets:,} addresses every {interval:g} s"
    core = got.cpu / got.wall
    return [
        Figure(f"probing {what}: CPU", f"{core:.1%} of a core", f"{got.cpu / probes * 1e6:.0f} µs a probe"),
        Figure(
            f"probing {what}: memory",
            f"{got.after:.0f} MiB",
            f"{(got.after - got.before) / targets * 1024:.1f} KiB an address",
        ),
        Figure(
            f"probing {what}: delays",
            f"{got.late * 1000:.0f} ms late",
            f"at most; first round {got.first_round:.1f} s",
        ),
        Figure(f"probing {what}: most", f"{probes / got.cpu:,.0f} probes/s", "on a whole core"),
    ]


@contextmanager
def _process(work: Callable[..., None], *arguments: float) -> Iterator[Connection]:
    """Run something in a fresh process that ends with the block; give the link to it."""
    here, there = _SPAWN.Pipe()
    child = _SPAWN.Process(target=work, args=(there, *arguments), daemon=True)
    child.start()
    there.close()
    try:
        yield here
    finally:
        child.terminate()
        child.join()


def _answer(link: Connection, timeout: float = START_WITHIN) -> Any:
    if not link.poll(timeout):
        raise GeodnsError(f"a process of the bench said nothing for {timeout:.0f} s")
    return link.recv()


def addresses(number: int) -> Iterable[IPv4Address]:
    """Return addresses of loopback that nobody else is likely to use."""
    first = IPv4Address("127.64.0.1")
    return islice((first + step for step in range(2**20)), number)


# --- the mail servers ----------------------------------------------------------------------------------


class _Mta(asyncio.Protocol):
    """The least that a probe takes for a mail server."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 mta1.out.example.com ESMTP ready\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer one command."""
        word = data[:4].upper()
        self.transport.write(REPLIES.get(word, b"500 what?\r\n"))
        if word == b"QUIT":
            self.transport.close()


def _serve(link: Connection, targets: int, port: int) -> None:
    """Serve on every address until terminated."""
    _allow_files()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(_Mta, [str(address) for address in addresses(targets)], port)
        link.send(None)
        await loop.run_in_executor(None, link.poll, None)

    asyncio.run(main())


def _allow_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# --- the prober ----------------------------------------------------------------------------------------


def _probe(link: Connection, targets: int, port: int, interval: float, seconds: float) -> None:
    """Probe, and send what it took."""
    _allow_files()
    link.send(asyncio.run(_probed(targets, port, interval, seconds)))
    link.poll(None)


async def _probed(targets: int, port: int, interval: float, seconds: float) -> Probed:
    kinds: Counter[str] = Counter()

    def note(target: Target, outcome: ProbeOutcome, before: Verdict, after: Verdict) -> None:
        del target, before, after
        kinds[str(outcome.kind)] += 1

    before = memory(os.getpid())
    monitor = Monitor(note, ehlo="probe.example.com", rng=random.Random(1))
    check = Check(name="smtp", port=port, interval=interval)
    monitor.set_targets(
        [Target(check=check, address=address, port=port) for address in addresses(targets)], {}
    )
    begun = time.monotonic()
    await monitor.first_round(START_WITHIN)
    first_round = time.monotonic() - begun
    await asyncio.sleep(SETTLING * interval)
    kinds.clear()
    wall, cpu, late = time.monotonic(), time.process_time(), 0.0
    while time.monotonic() - wall < seconds:
        await asyncio.sleep(0.25)
        late = max(late, monitor.lateness)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    await monitor.close()
    return Probed(first_round, dict(kinds), wall, cpu, late, before, memory(os.getpid()))
