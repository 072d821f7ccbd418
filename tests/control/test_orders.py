"""Plans of orders: which overrides they set and end, and that a preview shows what is served then."""

import time
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.order_answers import choice_json, pools_json
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.orders import (
    Order,
    OverridePlan,
    Verb,
    cached_for,
    dangers,
    dealt_by,
    describe_pointing,
    expired,
    hidden_edits,
    plan_order,
    pointing_at,
    preview,
    stale_weights,
)
from geodns.control.overrides import Overrides, describe_change, file_weights
from geodns.model.state import Forced, ForcedState, ForcedWeight, HostKey
from geodns.model.zone import Zone
from tests.compiler.test_choice_random import worlds
from tests.sample_zones import DOWN, NAME, UP, live_set, sources, zone

NOW = 1_795_417_200.0
TEXT = """
    hosts:
      mta1: {address: 192.0.2.11, weight: 50}
      mta2: {address: [192.0.2.12, "2001:db8::12"], weight: 30}
      mta3: {address: 192.0.2.13, weight: 20}
    pools:
      main: {hosts: [mta1, mta2], check: smtp, fallback: reserve}
      reserve: {hosts: [mta3]}
    records:
      "@": {pool: main, MX: {pool: main, preference: 10}}
      long: {ttl: 5m, A: {pool: main}}
"""
MTA1, MTA2, MTA3 = ((NAME, f"mta{number}") for number in (1, 2, 3))
DRAINED = ForcedState(Forced.DRAINED, "disk", "ann", NOW - 60)
QUARANTINED = ForcedState(Forced.QUARANTINED, "", "bob", NOW - 60, NOW + 60)
WEIGHT = ForcedWeight(5, "slow", "ann", NOW - 60)


def cluster_of(one: Zone, live: LiveSet | None = None) -> Cluster:
    live = live or live_set(one, {host.name: UP for host in one.hosts})
    cluster = Cluster(live.verdicts, {}, {}, {})
    cluster.serve_zones(compile_zones(Compiled(), sources(one), cluster.live()), NOW)
    cluster.override(
        {host: ForcedState(forced, "", "", NOW) for host, forced in live.forced.items()},
        {host: ForcedWeight(weight, "", "", NOW) for host, weight in live.weights.items()},
    )
    return cluster


def order(verb: Verb, **more: Any) -> Order:
    return Order(verb, "why", "eve", **more)


# --- overrides ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "before", "state", "weight", "notes", "left"),
    [
        pytest.param("drain", (None, None), Forced.DRAINED, None, [], [], id="drain"),
        pytest.param("quarantine", (None, WEIGHT), Forced.QUARANTINED, 5, [], [], id="quarantine"),
        pytest.param("up", (None, None), Forced.UP, None, [], [], id="up"),
        pytest.param("down", (None, None), Forced.DOWN, None, [], [], id="down"),
        pytest.param(
            "drain",
            (QUARANTINED, None),
            Forced.DRAINED,
            None,
            [f"was quarantined by bob (no reason) until {timestamp(NOW + 60)}: this order replaces"],
            [],
            id="drain instead of quarantine",
        ),
        pytest.param(
            "drain", (DRAINED, None), Forced.DRAINED, None, ["by ann (disk): this order"], [], id="again"
        ),
        pytest.param("undrain", (DRAINED, WEIGHT), None, 5, [], [], id="undrain"),
        pytest.param("undrain", (None, None), None, None, ["was not drained"], [], id="undrain nothing"),
        pytest.param(
            "undrain",
            (QUARANTINED, None),
            Forced.QUARANTINED,
            None,
            [],
            ["is not drained but quarantined by bob", "`geodns clear mta1.out.example.com` ends that"],
            id="undrain what is quarantined",
        ),
        pytest.param("weight", (DRAINED, None), Forced.DRAINED, 7, [], [], id="weight"),
        pytest.param(
            "weight", (None, WEIGHT), None, 7, ["weight forced to 5 by ann (slow)"], [], id="reweight"
        ),
        pytest.param("clear", (DRAINED, WEIGHT), None, None, [], [], id="clear both"),
        pytest.param("clear", (QUARANTINED, None), None, None, [], [], id="clear a state"),
        pytest.param("clear", (None, WEIGHT), None, None, [], [], id="clear a weight"),
        pytest.param("clear", (None, None), None, None, ["was not forced"], [], id="clear nothing"),
    ],
)  # fmt: skip
def test_the_overrides_and_notes_of_an_order(
    verb: str,
    before: tuple[ForcedState | None, ForcedWeight | None],
    state: Forced | None,
    weight: int | None,
    notes: list[str],
    left: list[str],
) -> None:
    cluster = cluster_of(zone(TEXT))
    cluster.override({MTA1: before[0]}, {MTA1: before[1]})
    given = order(Verb(verb), seconds=60.0, weight=7 if verb == "weight" else None)
    plan = plan_order(given, [MTA1], cluster, NOW)
    cluster.override(plan.forced, plan.weights)
    forced, heavy = cluster.forced.get(MTA1), cluster.weights.get(MTA1)
    assert (forced and forced.forced, heavy and heavy.weight) == (state, weight)
    assert len(plan.notes) == (1 if notes else 0)
    assert all(part in plan.notes[0] for part in notes)
    assert len(plan.left) == (1 if left else 0)
    assert all(part in plan.left[0] for part in left)
    if forced is not None and forced != before[0]:
        assert forced == ForcedState(forced.forced, "why", "eve", NOW, NOW + 60)
    if heavy is not None and heavy != before[1]:
        file = file_weights(cluster.zone(NAME), "mta1")
        assert heavy == ForcedWeight(7, "why", "eve", NOW, NOW + 60, file)


