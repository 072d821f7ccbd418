import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.health.state_machine import (
    MAX_LEVEL,
    SlowAnswers,
    advance,
    forgive,
    with_share,
    with_slow_answers,
    withhold,
)
from geodns.model.checks import Check
from geodns.model.state import HealthState, Verdict

CHECK = Check(name="smtp", rise=2, fall=3)
KINDS = {
    "o": ProbeResult.OK,
    "f": ProbeResult.FAILURE,
    "s": ProbeResult.SHEDDING,
    "d": ProbeResult.DEFERRED,
    "u": ProbeResult.UNKNOWN,
}


def after(outcomes: str, check: Check = CHECK) -> Verdict:
    """What is believed after outcomes, written as one letter each."""
    verdict = Verdict()
    for letter in outcomes:
        verdict = advance(verdict, KINDS[letter], check)
    return verdict


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param("", Verdict(), id="nothing-known"),
        pytest.param("o", Verdict(HealthState.UP), id="first-ok-decides"),
        pytest.param("f", Verdict(HealthState.DOWN), id="first-failure-decides"),
        pytest.param("du", Verdict(), id="deferred-and-unknown-decide-nothing"),
        pytest.param("s", Verdict(sheds=1, level=1), id="first-shedding-halves-only"),
        pytest.param("so", Verdict(HealthState.UP), id="shedding-then-ok"),
        pytest.param("sf", Verdict(HealthState.DOWN), id="shedding-then-failure"),
        pytest.param("of", Verdict(HealthState.UP, failures=1), id="one-failure"),
        pytest.param("off", Verdict(HealthState.UP, failures=2), id="two-failures"),
        pytest.param("offf", Verdict(HealthState.DOWN), id="three-failures-are-down"),
        pytest.param("ofofof", Verdict(HealthState.DOWN), id="failures-need-not-be-in-a-row"),
        pytest.param(
            "ofo", Verdict(HealthState.UP, failures=1, successes=1), id="one-success-clears-nothing"
        ),
        pytest.param("ofoo", Verdict(HealthState.UP), id="rise-successes-clear"),
        pytest.param("offof", Verdict(HealthState.DOWN), id="third-failure-before-cleared"),
        pytest.param("offooff", Verdict(HealthState.UP, failures=2), id="counted-from-zero-once-cleared"),
        pytest.param("fo", Verdict(HealthState.DOWN, successes=1), id="one-success-is-not-up"),
        pytest.param("foo", Verdict(HealthState.UP), id="rise-successes-are-up"),
        pytest.param("fofo", Verdict(HealthState.DOWN, successes=1), id="successes-must-be-in-a-row"),
        pytest.param("fodduo", Verdict(HealthState.UP), id="deferred-and-unknown-break-no-row"),
        pytest.param("os", Verdict(HealthState.UP, sheds=1, level=1), id="shedding-halves"),
        pytest.param("oss", Verdict(HealthState.UP, sheds=2, level=2), id="shedding-quarters"),
        pytest.param("osss", Verdict(HealthState.UP, sheds=3, level=3, shed_out=True), id="shed-out"),
        pytest.param("osssso", Verdict(HealthState.UP, level=2), id="first-ok-after-shed-out"),
        pytest.param("osssoo", Verdict(HealthState.UP, level=1), id="second-ok"),
        pytest.param("osssooo", Verdict(HealthState.UP), id="third-ok-restores"),
        pytest.param("ossoss", Verdict(HealthState.UP, sheds=2, level=3), id="shed-out-needs-a-row"),
        pytest.param(
            "osssf", Verdict(HealthState.UP, 1, 0, 3, 3, shed_out=True), id="failure-brings-not-back"
        ),
        pytest.param(
            "ofs", Verdict(HealthState.UP, failures=1, sheds=1, level=1), id="shedding-clears-no-failures"
        ),
        pytest.param("ofoso", Verdict(HealthState.UP), id="shedding-breaks-no-row"),
        pytest.param(
            "fos", Verdict(HealthState.DOWN, successes=1, sheds=1, level=1), id="shedding-while-down"
        ),
        pytest.param("fsssoo", Verdict(HealthState.UP), id="up-again-starts-clean"),
        pytest.param("osfff", Verdict(HealthState.DOWN), id="down-starts-clean"),
    ],
)
def test_what_is_believed(outcomes: str, expected: Verdict) -> None:
    assert after(outcomes) == expected


def test_rise_and_fall_of_one() -> None:
    check = Check(name="smtp", rise=1, fall=1)
    assert after("of", check) == Verdict(HealthState.DOWN)
    assert after("fo", check) == Verdict(HealthState.UP)
    assert after("os", check) == Verdict(HealthState.UP, sheds=1, level=1, shed_out=True)
    assert after("oso", check) == Verdict(HealthState.UP)


@given(
    st.text("".join(KINDS), max_size=60),
    st.integers(min_value=1, max_value=5),
    st.integers(min_value=1, max_value=30),
)
def test_whatever_happens_the_numbers_stay_in_bounds(outcomes: str, rise: int, fall: int) -> None:
    check = Check(name="smtp", rise=rise, fall=fall)
    verdict = after(outcomes, check)
    assert 0 <= verdict.failures < fall
    assert 0 <= verdict.successes < rise
    assert 0 <= verdict.sheds <= fall
    assert 0 <= verdict.level <= MAX_LEVEL
    assert (verdict.state is HealthState.UNKNOWN) == (not set(outcomes) & {"o", "f"})
    assert not verdict.shed_out or verdict.sheds
    assert 0 <= verdict.factor <= 1


