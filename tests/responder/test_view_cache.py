"""Answers that depend on the client: warm caches against fresh ones, bounds, counts."""

import logging
import random
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder import view_cache, worker_state
from geodns.responder.answer_policy import Policy, QueryLog, RateLimit
from geodns.responder.respond import respond
from geodns.responder.table import ClientViews
from geodns.responder.views import SEATS, ClientNetwork, client_number
from geodns.responder.worker_state import Counts, WorkerState
from tests.responder.test_respond_caches import FullLookupOnly, mutated
from tests.responder.viewed import AFFINITY, ARM, VIEWS, Asked, ask, got, table, view_key, with_other_view

FOUR = [0x08000000, 0x0A000000, 0x0A010000, 0x0A010180, 0xC0000200, 0xC0000240, 0xC6336400]
SIX = [0x20010DB8 << 96, (0x20010DB8 << 96) + (1 << 66), 0xFD << 120]

BASE = table(FOUR, SIX)
GUARDED = Policy(rate_limit=RateLimit(per_second=1_000_000), query_log=QueryLog())
TABLES = [
    BASE,
    replace(BASE, policy=GUARDED),
    table(FOUR[::2], SIX[::2]),
    replace(BASE, rotations=table([], [], seed=4).rotations),
    with_other_view(BASE, "mixed"),
    with_other_view(BASE, "rules"),
]
NAMES = ["rules", "mixed", "timed", "plain", "x.w", "y.w", "alias", "again", "text", "none", "RULES"]
SOURCES = ["192.0.2.1", "192.0.2.70", "9.9.9.9", "10.1.1.200", "10.0.0.1", "2001:db8::1", "fd00::1", "::1"]
SUBNETS = [
    "",
    "192.0.2.0/24",
    "192.0.2.64/26",
    "198.51.100.0/24",
    "9.0.0.0/8",
    "10.1.1.0/24",
    "10.1.0.0/16",
    "0.0.0.0/0",
    "2001:db8::/56",
    "2001:db8:0:4::/64",
    "fd00::/48",
    "::ffff:192.0.2.0/120",
]
ASKED = st.builds(
    Asked,
    st.sampled_from(NAMES),
    st.sampled_from(["A", "A", "A", "MX", "AAAA"]),
    st.sampled_from(SOURCES),
    st.sampled_from(["", "", *SUBNETS]),
    st.just(value=True),
    st.sampled_from(["udp", "udp", "tcp"]),
) | st.builds(
    lambda name, source, edns: Asked(name, source=source, edns=edns),
    st.sampled_from(NAMES),
    st.sampled_from(SOURCES),
    st.booleans(),
)
HISTORY = st.lists(
    st.tuples(ASKED, st.sampled_from([None, None, None, *range(len(TABLES))])), min_size=1, max_size=40
)
"""Queries, and the number of the Table that comes before each, if another one does."""


def counted(state: WorkerState) -> Counts:
    return state.take_counts()._replace(names=frozenset())


@given(HISTORY)
def test_a_warm_state_gives_each_client_what_a_fresh_one_does(
    history: list[tuple[Asked, int | None]],
) -> None:
    """Whoever asked before, whatever Table was before, guarded or not."""
    warm, of = WorkerState(random.Random(1)), BASE
    for asked, other in history:
        of = of if other is None else TABLES[other]
        expected = ask(of, asked)
        for _ in range(3):
            assert ask(of, asked, warm) == expected


@given(HISTORY, st.integers(0, 2**32))
def test_caches_and_full_lookup_give_the_same_bytes_and_counts(
    history: list[tuple[Asked, int | None]], seed: int
) -> None:
    cached, full = WorkerState(random.Random(seed)), FullLookupOnly(random.Random(seed))
    of = BASE
    for asked, other in history:
        of = of if other is None else TABLES[other]
        for _ in range(3):
            expected = respond(of, asked.packet, asked.client, 0.0, full)
            assert respond(of, asked.packet, asked.client, 0.0, cached) == expected
    assert counted(cached) == counted(full)


