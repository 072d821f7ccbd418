"""Whose slot it is: the order of the arms is the same for ever, and drawn once for slots that share it."""

import pytest

from geodns.model import experiments
from geodns.model.experiments import Arm, Experiment

WEEK = 7 * 86400
MONDAY = 1_794_787_200  # 16 November 2026, UTC


def by_time(one: int, other: int, slot: int = 3600, salt: int = 7) -> Experiment:
    arms = (Arm(name="a", share=one, pool="main"), Arm(name="b", share=other, pool="trial"))
    return Experiment(name="x", owner="o.", pool="main", arms=arms, by="time", slot=slot, salt=salt)


def test_the_order_is_the_same_in_every_version() -> None:
    held = by_time(2, 1)
    order = "".join(held.arm_at(MONDAY + hour * 3600)[0].name for hour in range(24))
    assert order == "aabbaaabaabaaabaabaabbaa"


@pytest.mark.parametrize("slot", [3600, 5 * 3600, 100 * 60, 86400 * 4])
def test_slots_follow_one_another_also_over_the_end_of_a_week(slot: int) -> None:
    held, at = by_time(3, 2, slot), MONDAY + WEEK - 86400 * 4
    while at < MONDAY + WEEK + 86400 * 4:
        place = held.place_at(at)
        assert place.begin <= at < place.end <= place.begin + slot
        assert held.place_at(place.end - 1) == place
        assert held.place_at(place.end).begin == place.end
        at = place.end


def test_slots_of_one_square_are_drawn_once() -> None:
    held = by_time(9_999, 1, slot=600)
    experiments._latin_square.cache_clear()
    for at in range(MONDAY, MONDAY + WEEK, 600):
        held.place_at(at)
    assert experiments._latin_square.cache_info().misses == 1
