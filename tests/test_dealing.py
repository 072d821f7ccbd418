"""The short way against the long one, places in rotations, counts, and packets nobody should send."""

import logging
import random
from collections import Counter
from collections.abc import Callable

import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns import dealing, wire
from geodns.compiler import Compiled, compile_zones, recompile_pools
from geodns.dealing import State
from geodns.live import LiveSet
from geodns.responder import Client, respond
from geodns.table import Rotation, ZoneTable
from geodns.wire import Answer, Query, name_to_wire
from tests.zones import DOWN, NAME, ORIGIN, TCP, UDP, Worker, absolute, data, failing, live_set, sources, zone

TEXT = """
    hosts:
      mta1: {address: [192.0.2.11, "2001:db8::11"], weight: 5}
      mta2: {address: [192.0.2.12, "2001:db8::12"], weight: 3}
      mta3: {address: 192.0.2.13, weight: 2}
      lone: 192.0.2.14
    pools:
      main:  {hosts: ["mta*"], check: smtp}
      other: {hosts: [lone], check: smtp}
    records:
      "@":     {pool: main, MX: {pool: main, preference: 10}}
      a:       {pool: main}
      other:   {pool: other}
      tiers:   {MX: [{pool: main, preference: 10}, {pool: other, preference: 20}]}
      alias:   {CNAME: "@"}
      "*.w":   {pool: main}
      text:    {TXT: hello, CAA: {flags: 0, tag: issue, value: ca.example.net}}
      big:     {TXT: [BIG]}
      sub:     {NS: ns.sub}
      ns.sub:  {A: 192.0.2.99}
"""
ZONE = zone(TEXT.replace("BIG", ", ".join(f"{number}{'x' * 190}" for number in range(5))))
COMPILED = compile_zones(Compiled(), sources(ZONE), LiveSet())


class LongWay(State):
    """A worker that never learns the short way."""

    def remember_rotation(self, query: Query, zone: ZoneTable, rotation: Rotation) -> None:
        pass

    def remember_answer(self, query: Query, zone: ZoneTable, answer: Answer) -> None:
        pass


# --- queries of every shape ----------------------------------------------------------------------------

