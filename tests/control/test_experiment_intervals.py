"""Simulated experiments: equal arms are seldom taken for different ones, a planted difference is found."""

import random
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodns.control import experiment_intervals
from geodns.control.experiment_intervals import (
    ArmSlot,
    Comparison,
    HostHour,
    compare_clients,
    compare_times,
    holm,
    host_rate_interval,
    slot_rate_interval,
)
from geodns.model.experiments import Arm, Experiment

TIMES = 50
"""Simulated experiments of a kind."""
MOST = 7
"""Of them: 5 %, and what chance alone adds in one of 30 cases (more were run by hand, see the docs)."""
STEPS = 112
"""Hours of a simulated experiment that had mail: every third of two weeks."""
WEEK = 7 * 86400
MONDAY = 4 * 86400


def hosts_mail(
    seed: int,
    hosts: tuple[int, int] = (4, 4),
    *,
    differ: float = 0.0,
    drift: float = 0.0,
    shocks: float = 0.0,
    sizes: Sequence[float] = (1,),
    rate: float = 0.05,
    better: float = 0.0,
) -> list[HostHour]:
    """Return two weeks of two arms, whose clients send at different hours."""
    rng = np.random.default_rng(seed)
    hours = np.arange(STEPS) * 3
    drifts = drift * (np.sin(hours / 24 * 2 * np.pi) + rng.standard_normal(STEPS).cumsum() / sqrt(STEPS))
    found = []
    for place, arm in enumerate(("control", "trial")):
        shock = np.zeros(STEPS)
        for at, new in enumerate(rng.standard_normal(STEPS)):
            shock[at] = 0.73 * shock[at - 1] + sqrt(1 - 0.73**2) * new
        traffic = 120 * (1 + 0.5 * np.sin(hours / 24 * 2 * np.pi + place))
        for host in range(hosts[place]):
            own = rate * np.exp(differ * rng.standard_normal()) * (1 - better * place)
            rates = np.minimum(0.9, own * np.exp(drifts + shocks * shock))
            of = rng.poisson(traffic * sizes[host % len(sizes)])
            number = rng.binomial(of, rates)
            found += [
                HostHour(arm, f"{arm}{host}", at * 3600, some, all_of)
                for at, some, all_of in zip(hours.tolist(), number.tolist(), of.tolist(), strict=True)
            ]
    return found


WORLDS = {
    "equal hosts": {"hosts": (3, 3)},
    "hosts differ": {"hosts": (3, 3), "differ": 0.5},
    "one is large": {"hosts": (3, 8), "differ": 0.4, "sizes": (6, 2, 1, 1, 1)},
    "hours drift": {"hosts": (8, 8), "differ": 0.05, "drift": 0.7},
    "all at once": {"hosts": (8, 8), "differ": 0.1, "shocks": 0.3, "drift": 0.3},
    "rare": {"rate": 0.0005},
}


@pytest.mark.parametrize("world", WORLDS)
def test_equal_arms_are_seldom_taken_for_different_ones(world: str) -> None:
    false = 0
    for seed in range(TIMES):
        found = compare_clients(hosts_mail(seed, **WORLDS[world]), "trial", "control", seed)  # type: ignore[arg-type]
        assert found is not None
        interval = found.interval()
        assert interval is not None
        low, high = interval
        assert (found.p > 0.05) == (low < 0 < high)
        false += not low < 0 < high
    assert false <= MOST


def test_a_planted_difference_is_found_by_client() -> None:
    found = [
        compare_clients(hosts_mail(seed, (8, 8), differ=0.1, drift=0.5, better=0.3), "trial", "control", seed)
        for seed in range(20)
    ]
    intervals = [one.interval() for one in found if one is not None]
    below = [one for one in intervals if one is not None and one[1] < 0]
    assert len(below) >= 18


def test_the_true_difference_is_covered() -> None:
    covered = 0
    for seed in range(TIMES):
        found = compare_clients(hosts_mail(seed, (6, 6), better=0.2), "trial", "control", seed)
        low, high = (found and found.interval()) or (0, 0)
        covered += low < -0.05 * 0.2 < high
    assert covered >= TIMES - MOST


