"""Units within ceilings: nobody over theirs, warm hosts by weight, the whole cycle dealt."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.compiler.ceilings import units_within
from geodns.compiler.rotation import units
from geodns.model.limits import CYCLE

WEIGHTS = st.builds(Fraction, st.integers(1, 10**6), st.integers(1, 50))
CEILINGS = st.none() | st.fractions(0, Fraction(5, 4))
HOSTS = st.lists(st.tuples(WEIGHTS, CEILINGS), min_size=1, max_size=12)


@given(HOSTS, st.booleans())
def test_no_share_exceeds_its_ceiling(hosts: list[tuple[Fraction, Fraction | None]], fill: bool) -> None:
    weights, ceilings = zip(*hosts, strict=True)
    found = units_within(weights, ceilings, fill=fill)
    if found is None:
        assert None not in ceilings
        floors = [int(min(one, 1) * max(CYCLE, 2 * len(hosts))) for one in ceilings]
        assert sum(floors) < max(CYCLE, 2 * len(hosts))
        return
    total = sum(found)
    for part, ceiling in zip(found, ceilings, strict=True):
        assert part >= (1 if ceiling is None else 0)
        assert ceiling is None or Fraction(part, total) <= ceiling
    divisor = math.gcd(*found)
    assert units(found) == tuple(one // divisor for one in found), "dealt as it is worked out"


@given(HOSTS)
def test_what_keeps_its_ceiling_is_dealt_by_weight(hosts: list[tuple[Fraction, Fraction | None]]) -> None:
    weights = [weight for weight, _ in hosts]
    assert units_within(weights, [None] * len(hosts)) == units(weights)
    assert units_within(weights, [Fraction(1)] * len(hosts)) == units(weights)


@pytest.mark.parametrize(
    ("weights", "ceilings", "shares"),
    [
        pytest.param("1 1 1", "- - 0", "1/2 1/2 0", id="nothing yet"),
        pytest.param("1 1 1", "- - 1/10", "9/20 9/20 1/10", id="the warm ones take the rest"),
        pytest.param("3 1 1", "- - 1/10", "27/40 9/40 1/10", id="by weight"),
        pytest.param("1 1", "- 1/2000", "1 0", id="under one answer of the cycle"),
        pytest.param("1 1 1", "1/10 9/10 1/5", "1/10 7/10 1/5", id="enough without a warm one"),
        pytest.param("1 1", "1/10 8/10", None, id="a part that nobody may take"),
    ],
)
def test_shares(weights: str, ceilings: str, shares: str | None) -> None:
    found = units_within(
        [Fraction(one) for one in weights.split()],
        [None if one == "-" else Fraction(one) for one in ceilings.split()],
    )
    if shares is None:
        assert found is None
        return
    assert found is not None
    for part, share in zip(found, shares.split(), strict=True):
        assert abs(Fraction(part, sum(found)) - Fraction(share)) <= Fraction(1, 400)


@given(st.fractions(Fraction(1, 1000), Fraction(1, 3)), st.integers(1, 8))
def test_rounding_down_costs_little(ceiling: Fraction, warm: int) -> None:
    """One answer in a cycle is 195 of 200,000 messages: rounding must not cost half of day 2."""
    found = units_within([Fraction(1)] * (warm + 1), [None] * warm + [ceiling])
    assert found is not None
    dealt = Fraction(found[-1], sum(found))
    wished = min(ceiling, Fraction(1, warm + 1))
    assert wished * Fraction(98, 100) <= dealt <= ceiling