OWNERS = [
    "@",
    "a",
    "other",
    "tiers",
    "alias",
    "x.w",
    "*.w",
    "text",
    "big",
    "sub",
    "x.sub",
    "w",
    "no",
    "mta1",
    "mta3",
]
NAMES = st.one_of(
    st.sampled_from([name_to_wire(absolute(owner)) for owner in OWNERS]),
    st.sampled_from(
        [
            b"\x05mta\x001" + name_to_wire(ORIGIN),
            b"\x01\x00" + name_to_wire(ORIGIN),
            b"\x03A\x00b\x03out\x07example\x03com\x00",
            b"\x41out\x07example\x03com\x00",
            b"\x03out\x47example\x03com\x00",
            b"\xc0\x0c",
            b"\x00",
        ]
    ),
)
TYPES = st.sampled_from(
    [1, 1, 1, 2, 5, 6, 15, 16, 28, 33, 43, 52, 64, 65, 97, 251, 252, 255, 257, 0x4101, 0x6101, 0x415A]
)
CLASSES = st.sampled_from([1, 1, 1, 1, 3, 255, 0x4101, 0x6101])
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
TAILS = st.sampled_from(
    [
        (0, b""),
        (0, b""),
        (1, OPT),
        (1, OPT[:3] + b"\x00\x00" + OPT[5:]),
        (1, OPT[:3] + b"\xff\xff" + OPT[5:]),
        (1, OPT[:7] + b"\x80" + OPT[8:]),
        (1, OPT[:5] + b"\x07" + OPT[6:]),
        (1, OPT[:6] + b"\x01" + OPT[7:]),
        (1, OPT[:-1] + b"\x0c\x00\x0a\x00\x08cookies!"),
        (1, OPT[:-1] + b"\x0c\x00\x0a\x00\x09cookies!"),
        (1, OPT + b"x"),
        (1, b""),
        (0, b"x"),
        (0, OPT),
        (2, OPT * 2),
        (2, OPT + b"\x00\x00\x01\x00\x01" + bytes(6)),
        (1, b"\x00\x00\x01\x00\x01" + bytes(6)),
    ]
)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Draw a query in any letter case, with any header bits, and any tail."""
    question = draw(NAMES) + draw(TYPES).to_bytes(2, "big") + draw(CLASSES).to_bytes(2, "big")
    flips = draw(st.integers(0, 2**24))
    mixed = bytes(
        octet ^ 0x20 if 0x61 <= octet <= 0x7A and flips >> place % 24 & 1 else octet
        for place, octet in enumerate(question[:-4])
    )
    additional, tail = draw(TAILS)
    high = draw(st.sampled_from([0, 1, 1, 1, 2, 4, 0x28, 0x80]))
    low = draw(st.sampled_from([0, 0, 0x10, 0x20, 0x40, 0x80, 0xF0, 1]))
    header = draw(st.binary(min_size=2, max_size=2)) + bytes((high, low, 0, 1, 0, 0, 0, 0, 0, additional))
    return header + mixed + question[-4:] + tail


@given(st.lists(st.tuples(packets(), st.sampled_from([UDP, UDP, TCP])), max_size=60), st.integers(0, 2**32))
@settings(deadline=None)
def test_both_ways_give_the_same_bytes_and_counts(asked: list[tuple[bytes, Client]], seed: int) -> None:
    """Whatever was asked before, in whatever order: places in rotations included."""
    short, long = State(random.Random(seed)), LongWay(random.Random(seed))
    for packet, client in asked:
        for _ in range(3):
            expected = respond(COMPILED.table, packet, client, 0.0, long)
            assert respond(COMPILED.table, packet, client, 0.0, short) == expected
    assert short.take_counts() == long.take_counts()


def test_the_short_way_is_taken_by_what_is_asked_twice() -> None:
    """Or the test before would compare the long way with itself."""
    worker = Worker(ZONE)
    for name, rtype in (("@", "A"), ("@", "MX"), ("text", "TXT"), ("mta3", "AAAA"), ("text", "CAA")):
        worker.ask(name, rtype)
    assert len(worker.state.known) == 5


# --- places --------------------------------------------------------------------------------------------


WEIGHTS = {"192.0.2.11": 5, "192.0.2.12": 3, "192.0.2.13": 2}
"""Of ten."""
CYCLE = 1020


def plain(worker: Worker, _: int) -> dns.message.Message:
    return worker.ask("@")


def every_shape(worker: Worker, number: int) -> dns.message.Message:
    """Take both ways in turn: a response code or options in a query are rare, a TCP client is not."""
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
        live = live_set(ZONE, {"lone": DOWN if number % 20 else failing(1)})
        worker.believe(live, "other")
    return worker.ask("@")


def its_own_pool_is_made_anew(worker: Worker, number: int) -> dns.message.Message:
    """Only the TTL changes: each host keeps its weight, each name its place."""
    if number % 100 == 50:
        worker.believe(live_set(ZONE, {"mta3": failing(1 + number // 100 % 2)}), "main")
    return worker.ask("@")


def the_zone_is_edited(worker: Worker, number: int) -> dns.message.Message:
    if number % 100 == 50:
        edited = ZONE.model_copy(update={"records": ZONE.records[: -(number % 2) or None]})
        worker.compiled = compile_zones(worker.compiled, sources(edited), LiveSet())
    return worker.ask("@")


def a_zone_comes_and_goes(worker: Worker, number: int) -> dns.message.Message:
    if number % 100 == 50:
        second = [zone("hosts: {m: 192.0.2.1}", "two.example")] if number % 200 == 50 else []
        kept = {NAME: worker.compiled.sources[NAME]}
        worker.compiled = compile_zones(worker.compiled, kept | sources(*second), LiveSet())
    return worker.ask("@")


def the_short_way_forgets(worker: Worker, number: int) -> dns.message.Message:
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
        the_short_way_forgets,
    ],
)
def test_one_cycle_of_queries_holds_the_weights_exactly(
    ask: Callable[[Worker, int], dns.message.Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    if ask is the_short_way_forgets:
        monkeypatch.setattr(dealing, "REMEMBERED", 3)
    worker = Worker(ZONE, seed=5)
    first, uniform = Counter[str](), Counter[str]()
    for number in range(CYCLE):
        hosts = [each for each in data(ask(worker, number)) if not each.endswith(".")]
        first[hosts[0]] += 1
        uniform.update(dict.fromkeys(hosts, 2 // len(hosts)))
    assert first == {host: CYCLE * weight // 10 for host, weight in WEIGHTS.items()}
    assert uniform == {host: 2 * CYCLE * weight // 10 for host, weight in WEIGHTS.items()}


def test_names_that_share_a_rotation_have_their_own_places() -> None:
    worker = Worker(ZONE)
    worker.ask("@")
    alone = [data(worker.ask("@")) for _ in range(40)]
    worker = Worker(ZONE)
    worker.ask("@")
    mixed = []
    for number in range(40):
        mixed.append(data(worker.ask("@")))
        for _ in range(number % 3):
            worker.ask("a")
    assert mixed == alone


def test_workers_start_at_random_places() -> None:
    starts = {data(Worker(ZONE, seed=seed).ask("@")) for seed in range(40)}
    assert len(starts) > 3


# --- what is remembered --------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_dead_host_is_forgotten_however_full_the_memory_was(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dealing, "REMEMBERED", room)
    worker = Worker(ZONE)
    for name in ("@", "a", "text", "@", "a", "a", "@"):
        worker.ask(name)
    worker.believe(live_set(ZONE, {"mta1": DOWN}), "main")
    for name in ("@", "a"):
        assert not any("192.0.2.11" in data(worker.ask(name)) for _ in range(50))


def test_memory_is_bounded_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "REMEMBERED", 20)
    worker = Worker(ZONE)
    odd = dns.message.make_query(ORIGIN, "A", use_edns=False)
    odd.set_rcode(dns.rcode.NXDOMAIN)
    for number in range(500):
        worker.send(odd.to_wire())
        worker.ask(f"h{number}.w")
        worker.ask("big", "TXT")
        worker.ask(OWNERS[number % len(OWNERS)], "A", use_edns=0, payload=512 + number)
        assert len(worker.state.known) <= 20
        assert len(worker.state.tails) <= 20
        assert sum(len(spin.questions) for spin in worker.state._spins.values()) <= 20
        assert len(worker.state._places) <= len(OWNERS) * 3


def test_places_of_removed_names_go() -> None:
    worker = Worker(ZONE, zone("hosts: {m: 192.0.2.1}", "two.example"))
    worker.ask("two.example.")
    worker.compiled = compile_zones(worker.compiled, {NAME: worker.compiled.sources[NAME]}, LiveSet())
    worker.ask("@")
    assert {key.zone for _, key in worker.state._places} == {NAME}
    assert worker.ask("two.example.").rcode() == wire.REFUSED


# --- counts --------------------------------------------------------------------------------------------


def test_counts_add_up_with_what_was_asked() -> None:
    worker = Worker(ZONE)
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
        (NAME, dealing.OTHER_TYPE, 0): 7,
        (NAME, 15, 0): 7,
        ("", dealing.OTHER_TYPE, 1): 7,
    }
    rotations = {made.uid: made for made in worker.compiled.table.rotations.values()}
    dealt = Counter[tuple[str, str]]()
    for (uid, part, _), number in counts.dealt.items():
        dealt[rotations[uid].key.type, rotations[uid].parts[part].pool] += number
    assert dealt == {("A", "main"): 14, ("MX", "main"): 7, ("MX", "other"): 7}
    assert not worker.state.take_counts()


def test_counts_name_the_hosts_that_were_dealt() -> None:
    worker = Worker(ZONE)
    named, counted = Counter[str](), Counter[str]()
    rotations: dict[bytes, Rotation] = {}
    for number in range(300):
        if number == 150:
            worker.believe(live_set(ZONE, {"mta2": DOWN}), "main")
        rotations |= {made.uid: made for made in worker.compiled.table.rotations.values()}
        named.update(
            f"mta{address[-1]}" for address in data(worker.ask("@", use_edns=-1 if number % 2 else 0))
        )
    for (uid, part, chosen), times in worker.state.take_counts().dealt.items():
        for host in rotations[uid].parts[part].sets[chosen]:
            counted[host] += times
    assert counted == named


# --- packets nobody should send ------------------------------------------------------------------------


def mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    """Return a random packet, or a good one with some of it changed."""
    kind = rng.random()
    if kind < 0.1:
        return rng.randbytes(rng.randrange(80))
    packet = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(4)):
        packet[rng.randrange(len(packet))] = rng.choice((0, 1, 0xC0, 0x0C, 0xFF, rng.randrange(256)))
    if kind < 0.2:
        del packet[rng.randrange(len(packet)) :]
    elif kind < 0.3:
        packet += rng.randbytes(rng.randrange(1, 40))
    elif kind < 0.4:
        place = rng.randrange(len(packet))
        packet[place:place] = rng.choice(seeds)[: rng.randrange(40)]
    return bytes(packet)


def test_100_000_packets(caplog: pytest.LogCaptureFixture) -> None:
    """None raises (not even where the responder would catch it), none gets more than it may."""
    rng = random.Random(4)
    seeds = [
        dns.message.make_query(absolute(name), rtype, use_edns=edns).to_wire()
        for name in OWNERS
        for rtype in ("A", "MX", "TXT", "ANY")
        for edns in (False, True)
    ]
    worker = Worker(ZONE)
    live = [live_set(ZONE, {}), live_set(ZONE, {"mta1": DOWN}), live_set(ZONE, {"lone": DOWN})]
    tables = [recompile_pools(worker.compiled, [(NAME, "main"), (NAME, "other")], one).table for one in live]
    answered = 0
    with caplog.at_level(logging.DEBUG):
        for number in range(100_000):
            packet = mutated(rng, seeds)
            client = TCP if number % 5 == 0 else UDP
            answer = respond(tables[number // 1000 % 3], packet, client, 0.0, worker.state)
            if answer is None:
                assert len(packet) < 12 or packet[2] & 0x80
                continue
            answered += 1
            assert answer[:2] == packet[:2]
            assert answer[2] & 0x80
            assert len(answer) <= (65535 if client is TCP else 1232 if any(packet[6:12]) else 512)
            if number % 10 == 0:
                dns.message.from_wire(answer)
    assert not caplog.records
    assert answered > 50_000
    assert sum(worker.state.take_counts().queries.values()) == answered