def test_what_was_never_seen_may_still_happen() -> None:
    mail = [HostHour(arm, f"{arm}{host}", 0, 0, 30) for arm in "ab" for host in range(3)]
    found = compare_clients(mail, "a", "b", 1)
    assert found is not None
    assert found.difference == 0
    low, high = found.interval() or (0, 0)
    assert low < -0.02
    assert high > 0.02
    interval = host_rate_interval([one for one in mail if one.arm == "a"], 1)
    assert interval is not None
    assert interval[0] == 0
    assert interval[1] > 0.02


@pytest.mark.parametrize(
    "mail",
    [
        [],
        [HostHour("a", "h", 0, 1, 9)],
        [HostHour("a", "h", 0, 1, 9), HostHour("b", "h1", 0, 1, 9), HostHour("b", "h2", 0, 1, 9)],
        # Never at the same hour:
        [HostHour(arm, f"{arm}{host}", (arm == "b") * 3600, 1, 9) for arm in "ab" for host in range(3)],
        [HostHour(arm, f"{arm}{host}", 0, 0, 0) for arm in "ab" for host in range(3)],
    ],
)
def test_too_little_mail_compares_nothing(mail: list[HostHour]) -> None:
    assert compare_clients(mail, "a", "b", 1) is None
    assert host_rate_interval([one for one in mail if one.arm == "a"][:1], 1) is None


counts = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 9), counts), max_size=40))
def test_arms_swapped_swap_the_sign_by_client(rows: list[tuple[str, int, int, list[int]]]) -> None:
    mail = [HostHour(arm, f"{arm}{host}", at * 3600, *count) for arm, host, at, count in rows]
    _assert_mirrored(compare_clients(mail, "a", "b", 3), compare_clients(mail, "b", "a", 3))


def _assert_mirrored(one: Comparison | None, other: Comparison | None) -> None:
    if one is None or other is None:
        assert one is other
        return
    assert one.difference == -other.difference
    assert one.p == other.p
    interval, mirrored = one.interval(), other.interval()
    if interval is None or mirrored is None:
        assert interval is mirrored
    else:
        assert interval == pytest.approx((-mirrored[1], -mirrored[0]))
        assert interval[0] <= one.difference <= interval[1]


# ----- by time


def experiment(shares: Sequence[int], salt: int, slot: int = 3600) -> Experiment:
    arms = tuple(Arm(name=name, share=share, pool=name) for name, share in zip("abc", shares, strict=False))
    return Experiment(name="x", owner="out", pool="a", arms=arms, by="time", slot=slot, salt=salt)


def turns_of(shares: Sequence[int]) -> list[str]:
    return [arm.name for arm in experiment(shares, 0).turns]


def slots_mail(seed: int, shares: Sequence[int], *, better: float = 0.0, weeks: float = 2) -> list[ArmSlot]:
    """Return the mail of an experiment whose rate drifts, by the hour of the day and beside."""
    rng = np.random.default_rng(seed)
    held = experiment(shares, seed)
    begins = range(MONDAY, MONDAY + int(weeks * WEEK), held.slot)
    drift, found = 0.0, []
    for place, (at, new) in enumerate(zip(begins, rng.standard_normal(len(begins)), strict=True)):
        drift = 0.9 * drift + sqrt(1 - 0.9**2) * new
        day = np.sin(place / 24 * 2 * np.pi)
        where = held.place_at(at)
        of = int(rng.poisson(400 * (1 + 0.5 * np.sin(place / 24 * 2 * np.pi + 1))))
        rate = min(0.9, 0.05 * np.exp(0.4 * drift + 0.7 * day) * (1 - better * (where.arm.name == "b")))
        number = int(rng.binomial(of, rate))
        found.append(ArmSlot(where.arm.name, where.square, where.row, where.column, at, number, of))
    return found


