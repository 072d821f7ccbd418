"""The running state: after any changes in any order, the Table is that of compiling from scratch."""

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones, set_bars
from geodns.control.cluster import Cluster, Transition, source_of
from geodns.control.zone_changes import newcomers, retire
from geodns.errors import NotFoundError
from geodns.model.checks import Target
from geodns.model.routes import RouteRule
from geodns.model.state import (
    Forced,
    ForcedState,
    ForcedWeight,
    HealthState,
    HostKey,
    HostSince,
    RetiredHost,
    Verdict,
)
from geodns.model.zone import Zone
from tests.sample_zones import DOWN, NAME, SERIAL, SHED, UP, failing, host, zone

NOW = 1_700_000_000.0
OTHER = "in.example.net"


def forced(what: Forced, until: float | None = None) -> ForcedState:
    return ForcedState(what, "why", "who", NOW, until)


def cluster_of(*zones: Zone, **known: Any) -> Cluster:
    given: dict[str, Any] = {"verdicts": {}, "forced": {}, "since": {}, "retired": {}}
    found = Cluster(**{**given, **known})
    serve(found, *zones)
    return found


def serve(cluster: Cluster, *zones: Zone, now: float = NOW) -> list[Transition]:
    """Serve these zones and no others, those that are served already untouched."""
    sources = {}
    for one in zones:
        before = cluster.sources.get(one.name)
        sources[one.name] = before if before and before.zone is one else Source(one, SERIAL)
    return cluster.serve_zones(compile_zones(cluster.compiled, sources, cluster.live()), now)


def targets_of(one: Zone, *hosts: str) -> list[Target]:
    return [
        target
        for name in hosts or one.host_by_name
        for some in one.targets_by_host[name].values()
        for target in some
    ]


def judge(cluster: Cluster, one: Zone, verdict: Verdict, *hosts: str, now: float = NOW) -> list[Transition]:
    return cluster.apply_verdicts(dict.fromkeys(targets_of(one, *hosts), verdict), now)


def dealt(cluster: Cluster, pool: str = "main", name: str = NAME) -> set[str]:
    return set(cluster.compiled.choices[name, pool].live)


# --- whatever happens: as if compiled from scratch ------------------------------------------------------


@cache
def variants() -> tuple[tuple[Zone, ...], ...]:
    """What each of two zones may say; they share a target, and pools share hosts and fall back."""
    pools = """
        pools:
          main: {hosts: [a, b], check: smtp, fallback: spare, min_live: 60%}
          spare: {hosts: {c: 2, b: 1}, check: tcp}
          plain: {hosts: [a, c]}
        records:
          "@": {A: {pool: main}, AAAA: {pool: main}, MX: [{pool: main, preference: 10},
                {pool: plain, preference: 20}]}
          spare: {pool: spare}
    """
    hosts = 'hosts: {a: {address: [192.0.2.1, "2001:db8::1"], weight: 3}, b: 192.0.2.2, c: 192.0.2.3}\n'
    first = (
        hosts + pools,
        hosts.replace("192.0.2.2", "192.0.2.22") + pools,
        hosts + "checks: {smtp: {fall: 5}}\n" + pools,
        hosts.replace("c: 192.0.2.3}", "c: 192.0.2.3, d: 192.0.2.4}") + pools.replace("[a, b]", "[a, b, d]"),
    )
    second = ("hosts: {x: 192.0.2.1, y: 192.0.2.8}", "hosts: {x: 192.0.2.1, z: 192.0.2.9}")

    def read(texts: Iterable[str], name: str) -> list[Zone]:
        return [zone(_lines(text), name) for text in texts]

    def routed(one: Zone, *uses: str) -> Zone:
        fields = {name: getattr(one, name) for name in Zone.model_fields}
        return Zone(**{**fields, "routes": tuple(RouteRule(use=use) for use in uses)})

    apex, spare = f"{NAME}.", f"spare.{NAME}."
    used = ((apex, spare), (spare,), (), (spare, apex))
    ours = (routed(one, *uses) for one, uses in zip(read(first, NAME), used, strict=True))
    return tuple(ours), tuple(read(second, OTHER))


