"""All that Redis, links, hosts and servers can do to three servers that share, then to two: answers go on."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from geodns.model.shared import AddressVote, Heartbeat, Vote, ZoneContent
from geodns.storage.shared_messages import Beat, Messages
from tests.integration.redises import RedisServer, needs_redis, redis_server
from tests.integration.sharing_servers import ORDERED, ZONE, Sharing, sharing, until

pytestmark = needs_redis
GROUP = "{geodns:out}:"
NODES = ("ns1", "ns2", "ns3")
TRIES = 3
"""Of what shows nothing where the machine was too busy."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Another Redis, empty at first."""
    with redis_server(tmp_path_factory.mktemp("other")) as one:
        yield one


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Sharing]:
    """Three servers: the tests of this file take them from one fault to the next, and repair each."""
    with sharing(tmp_path_factory.mktemp("trio"), redis, *NODES) as one:
        yield one


def all_say(trio: Sharing, words: str) -> None:
    for node in trio.servers:
        until(lambda: words in trio.why(node), f"{node} says {words}")  # noqa: B023


def fails_and_comes_back(trio: Sharing, host: str, *nodes: str) -> None:
    """Have a host fail and come back in the eyes of these servers, or of all."""
    watched = nodes or tuple(trio.servers)
    trio.hosts[host].close()
    until(lambda: {trio.states(node)[host] for node in watched} == {"down"}, f"{host} is out")
    trio.hosts[host].open()
    until(lambda: {trio.states(node)[host] for node in watched} == {"up"}, f"{host} is back")


def test_redis_is_killed_and_starts_empty(trio: Sharing, redis: RedisServer) -> None:
    trio.order("ns1")
    until(trio.holds, "the others take it")
    before = trio.moment()
    redis.kill()
    all_say(trio, "cannot be reached")
    assert trio.shared("ns1")["mode"] != "quorum"
    said = trio.order("ns2")
    assert said["unasked"] == ["ns1", "ns3"], said
    for node in NODES:
        until(lambda: trio.shared(node)["mode"] == "own", "own verdicts are served")  # noqa: B023
        until(lambda: trio.warned(node, "judges by what it knows itself"), "and this is told")  # noqa: B023
    assert trio.unchanged_since(before), "no state changes for that alone"
    fails_and_comes_back(trio, "mta1")
    redis.start()
    trio.agree("a start of an empty Redis")


def test_redis_hangs(trio: Sharing, redis: RedisServer) -> None:
    before = trio.moment()
    redis.freeze()
    try:
        all_say(trio, "does not answer within 1 s")
        trio.order("ns3")
    finally:
        redis.thaw()
    trio.agree("a Redis that hung")
    assert trio.unchanged_since(before)


def test_redis_is_slow(trio: Sharing) -> None:
    for gate in trio.gates.values():
        gate.delay = 0.3
    try:
        fails_and_comes_back(trio, "mta2")
        trio.order("ns1")
        until(trio.holds, "all take it")
        assert {trio.shared(node)["connected"] for node in NODES} == {True}
        for gate in trio.gates.values():
            gate.delay = 1.3
        all_say(trio, "does not answer within 1 s")
        trio.order("ns2")
    finally:
        for gate in trio.gates.values():
            gate.delay = 0.0
    trio.agree("a slow Redis")


def test_redis_is_emptied(trio: Sharing, redis: RedisServer) -> None:
    before = trio.moment()
    redis.run("FLUSHALL")
    trio.order("ns3")
    for node in NODES:
        until(lambda: redis.run("HLEN", f"{GROUP}votes:{node}") >= len(trio.hosts), "votes are back")  # noqa: B023
    until(lambda: redis.run("HLEN", f"{GROUP}orders") == 1, "the order is back")
    trio.agree("an emptied Redis")
    assert trio.unchanged_since(before)


def test_a_failover_loses_what_came_last(trio: Sharing, redis: RedisServer, other: RedisServer) -> None:
    before = trio.moment()
    other.run("REPLICAOF", "127.0.0.1", str(redis.port))
    until(lambda: b"master_link_status:up" in other.run("INFO", "replication"), "it has a copy")
    until(lambda: other.run("HLEN", f"{GROUP}orders") == 1, "it has all of it")
    other.run("REPLICAOF", "NO", "ONE")
    trio.order("ns1")  # which the copy does not have
    until(trio.holds, "all take it")
    for gate in trio.gates.values():
        gate.lead(("127.0.0.1", other.port))
    until(
        lambda: (
            trio.ordered[1].encode() in other.run("HGET", f"{GROUP}orders", f"{ZONE}/{ORDERED}/state")
            or trio.ordered[0] is None
        ),
        "the order is given again",
    )
    trio.agree("a failover with losses")
    assert trio.unchanged_since(before)


