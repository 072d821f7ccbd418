"""What probing costs: CPU and memory of the prober alone, with SMTP servers in a process of their own.

Run it as ``python -m bench.health``.
"""

import argparse
import asyncio
import multiprocessing
import random
import resource
import time
from collections import Counter
from ipaddress import IPv4Address
from multiprocessing.connection import Connection

from geodns.health.monitor import Monitor
from geodns.health.outcome import Outcome
from geodns.live import Verdict
from geodns.model import Check, Target

ANSWERS = {b"EHLO": b"250-mta1\r\n250-PIPELINING\r\n250 8BITMIME\r\n", b"QUIT": b"221 2.0.0 Bye\r\n"}


class Mta(asyncio.Protocol):
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
        self.transport.write(ANSWERS.get(word, b"500 what?\r\n"))
        if word == b"QUIT":
            self.transport.close()


def serve(link: Connection) -> None:
    """Serve on a free port of loopback until the other end hangs up."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Mta, "127.0.0.1", 0, backlog=4096)
        link.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, link.poll, None)
        server.close()

    asyncio.run(main())


def memory() -> float:
    """Return the resident memory of this process in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


async def measure(port: int, targets: int, interval: float, seconds: float) -> None:
    """Probe, and print what it took once the first round is over."""
    kinds: Counter[str] = Counter()

    def note(target: Target, outcome: Outcome, before: Verdict, after: Verdict) -> None:
        del target, before, after
        kinds[outcome.kind] += 1

    before = memory()
    monitor = Monitor(note, ehlo="probe.example.com", rng=random.Random(1))
    checks = (Check(name=f"smtp{number}", port=port, interval=interval) for number in range(targets))
    monitor.set_targets(
        [Target(check=one, address=IPv4Address("127.0.0.1"), port=port) for one in checks], {}
    )
    begun = time.monotonic()
    await monitor.first_round(60)
    print(f"first round of {targets}: {time.monotonic() - begun:.2f} s")
    await asyncio.sleep(interval)
    kinds.clear()
    wall, cpu, late = time.monotonic(), time.process_time(), 0.0
    while time.monotonic() - wall < seconds:
        await asyncio.sleep(0.25)
        late = max(late, monitor.lateness)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    probes = kinds.total()
    print(f"{probes} probes in {wall:.1f} s ({probes / wall:.0f} a second): {dict(kinds)}")
    print(
        f"CPU {cpu / wall:.1%} of a core, {cpu / probes * 1e6:.0f} µs a probe, up to {late * 1e3:.0f} ms late"
    )
    print(f"memory {memory():.0f} MiB, {(memory() - before) / targets * 1024:.1f} KiB a target")
    print(f"so 10,000 targets every 10 s take {cpu / probes * 1000:.2f} of a core")
    await monitor.close()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=2000)
    parser.add_argument("--interval", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    wanted = parser.parse_args()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    child.start()
    asyncio.run(measure(here.recv(), wanted.targets, wanted.interval, wanted.seconds))
    child.terminate()
    child.join()


if __name__ == "__main__":
    main()
