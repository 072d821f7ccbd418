"""Which hosts a pool deals: every rule of the choice, one by one."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import pytest

from geodns.compiler.choice import Choice, LastResort, choose
from geodns.compiler.live_set import LiveSet
from geodns.model.state import Forced, HealthState, Verdict
from geodns.model.zone import Zone
from tests.sample_zones import DOWN, SHED, UP, failing, live_set, zone

ZONE = zone("""
    ttl: 30
    checks:
      smtp: {interval: 10s, fast_interval: 2s, rise: 2, fall: 3}
    hosts:
      a: {address: 192.0.2.1, weight: 50}
      b: {address: 192.0.2.2, weight: 30}
      c: {address: 192.0.2.3, weight: 20}
      d: 192.0.2.4
      e: 192.0.2.5
      z: {address: 192.0.2.9, weight: 0}
    pools:
      plain:   {hosts: [a, b, c, z], check: smtp}
      free:    {hosts: [a, b]}
      add:     {hosts: [a, b, c], check: smtp, fallback: last}
      count:   {hosts: [a, b, c], check: smtp, fallback: last, min_live: 2}
      nought:  {hosts: [a, b, c], check: smtp, fallback: last, min_live: 0}
      swap:    {hosts: [a, b, c], check: smtp, fallback: last, fallback_mode: replace}
      chain:   {hosts: [a, b], check: smtp, fallback: middle}
      hop:     {hosts: [a, b], check: smtp, fallback: through, fallback_mode: replace}
      through: {hosts: [c], check: smtp, fallback: last, fallback_mode: replace}
      middle:  {hosts: [c], check: smtp, fallback: last}
      shared:  {hosts: {a: 7, b: 1}, check: smtp, fallback: overlap}
      overlap: {hosts: {a: 1, d: 5}}
      last:    {hosts: [d, e], check: smtp}
      strict:  {hosts: [a, b], check: smtp, when_down: servfail}
    records:
      one: {pool: plain}
