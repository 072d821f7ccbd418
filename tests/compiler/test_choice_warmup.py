"""Ceilings of hosts that warm up: absolute, whatever becomes of the others; the last resort included."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.answers import service_weights
from geodns.compiler.choice import Choice, LastResort, choose, shares
from geodns.compiler.compile import Compiled, compile_zones, pools_by_host, recompile_pools
from geodns.compiler.live_set import LiveSet
from geodns.model.base import FAMILIES
from geodns.model.state import Forced, Verdict
from geodns.model.warmup import Warmup
from geodns.model.zone import Zone
from geodns.responder.views import BUCKETS
from tests.compiler.test_choice_random import worlds
from tests.sample_zones import DOWN, NAME, live_set, sources, zone

ZONE = zone("""
    hosts:
      a: 192.0.2.1
      b: 192.0.2.2
      "new[1-2]": {address: "192.0.2.1[1-2]", warmup: {plan: sendgrid, start: 2026-12-01}}
      r: 192.0.2.31
      o: 192.0.2.41
    pools:
      main:   {hosts: [a, b, "new*"], fallback: rest, volume: 200000}
      rest:   {hosts: [r], volume: 1000}
      lone:   {hosts: [a, "new*"], volume: 200000}
      strict: {hosts: [a, "new*"], volume: 200000, when_down: servfail}
      spill:  {hosts: [a, "new*"], volume: 200000, overflow: over}
      cold:   {hosts: ["new*"], volume: 200000, overflow: over}
      over:   {hosts: [o], volume: 1}
      inward: {hosts: [a, "new*"], mail: in}
    records:
      lone: {pool: lone}
      strict: {pool: strict}
