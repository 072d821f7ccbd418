"""Which hosts a pool deals: every rule of the choice, one by one."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import pytest

from geodns.compiler.choice import Choice, Deal, LastResort, choose
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
      free:    {hosts: [a, b], check: none}
      add:     {hosts: [a, b, c], check: smtp, fallback: last}
      count:   {hosts: [a, b, c], check: smtp, fallback: last, min_live: 2}
      nought:  {hosts: [a, b, c], check: smtp, fallback: last, min_live: 0}
      swap:    {hosts: [a, b, c], check: smtp, fallback: last, fallback_mode: replace}
      chain:   {hosts: [a, b], check: smtp, fallback: middle}
      hop:     {hosts: [a, b], check: smtp, fallback: through, fallback_mode: replace}
      through: {hosts: [c], check: smtp, fallback: last, fallback_mode: replace}
      middle:  {hosts: [c], check: smtp, fallback: last}
      shared:  {hosts: {a: 7, b: 1}, check: smtp, fallback: overlap}
      overlap: {hosts: {a: 1, d: 5}, check: none}
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
    assert {one.host: one.weight for one in found.mx.dealt} == {"a": 7}
    found = choice("shared", live_set(ZONE, {"a": DOWN}))
    assert {one.host: one.weight for one in found.mx.dealt} == {"b": 1, "a": 1, "d": 5}


def test_a_forced_weight_stands_instead_of_every_pools_own() -> None:
    live = replace(live_set(ZONE, {}), weights={(ZONE.name, host): 7 for host in ZONE.host_by_name})
    for pool in ZONE.pools:
        assert {one.weight for one in choose(ZONE, pool, live).mx.dealt} == {7}


def test_a_forced_weight_of_0_is_never_dealt_not_even_as_a_last_resort() -> None:
    live = replace(live_set(ZONE, {}), weights={(ZONE.name, host): 0 for host in ZONE.host_by_name})
    for pool in ZONE.pools:
        found = choose(ZONE, pool, live)
        assert (found.mx.dealt, found.last_resort) == ((), LastResort.SERVFAIL)


def test_factors_lower_the_weight_and_0_takes_a_host_out() -> None:
    half, nought = {"warm-up": Fraction(1, 2)}, {"load": Fraction(0)}
    found = choice(
        "plain", live_set(ZONE, {"b": Verdict(HealthState.UP, level=1)}, factors={"a": half, "c": nought})
    )
    assert {one.host: one.effective for one in found.mx.dealt} == {"a": 25, "b": 15}


def test_the_last_resort_knows_no_factors() -> None:
    live = live_set(
        ZONE,
        {**dict.fromkeys("bc", DOWN)},
        factors={"a": {"load": Fraction(0)}, "b": {"load": Fraction(1, 2)}},
    )
    found = choice("plain", live)
    assert found.last_resort is LastResort.DOWN
    assert {one.host: one.effective for one in found.mx.dealt} == {"a": 50, "b": 30, "c": 20}


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
    checks:
      smtp: {interval: 10s, fast_interval: 2s, rise: 2, fall: 3}
    hosts:
      a: {address: [192.0.2.1, "2001:db8::1"], weight: 5}
      b: {address: [192.0.2.2, "2001:db8::2"], weight: 3}
      four: 192.0.2.4
      six: "2001:db8::6"
      r: [192.0.2.9, "2001:db8::9"]
    pools:
      alone:  {hosts: [a, b], check: smtp}
      main:   {hosts: [a, b], check: smtp, fallback: back}
      mixed:  {hosts: [four, b], check: smtp}
      old:    {hosts: [four], check: smtp, fallback: back}
      count:  {hosts: [a, four], check: smtp, fallback: back, min_live: 2}
      strict: {hosts: [a, b], check: smtp, when_down: servfail}
      back:   {hosts: [r], check: smtp}
      only:   {hosts: [four], check: smtp}
      resting: {hosts: {four: 1, six: 0}, check: smtp}
    records: {one: {pool: main}}
""")
A, B = {"192.0.2.1": DOWN}, {"192.0.2.2": DOWN}
BOTH_OFF_4 = {**A, **B}


class Families(NamedTuple):
    """What a pool deals in A, in AAAA and names in MX, as `hosts <- pools (last resort)`."""

    pool: str
    bad: Mapping[str, Verdict | Forced]
    a: str
    aaaa: str
    mx: str


def drawn(deal: Deal) -> str:
    resort = f" ({deal.last_resort})" if deal.last_resort else ""
    return f"{' '.join(deal.hosts)} <- {' '.join(deal.using)}{resort}"


