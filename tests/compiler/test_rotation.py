"""Rotations: both kinds of client see the weights exactly."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.compiler.rotation import cycle, layers, units
from geodns.model.limits import CYCLE

EVEN = math.lcm(*range(1, 33))
"""What a set is worth here: any number of hosts up to 32 divides it."""

WEIGHT = st.one_of(
    st.integers(0, 5),
    st.integers(0, 10**6),
    st.fractions(0, 10**6, max_denominator=100),
    st.builds(Fraction, st.integers(0, 100), st.integers(0, 10).map(lambda level: 2**level)),
)
WEIGHTS = st.lists(WEIGHT, min_size=1, max_size=40).filter(any)
ANSWERS = st.integers(1, 32)


def turning(weights: tuple[int, ...], answers: int, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Build a cycle anew, past the cache."""
    return cycle.__wrapped__(weights, answers, seed)


# --- weights to units ----------------------------------------------------------------------------------


@given(WEIGHTS)
@example([1, 10**6, 1])
@example([Fraction(1, 3), Fraction(1, 1024)])
def test_units_are_the_weights_where_they_fit_and_near_them_where_not(weights: list[Fraction | int]) -> None:
    found = units(weights)
    total, seats = sum(map(Fraction, weights)), sum(found)
    hosts = sum(weight > 0 for weight in weights)
    exact = [Fraction(weight) / total for weight in weights]
    smallest = math.lcm(*(share.denominator for share in exact))
    assert all((unit > 0) == (weight > 0) for unit, weight in zip(found, weights, strict=True))
    if smallest <= max(CYCLE, hosts):
        assert [Fraction(unit, seats) for unit in found] == exact
        assert seats == smallest
        return
    assert seats == max(CYCLE, hosts)
    # Whoever is raised to one unit takes it from the others; else each is within a unit of its quota.
    raised = sum(0 < share * seats < 1 for share in exact)
    for unit, share in zip(found, exact, strict=True):
        assert unit < share * seats + 1 or unit == 1
        assert unit > share * (seats - hosts) - 1
        assert raised or abs(unit - share * seats) < 1
    ordered = sorted(zip(exact, found, strict=True))
    assert [unit for _, unit in ordered] == sorted(found), "who has more weight has no fewer units"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((50, 30, 20), (5, 3, 2)),
        ((0, 7, 0), (0, 1, 0)),
        ((Fraction(1, 2), Fraction(1, 3)), (3, 2)),
        ((25, Fraction(25, 2)), (2, 1)),
        ((10**6, 1), (1023, 1)),
        ((1,) * 3000, (1,) * 3000),
        ((2,) + (1,) * 2999, (1,) * 3000),
        ((10**9, *range(1, 1000)), (25, *(1,) * 999)),
    ],
    ids=["reduced", "zeros", "fractions", "halved", "tiny one", "many", "more hosts than units", "a giant"],
)
def test_units(weights: tuple[Fraction | int, ...], expected: tuple[int, ...]) -> None:
    assert units(weights) == expected


# --- units to the cycle --------------------------------------------------------------------------------


@given(WEIGHTS, ANSWERS, st.integers(0, 2**64))
@example([70, 20, 10], 2, 0)
@example([1], 32, 0)
@example([0, 1, 0], 3, 0)
def test_first_picks_and_uniform_picks_both_equal_the_weights(
    weights: list[Fraction | int], answers: int, seed: int
) -> None:
    whole = units(weights)
    sets = turning(whole, answers, seed)
    total = sum(whole)
    assert len(sets) == total * max(1, CYCLE // total)
    assert all(1 <= len(row) <= answers and len(set(row)) == len(row) for row in sets)
    first = Counter(row[0] for row in sets)
    uniform: Counter[int] = Counter()
    for row in sets:
        for host in row:
            uniform[host] += EVEN // len(row)
    for host, unit in enumerate(whole):
        share = Fraction(unit, total)
        assert Fraction(first[host], len(sets)) == share
        assert Fraction(uniform[host], EVEN * len(sets)) == share


@given(WEIGHTS, ANSWERS)
@example([70, *[1] * 30], 2)
def test_no_stretch_of_the_cycle_strays_from_the_weights(weights: list[Fraction | int], answers: int) -> None:
    """After n sets every host has led within one set of its share of n.

    So in any window, which is the difference of two such beginnings, it is within two.
    """
    whole = units(weights)
    total = sum(whole)
    led = [0] * len(whole)
    for number, row in enumerate(turning(whole, answers), 1):
        led[row[0]] += 1
        assert all(abs(count * total - number * unit) < total for count, unit in zip(led, whole, strict=True))


@given(WEIGHTS, ANSWERS)
def test_sets_are_full_unless_a_host_has_more_than_its_share_of_places(
    weights: list[Fraction | int], answers: int
) -> None:
    whole = units(weights)
    sizes = {layer.size for layer in layers(whole, answers)}
    assert max(sizes) <= min(answers, sum(unit > 0 for unit in whole))
    assert (sizes == {answers}) == (max(whole) * answers <= sum(whole))


def test_the_mix_of_the_design() -> None:
    assert [(layer.size, layer.sets, layer.firsts) for layer in layers((7, 2, 1), 2)] == [
        (2, 6, (3, 2, 1)),
        (1, 4, (4, 0, 0)),
    ]
    sizes = Counter(map(len, cycle(units((70, 20, 10)), 2)))
    assert Fraction(sizes[2], sizes.total()) == Fraction(60, 100)


@pytest.mark.parametrize("answers", [2, 3, 5])
def test_partners_vary(answers: int) -> None:
    """A host's death falls on all the others: each is its partner in some set."""
    partners = {host: Counter[int]() for host in range(10)}
    for row in cycle((1,) * 10, answers, 7):
        for host in row:
            partners[host].update(set(row) - {host})
    assert all(len(seen) == 9 for seen in partners.values())


def test_a_seed_says_who_meets_whom() -> None:
    weights = (3, 2, 2, 1)
    assert turning(weights, 2, 1) == turning(weights, 2, 1)
    assert turning(weights, 2, 1) != turning(weights, 2, 2)


@pytest.mark.parametrize(
    "weights",
    [[1] * 1000, [(host + 1) ** 3 for host in range(1000)], [Fraction(1, host + 1) for host in range(1000)]],
    ids=["equal", "cubes", "harmonic"],
)
def test_a_thousand_hosts(weights: list[Fraction | int]) -> None:
    whole = units(weights)
    sets = turning(whole, 32)
    assert Counter(row[0] for row in sets) == {host: unit for host, unit in enumerate(whole) if unit}
