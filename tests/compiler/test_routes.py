"""Routes and the hosts behind their names: what is compiled, and what is not compiled again."""

import datetime as dt
from fractions import Fraction
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler import routes as routes_module
from geodns.compiler.answers import Source
from geodns.compiler.choice import Deal
from geodns.compiler.compile import Compiled, compile_zones, recompile_pools, set_bars, set_caps
from geodns.compiler.dealt import Dealt
from geodns.compiler.live_set import LiveSet
from geodns.compiler.routes import PRECISION, compile_routes
from geodns.model.routes import RouteRule
from geodns.model.state import Forced
from geodns.model.views import PoolRule
from geodns.model.warmup import ProviderCap, Warmup
from geodns.model.zone import Zone
from geodns.responder.route_table import CompiledRule, RouteTarget
from tests.sample_zones import DOWN, NAME, ORIGIN, SERIAL, live_set, sources, zone

OTHER = "other.example.net"


def with_fields(one: Zone, **given: Any) -> Zone:
    fields = {name: getattr(one, name) for name in Zone.model_fields}
    return Zone(**{**fields, **given})


def routed(text: str, *uses: str, name: str = NAME, **given: Any) -> Zone:
    """Return a zone with a rule for each of these names."""
    one = zone(text, name)
    rules = [RouteRule(use=one.origin if use == "@" else f"{use}.{one.origin}") for use in uses]
    return with_fields(one, routes=tuple(rules), **given)


def compiled(*zones: Zone, live: LiveSet | None = None) -> Compiled:
    return compile_zones(Compiled(), sources(*zones), live or LiveSet())


def target(found: Compiled, use: str, name: str = NAME) -> RouteTarget:
    return found.table.targets[name, name if use == "@" else f"{use}.{name}"]


POOLS = """
    hosts:
      a: {address: [192.0.2.1, "2001:db8::1"], weight: 5}
      b: {address: 192.0.2.2, weight: 3}
      c: {address: 192.0.2.3, weight: 2}
      d: 192.0.2.4
      e: "2001:db8::5"
    pools:
      main:  {hosts: [a, b, c], check: smtp}
      other: {hosts: [d], check: smtp}
      short: {hosts: [c], check: smtp, fallback: other}
      mixed: {hosts: [d, e], check: smtp}
      strict: {hosts: [d], check: smtp, when_down: servfail}
    records:
      "@":    {pool: main, MX: {pool: main, preference: 10}}
      fast:   {pool: main}
      other:  {pool: other}
      short:  {pool: short}
      four:   {A: {pool: mixed}}
      six:    {AAAA: {pool: mixed}}
      both:   {pool: mixed}
      strict: {pool: strict}
      mail:   {MX: {pool: main, preference: 10}}
      apart:  {A: {pool: main}, AAAA: {pool: mixed}}
"""


@pytest.fixture(scope="module")
def one() -> Zone:
    return routed(POOLS, "fast", "@", "short", "fast", "four", "six", "both", "strict", "mail", "apart")


# --- rules ----------------------------------------------------------------------------------------------


def test_a_rule_is_compiled_as_it_stands() -> None:
    rule = RouteRule(
        recipient=("*@*.bank.example",),
        sender=("<>",),
        mail_class=("tx",),
        provider=("google",),
        client=(ip_network("192.0.2.0/30"), ip_network("2001:db8::1")),
        sasl=("Ann*",),
        over=5,
        use=f"fast.{ORIGIN}",
        deal="host",
        port=587,
    )
    found = compile_routes(with_fields(zone(POOLS), routes=(rule,), local=("example.com",)))
    assert found is not None
    number = int(ip_network("2001:db8::1")[0])
    assert found.rules == (
        CompiledRule(
            1,
            rule.digest,
            ("*@*.bank.example",),
            ("<>",),
            ("tx",),
            ("google",),
            ((0xC0000200, 0xC0000203, False), (number, number, True)),
            ("ann*",),
            5,
            f"fast.{NAME}",
            True,
            587,
        ),
    )
    assert (found.zone, found.local) == (NAME, ("example.com",))
    assert "index" in vars(found), "made before it travels"


def test_a_zone_without_rules_has_no_routes() -> None:
    found = compiled(zone(POOLS))
    assert not found.table.routes
    assert not found.table.targets


# --- targets --------------------------------------------------------------------------------------------


def test_the_hosts_behind_a_name(one: Zone) -> None:
    found = compiled(one)
    assert target(found, "fast") == RouteTarget(
        NAME, f"fast.{NAME}", "main", {"a": 5, "b": 3, "c": 2}, ("a", "b", "c")
    )
    assert target(found, "@").name == NAME
    assert target(found, "short").hosts == ("c", "d"), "its fallback's, too"
    assert (NAME, f"mail.{NAME}") not in found.table.targets, "MX alone has no address"
    assert {name for _, name in found.table.targets} == {
        *(f"{name}.{NAME}" for name in ("fast", "short", "four", "six", "both", "strict", "apart")),
        NAME,
    }


