from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.serial import is_above, next_serial

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        pytest.param(None, 2026112301, id="first"),
        pytest.param(2026112207, 2026112301, id="new-day"),
        pytest.param(2026112301, 2026112302, id="same-day"),
        pytest.param(2026112399, 2026112400, id="hundredth-change"),
        pytest.param(2026112501, 2026112502, id="clock-went-back"),
        pytest.param(1, 2026112301, id="given-small"),
        pytest.param(3_000_000_000, 3_000_000_001, id="given-ahead"),
        pytest.param(2**32 - 1, 2026112301, id="above-the-calendar-by-wrapping"),
    ],
)
def test_serial_is_dated_and_rises(previous: int | None, expected: int) -> None:
    assert next_serial(previous, TODAY) == expected


def test_serial_wraps_at_32_bits() -> None:
    assert next_serial(2**32 - 1, date(2200, 1, 1)) == 0


@given(previous=st.integers(0, 2**32 - 1), today=st.dates())
def test_next_serial_is_above_the_previous(previous: int, today: date) -> None:
    serial = next_serial(previous, today)
    assert 0 <= serial < 2**32
    assert is_above(serial, previous)
    assert not is_above(previous, serial)


@given(today=st.dates(date(2000, 1, 1), date(2100, 1, 1)), days=st.integers(0, 30))
def test_serial_shows_the_day_again_after_a_busy_one(today: date, days: int) -> None:
    first = next_serial(None, today)
    later = date.fromordinal(today.toordinal() + 1 + days)
    assert str(next_serial(first + 98, later)) == f"{later:%Y%m%d}01"
