"""Rules by the wall's clock, on nights, weekends and when clocks are changed, and by networks."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.views import DAY, Hours, HourSpan, PoolRule

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


@given(
    st.lists(
        st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:db8::/32"])
    ),
    st.sampled_from(["10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "2001:db9::1"]),
)
def test_the_smallest_network_that_has_an_address(networks: list[str], text: str) -> None:
    rule, address = PoolRule(use="eu", subnets=tuple(map(ip_network, networks))), ip_address(text)
    found = rule.network_of(int(address), ipv6=address.version == 6)
    having = [one for one in rule.subnets if address in one]
    assert found == max(having, key=lambda one: one.prefixlen, default=None)
