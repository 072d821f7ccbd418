"""What a large zone costs: from its text to answers, in time, in memory, and in pauses of a worker."""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench import load
from bench.figures import Figure
from bench.flip import parse
from bench.processes import cpu_seconds, memory, of_session, own_memory, two_cores
from bench.servers import NAME, QUERY, Server, geodns_command, running
from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.errors import GeodnsError
from geodns.responder.table import Table
from geodns.responder.table_changes import TableReplica, deltas, outdated, pack, unpack
from geodns.wire.message import question
from geodns.wire.names import name_to_wire

T = TypeVar("T")

RECORDS = 100_000
SAMPLE = Path(__file__).parent.parent / "zones" / "out.example.com.yaml"


def text(records: int, name_server: str = "192.0.2.53") -> str:
    """Return a zone file with so many address records, each at a name of its own."""
    numbered = (f"  h{n}: {{A: 10.{n >> 16}.{n >> 8 & 255}.{n & 255}}}" for n in range(records))
    head = (
        f"ns: {{ns1: {name_server}}}",
        "hosts: {mta1: 192.0.2.11}",
        "pools: {main: {hosts: [mta1]}}",  # without a check: the first answer waits for no probe
        'records:\n  "@": {pool: main}',
    )
    return "\n".join((*head, *numbered))


def measure(records: int = RECORDS) -> list[Figure]:
    """Measure the steps one by one, a whole server that loads the zone, and one with the sample zone."""
    figures: list[Figure] = []
    before = _steps(records, "192.0.2.53", figures)
    after = _steps(records, "192.0.2.54", [])
    figures.append(_pauses(before, after, records))
    with tempfile.TemporaryDirectory() as folder:
        figures += _server(Path(folder) / "large", records)
        figures += _sample(Path(folder) / "sample")
    return figures


def _steps(records: int, name_server: str, figures: list[Figure]) -> Table:
    def timed(what: str, step: Callable[[], T]) -> T:
        begun = time.process_time()
        result = step()
        took = time.process_time() - begun
        figures.append(Figure(f"{what}, {records:,} records", f"{took:.2f} s CPU"))
        return result

    zone = timed("YAML → Zone", partial(parse, text(records, name_server)))
    sources = {zone.name: Source(zone, 1)}
    table = timed("Zone → Table", partial(compile_zones, Compiled(), sources, LiveSet())).table
    timed("Table → packed changes", lambda: sum(len(pack(change)) for change in deltas(None, table, 1)))
    return table


def _pauses(before: Table, after: Table, records: int) -> Figure:
    """Let a worker's draft take one Table in another's place, and free that, slice by slice."""
    draft = TableReplica()
    for change in deltas(None, before, 1):
        draft.take(unpack(pack(change)))
    old = draft.table
    slices = [pack(change) for change in deltas(before, after, 2)]
    longest = 0.0
    gc.disable()  # as a worker does
    for packed in slices:
        begun = time.thread_time()
        draft.take(unpack(packed))
        longest = max(longest, time.thread_time() - begun)
    for nodes in outdated(old, draft.table):
        more = True
        while more:
            begun = time.thread_time()
            more = nodes.free()
            longest = max(longest, time.thread_time() - begun)
    gc.enable()
    what = f"longest pause of a worker that takes {records:,} records"
    return Figure(what, f"{longest * 1000:.2f} ms CPU", "under 2 ms")


def _server(folder: Path, records: int) -> list[Figure]:
    def prepare(folder: Path, port: int) -> Sequence[str]:
        (folder / "zones").mkdir()
        (folder / "zones" / f"{NAME}.yaml").write_text(text(records), "utf-8")
        return geodns_command(folder, port)

    last = name_to_wire(f"h{records - 1}.{NAME}.")
    begun = time.monotonic()
    with running(Server("geodns", None, "", prepare), folder, QUERY[:12] + question(last, 1)) as one:
        took = time.monotonic() - begun
        worker = _worker(one.pid, one.port)
        pids = of_session(one.pid)
        largest = max(memory(pid) for pid in pids)
        return [
            Figure(f"start to first answer, {records:,} records", f"{took:.2f} s", "under 10 s"),
            Figure(
                f"memory of a worker, {records:,} records",
                f"{memory(worker):.0f} MiB",
                f"{own_memory(worker):.0f} of them its own",
            ),
            Figure(f"memory of control, {records:,} records", f"{largest:.0f} MiB"),
            Figure(
                f"memory of all processes, {records:,} records", f"{sum(map(own_memory, pids)):.0f} MiB own"
            ),
        ]


def _sample(folder: Path) -> list[Figure]:
    def prepare(folder: Path, port: int) -> Sequence[str]:
        (folder / "zones").mkdir()
        (folder / "zones" / SAMPLE.name).write_bytes(SAMPLE.read_bytes())
        return geodns_command(folder, port)

    with running(Server("geodns", None, "", prepare), folder) as one:
        worker = _worker(one.pid, one.port)
        beside = f"under 60 MiB; {own_memory(worker):.0f} of them its own"
        return [Figure("memory of a worker, sample zone", f"{memory(worker):.0f} MiB", beside)]


def _worker(leader: int, port: int) -> int:
    """Return the process that answers: whose CPU time grows with queries, once the others are at rest."""
    for _ in range(20):
        before = {pid: cpu_seconds(pid) for pid in of_session(leader)}
        load.ask(port, 0.2, two_cores()[1])
        used = {pid: cpu_seconds(pid) - some for pid, some in before.items()}
        busiest = max(used, key=lambda pid: used[pid])
        if used[busiest] > 0.9 * sum(used.values()):
            return busiest
    raise GeodnsError("no process of the server has come to rest")