def _lines(text: str) -> str:
    return "\n".join(line.removeprefix("        ") for line in text.splitlines())


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("judge"),
            st.lists(
                st.tuples(
                    st.integers(0, 30),
                    st.sampled_from((UP, DOWN, SHED, failing(1), Verdict(HealthState.UP, sheds=1, level=1))),
                ),
                max_size=4,
            ),
        ),
        st.tuples(st.just("force"), st.sampled_from("abcdxyz"), st.sampled_from((None, *Forced))),
        st.tuples(st.just("edit"), st.sampled_from((None, 0, 1, 2, 3)), st.sampled_from((None, 0, 1))),
        st.tuples(st.just("bar"), st.frozensets(st.sampled_from("abcdx"))),
        st.tuples(st.just("adopt")),
    ),
    max_size=14,
)


class Replay:
    """A cluster that events happen to; what an edit compiles may be adopted later than it was begun."""

    def __init__(self) -> None:
        self.cluster = cluster_of(variants()[0][0], variants()[1][0])
        self.compiling: Compiled | None = None

    def judge(self, judged: Iterable[tuple[int, Verdict]]) -> None:
        targets = sorted(self.cluster.targets, key=lambda target: target.key)
        if targets:
            self.cluster.apply_verdicts(
                {targets[place % len(targets)]: verdict for place, verdict in judged}, NOW
            )

    def force(self, name: str, what: Forced | None) -> None:
        key = (NAME if name in "abcd" else OTHER, name)
        self.cluster.force(key, None if what is None else forced(what))

    def bar(self, names: Iterable[str]) -> None:
        bars = {(NAME if name in "abcd" else OTHER, name): frozenset({"google"}) for name in names}
        self.cluster.set_bars(bars)

    def edit(self, first: int | None, second: int | None) -> None:
        self.adopt()
        chosen = [
            some[place] for some, place in zip(variants(), (first, second), strict=True) if place is not None
        ]
        sources = {}
        for one in chosen:
            before = self.cluster.sources.get(one.name)
            sources[one.name] = before if before and before.zone is one else Source(one, SERIAL)
        self.compiling = compile_zones(self.cluster.compiled, sources, self.cluster.live())

    def adopt(self) -> None:
        if self.compiling is not None:
            self.cluster.serve_zones(self.compiling, NOW)
            self.compiling = None


def essence(compiled: Compiled) -> Any:
    """Everything that the workers would deal."""
    return {
        key: (one.servfail, [(part.pool, part.answers, list(part.index), part.sets) for part in one.parts])
        for key, one in compiled.table.rotations.items()
    }


@given(EVENTS)
def test_what_is_served_is_what_compiling_from_scratch_would_give(events: list[tuple[Any, ...]]) -> None:
    replay = Replay()
    for name, *arguments in events:
        getattr(replay, name)(*arguments)
    replay.adopt()
    cluster = replay.cluster
    fresh = compile_zones(Compiled(), cluster.sources, cluster.live())
    assert cluster.compiled.choices == fresh.choices
    assert essence(cluster.compiled) == essence(fresh)
    assert cluster.compiled.table.zones.keys() == fresh.table.zones.keys()
    assert cluster.compiled.table.targets == set_bars(fresh, cluster.bars).table.targets
    rules = [
        {name: one.rules for name, one in some.table.routes.items()} for some in (cluster.compiled, fresh)
    ]
    assert rules[0] == rules[1]
    # And nothing is kept of what is gone.
    hosts = {(name, one.name) for name, source in cluster.sources.items() for one in source.zone.hosts}
    assert cluster.verdicts.keys() <= set(cluster.targets)
    assert cluster.newcomers <= hosts
    assert cluster.since.keys() == hosts
    states = {host: since.state for host, since in cluster.since.items()}
    assert states == {host: cluster.state_of(host) for host in hosts}


def test_an_order_and_a_verdict_outlive_a_compilation_that_began_before_them() -> None:
    before, after = variants()[0][0], variants()[0][3]
    cluster = cluster_of(before)
    compiling = compile_zones(cluster.compiled, {NAME: Source(after, SERIAL)}, cluster.live())
    cluster.force((NAME, "a"), forced(Forced.DRAINED))
    judge(cluster, before, DOWN, "c")
    cluster.serve_zones(compiling, NOW)
    assert dealt(cluster) == {"b"}
    assert dealt(cluster, "spare") == {"b"}