@pytest.mark.parametrize(
    ("down", "use", "weights"),
    [
        ({}, "four", {"d": 1}),
        ({}, "six", {"e": 1}),
        ({}, "both", {"d": 1, "e": 1}),
        ({"e"}, "six", {}),
        ({"e"}, "both", {"d": 1}),
        ({"192.0.2.1"}, "fast", {"a": 5, "b": 3, "c": 2}),
        ({"a"}, "fast", {"b": 3, "c": 2}),
        ({"a", "b", "c"}, "fast", {}),
        ({"c"}, "short", {"d": 1}),
        ({"d"}, "strict", {}),
        ({"192.0.2.1"}, "apart", {"b": 3, "c": 2}),
    ],
)
def test_the_live_hosts_are_those_of_the_families_that_the_name_deals(
    one: Zone, down: set[str], use: str, weights: dict[str, int]
) -> None:
    found = target(compiled(one, live=live_set(one, dict.fromkeys(down, DOWN))), use)
    assert found.weights == weights


def test_hosts_of_pools_that_some_clients_are_dealt_count_as_its_hosts(one: Zone) -> None:
    """With a rule by client the name may answer another pool: an MTA of that must not be told the name."""
    rules = tuple(
        rule.model_copy(
            update={
                "tiers": tuple(
                    tier.model_copy(update={"rules": (PoolRule(use="other", subnets=(ip_network("::/0"),)),)})
                    for tier in rule.tiers
                )
            }
        )
        for rule in one.rules
    )
    found = target(compiled(with_fields(one, rules=rules)), "fast")
    assert (found.pool, found.hosts) == ("main", ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("portions", "expected"),
    [
        ([Fraction(1, 3), Fraction(1, 2)], [2, 3]),
        ([Fraction(50), Fraction(100)], [1, 2]),
        ([Fraction(2**31 - 1), Fraction(1)], [PRECISION - 1, 1]),
        ([Fraction(1, 2**61 - 1), Fraction(1, 2**31 - 1), Fraction(1)], [1, 1, PRECISION - 1]),
    ],
)
def test_weights_are_whole_numbers(portions: list[Fraction], expected: list[int]) -> None:
    dealt = tuple(Dealt(f"m{at}", (), 1, {"load": one}) for at, one in enumerate(portions))
    found = list(routes_module._weights(Deal("p", dealt=dealt)).values())
    assert all(abs(one - other) <= 1 for one, other in zip(found, expected, strict=True))
    assert min(found) >= 1


@given(st.lists(st.fractions(min_value=Fraction(1, 10**6), max_value=2**31), min_size=1, max_size=30))
def test_weights_keep_their_proportion(portions: list[Fraction]) -> None:
    dealt = tuple(Dealt(f"m{at}", (), 1, {"load": one}) for at, one in enumerate(portions))
    found = routes_module._weights(Deal("p", dealt=dealt))
    assert sum(found.values()) <= PRECISION + len(portions)
    for one, portion in zip(found.values(), portions, strict=True):
        assert abs(one / sum(found.values()) - portion / sum(portions)) < 1e-4


# --- what hosts may get of providers ----------------------------------------------------------------------


def test_hosts_that_warm_up_are_capped_while_they_do(one: Zone) -> None:
    plan = Warmup(
        plan=(100, 1000),
        start=dt.date(2026, 12, 1),
        provider_caps=(ProviderCap(provider="google", amount=50, percent=True),),
    )
    hosts = tuple(
        host.model_copy(update={"warmup": plan}) if host.name in "bc" else host for host in one.hosts
    )
    warming = with_fields(one, hosts=hosts)
    live = LiveSet(ceilings={(NAME, "b"): Fraction(1, 10), (NAME, "c"): Fraction(1)})
    before = compiled(warming, live=live)
    assert target(before, "fast").capped == {"google": frozenset("b")}
    share = Fraction(target(before, "fast").weights["b"], sum(target(before, "fast").weights.values()))
    assert Fraction(9, 100) < share <= Fraction(1, 10)
    over = LiveSet(ceilings={(NAME, "b"): Fraction(1), (NAME, "c"): Fraction(1)})
    after = recompile_pools(before, [(NAME, pool.name) for pool in one.pools], over)
    assert target(after, "fast").capped == {}
    assert target(after, "fast").weights == {"a": 5, "b": 3, "c": 2}


