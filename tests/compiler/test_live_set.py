"""What the live set says of a host, for a pool and for the status page."""

from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address

import pytest

from geodns.compiler.live_set import LiveSet
from geodns.model.checks import CheckPolicy, Target
from geodns.model.hosts import Host
from geodns.model.state import Forced, HealthState, Verdict
from geodns.model.zone import Zone, target_of
from tests.sample_zones import DOWN, NAME, SHED, UP, failing, live_set, zone

V4, V6 = "192.0.2.11", "2001:db8::11"


@pytest.fixture(scope="module")
def one() -> Zone:
    return zone(f"""
        checks: {{smtp: {{fall: 3, fast_interval: 2s}}, web: {{type: tcp, port: 80}}}}
        hosts: {{mta1: {{address: [{V4}, "{V6}"]}}, mta2: 192.0.2.12}}
        pools:
          main: {{hosts: [mta1, mta2], check: smtp}}
          side: {{hosts: [mta1], check: web}}
          free: {{hosts: [mta1, mta2]}}
        records: {{a: {{pool: main}}, b: {{pool: side}}, c: {{pool: free}}}}
    """)


def jury(one: Zone, *checks: str, need: int | None = None) -> CheckPolicy:
    names = checks or ("smtp",)
    return CheckPolicy(tuple(one.check_by_name[name] for name in names), need or len(names))


def mta1(one: Zone) -> Host:
    return one.host_by_name["mta1"]


BOTH, NONE = (V4, V6), ()
SHEDDING_ONCE = Verdict(HealthState.UP, level=1)


@pytest.mark.parametrize(
    ("verdicts", "live"),
    [
        ({}, BOTH),
        ({"mta1": UP}, BOTH),
        ({"mta1": DOWN}, NONE),
        ({V4: DOWN}, (V6,)),
        ({V6: SHED}, (V4,)),
        ({V4: DOWN, V6: SHED}, NONE),
        ({"mta1": Verdict(HealthState.UNKNOWN)}, BOTH),
        ({"mta1": failing(2)}, BOTH),
    ],
    ids=["nothing known", "up", "down", "half down", "half shedding", "down and shed", "unknown", "failing"],
)
def test_only_live_addresses(one: Zone, verdicts: dict[str, Verdict], live: tuple[str, ...]) -> None:
    fitness = live_set(one, verdicts).fitness(one, mta1(one), jury(one))
    assert tuple(map(str, fitness.live)) == live


@pytest.mark.parametrize(
    ("forced", "verdict", "live"),
    [
        (Forced.UP, DOWN, BOTH),
        (Forced.UP, SHED, BOTH),
        (Forced.DOWN, UP, NONE),
        (Forced.DRAINED, UP, NONE),
        (Forced.QUARANTINED, UP, NONE),
    ],
)
@pytest.mark.parametrize("check", ["smtp", None])
def test_what_is_forced_beats_what_is_seen(
    one: Zone, forced: Forced, verdict: Verdict, live: tuple[str, ...], check: str | None
) -> None:
    state = live_set(one, {"mta1": verdict}, forced={"mta1": forced})
    fitness = state.fitness(one, mta1(one), jury(one, check) if check else None)
    assert tuple(map(str, fitness.live)) == live
    assert "shedding" not in fitness.factors


@pytest.mark.parametrize(
    ("verdicts", "live"),
    [({}, NONE), ({"mta1": failing(1)}, BOTH), ({V4: UP}, (V4,)), ({"mta1": DOWN}, NONE)],
    ids=["no probe yet", "good once", "one address good", "bad"],
)
def test_newcomers_wait_for_a_good_probe(
    one: Zone, verdicts: dict[str, Verdict], live: tuple[str, ...]
) -> None:
    state = live_set(one, verdicts, newcomers=["mta1"])
    assert tuple(map(str, state.fitness(one, mta1(one), jury(one)).live)) == live
    assert len(state.fitness(one, mta1(one), None).live) == 2, "nobody probes for a pool without a check"


