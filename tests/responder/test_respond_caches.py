"""The caches against the full lookup, over queries of every shape and packets that nobody should send."""

import logging
import random
from dataclasses import replace

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.compile import Compiled, compile_zones, recompile_pools
from geodns.compiler.live_set import LiveSet
from geodns.model.zone import Zone
from geodns.responder.answer_policy import Policy
from geodns.responder.lookup import LookupResult
from geodns.responder.respond import Client, respond
from geodns.responder.worker_state import WorkerState
from geodns.wire import edns as edns_
from geodns.wire import message
from geodns.wire.cookies import make
from geodns.wire.message import Query
from geodns.wire.names import name_to_wire
from tests.sample_zones import (
    DOWN,
    NAME,
    ORIGIN,
    TCP,
    UDP,
    WEIGHTED,
    WEIGHTED_OWNERS,
    Worker,
    absolute,
    has,
    live_set,
    sources,
    zone,
)

COMPILED = compile_zones(Compiled(), sources(WEIGHTED), LiveSet())
SECRET = b"0123456789abcdef"
TABLE = replace(COMPILED.table, policy=Policy(nsid=b"ns1", cookie_secrets=(SECRET,)))

NOBODY: frozenset[bytes] = frozenset()
"""The full lookup tells each name again whenever it is asked."""


class FullLookupOnly(WorkerState):
    """A worker whose caches stay empty."""

    def remember(self, query: Query, found: LookupResult) -> None:
        pass


# --- queries of every shape ----------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from([name_to_wire(absolute(owner)) for owner in WEIGHTED_OWNERS]),
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
        (1, OPT[:-1] + b"\x0b\x00\x0a\x00\x07cookie!"),
        (
            1,
            OPT[:-1]
            + b"\x1c"
            + edns_.option(edns_.COOKIE, make(b"cookies!", bytes((127, 0, 0, 1)), 0, SECRET)),
        ),
        (1, OPT[:-1] + b"\x04\x00\x03\x00\x00"),
        (1, OPT[:-1] + b"\x0b\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02"),
        (1, OPT[:-1] + b"\x0b\x00\x08\x00\x07\x00\x01\x18\x01\xc0\x00\x02"),
        (1, OPT[:-1] + b"\x04\x00\x0b\x00\x00"),
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
    low = draw(st.sampled_from([0, 0, 0x10, 0x20, 0x40, 0x50, 0x70, 0x80, 0xF0, 1]))
    header = draw(st.binary(min_size=2, max_size=2)) + bytes((high, low, 0, 1, 0, 0, 0, 0, 0, additional))
    return header + mixed + question[-4:] + tail


@given(st.lists(st.tuples(packets(), st.sampled_from([UDP, UDP, TCP])), max_size=60), st.integers(0, 2**32))
def test_caches_and_full_lookup_give_the_same_bytes_and_counts(
    asked: list[tuple[bytes, Client]], seed: int
) -> None:
    """Whatever was asked before, in whatever order: places in rotations included."""
    cached, full = WorkerState(random.Random(seed)), FullLookupOnly(random.Random(seed))
    for packet, client in asked:
        for _ in range(3):
            expected = respond(TABLE, packet, client, 0.0, full)
            assert respond(TABLE, packet, client, 0.0, cached) == expected
    assert cached.take_counts()._replace(names=NOBODY) == full.take_counts()._replace(names=NOBODY)


def test_what_is_asked_twice_is_in_the_question_cache() -> None:
    """Or the test before would compare the full lookup with itself."""
    worker = Worker(WEIGHTED)
    for name, rtype in (("@", "A"), ("@", "MX"), ("text", "TXT"), ("mta3", "AAAA"), ("text", "CAA")):
        worker.ask(name, rtype)
    assert len(worker.state.questions) == 5


UNEVEN = zone("""
    hosts:
      big: {address: "2001:db8::ffff", weight: 60}
      "m[01-20]": {address: "2001:db8::[1-20]"}
    pools: {main: {hosts: "*", answers: 20}}
    records: {"@": {AAAA: {pool: main}}}
""")
"""Answers of one host and answers of twenty, which are over 512 bytes."""