@pytest.mark.parametrize(
    ("before", "replaced"),
    [
        pytest.param(None, True, id="nothing"),
        pytest.param(DRAINED, False, id="a drain by hand"),
        pytest.param(ForcedState(Forced.QUARANTINED, "", "rbl", NOW, None, 3.0), True, id="a program's own"),
    ],
)
def test_a_program_replaces_no_order_of_an_operator(before: ForcedState | None, *, replaced: bool) -> None:
    cluster = cluster_of(zone(TEXT))
    cluster.force(MTA1, before)
    plan = plan_order(order(Verb.QUARANTINE, badness=9.0), [MTA1], cluster, NOW)
    assert (MTA1 in plan.forced) is replaced
    assert [("what a program says does not replace that" in line) for line in plan.left] == [True] * (
        not replaced
    )
    if replaced:
        assert plan.forced[MTA1] == ForcedState(Forced.QUARANTINED, "why", "eve", NOW, None, 9.0)


def test_overrides_whose_time_is_over_end_and_no_others() -> None:
    cluster = cluster_of(zone(TEXT))
    ending = replace(WEIGHT, until=NOW)
    cluster.override({MTA1: QUARANTINED, MTA2: DRAINED}, {MTA1: WEIGHT, MTA2: ending})
    assert expired(cluster, NOW - 1) == OverridePlan()
    assert expired(cluster, NOW) == OverridePlan({}, {MTA2: None})
    assert expired(cluster, NOW + 60) == OverridePlan({MTA1: None}, {MTA2: None})


def test_an_edit_that_a_forced_weight_hides_is_noted_once_and_until_it_is_taken_back() -> None:
    cluster = cluster_of(zone(TEXT))
    plan = plan_order(order(Verb.WEIGHT, weight=5), [MTA1], cluster, NOW)
    cluster.override(plan.forced, plan.weights)
    assert stale_weights(cluster, NOW + 1) == OverridePlan()
    assert hidden_edits(cluster) == {}

    def edit(text: str, now: float) -> None:
        cluster.serve_zones(compile_zones(cluster.compiled, sources(zone(text)), cluster.live()), now)
        cluster.override({}, stale_weights(cluster, now).weights)

    edit(TEXT.replace("weight: 50", "weight: 40"), NOW + 10)
    assert hidden_edits(cluster) == {
        MTA1: "host mta1.out.example.com: its weight forced to 5 by eve (why) hides an edit, the file has "
        f"said 40 since {timestamp(NOW + 10)}: `geodns clear mta1.out.example.com` ends it"
    }
    edit(TEXT.replace("weight: 50", "weight: 41"), NOW + 20)
    assert f"the file has said 41 since {timestamp(NOW + 10)}" in hidden_edits(cluster)[MTA1]
    edit("hosts: {mta2: 192.0.2.12}", NOW + 25)
    assert hidden_edits(cluster) == {}
    edit(TEXT, NOW + 30)
    assert hidden_edits(cluster) == {}
    assert cluster.weights[MTA1].edited is None


# --- effects on pools -----------------------------------------------------------------------------------


@st.composite
def ordered(draw: st.DrawFn) -> tuple[Zone, LiveSet, list[tuple[Order, list[HostKey]]]]:
    """Draw a zone, verdicts on its hosts, and orders for some of them, one after the other."""
    one, live = draw(worlds())
    hosts = st.lists(st.sampled_from([(NAME, host.name) for host in one.hosts]), min_size=1, unique=True)
    weights = st.builds(order, st.just(Verb.WEIGHT), weight=st.sampled_from((0, 1, 2, 9, 2**31 - 1)))
    states = st.builds(order, st.sampled_from([verb for verb in Verb if verb is not Verb.WEIGHT]))
    return one, live, draw(st.lists(st.tuples(weights | states, hosts), min_size=1, max_size=4))


