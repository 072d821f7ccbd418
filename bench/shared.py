"""What servers that share verdicts cost Redis and themselves, and how soon the last one follows a majority.

Each server is a process with a real link and the merging of votes, whose probes are made up; Redis is real.
None probes again because another asks: the majority is of own findings.
"""

import asyncio
import gc
import multiprocessing
import os
import random
import selectors
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from bench.figures import Figure
from bench.processes import memory
from geodns.errors import GeodnsError
from geodns.health.outcome import ProbeResult
from geodns.health.quorum import Quorum
from geodns.health.quorum_standing import MergedState, QuorumTarget
from geodns.model.checks import Check
from geodns.model.shared import AddressVote, Heartbeat, SharedOrder, SharedSettings, Vote, ZoneContent
from geodns.model.state import HealthState, Verdict
from geodns.storage.shared_link import LinkState
from geodns.storage.shared_redis import SharedLink
from tests.integration.redises import RedisServer, redis_server

SERVERS = 10
ADDRESSES = 10_000
FLIPS = 1_000
REST = 30.0
"""Seconds at rest: as long as from one reading of everything to the next."""
FLIPPING = 10.0
"""Seconds over which flips are spread."""
SPREAD = 1.0
"""Seconds within which all servers see that a host is down."""
INTERVAL = 10.0
"""Seconds from one made-up probe of an address to the next."""
PROBES_EVERY = 0.05
PATIENCE = 300.0
BOUND_CPU = 2.0
BOUND_MEMORY = 30.0
BOUND_SECONDS = 1.0
ZONE = "out.example.com"
UP, DOWN = Verdict(HealthState.UP), Verdict(HealthState.DOWN)


class Seen(NamedTuple):
    """What a server tells of itself.

    Attributes:
        cpu: seconds of it.
        memory: MiB more than before it began to share.
        up: addresses that are up as merged.
        voted: when it first said that an address is down, by its number; monotonic seconds.
        served: when that was served first.
        lag: the longest time that the loop did one thing, in seconds.

    """

    cpu: float
    memory: float
    up: int
    voted: Mapping[int, float]
    served: Mapping[int, float]
    lag: float


class Load(NamedTuple):
    """What Redis has done so far."""

    messages: int
    read: int
    written: int
    cpu: float


def measure(addresses: int = ADDRESSES, flips: int = FLIPS, rest: float = REST) -> list[Figure]:
    """Have servers share at rest, then while hosts fail one after the other, then while all fail at once.

    Raises:
        GeodnsError: there is no redis-server here.

    """
    if shutil.which("redis-server") is None:
        raise GeodnsError("no redis-server here")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(redis_server(folder))
        servers = _Servers(stack, redis, addresses)
        begun = time.monotonic()
        servers.wait_for_all(addresses)
        first = time.monotonic() - begun
        found = [
            Figure(
                f"till {SERVERS} servers that begin at once share {addresses:,} addresses", f"{first:.1f} s"
            )
        ]
        found += servers.at_rest(redis, rest)
        found += servers.flip(redis, range(flips), FLIPPING, f"{flips:,} flips in {FLIPPING:.0f} s")
        found += servers.flip(redis, range(flips, 2 * flips), 0.0, f"{flips:,} flips at once")
    return found


class _Servers:
    """The servers' processes, and what they are told."""

    def __init__(self, stack: ExitStack, redis: RedisServer, addresses: int) -> None:
        self._ways: list[Connection] = []
        context = multiprocessing.get_context("fork")  # imports once
        gc.collect()
        gc.freeze()
        for number in range(SERVERS):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, number, redis.url, addresses), daemon=True)
            process.start()
            theirs.close()
            self._ways.append(ours)
            stack.callback(_end, ours, process)

    def tell(self, *command: Any) -> list[Seen]:
        for way in self._ways:
            way.send(command)
        return [way.recv() for way in self._ways]

    def wait_for_all(self, addresses: int) -> None:
        end = time.monotonic() + PATIENCE
        while any(one.up != addresses for one in self.tell("see")):
            if time.monotonic() > end:
                raise GeodnsError("the servers do not agree in time")
            time.sleep(0.2)

    def at_rest(self, redis: RedisServer, seconds: float) -> list[Figure]:
        time.sleep(5.0)
        before, load = self.tell("begin"), _load(redis)
        time.sleep(seconds)
        after = self.tell("see")
        return [
            *_of_redis("at rest", load, _load(redis), seconds),
            *_of_control("at rest", before, after, seconds),
            Figure(
                "memory of a server for it",
                f"{max(one.memory for one in after):.1f} MiB",
                f"at most {BOUND_MEMORY:.0f}",
            ),
        ]

    def flip(self, redis: RedisServer, numbers: range, seconds: float, what: str) -> list[Figure]:
        before, load, begun = self.tell("begin"), _load(redis), time.monotonic()
        self.tell("flip", numbers.start, numbers.stop, begun + 0.5, seconds)
        end = begun + PATIENCE
        after = self.tell("see")
        while any(len(one.served) < len(numbers) for one in after):
            if time.monotonic() > end:
                raise GeodnsError("the servers do not agree in time")
            time.sleep(0.2)
            after = self.tell("see")
        took = time.monotonic() - begun
        lasts = sorted(_follow(after, number) for number in numbers)
        return [
            *_of_redis(what, load, _load(redis), took),
            *_of_control(what, before, after, took),
            Figure(
                f"{what}: from the deciding vote to the last server",
                f"p50 {1000 * _part(lasts, 50):.0f} ms, p99 {1000 * _part(lasts, 99):.0f} ms",
                f"p99 at most {BOUND_SECONDS:.0f} s; the slowest {1000 * lasts[-1]:.0f} ms",
            ),
        ]