@pytest.mark.parametrize("one", [WEIGHTED, UNEVEN], ids=["weighted", "uneven"])
def test_the_same_few_names_over_and_over(one: Zone) -> None:
    table = compile_zones(Compiled(), sources(one), LiveSet()).table
    rng = random.Random(7)
    cached, full = WorkerState(random.Random(1)), FullLookupOnly(random.Random(1))
    names = [name_to_wire(absolute(name)) for name in ("@", "text", "mta3")]
    tails = [(0, b""), (1, OPT), (1, OPT[:7] + b"\x80" + OPT[8:]), (1, OPT[:3] + b"\x02\x61" + OPT[5:])]
    for number in range(4000):
        additional, tail = rng.choice(tails)
        head = bytes((rng.choice((0, 1)), rng.choice((0, 0x10, 0x50)), 0, 1, 0, 0, 0, 0, 0, additional))
        name = bytes(octet ^ rng.choice((0, 0x20)) if octet >= 0x61 else octet for octet in rng.choice(names))
        packet = number.to_bytes(2, "big") + head + message.question(name, rng.choice((1, 15, 16, 28))) + tail
        client = rng.choice((UDP, TCP))
        assert respond(table, packet, client, 0.0, cached) == respond(table, packet, client, 0.0, full)
    assert cached.packets, "the packet cache was among those compared"
    assert cached.take_counts()._replace(names=NOBODY) == full.take_counts()._replace(names=NOBODY)


@pytest.mark.parametrize("order", [(65, 97), (97, 65), (257, 0x0141), (1, 0x0141), (33, 0x0161)])
def test_types_that_differ_by_a_letters_case_are_not_confused(order: tuple[int, int]) -> None:
    """The caches look questions up in lower case, type and class with them."""
    cached, full = WorkerState(random.Random(1)), FullLookupOnly(random.Random(1))
    for rtype in order * 3:
        packet = b"\0\1\1\0\0\1" + bytes(6) + message.question(name_to_wire(ORIGIN), rtype)
        expected = respond(TABLE, packet, UDP, 0.0, full)
        assert respond(TABLE, packet, UDP, 0.0, cached) == expected
    assert cached.take_counts()._replace(names=NOBODY) == full.take_counts()._replace(names=NOBODY)


@pytest.mark.parametrize("first", [0x0241, 0x0261])
def test_sizes_that_differ_by_a_letters_case_are_not_confused(first: int) -> None:
    """577 and 609 are the letters A and a; the answer has a size between them."""
    text = f"{'x' * 255}, {'y' * 255}"
    worker = Worker(zone(f"hosts: {{m: 192.0.2.1}}\nrecords: {{t: {{TXT: [{text}]}}}}"))
    for size in (first, 0x0241, 0x0261) * 4:
        found = worker.ask("t", "TXT", use_edns=0, payload=size)
        assert has(found, dns.flags.TC) is (size == 0x0241)


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


def test_40_000_packets(caplog: pytest.LogCaptureFixture) -> None:
    """None raises (not even where the responder would catch it), none gets more than it may."""
    rng = random.Random(4)
    seeds = [
        dns.message.make_query(absolute(name), rtype, use_edns=edns_).to_wire()
        for name in WEIGHTED_OWNERS
        for rtype in ("A", "MX", "TXT", "ANY")
        for edns_ in (False, True)
    ]
    worker = Worker(WEIGHTED)
    live = [live_set(WEIGHTED, {}), live_set(WEIGHTED, {"mta1": DOWN}), live_set(WEIGHTED, {"lone": DOWN})]
    tables = [recompile_pools(worker.compiled, [(NAME, "main"), (NAME, "other")], one).table for one in live]
    answered = 0
    with caplog.at_level(logging.DEBUG):
        for number in range(40_000):
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
    assert answered > 20_000
    assert sum(worker.state.take_counts().queries.values()) == answered