@pytest.mark.parametrize(
    ("verdicts", "factor"),
    [
        ({}, Fraction(1, 2)),
        ({"mta1": SHEDDING_ONCE}, Fraction(1, 4)),
        ({V4: SHEDDING_ONCE, V6: Verdict(HealthState.UP, level=3)}, Fraction(1, 4)),
        ({V4: SHEDDING_ONCE, V6: DOWN}, Fraction(1, 4)),
        ({V4: SHEDDING_ONCE, V6: UP}, Fraction(1, 2)),
    ],
    ids=["not shedding", "halved", "the better address", "the live address", "one address well"],
)
def test_factors_multiply(one: Zone, verdicts: dict[str, Verdict], factor: Fraction) -> None:
    state = live_set(one, verdicts, factors={"mta1": {"warm-up": Fraction(1, 2)}})
    assert state.fitness(one, mta1(one), jury(one)).factor == factor


@pytest.mark.parametrize(
    ("verdicts", "seconds"),
    [
        ({}, None),
        ({"mta1": failing(1)}, 4),
        ({V4: failing(1), V6: failing(2)}, 2),
        ({V4: failing(1), V6: Verdict(HealthState.DOWN, failures=3)}, 4),
    ],
    ids=["no failures", "one", "the nearer one", "what is down falls no more"],
)
def test_seconds_to_fall(one: Zone, verdicts: dict[str, Verdict], seconds: float | None) -> None:
    fitness = live_set(one, verdicts).fitness(one, mta1(one), jury(one))
    assert fitness.seconds_to_fall == seconds


def test_a_pools_own_check_judges(one: Zone) -> None:
    state = live_set(one)
    down = {
        Target(check=one.check_by_name["web"], address=ip_address(address), port=80): DOWN for address in BOTH
    }
    state = type(state)(verdicts=down)
    assert state.fitness(one, mta1(one), jury(one)).live
    assert not state.fitness(one, mta1(one), jury(one, "web")).live
    assert state.host_state(one, mta1(one)) is HealthState.DOWN, "the status shows the worst over the checks"


def test_a_host_probed_elsewhere_is_judged_by_that() -> None:
    one = zone(f"""
        hosts: {{mta1: {{address: [{V4}, "{V6}"], probe: "127.0.0.1:2525"}}}}
    """)
    target = Target(check=one.check_by_name["smtp"], address=ip_address("127.0.0.1"), port=2525)
    state = type(live_set(one))(verdicts={target: DOWN})
    assert state.fitness(one, mta1(one), jury(one)).live == ()


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ({}, HealthState.UNKNOWN),
        ({"mta1": UP}, HealthState.UP),
        ({V4: UP, V6: DOWN}, HealthState.UP),
        ({V4: SHED, V6: DOWN}, HealthState.SHEDDING),
        ({V6: SHED}, HealthState.UNKNOWN),
        ({"mta1": DOWN}, HealthState.DOWN),
        ({"mta1": Verdict(HealthState.DOWN, shed_out=True)}, HealthState.DOWN),
    ],
    ids=[
        "unknown",
        "up",
        "best address",
        "shedding over down",
        "unknown over shedding",
        "down",
        "down and shed",
    ],
)
def test_state_of_a_host(one: Zone, verdicts: dict[str, Verdict], state: HealthState) -> None:
    assert live_set(one, verdicts).host_state(one, mta1(one)) is state


def test_a_host_that_nothing_checks_is_up() -> None:
    one = zone("""
        hosts: {mta1: 192.0.2.1}
        pools: {main: {hosts: [mta1], check: none}}
    """)
    assert live_set(one).host_state(one, one.hosts[0]) is HealthState.UP


@pytest.mark.parametrize(
    ("verdict", "pending"),
    [
        (UP, False),
        (failing(1), True),
        (DOWN, False),
        (Verdict(HealthState.DOWN, successes=1), True),
        (Verdict(HealthState.UP, successes=5), False),
        (Verdict(HealthState.UNKNOWN, failures=1), False),
    ],
)
def test_a_change_is_pending(verdict: Verdict, pending: bool) -> None:
    assert verdict.pending is pending


# --- several checks --------------------------------------------------------------------------------------