@given(ordered())
def test_what_is_shown_before_an_order_is_what_is_served_after_it(
    world: tuple[Zone, LiveSet, list[tuple[Order, list[HostKey]]]],
) -> None:
    one, live, given_orders = world
    cluster = cluster_of(one, live)
    for given_order, hosts in given_orders:
        plan = plan_order(given_order, hosts, cluster, NOW)
        served = cluster.compiled
        overrides = dict(cluster.forced), dict(cluster.weights)
        changes = preview(cluster, plan)
        assert cluster.compiled is served, "nothing served is touched"
        assert (cluster.forced, cluster.weights) == overrides
        shown = pools_json(changes).get(NAME, {})
        promised = dealt_by(cluster, hosts, changes)
        cluster.override(plan.forced, plan.weights)
        for pool in one.pools:
            before = served.choices[NAME, pool.name]
            after = cluster.compiled.choices[NAME, pool.name]
            assert (pool.name in shown) == (before != after)
            if before != after:
                assert shown[pool.name] == {"before": choice_json(before), "after": choice_json(after)}
        for host in hosts:
            assert promised[host] == [
                pool.name
                for pool in sorted(one.pools, key=lambda pool: pool.name)
                if host[1] in cluster.compiled.choices[NAME, pool.name].hosts
            ]
            for pool_name in _dealt(cluster, host[1]):
                assert pool_name in promised[host], "the very answers"
        _weights_hold(cluster, one)


def _dealt(cluster: Cluster, host: str) -> Iterable[str]:
    """Yield the pools whose compiled answers name a host."""
    for rotation in cluster.compiled.table.rotations.values():
        for part in rotation.parts:
            if any(host in some for some in part.sets):
                yield part.pool


def _weights_hold(cluster: Cluster, one: Zone) -> None:
    """A forced weight stands instead of the file's in every pool, and one of 0 is never dealt."""
    for choice in cluster.compiled.choices.values():
        for dealt in choice.mx.dealt:
            forced = cluster.weights.get((one.name, dealt.host))
            if forced is not None:
                assert dealt.weight == forced.weight > 0


def changed(*what: tuple[Order, HostKey], down: tuple[str, ...] = ()) -> tuple[Cluster, Any]:
    """Return the cluster, and what the last of some orders would change."""
    one = zone(TEXT)
    verdicts = {host.name: DOWN if host.name in down else UP for host in one.hosts}
    cluster = cluster_of(one, live_set(one, verdicts))
    for given_order, host in what[:-1]:
        done = plan_order(given_order, [host], cluster, NOW)
        cluster.override(done.forced, done.weights)
    return cluster, preview(cluster, plan_order(what[-1][0], [what[-1][1]], cluster, NOW))


def asked_first(*what: tuple[Order, HostKey]) -> list[str]:
    cluster, changes = changed(*what)
    return dangers(cluster, plan_order(what[-1][0], [what[-1][1]], cluster, NOW), changes)


DRAIN = order(Verb.DRAIN)
NEVER = order(Verb.WEIGHT, weight=0)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param([(DRAIN, MTA1)], [], id="one of two"),
        pytest.param(
            [(DRAIN, MTA1), (DRAIN, MTA2)],
            ["pool main of out.example.com would have no live host for AAAA (last resort: drained, 1 host"],
            id="a fallback serves, but not IPv6",
        ),
        pytest.param(
            [(DRAIN, MTA1), (DRAIN, MTA2), (DRAIN, MTA3)],
            [
                "pool main of out.example.com would have no live host (last resort: drained, 3 hosts",
                "pool reserve of out.example.com would have no live host (last resort: drained, 1 host",
            ],
            id="nobody is left",
        ),
        pytest.param([(DRAIN, MTA3)], ["pool reserve of"], id="the fallback's last"),
        pytest.param(
            [(NEVER, MTA3)], ["its names would be answered with SERVFAIL"], id="weight 0 for the last"
        ),
        pytest.param([(DRAIN, MTA3), (DRAIN, MTA3)], [], id="it had none before"),
        pytest.param(
            [(DRAIN, MTA3), (order(Verb.DOWN), MTA3)],
            ["answered with SERVFAIL"],
            id="it had none live, but it dealt somebody",
        ),
    ],
)
def test_what_leaves_a_pool_without_a_live_host_is_asked_for(
    what: list[tuple[Order, HostKey]], expected: list[str]
) -> None:
    found = asked_first(*what)
    assert len(found) == len(expected)
    for text, part in zip(found, expected, strict=True):
        assert part in text