# --- verdicts and states --------------------------------------------------------------------------------

SMALL = "hosts: {a: 192.0.2.1, b: 192.0.2.2}"


def test_a_change_of_state_is_returned_once_and_dated() -> None:
    one = zone(SMALL)
    cluster = cluster_of(one)
    assert set(judge(cluster, one, UP, now=NOW + 1)) == {
        Transition((NAME, "a"), HealthState.UNKNOWN, HealthState.UP),
        Transition((NAME, "b"), HealthState.UNKNOWN, HealthState.UP),
    }
    assert judge(cluster, one, DOWN, "a", now=NOW + 5) == [
        Transition((NAME, "a"), HealthState.UP, HealthState.DOWN)
    ]
    assert judge(cluster, one, DOWN, "a", now=NOW + 9) == []
    assert cluster.since[NAME, "a"] == HostSince(HealthState.DOWN, NOW + 5)
    assert cluster.since[NAME, "b"] == HostSince(HealthState.UP, NOW + 1)
    assert dealt(cluster) == {"b"}


def test_a_state_from_before_a_restart_keeps_its_date_and_a_new_one_is_a_change() -> None:
    one = zone(SMALL)
    since = {(NAME, "a"): HostSince(HealthState.UP, 5.0), (NAME, "b"): HostSince(HealthState.UP, 6.0)}
    cluster = Cluster({}, {}, since, {})
    cluster.verdicts.update(dict.fromkeys(targets_of(one, "a"), UP))
    cluster.verdicts.update(dict.fromkeys(targets_of(one, "b"), DOWN))
    assert serve(cluster, one) == [Transition((NAME, "b"), HealthState.UP, HealthState.DOWN)]
    assert cluster.since[NAME, "a"] == HostSince(HealthState.UP, 5.0)
    assert dealt(cluster) == {"a"}


def test_a_verdict_on_something_that_is_probed_no_more_changes_nothing() -> None:
    one, other = zone(SMALL), zone("hosts: {gone: 192.0.2.77}")
    cluster = cluster_of(one)
    before = cluster.compiled
    assert judge(cluster, other, DOWN) == []
    assert cluster.compiled is before


def test_one_target_of_two_zones_counts_for_both() -> None:
    one, other = zone(SMALL), zone("hosts: {x: 192.0.2.1, y: 192.0.2.9}", OTHER)
    cluster = cluster_of(one, other)
    judge(cluster, one, DOWN, "a")
    assert dealt(cluster) == {"b"}
    assert dealt(cluster, name=OTHER) == {"y"}


def test_an_edit_of_a_check_does_not_bring_back_a_host_that_is_down() -> None:
    before = zone("checks: {smtp: {interval: 10s}}\n" + SMALL)
    after = zone("checks: {smtp: {interval: 5s, fall: 2}}\n" + SMALL)
    cluster = cluster_of(before)
    judge(cluster, before, UP)
    judge(cluster, before, DOWN, "a")
    assert not set(targets_of(before)) & set(targets_of(after))
    assert serve(cluster, after, now=NOW + 9) == []
    assert dealt(cluster) == {"b"}
    assert cluster.since[NAME, "a"].since == NOW
    assert cluster.verdicts == {
        **dict.fromkeys(targets_of(after), UP),
        **dict.fromkeys(targets_of(after, "a"), DOWN),
    }


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("checks: {smtp: {port: 2525}}\n" + SMALL, id="another port"),
        pytest.param("hosts: {a: 192.0.2.91, b: 192.0.2.92}", id="other addresses"),
    ],
)
def test_a_verdict_does_not_move_to_what_was_never_probed(text: str) -> None:
    before, after = zone(SMALL), zone(text)
    cluster = cluster_of(before)
    judge(cluster, before, DOWN)
    serve(cluster, after)
    assert cluster.verdicts == {}


# --- newcomers ------------------------------------------------------------------------------------------

