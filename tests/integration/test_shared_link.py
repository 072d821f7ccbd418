"""Links of servers through a real Redis: what reaches the others, and what becomes of it when Redis fails."""

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from geodns.model.shared import (
    TOMBSTONE_KEPT,
    AddressVote,
    Heartbeat,
    OrderVersion,
    SharedOrder,
    SharedSettings,
    Vote,
    ZoneContent,
)
from geodns.storage.shared_client import Clients
from geodns.storage.shared_link import LinkDownError, LinkState, MissingLibraryError, Put
from geodns.storage.shared_reading import MOST_BOOKS
from geodns.storage.shared_redis import SharedLink
from geodns.storage.shared_scripts import NODES, acl
from tests.integration.cluster import free_port
from tests.integration.redises import RedisServer, needs_redis, redis_server, sentinel

pytestmark = needs_redis
PATIENCE = 30.0
BEAT = 0.1
GROUP = "{geodns:out}:"
UP = AddressVote(vote=Vote.UP, held=Vote.UP, seq=1)
DOWN = AddressVote(vote=Vote.DOWN, held=Vote.UP, seq=2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(shared: RedisServer) -> RedisServer:
    """A Redis that a test finds empty, and must leave running."""
    shared.run("FLUSHALL")
    return shared


class Server:
    """A server as far as a link sees it; it offers the orders that the store lacks, as each does."""

    def __init__(self, url: str, node: str, *, group: str = "out", **more: Any) -> None:
        self.node, self.epoch = node, 1
        self.votes: dict[str, dict[str, AddressVote | None]] = {}
        self.epochs: dict[str, int] = {}
        self.orders: dict[tuple[str, str, str], SharedOrder] = {}
        self.revisions: dict[str, str] = {}
        self.sums: dict[str, dict[str, JsonValue]] = {}
        self.beats: dict[str, Heartbeat] = {}
        self.beating = True
        self.zones: dict[str, ZoneContent] = {}
        self.states: list[LinkState] = []
        self.link = SharedLink(SharedSettings(url=url, group=group, **more), node, self)

    def on_beat(self, heartbeat: Heartbeat, clock_offset: float) -> None:
        assert abs(clock_offset) < PATIENCE
        self.beats[heartbeat.node] = heartbeat

    def on_votes(self, node: str, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        if self.epochs.get(node) != epoch:
            self.votes[node] = {}
        self.epochs[node] = epoch
        self.votes[node].update(changes)

    def on_orders(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        self.revisions.update(revisions)
        there = {order.key: order for order in orders}
        for key, order in there.items():
            if key not in self.orders or self.orders[key].version.rank < order.version.rank:
                self.orders[key] = order
        if whole:
            self.link.offer_orders(
                order
                for key, order in self.orders.items()
                if key not in there or there[key].version.rank < order.version.rank
            )

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        self.sums.setdefault(node, {}).update(changes)

    def on_state(self, state: LinkState) -> None:
        self.states.append(state)

    def publish(self, **votes: AddressVote | None) -> None:
        self.link.publish_votes(self.epoch, votes)

    def has(self, node: str, **votes: AddressVote | None) -> bool:
        there = self.votes.get(node, {})
        return all(there.get(name) == vote for name, vote in votes.items())

    async def beat(self) -> None:
        while True:
            if self.beating:
                said = Heartbeat(node=self.node, epoch=self.epoch, seq=0, version="1", at=time.time())
                self.link.beat(said.model_copy(update={"zones": self.zones}))
            await asyncio.sleep(BEAT)


async def put_order(server: Server, one: SharedOrder, expected: str | None = None) -> Put:
    (put,) = await server.link.put_orders([one], None if expected is None else {one.zone: expected})
    return put


async def until(condition: Callable[[], Any], about: Callable[[], object] = str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"it does not come to pass; {about()}"
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*servers: Server, connected: bool = True) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for one in servers for work in (one.link.run(), one.beat())]
    try:
        if connected:
            await until(lambda: all(one.link.state.connected for one in servers))
        yield
        assert not any(task.done() for task in tasks), "a link goes on whatever happens"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def order(counter: int = 1, digit: str = "a", **more: Any) -> SharedOrder:
    fields: dict[str, Any] = {
        "zone": "example.com",
        "host": "mx1",
        "kind": "state",
        "node": "ns1",
        "at": time.time(),
    }
    version = OrderVersion(counter=counter, id=digit * 32)
    return SharedOrder(**{**fields, "version": version, "content": {"state": "drain"}, **more})


# ----- what reaches the others


@pytest.mark.parametrize("way", ["unix", "tcp", "tcp and a secret"])
def test_what_one_says_reaches_the_other(redis: RedisServer, way: str) -> None:
    async def work() -> None:
        more: dict[str, Any] = {"secret": b"a secret"} if "secret" in way else {}
        one, two = (
            Server(redis.tcp_url if "tcp" in way else redis.url, node, **more) for node in ("ns1", "ns2")
        )
        async with running(one, two):
            one.publish(a=UP, b=UP)
            await until(lambda: two.has("ns1", a=UP, b=UP))
            one.publish(a=DOWN, b=None)
            await until(lambda: two.has("ns1", a=DOWN, b=None))
            put = await put_order(one, order())
            assert (put.accepted, put.there) == (True, order(at=put.there.at if put.there else 0))
            one.link.publish_sums(1, {"mx1": {"sent": 5}})
            await until(lambda: two.sums.get("ns1") == {"mx1": {"sent": 5}})
            await until(lambda: one.orders == two.orders != {})
            await until(lambda: "ns2" in one.beats and "ns1" in two.beats)
            assert one.revisions == two.revisions == {"example.com": put.revision}
            assert two.link.lags["ns1"] >= 0
            assert one.link.state.bad == {}
            assert re.fullmatch(r"(Redis|Valkey) \d+\.\d+\.\d+", one.link.state.server)
        three = Server(redis.url, "ns3", **more)
        async with running(three):
            assert await three.link.first_read(PATIENCE)
            await until(lambda: three.has("ns1", a=DOWN))
            assert three.orders == one.orders
            assert three.sums == {"ns1": {"mx1": {"sent": 5}}}

    run(work())


def test_thousands_of_zones_are_heard_and_what_is_left_of_them_after_a_restart(redis: RedisServer) -> None:
    content = ZoneContent(digest="0" * 16, serial=2026113001)
    many = dict.fromkeys((f"out{number}.example.com" for number in range(3_000)), content)

    async def work() -> None:
        one, two = Server(redis.url, "ns1", secret=b"a"), Server(redis.url, "ns2", secret=b"a")
        one.zones = many
        async with running(one, two):
            await until(lambda: "ns1" in two.beats and two.beats["ns1"].zones.keys() == many.keys())
            late = Server(redis.url, "ns3", secret=b"a")
            async with running(late):
                await until(lambda: "ns1" in late.beats and late.beats["ns1"].zones.keys() == many.keys())
            assert (two.sums, late.sums) == ({}, {})
            one.zones = {**many, "more.example.com": content}
            await until(lambda: "more.example.com" in two.beats["ns1"].zones)
        again = Server(redis.url, "ns1", secret=b"a")
        again.zones = {"one.example.com": content}
        async with running(again, two):
            await until(lambda: two.beats["ns1"].zones == again.zones)
            fields = GROUP + "sums:ns1"
            await until(lambda: not [one for one in redis.run("HKEYS", fields) if b"zones" in one])
            assert again.link.state.bad == two.link.state.bad == {}

    run(work())


@pytest.mark.parametrize(
    ("there", "put", "accepted"),
    [
        pytest.param((1, "b"), (2, "a"), True, id="higher"),
        pytest.param((1, "a"), (1, "b"), True, id="higher by its id"),
        pytest.param((1, "b"), (1, "b"), True, id="the same again"),
        pytest.param((1, "b"), (1, "a"), False, id="lower by its id"),
        pytest.param((10, "a"), (9, "f"), False, id="lower"),
    ],
)
def test_the_higher_version_wins(
    redis: RedisServer, there: tuple[int, str], put: tuple[int, str], *, accepted: bool
) -> None:
    async def work() -> None:
        one = Server(redis.url, "ns1")
        async with running(one):
            await put_order(one, order(*there))
            done = await put_order(one, order(*put))
            assert done.accepted is accepted
            assert done.there is not None
            assert done.there.version == order(*(put if accepted else there)).version

    run(work())


def test_an_order_for_many_hosts_is_in_as_a_whole_or_not_at_all(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            many = [order(host=f"mx{number}") for number in range(600)]
            zone = many[0].zone
            begun = redis.run("XLEN", "{geodns:out}:log")
            puts = await one.link.put_orders(many, {zone: ""})
            assert [put.accepted for put in puts] == [True] * 600
            assert redis.run("XLEN", "{geodns:out}:log") - begun <= 4, "some hundreds are one entry"
            await until(lambda: len(two.orders) == 600)
            assert two.revisions == {zone: puts[-1].revision}

            later = [order(2, host=f"mx{number}") for number in range(3)]
            (moved, *_) = await two.link.put_orders(later, {zone: puts[0].revision})
            assert (moved.accepted, moved.moved) == (False, True)
            assert (await one.link.put_orders([order(3, host="mx1")]))[0].accepted
            puts = await two.link.put_orders(later, {zone: two.revisions[zone]})
            assert not all(put.accepted for put in puts)
            await until(lambda: two.orders[zone, "mx1", "state"].version.counter == 3)
            assert two.orders[zone, "mx0", "state"].version.counter == 1, "all or nothing"
            puts = await two.link.put_orders(later)
            assert [put.accepted for put in puts] == [True, False, True], "without: each that can be"

    run(work())


def test_dangers_are_worked_out_anew_where_an_order_came_between(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            first = await put_order(one, order(), "")
            between = await put_order(two, order(host="mx2"), first.revision)
            refused = await put_order(one, order(host="mx3"), first.revision)
            assert (refused.accepted, refused.moved, refused.there) == (False, True, None)
            assert refused.revision == between.revision
            assert (await put_order(one, order(host="mx3"), refused.revision)).accepted
            assert (await put_order(one, order(zone="example.net"), "")).accepted, "each zone has its own"
            # The same again, as after a call that was lost.
            assert (await put_order(one, order(), "")).accepted

    run(work())


def test_a_batch_is_claimed_once(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            servers = [(number, server) for number in range(10) for server in (one, two)]
            claims = await asyncio.gather(*(server.link.claim_batch(f"batch {n}") for n, server in servers))
            for first, second in zip(claims[::2], claims[1::2], strict=True):
                assert {first.fresh, second.fresh} == {True, False}
                assert first.node == second.node == ("ns1" if first.fresh else "ns2")

    run(work())


def test_a_new_epoch_voids_the_older_one(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP, b=UP)
            await until(lambda: two.has("ns1", a=UP, b=UP))
            one.epoch = 2
            one.publish(a=DOWN)
            await until(lambda: two.votes["ns1"] == {"a": DOWN})
            assert set(redis.run("HKEYS", GROUP + "votes:ns1")) == {b"#epoch", b"#seq", b"a"}
        late = Server(redis.url, "ns1")
        async with running(late):
            assert late.link.state.epoch_there == 2
            late.publish(a=UP)
            await until(lambda: "a later epoch" in late.link.state.why)
            assert not late.link.state.connected
            late.epoch = 3
            late.publish()  # the votes come once the connection works
            await until(lambda: late.link.state.connected)
            late.publish(a=UP)
            await until(lambda: redis.run("HGET", GROUP + "votes:ns1", "#epoch") == b"3")

    run(work())


@pytest.mark.parametrize("number", ["9999999999999999", "9007199254740991", "1e300", "nan"])
def test_numbers_that_no_server_reaches_stop_nobody(redis: RedisServer, number: str) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP, b=UP)
            await until(lambda: two.has("ns1", a=UP, b=UP))
            redis.run("HSET", GROUP + "votes:ns1", "#epoch", number, "#seq", number)
            one.publish(a=DOWN)
            await until(lambda: two.has("ns1", a=DOWN, b=UP))
            assert redis.run("HGET", GROUP + "votes:ns1", "#epoch") == b"1"
            redis.run("HSET", GROUP + "votes:ns1", "#seq", number)
            again = UP.model_copy(update={"seq": 3})
            one.publish(a=again)
            await until(lambda: two.has("ns1", a=again, b=UP))
            assert one.link.state.epoch_there <= 1
            assert one.link.state.connected

    run(work())


def test_a_number_that_was_made_up_silences_nobody_for_long(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP, b=UP)
            await until(lambda: two.has("ns1", a=UP, b=UP))
            entry = ("kind", "votes", "node", "ns1", "epoch", "1", "number", str(2**50), "b", b"?")
            redis.run("XADD", GROUP + "log", "*", *entry)
            await until(lambda: two.link.state.bad)
            one.publish(a=DOWN, b=None)
            await until(lambda: two.has("ns1", a=DOWN, b=None))

    run(work())


def test_two_servers_of_one_name_are_told(redis: RedisServer) -> None:
    async def work() -> None:
        one, other = Server(redis.url, "ns1"), Server(redis.url, "ns1")
        async with running(one, other):
            await until(lambda: one.link.state.twin and other.link.state.twin)
            assert "ns1" in one.link.state.why

    run(work())


def test_a_server_that_starts_again_is_no_second_one(redis: RedisServer) -> None:
    async def work() -> None:
        one = Server(redis.url, "ns1")
        async with running(one):
            await until(lambda: redis.run("GET", GROUP + "node:ns1"))
        again, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(again, two):
            await until(lambda: len(again.beats) and len(two.beats))
            assert not again.link.state.twin

    run(work())


def test_a_group_that_says_nothing_stays_connected(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            seen: set[float] = set()

            def five() -> bool:
                seen.update(beat.at for beat in two.beats.values())
                return len(seen) >= 5

            await until(five)
            assert [state.connected for state in one.states + two.states] == [True, True]

    run(work())


def test_groups_in_one_database_do_not_see_each_other(redis: RedisServer) -> None:
    async def work() -> None:
        one, other, two = (
            Server(redis.url, "ns1"),
            Server(redis.url, "ns1", group="in"),
            Server(redis.url, "ns2", group="in"),
        )
        async with running(one, other, two):
            one.publish(a=UP)
            other.publish(a=DOWN)
            await put_order(one, order())
            await until(lambda: two.has("ns1", a=DOWN) and "ns2" in other.beats)
            assert (one.beats, two.orders, other.orders, other.link.state.twin) == ({}, {}, {}, False)

    run(work())


# ----- Redis fails


def test_a_redis_that_hangs_or_is_killed_loses_nothing(tmp_path: Path) -> None:
    async def work(redis: RedisServer) -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP, b=UP)
            two.publish(a=UP)
            await put_order(one, order())
            await until(lambda: two.has("ns1", a=UP) and one.has("ns2", a=UP) and two.orders)

            redis.freeze()
            await until(lambda: not one.link.state.connected and not two.link.state.connected)
            assert "does not answer within 1 s" in one.link.state.why
            with pytest.raises(LinkDownError, match=r"does not answer|cannot be reached"):
                await put_order(one, order(2))
            one.publish(a=DOWN)
            redis.thaw()
            await until(lambda: two.has("ns1", a=DOWN, b=UP))
            await until(lambda: two.link.state.connected)

            redis.kill()
            await until(lambda: not one.link.state.connected and not two.link.state.connected)
            assert "cannot be reached" in one.link.state.why
            with pytest.raises(LinkDownError, match="cannot be reached"):
                await one.link.claim_batch("batch")
            two.publish(a=DOWN)
            one.orders[order().key] = order(3)  # taken alone
            redis.start()
            await until(lambda: one.has("ns2", a=DOWN) and two.orders[order().key].version.counter == 3)
            assert two.has("ns1", a=DOWN, b=UP), "what a server said is kept"
            await until(lambda: set(redis.run("HKEYS", GROUP + "votes:ns1")) >= {b"a", b"b"})
            await until(lambda: redis.run("HLEN", GROUP + "orders") == 1)
            await until(
                lambda: one.link.state == two.link.state or not one.link.state.why + two.link.state.why
            )

    with redis_server(tmp_path) as redis:
        run(work(redis))


@pytest.mark.parametrize("how", ["FLUSHALL", "DEL log", "SCRIPT FLUSH", "DEL votes", "DEL orders"])
def test_what_is_taken_away_behind_the_servers_comes_back(redis: RedisServer, how: str) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP, b=UP)
            await put_order(one, order())
            await until(lambda: two.has("ns1", a=UP, b=UP) and two.orders)
            match how.split():
                case ["DEL", "votes"]:
                    redis.run("DEL", GROUP + "votes:ns1")
                    one.link.reread()
                case ["DEL", name]:
                    redis.run("DEL", GROUP + name)
                    one.link.reread()
                case words:
                    redis.run(*words)
            await until(lambda: set(redis.run("HKEYS", GROUP + "votes:ns1")) >= {b"a", b"b"})
            await until(lambda: redis.run("HLEN", GROUP + "orders") == 1)
            one.publish(a=DOWN)
            await until(lambda: two.has("ns1", a=DOWN, b=UP))
            assert (await put_order(two, order(2))).accepted
            await until(lambda: one.orders[order().key].version.counter == 2)

    run(work())


def test_a_difference_that_the_log_does_not_tell_is_seen_by_the_digests(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP)
            await until(lambda: two.has("ns1", a=UP))
            raw = redis.run("HGET", GROUP + "votes:ns1", "a")
            book = two.link._reader._books[(GROUP + "votes:ns1").encode()]
            book.drop(b"a")
            book.put(b"b", raw)  # as if an entry had been lost
            two.votes["ns1"] = {"b": UP}
            await until(lambda: two.votes["ns1"] == {"a": UP, "b": None})

    run(work())


def test_what_is_wrong_with_redis_is_told_and_ends(tmp_path: Path) -> None:
    """One Redis for all of it: each row breaks something, sees it told, and repairs it."""

    async def work(redis: RedisServer, replica: RedisServer) -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        rows: list[tuple[str, list[tuple[Any, ...]], list[tuple[Any, ...]]]] = [
            (
                "memory of .* is full",
                [("CONFIG", "SET", "maxmemory", "1")],
                [("CONFIG", "SET", "maxmemory", "0")],
            ),
            (
                "read-only replica",
                [("REPLICAOF", "127.0.0.1", str(replica.port))],
                [("REPLICAOF", "NO", "ONE")],
            ),
            (
                "too few replicas",
                [("CONFIG", "SET", "min-replicas-to-write", "1")],
                [("CONFIG", "SET", "min-replicas-to-write", "0")],
            ),
            *(
                (
                    "of another type",
                    [
                        ("DEL", GROUP + name),
                        ("LPUSH" if name != "node:ns1" else "HSET", GROUP + name, "x", "y"),
                    ],
                    [("DEL", GROUP + name)],
                )
                for name in ("votes:ns1", "mark", "log", "orders", "sums:ns1", "nodes", "node:ns1")
            ),
        ]
        async with running(one, two):
            one.publish(a=UP)
            await put_order(one, order())
            one.link.publish_sums(1, {"mx1": 1})
            await until(lambda: two.has("ns1", a=UP) and two.sums.get("ns1"))
            for number, (sentence, breaking, repair) in enumerate(rows, 2):
                for words in breaking:
                    redis.run(*words)
                vote = AddressVote(vote=Vote.UP, held=Vote.UP, seq=number)
                one.publish(a=vote)
                one.link.publish_sums(1, {"mx1": number})
                one.link.offer_orders([order(number)])
                one.link.reread()
                await until(lambda s=sentence: re.search(s, one.link.state.why))  # type: ignore[misc]
                assert one.link.state.why.isprintable()
                for words in repair:
                    redis.run(*words)
                await until(lambda: not one.link.state.why + two.link.state.why, lambda: one.link.state)
                await until(lambda v=vote: two.has("ns1", a=v))  # type: ignore[misc]
                await until(lambda n=number: two.sums["ns1"]["mx1"] == n)  # type: ignore[misc]
                await until(lambda n=number: two.orders[order().key].version.counter == n)  # type: ignore[misc]

    with redis_server(tmp_path) as redis, redis_server(tmp_path) as replica:
        run(work(redis, replica))


# ----- who may what


@pytest.mark.parametrize(
    ("password", "sentence"), [(None, "asks for a password"), (b"wrong", "refuses the user or the password")]
)
def test_a_wrong_password_is_told(tmp_path: Path, password: bytes | None, sentence: str) -> None:
    async def work(redis: RedisServer) -> None:
        one = Server(redis.url, "ns1", password=password)
        async with running(one, connected=False):
            await until(lambda: sentence in one.link.state.why, lambda: one.link.state)
            if password:
                redis.run("CONFIG", "SET", "requirepass", password, password="right")
                await until(lambda: one.link.state.connected)

    with redis_server(tmp_path, "--requirepass", "right") as redis:
        run(work(redis))


def test_a_cluster_is_told(tmp_path: Path) -> None:
    async def work(redis: RedisServer) -> None:
        one = Server(redis.url, "ns1")
        async with running(one, connected=False):
            await until(lambda: "Redis Cluster" in one.link.state.why)

    with redis_server(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as redis:
        run(work(redis))


def test_the_rights_are_enough_and_no_more(redis: RedisServer) -> None:
    async def work() -> None:
        line = acl("out", "geodns").replace(">PASSWORD", ">secret")
        redis.run(*line.split())
        url = redis.tcp_url.replace("//", "//geodns@") + "/1"
        one, two = Server(url, "ns1", password=b"secret"), Server(url, "ns2", password=b"secret")
        async with running(one, two):
            one.publish(a=UP, b=UP)
            one.publish(b=None)
            one.link.publish_sums(1, {"mx1": 1})
            old = order(at=time.time() - TOMBSTONE_KEPT - 60, content=None)
            assert (await put_order(one, old)).accepted
            await one.link.claim_batch("batch")
            one.link.reread()
            two.link.reread()
            await until(lambda: two.has("ns1", a=UP) and two.sums and "ns1" in two.beats)
            await asyncio.sleep(0)
            assert (one.link.state.why, two.link.state.why) == ("", "")
        stranger = Server(url, "ns1", password=b"secret", group="in")
        async with running(stranger, connected=False):
            await until(lambda: "geodns shared acl" in stranger.link.state.why)
        logged = [
            entry for entry in redis.run("ACL", "LOG") if b"{geodns:in}" not in b" ".join(map(_bytes, entry))
        ]
        assert logged == [], "nothing was tried that is not allowed"

    run(work())
    from redis import Redis
    from redis.exceptions import NoPermissionError

    with Redis(port=redis.port, username="geodns", password="secret", protocol=2) as client:
        for words in (
            "KEYS *",
            "FLUSHALL",
            "CONFIG GET *",
            "SET other 1",
            "GET other",
            "SCAN 0",
            "ACL LIST",
            "INFO",
        ):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words.split())


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


# ----- hostile values


def test_bad_values_are_skipped_and_shown(redis: RedisServer) -> None:
    async def work() -> None:
        secret: dict[str, Any] = {"secret": b"of the group"}
        one, two = Server(redis.url, "ns1", **secret), Server(redis.url, "ns2", **secret)
        stranger = Server(redis.url, "ns3")
        other = Server(redis.url, "ns4", secret=b"another")
        async with running(one, two, stranger, other):
            one.publish(a=UP)
            stranger.publish(a=DOWN)
            other.publish(a=DOWN)
            await put_order(one, order())
            await until(lambda: two.has("ns1", a=UP) and len(two.link.state.bad) == 2)
            assert {"ns3", "ns4"} & two.beats.keys() == set()
            assert {"ns3", "ns4"} & two.votes.keys() == set()

            garbage: bytes = b"\x00\xff\x1b[31m" * 20
            for name in ("votes:ns1", "sums:ns1", "orders"):
                redis.run(
                    "HSET", GROUP + name, b"a" if name != "orders" else b"example.com/mx1/state", garbage
                )
                redis.run("HSET", GROUP + name, garbage, garbage)
            redis.run("XADD", GROUP + "log", "*", garbage, garbage)
            redis.run(
                "XADD", GROUP + "log", "*", "kind", "votes", "node", garbage, "epoch", "x", "number", "9" * 99
            )
            redis.run("XADD", GROUP + "log", "*", "kind", "order", garbage, garbage)
            redis.run("XADD", GROUP + "log", "*", "kind", "from later", "x", "y")
            redis.run("ZADD", GROUP + "nodes", int(time.time() * 1000) + 1000, garbage)
            redis.run("SET", GROUP.encode() + b"node:" + garbage, garbage)
            one.link.reread()
            two.link.reread()
            await until(lambda: sum(two.link.state.bad.values()) > 6)
            assert two.link.state.last_bad.isprintable()
            assert len(two.link.state.last_bad) < 1000
            # A server writes its own votes again; an order that nobody can read gives way.
            await until(lambda: redis.run("HGET", GROUP + "votes:ns1", "a") != garbage)
            assert (await put_order(two, order(2))).accepted
            await until(lambda: one.orders[order().key].version.counter == 2)

    run(work())


def test_junk_names_keep_no_server_out(redis: RedisServer) -> None:
    """More junk than servers are asked for: with scores ahead of the clock, and with heartbeats of no one."""

    async def work() -> None:
        secret: dict[str, Any] = {"secret": b"of the group"}
        one, two, three = (Server(redis.url, node, **secret) for node in ("ns1", "ns2", "ns3"))

        def junk(ahead: float) -> None:
            score = (time.time() + ahead) * 1000
            names = [f"junk{number}" for number in range(3 * NODES)]
            redis.run("ZADD", f"{GROUP}nodes", *(word for name in names for word in (score, name)))
            redis.run("MSET", *(word for name in names for word in (f"{GROUP}node:{name}", "x")))

        async with running(one, two):
            await until(lambda: "ns2" in one.beats and "ns1" in two.beats)
            junk(1e6)
            async with running(three):  # those ahead of the clock are thrown out
                await until(lambda: "ns3" in one.beats and "ns1" in three.beats)
            for _ in range(3):
                junk(0.5)
                heard = one.beats["ns2"].at, two.beats["ns1"].at
                await until(lambda: one.beats["ns2"].at > heard[0] and two.beats["ns1"].at > heard[1])  # noqa: B023
            four = Server(redis.url, "ns4", **secret)
            async with running(four):  # a newcomer is found among them before long
                while "ns4" not in one.beats:
                    await asyncio.to_thread(junk, 0.0)

    run(work())


# ----- Sentinel


HUGE = b"x" * (12 << 20)
HUGE_VALUES: dict[str, tuple[str | bytes, ...]] = {
    "another server's heartbeat": ("SET", f"{GROUP}node:big", HUGE),
    "one's own heartbeat": ("SET", f"{GROUP}node:ns1", HUGE),
    "a vote": ("HSET", f"{GROUP}votes:ns1", "huge", HUGE),
    "a name": ("HSET", f"{GROUP}votes:ns1", HUGE, "{}"),
    "an epoch": ("HSET", f"{GROUP}votes:ns1", "#epoch", HUGE),
    "an order": ("HSET", f"{GROUP}orders", "example.com/mx1/state", HUGE),
    "a revision": ("SET", f"{GROUP}rev:example.com", HUGE),
    "the log": ("XADD", f"{GROUP}log", "*", "kind", HUGE),
}


def sent_by(redis: RedisServer) -> int:
    found = re.search(rb"total_net_output_bytes:(\d+)", redis.run("INFO", "stats"))
    assert found
    return int(found[1])


@pytest.mark.parametrize("what", HUGE_VALUES)
def test_a_huge_value_stands_in_nobodys_way(redis: RedisServer, what: str) -> None:
    async def work() -> None:
        redis.run("ZADD", f"{GROUP}nodes", str(time.time() * 1000), "big")
        redis.run(*HUGE_VALUES[what])
        sent = sent_by(redis)
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            one.publish(a=UP)
            assert (await put_order(one, order())).accepted
            await until(lambda: two.has("ns1", a=UP) and order().key in two.orders, lambda: two.link.state)
            redis.run(*HUGE_VALUES[what])
            one.link.reread()
            two.link.reread()
            one.publish(a=DOWN)
            await until(lambda: two.has("ns1", a=DOWN), lambda: two.link.state)
            await until(lambda: one.link.state.connected and two.link.state.connected)
            await asyncio.sleep(3 * BEAT)
            if what != "the log":  # which no script can read: it ends the connection, once
                assert sent_by(redis) - sent < len(HUGE)

    run(work())


def test_a_huge_reply_is_not_read_to_its_end(redis: RedisServer) -> None:
    async def work() -> None:
        redis.run("SET", "somebody's", HUGE)
        clients = Clients(redis.url, None)
        for client in (clients.calls, clients.log):
            with pytest.raises(LinkDownError, match="many megabytes"):
                await client.get("somebody's")
            assert await client.ping()
        await clients.close()

    run(work())


def fill_the_log(redis: RedisServer) -> None:
    for kind in ("votes", "sums"):
        for number in range(MOST_BOOKS):
            node = f"{kind}{number}"
            entry = ("kind", kind, "node", node, "epoch", "1", "number", "1", "a", '{"e":1}')
            redis.run("XADD", f"{GROUP}log", "*", *entry)


def test_servers_that_only_the_log_names_are_not_remembered(redis: RedisServer) -> None:
    async def work() -> None:
        one, two = Server(redis.url, "ns1"), Server(redis.url, "ns2")
        async with running(one, two):
            await asyncio.to_thread(fill_the_log, redis)
            one.publish(a=UP)
            await until(lambda: two.has("ns1", a=UP) and "ns1" in two.link.lags)
            assert two.link.lags.keys() == {"ns1"}
            assert len(two.link._reader._books) <= MOST_BOOKS

    run(work())


def test_a_failover_by_sentinel_loses_nothing(tmp_path: Path) -> None:
    async def work(primary: RedisServer, replica: RedisServer, port: int) -> None:
        url = f"redis+sentinel://127.0.0.1:{port}/mail/0"
        await until(
            lambda: (
                b"slave0" in replica.run("INFO", "replication")
                or b"link_status:up" in replica.run("INFO", "replication")
            )
        )
        one, two = Server(url, "ns1"), Server(url, "ns2")
        async with running(one, two):
            one.publish(a=UP)
            two.publish(b=UP)
            await put_order(one, order())
            await until(lambda: two.has("ns1", a=UP) and one.has("ns2", b=UP) and two.orders)
            # The sentinel must know the replica before there is something to fail over to.
            await until(lambda: f":{replica.port}".encode() in _slaves(port))
            primary.kill()
            await until(lambda: b"role:master" in replica.run("INFO", "replication"))
            one.publish(a=DOWN)
            await until(lambda: two.has("ns1", a=DOWN))
            assert (await put_order(two, order(2))).accepted
            await until(lambda: one.orders[order().key].version.counter == 2)

    with (
        redis_server(tmp_path) as primary,
        redis_server(tmp_path, "--replicaof", f"127.0.0.1 {primary.port}") as replica,
        sentinel(tmp_path, primary, "mail") as port,
    ):
        run(work(primary, replica, port))


def _slaves(port: int) -> bytes:
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis(port=port, protocol=2) as client:
            client.response_callbacks.clear()
            return b" ".join(b" ".join(one) for one in client.execute_command("SENTINEL", "REPLICAS", "mail"))
    except RedisError:
        return b""


def test_without_the_library_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingLibraryError, match=re.escape("pip install 'geodns[shared]'")):
        Server("redis://127.0.0.1", "ns1")