SHEDS_ONCE, SHEDS_TWICE = Verdict(HealthState.UP, level=1), Verdict(HealthState.UP, level=2)
ONE_LEFT, TWO_LEFT = failing(2), failing(1)


def several(*verdicts: Verdict, newcomer: bool = False) -> tuple[Zone, LiveSet]:
    """Return a host with one check for each verdict, `c1` and so on, and what is believed of them."""
    names = [f"c{number}" for number in range(1, len(verdicts) + 1)]
    checks = ", ".join(
        f"{name}: {{port: {port}, fall: 3, fast_interval: 2s}}" for port, name in enumerate(names, 1)
    )
    one = zone(f"""
        checks: {{{checks}}}
        hosts: {{mta1: 192.0.2.1}}
        pools: {{main: {{hosts: [mta1], check: [{", ".join(names)}]}}}}
        records: {{a: {{pool: main}}}}
    """)
    host = mta1(one)
    found = {
        target_of(one, host, host.addresses[0], one.check_by_name[name]): verdict
        for name, verdict in zip(names, verdicts, strict=True)
    }
    new = frozenset({(NAME, "mta1")}) if newcomer else frozenset()
    return one, LiveSet(verdicts=found, newcomers=new)


@pytest.mark.parametrize(
    ("verdicts", "need", "live", "factor", "seconds"),
    [
        ((UP, UP), 2, True, 1, None),
        ((UP, DOWN), 2, False, 1, None),
        ((UP, SHED), 2, False, 1, None),
        ((UP, DOWN), 1, True, 1, None),
        ((DOWN, DOWN), 1, False, 1, None),
        ((UP, UP, DOWN), 2, True, 1, None),
        ((UP, DOWN, DOWN), 2, False, 1, None),
        ((Verdict(), UP), 2, True, 1, None),
        # The factor is the worst over those that are needed.
        ((UP, SHEDS_ONCE), 2, True, Fraction(1, 2), None),
        ((SHEDS_TWICE, SHEDS_ONCE), 2, True, Fraction(1, 4), None),
        ((SHEDS_TWICE, SHEDS_ONCE), 1, True, Fraction(1, 2), None),
        ((UP, SHEDS_TWICE, SHEDS_ONCE), 2, True, Fraction(1, 2), None),
        ((DOWN, SHEDS_TWICE, SHEDS_ONCE), 2, True, Fraction(1, 4), None),
        # How soon it could go down: as soon as one more of them fails than can be spared.
        ((ONE_LEFT, UP), 2, True, 1, 2),
        ((ONE_LEFT, TWO_LEFT), 2, True, 1, 2),
        ((ONE_LEFT, UP), 1, True, 1, None),
        ((ONE_LEFT, TWO_LEFT), 1, True, 1, 4),
        ((ONE_LEFT, DOWN), 1, True, 1, 2),
        ((ONE_LEFT, TWO_LEFT, UP), 2, True, 1, 4),
        ((TWO_LEFT, DOWN, UP), 2, True, 1, 4),
        ((ONE_LEFT, SHED), 1, True, 1, 2),
    ],
)
def test_as_many_checks_as_are_needed_must_pass(
    verdicts: tuple[Verdict, ...], need: int, factor: Fraction, seconds: float | None, *, live: bool
) -> None:
    one, state = several(*verdicts)
    fitness = state.fitness(one, mta1(one), jury(one, *one.check_by_name, need=need))
    assert bool(fitness.live) is live
    assert fitness.factor == factor
    assert fitness.seconds_to_fall == seconds


@pytest.mark.parametrize(
    ("verdicts", "need", "live"),
    [
        ((UP, Verdict()), 2, False),
        ((UP, Verdict()), 1, True),
        ((UP, UP), 2, True),
        ((Verdict(), Verdict()), 1, False),
    ],
)
def test_a_newcomer_must_have_passed_as_many(verdicts: tuple[Verdict, ...], need: int, *, live: bool) -> None:
    one, state = several(*verdicts, newcomer=True)
    assert bool(state.fitness(one, mta1(one), jury(one, *one.check_by_name, need=need)).live) is live