PAIR = "hosts: {a: 192.0.2.1, b: 192.0.2.2, new: 192.0.2.3}"


@pytest.mark.parametrize(
    ("verdict", "joins"),
    [
        pytest.param(UP, True, id="good"),
        pytest.param(failing(1), True, id="up with failures"),
        pytest.param(DOWN, False, id="bad"),
        pytest.param(
            Verdict(HealthState.UNKNOWN, sheds=1, level=1), False, id="sheds before its first good probe"
        ),
        pytest.param(None, False, id="not probed yet"),
    ],
)
def test_a_host_added_while_running_is_dealt_after_its_first_good_probe(
    verdict: Verdict | None, joins: bool
) -> None:
    before, after = zone(SMALL), zone(PAIR)
    cluster = cluster_of(before)
    judge(cluster, before, UP)
    serve(cluster, after)
    assert dealt(cluster) == {"a", "b"}
    if verdict is not None:
        judge(cluster, after, verdict, "new")
    assert dealt(cluster) == ({"a", "b", "new"} if joins else {"a", "b"})


def test_a_host_goes_on_waiting_over_another_edit() -> None:
    before, after = zone(SMALL), zone(PAIR)
    cluster = cluster_of(before)
    judge(cluster, before, UP)
    serve(cluster, after)
    serve(cluster, zone("ttl: 40\n" + PAIR))
    assert dealt(cluster) == {"a", "b"}


def test_hosts_without_a_verdict_count_as_up_at_the_start_and_in_a_new_zone() -> None:
    cluster = cluster_of(zone(PAIR))
    assert dealt(cluster) == {"a", "b", "new"}
    serve(cluster, zone(PAIR), zone("hosts: {x: 192.0.2.8}", OTHER))
    assert dealt(cluster, name=OTHER) == {"x"}


def test_a_host_with_another_address_is_dealt_at_the_old_one_until_the_new_one_is_good() -> None:
    before = zone("hosts: {a: [192.0.2.1], b: 192.0.2.2}")
    after = zone("hosts: {a: [192.0.2.1, 192.0.2.7], b: 192.0.2.2}")
    cluster = cluster_of(before)
    judge(cluster, before, UP)
    serve(cluster, after)

    def addresses() -> list[str]:
        (one,) = (entry for entry in cluster.compiled.choices[NAME, "main"].mx.dealt if entry.host == "a")
        return [str(address) for address in one.addresses]

    assert addresses() == ["192.0.2.1"]
    judge(cluster, after, UP, "a")
    assert addresses() == ["192.0.2.1", "192.0.2.7"]


def test_a_newcomer_whose_target_another_zone_has_found_good_need_not_wait() -> None:
    other = zone("hosts: {x: 192.0.2.3}", OTHER)
    before, after = zone(SMALL), zone(PAIR)
    cluster = cluster_of(before, other)
    judge(cluster, other, UP)
    serve(cluster, after, other)
    assert dealt(cluster) == {"a", "b", "new"}
    assert cluster.newcomers == frozenset()


def test_newcomers_are_found_by_their_addresses() -> None:
    def found(before: str, after: str) -> set[str]:
        old, new = {NAME: Source(zone(before), 1)}, {NAME: Source(zone(after), 2)}
        return {name for _, name in newcomers(old, new)}

    assert found(SMALL, PAIR) == {"new"}
    assert found(SMALL, "hosts: {a: 192.0.2.9, b: {address: 192.0.2.2, weight: 7}}") == {"a"}
    assert found(PAIR, SMALL) == set()
    assert newcomers({}, {NAME: Source(zone(SMALL), 1)}) == frozenset()


# --- what is forced -------------------------------------------------------------------------------------


def test_overrides_hold_over_edits_until_they_are_ended() -> None:
    one = zone(SMALL)
    cluster = cluster_of(one)
    cluster.force((NAME, "a"), forced(Forced.DRAINED))
    assert dealt(cluster) == {"b"}
    serve(cluster, zone(PAIR))
    assert dealt(cluster) == {"b"}
    serve(cluster)
    serve(cluster, one)
    assert dealt(cluster) == {"b"}
    cluster.force((NAME, "a"), None)
    assert dealt(cluster) == {"a", "b"}
    cluster.force((NAME, "a"), None)