def test_a_split_between_two_primaries(trio: Sharing, redis: RedisServer, other: RedisServer) -> None:
    before = trio.moment("ns3")
    trio.gates["ns3"].lead(("127.0.0.1", redis.port))  # the others stay with the other one
    until(lambda: trio.shared("ns3")["heard"] == ["ns3"], "ns3 hears nobody")
    until(lambda: trio.shared("ns1")["heard"] == ["ns1", "ns2"], "ns1 hears ns2")
    until(lambda: trio.warned("ns3", "hears 1 of 3 servers, fewer than half"), "which is told")
    assert [trio.shared(node)["mode"] for node in NODES] == ["quorum", "quorum", "own"]
    assert trio.unchanged_since(before), "nothing changes for that alone"
    trio.order("ns1")
    trio.order("ns3")  # it knows of nothing that ns1 was told; the later one of the two counters wins
    fails_and_comes_back(trio, "mta3")
    trio.gates["ns3"].lead(("127.0.0.1", other.port))
    until(lambda: len({_forced(trio, node) for node in NODES}) == 1, "one of the orders holds everywhere")
    trio.ordered = _forced(trio, "ns1")
    trio.agree("a split")
    for gate in trio.gates.values():
        gate.lead(("127.0.0.1", redis.port))
    trio.agree("a failover to what the others have left")


def _forced(trio: Sharing, node: str) -> tuple[str | None, str]:
    shown = trio.servers[node].host(ORDERED)
    return shown["forced"], shown.get("reason") or ""


def test_a_server_is_cut_off_from_the_hosts(trio: Sharing) -> None:
    before = trio.moment()
    for host in trio.hosts:
        trio.refuse(host, "ns3")
    until(lambda: trio.shared("ns1")["alone_count"] or trio.warned("ns3", "hold"), "somebody sees it")
    trio.order("ns3")
    until(trio.holds, "all take it")
    assert set(trio.states("ns3").values()) <= {"up", "drained"}, "it answers as the others say"
    for host in trio.hosts:
        trio.refuse(host)
    trio.agree("a server without the hosts")
    assert trio.unchanged_since(before)


def test_a_server_is_cut_off_from_all(trio: Sharing) -> None:
    trio.gates["ns3"].lead(None)
    for host in trio.hosts:
        trio.refuse(host, "ns3")
    until(lambda: trio.shared("ns1")["heard"] == ["ns1", "ns2"], "its vote ends")
    until(lambda: trio.shared("ns3")["mode"] == "own", "it is by itself")
    assert "cannot be reached" in trio.why("ns3")
    fails_and_comes_back(trio, "mta1", "ns1", "ns2")
    trio.order("ns1")
    until(lambda: trio.holds("ns1", "ns2"), "ns2 takes it")
    assert trio.servers["ns3"].values(ZONE), "it deals somebody whatever it sees"
    for host in trio.hosts:
        trio.refuse(host)
    trio.gates["ns3"].lead(trio.gates["ns1"].to)
    trio.agree("a server without anybody")


def test_a_server_dies_and_comes_back(trio: Sharing) -> None:
    trio.stop("ns2", kill=True)
    before = trio.moment("ns2")
    until(lambda: trio.shared("ns1")["heard"] == ["ns1", "ns3"], "its vote ends")
    assert trio.unchanged_since(before), "nothing changes for that alone"
    assert trio.shared("ns1")["known"] == 3
    fails_and_comes_back(trio, "mta2")
    trio.order("ns3")
    until(trio.holds, "ns1 takes it")
    second = trio.start("ns2")
    assert trio.holds("ns2"), "it knows before its first answer"
    assert second.host("mta2")["state"] in {"up", "unknown"}
    trio.agree("the start of a server that died")


@contextlib.contextmanager
def no_password(redis: RedisServer) -> Iterator[None]:
    redis.run("CONFIG", "SET", "requirepass", "secret")
    redis.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", password="secret")
    try:
        yield
    finally:
        redis.run("CONFIG", "SET", "requirepass", "", password="secret")


