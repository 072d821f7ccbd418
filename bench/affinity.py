"""What a pool that picks by client costs beside one that deals in turn: compiling, a flip, memory, slices."""

import gc
import time
import tracemalloc
from collections.abc import Sequence
from statistics import median
from typing import Literal

from bench.figures import Figure, spread
from bench.flip import parse
from geodns.compiler.affinity import buckets_of, scores_of
from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones, recompile_pools
from geodns.compiler.live_set import LiveSet
from geodns.compiler.rotation import cycle
from geodns.control.cluster import source_of
from geodns.model.state import Forced
from geodns.model.zone import Zone
from geodns.responder.table_changes import TableReplica, deltas, pack, unpack

SHAPES = ((3, 1), (30, 1), (300, 1), (3, 3), (30, 3), (300, 3))
"""Hosts of the pool, and `answers`."""
Pick = Literal["rotation", "client"]


def measure(turns: int, shapes: Sequence[tuple[int, int]] = SHAPES) -> list[Figure]:
    """Compile and flip pools of several sizes, each by client and in turn."""
    found = []
    for hosts, answers in shapes:
        client, turn = (_measured(_zone(hosts, answers, pick), turns) for pick in ("client", "rotation"))
        what = f"affinity: {hosts} hosts, {answers} an answer"
        found += [
            Figure(f"{what}: first compile", f"{client.first:.1f} ms CPU", f"in turn {turn.first:.1f} ms"),
            Figure(
                f"{what}: one flip", f"{spread(client.flips)} ms CPU", f"in turn {median(turn.flips):.1f} ms"
            ),
            Figure(
                f"{what}: memory",
                f"{client.memory >> 10:,} KiB",
                f"in turn {turn.memory >> 10:,} KiB; scores, kept for a name: {client.scores >> 10:,} KiB",
            ),
            Figure(
                f"{what}: the longest slice",
                f"{client.slice:.2f} ms CPU",
                f"in turn {turn.slice:.2f} ms; at most 2 ms; {client.answers:,} distinct answers",
            ),
        ]
    return found


class _Measured:
    """What one zone took; milliseconds and bytes.

    Attributes:
        slice: the longest that a worker takes for one delta of a flip.

    """

    def __init__(self) -> None:
        self.first = 0.0
        self.flips: list[float] = []
        self.memory = 0
        self.scores = 0
        self.slice = 0.0
        self.answers = 0


def _zone(hosts: int, answers: int, pick: Pick) -> Zone:
    lines = ["ns: {ns1: 192.0.2.53}", "hosts:"]
    for host in range(hosts):
        addresses = f'[10.0.{host >> 8}.{host & 255}, "2001:db8::{host + 1:x}"]'
        lines.append(f"  h{host}: {{address: {addresses}, weight: {10 + host % 7}}}")
    lines += ["pools:", f"  main: {{hosts: 'h*', answers: {answers}}}"]
    lines += ["records:", '  "@": {pool: main, MX: {pool: main, preference: 10}}']
    one = parse("\n".join(lines))
    fields = {name: getattr(one, name) for name in Zone.model_fields}
    fields["pools"] = tuple(pool.model_copy(update={"pick": pick}) for pool in one.pools)
    return Zone(**fields)


def _measured(zone: Zone, turns: int) -> _Measured:
    found = _Measured()
    sources = {zone.name: source_of(zone, 1, {})}
    _forget()
    scores_of.cache_clear()
    begun = time.process_time()
    compiled = compile_zones(Compiled(), sources, LiveSet())
    found.first = 1000 * (time.process_time() - begun)
    found.answers = max(len(part.answers) for one in compiled.table.rotations.values() for part in one.parts)
    for turn in range(turns):
        before = compiled
        down = {} if turn % 2 else {(zone.name, f"h{turn // 2 % 3}"): Forced.DOWN}
        _forget()
        begun = time.process_time()
        compiled = recompile_pools(compiled, [(zone.name, "main")], LiveSet(forced=down))
        found.flips.append(1000 * (time.process_time() - begun))
        found.slice = max(found.slice, _slice(before, compiled))
    found.scores, found.memory = _memory(zone, sources)
    return found


def _slice(before: Compiled, after: Compiled) -> float:
    """Return the milliseconds of the longest slice, where a worker would take them: without collecting."""
    replica, longest = TableReplica(before.table), 0.0
    packed = [pack(change) for change in deltas(before.table, after.table, 1)]
    gc.disable()
    for data in packed:
        begun = time.process_time()
        replica.take(unpack(data))
        longest = max(longest, time.process_time() - begun)
    gc.enable()
    return 1000 * longest


def _memory(zone: Zone, sources: dict[str, Source]) -> tuple[int, int]:
    """Return the bytes of scores, and of all else that compiling leaves behind."""
    _forget()
    scores_of.cache_clear()
    tracemalloc.start()
    picks = any(pool.pick == "client" for pool in zone.pools)
    for host in zone.hosts if picks else ():
        scores_of(host.name)
    scores, _ = tracemalloc.get_traced_memory()
    compiled = compile_zones(Compiled(), sources, LiveSet())
    both, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del compiled
    return scores, both - scores


def _forget() -> None:
    """Have the next of its kind be worked out: it is the one that has to be quick."""
    cycle.cache_clear()
    buckets_of.cache_clear()