def test_forcing_changes_no_state() -> None:
    one = zone(SMALL)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    cluster.force((NAME, "a"), forced(Forced.DOWN))
    assert cluster.state_of((NAME, "a")) is HealthState.UP


def test_states_and_weights_are_overridden_in_one_go_and_ended_in_another() -> None:
    cluster = cluster_of(zone(SMALL))
    weight = ForcedWeight(5, "why", "who", NOW)
    cluster.override({(NAME, "a"): forced(Forced.DRAINED)}, {(NAME, "b"): weight})
    assert cluster.live().forced == {(NAME, "a"): Forced.DRAINED}
    assert cluster.live().weights == {(NAME, "b"): 5}
    (choice,) = cluster.compiled.choices.values()
    assert [(one.host, one.weight) for one in choice.mx.dealt] == [("b", 5)]
    cluster.override({(NAME, "a"): None}, {(NAME, "b"): None, (NAME, "x"): None})
    assert (cluster.forced, cluster.weights) == ({}, {})


def test_a_zone_that_is_not_served_is_named_with_those_that_are() -> None:
    cluster = cluster_of(zone(SMALL))
    assert cluster.zone(NAME).name == NAME
    with pytest.raises(NotFoundError, match=r"no zone x\.example is served; there are out\.example\.com"):
        cluster.zone("x.example")


# --- hosts taken out ------------------------------------------------------------------------------------

OLD = {(NAME, "old"): RetiredHost(host("old", "192.0.2.90"), NOW + 50)}


@pytest.mark.parametrize(
    ("before", "after", "retired", "expected"),
    [
        pytest.param(PAIR, SMALL, {}, {"new": 3600}, id="taken out"),
        pytest.param(SMALL, PAIR, {}, {}, id="added"),
        pytest.param(PAIR, "retire: 10m\n" + SMALL, {}, {"new": 600}, id="the new file says how long"),
        pytest.param(SMALL, PAIR, OLD, {"old": 50}, id="others go on"),
        pytest.param(SMALL, "hosts: {a: 192.0.2.1, old: 192.0.2.90}", OLD, {"b": 3600}, id="put back"),
        pytest.param(
            SMALL,
            SMALL,
            {(NAME, "old"): RetiredHost(host("old", "192.0.2.90"), NOW)},
            {},
            id="its time is over",
        ),
        pytest.param(
            PAIR,
            SMALL,
            {(OTHER, "z"): RetiredHost(host("z", "192.0.2.90"), NOW + 50)},
            {"new": 3600},
            id="another zone's are not its business",
        ),
    ],
)
def test_hosts_taken_out_are_retired(
    before: str, after: str, retired: dict[HostKey, RetiredHost], expected: dict[str, float]
) -> None:
    found = retire(zone(before), zone(after), retired, NOW)
    assert {key[1]: one.until - NOW for key, one in found.items()} == expected
    assert {key[0] for key in found} <= {NAME}


def test_a_source_has_its_own_zones_retired_hosts() -> None:
    one = zone(SMALL)
    other = {(OTHER, "z"): RetiredHost(host("z", "192.0.2.91"), NOW)}
    source = source_of(one, 7, OLD | other)
    assert (source.zone, source.serial, [gone.name for gone in source.retired]) == (one, 7, ["old"])


# --- slow start -----------------------------------------------------------------------------------------

SLOWLY = """
    checks: {smtp: {slowstart: 100s}}
    hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3}
    pools: {main: {hosts: [a, b, c], check: smtp}, free: {hosts: [a]}}
    records: {x: {pool: main}, y: {pool: free}}
"""


def shares_of(cluster: Cluster, pool: str = "main") -> dict[str, int]:
    """Return how many twentieths of its weight each host dealt has."""
    return {
        entry.host: int(entry.factors.get("slowstart", Fraction(1)) * 20)
        for entry in cluster.compiled.choices[NAME, pool].mx.dealt
    }


