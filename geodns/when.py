"""Moments as operators and programs write them: RFC 3339 text, and times that count back from now."""

from datetime import UTC, datetime, tzinfo

from geodns.errors import UsageError
from geodns.report import quoted
from geodns.scalars import parse_duration

SINCE = "write a duration, as 30m, 1h, 7d, or a time, as 2026-11-25T03:00:00Z"


def precise(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def since_asked(text: str, now: float, zone: tzinfo | None = UTC) -> float:
    """Return the moment that `since` names, in seconds since the epoch.

    Args:
        text: how long ago, or when.
        now: seconds since the epoch.
        zone: of a time that names none; None is the machine's own.

    Raises:
        UsageError: it is neither.

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