def test_hosts_are_capped_too_while_the_day_allows_more_than_their_pools_send(one: Zone) -> None:
    before = compiled(one)
    after = set_caps(before, {(NAME, "a"): frozenset({"google", "yahoo"}), (NAME, "d"): frozenset({"gmx"})})
    assert target(after, "fast").capped == {"google": frozenset("a"), "yahoo": frozenset("a")}
    assert target(after, "short").capped == {"gmx": frozenset("d")}
    assert set_caps(after, dict(after.caps)) is after
    edited = compile_zones(after, sources(one), LiveSet())
    assert target(edited, "fast") is target(after, "fast"), "an edit keeps them"
    assert target(set_caps(after, {}), "fast").capped == {}


def test_providers_bar_hosts(one: Zone) -> None:
    other = routed(POOLS, "fast", name=OTHER)
    before = compiled(one, other)
    after = set_bars(before, {(NAME, "a"): frozenset({"google", "yahoo"}), (NAME, "d"): frozenset({"gmx"})})
    assert target(after, "fast").barred == {"google": frozenset("a"), "yahoo": frozenset("a")}
    assert target(after, "short").barred == {"gmx": frozenset("d")}
    assert target(after, "fast", OTHER) is target(before, "fast", OTHER)
    assert set_bars(after, dict(after.bars)) is after
    edited = compile_zones(after, sources(one, other), LiveSet())
    assert target(edited, "fast") is target(after, "fast"), "an edit keeps bars, and what comes to the same"
    assert target(set_bars(after, {}), "fast").barred == {}
    unknown = set_bars(before, {(NAME, "gone"): frozenset({"gmx"})})
    assert unknown.table is before.table


# --- only what a change touches -------------------------------------------------------------------------


def moved(before: Compiled, after: Compiled) -> set[str]:
    return {
        key[1].removesuffix(f".{key[0]}")
        for key, one in after.table.targets.items()
        if before.table.targets.get(key) is not one
    }


def test_a_flip_touches_the_names_of_its_pool_alone(one: Zone) -> None:
    before = compiled(one, zone(POOLS, OTHER))
    after = recompile_pools(before, [(NAME, "main"), (NAME, "short")], live_set(one, {"a": DOWN}))
    assert moved(before, after) == {NAME, "fast", "apart"}
    assert after.table.routes is before.table.routes


def test_a_flip_of_a_pool_that_no_rule_uses_compiles_nothing(
    one: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = zone(POOLS, OTHER)
    before = compiled(one, plain)
    monkeypatch.setattr("geodns.compiler.compile.compile_target", None)
    after = recompile_pools(before, [(OTHER, "main")], live_set(plain, {"a": DOWN}))
    assert after.table.rotations != before.table.rotations
    assert after.table.targets is before.table.targets
    forced = recompile_pools(after, [(NAME, "other")], live_set(one, forced={"d": Forced.DRAINED}))
    assert forced is not after
    assert forced.table.targets is before.table.targets


def edited(before: Compiled, *zones: Zone) -> Compiled:
    return compile_zones(before, {one.name: Source(one, SERIAL) for one in zones}, LiveSet())


def test_an_edit_keeps_the_rules_that_it_leaves_alone(one: Zone) -> None:
    other = routed(POOLS, "fast", name=OTHER)
    before = compiled(one, other)
    more_hosts = with_fields(one, ttl=60)
    after = edited(before, more_hosts, other)
    assert after.table.routes[NAME] is before.table.routes[NAME]
    assert after.table.routes[OTHER] is before.table.routes[OTHER]
    assert moved(before, after) == set()
    read_again = routed(
        POOLS, *(rule.use.removesuffix(f".{ORIGIN}") if rule.use != ORIGIN else "@" for rule in one.routes)
    )
    assert edited(before, read_again, other).table.routes[NAME] is before.table.routes[NAME]
    local = edited(before, with_fields(one, local=("example.com",)), other)
    assert local.table.routes[NAME].local == ("example.com",)
    assert moved(before, local) == set()


def test_what_is_gone_leaves_nothing(one: Zone) -> None:
    other = routed(POOLS, "fast", name=OTHER)
    before = compiled(one, other)
    fewer = edited(before, with_fields(one, routes=one.routes[:1]), other)
    assert {key for key in fewer.table.targets if key[0] == NAME} == {(NAME, f"fast.{NAME}")}
    none = edited(before, with_fields(one, routes=()), other)
    assert none.table.routes.keys() == {OTHER}
    assert {key[0] for key in none.table.targets} == {OTHER}
    assert edited(before, one).table.routes.keys() == {NAME}
    assert {key[0] for key in edited(before, one).table.targets} == {NAME}
    assert not edited(before).table.targets
    hostless = POOLS.replace("hosts: [a, b, c]", "hosts: [b, c]")
    smaller = edited(before, routed(hostless, "fast"), other)
    assert target(smaller, "fast").hosts == ("b", "c")