def test_a_host_that_comes_back_from_down_rises() -> None:
    one = zone(SLOWLY)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    assert shares_of(cluster) == {"a": 20, "b": 20, "c": 20}, "who was up at the first start does not"
    judge(cluster, one, DOWN, "a", now=NOW + 10)
    judge(cluster, one, UP, "a", now=NOW + 20)
    assert shares_of(cluster) == {"a": 1, "b": 20, "c": 20}
    assert shares_of(cluster, "free") == {"a": 1}
    assert not cluster.advance_weights(NOW + 25, 0.0)
    assert cluster.advance_weights(NOW + 70, 0.0)
    assert shares_of(cluster) == {"a": 10, "b": 20, "c": 20}
    judge(cluster, one, failing(1), "a", now=NOW + 75)
    assert shares_of(cluster)["a"] == 10, "a result is no step"
    assert cluster.advance_weights(NOW + 120, 0.0)
    assert shares_of(cluster) == {"a": 20, "b": 20, "c": 20}
    assert not cluster.advance_weights(NOW + 130, 0.0)


def test_a_host_that_goes_down_meanwhile_begins_anew() -> None:
    one = zone(SLOWLY)
    cluster = cluster_of(one)
    for verdict, now in ((DOWN, 0), (UP, 10), (DOWN, 60), (UP, 70)):
        judge(cluster, one, verdict, "a", now=NOW + now)
    assert shares_of(cluster)["a"] == 1
    cluster.advance_weights(NOW + 112, 0.0)
    assert shares_of(cluster)["a"] == 8


def test_it_goes_on_over_a_restart_and_who_was_up_has_none() -> None:
    one = zone(SLOWLY)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    judge(cluster, one, DOWN, "a", now=NOW)
    judge(cluster, one, UP, "a", now=NOW)
    other = Cluster(cluster.verdicts, {}, cluster.since, {}, cluster.slow_start.since)
    serve(other, one, now=NOW + 50)
    assert shares_of(other) == {"a": 10, "b": 20, "c": 20}
    down = {**cluster.since, (NAME, "b"): HostSince(HealthState.DOWN, NOW)}
    other = Cluster(cluster.verdicts, {}, down, {}, {})
    serve(other, one, now=NOW + 50)
    assert shares_of(other) == {"a": 20, "b": 1, "c": 20}, "who came back while the server was off has one"


def test_newcomers_have_a_slow_start_and_new_addresses_of_old_hosts_have_none() -> None:
    one = zone(SLOWLY)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    edited = zone(
        SLOWLY.replace("c: 192.0.2.3", "c: 192.0.2.3, d: 192.0.2.4, e: 192.0.2.5")
        .replace("b: 192.0.2.2", "b: [192.0.2.2, 192.0.2.22]")
        .replace("[a, b, c]", "[a, b, c, d, e]")
    )
    serve(cluster, edited, now=NOW + 10)
    assert set(shares_of(cluster)) == {"a", "b", "c"}
    judge(cluster, edited, UP, "b", "d", now=NOW + 20)
    judge(cluster, edited, DOWN, "e", now=NOW + 20)
    assert shares_of(cluster) == {"a": 20, "b": 20, "c": 20, "d": 1}
    judge(cluster, edited, UP, "e", now=NOW + 70)
    cluster.advance_weights(NOW + 70, 0.0)
    assert shares_of(cluster) == {"a": 20, "b": 20, "c": 20, "d": 10, "e": 1}


def test_who_was_down_in_doubt_has_no_slow_start() -> None:
    one = zone(SLOWLY)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    judge(cluster, one, DOWN)
    cluster.apply_verdicts(dict.fromkeys(targets_of(one), UP), NOW, targets_of(one, "a", "b"))
    assert shares_of(cluster) == {"a": 20, "b": 20, "c": 1}


def test_who_was_forced_up_has_been_dealt_and_goes_on_so() -> None:
    one = zone(SLOWLY)
    cluster = cluster_of(one)
    judge(cluster, one, DOWN, "a")
    cluster.force((NAME, "a"), forced(Forced.UP))
    judge(cluster, one, UP, "a")
    assert shares_of(cluster)["a"] == 20


