"""A worker's places in rotations, what it remembers, and what it counts."""

from collections import Counter
from collections.abc import Callable

import dns.message
import dns.rcode
import pytest

from geodns.compiler.compile import compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.responder import worker_state
from geodns.responder.answer_policy import Policy
from geodns.responder.table import Rotation
from geodns.wire import codes, edns
from geodns.wire.cookies import make
from tests.sample_zones import (
    DOWN,
    NAME,
    ORIGIN,
    TCP,
    UDP,
    WEIGHTED,
    WEIGHTED_OWNERS,
    Worker,
    data,
    failing,
    live_set,
    sources,
    zone,
)

# --- places --------------------------------------------------------------------------------------------


WEIGHTS = {"192.0.2.11": 5, "192.0.2.12": 3, "192.0.2.13": 2}
"""Of ten."""
CYCLE = 1020


def plain(worker: Worker, _: int) -> dns.message.Message:
    return worker.ask("@")


def every_shape(worker: Worker, number: int) -> dns.message.Message:
    """Take caches and full lookup in turn: response codes or options in a query are rare, TCP is not."""
    shape = number % 5
    query = dns.message.make_query(ORIGIN, "A", use_edns=0 if shape == 1 else False)
    if shape == 2:
        query.set_rcode(dns.rcode.REFUSED)
    return worker.send(query.to_wire(), TCP if shape == 3 else UDP)


def through_an_alias(worker: Worker, number: int) -> dns.message.Message:
    return worker.ask("alias" if number % 3 else "@")


def other_types_between(worker: Worker, number: int) -> dns.message.Message:
    for name, rtype in (("@", "AAAA"), ("@", "MX"), ("a", "A"), ("x.w", "A"), ("tiers", "MX")):
        if number % 7 == 0:
            worker.ask(name, rtype)
    return worker.ask("@")


def another_pool_flips(worker: Worker, number: int) -> dns.message.Message:
    if number % 10 == 0:
        live = live_set(WEIGHTED, {"lone": DOWN if number % 20 else failing(1)})
        worker.believe(live, "other")
    return worker.ask("@")