@given(
    st.text("".join(KINDS), max_size=40),
    st.integers(min_value=1, max_value=5),
    st.integers(min_value=1, max_value=12),
)
def test_oks_heal_everything_and_then_change_nothing(outcomes: str, rise: int, fall: int) -> None:
    check = Check(name="smtp", rise=rise, fall=fall)
    oks = "o" * (rise + MAX_LEVEL + 1)
    assert after(outcomes + oks, check) == after(outcomes + oks + "o", check) == Verdict(HealthState.UP)


@given(st.text("".join(KINDS), max_size=40), st.integers(min_value=1, max_value=12))
def test_failures_bring_down_and_then_change_nothing(outcomes: str, fall: int) -> None:
    check = Check(name="smtp", fall=fall)
    down = after(outcomes + "f" * (fall + 1), check)
    assert down.state is HealthState.DOWN
    assert after(outcomes + "f" * (fall + 2), check) == down


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        pytest.param("o", Verdict(HealthState.UP, failures=1), id="failures-gather"),
        pytest.param("off", Verdict(HealthState.UP, failures=2), id="but-never-to-the-last"),
        pytest.param("ofo", Verdict(HealthState.UP, failures=2), id="successes-begin-anew"),
        pytest.param("os", Verdict(HealthState.UP, 1, 0, 1, 1), id="sheds-stay"),
        pytest.param("", Verdict(), id="nothing-known-stays-so"),
        pytest.param("fo", Verdict(HealthState.DOWN), id="down-stays-down"),
    ],
)
def test_what_is_withheld(outcomes: str, expected: Verdict) -> None:
    assert withhold(after(outcomes), CHECK) == expected


def test_what_is_forgiven() -> None:
    assert forgive(after("osffo")) == Verdict(HealthState.UP)
    assert forgive(after("fos")) == Verdict(HealthState.DOWN, sheds=1, level=1)


@pytest.mark.parametrize(
    ("kind", "weight", "share"),
    [
        (ProbeResult.OK, 0.75, 75),
        (ProbeResult.OK, 0.001, 1),
        (ProbeResult.OK, None, 100),
        (ProbeResult.FAILURE, None, 40),
        (ProbeResult.SHEDDING, None, 40),
        (ProbeResult.UNKNOWN, 0.75, 40),
    ],
)
def test_only_a_good_outcome_changes_the_share(kind: ProbeResult, weight: float | None, share: int) -> None:
    before = Verdict(HealthState.UP, share=40)
    assert with_share(before, ProbeOutcome(kind, "", weight=weight)) == Verdict(HealthState.UP, share=share)


# --- slow answers ---------------------------------------------------------------------------------------

LIMIT = 0.5


def answers(letters: str, start: SlowAnswers | None = None) -> SlowAnswers:
    """Return what answers come to, ``s`` for slow and ``f`` for fast."""
    found = start or SlowAnswers()
    for letter in letters:
        found = found.after(0.5 if letter == "s" else 0.499, LIMIT)
    return found


@pytest.mark.parametrize(
    ("letters", "slow"),
    [
        ("", False),
        ("s", False),
        ("ss", False),
        ("sss", True),
        ("ffffs", False),
        ("sfsfs", True),
        ("sffsfs", False),
        ("sffsffsff", False),
        ("sssf", True),
        ("sssff", True),
        ("sssfff", True),
        ("sssffff", False),
        ("sssfffs", True),
        ("sssffffs", False),
        ("ssssssssssf", True),
    ],
)
def test_most_of_the_last_answers_decide(letters: str, *, slow: bool) -> None:
    assert answers(letters).slow is slow


@given(st.text("sf", max_size=60))
def test_one_answer_among_others_changes_nothing(letters: str) -> None:
    found = answers(letters)
    assert len(found.recent) <= 5
    assert not answers("fffff" + "s" + "fffff", found).slow
    settled = answers("sssss", found)
    assert settled.slow
    assert answers("fss", settled).slow
    assert not answers("s", answers("fffff", found)).slow


def test_a_host_known_to_be_slow_is_so_until_it_has_shown_otherwise() -> None:
    assert SlowAnswers.known(slow=False) == SlowAnswers()
    known = SlowAnswers.known(slow=True)
    assert known.slow
    assert answers("fff", known).slow
    assert not answers("ffff", known).slow


def test_an_answer_that_is_like_the_others_makes_no_new_object() -> None:
    steady = answers("fffff")
    assert steady.after(0.1, LIMIT) is steady


def test_only_good_probes_that_said_ehlo_count() -> None:
    check = CHECK.model_copy(update={"slow": LIMIT})
    slow = ProbeOutcome(ProbeResult.OK, "", ehlo_rtt=0.6)
    found = SlowAnswers()
    for outcome in (
        slow,
        slow,
        ProbeOutcome(ProbeResult.OK, ""),
        ProbeOutcome(ProbeResult.FAILURE, "", 1, 1),
    ):
        found = found.after_probe(outcome, check)
    assert found == SlowAnswers((True, True))
    found = found.after_probe(slow, check)
    assert found.slow
    assert found.after_probe(slow, CHECK) == SlowAnswers(), "the check has no `slow` any more"


def test_a_slow_target_is_degraded_unless_it_is_down() -> None:
    slow = SlowAnswers.known(slow=True)
    up, down = Verdict(HealthState.UP), Verdict(HealthState.DOWN)
    assert with_slow_answers(up, slow) == Verdict(HealthState.UP, degraded=True)
    assert with_slow_answers(down, slow) == down
    assert with_slow_answers(Verdict(HealthState.UP, degraded=True), SlowAnswers()) == up
