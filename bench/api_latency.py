"""How soon the HTTP side answers while the workers are saturated: ``python -m bench.api_latency [SECONDS]``.

A server with two workers and 500 hosts, DNS clients that ask as fast as they can, and 100 requests a second
to the API in turn; quoted are the times of each path, idle and under that load, in one run.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp

from bench import load
from tests.integration.cluster import Server, serving

ZONE = "out.example.com"
HOSTS = 500
RATE = 100.0
PATHS = (
    "/status",
    "/metrics",
    f"/api/v1/explain?name={ZONE}",
    "/api/v1/events?limit=100",
    "/api/v1/history/recent",
)


def zone_text() -> str:
    """A zone of many hosts that are probed where nothing costs anything: they are always up."""
    hosts = "".join(f"  h{at}: 10.0.{at // 250}.{at % 250 + 1}\n" for at in range(HOSTS))
    return (
        f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{hosts}pools: {{main: {{hosts: 'h*', check: none}}}}\n"
        'records: {"@": {pool: main, MX: {pool: main, preference: 10}}}\n'
    )


async def ask(server: Server, seconds: float) -> Mapping[str, list[float]]:
    """Ask for each path in turn, 100 times a second, and return how long each answer took."""
    took: dict[str, list[float]] = {path: [] for path in PATHS}

    async def one(session: aiohttp.ClientSession, path: str) -> None:
        began = time.perf_counter()
        async with session.get(server.http + path) as response:
            await response.read()
            assert response.status == 200, f"{path}: {response.status}"
        took[path].append(time.perf_counter() - began)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        begin = time.perf_counter()
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, begin + number / RATE - time.perf_counter()))
            group.create_task(one(session, PATHS[number % len(PATHS)]))
    return took


def shown(took: Mapping[str, list[float]]) -> str:
    """Return the times in milliseconds: the median, and the one that one in a hundred passes."""
    lines = []
    for path, times in took.items():
        ordered = sorted(times)
        worst = ordered[int(len(ordered) * 0.99) - 1]
        middle = statistics.median(times)
        lines.append(f"  {path:<40} median {middle * 1000:6.1f}  p99 {worst * 1000:6.1f} ms")
    return "\n".join(lines)


def main(seconds: float) -> None:
    """Print the times without and with load."""
    zones = {ZONE: zone_text()}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), zones, workers=2) as server:
        took = asyncio.run(ask(server, seconds))
        print(f"idle, {HOSTS} hosts, {RATE:.0f} requests a second\n{shown(took)}", flush=True)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(load.ask, server.listen[0][1], seconds + 2, 1)
            took = asyncio.run(ask(server, seconds))
            answered = asked.result()
        rate = answered.answers / answered.seconds
        print(f"workers saturated ({rate:,.0f} answers a second)\n{shown(took)}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
