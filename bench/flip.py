"""What a change of one host costs: from its verdict to the packed changes for the workers."""

import statistics
import time
from collections.abc import Sequence

from bench.figures import Figure, spread
from geodns.compiler.compile import compile_zones
from geodns.compiler.rotation import cycle
from geodns.control.cluster import Cluster, source_of
from geodns.errors import GeodnsError
from geodns.model.state import HealthState, Verdict
from geodns.model.zone import Zone
from geodns.responder.table_changes import deltas, pack
from geodns.zonefile.reader import parse_zone

BOUND_MS = 10.0
SHAPES = ((10, 10), (100, 100), (1000, 1000), (1000, 1), (1000, 10_000))
"""Pools in the zone, and names in it; all names of the last two share the first pool."""


def measure(turns: int, shapes: Sequence[tuple[int, int]] = SHAPES) -> list[Figure]:
    """Time flips of one host of the first pool, for zones of several sizes in turns."""
    clusters = [_cluster(pools, names) for pools, names in shapes]
    times: list[list[float]] = [[] for _ in shapes]
    for turn in range(turns):
        for cluster, taken in zip(clusters, times, strict=True):
            taken.append(_flip(cluster, HealthState.DOWN if turn % 2 == 0 else HealthState.UP))
    base = statistics.median(times[0])
    return [
        Figure(
            f"one flip: {pools:,} pools, {names:,} names",
            f"{spread(taken, 2)} ms CPU",
            f"{statistics.median(taken) / base:.2f} times the first; at most {BOUND_MS:.0f} ms",
        )
        for (pools, names), taken in zip(shapes, times, strict=True)
    ]


def _cluster(pools: int, names: int) -> Cluster:
    cluster = Cluster({}, {}, {}, {})
    zone = parse(text(pools, names))
    cluster.serve_zones(
        compile_zones(cluster.compiled, {zone.name: source_of(zone, 1, {})}, cluster.live()), 0.0
    )
    return cluster


def text(pools: int, names: int) -> str:
    """Return a zone file: pools of three hosts each, and names that are dealt from them in turn.

    With as many names as pools each has its own; else all are dealt from the first.
    """
    lines = ["ns: {ns1: 192.0.2.53}", "hosts:"]
    for pool in range(pools):
        for host, weight in enumerate((50, 30, 20)):
            address = f"10.{pool >> 8}.{pool & 255}.{host + 1}"
            lines.append(f"  h{pool}-{host}: {{address: {address}, weight: {weight}}}")
    lines.append("pools:")
    lines += [
        f"  p{pool}: {{hosts: [h{pool}-0, h{pool}-1, h{pool}-2], check: smtp}}" for pool in range(pools)
    ]
    lines.append("records:")
    lines += [f"  n{name}: {{pool: p{name if names == pools else 0}}}" for name in range(names)]
    return "\n".join(lines)


def parse(said: str) -> Zone:
    """Return the zone that a text describes.

    Raises:
        GeodnsError: the text is wrong.

    """
    parsed = parse_zone("bench.example.com", said.encode(), "bench.example.com.yaml")
    if parsed.zone is None:
        raise GeodnsError("\n".join(map(str, parsed.problems)))
    return parsed.zone


def _flip(cluster: Cluster, state: HealthState) -> float:
    """Return the milliseconds of CPU time that one verdict takes."""
    zone = cluster.zone("bench.example.com")
    (target,) = next(iter(zone.targets_by_host["h0-0"].values()))
    before = cluster.compiled.table
    cycle.cache_clear()  # the first of its kind is the one that has to be quick
    begun = time.process_time()
    cluster.apply_verdicts({target: Verdict(state)}, 0.0)
    for change in deltas(before, cluster.compiled.table, 1):
        pack(change)
    took = time.process_time() - begun
    if cluster.compiled.table is before:
        raise GeodnsError("the flip changed nothing: what was timed is not what was meant")
    return took * 1000
