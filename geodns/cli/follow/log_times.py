"""Timestamps of logs to seconds since the epoch."""

from calendar import month_abbr
from datetime import datetime, timedelta, tzinfo

MONTHS = {name: number for number, name in enumerate(month_abbr)}
AHEAD = timedelta(days=1)
"""A line without a year is of the last such day, or of one so little ahead: clocks differ."""


class LogTimes:
    """Reads timestamps. Most lines share their minute with the line before, so that is kept.

    Args:
        now: seconds since the epoch; says which year is meant where a line has none.
        zone: of timestamps without one; None: this machine's.

    """

    def __init__(self, now: float, zone: tzinfo | None = None) -> None:
        self.now = now
        self._zone = zone
        self._minute = ""
        self._start = 0.0

    def read(self, text: str) -> float | None:
        """Return the seconds of ``Nov 29 16:10:53`` or of ISO 8601; None: it is neither."""
        # Either form has the seconds at a fixed place: Mmm dd HH:MM:SS, YYYY-MM-DDTHH:MM:SS.
        place = 17 if text[4:5] == "-" else 13
        minute, rest = text[:place], text[place:]
        try:
            if place == 13 or (len(rest) == 2 and rest.isdecimal()):
                if minute != self._minute:
                    self._start = self._begin(minute, classic=place == 13)
                    self._minute = minute
                return self._start + float(rest)
            at = datetime.fromisoformat(text)
            return at.replace(tzinfo=at.tzinfo or self._zone).timestamp()
        except (ValueError, KeyError, OverflowError, OSError):
            return None

    def _begin(self, minute: str, *, classic: bool) -> float:
        if not classic:
            return datetime.fromisoformat(f"{minute}00").replace(tzinfo=self._zone).timestamp()
        month, day = MONTHS[minute[:3]], int(minute[4:6])
        hour, minutes = int(minute[7:9]), int(minute[10:12])
        today = datetime.fromtimestamp(self.now, self._zone)
        for year in range(today.year + 1, today.year - 9, -1):
            try:
                at = datetime(year, month, day, hour, minutes, tzinfo=self._zone)
            except ValueError:  # 29 February
                continue
            if at.timestamp() <= self.now + AHEAD.total_seconds():
                return at.timestamp()
        raise ValueError(minute)