def test_without_slowstart_there_is_none() -> None:
    one = zone(SLOWLY.replace("slowstart: 100s", "rise: 2"))
    cluster = cluster_of(one)
    judge(cluster, one, DOWN, "a")
    judge(cluster, one, UP, "a")
    assert shares_of(cluster) == {"a": 20, "b": 20, "c": 20}


# --- load -----------------------------------------------------------------------------------------------

BUSY = """
    checks: {smtp: {slowstart: 100s}}
    hosts: {a: {address: 192.0.2.1, load: {full: 10}}, b: 192.0.2.2, c: 192.0.2.3}
    pools: {main: {hosts: [a, b], check: smtp, fallback: more}, more: {hosts: [a, c]}}
    records: {x: {pool: main}, y: {pool: more}}
"""


def test_a_load_lowers_the_weight_in_every_pool_and_takes_nobody_out() -> None:
    one = zone(BUSY)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    for step in range(20):
        cluster.loads.took((NAME, "a"), 1e9, 10.0 * step, NOW)
        cluster.advance_weights(NOW, 10.0 * step)
    for pool in ("main", "more"):
        factors = {entry.host: entry.factors for entry in cluster.compiled.choices[NAME, pool].mx.dealt}
        assert factors["a"] == {"load": Fraction(1, 10)}
    assert cluster.compiled.choices[NAME, "main"].using == ("main",), "who is busy is live all the same"
    judge(cluster, one, DOWN, "a", now=NOW + 10)
    judge(cluster, one, UP, "a", now=NOW + 20)
    (entry, _) = cluster.compiled.choices[NAME, "main"].mx.dealt
    assert entry.factors == {"slowstart": Fraction(1, 20), "load": Fraction(1, 10)}
    table = cluster.compiled.table
    cluster.loads.took((NAME, "a"), 0, 1000.0, NOW)
    assert cluster.advance_weights(NOW + 70, 1000.0), "both move together: one recompilation"
    (entry, _) = cluster.compiled.choices[NAME, "main"].mx.dealt
    assert entry.factors == {"slowstart": Fraction(1, 2), "load": Fraction(1, 5)}
    assert cluster.compiled.table is not table


def test_an_edit_that_takes_the_load_out_gives_the_weight_back() -> None:
    one = zone(BUSY)
    cluster = cluster_of(one)
    judge(cluster, one, UP)
    cluster.loads.took((NAME, "a"), 50, 0.0, NOW)
    assert cluster.advance_weights(NOW, 0.0)
    serve(cluster, zone(BUSY.replace("full: 10", "full: 20")))
    assert cluster.compiled.choices[NAME, "main"].mx.dealt[0].factors == {"load": Fraction(9, 10)}
    serve(cluster, zone(BUSY.replace(", load: {full: 10}", "")))
    assert cluster.compiled.choices[NAME, "main"].mx.dealt[0].factors == {}
    assert cluster.loads.known == {}


def test_what_programs_quarantine_is_bounded_and_follows_what_is_down() -> None:
    one = zone("""
        checks: {smtp: {}}
        hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3, d: 192.0.2.4}
        pools: {main: {hosts: "*", check: smtp, max_out: 50%}}
        records: {"@": {pool: main}}
    """)
    cluster = cluster_of(one)
    judge(cluster, one, UP)

    def listed(badness: float | None) -> ForcedState:
        return ForcedState(Forced.QUARANTINED, "listed", "rbl", NOW, None, badness)

    cluster.override({(NAME, host): listed(at) for at, host in enumerate("abc")}, {})
    assert (dealt(cluster), set(cluster.held_back)) == ({"a", "d"}, {(NAME, "a")})
    # Another one goes down: the mildest quarantine gives its place back.
    judge(cluster, one, DOWN, "d")
    assert dealt(cluster) == {"a", "b"}
    judge(cluster, one, UP, "d")
    assert dealt(cluster) == {"a", "d"}
    # By hand is by hand, and takes a place.
    cluster.force((NAME, "a"), listed(None))
    assert dealt(cluster) == {"b", "d"}
    cluster.override({(NAME, host): None for host in "abc"}, {})
    assert (dealt(cluster), cluster.held_back) == ({"a", "b", "c", "d"}, {})