def _follow(seen: Sequence[Seen], number: int) -> float:
    """Return the seconds from the vote that made a majority till the last server served it."""
    votes = sorted(one.voted[number] for one in seen if number in one.voted)
    return max(one.served[number] for one in seen) - votes[SERVERS // 2]


def _part(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of some sorted ones are below."""
    return values[len(values) * percent // 100]


def _load(redis: RedisServer) -> Load:
    stats = _info(redis, "stats") | _info(redis, "cpu") | _info(redis, "commandstats")
    calls = [stats.get(f"cmdstat_{name}", "calls=0") for name in ("evalsha", "xread", "hscan")]
    return Load(
        sum(int(one.partition(",")[0].partition("=")[2]) for one in calls),
        int(stats["total_net_input_bytes"]),
        int(stats["total_net_output_bytes"]),
        float(stats["used_cpu_user"]) + float(stats["used_cpu_sys"]),
    )


def _info(redis: RedisServer, part: str) -> dict[str, str]:
    lines = redis.run("INFO", part).decode().splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def _of_redis(what: str, before: Load, after: Load, seconds: float) -> list[Figure]:
    came, read, written, cpu = ((new - old) / seconds for new, old in zip(after, before, strict=True))
    return [
        Figure(
            f"Redis, {what}",
            f"{came:,.0f} messages, {read / 1000:,.1f} kB in, {written / 1000:,.1f} kB out a second",
            f"{100 * cpu:.1f} % of a core",
        )
    ]


def _of_control(what: str, before: Sequence[Seen], after: Sequence[Seen], seconds: float) -> list[Figure]:
    shares = [100 * (new.cpu - old.cpu) / seconds for new, old in zip(after, before, strict=True)]
    beside = f"at most {BOUND_CPU:.0f} %; " if what == "at rest" else ""
    return [
        Figure(
            f"a server's CPU, {what}",
            f"{statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f}) %",
            f"{beside}the loop did one thing for {1000 * max(one.lag for one in after):.0f} ms at most",
        )
    ]


def _end(way: Connection, process: Any) -> None:
    way.send(("end",))  # later servers hold this way's end open
    way.close()
    process.join(10.0)
    if process.is_alive():
        process.kill()


# --- a server ------------------------------------------------------------------------------------------


def _serve(way: Connection, number: int, url: str, addresses: int) -> None:
    before = memory(os.getpid())
    watch = _Watch()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(watch)) as runner:
        runner.run(_Server(way, number, url, addresses, before, watch).run())


class _Watch(selectors.DefaultSelector):
    """Sees how long the loop does things between two looks at what has come.

    Attributes:
        longest: in seconds; on a busy machine, others' time is in it.

    """

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._since = time.perf_counter()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.longest = max(self.longest, time.perf_counter() - self._since)
        found = super().select(timeout)
        self._since = time.perf_counter()
        return found


class _Server:
    """Merges votes as `control.shared_service` does, of targets whose probes are made up."""

    def __init__(
        self,
        way: Connection,
        number: int,
        url: str,
        addresses: int,
        memory_before: float,
        watch: "_Watch",
    ) -> None:
        self.way = way
        self.node = f"ns{number}"
        self.random = random.Random(number)
        self.memory_before = memory_before
        check = Check(name="smtp", interval=3600.0)
        self.keys = [f"smtp [{IPv4Address(0x0A000000 + at)}]:25" for at in range(addresses)]
        self.number = {key: at for at, key in enumerate(self.keys)}
        target = QuorumTarget(frozenset({ZONE}), check)
        self.own = dict.fromkeys(self.keys, UP)
        self.quorum = Quorum(self.node, 1, time.monotonic())
        self.quorum.set_targets(dict.fromkeys(self.keys, target), time.monotonic())
        self.link = SharedLink(SharedSettings(url=url, group="bench"), self.node, self)
        self.voted: dict[int, float] = {}
        self.served: dict[int, float] = {}
        self.up: set[str] = set()
        self.failing: set[str] = set()
        self.due: asyncio.TimerHandle | None = None
        self.watch = watch
        self.over = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self.way.fileno(), self.told)
        work = (self.link.run(), self.beats(), self.ticks(), self.probes())
        tasks = [loop.create_task(one) for one in work]
        await self.over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what goes on

    async def beats(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(self.random.uniform(0.8, 1.2))

    def beat(self) -> None:
        zones = {ZONE: ZoneContent(digest="0" * 16, serial=1)}
        quorum = self.quorum
        self.link.beat(
            Heartbeat(
                node=self.node,
                epoch=1,
                seq=quorum.seq,
                version="0",
                at=time.time(),
                heard=quorum.nodes,
                zones=zones,
                digests={"ballots": quorum.digest},
            )
        )

    async def ticks(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.quorum.tick(time.monotonic())
            self.look()

    async def probes(self) -> None:
        """Give results as probes of all addresses in turn would."""
        at = 0
        begun = time.monotonic()
        while True:
            goal = int((time.monotonic() - begun) / INTERVAL * len(self.keys))
            now = time.monotonic()
            for _ in range(min(goal - at, 2_000)):
                key = self.keys[at % len(self.keys)]
                at += 1
                kind = ProbeResult.FAILURE if key in self.failing else ProbeResult.OK
                self.quorum.probed(key, kind, self.own[key], now)
            if self.quorum.busy:
                self.soon()
            await asyncio.sleep(PROBES_EVERY)

    def soon(self) -> None:
        if self.due is None:
            self.due = asyncio.get_running_loop().call_later(0.01, self.look)

    def look(self) -> None:
        if self.due is not None:
            self.due.cancel()
            self.due = None
        news = self.quorum.take(time.monotonic())
        now = time.monotonic()
        for key, state in news.merged.items():
            self.take(key, state, now)
        for key, vote in news.publish.items():
            if vote.vote is Vote.DOWN:
                self.voted.setdefault(self.number[key], now)
        if news.publish:
            self.link.publish_votes(1, news.publish)
        if self.quorum.busy:
            self.soon()

    def take(self, key: str, state: MergedState, now: float) -> None:
        if state.vote is Vote.UP:
            self.up.add(key)
        else:
            self.up.discard(key)
        if state.vote is Vote.DOWN:
            self.served.setdefault(self.number[key], now)

    # --- what it is told

    def told(self) -> None:
        try:
            command, *more = self.way.recv()
        except EOFError:
            command, more = "end", []
        if command == "end":
            asyncio.get_running_loop().remove_reader(self.way.fileno())
            self.over.set()
            return
        if command == "begin":
            self.voted, self.served, self.watch.longest = {}, {}, 0.0
        elif command == "flip":
            self.flip(*more)
        used = memory(os.getpid()) - self.memory_before
        lag = self.watch.longest
        self.way.send(Seen(time.process_time(), used, len(self.up), self.voted, self.served, lag))

    def flip(self, first: int, end: int, begin: float, seconds: float) -> None:
        """Have addresses fail, each at its moment; this server finds out within `SPREAD` of it."""
        loop = asyncio.get_running_loop()
        for number in range(first, end):
            moment = begin + seconds * (number - first) / (end - first)
            key = self.keys[number]
            loop.call_at(moment, self.failing.add, key)
            loop.call_at(moment + self.random.uniform(0, SPREAD), self.fail, key)

    def fail(self, key: str) -> None:
        self.own[key] = DOWN
        self.quorum.probed(key, ProbeResult.FAILURE, DOWN, time.monotonic())
        self.soon()

    # --- what the link tells

    def on_beat(self, heartbeat: Heartbeat, clock_offset: float) -> None:
        del clock_offset
        said = heartbeat.digests.get("ballots")
        votes = {} if said is None else {"votes": said}
        self.quorum.heard(heartbeat.model_copy(update={"digests": votes}), time.monotonic())
        self.soon()

    def on_votes(self, node: str, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        votes = {key: vote for key, vote in changes.items() if vote is not None}
        gone = [key for key, vote in changes.items() if vote is None]
        self.quorum.voted(node, epoch, votes, time.monotonic(), gone=gone)
        self.soon()

    def on_orders(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        """Take none: there are no orders here."""

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        """Take none either."""

    def on_state(self, state: LinkState) -> None:
        self.quorum.connected(state.connected, time.monotonic())
        self.soon()