def test_packets_that_nobody_should_send(caplog: pytest.LogCaptureFixture) -> None:
    """None raises, also not where the responder would catch it, and no cache takes one for another."""
    rng = random.Random(4)
    seeds = [
        Asked(name, rtype, subnet=subnet).packet
        for name in NAMES
        for rtype in ("A", "MX")
        for subnet in ("", "9.0.0.0/8", "192.0.2.64/26", "2001:db8::/56")
    ]
    cached, full = WorkerState(random.Random(1)), FullLookupOnly(random.Random(1))
    with caplog.at_level(logging.DEBUG):
        for number in range(6_000):
            packet, of = mutated(rng, seeds), TABLES[number // 300 % len(TABLES)]
            client = rng.choice(SOURCES), 53, "tcp" if number % 5 == 0 else "udp"
            answer = respond(of, packet, client, number, cached)
            assert answer == respond(of, packet, client, number, full)
    assert not caplog.records
    assert counted(cached) == counted(full)


def test_what_is_asked_twice_is_in_the_caches() -> None:
    """Or the tests before would compare the full lookup with itself."""
    state = WorkerState(random.Random(1))
    for asked in (Asked(source="9.9.9.9"), Asked(), Asked("mixed", source="192.0.2.65"), Asked("mixed")):
        for _ in range(3):
            ask(BASE, asked, state)
    assert {len(viewed.cursors) for viewed in state.views.questions.values()} == {2}
    assert [len(viewed.known) for viewed in state.views.packets.values()] == [2, 2]
    assert len(state.views.deals) == 4
    assert not state.questions


def test_each_view_has_its_place_in_turn() -> None:
    """A client of another view takes no answer away."""

    def dealt(others: int) -> list[bytes]:
        state = WorkerState(random.Random(1))
        found = []
        for number in range(30):
            answer = respond(BASE, Asked().packet, Asked().client, 0.0, state)
            assert answer is not None
            found.append(answer)
            if number:
                for _ in range(number % 3 * others):
                    ask(BASE, Asked(source="9.9.9.9"), state)
        return found

    alone = dealt(0)
    assert dealt(1) == alone
    assert len(set(alone)) == 5


@pytest.mark.parametrize(
    "swap",
    [
        lambda of: replace(of, policy=Policy(nsid=b"n")),
        lambda of: replace(of, rotations={**of.rotations}),
        lambda of: replace(
            of, views={key: ClientViews(one.views, one.partition) for key, one in of.views.items()}
        ),
        lambda of: replace(of, partitions=table(FOUR, SIX).partitions),
    ],
    ids=["policy", "the same", "views made anew", "partitions made anew"],
)
def test_a_new_table_keeps_places(swap: "object") -> None:
    assert callable(swap)
    state, of, dealt = WorkerState(random.Random(1)), BASE, Counter[bytes]()
    for number in range(100):
        if number % 7 == 3:
            of = swap(of)
        answer = respond(of, Asked().packet, Asked().client, 0.0, state)
        assert answer is not None
        dealt[answer] += 1
    assert set(dealt.values()) == {20}


# --- bounds --------------------------------------------------------------------------------------------


def test_memory_is_bounded_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (view_cache, worker_state):
        monkeypatch.setattr(module, "REMEMBERED", 20)
    monkeypatch.setattr(view_cache, "MAX_COUNTED", 20)
    state = WorkerState(random.Random(1))
    for number in range(120):
        source = str(ip_address(0x01000000 + number * 7_654_321))
        for asked in (
            Asked(NAMES[number % 6], source=source, edns=number % 2 == 0),
            Asked(NAMES[number % 4], subnet=f"{source}/32"),
            Asked(f"n{number}.w", source=source),
        ):
            assert ask(BASE, asked, state) == ask(BASE, asked)
        assert len(state.views.deals) <= 20
        assert len(state.questions) + sum(len(one.cursors) for one in state.views.questions.values()) <= 20
        assert sum(len(one.known) for one in state.views.packets.values()) <= 20
        assert len(state.tails) <= 20
        assert len(state._places) <= sum(len(view.keys) for views in VIEWS.values() for view in views) * 3 + 1
    assert 0 < len(state.take_counts().networks) <= 20


# --- limits, log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("subnet", ["", "8.8.8.0/24"])
def test_names_with_views_are_limited_and_logged(subnet: str) -> None:
    of = replace(BASE, policy=Policy(rate_limit=RateLimit(per_second=5, slip=1), query_log=QueryLog()))
    state = WorkerState(random.Random(1))
    cut = 0
    for _ in range(20):
        asked = Asked("mixed", source="192.0.2.1", subnet=subnet)
        answer = respond(of, asked.packet, asked.client, 1.0, state)
        assert answer is not None
        cut += bool(answer[2] & 2)
        assert got(answer).scope == (None if not subnet else 0 if answer[2] & 2 else 24)
    assert cut == 15
    assert state.recorder is not None
    notes, _ = state.recorder.take()
    assert [one.limited for one in notes].count("truncated") == 15


# --- counts --------------------------------------------------------------------------------------------


def test_networks_of_experiments_are_counted_also_where_caches_answer() -> None:
    state, expected = WorkerState(random.Random(1)), Counter[tuple[str, str, int]]()
    views = with_other_view(BASE, "mixed")
    views = replace(
        views, views={**views.views, view_key("mixed"): ClientViews(VIEWS[view_key("mixed")][1:2])}
    )
    for number in range(100):
        source = f"198.51.{number % 50}.{number % 7}"
        seat = client_number(ARM, ClientNetwork(ipv6=False, address=int(ip_address(source))), SEATS)
        for name in ("mixed", "alias", "x.w"):
            ask(views, Asked(name, source=source), state)
            expected["v.test", "x/a" if seat < 8000 else "x/b", seat] += 1
        ask(views, Asked("rules", source=source), state)
        ask(views, Asked("mixed", "AAAA", source=source), state)
    counts = state.take_counts()
    assert counts.networks == expected
    assert len(expected) == 50
    assert counts
    assert not state.take_counts()


def test_an_experiment_by_time_counts_networks_too() -> None:
    state = WorkerState(random.Random(1))
    for _ in range(4):
        assert ask(with_other_view(BASE, "timed"), Asked("timed"), state).pools == ("two",)
    [((zone, arm, _), number)] = state.take_counts().networks.items()
    assert (zone, arm, number) == ("v.test", "t/b", 4)


def test_a_network_keeps_its_host() -> None:
    """In IPv4 a /24, in IPv6 a /56, whichever way it asks."""
    state, of = WorkerState(random.Random(1)), with_other_view(BASE, "mixed")
    for number in range(40):
        one = f"203.0.{number}."
        asked = [Asked("mixed", source=f"{one}{last}") for last in (1, 1, 200)]
        asked += [Asked("mixed", subnet=f"{one}{subnet}") for subnet in ("0/24", "128/25", "77/32")]
        asked += [Asked(name, source=f"{one}9", transport="tcp") for name in ("mixed", "alias")]
        found = {ask(of, each, state).pools for each in asked}
        assert len(found) == 1
    six = [Asked("mixed", source=f"2001:db8:5:1{end}") for end in ("00::1", "ff:1::", "80::")]
    assert len({ask(of, each, state).pools for each in six}) == 1
    assert AFFINITY != ARM
