"""The SOA serial: dated as operators read it (YYYYMMDDnn), and always above the one before."""

from datetime import date

_SPACE = 2**32


def is_above(serial: int, other: int) -> bool:
    """Say whether a serial is greater than another (RFC 1982 section 3.2)."""
    return 0 < (serial - other) % _SPACE < _SPACE // 2


def next_serial(previous: int | None, today: date) -> int:
    """Return the serial after the one served last.

    That is the first of the day, in UTC (``2026112301``), if it is above `previous`. Else it is `previous`
    plus one: for later changes of the day, when the clock went back, and while a serial that an operator
    gave is ahead of the calendar (RFC 1982 sections 3.1 and 3.2, wrapping at 32 bits).
    """
    first = (((today.year * 100 + today.month) * 100 + today.day) * 100 + 1) % _SPACE
    if previous is None or is_above(first, previous):
        return first
    return (previous + 1) % _SPACE
