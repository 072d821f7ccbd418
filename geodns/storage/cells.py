"""Takes cells of a database as what they should be; whatever is something else is a ValueError.

SQLite keeps any kind of value in any column, and hands and other versions write what they like.
"""

from typing import Any

from geodns.model.limits import MAX_TIME


def text(value: Any) -> str:
    """Return a text that can be written."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")  # noqa: TRY004 - as everything that makes no sense
    value.encode()  # raises a ValueError
    return value


def line(value: Any) -> str:
    """Return a text of one line that can be printed."""
    if not text(value).isprintable():
        raise ValueError(f"{value!r:.40} is no line that can be printed")
    return str(value)


def number(value: Any, most: float) -> float:
    """Return a number from 0 to a bound."""
    if not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError(f"{value!r:.40} is no number from 0 to {most:g}")
    return value


def time(value: Any) -> float:
    """Return seconds since the epoch."""
    if not isinstance(value, (int, float)) or not 0 <= value <= MAX_TIME:
        raise ValueError(f"{value!r:.40} is no time in seconds since 1970")
    return value


def whole(value: Any, most: int) -> int:
    """Return a whole number from 0 to a bound."""
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r:.40} is no whole number from 0 to {most}")
    return value