def its_own_pool_is_made_anew(worker: Worker, number: int) -> dns.message.Message:
    """Only the TTL changes: each host keeps its weight, each name its place."""
    if number % 100 == 50:
        worker.believe(live_set(WEIGHTED, {"mta3": failing(1 + number // 100 % 2)}), "main")
    return worker.ask("@")


def the_zone_is_edited(worker: Worker, number: int) -> dns.message.Message:
    if number % 100 == 50:
        edited = WEIGHTED.model_copy(update={"records": WEIGHTED.records[: -(number % 2) or None]})
        worker.compiled = compile_zones(worker.compiled, sources(edited), LiveSet())
    return worker.ask("@")


def a_zone_comes_and_goes(worker: Worker, number: int) -> dns.message.Message:
    if number % 100 == 50:
        second = [zone("hosts: {m: 192.0.2.1}", "two.example")] if number % 200 == 50 else []
        kept = {NAME: worker.compiled.sources[NAME]}
        worker.compiled = compile_zones(worker.compiled, kept | sources(*second), LiveSet())
    return worker.ask("@")


def the_caches_forget(worker: Worker, number: int) -> dns.message.Message:
    for name in ("text", "mta1", "a", "mta2")[: number % 5]:
        worker.ask(name)
    return worker.ask("@")


@pytest.mark.parametrize(
    "ask",
    [
        plain,
        every_shape,
        through_an_alias,
        other_types_between,
        another_pool_flips,
        its_own_pool_is_made_anew,
        the_zone_is_edited,
        a_zone_comes_and_goes,
        the_caches_forget,
    ],
)
def test_one_cycle_of_queries_holds_the_weights_exactly(
    ask: Callable[[Worker, int], dns.message.Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    if ask is the_caches_forget:
        monkeypatch.setattr(worker_state, "REMEMBERED", 3)
    worker = Worker(WEIGHTED, seed=5)
    first, uniform = Counter[str](), Counter[str]()
    for number in range(CYCLE):
        hosts = [each for each in data(ask(worker, number)) if not each.endswith(".")]
        first[hosts[0]] += 1
        uniform.update(dict.fromkeys(hosts, 2 // len(hosts)))
    assert first == {host: CYCLE * weight // 10 for host, weight in WEIGHTS.items()}
    assert uniform == {host: 2 * CYCLE * weight // 10 for host, weight in WEIGHTS.items()}


def test_names_that_share_a_rotation_have_their_own_places() -> None:
    worker = Worker(WEIGHTED)
    worker.ask("@")
    alone = [data(worker.ask("@")) for _ in range(40)]
    worker = Worker(WEIGHTED)
    worker.ask("@")
    mixed = []
    for number in range(40):
        mixed.append(data(worker.ask("@")))
        for _ in range(number % 3):
            worker.ask("a")
    assert mixed == alone


def test_workers_start_at_random_places() -> None:
    starts = {data(Worker(WEIGHTED, seed=seed).ask("@")) for seed in range(40)}
    assert len(starts) > 3


# --- what is remembered --------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_dead_host_is_forgotten_however_full_the_memory_was(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_state, "REMEMBERED", room)
    worker = Worker(WEIGHTED)
    for name in ("@", "a", "text", "@", "a", "a", "@"):
        worker.ask(name)
    worker.believe(live_set(WEIGHTED, {"mta1": DOWN}), "main")
    for name in ("@", "a"):
        assert not any("192.0.2.11" in data(worker.ask(name)) for _ in range(50))


def test_memory_is_bounded_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_state, "REMEMBERED", 20)
    worker = Worker(WEIGHTED)
    odd = dns.message.make_query(ORIGIN, "A", use_edns=False)
    odd.set_rcode(dns.rcode.NXDOMAIN)
    for number in range(500):
        worker.send(odd.to_wire())
        worker.ask(f"h{number}.w")
        worker.ask("big", "TXT")
        worker.ask(WEIGHTED_OWNERS[number % len(WEIGHTED_OWNERS)], "A", use_edns=0, payload=512 + number)
        assert len(worker.state.questions) <= 20
        assert len(worker.state.tails) <= 20
        assert len(worker.state.packets) <= 20
        assert sum(len(ready.questions) for ready in worker.state._ready.values()) <= 20
        assert len(worker.state._places) <= len(WEIGHTED_OWNERS) * 3


def test_names_that_only_a_wildcard_has_are_not_remembered() -> None:
    """Or random names would drive out those that are asked for in earnest."""
    worker = Worker(WEIGHTED)
    for number in range(10):
        for name in (f"h{number}.w", f"h{number}", f"h{number}.sub"):
            for rtype in ("A", "A", "TXT", "TXT"):
                worker.ask(name, rtype)
    assert not worker.state.questions
    assert not worker.state.packets


def test_places_of_removed_names_go() -> None:
    worker = Worker(WEIGHTED, zone("hosts: {m: 192.0.2.1}", "two.example"))
    worker.ask("two.example.")
    worker.compiled = compile_zones(worker.compiled, {NAME: worker.compiled.sources[NAME]}, LiveSet())
    worker.ask("@")
    assert {key.zone for _, key in worker.state._places} == {NAME}
    assert worker.ask("two.example.").rcode() == codes.REFUSED


# --- counts --------------------------------------------------------------------------------------------


def test_counts_add_up_with_what_was_asked() -> None:
    worker = Worker(WEIGHTED)
    for _ in range(7):
        worker.ask("@")
        worker.ask("@", use_edns=0)
        worker.ask("text", "TXT")
        worker.ask("no")
        worker.ask("example.net.")
        worker.ask("@", "TYPE65280")
        worker.ask("tiers", "MX")
        worker.raw(b"\0\1\1\0\0\2" + bytes(6))
        worker.raw(b"\0" * 11)
    counts = worker.state.take_counts()
    assert counts.queries == {
        (NAME, 1, 0): 14,
        (NAME, 16, 0): 7,
        (NAME, 1, 3): 7,
        ("", 1, 5): 7,
        (NAME, worker_state.OTHER_TYPE, 0): 7,
        (NAME, 15, 0): 7,
        ("", worker_state.OTHER_TYPE, 1): 7,
    }
    rotations = {made.uid: made for made in worker.compiled.table.rotations.values()}
    dealt = Counter[tuple[str, str]]()
    for (uid, part, _), number in counts.dealt.items():
        dealt[rotations[uid].key.type, rotations[uid].parts[part].pool] += number
    assert dealt == {("A", "main"): 14, ("MX", "main"): 7, ("MX", "other"): 7}
    assert not worker.state.take_counts()


def test_counts_name_the_hosts_that_were_dealt() -> None:
    worker = Worker(WEIGHTED)
    named, counted = Counter[str](), Counter[str]()
    rotations: dict[bytes, Rotation] = {}
    for number in range(300):
        if number == 150:
            worker.believe(live_set(WEIGHTED, {"mta2": DOWN}), "main")
        rotations |= {made.uid: made for made in worker.compiled.table.rotations.values()}
        named.update(
            f"mta{address[-1]}" for address in data(worker.ask("@", use_edns=-1 if number % 2 else 0))
        )
    for (uid, part, chosen), times in worker.state.take_counts().dealt.items():
        for host in rotations[uid].parts[part].sets[chosen]:
            counted[host] += times
    assert counted == named


def test_long_options_are_not_kept() -> None:
    """A client with a good cookie might send 64 KiB of them with each query."""
    secret = b"0123456789abcdef"
    worker = Worker(WEIGHTED, policy=Policy(cookie_secrets=(secret,)))
    good = edns.option(edns.COOKIE, make(b"cookies!", bytes((127, 0, 0, 1)), 0, secret))
    for number in range(50):
        for client in (UDP, TCP):
            padding = edns.option(65001, number.to_bytes(2, "big") * 1000)
            query = dns.message.make_query(ORIGIN, "A", use_edns=0).to_wire()[:-2]
            options = good + padding
            answer = worker.raw(query + len(options).to_bytes(2, "big") + options, client)
            assert answer is not None
            assert good in answer
    kept = [*worker.state._replies, *(("", tail) for tail in worker.state.tails)]
    assert sum(len(tail) for _, tail in kept) < 1000
