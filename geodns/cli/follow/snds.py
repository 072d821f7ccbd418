"""Microsoft's SNDS: how its filters saw our addresses, day by day, as the CSV of its automated access."""

import csv
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from io import StringIO
from ipaddress import ip_address
from typing import NamedTuple

from geodns.errors import GeodnsError

RED = "RED"
_FORMS = ("%m/%d/%Y %I:%M %p", "%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y-%m-%d %H:%M")


class Day(NamedTuple):
    """What SNDS says of an address on one day."""

    address: str
    day: date
    recipients: str
    result: str
    complaints: str
    traps: str


def read_days(text: str) -> list[Day]:
    """Read the CSV.

    Raises:
        GeodnsError: a row that is none of SNDS's, and which.

    """
    days = []
    for number, row in enumerate(csv.reader(StringIO(text)), 1):
        if not row:
            continue
        try:
            address, begin, result = (
                str(ip_address(row[0].strip())),
                _day(row[1].strip()),
                row[6].strip().upper(),
            )
            days.append(Day(address, begin, row[5].strip(), result, row[7].strip(), row[10].strip()))
        except (IndexError, ValueError) as error:
            raise GeodnsError(f"row {number} is none of SNDS's: is that its data as CSV?") from error
    return days


def _day(text: str) -> date:
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day, as Microsoft counts them
        except ValueError:
            continue
    raise ValueError(text)


def red_running(results: Mapping[str, str], newest: Iterable[date]) -> date | None:
    """Return the last of two days running that were red.

    Args:
        results: of an address, by day, earlier ones too.
        newest: days to look at.

    """
    for day in sorted(newest, reverse=True):
        before = day - timedelta(days=1)
        if results.get(str(day)) == results.get(str(before)) == RED:
            return day
    return None
