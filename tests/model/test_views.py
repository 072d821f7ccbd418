"""Hours of rules by the wall's clock: nights, weekends, and the two days a year when the clock is changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.views import DAY, Hours, HourSpan

BERLIN = ZoneInfo("Europe/Berlin")


def hours(
    begin: int, end: int, days: frozenset[int] = frozenset(range(7)), tz: str = "Europe/Berlin"
) -> Hours:
    return Hours(text=("as here",), spans=(HourSpan(days=days, begin=begin, end=end),), tz=tz)


def minutes_in(some: Hours, day: str) -> int:
    """Return how many minutes of a calendar day in Berlin lie in some hours."""
    first = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    start = first.timestamp()
    end = (first + timedelta(days=1)).timestamp()
    return sum(some.include(start + 60 * minute) for minute in range(round((end - start) / 60)))


@pytest.mark.parametrize(
    ("day", "begin", "end", "minutes"),
    [
        ("2026-03-28", 120, 180, 60),
        ("2026-03-29", 120, 180, 0),  # from 2 to 3 there is no hour
        ("2026-03-29", 60, 240, 120),
        ("2026-03-29", 0, DAY, 23 * 60),
        ("2026-10-24", 120, 180, 60),
        ("2026-10-25", 120, 180, 120),  # and here there are two
        ("2026-10-25", 150, 160, 20),
        ("2026-10-25", 60, 240, 240),
        ("2026-10-25", 0, DAY, 25 * 60),
    ],
)
def test_a_missing_hour_counts_not_at_all_and_a_doubled_one_twice(
    day: str, begin: int, end: int, minutes: int
) -> None:
    assert minutes_in(hours(begin, end), day) == minutes


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "included"),
    [
        ("2026-11-27T21:59:59", False),  # a Friday
        ("2026-11-27T22:00:00", True),
        ("2026-11-28T05:59:59", True),  # its night, though on Saturday
        ("2026-11-28T06:00:00", False),
        ("2026-11-28T22:00:00", False),
        ("2026-11-27T03:00:00", False),  # Thursday's night
    ],
)
def test_a_night_is_that_of_the_day_on_which_it_begins(moment: str, included: bool) -> None:
    assert hours(22 * 60, 6 * 60, frozenset({4}), "UTC").include(at(moment)) is included


def test_sundays_night_ends_on_monday() -> None:
    night = hours(22 * 60, 6 * 60, frozenset({6}), "UTC")
    assert night.include(at("2026-11-30T05:59:00"))
    assert not night.include(at("2026-11-30T06:00:00"))


@given(
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, DAY - 1),
    st.integers(0, DAY).filter(bool),
    st.integers(0, 7 * DAY - 1),
)
def test_a_span_and_what_lies_between_divide_the_week(
    days: frozenset[int], begin: int, length: int, minute: int
) -> None:
    span = HourSpan(days=days, begin=begin, end=(begin + length - 1) % DAY + 1)
    inside = any((minute - (day * DAY + begin)) % (7 * DAY) < length for day in days)
    assert span.has(minute // DAY, minute % DAY) is inside
