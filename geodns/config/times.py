"""Times as text: durations, RFC 3339, how long ago."""

import re
from datetime import UTC, datetime, tzinfo

from geodns.config.report import quoted
from geodns.errors import UsageError
from geodns.model.limits import MAX_TIME

_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d|w)?")
_NUMBER = re.compile(r"[0-9.]{1,20}")

SINCE = "write a duration, as 30m, 1h, 7d, or a time, as 2026-11-25T03:00:00Z"

HOW_LONG = "write seconds or a unit, as 30, 10s, 5m, 1h, 2d"
_UNIT = "write a number and its unit, as 90s, 30m, 2h, 1d"


def parse_duration(text: str) -> float | None:
    """Return the seconds of ``30``, ``10s`` or ``2h``, else None."""
    found = _DURATION.fullmatch(text)
    return None if found is None else round(float(found[1]) * _UNITS[found[2] or ""], 6)


def duration_text(seconds: float) -> str:
    """Return seconds in the largest unit that they are a whole number of: ``90s``, ``2h``, ``100ms``."""
    for unit in "dhms":
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


MAX_FOR = 10 * 365 * 86400.0
"""Seconds that an order may last."""


def seconds_asked(given: object, forever: str, asked: str = "`for`", *, may_end: bool = False) -> float:
    """Return the seconds that `for` asks for: a number of JSON, or a text with its unit.

    `forever` is what messages tell to write for no end, `asked` what they call it. Raises UsageError for no
    duration, or over ten years; for none at all, too, unless it `may_end`.
    """
    seconds: float | None = None
    if isinstance(given, str):
        seconds = parse_duration(given)
        if _NUMBER.fullmatch(given):  # who types `2` at night means hours
            raise UsageError(f"{asked} {quoted(given)} has no unit: write {given}h or {given}m")
    elif isinstance(given, int | float) and not isinstance(given, bool):
        seconds = given
    if seconds is None or not (seconds > 0 or (may_end and seconds == 0)):
        raise UsageError(f"{asked} {quoted(str(given))} is no duration: {_UNIT}; for no end {forever}")
    if seconds > MAX_FOR:
        raise UsageError(f"{asked} {quoted(str(given))} is over ten years: {forever}")
    return float(seconds)


def overruled_asked(given: object) -> float:
    """Return the seconds for which somebody overrules something: as `seconds_asked`, and 0 ends that."""
    if given == "0":  # no unit makes a difference
        return 0.0
    return seconds_asked(given, "write how long, as 12h, and 0 to end it", may_end=True)


def precise(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def since_asked(text: str, now: float, zone: tzinfo | None = UTC) -> float:
    """Return the moment that `since` names, as a duration ago or a time, in seconds since the epoch.

    A time without a zone is of `zone`; None: of this machine's. Raises UsageError for anything else.
    """
    ago = parse_duration(text)
    if ago is not None:
        return max(0.0, now - ago)
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.astimezone() if zone is None else found.replace(tzinfo=zone)
        return max(0.0, found.timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"`since` {quoted(text)} is no time: {SINCE}") from error


def moment_asked(text: str, asked: str = "`at`") -> float:
    """Return a time as seconds since the epoch; without a zone it is in UTC. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
        seconds = (found.replace(tzinfo=UTC) if found.tzinfo is None else found).timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds <= MAX_TIME:
        raise UsageError(f"{asked} {quoted(text)} is no time: write it as 2026-11-25T03:00:00Z")
    return seconds


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