""")


def choice(pool: str, live: LiveSet, of: Zone = ZONE) -> Choice:
    return choose(of, of.pool_by_name[pool], live)


class Case(NamedTuple):
    """Who is down (or forced), and what a pool then deals."""

    pool: str
    bad: Mapping[str, Verdict | Forced]
    hosts: str
    using: str
    resort: str | None = None


def down(hosts: str) -> dict[str, Verdict | Forced]:
    return dict.fromkeys(hosts, DOWN)


def forced(state: Forced, hosts: str) -> dict[str, Verdict | Forced]:
    return dict.fromkeys(hosts, state)


DRAINED, QUARANTINED, FORCED_DOWN, FORCED_UP = (
    Forced.DRAINED,
    Forced.QUARANTINED,
    Forced.DOWN,
    Forced.UP,
)

CASES = {
    # Live filtering.
    "all live, weight 0 never": Case("plain", {}, "abc", "plain"),
    "down is not dealt": Case("plain", down("a"), "bc", "plain"),
    "shedding is not dealt": Case("plain", {"b": SHED}, "ac", "plain"),
    "forced up is dealt though down": Case("plain", {"a": FORCED_UP, "b": DOWN}, "ac", "plain"),
    "forced states are not dealt": Case("plain", {"a": DRAINED, "b": QUARANTINED}, "c", "plain"),
    "without check nobody is down": Case("free", down("ab"), "ab", "free"),
    "without check drained counts": Case("free", {"a": DRAINED}, "b", "free"),
    "survivors of a pool without fallback": Case("plain", down("ab"), "c", "plain"),
    # min_live.
    "half of the weight is enough": Case("add", down("bc"), "a", "add"),
    "half by two hosts": Case("add", down("a"), "bc", "add"),
    "a fifth is not enough": Case("add", down("ab"), "cde", "add last"),
    "two of three are enough": Case("count", down("a"), "bc", "count"),
    "one of three is not": Case("count", down("ab"), "cde", "count last"),
    "zero means the last one": Case("nought", down("ab"), "c", "nought"),
    "nobody is never enough": Case("nought", down("abc"), "de", "last"),
    # Fallback.
    "replaced": Case("swap", down("ab"), "de", "last"),
    "replaced by whom of it is live": Case("swap", down("abd"), "e", "last"),
    "a dead fallback replaces nobody": Case("swap", down("abde"), "c", "swap"),
    "a dead fallback adds nobody": Case("add", down("abde"), "c", "add"),
    "second link": Case("chain", down("ab"), "c", "middle"),
    "third link": Case("chain", down("abc"), "de", "last"),
    "all three links": Case("chain", {**down("a"), "c": DOWN}, "bde", "chain last"),
    "first and second": Case("chain", down("a"), "bc", "chain middle"),
    "replaced twice": Case("hop", down("abc"), "de", "last"),
    "replaced once": Case("hop", down("ab"), "c", "through"),
    "a host of both is dealt once": Case("shared", {"a": FORCED_UP, "b": DOWN}, "a", "shared"),
    "a host of both, down for the first alone": Case("shared", down("a"), "bad", "shared overlap"),
    # The last resort.
    "down before all others": Case(
        "plain", {**down("a"), "b": QUARANTINED, "c": DRAINED}, "a", "plain", "down"
    ),
    "shedding is as good as down": Case("plain", {"a": DOWN, "b": SHED, "c": DRAINED}, "ab", "plain", "down"),
    "quarantined before drained": Case(
        "plain", {"a": FORCED_DOWN, "b": QUARANTINED, "c": DRAINED}, "b", "plain", "quarantined"
    ),
    "drained at last": Case(
        "plain", {"a": FORCED_DOWN, "b": DRAINED, "c": DRAINED}, "bc", "plain", "drained"
    ),
    "forced down never": Case("plain", forced(FORCED_DOWN, "abc"), "", "", "servfail"),
    "the whole chain": Case("chain", down("abcde"), "abcde", "chain middle last", "down"),
    "the chain's better hosts": Case(
        "chain", {**forced(DRAINED, "abc"), **down("d"), "e": QUARANTINED}, "d", "last", "down"
    ),
    "also where it would replace": Case("swap", down("abcde"), "abcde", "swap last", "down"),
    "servfail if so ordered": Case("strict", down("ab"), "", "", "servfail"),
    "not while one lives": Case("strict", down("a"), "b", "strict"),
    "a pool without check, drained": Case("free", forced(DRAINED, "ab"), "ab", "free", "drained"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_who_is_dealt(case: Case) -> None:
    live = live_set(
        ZONE,
        {name: state for name, state in case.bad.items() if isinstance(state, Verdict)},
        forced={name: state for name, state in case.bad.items() if isinstance(state, Forced)},
    )
    found = choice(case.pool, live)
    assert ("".join(found.hosts), " ".join(found.using), found.last_resort) == (
        case.hosts,
        case.using,
        case.resort,
    )
    assert found.live == (() if case.resort else found.hosts)


def test_a_host_of_both_has_the_nearest_pools_weight() -> None:
    found = choice("shared", live_set(ZONE, {"b": DOWN}, forced={"a": FORCED_UP}))
    assert {one.host: one.weight for one in found.dealt} == {"a": 7}
    found = choice("shared", live_set(ZONE, {"a": DOWN}))
    assert {one.host: one.weight for one in found.dealt} == {"b": 1, "a": 1, "d": 5}


def test_a_forced_weight_stands_instead_of_every_pools_own() -> None:
    live = replace(live_set(ZONE, {}), weights={(ZONE.name, host): 7 for host in ZONE.host_by_name})
    for pool in ZONE.pools:
        assert {one.weight for one in choose(ZONE, pool, live).dealt} == {7}


def test_a_forced_weight_of_0_is_never_dealt_not_even_as_a_last_resort() -> None:
    live = replace(live_set(ZONE, {}), weights={(ZONE.name, host): 0 for host in ZONE.host_by_name})
    for pool in ZONE.pools:
        found = choose(ZONE, pool, live)
        assert (found.dealt, found.last_resort) == ((), LastResort.SERVFAIL)


def test_factors_lower_the_weight_and_0_takes_a_host_out() -> None:
    half, nought = {"warm-up": Fraction(1, 2)}, {"load": Fraction(0)}
    found = choice(
        "plain", live_set(ZONE, {"b": Verdict(HealthState.UP, level=1)}, factors={"a": half, "c": nought})
    )
    assert {one.host: one.effective for one in found.dealt} == {"a": 25, "b": 15}


def test_the_last_resort_knows_no_factors() -> None:
    live = live_set(
        ZONE,
        {**dict.fromkeys("bc", DOWN)},
        factors={"a": {"load": Fraction(0)}, "b": {"load": Fraction(1, 2)}},
    )
    found = choice("plain", live)
    assert found.last_resort is LastResort.DOWN
    assert {one.host: one.effective for one in found.dealt} == {"a": 50, "b": 30, "c": 20}


def test_forced_up_with_a_factor_of_0_is_still_somebody() -> None:
    live = live_set(
        ZONE,
        forced={"a": FORCED_UP, "b": FORCED_DOWN, "c": FORCED_DOWN},
        factors={"a": {"load": Fraction(0)}},
    )
    assert choice("plain", live).hosts == ("a",)


def test_newcomers_are_dealt_after_their_first_good_probe_or_when_nobody_else_is_left() -> None:
    new = ["a"]
    assert choice("plain", live_set(ZONE, newcomers=new)).hosts == ("b", "c")
    assert choice("plain", live_set(ZONE, {"a": UP}, newcomers=new)).hosts == ("a", "b", "c")
    assert choice("plain", live_set(ZONE, {"b": DOWN, "c": DOWN}, newcomers=new)).hosts == ("a", "b", "c")


# --- TTL -----------------------------------------------------------------------------------------------


TTLS: dict[str, tuple[str, dict[str, Verdict], int, int, int]] = {
    "all well": ("plain", {}, 30, 5, 30),
    "one failure": ("plain", {"a": failing(1)}, 30, 0, 4),
    "two failures": ("plain", {"a": failing(2)}, 30, 0, 2),
    "the nearest to fall": ("plain", {"a": failing(1), "b": failing(2)}, 30, 0, 2),
    "min_ttl": ("plain", {"a": failing(2)}, 30, 5, 5),
    "never above its own": ("plain", {"a": failing(2)}, 3, 5, 3),
    "ttl 0": ("plain", {"a": failing(2)}, 0, 5, 0),
    "ttl and min_ttl 0": ("plain", {"a": failing(2)}, 0, 0, 0),
    "who is down does not count": ("plain", {"a": DOWN}, 300, 0, 300),
    "a fallback serves": ("add", {"a": DOWN, "b": DOWN}, 300, 0, 20),
    "a fallback serves, short anyway": ("add", {"a": DOWN, "b": DOWN}, 15, 0, 15),
    "the fallback's host fails": ("add", {"a": DOWN, "b": DOWN, "d": failing(2)}, 300, 0, 2),
    "a fallback that waits does not count": ("add", {"d": failing(2)}, 300, 0, 300),
    "last resort": ("plain", {"a": DOWN, "b": DOWN, "c": DOWN}, 300, 0, 20),
    "no check": ("free", {"a": failing(2)}, 300, 0, 300),
}
"""The pool, what is believed, the TTL when all is well, the least one, and the one that serves."""


@pytest.mark.parametrize(("pool", "verdicts", "ceiling", "min_ttl", "ttl"), TTLS.values(), ids=TTLS.keys())
def test_ttl(pool: str, verdicts: dict[str, Verdict], ceiling: int, min_ttl: int, ttl: int) -> None:
    of = ZONE.model_copy(update={"min_ttl": min_ttl})
    assert choice(pool, live_set(of, verdicts), of).ttl(of, ceiling) == ttl


# --- families ------------------------------------------------------------------------------------------

MIXED = zone("""
    hosts:
      four: 192.0.2.1
      both: [192.0.2.2, "2001:db8::2"]
    pools: {main: {hosts: [four, both], check: smtp}}
    records: {one: {pool: main}}
