"""What GeoIP files cost: the time and memory of reading them, and the control loop meanwhile."""

import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mmdb_writer import MMDBWriter, SearchTreeLeaf, SearchTreeNode

from bench.figures import Figure
from bench.processes import own_memory
from geodns.zones.geoip_frames import GeoipReport, GeoipRequest, Named
from geodns.zones.geoip_reading import read_apart

T = TypeVar("T")

LANGUAGES = ("de", "en", "es", "fr", "ja", "pt-BR", "ru", "zh-CN")
TICK = 0.001
"""Seconds between two looks at how late the loop is."""
REST = 2.0
"""Seconds of looking before a file is read."""


class GeoipSample(NamedTuple):
    """A file as large as a real one.

    Attributes:
        networks: about so many, three fifths of them IPv4.
        values: countries or AS numbers.
        named: of them, how many rules name.

    """

    kind: str
    networks: int
    values: int
    named: int


SAMPLES = (
    GeoipSample("country", 100_000, 250, 250),
    GeoipSample("country", 1_200_000, 250, 250),  # GeoLite2-Country of 2026 has 1.18 million
    GeoipSample("asn", 700_000, 80_000, 100),
)


def measure(samples: Sequence[GeoipSample] = SAMPLES) -> list[Figure]:
    """Read each file as control does."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for sample in samples:
            path = Path(folder) / f"{sample.kind}-{sample.networks}.mmdb"
            _apart(write, path, sample)
            found += _apart(_read, path, sample)
    return found


def _apart(step: Callable[[Path, GeoipSample], T], path: Path, sample: GeoipSample) -> T:
    """Run a step in a small process: what a child has before it loads its program counts as its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(step, path, sample).result()


def write(path: Path, sample: GeoipSample) -> None:
    """Write a file whose networks stand side by side, with records as MaxMind's."""
    rng = random.Random(sample.networks)
    writer = MMDBWriter(6, f"Bench-{sample.kind}", ipv4_compatible=True, description={"en": "a benchmark"})
    leaves = [SearchTreeLeaf(_record(sample.kind, number)) for number in range(sample.values)]
    ipv4 = sample.networks * 3 // 5
    for begin, bits, lengths, number in (
        (1 << 24, 32, range(20, 25), ipv4),
        (0x2001 << 112, 128, range(32, 49), sample.networks - ipv4),
    ):
        first = begin
        for _ in range(number):
            # As large as it may be at this place: files have few gaps.
            size = min(1 << bits - rng.choice(lengths), first & -first)
            _insert(writer.tree, first, 129 - size.bit_length(), rng.choice(leaves))
            first += size
    writer.to_db_file(str(path))


def _insert(tree: SearchTreeNode, first: int, length: int, leaf: SearchTreeLeaf) -> None:
    node = tree
    for place in range(127, 128 - length, -1):
        below = node.get_or_create(first >> place & 1)
        assert isinstance(below, SearchTreeNode)
        node = below
    node[first >> 128 - length & 1] = leaf


def _record(kind: str, number: int) -> dict[str, Any]:
    if kind == "asn":
        return {
            "autonomous_system_number": number,
            "autonomous_system_organization": f"Organization {number}",
        }
    names = {one: f"country {number} in {one}" for one in LANGUAGES}
    country = {"geoname_id": number, "iso_code": _code(number), "names": names}
    continent = {"code": ["AF", "AS", "EU", "NA", "SA"][number % 5], "geoname_id": number % 5, "names": names}
    return {"continent": continent, "country": country, "registered_country": country}


def _code(number: int) -> str:
    return chr(65 + number // 26) + chr(65 + number % 26)


def _read(path: Path, sample: GeoipSample) -> list[Figure]:
    if sample.kind == "asn":
        names: list[Named] = [("asns", number) for number in range(1, sample.named + 1)]
    else:
        names = [("countries", _code(number)) for number in range(sample.named)]
    request = GeoipRequest((path,), path.parent / "copies", frozenset(names))
    before = _child_cpu()
    memory = own_memory(os.getpid())
    report, took, rest, late = asyncio.run(_watched(request))
    ranges = sum(len(one.ipv4) + len(one.ipv6) for one in report.ranges.values()) // 2
    what = f"GeoIP file of {sample.networks:,} networks ({sample.kind})"
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return [
        Figure(f"{what}: read", f"{took:.2f} s", f"{_child_cpu() - before:.2f} s CPU; 100,000 in under 5 s"),
        Figure(f"{what}: memory of the reader", f"{largest:.0f} MiB"),
        Figure(
            f"{what}: memory in control",
            f"{own_memory(os.getpid()) - memory:.0f} MiB",
            f"{ranges:,} ranges of {sample.named} names",
        ),
        Figure(
            f"{what}: the control loop's p99 lateness",
            f"{late * 1000:.2f} ms",
            f"at rest {rest * 1000:.2f} ms",
        ),
    ]


def _child_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _watched(request: GeoipRequest) -> tuple[GeoipReport, float, float, float]:
    """Read while a task looks how late the loop is.

    Return the seconds that it took too, and the 99th percentiles of lateness at rest and meanwhile.
    """
    late: list[float] = []

    async def look() -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(TICK)
            late.append(time.monotonic() - begun - TICK)

    task = asyncio.ensure_future(look())
    await asyncio.sleep(REST)
    rest, late = late, []
    begun = time.monotonic()
    report = await read_apart(request)
    took = time.monotonic() - begun
    task.cancel()
    return report, took, _percentile(rest), _percentile(late)


def _percentile(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]
