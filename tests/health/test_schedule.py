"""When a target is probed next: at its interval, jittered, sooner while a change is pending."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.health.schedule import JITTER, first_start, next_start
from geodns.model.checks import Check
from geodns.model.state import HealthState, Verdict

CHECK = Check(name="smtp", interval=10, fast_interval=2, rise=2, fall=3)
UP, DOWN = Verdict(HealthState.UP), Verdict(HealthState.DOWN)
DOUBTED = Verdict(HealthState.UP, failures=1)
FLOATS = st.floats(min_value=0, max_value=1e6)


@given(FLOATS, FLOATS, st.sampled_from([Verdict(), UP, DOWN, DOUBTED]), st.booleans(), st.randoms())
def test_the_next_start(
    started: float, took: float, verdict: Verdict, spread: bool, rng: random.Random
) -> None:
    period = CHECK.fast_interval if verdict.pending else CHECK.interval
    ended = started + took
    due = next_start(CHECK, verdict, started, ended, rng, spread=spread)
    assert due >= ended
    if due > ended:
        least = 0 if spread and not verdict.pending else 1 - JITTER
        assert least * period - 1e-6 <= due - started <= (1 + JITTER) * period + 1e-6
    assert took <= period * 2 or due == ended


def test_starts_are_jittered_to_both_sides() -> None:
    rng = random.Random(1)
    dues = [next_start(CHECK, UP, 0, 0, rng) for _ in range(1000)]
    assert 9 <= min(dues) < 9.1
    assert 10.9 < max(dues) <= 11


@pytest.mark.parametrize(
    ("verdict", "latest"),
    [
        pytest.param(Verdict(), 100, id="unknown-at-once"),
        pytest.param(UP, 110, id="up-in-its-interval"),
        pytest.param(DOWN, 110, id="down-in-its-interval"),
        pytest.param(DOUBTED, 102, id="pending-soon"),
    ],
)
def test_the_first_start(verdict: Verdict, latest: float) -> None:
    rng = random.Random(1)
    dues = [first_start(CHECK, verdict, 100, rng) for _ in range(1000)]
    assert 100 <= min(dues) <= 100 + (latest - 100) * 0.1
    assert 100 + (latest - 100) * 0.9 <= max(dues) <= latest


def test_what_is_hurried_comes_as_soon_as_what_is_pending() -> None:
    rng = random.Random(1)
    dues = [next_start(CHECK, UP, 0, 0, rng, hurried=True) for _ in range(1000)]
    assert 1.8 <= min(dues) < max(dues) <= 2.2