""")


def world(bad: Mapping[str, Verdict | Forced] | None = None, ceiling: str = "1/10") -> LiveSet:
    verdicts = {name: one for name, one in (bad or {}).items() if isinstance(one, Verdict)}
    forced = {name: one for name, one in (bad or {}).items() if isinstance(one, Forced)}
    ceilings = {(NAME, host): Fraction(ceiling) for host in ("new1", "new2")}
    return replace(live_set(ZONE, verdicts, forced=forced), ceilings=ceilings)


def choice(pool: str, live: LiveSet) -> Choice:
    return choose(ZONE, ZONE.pool_by_name[pool], live)


@pytest.mark.parametrize(
    ("pool", "bad", "found", "using", "resort"),
    [
        pytest.param("main", {}, "a .4 b .4 new1 .1 new2 .1", "main", None, id="the warm take the rest"),
        pytest.param(
            "main", {"a": DOWN}, "b .8 new1 .1 new2 .1", "main", None, id="a failure does not raise them"
        ),
        pytest.param(
            "main", {"a": DOWN, "b": DOWN}, "new1 .1 new2 .1 r .8", "main rest", None, id="nor a fallback"
        ),
        pytest.param(
            "lone", {"a": DOWN}, "a .8 new1 .1 new2 .1", "lone", "down", id="the last resort: warm, down"
        ),
        pytest.param(
            "lone", {"a": Forced.DRAINED}, "a .8 new1 .1 new2 .1", "lone", "drained", id="warm, drained"
        ),
        pytest.param("lone", {"a": Forced.DOWN}, "", "", "servfail", id="an order stays an order"),
        pytest.param(
            "lone",
            {"a": DOWN, "new1": DOWN, "new2": DOWN},
            "a .8 new1 .1 new2 .1",
            "lone",
            "down",
            id="all down",
        ),
        pytest.param("strict", {"a": DOWN}, "", "", "servfail", id="servfail"),
        pytest.param("strict", {}, "a .8 new1 .1 new2 .1", "strict", None, id="servfail while all is well"),
        pytest.param(
            "spill", {"a": DOWN}, "new1 .1 new2 .1 o .8", "spill over", None, id="overflow before the down"
        ),
        pytest.param("spill", {}, "a .8 new1 .1 new2 .1", "spill", None, id="overflow only where needed"),
        pytest.param(
            "spill",
            {"a": DOWN, "new1": DOWN, "new2": DOWN},
            "o 1",
            "over",
            None,
            id="overflow before the last resort",
        ),
        pytest.param(
            "spill", {"a": DOWN, "o": DOWN}, "a .8 new1 .1 new2 .1", "spill", "down", id="overflow down"
        ),
        pytest.param("cold", {}, "new1 .1 new2 .1 o .8", "cold over", None, id="everybody warms up"),
        pytest.param(
            "cold", {"o": DOWN}, "new1 .1 new2 .1 o .8", "cold over", "down", id="the overflow's, down"
        ),
        pytest.param("cold", {"o": Forced.DOWN}, "", "", "servfail", id="nobody warm at all"),
        pytest.param("inward", {}, "a .33 new1 .33 new2 .33", "inward", None, id="it receives"),
    ],
)
def test_who_is_dealt(pool: str, bad: Mapping[str, Any], found: str, using: str, resort: str | None) -> None:
    deal = choice(pool, world(bad)).of("A")
    wished = dict(zip(found.split()[::2], map(float, found.split()[1::2]), strict=True))
    got = shares(deal.dealt)
    assert set(got) == set(wished)
    for host, share in wished.items():
        assert float(got[host]) == pytest.approx(share, abs=0.01)
    assert (" ".join(deal.using), deal.last_resort) == (using, resort)
    if pool != "inward":
        assert all(got.get(host, 0) <= Fraction(1, 10) for host in ("new1", "new2"))


def test_without_a_ceiling_a_host_that_warms_up_gets_nothing() -> None:
    """Before the service has said anything, as in a zone that was just read."""
    deal = choice("main", live_set(ZONE)).of("A")
    assert deal.hosts == ("a", "b")
    assert deal.warmup == {"new1": 0, "new2": 0}


@pytest.mark.parametrize(
    ("pool", "note"),
    [
        ("lone", "no warm host in pool lone is live: hosts are dealt that are down"),
        ("strict", "no warm host in pool strict is live"),
    ],
)
def test_the_answer_says_that_only_warm_hosts_are_out(pool: str, note: str) -> None:
    """For the extended error (RFC 8914): those that warm up live."""
    compiled = compile_zones(Compiled(), sources(ZONE), world({"a": DOWN}))
    (rotation,) = (
        one for key, one in compiled.table.rotations.items() if (key.tiers[0][0], key.type) == (pool, "A")
    )
    assert rotation.note == note
    assert rotation.servfail == (pool == "strict")


@pytest.mark.parametrize(("rtype", "more"), [("MX", "preference: 10"), ("SRV", "port: 25, priority: 1")])
def test_of_two_pools_at_one_rank_none_raises_its_share(rtype: str, more: str) -> None:
    """Where the first has named the warm hosts of the second, only those that warm up would be left there."""
    one = zone(f"""
        hosts:
          a: 192.0.2.1
          new1: {{address: 192.0.2.2, warmup: {{plan: sendgrid, start: 2026-12-01}}}}
        pools:
          warm: {{hosts: [a]}}
          both: {{hosts: [a, new1], volume: 1000}}
        records:
          x: {{{rtype}: [{{pool: warm, {more}}}, {{pool: both, {more}}}]}}
    """)
    live = replace(live_set(one), ceilings={(NAME, "new1"): Fraction(1, 10)})
    compiled = compile_zones(Compiled(), sources(one), live)
    (rotation,) = (found for key, found in compiled.table.rotations.items() if key.type == rtype)
    assert {host for part in rotation.parts for hosts in part.sets for host in hosts} == {"a"}


def test_one_that_is_warm_is_dealt_by_weight() -> None:
    deal = choice("main", world(ceiling="1")).of("A")
    assert set(shares(deal.dealt).values()) == {Fraction(1, 4)}
    assert deal.warmup == {}


@pytest.mark.parametrize(
    ("bad", "using"),
    [
        pytest.param({"a": DOWN}, "main", id="half of the warm ones are enough"),
        pytest.param({"a": DOWN, "new1": DOWN, "new2": DOWN}, "main", id="those that warm up do not count"),
        pytest.param({"a": DOWN, "b": DOWN}, "main rest", id="nor above the line"),
    ],
)
def test_min_live_leaves_out_those_that_warm_up(bad: Mapping[str, Verdict], using: str) -> None:
    assert " ".join(choice("main", world(bad)).of("A").using) == using


def test_the_factor_is_what_is_left_of_the_share() -> None:
    deal = choice("main", world()).of("A")
    new = next(one for one in deal.dealt if one.host == "new1")
    assert float(new.factors["warmup"]) == pytest.approx(0.1 / 0.25, abs=0.01)
    assert deal.warmup["new1"] == new.factors["warmup"]


def test_the_factor_is_the_same_for_a_host_of_both_families() -> None:
    one = zone("""
        hosts:
          "old[1-3]": {address: ["192.0.2.[1-3]", "2001:db8::[1-3]"]}
          new: {address: [192.0.2.4, "2001:db8::4"], warmup: {plan: sendgrid, start: 2026-12-01}}
        pools: {main: {hosts: ["old*", new], volume: 1000}}
        records: {"@": {pool: main, MX: {pool: main, preference: 10}}}
    """)
    live = replace(live_set(one), ceilings={(NAME, "new"): Fraction(1, 10)})
    found = choose(one, one.pool_by_name["main"], live)
    left = [found.of(rtype).warmup["new"] for rtype in ("A", "AAAA", "MX")]
    assert len(set(left)) == 1
    assert float(left[0]) == pytest.approx(0.1 / 0.25, abs=0.01)


@pytest.mark.parametrize(
    ("pool", "bad", "ceiling", "buckets", "rest"),
    [
        pytest.param("lone", {}, "1/10", 409, "a", id="the warm ones take the rest"),
        pytest.param("lone", {"a": DOWN}, "1/10", 409, "a", id="in the last resort too"),
        pytest.param("cold", {}, "1/10", 409, "o", id="the overflow takes the rest"),
        pytest.param("cold", {}, "2/5", 1638, "o", id="and no more"),
        pytest.param("cold", {}, "2/3", 2048, "", id="enough without a warm one"),
    ],
)
def test_where_clients_have_their_hosts_ceilings_are_of_buckets(
    pool: str, bad: Mapping[str, Any], ceiling: str, buckets: int, rest: str
) -> None:
    one = ZONE.pool_by_name[pool].model_copy(update={"pick": "client", "answers": 2})
    deal = choose(ZONE, one, world(bad, ceiling)).of("A")
    found = {entry.host: entry.units for entry in deal.dealt}
    if rest:
        assert found == {"new1": buckets, "new2": buckets, rest: BUCKETS - 2 * buckets}
        left = deal.warmup["new1"]
        assert left == min(1, Fraction(buckets, BUCKETS) * len(found))
    else:
        assert found.keys() == {"new1", "new2"}
        assert all(abs(units - buckets) < BUCKETS / 10 for units in found.values() if units)
    for row in deal.rows:
        assert not {"new1", "new2"} & {deal.dealt[host].host for host in row[1:]}, (
            "they lead or are not there"
        )


def test_a_change_of_an_overflow_reaches_the_pool() -> None:
    assert (NAME, "cold") in pools_by_host(ZONE)["o"]
    before = compile_zones(Compiled(), sources(ZONE), world())
    after = recompile_pools(before, pools_by_host(ZONE)["o"], world({"o": DOWN}))
    assert after.choices[NAME, "cold"].last_resort is LastResort.DOWN


@st.composite
def warming_worlds(draw: st.DrawFn) -> tuple[Zone, LiveSet]:
    """Draw a zone in which some hosts warm up, and what is believed of all."""
    one, live = draw(worlds())
    names = [host.name for host in one.hosts]
    plan = Warmup(plan="sendgrid", start="2026-12-01")
    new = draw(st.sets(st.sampled_from(names), min_size=1))
    hosts = tuple(
        host.model_copy(update={"warmup": plan}) if host.name in new else host for host in one.hosts
    )
    overflows = st.sampled_from([None, *(pool.name for pool in one.pools)])
    pick = draw(st.sampled_from(("rotation", "client")))
    pools = tuple(
        pool.model_copy(update={"overflow": draw(overflows), "volume": 1000, "pick": pick})
        for pool in one.pools
    )
    ceilings = {(NAME, name): draw(st.fractions(0, 1)) for name in sorted(new)}
    return one.model_copy(update={"hosts": hosts, "pools": pools}), replace(live, ceilings=ceilings)


@given(warming_worlds())
def test_no_share_ever_exceeds_its_ceiling(drawn: tuple[Zone, LiveSet]) -> None:
    """Whatever the others do: in A, AAAA, MX and SRV, for first and for random picks."""
    one, live = drawn
    compiled = compile_zones(Compiled(), sources(one), live)
    for key, rotation in compiled.table.rotations.items():
        warming = live.warming(one, one.pool_by_name[key.tiers[0][0]])
        for part in rotation.parts:
            first, uniform, cycle = Counter[str](), Counter[str](), len(part.index)
            for chosen in part.index:
                hosts = part.sets[chosen]
                first[hosts[0]] += 1
                uniform.update(dict.fromkeys(hosts, 12 // len(hosts)))
            for host, ceiling in warming.items():
                assert Fraction(first[host], cycle) <= ceiling
                assert Fraction(uniform[host], 12 * cycle) <= ceiling
    for choice in compiled.choices.values():
        for deal in (*choice.families.values(), choice.mx, choice.srv):
            weights = service_weights(deal.dealt) if deal.dealt and not deal.rows else []
            warming = live.warming(one, one.pool_by_name[choice.pool])
            assert all(part <= warming.get(host, 1) for host, part in shares(deal.dealt).items())
            for entry, weight in zip(deal.dealt, weights, strict=not deal.rows):
                assert Fraction(weight, sum(weights)) <= warming.get(entry.host, 1)
                assert entry.portion > 0
            for entry in deal.dealt:
                assert all(0 <= factor <= 1 for factor in entry.factors.values())


@given(warming_worlds())
def test_a_pool_that_receives_is_left_alone(drawn: tuple[Zone, LiveSet]) -> None:
    one, live = drawn
    for pool in one.pools:
        inward = pool.model_copy(update={"mail": "in"})
        plain = one.model_copy(
            update={"hosts": tuple(host.model_copy(update={"warmup": None}) for host in one.hosts)}
        )
        assert choose(one, inward, live) == choose(plain, pool, live)


@given(warming_worlds())
def test_warm_hosts_that_live_serve_before_anybody_else(drawn: tuple[Zone, LiveSet]) -> None:
    one, live = drawn
    for pool in one.pools:
        found = choose(one, pool, live)
        warming = live.warming(one, pool)
        for family in FAMILIES:
            deal = found.of(family)
            if deal.last_resort in {LastResort.DOWN, LastResort.QUARANTINED, LastResort.DRAINED}:
                fit = [
                    member.host
                    for link in one.chain(pool.name)
                    for member in link.members
                    if member.host not in warming and member.weight
                    for known in (one.host_by_name[member.host],)
                    for fitness in (live.fitness(one, known, one.check_policy_of(link), family),)
                    if family in known.by_family and fitness.live and fitness.factor
                ]
                assert not fit


def test_a_pool_that_receives_knows_nothing_of_reputation() -> None:
    hosts = {(NAME, "a"), (NAME, "new1")}
    live = replace(
        live_set(ZONE, {}, forced={"a": Forced.QUARANTINED, "new2": Forced.QUARANTINED}),
        judged=frozenset({(NAME, "a")}),
        factors={key: {"reputation": Fraction(1, 2), "load": Fraction(1, 4)} for key in hosts},
    )
    assert [(one.host, one.factors) for one in choice("inward", live).mx.dealt] == [
        ("a", {"load": Fraction(1, 4)}),
        ("new1", {"load": Fraction(1, 4)}),
    ]
    assert choice("main", live).mx.hosts == ("b",)