@pytest.fixture
def _few_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment_intervals, "ORDERS", 300)


@pytest.mark.usefixtures("_few_orders")
@pytest.mark.parametrize("shares", [(1, 1), (80, 20), (1, 1, 1)], ids=str)
def test_no_drift_makes_equal_arms_different_by_time(shares: tuple[int, ...]) -> None:
    turns = turns_of(shares)
    false = 0
    for seed in range(TIMES // 2):
        found = compare_times(slots_mail(seed, shares), turns, "b", "a", seed)
        assert found is not None
        interval = found.interval()
        assert interval is not None
        false += not interval[0] <= 0 <= interval[1]
    assert false <= 8


@pytest.mark.usefixtures("_few_orders")
def test_a_planted_difference_is_found_by_time() -> None:
    found = [
        compare_times(slots_mail(seed, (1, 1), better=0.2), turns_of((1, 1)), "b", "a", seed)
        for seed in range(15)
    ]
    intervals = [one.interval() for one in found if one is not None]
    assert sum(one is not None and one[1] < 0 for one in intervals) >= 14


def test_few_slots_have_no_interval_by_time() -> None:
    mail = slots_mail(1, (1, 1), weeks=4 / 168)
    found = compare_times(mail, turns_of((1, 1)), "b", "a", 1)
    assert found is not None
    assert found.interval() is None
    assert found.p > 0.05
    assert compare_times(mail[:1], ("a", "b"), "b", "a", 1) is None
    assert compare_times([], ("a", "b"), "b", "a", 1) is None


@settings(max_examples=20)
@given(st.integers(0, 99), st.sampled_from([(1, 1), (3, 2), (1, 1, 2)]), st.integers(4, 30))
def test_arms_swapped_swap_the_sign_by_time(seed: int, shares: tuple[int, ...], hours: int) -> None:
    mail = slots_mail(seed, shares, weeks=hours / 168)
    turns = turns_of(shares)
    _assert_mirrored(compare_times(mail, turns, "a", "b", seed), compare_times(mail, turns, "b", "a", seed))


def test_a_rate_by_time_has_an_interval() -> None:
    mail = [one for one in slots_mail(3, (1, 1)) if one.arm == "a"]
    rate = sum(one.number for one in mail) / sum(one.of for one in mail)
    low, high = slot_rate_interval(mail, 1) or (0, 0)
    assert 0 < low < rate < high < 0.2
    assert slot_rate_interval(mail[:1], 1) is None


# ----- several comparisons


@given(st.lists(st.floats(0, 1), max_size=9))
def test_holm_never_reorders_and_never_makes_surer(p: list[float]) -> None:
    corrected = holm(p)
    places = sorted(range(len(p)), key=p.__getitem__)
    assert all(corrected[one] <= corrected[other] for one, other in pairwise(places))
    assert all(before <= after <= 1 for before, after in zip(p, corrected, strict=True))
    assert len(p) != 1 or corrected == p


def test_holm_takes_few_of_many_by_chance() -> None:
    rng = random.Random(4)
    runs = sum(min(holm([rng.random() for _ in range(6)])) <= 0.05 for _ in range(2000))
    assert abs(runs / 2000 - 0.05) < 0.02


def test_a_comparison_is_as_wide_as_students_distribution() -> None:
    """Two hosts an arm that are equal in size: known numbers of a table."""
    mail = [
        HostHour(arm, f"{arm}{host}", at, number, 100_000)
        for arm, numbers in {"a": (9_000, 11_000), "b": (9_000, 11_000)}.items()
        for host, number in enumerate(numbers)
        for at in range(0, 7 * 3600, 3600)
    ]
    found = compare_clients(mail, "a", "b", 1)
    assert found is not None
    low, high = found.interval() or (0, 0)
    # Each arm's error is 1 point; the difference of two such, each by Student with one degree of freedom, is
    # Cauchy's of twice the width: 2 * 12.7.
    assert high == pytest.approx(-low)
    assert high == pytest.approx(2 * 0.0141 * 12.7, rel=0.1)
