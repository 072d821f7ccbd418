"""Quantiles of delays, held against all delays in order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.signals.delays import LONGEST, SHORTEST, bin_of, merged, quantiles

DELAYS = st.lists(st.floats(0, 10 * LONGEST), min_size=1, max_size=200)


def bins(delays: list[float]) -> dict[int, int]:
    return merged({bin_of(one): 1} for one in delays)


@given(DELAYS, st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_quantile_is_right_to_five_percent(delays: list[float], part: float) -> None:
    exact = sorted(min(max(one, SHORTEST), LONGEST) for one in delays)[int(part * (len(delays) - 1))]
    (found,) = quantiles(bins(delays), part)
    assert found == pytest.approx(exact, rel=0.0501)


def test_parts_that_are_put_together_give_what_the_whole_gives() -> None:
    rng = random.Random(1)
    delays = [rng.lognormvariate(2, 2) for _ in range(5000)]
    parts = [bins(delays[at::7]) for at in range(7)]
    assert merged(parts) == bins(delays)


def test_no_delays_have_no_quantiles() -> None:
    assert quantiles({}, 0.5, 0.95) == (None, None)


def test_bins_are_few() -> None:
    assert bin_of(-1) == bin_of(0) == bin_of(SHORTEST)
    assert bin_of(float("inf")) == bin_of(LONGEST)
    assert bin_of(LONGEST) - bin_of(0) + 1 == 195