""")


@pytest.mark.parametrize(
    ("verdicts", "a", "aaaa"),
    [
        ({}, {"four": 1, "both": 1}, {"both": 1}),
        ({"192.0.2.2": DOWN}, {"four": 1}, {"both": 1}),
        ({"2001:db8::2": DOWN}, {"four": 1, "both": 1}, {}),
        ({"both": DOWN}, {"four": 1}, {}),
        ({"four": DOWN, "192.0.2.2": DOWN}, {}, {"both": 1}),
        ({"four": DOWN, "both": DOWN}, {"four": 1, "both": 1}, {"both": 1}),
    ],
    ids=[
        "all live",
        "half a host",
        "only IPv6 down",
        "host down",
        "no IPv4 left",
        "last resort: all addresses",
    ],
)
def test_each_family_deals_the_pools_live_addresses(
    verdicts: dict[str, Verdict], a: dict[str, int], aaaa: dict[str, int]
) -> None:
    found = choice("main", live_set(MIXED, verdicts), MIXED)
    assert {one.host: len(one.of("A")) for one in found.of("A")} == a
    assert {one.host: len(one.of("AAAA")) for one in found.of("AAAA")} == aaaa


def test_a_long_chain_of_fallbacks_is_followed_to_its_end() -> None:
    """No recursion: what `check` accepts must not break the process that serves it."""
    pools = "\n".join(f"  p{n}: {{hosts: [m{n}], fallback: p{n + 1}}}" for n in range(1500))
    hosts = "\n".join(f"  m{n}: 192.0.2.1" for n in range(1501))
    made = zone(f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{hosts}\npools:\n{pools}\n  p1500: {{hosts: [m1500]}}\n")
    drained = {(made.name, f"m{n}"): Forced.DRAINED for n in range(1500)}
    found = choose(made, made.pool_by_name["p0"], LiveSet(forced=drained))
    assert found.hosts == ("m1500",)
