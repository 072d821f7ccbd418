"""Hosts dealt to messages: right shares whatever changes, never over a cap, never the host that asks."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder.route_deals import CACHED, MOST_LISTED, MOST_TURNS, Dealer, Route, by_name
from geodns.responder.route_table import Allowance, RouteTarget
from tests.responder.plain_routes import rule

ZONE = "out.example.com"
NAME = "fast.out.example.com"
BY_HOST = rule(by_host=True)
BY_NAME = rule()
HOSTS = ("a", "b", "c", "d", "e")
WEIGHTS = st.dictionaries(st.sampled_from(HOSTS), st.integers(1, 40), min_size=1)
PROVIDERS = ["", "google", "yahoo"]
SEEDS = st.integers().map(Random)
FEW = 8
"""Messages that chance may give a host more or less than its share, however many there were."""


def some_dealer() -> Dealer:
    return Dealer(Random(14))


def target(weights: Mapping[str, int], hosts: Iterable[str] = (), **given: Any) -> RouteTarget:
    return RouteTarget(ZONE, NAME, "fast", weights, tuple(sorted({*weights, *hosts})), **given)


def dealt(dealer: Dealer, one: RouteTarget, times: int, provider: str = "", now: float = 0.0) -> Counter[str]:
    routes = [dealer.route(BY_HOST, one, provider, now) for _ in range(times)]
    return Counter(route.host if route else "nobody" for route in routes)


def assert_shares(found: Counter[str], weights: Mapping[str, int]) -> None:
    times, total = found.total(), sum(weights.values())
    for host, weight in weights.items():
        assert abs(found[host] - times * weight / total) < FEW


@given(WEIGHTS, st.lists(st.sampled_from(PROVIDERS), max_size=500), SEEDS)
def test_each_provider_gets_right_shares_at_any_time(
    weights: dict[str, int], order: list[str], rng: Random
) -> None:
    dealer, one, found = Dealer(rng), target(weights), dict[str, Counter[str]]()
    for provider in order:
        found.setdefault(provider, Counter()).update(dealt(dealer, one, 1, provider))
    for some in found.values():
        assert_shares(some, weights)


def test_shares_are_within_a_percent_over_ten_thousand_look_ups() -> None:
    weights = {f"mta{number}": 1 + number * number for number in range(12)}
    assert_shares(dealt(some_dealer(), target(weights), 10_000, "google"), weights)


@pytest.mark.parametrize("asked", [1, 2, 3, 6])
@pytest.mark.parametrize("weights", [(1, 1), (3, 2, 1), (10, 1)])
def test_asking_several_times_a_message_favours_nobody(weights: tuple[int, ...], asked: int) -> None:
    """Whichever of its answers an MTA goes by."""
    dealer, one = Dealer(Random(14)), target(dict(zip(HOSTS, weights, strict=False)))
    last = Counter(list(dealt_in_turn(dealer, one, asked))[-1] for _ in range(2000))
    for host, weight in one.weights.items():
        assert abs(last[host] / 2000 - weight / sum(weights)) < 0.05


def dealt_in_turn(dealer: Dealer, one: RouteTarget, times: int) -> Iterator[str]:
    for _ in range(times):
        route = dealer.route(BY_HOST, one, "", 0.0)
        assert route is not None
        yield route.host


CHANGES = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(HOSTS), st.integers(1, 1 << 20)),
        st.frozensets(st.sampled_from(HOSTS)),
        st.frozensets(st.sampled_from(HOSTS)),
        st.dictionaries(st.sampled_from(HOSTS), st.integers(0, 5)),
        st.integers(0, 12),
    ),
    max_size=12,
)


@given(CHANGES, st.sampled_from(["", "a"]), st.booleans(), SEEDS)
def test_whatever_changes_only_those_are_dealt_that_may_be(
    changes: list[Any], self_host: str, by_host: bool, rng: Random
) -> None:
    dealer, left = Dealer(rng), dict.fromkeys(HOSTS, 0)
    one_rule = BY_HOST if by_host else BY_NAME
    for weights, barred, capped, allowed, times in changes:
        one = target(weights, HOSTS, barred={"google": barred}, capped={"google": capped})
        dealer.allow({(ZONE, host): Allowance({"google": number}, 9.0) for host, number in allowed.items()})
        left |= allowed
        for _ in range(times):
            may = [host for host in weights if host != self_host and host not in barred]
            may = [host for host in may if host not in capped or left[host] > 0]
            route = dealer.route(one_rule, one, "google", 1.0, self_host)
            assert route is not None
            named = [part.split(".")[0].strip("[") for part in route.transport[6:].split(", ")]
            assert self_host not in named
            if self_host:
                assert NAME not in route.transport
                first = named[0]
                # Where nobody may be dealt: those barred or capped, and where nobody lives: anybody.
                others = {host for host in weights if host != self_host} or {*HOSTS} - {self_host}
                assert first in (may or others)
                assert not capped & {*named[1:]} or not may
            elif by_host:
                first = route.host
                assert first in (may or [""])
                assert bool(first) == bool(may)
            else:
                first = ""
                assert route == by_name(BY_NAME)
            if first in capped and may:
                left[first] -= 1
                assert left[first] >= 0


@given(st.lists(WEIGHTS, min_size=1, max_size=10), WEIGHTS, st.integers(0, 30), SEEDS)
def test_after_any_changes_shares_are_right_again(
    changes: list[dict[str, int]], last: dict[str, int], times: int, rng: Random
) -> None:
    dealer = Dealer(rng)
    for weights in changes:
        dealt(dealer, target(weights), times)
        for turn in dealer._turns.values():
            assert max(map(abs, turn.owed)) <= FEW << 32
    assert_shares(dealt(dealer, target(last), 3 * sum(last.values())), last)


@given(WEIGHTS, st.lists(st.integers(1, 1000), min_size=1, max_size=5), SEEDS)
def test_weights_that_wobble_with_every_look_up_favour_nobody(
    weights: dict[str, int], scales: list[int], rng: Random
) -> None:
    """As slow starts do: if each change began anew, the heaviest would be dealt alone."""
    dealer, found, expected = Dealer(rng), Counter[str](), dict.fromkeys(weights, Fraction(0))
    for number in range(200):
        some = {host: weight * scales[number % len(scales)] + 1 for host, weight in weights.items()}
        total = sum(some.values())
        for host, weight in some.items():
            expected[host] += Fraction(weight, total)
        found += dealt(dealer, target(some), 1)
    for host in weights:
        assert abs(found[host] - expected[host]) < FEW


# --- what hosts that warm up may get --------------------------------------------------------------------

WARMING = target({"a": 5, "b": 3, "c": 2}, capped={"google": frozenset("bc")})


def allow(dealer: Dealer, until: float = math.inf, **left: int) -> None:
    dealer.allow({(ZONE, host): Allowance({"google": number}, until) for host, number in left.items()})


def test_a_capped_host_waits_for_the_first_message() -> None:
    dealer = some_dealer()
    assert dealt(dealer, WARMING, 100, "google") == {"a": 100}
    for provider in ("yahoo", ""):
        assert_shares(dealt(dealer, WARMING, 100, provider), WARMING.weights)


def test_a_capped_host_gets_what_is_left_and_no_more() -> None:
    dealer = some_dealer()
    allow(dealer, b=7, c=0)
    assert dealt(dealer, WARMING, 1000, "google") == {"a": 993, "b": 7}
    allow(dealer, b=2)
    allow(dealer, b=1, c=1)
    assert dealt(dealer, WARMING, 1000, "google") == {"a": 998, "b": 1, "c": 1}
    dealer.allow({(ZONE, "b"): Allowance({"yahoo": 5}, math.inf)})
    assert dealt(dealer, WARMING, 10, "google") == {"a": 10}


def test_what_is_left_ends_with_time() -> None:
    dealer = some_dealer()
    allow(dealer, 10.0, b=1000)
    assert dealt(dealer, WARMING, 80, "google", 9.9)["b"] > 20
    assert dealt(dealer, WARMING, 8, "google", 10.0) == {"a": 8}
    allow(dealer, 20.0, b=1000)
    assert dealt(dealer, WARMING, 80, "google", 10.0)["b"] > 20


def test_a_provider_that_nobody_has_looked_up_may_be_any() -> None:
    dealer = some_dealer()
    allow(dealer, b=7, c=7)
    one = replace(WARMING, weights={"a": 5, "b": 3, "c": 2, "d": 1}, barred={"yahoo": frozenset("d")})
    found = [dealer.route(BY_HOST, one, None, 0.0) for _ in range(20)]
    assert {route.host for route in found if route} == {"a"}
    assert dealt(dealer, one, 1000, "google")["b"] == 7, "nothing was taken from what is left"
    assert dealer.route(BY_NAME, one, None, 0.0, "z") == by_name(BY_NAME)
    dealt_beside = dealer.route(BY_NAME, replace(one, hosts=("a", "b", "c", "d")), None, 0.0, "d")
    assert dealt_beside == Route(listed("a"))
    assert dealer.route(BY_HOST, replace(one, weights={"b": 3}), None, 0.0) == by_name(BY_HOST)


def test_what_is_left_is_of_all_names_together() -> None:
    dealer, other = some_dealer(), replace(WARMING, name="other.out.example.com")
    allow(dealer, b=4)
    found = Counter[str]()
    for _ in range(50):
        found += dealt(dealer, WARMING, 1, "google") + dealt(dealer, other, 1, "google")
    assert found == {"a": 96, "b": 4}


# --- answers --------------------------------------------------------------------------------------------


def listed(*hosts: str, port: int = 25) -> str:
    return "relay:" + ", ".join(f"[{host}.{ZONE}]:{port}" for host in hosts)


LIVE = target({"a": 2, "b": 1}, ["c"])
DEAD = target({}, ["a", "b", "c"])
ALONE = target({"a": 1})


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (ALONE, Route("relay:[a.out.example.com]:25, [fast.out.example.com]:25", "a")),
        (DEAD, Route("relay:[fast.out.example.com]:25")),
    ],
)
def test_by_host(one: RouteTarget, expected: Route) -> None:
    assert some_dealer().route(BY_HOST, one, "", 0.0) == expected


def test_by_name() -> None:
    assert some_dealer().route(rule(port=587), LIVE, "", 0.0) == Route("relay:[fast.out.example.com]:587")
    assert some_dealer().route(BY_HOST, LIVE, "", 0.0, single=False) == by_name(BY_HOST)


@pytest.mark.parametrize(
    ("one", "self_host", "single", "expected"),
    [
        (target({"a": 3, "b": 2, "c": 1}), "a", True, "bc"),
        (target({"a": 3, "b": 1, "c": 1}), "a", False, "bc"),
        (LIVE, "a", True, "b"),
        (LIVE, "a", False, None),
        (target({"a": 1}, "bc"), "a", True, "bc"),
        (DEAD, "a", True, "bc"),
        (ALONE, "a", True, None),
        # One that is no host of the pool may be told the name.
        (LIVE, "z", True, ["fast"]),
        (LIVE, "", True, ["fast"]),
        (target({"a": 1, "b": 1, "c": 1}, barred={"google": frozenset("b")}), "a", True, "c"),
        (target({"a": 1, "b": 2}, "c", barred={"google": frozenset("b")}), "a", True, "b"),
        (target({"a": 1, "b": 2}, "c", capped={"google": frozenset("b")}), "a", True, "b"),
        (target({"a": 1, "b": 1, "c": 1}, capped={"google": frozenset("b")}), "a", True, "c"),
    ],
)
def test_the_host_that_asks_is_never_answered(
    one: RouteTarget, self_host: str, single: bool, expected: Sequence[str] | None
) -> None:
    dealer, orders = some_dealer(), permutations(expected or ())
    allowed = [None] if expected is None else [Route(listed(*hosts)) for hosts in orders]
    for _ in range(5):
        assert dealer.route(BY_NAME, one, "google", 0.0, self_host, single=single) in allowed


def test_a_host_that_asks_is_dealt_the_others() -> None:
    dealer, one = some_dealer(), target({"a": 3, "b": 2, "c": 1})
    found = Counter(dealer.route(BY_HOST, one, "", 0.0, "a") for _ in range(90))
    first, second = (Route(listed(*hosts), hosts[0]) for hosts in ("bc", "cb"))
    assert found.total() == found[first] + found[second]
    assert abs(found[first] - 60) < FEW


def test_a_host_that_was_taken_out_is_not_sent_its_own_mail_by_what_resolvers_kept() -> None:
    dealer, before, after = some_dealer(), target({"a": 1, "b": 1}), target({"b": 1, "c": 1})
    dealer.keep({(ZONE, NAME): after})
    assert dealer.route(BY_NAME, after, "", 0.0, "a") == by_name(BY_NAME), "it never was among them"
    dealer.route(BY_NAME, before, "", 10.0, "a")
    found = dealer.route(BY_NAME, after, "", 10.0 + CACHED - 1, "a")
    assert found in (Route(listed("b", "c")), Route(listed("c", "b")))
    assert dealer.route(BY_NAME, after, "", 20.0, "z") == by_name(BY_NAME)
    assert dealer.route(BY_NAME, after, "", 10.0 + CACHED, "a") == by_name(BY_NAME)
    dealer.keep({})
    assert not dealer._among


def test_a_list_of_others_is_short_and_in_weighted_order() -> None:
    dealer, one = some_dealer(), target({f"m{number:03}": 1 + number for number in range(300)})
    found = dealer.route(rule(by_host=True, port=587), one, "", 0.0, "m299")
    assert found is not None
    heaviest = [host for host in reversed([*one.weights]) if host not in {"m299", found.host}]
    assert found.transport == listed(found.host, *heaviest[: MOST_LISTED - 1], port=587)


# --- bounds ---------------------------------------------------------------------------------------------


def test_what_is_known_is_bounded() -> None:
    dealer = some_dealer()
    for number in range(MOST_TURNS + 50):
        dealer.route(BY_HOST, replace(LIVE, name=f"n{number}"), "", 0.0)
    assert len(dealer._turns) == MOST_TURNS


def test_targets_that_are_gone_are_forgotten() -> None:
    dealer, gone = some_dealer(), replace(WARMING, name="gone.out.example.com")
    known = {(one.zone, one.name): one for one in (WARMING, gone)}
    for kept, names in ((known, {NAME, gone.name}), ({(ZONE, NAME): WARMING}, {NAME}), ({}, set())):
        for one in known.values():
            for provider in PROVIDERS:
                dealer.route(BY_HOST, one, provider, 0.0)
        dealer.keep(kept)
        assert {key[1] for key in dealer._turns} == names


def test_an_edit_elsewhere_moves_no_rotation() -> None:
    dealer, other, one = some_dealer(), some_dealer(), target({"a": 1, "b": 1})
    for _ in range(50):
        dealer.keep({(ZONE, NAME): one})
        assert dealt(dealer, one, 1) == dealt(other, one, 1)


def test_what_hosts_that_are_gone_might_get_is_forgotten() -> None:
    dealer = some_dealer()
    for number in range(0, 20_000, 100):
        dealer.allow({(ZONE, f"m{number}"): Allowance({"google": 1}, 900.0 + number)})
    assert len(dealer._left) == len(dealer._until) <= 40
    dealer.allow({})
    assert len(dealer._left) <= 40
