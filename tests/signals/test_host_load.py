"""The curve, the smoothing and the steps; and what is known of each host."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.hosts import Load, Metric
from geodns.signals.host_load import PARTS, PLAIN, STEP, Known, Loads, next_step, smoothed, wanted

A, B = ("z", "a"), ("z", "b")
TOLD = 1_795_417_200.0
FLOORS = st.integers(1, 100).map(lambda percent: percent / 100)
RATIOS = st.floats(0, 1e6)
FACTORS = st.integers(1, 100).map(lambda percent: Fraction(percent, 100))


@pytest.mark.parametrize(
    ("ratio", "floor", "expected"),
    [
        (0, 0.1, 1),
        (0.5, 0.1, 1),
        (0.625, 0.1, 0.859375),
        (0.75, 0.1, 0.55),
        (0.875, 0.1, 0.240625),
        (1, 0.1, 0.1),
        (7, 0.1, 0.1),
        (0.75, 0.5, 0.75),
        (1, 0.01, 0.01),
        (1, 1, 1),
    ],
)
def test_the_curve(ratio: float, floor: float, expected: float) -> None:
    assert wanted(ratio, floor) == pytest.approx(expected, abs=1e-12)


@given(st.lists(RATIOS, min_size=2), FLOORS)
def test_the_curve_never_rises_and_stays_between_floor_and_one(ratios: list[float], floor: float) -> None:
    parts = [wanted(ratio, floor) for ratio in sorted(ratios)]
    assert all(before >= after - 1e-12 for before, after in pairwise(parts))
    assert all(floor - 1e-12 <= part <= 1 for part in parts)


@given(st.floats(0, 2), st.floats(0, 1e-3), FLOORS)
def test_the_curve_has_no_jump(ratio: float, more: float, floor: float) -> None:
    steepest = 1.5 / (1 - PLAIN)
    assert wanted(ratio, floor) - wanted(ratio + more, floor) <= steepest * more + 1e-9


@pytest.mark.parametrize(
    ("before", "value", "elapsed", "expected"),
    [
        (0, 1, 0, 0),
        (0, 1, 30, 1 - 1 / 2.718281828),
        (1, 0, 30, 1 / 2.718281828),
        (0, 1, 3000, 1),
        (0.4, 0.4, 17, 0.4),
        (0.4, 1, -5, 0.4),
    ],
)
def test_smoothing(before: float, value: float, elapsed: float, expected: float) -> None:
    assert smoothed(before, value, elapsed, 30) == pytest.approx(expected, abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_smoothing_lies_between_and_does_not_care_how_often_it_is_done(
    before: float, value: float, first: float, then: float
) -> None:
    once = smoothed(before, value, first + then, 30)
    assert min(before, value) - 1e-9 <= once <= max(before, value) + 1e-9
    assert smoothed(smoothed(before, value, first, 30), value, then, 30) == pytest.approx(once, abs=1e-9)


@pytest.mark.parametrize(
    ("factor", "wish", "floor", "expected"),
    [
        ("1", 1, 0.1, "1"),
        ("1", 0.1, 0.1, "9/10"),
        ("1", 0.97, 0.1, "1"),
        ("1", 0.95, 0.1, "19/20"),
        ("19/20", 0.98, 0.1, "19/20"),
        ("19/20", 1, 0.1, "1"),
        ("1/2", 0.44, 0.1, "9/20"),
        ("3/20", 0.109, 0.1, "1/10"),
        ("3/20", 0.12, 0.12, "3/25"),
        ("3/25", 1, 0.12, "11/50"),
        ("3/20", 0.01, 0.01, "1/20"),
        ("1/20", 0.01, 0.01, "1/100"),
        ("1/10", 0.5, 0.5, "1/5"),
        ("9/10", 0.99, 1, "1"),
    ],
)
def test_a_step(factor: str, wish: float, floor: float, expected: str) -> None:
    assert next_step(Fraction(factor), wish, floor) == Fraction(expected)


@given(FACTORS, FLOORS, RATIOS)
def test_steps_are_small_and_end_where_they_should(factor: Fraction, floor: float, ratio: float) -> None:
    wish = wanted(ratio, floor)
    for _ in range(12):
        after = next_step(factor, wish, floor)
        assert abs(after - factor) <= STEP
        assert min(factor, Fraction(round(floor * 100), 100)) <= after <= 1
        assert 100 % after.denominator == 0
        factor = after
    assert next_step(factor, wish, floor) == factor, "it comes to rest"
    assert abs(factor - wish) <= 0.75 / PARTS
    if wish == 1:
        assert factor == 1


@given(st.integers(2, PARTS - 1), st.lists(st.floats(-0.03, 0.03), min_size=1))
def test_what_trembles_changes_nothing(part: int, errors: list[float]) -> None:
    factor = Fraction(part, PARTS)
    for error in errors:
        assert next_step(factor, max(0.12, float(factor) + error), 0.05) == factor or part < 4


# --- what is known --------------------------------------------------------------------------------------

LOAD = Load(url="http://a/", metric=Metric(name="q"), full=2000)


def run(loads: Loads, *values: float | None, since: float, every: float = 10.0) -> list[float]:
    """Take values at their times with a step after each; return the factors of A."""
    shown = []
    for number, value in enumerate(values):
        now = since + number * every
        if value is not None:
            loads.took(A, value, now, TOLD + now)
        loads.step(now)
        shown.append(float(loads.factors.get(A, 1)))
    return shown


def test_the_weight_falls_in_steps_and_comes_back() -> None:
    loads = Loads()
    loads.keep({A: LOAD, B: LOAD})
    assert run(loads, 100, 900, since=0) == [1, 1]
    falling = run(loads, *[5000] * 20, since=20)
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] == 0.1
    rising = run(loads, *[0] * 30, since=220)
    assert rising == sorted(rising)
    assert rising[-1] == 1
    assert loads.factors == {}, "a plain weight is no factor"
    assert loads.known[B].value is None


def test_one_wild_value_does_next_to_nothing() -> None:
    loads = Loads()
    loads.keep({A: LOAD})
    factors = run(loads, *[200] * 5, 1e12, *[200] * 5, since=0)
    assert min(factors) == 1


def test_a_first_value_counts_in_full_but_in_steps() -> None:
    loads = Loads()
    loads.keep({A: LOAD})
    assert loads.step(0) == []
    loads.took(A, 2000, 1, TOLD)
    assert loads.step(5) == [A]
    assert loads.factors == {A: Fraction(9, 10)}
    assert loads.step(10) == [A]
    assert loads.factors == {A: Fraction(8, 10)}


def test_stale_values_give_the_plain_weight_back_in_steps() -> None:
    loads = Loads()
    loads.keep({A: LOAD})
    assert run(loads, *[2000] * 12, since=0)[-1] == 0.1
    loads.failed(A, "connection refused")
    assert loads.known[A].trouble is None, "a value that fails to come changes nothing yet"
    assert run(loads, *[None] * 6, since=120) == [0.1] * 6
    assert run(loads, *[None] * 3, since=180) == [0.2, 0.3, 0.4]
    assert loads.known[A].trouble == "connection refused"
    loads.took(A, 2000, 211, TOLD)
    assert (loads.known[A].stale, loads.known[A].error) == (False, None)
    assert run(loads, 2000, since=215) == [0.3], "what comes after a gap counts nearly alone"


def test_who_never_says_anything_is_told_of() -> None:
    loads = Loads()
    loads.keep({A: LOAD, B: Load(full=1, stale=30)})
    for now in (1000, 1030, 1031):
        assert loads.step(now) == []
    assert (loads.known[A].stale, loads.known[B].stale) == (False, True)
    assert loads.known[B].trouble == "nothing has been pushed for 30 s"
    loads.step(1061)
    assert loads.known[A].trouble == "nothing has been read for 60 s"
    assert loads.factors == {}


def test_an_edit_is_followed() -> None:
    loads = Loads()
    loads.keep({A: LOAD})
    run(loads, *[2000] * 5, since=0)
    assert loads.factors == {A: Fraction(1, 2)}
    before = loads.known[A]
    loads.keep({A: LOAD, B: LOAD})
    assert loads.known == {A: before, B: Known(LOAD)}
    loads.keep({A: LOAD.model_copy(update={"full": 8000.0})})
    assert (loads.known[A].ratio, loads.known[A].factor) == (0.25, Fraction(1, 2))
    loads.step(41)
    assert loads.factors == {A: Fraction(3, 5)}
    loads.keep({A: LOAD.model_copy(update={"floor": 0.5})})
    assert loads.known[A].value == 2000
    other = LOAD.model_copy(update={"url": "http://b/"})
    loads.keep({A: other})
    assert loads.known[A] == Known(other, factor=Fraction(3, 5)), "values of another source are no values"
    loads.keep({})
    assert (loads.known, loads.factors) == ({}, {})


@given(st.lists(st.tuples(st.floats(0, 1e9) | st.none(), st.floats(0.1, 100)), max_size=60), FLOORS)
def test_whatever_is_said_no_step_is_large_and_nobody_is_taken_out(
    said: list[tuple[float | None, float]], floor: float
) -> None:
    loads = Loads()
    loads.keep({A: LOAD.model_copy(update={"floor": floor})})
    now, before = 0.0, Fraction(1)
    for value, elapsed in said:
        now += elapsed
        if value is not None:
            loads.took(A, value, now, TOLD)
        changed = loads.step(now)
        after = loads.factors.get(A, Fraction(1))
        assert (after != before) is (changed == [A])
        assert abs(after - before) <= STEP
        assert after >= Fraction(1, 100)
        before = after
    for _ in range(10):
        now += 1000
        loads.step(now)
    assert loads.factors == {}
