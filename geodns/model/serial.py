"""The SOA serial: dated as operators read it (YYYYMMDDnn), and always above the one before."""

from datetime import date

_SPACE = 2**32


def is_above(serial: int, other: int) -> bool:
    """Say whether a serial is greater than another in RFC 1982 section 3.2's arithmetic."""
    return 0 < (serial - other) % _SPACE < _SPACE // 2


def next_serial(previous: int | None, today: date) -> int:
    """Return the serial that follows.

    Args:
        previous: the one served last; None when there was none.
        today: the day, in UTC.

    Returns:
        The day's first serial (``2026112301``) if that is above `previous`, else `previous` plus one: on
        the day's later changes, when the clock went back, and while a serial that an operator gave is
        ahead of the calendar (RFC 1982 sections 3.1 and 3.2, wrapping at 32 bits).

    """
    first = (((today.year * 100 + today.month) * 100 + today.day) * 100 + 1) % _SPACE
    if previous is None or is_above(first, previous):
        return first
    return (previous + 1) % _SPACE
