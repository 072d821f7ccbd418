"""Hosts that come back rise step by step."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.signals.slow_start import STEPS, SlowStart, share

A, B = ("z", "a"), ("z", "b")


@pytest.mark.parametrize(
    ("elapsed", "length", "expected"),
    [
        (0, 600, Fraction(1, 20)),
        (31, 600, Fraction(1, 20)),
        (32, 600, Fraction(2, 20)),
        (300, 600, Fraction(10, 20)),
        (599, 600, Fraction(19, 20)),
        (600, 600, Fraction(1)),
        (9999, 600, Fraction(1)),
        (0, 0, Fraction(1)),
    ],
)
def test_the_share(elapsed: float, length: float, expected: Fraction) -> None:
    assert share(elapsed, length) == expected


@given(st.floats(0.001, 86400), st.lists(st.floats(0, 90000), min_size=2, max_size=20))
def test_it_never_falls_and_ends_at_one(length: float, times: list[float]) -> None:
    shares = [share(elapsed, length) for elapsed in sorted(times)]
    assert shares == sorted(shares)
    assert all(Fraction(1, STEPS) <= one <= 1 for one in shares)
    assert share(length, length) == 1
    assert share(length * 0.999, length) < 1


def test_who_has_risen() -> None:
    rising = SlowStart({})
    rising.begin(A, 100, 0.0)
    rising.begin(B, 0, 0.0)
    assert rising.shares == {A: Fraction(1, 20)}, "without a length there is no slow start"
    assert rising.rise(lambda _: 100, 5.0) == []
    assert rising.rise(lambda _: 100, 6.0) == [A]
    assert rising.shares == {A: Fraction(2, 20)}
    rising.begin(B, 100, 6.0)
    assert set(rising.rise(lambda _: 100, 50.0)) == {A, B}
    assert rising.rise(lambda _: 100, 100.0) == [A, B]
    assert rising.since == {B: 6.0}
    assert A not in rising.shares
    rising.end([A, B])
    assert (rising.since, rising.shares) == ({}, {})


def test_after_a_restart_it_goes_on_where_it_would_be() -> None:
    rising = SlowStart({A: 0.0, B: -500.0})
    assert set(rising.rise(lambda _: 100, 50.0)) == {A, B}
    assert rising.shares == {A: Fraction(10, 20)}
    assert rising.since == {A: 0.0}
    assert rising.rise(lambda _: 0, 51.0) == [A], "an edit that takes it out ends it"
    assert rising.shares == {}


def test_a_clock_that_is_set_back_a_day_keeps_nobody_low_for_a_day() -> None:
    rising = SlowStart({})
    rising.begin(A, 100, 86400.0)
    rising.rise(lambda _: 100, 50.0)
    assert rising.rise(lambda _: 100, 100.0) == [A]
    assert rising.shares == {A: Fraction(10, 20)}
    assert rising.rise(lambda _: 100, 150.0) == [A]
    assert rising.since == {}