FAMILY_CASES = {
    "all live": Families("main", {}, "a b <- main", "a b <- main", "a b <- main"),
    "the issue: both dead on IPv4, a fallback serves": Families(
        "main", BOTH_OFF_4, "r <- back", "a b <- main", "a b r <- main back"
    ),
    "both dead on IPv4, no fallback": Families(
        "alone", BOTH_OFF_4, "a b <- alone (down)", "a b <- alone", "a b <- alone"
    ),
    "half a host: too little weight is left on IPv4": Families(
        "main", A, "b r <- main back", "a b <- main", "a b r <- main back"
    ),
    "half a host: enough is left": Families("main", B, "a <- main", "a b <- main", "a b <- main"),
    "each family loses another": Families(
        "alone", {**A, "2001:db8::2": DOWN}, "b <- alone", "a <- alone", "a b <- alone"
    ),
    "the chain dead on IPv4": Families(
        "main", {**BOTH_OFF_4, "192.0.2.9": DOWN}, "a b r <- main back (down)", "a b <- main", "a b <- main"
    ),
    "SERVFAIL in one family": Families(
        "strict", BOTH_OFF_4, " <-  (servfail)", "a b <- strict", "a b <- strict"
    ),
    "min_live counts those that have the family": Families(
        "count", {}, "a four <- count", "a <- count", "a four <- count"
    ),
    "only who has it is the last resort": Families(
        "mixed", {"b": DOWN}, "four <- mixed", "b <- mixed (down)", "four <- mixed"
    ),
    "drained, the only one with IPv6": Families(
        "mixed", {"b": DRAINED}, "four <- mixed", "b <- mixed (drained)", "four <- mixed"
    ),
    "forced down, the only one with IPv6": Families(
        "mixed", {"b": FORCED_DOWN}, "four <- mixed", " <-  (servfail)", "four <- mixed"
    ),
    "all dead": Families(
        "mixed",
        {"b": DOWN, "four": DOWN},
        "b four <- mixed (down)",
        "b <- mixed (down)",
        "b four <- mixed (down)",
    ),
    "the better last resort in MX": Families(
        "mixed",
        {"b": DRAINED, "four": DOWN},
        "four <- mixed (down)",
        "b <- mixed (drained)",
        "four <- mixed (down)",
    ),
    "only the fallback has IPv6": Families("old", {}, "four <- old", "r <- back", "four <- old"),
    "only the fallback has IPv6, IPv4 falls": Families(
        "old", {"four": DOWN}, "r <- back", "r <- back", "r <- back"
    ),
    "IPv4 falls, and the fallback lives on IPv6 alone": Families(
        "old", {"four": DOWN, "192.0.2.9": DOWN}, "four r <- old back (down)", "r <- back", "r <- back"
    ),
    "nobody has IPv6": Families("only", {}, "four <- only", " <- ", "four <- only"),
    "nobody has IPv6, all down": Families(
        "only", {"four": DOWN}, "four <- only (down)", " <- ", "four <- only (down)"
    ),
    "nobody with IPv6 has weight": Families("resting", {}, "four <- resting", " <- ", "four <- resting"),
}


@pytest.mark.parametrize("case", FAMILY_CASES.values(), ids=FAMILY_CASES.keys())
def test_families_are_judged_apart(case: Families) -> None:
    live = live_set(
        MIXED,
        {name: state for name, state in case.bad.items() if isinstance(state, Verdict)},
        forced={name: state for name, state in case.bad.items() if isinstance(state, Forced)},
    )
    found = choice(case.pool, live, MIXED)
    assert (drawn(found.of("A")), drawn(found.of("AAAA")), drawn(found.mx)) == (case.a, case.aaaa, case.mx)


def test_a_pools_own_are_the_union_and_the_worst_of_its_families() -> None:
    found = choice("main", live_set(MIXED, {**BOTH_OFF_4, "192.0.2.9": DOWN}), MIXED)
    assert (found.using, found.last_resort) == (("main", "back"), LastResort.DOWN)
    assert (found.live, found.hosts) == (("a", "b"), ("a", "b", "r"))
    found = choice("main", live_set(MIXED, BOTH_OFF_4), MIXED)
    assert (found.using, found.last_resort, found.live) == (("main", "back"), None, ("a", "b", "r"))


def test_an_answer_has_the_live_addresses_of_its_family_and_mx_those_of_both() -> None:
    found = choice("alone", live_set(MIXED, A), MIXED)
    addresses = {
        rtype: {one.host: [str(address) for address in one.addresses] for one in found.of(rtype).dealt}
        for rtype in ("A", "AAAA", "MX")
    }
    assert addresses == {
        "A": {"b": ["192.0.2.2"]},
        "AAAA": {"a": ["2001:db8::1"], "b": ["2001:db8::2"]},
        "MX": {"a": ["2001:db8::1"], "b": ["192.0.2.2", "2001:db8::2"]},
    }


def test_the_ttl_is_that_of_the_family() -> None:
    found = choice("alone", live_set(MIXED, {"192.0.2.1": failing(2)}), MIXED)
    assert [found.of(rtype).ttl(MIXED, 300) for rtype in ("A", "AAAA", "MX")] == [5, 300, 5]
    found = choice("main", live_set(MIXED, BOTH_OFF_4), MIXED)
    assert [found.of(rtype).ttl(MIXED, 300) for rtype in ("A", "AAAA", "MX")] == [20, 300, 20]


def test_shedding_in_one_family_lowers_the_weight_there_and_mx_follows_the_better_one() -> None:
    found = choice("alone", live_set(MIXED, {"192.0.2.1": Verdict(HealthState.UP, level=1)}), MIXED)
    weights = {
        rtype: {one.host: one.effective for one in found.of(rtype).dealt} for rtype in ("A", "AAAA", "MX")
    }
    assert weights == {"A": {"a": Fraction(5, 2), "b": 3}, "AAAA": {"a": 5, "b": 3}, "MX": {"a": 5, "b": 3}}


def test_a_long_chain_of_fallbacks_is_followed_to_its_end() -> None:
    """No recursion: what `check` accepts must not break the process that serves it."""
    pools = "\n".join(f"  p{n}: {{hosts: [m{n}], fallback: p{n + 1}}}" for n in range(1500))
    hosts = "\n".join(f"  m{n}: 192.0.2.1" for n in range(1501))
    made = zone(f"ns: {{ns1: 192.0.2.53}}\nhosts:\n{hosts}\npools:\n{pools}\n  p1500: {{hosts: [m1500]}}\n")
    drained = {(made.name, f"m{n}"): Forced.DRAINED for n in range(1500)}
    found = choose(made, made.pool_by_name["p0"], LiveSet(forced=drained))
    assert found.hosts == ("m1500",)
