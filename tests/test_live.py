"""What the live set says of a host, for a pool and for the status page."""

from fractions import Fraction
from ipaddress import ip_address

import pytest

from geodns.live import Forced, State, Verdict
from geodns.model import Host, Target, Zone
from tests.zones import DOWN, NAME, SHED, UP, failing, live_set, zone

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


def mta1(one: Zone) -> Host:
    return one.host_by_name["mta1"]


BOTH, NONE = (V4, V6), ()
SHEDDING_ONCE = Verdict(State.UP, level=1)


@pytest.mark.parametrize(
    ("verdicts", "live"),
    [
        ({}, BOTH),
        ({"mta1": UP}, BOTH),
        ({"mta1": DOWN}, NONE),
        ({V4: DOWN}, (V6,)),
        ({V6: SHED}, (V4,)),
        ({V4: DOWN, V6: SHED}, NONE),
        ({"mta1": Verdict(State.UNKNOWN)}, BOTH),
        ({"mta1": failing(2)}, BOTH),
    ],
    ids=["nothing known", "up", "down", "half down", "half shedding", "down and shed", "unknown", "failing"],
)
def test_only_live_addresses(one: Zone, verdicts: dict[str, Verdict], live: tuple[str, ...]) -> None:
    fitness = live_set(one, verdicts).fitness(one, mta1(one), one.check_by_name["smtp"])
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
    fitness = state.fitness(one, mta1(one), one.check_by_name[check] if check else None)
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
    assert tuple(map(str, state.fitness(one, mta1(one), one.check_by_name["smtp"]).live)) == live
    assert len(state.fitness(one, mta1(one), None).live) == 2, "nobody probes for a pool without a check"


@pytest.mark.parametrize(
    ("verdicts", "factor"),
    [
        ({}, Fraction(1, 2)),
        ({"mta1": SHEDDING_ONCE}, Fraction(1, 4)),
        ({V4: SHEDDING_ONCE, V6: Verdict(State.UP, level=3)}, Fraction(1, 4)),
        ({V4: SHEDDING_ONCE, V6: DOWN}, Fraction(1, 4)),
        ({V4: SHEDDING_ONCE, V6: UP}, Fraction(1, 2)),
    ],
    ids=["not shedding", "halved", "the better address", "the live address", "one address well"],
)
def test_factors_multiply(one: Zone, verdicts: dict[str, Verdict], factor: Fraction) -> None:
    state = live_set(one, verdicts, factors={"mta1": {"warm-up": Fraction(1, 2)}})
    assert state.fitness(one, mta1(one), one.check_by_name["smtp"]).factor == factor


@pytest.mark.parametrize(
    ("verdicts", "seconds"),
    [
        ({}, None),
        ({"mta1": failing(1)}, 4),
        ({V4: failing(1), V6: failing(2)}, 2),
        ({V4: failing(1), V6: Verdict(State.DOWN, failures=3)}, 4),
    ],
    ids=["no failures", "one", "the nearer one", "what is down falls no more"],
)
def test_seconds_to_fall(one: Zone, verdicts: dict[str, Verdict], seconds: float | None) -> None:
    fitness = live_set(one, verdicts).fitness(one, mta1(one), one.check_by_name["smtp"])
    assert fitness.seconds_to_fall == seconds


def test_a_pools_own_check_judges(one: Zone) -> None:
    smtp, web = one.check_by_name["smtp"], one.check_by_name["web"]
    state = live_set(one)
    down = {Target(check=web, address=ip_address(address), port=80): DOWN for address in BOTH}
    state = type(state)(verdicts=down)
    assert state.fitness(one, mta1(one), smtp).live
    assert not state.fitness(one, mta1(one), web).live
    assert state.host_state(one, mta1(one)) is State.DOWN, "the status shows the worst over the checks"


def test_a_host_probed_elsewhere_is_judged_by_that() -> None:
    one = zone(f"""
        hosts: {{mta1: {{address: [{V4}, "{V6}"], probe: "127.0.0.1:2525"}}}}
    """)
    target = Target(check=one.check_by_name["smtp"], address=ip_address("127.0.0.1"), port=2525)
    state = type(live_set(one))(verdicts={target: DOWN})
    assert state.fitness(one, mta1(one), one.check_by_name["smtp"]).live == ()


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ({}, State.UNKNOWN),
        ({"mta1": UP}, State.UP),
        ({V4: UP, V6: DOWN}, State.UP),
        ({V4: SHED, V6: DOWN}, State.SHEDDING),
        ({V6: SHED}, State.UNKNOWN),
        ({"mta1": DOWN}, State.DOWN),
        ({"mta1": Verdict(State.DOWN, shed_out=True)}, State.DOWN),
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
def test_state_of_a_host(one: Zone, verdicts: dict[str, Verdict], state: State) -> None:
    assert live_set(one, verdicts).host_state(one, mta1(one)) is state


def test_a_host_that_nothing_checks_is_up() -> None:
    one = zone("""
        hosts: {mta1: 192.0.2.1}
        pools: {main: {hosts: [mta1]}}
    """)
    assert live_set(one).host_state(one, one.hosts[0]) is State.UP


def test_forcing_and_releasing_leave_the_old_set_as_it_was(one: Zone) -> None:
    before = live_set(one)
    forced = before.with_forced((NAME, "mta1"), Forced.DRAINED)
    assert forced.forced == {(NAME, "mta1"): Forced.DRAINED}
    assert forced.with_forced((NAME, "mta1"), None).forced == before.forced == {}


@pytest.mark.parametrize(
    ("verdict", "pending"),
    [
        (UP, False),
        (failing(1), True),
        (DOWN, False),
        (Verdict(State.DOWN, successes=1), True),
        (Verdict(State.UP, successes=5), False),
        (Verdict(State.UNKNOWN, failures=1), False),
    ],
)
def test_a_change_is_pending(verdict: Verdict, pending: bool) -> None:
    assert verdict.pending is pending