@pytest.mark.parametrize(
    ("rule", "verdicts", "state"),
    [
        ("[c1, c2, c3]", (UP, UP, DOWN), HealthState.DOWN),
        ("[c1, c2, c3]", (UP, UP, SHED), HealthState.SHEDDING),
        ("{any_of: [c1, c2, c3]}", (UP, DOWN, DOWN), HealthState.UP),
        ("{need: 2, of: [c1, c2, c3]}", (UP, SHED, DOWN), HealthState.SHEDDING),
        ("{need: 2, of: [c1, c2, c3]}", (UP, UP, DOWN), HealthState.UP),
        ("{need: 2, of: [c1, c2, c3]}", (UP, Verdict(), DOWN), HealthState.UNKNOWN),
    ],
)
def test_the_state_of_a_host_is_what_its_checks_come_to(
    rule: str, verdicts: tuple[Verdict, ...], state: HealthState
) -> None:
    one = zone(f"""
        checks: {{c1: {{port: 1}}, c2: {{port: 2}}, c3: {{port: 3}}}}
        hosts: {{mta1: 192.0.2.1}}
        pools: {{main: {{hosts: [mta1], check: {rule}}}}}
        records: {{a: {{pool: main}}}}
    """)
    host = mta1(one)
    found = {
        target_of(one, host, host.addresses[0], one.check_by_name[f"c{number}"]): verdict
        for number, verdict in enumerate(verdicts, 1)
    }
    assert LiveSet(verdicts=found).host_state(one, host) is state


def test_a_check_that_pools_share_is_probed_once() -> None:
    one = zone("""
        checks: {submission: {port: 587}}
        hosts: {mta1: {address: [192.0.2.1, "2001:db8::1"]}}
        pools:
          main: {hosts: [mta1], check: [smtp, submission]}
          side: {hosts: [mta1], check: {any_of: [submission, tcp]}}
          more: {hosts: [mta1], check: smtp}
        records: {a: {pool: main}, b: {pool: side}, c: {pool: more}}
    """)
    by_address = one.targets_by_host["mta1"]
    for targets in by_address.values():
        assert sorted(target.check.name for target in targets) == ["smtp", "submission", "tcp"]


SLOW = replace(UP, degraded=True)


@pytest.mark.parametrize(
    ("verdicts", "need", "factors"),
    [
        ((SLOW, UP), 2, {"degraded": Fraction(1, 2)}),
        ((SLOW, UP), 1, {}),
        ((replace(UP, share=75), UP), 2, {"agent": Fraction(3, 4)}),
        ((replace(UP, share=75), UP), 1, {}),
        ((replace(UP, share=75), SLOW), 2, {"agent": Fraction(3, 4), "degraded": Fraction(1, 2)}),
        ((replace(UP, share=75), SLOW), 1, {"agent": Fraction(3, 4)}),
        ((SLOW, SHEDS_ONCE), 2, {"degraded": Fraction(1, 2), "shedding": Fraction(1, 2)}),
        ((SLOW, SHEDS_TWICE), 1, {"degraded": Fraction(1, 2)}),
        (
            (replace(SHEDS_ONCE, degraded=True), DOWN),
            1,
            {"degraded": Fraction(1, 2), "shedding": Fraction(1, 2)},
        ),
    ],
)
def test_slow_hosts_keep_a_part_of_their_weight(
    verdicts: tuple[Verdict, ...], need: int, factors: dict[str, Fraction]
) -> None:
    one, state = several(*verdicts)
    assert state.fitness(one, mta1(one), jury(one, *one.check_by_name, need=need)).factors == factors


def test_a_host_is_as_slow_as_its_better_address(one: Zone) -> None:
    slow = live_set(one, {V4: SLOW, V6: UP}).fitness(one, mta1(one), jury(one))
    assert (len(slow.live), slow.factors) == (2, {})
    both = live_set(one, {V4: SLOW, V6: SLOW}, factors={"mta1": {"slowstart": Fraction(1, 4)}})
    assert both.fitness(one, mta1(one), jury(one)).factor == Fraction(1, 8)