@contextlib.contextmanager
def read_only(redis: RedisServer) -> Iterator[None]:
    redis.run("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        redis.run("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def full(redis: RedisServer) -> Iterator[None]:
    redis.run("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        redis.run("CONFIG", "SET", "maxmemory", "0")


@contextlib.contextmanager
def wrong_type(redis: RedisServer, name: str) -> Iterator[None]:
    redis.run("DEL", GROUP + name)
    redis.run("SET", GROUP + name, "somebody's")
    try:
        yield
    finally:
        redis.run("DEL", GROUP + name)


FAULTS: dict[str, tuple[Callable[[RedisServer], contextlib.AbstractContextManager[None]], str]] = {
    "a wrong password": (no_password, "asks for a password"),
    "a read-only replica": (read_only, "read-only replica"),
    "a full memory": (full, "is full: give it more (maxmemory)"),
    "votes of another type": (lambda redis: wrong_type(redis, "votes:ns1"), "of another type"),
    "orders of another type": (lambda redis: wrong_type(redis, "orders"), "of another type"),
    "a log of another type": (lambda redis: wrong_type(redis, "log"), "of another type"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_redis_refuses(trio: Sharing, redis: RedisServer, fault: str) -> None:
    way, words = FAULTS[fault]
    before = trio.moment()
    with way(redis):
        until(lambda: any(words in trio.why(node) for node in NODES), f"somebody says {words}")
        if not fault.startswith("votes"):
            all_say(trio, words)
        trio.order(NODES[len(fault) % 3])
        assert trio.unchanged_since(before)
    trio.agree(fault)
    assert trio.unchanged_since(before)


POISON = (b"\xff\xfe\0", b'{"vote": "down"', b"[" * 10_000, b'{"e": 1e999}', b"x" * 70_000, b"")


def test_values_that_nobody_of_ours_wrote(trio: Sharing, redis: RedisServer) -> None:
    before = trio.moment()
    orders, votes, log = f"{GROUP}orders", f"{GROUP}votes:ns1", f"{GROUP}log"
    key = _addresses(redis)[0]
    good = redis.run("HGET", votes, key)
    for number, poison in enumerate(POISON):
        redis.run("HSET", orders, f"{ZONE}/mta{number}/state", poison)
        redis.run("HSET", votes, f"made up {number}", poison)
        redis.run("XADD", log, "*", "kind", "order", f"{ZONE}/mta{number}/state", poison)
        redis.run("XADD", log, "*", "kind", poison, "node", poison)
        redis.run("SET", f"{GROUP}node:bad{number}", poison, "PX", "5000")
        redis.run("ZADD", f"{GROUP}nodes", str(int(time.time() * 1000)), f"bad{number}")
    redis.run("HSET", votes, key, b'{"e":1,"c":{"vote":"down","held":"up","seq":"1"}}')
    for node in NODES:
        until(lambda: sum(trio.shared(node)["skipped"].values()) > len(POISON), "they are counted")  # noqa: B023
        until(lambda: trio.warned(node, "values were skipped, the last one"), "and told")  # noqa: B023
    trio.order("ns2")
    until(trio.holds, "all take it")
    for number in range(len(POISON)):
        redis.run("HDEL", orders, f"{ZONE}/mta{number}/state")
        redis.run("HDEL", votes, f"made up {number}")
    redis.run("HSET", votes, key, good)
    trio.agree("poisoned values")
    assert trio.unchanged_since(before)


def test_another_group_in_the_same_database(trio: Sharing, redis: RedisServer) -> None:
    before = trio.moment()
    _say(redis, "in", "ns1", "9.9", dict.fromkeys(_addresses(redis), Vote.DOWN))
    _say(redis, "in", "ns9", "9.9", dict.fromkeys(_addresses(redis), Vote.DOWN))
    trio.order("ns1")
    until(trio.holds, "all take it")
    trio.agree("another group")
    assert trio.shared("ns1")["known"] == 3
    assert trio.unchanged_since(before)


def test_a_server_of_another_version(trio: Sharing, redis: RedisServer) -> None:
    """It says more than we know, and votes on what we have; one more voter alone changes nothing."""
    before = trio.moment("ns4")
    votes = {**dict.fromkeys(_addresses(redis), Vote.DOWN), "dns 192.0.2.1 53": Vote.UP}
    for _ in range(4):
        _say(redis, "out", "ns4", "99.0", votes)
        redis.run("XADD", f"{GROUP}log", "*", "kind", "gossip", "node", "ns4", "epoch", "1", "number", "1")
        until(lambda: "ns4" in trio.shared("ns1")["heard"], "it is heard")
    until(lambda: trio.shared("ns2")["alone_count"], "it is alone with what it says")
    assert trio.unchanged_since(before)
    redis.run("DEL", f"{GROUP}node:ns4", f"{GROUP}votes:ns4")
    trio.agree("a server of another version")


def _addresses(redis: RedisServer) -> list[str]:
    return [one.decode() for one in redis.run("HKEYS", f"{GROUP}votes:ns2") if one[:1] != b"#"]


def _say(redis: RedisServer, group: str, node: str, version: str, votes: dict[str, Vote]) -> None:
    """Write what a server of a later version writes: a heartbeat and votes, each with a field we lack."""
    messages = Messages(group, None)
    key = messages.key("votes", node)
    beat = Heartbeat(
        node=node,
        epoch=1,
        seq=len(votes),
        version=version,
        at=time.time(),
        zones={ZONE: ZoneContent(digest="0" * 16, serial=1)},
    )
    sealed = messages.seal_beat(Beat(beat, "0" * 16, time.time_ns() // 1_000_000))
    redis.run("SET", messages.key("node", node), _with_more(sealed), "PX", "10000")
    redis.run("ZADD", messages.key("nodes"), str(int(time.time() * 1000)), node)
    redis.run("HSET", key, "#epoch", "1", "#seq", str(len(votes)))
    for number, (address, vote) in enumerate(votes.items(), 1):
        value = AddressVote(vote=vote, held=Vote.UP, seq=number)
        redis.run(
            "HSET",
            key,
            address,
            _with_more(messages.seal_vote(key, address.encode(), messages.vote_body(1, value))),
        )


def _with_more(sealed: bytes) -> bytes:
    head, _, body = sealed.rpartition(b"\n")
    more = json.dumps({**json.loads(body), "mood": ["calm", {"until": 1}]}).encode()
    return head + b"\n" + more if head else more


def shown(servers: Sharing) -> None:
    """Show how long all took to agree after each repair, and how long control did one thing at most."""
    took = {what: round(seconds, 1) for what, seconds in servers.took.items()}
    print(f"{took}, control: {1000 * servers.lag:.0f} ms")  # noqa: T201


def test_every_query_was_answered(trio: Sharing) -> None:
    trio.answered()
    shown(trio)
    trio.close()


def test_two_servers(tmp_path: Path, redis: RedisServer) -> None:
    """Both must agree while both vote; each decides alone where the other is gone."""
    redis.run("FLUSHALL")
    with sharing(tmp_path, redis, "ns1", "ns2", known=True, listed=["mta5", "mta6"]) as pair:
        for _ in range(TRIES):
            before = pair.moment()
            pair.refuse("mta1", "ns2")
            until(lambda: pair.shared("ns1")["tied"], "they differ")
            until(lambda: pair.warned("ns2", "evenly divided"), "which is told")
            assert pair.unchanged_since(before), "both must agree"
            pair.refuse("mta1")
            pair.agree("two that differed")
            if not pair.starved_since(before):
                break

        pair.list_hosts("ns2", "mta6")
        until(lambda: "mta5" not in pair.states("ns2"), "ns2 has a host less")
        until(lambda: pair.warned("ns1", "hosts_from") or pair.warned("ns1", "differ"), "which is told")
        # Whoever does not have it is no voter: one decides.
        pair.hosts["mta5"].close()
        until(lambda: pair.states("ns1")["mta5"] == "down", "ns1 takes it out")
        pair.hosts["mta5"].open()
        pair.list_hosts("ns2", "mta5", "mta6")
        pair.agree("lists of hosts that differed")

        before = pair.moment()
        redis.kill()
        all_say(pair, "cannot be reached")
        pair.order("ns1")
        for node, other in (("ns1", "ns2"), ("ns2", "ns1")):
            told = f"votes come from the peers by HTTP while Redis is away: {other}"
            until(lambda: pair.warned(node, told), "they ask each other")  # noqa: B023
            assert pair.shared(node)["heard"] == ["ns1", "ns2"]
        until(pair.holds, "they tell each other")
        assert pair.unchanged_since(before)
        fails_and_comes_back(pair, "mta3")
        redis.start()
        pair.agree("two without Redis")

        pair.stop("ns2", kill=True)
        until(lambda: pair.shared("ns1")["heard"] == ["ns1"], "its vote ends")
        pair.order("ns1")
        fails_and_comes_back(pair, "mta2")
        pair.start("ns2")
        assert pair.holds("ns2")
        pair.agree("two of which one died")
        shown(pair)