def test_the_shares_before_and_after_stand_beside_each_other() -> None:
    shown = pools_json(changed((order(Verb.WEIGHT, weight=10), MTA1))[1])
    assert list(shown) == [NAME]
    assert list(shown[NAME]) == ["main"]
    before, after = shown[NAME]["main"]["before"], shown[NAME]["main"]["after"]
    assert before["shares"]["A"] == {"mta1": 0.625, "mta2": 0.375}
    assert after["shares"] == {"A": {"mta1": 0.25, "mta2": 0.75}, "AAAA": {"mta2": 1}}
    assert after["last_resorts"] == {"A": None, "AAAA": None}
    assert (after["using"], after["last_resort"], after["live"]) == (["main"], None, ["mta1", "mta2"])


def test_min_live_counts_the_weight_that_is_forced() -> None:
    _, changes = changed((order(Verb.WEIGHT, weight=1), MTA1), down=("mta1",))
    assert changes[NAME, "main"].before.using == ("main", "reserve")
    assert changes[NAME, "main"].after.using == ("main",)
    assert changes[NAME, "main"].after.mx.dealt[0].effective == Fraction(30)


def test_fixed_records_that_point_at_a_host_are_found() -> None:
    one = zone("""
        hosts: {mta1: [192.0.2.11, "2001:db8::11"], mta2: 192.0.2.12}
        ns: {ns1: 192.0.2.11}
        records:
          "@": {A: {pool: main}, MX: [10 mta1, 20 mta2]}
          _submission._tcp: {SRV: "0 1 587 MTA1"}
          www: {CNAME: mta1}
          smtp: {ttl: 300, A: [192.0.2.11, 192.0.2.99]}
          six: {AAAA: "2001:db8::11"}
          other: {A: 192.0.2.99, MX: 10 mta2}
    """)
    cluster = cluster_of(one)
    found = pointing_at(cluster, [MTA1])
    assert {
        host: {f"{record.owner.removesuffix('.' + one.origin)} {record.type}" for record in some}
        for host, some in found.items()
    } == {MTA1: {f"{one.origin} MX", "_submission._tcp SRV", "www CNAME", "smtp A", "six AAAA"}}
    (record,) = (record for record in found[MTA1] if record.type == "A")
    assert describe_pointing(MTA1, [record]) == (
        f"fixed records still point at mta1.{NAME}, edit the zone file to change that: "
        f"smtp.{NAME}. A (TTL 300 s)"
    )
    assert describe_pointing(MTA1, [record] * 10).endswith(" and 2 more")
    assert pointing_at(cluster, [(NAME, "gone")]) == {}


def test_caches_may_hold_a_host_for_the_longest_ttl_of_any_name() -> None:
    cluster, _ = changed((DRAIN, MTA1))
    assert cached_for(cluster, [MTA1]) == 300
    assert cached_for(cluster, []) == 0


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(Overrides(), Overrides(DRAINED), "drained", id="drained"),
        pytest.param(Overrides(DRAINED), Overrides(), "no longer drained", id="no longer"),
        pytest.param(
            Overrides(DRAINED), Overrides(replace(QUARANTINED, until=None)), "quarantined", id="instead"
        ),
        pytest.param(Overrides(DRAINED), Overrides(DRAINED, WEIGHT), "weight forced to 5", id="weight"),
        pytest.param(
            Overrides(), Overrides(QUARANTINED), f"quarantined until {timestamp(NOW + 60)}", id="for a time"
        ),
        pytest.param(
            Overrides(DRAINED, WEIGHT),
            Overrides(),
            "no longer drained, weight no longer forced to 5",
            id="both",
        ),
    ],
)
def test_a_change_of_overrides_in_words(before: Overrides, after: Overrides, expected: str) -> None:
    assert describe_change(before, after) == expected


def test_hidden_edits_of_many_hosts_in_many_pools_are_found_fast() -> None:
    """They are looked for once a second, on the loop that probes."""
    hosts = "".join(f"  h{number}: 192.0.{number // 250}.{1 + number % 250}\n" for number in range(1000))
    pools = "".join(f"  p{number}: {{hosts: '*', check: smtp}}\n" for number in range(10))
    one = zone(f"hosts:\n{hosts}pools:\n{pools}")
    cluster = Cluster({}, {}, {}, {})
    cluster.serve_zones(compile_zones(Compiled(), sources(one), LiveSet()), NOW)
    forced = {
        (NAME, f"h{number}"): ForcedWeight(5, "", "ann", NOW, None, '[9, {"p0": 9}]', NOW)
        for number in range(400)
    }
    cluster.weights = dict(forced)
    began = time.process_time()
    assert len(hidden_edits(cluster)) == 400
    assert time.process_time() - began < 0.4
