"""Keeps points of hosts on disk: a day of minutes, and longer steps made of them; a row a zone and step.

Beside them it keeps what the routes of zones answered, in the same way.

It is a file of its own, as that of the events: it is written all the time, and no restart needs it.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from geodns.storage import cells
from geodns.storage.database import Database
from geodns.storage.formats import FORMATS
from geodns.storage.route_rows import (
    ROUTES_KEPT,
    RouteSums,
    RuleTimes,
    packed_sums,
    summed,
    unpacked_sums,
)

MINUTE, TEN_MINUTES, HOUR, DAY = 60, 600, 3600, 86400
KEPT: Mapping[int, float] = {MINUTE: DAY, TEN_MINUTES: DAY + TEN_MINUTES, HOUR: 90 * DAY}
"""Seconds that points of each step are kept; steps that are made of others outlive them."""
MAX_AT = 2**32
MOST = 1e18
"""No figure of a point is as large."""
MAX_POINTS = 256 << 20
"""Bytes of a zone's points in a step."""
SHOWN: Mapping[int, int] = {MINUTE: MINUTE, TEN_MINUTES: TEN_MINUTES, HOUR: HOUR, DAY: HOUR}
"""The steps that can be asked for, the finest first, and the stored steps that each is made of."""

_SCHEMA = """
CREATE TABLE point (step INT NOT NULL, at INT NOT NULL, zone TEXT NOT NULL, hosts BLOB NOT NULL,
    PRIMARY KEY (step, at, zone)) WITHOUT ROWID
"""
_LATER = """
CREATE TABLE IF NOT EXISTS route (step INT NOT NULL, at INT NOT NULL, zone TEXT NOT NULL, sums BLOB NOT NULL,
    PRIMARY KEY (step, at, zone)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS route_rule (zone TEXT NOT NULL, rule TEXT NOT NULL, since REAL NOT NULL,
    last REAL NOT NULL, PRIMARY KEY (zone, rule)) WITHOUT ROWID
"""


class Point(NamedTuple):
    """One host in one step.

    Attributes:
        picks: answers, each divided among the hosts that it named.
        intended: what `picks` would be by the shares that the pool intends.
        probes: how many of its probes were answered, or failed at once.
        rtt: the seconds that they took, together.
        samples: how often its state was looked at.
        up: in how many of the samples it was up.
        timeouts: how many of its probes timed out; their seconds are not in `rtt`.

    """

    picks: float = 0.0
    intended: float = 0.0
    probes: int = 0
    rtt: float = 0.0
    samples: int = 0
    up: int = 0
    timeouts: int = 0

    def plus(self, other: "Point") -> "Point":
        return Point(
            self.picks + other.picks,
            self.intended + other.intended,
            self.probes + other.probes,
            self.rtt + other.rtt,
            self.samples + other.samples,
            self.up + other.up,
            self.timeouts + other.timeouts,
        )


NOTHING = Point()

Points = Mapping[str, Point]
"""The points of a zone in one step, by host."""

Step = tuple[int, Points]
"""The begin of a step, in seconds since the epoch, and its points."""


class HistoryFile(Database):
    """The open file."""

    FILE_NAME = "history.db"
    VERSION = FORMATS[FILE_NAME]
    SCHEMA = _SCHEMA
    LATER = _LATER
    LOSS = "plots and reports begin anew"

    def add(self, step: int, at: int, zones: Mapping[str, Points]) -> None:
        """Add points to those of a step, by zone."""
        rows = []
        for zone, points in zones.items():
            known = [one for _, one in self.read(zone, step, at, at + 1)]
            rows.append((step, at, zone, packed(merged(*known, points))))
        self._write("NORMAL", "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", rows)

    def read(self, zone: str, step: int, begin: float, end: float) -> list[Step]:
        """Return a zone's points of the steps that begin in a span of time, oldest first."""
        rows = self._read(
            "SELECT at, hosts FROM point WHERE step = ? AND zone = ? AND at >= ? AND at < ? ORDER BY at",
            [step, zone, begin, end],
        )
        found: list[Step] = []
        for at, hosts in rows:
            with suppress(ValueError):  # one that cannot be read must not hide the others
                found.append((cells.whole(at, MAX_AT), unpacked(hosts)))
        return found

    def zones(self, step: int, begin: float, end: float) -> list[str]:
        """Return the zones that have points in a span of time."""
        query = "SELECT DISTINCT zone FROM point WHERE step = ? AND at >= ? AND at < ?"
        return [zone for (zone,) in self._read(query, [step, begin, end])]

    def roll_up(self, now: float) -> None:
        """Make the longer steps that are over of their minutes, and drop points older than `KEPT`."""
        for step in KEPT.keys() - {MINUTE}:
            for begin in self._open(step, int(now // step) * step):
                for zone in self.zones(MINUTE, begin, begin + step):
                    minutes = self.read(zone, MINUTE, begin, begin + step)
                    row = (step, begin, zone, packed(merged(*(points for _, points in minutes))))
                    self._write("NORMAL", "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", [row])
        for step, seconds in KEPT.items():
            self._write("NORMAL", "DELETE FROM point WHERE step = ? AND at < ?", [(step, now - seconds)])

    def _open(self, step: int, current: int) -> list[int]:
        """Return the steps that are over, have minutes and are not made yet."""
        query = (
            "SELECT DISTINCT at / ? * ? FROM point WHERE step = ? AND at < ? "
            "EXCEPT SELECT at FROM point WHERE step = ?"
        )
        return [begin for (begin,) in self._read(query, [step, step, MINUTE, current, step])]

    # ----- routes

    def add_routes(self, at: int, zones: Mapping[str, RouteSums], now: float) -> None:
        """Add sums of five minutes to those of all steps that they are in, and drop what is old."""
        rows = []
        for step in ROUTES_KEPT:
            begin = at // step * step
            for zone, sums in zones.items():
                known = [one for _, one in self.routes(zone, step, begin, begin + 1)]
                rows.append((step, begin, zone, packed_sums(summed(*known, sums))))
        with self._transaction("NORMAL") as database:
            database.executemany("INSERT OR REPLACE INTO route VALUES (?, ?, ?, ?)", rows)
            old = [(step, now - seconds) for step, seconds in ROUTES_KEPT.items()]
            database.executemany("DELETE FROM route WHERE step = ? AND at < ?", old)

    def routes(self, zone: str, step: int, begin: float, end: float) -> list[tuple[int, RouteSums]]:
        """Return the sums of a zone's routes in the steps that begin in a span of time, oldest first."""
        rows = self._read(
            "SELECT at, sums FROM route WHERE step = ? AND zone = ? AND at >= ? AND at < ? ORDER BY at",
            [step, zone, begin, end],
        )
        found: list[tuple[int, RouteSums]] = []
        for at, sums in rows:
            with suppress(ValueError):
                found.append((cells.whole(at, MAX_AT), unpacked_sums(sums)))
        return found

    def route_zones(self, step: int, begin: float) -> list[str]:
        """Return the zones whose routes were asked from a time on."""
        query = "SELECT DISTINCT zone FROM route WHERE step = ? AND at >= ?"
        return [zone for (zone,) in self._read(query, [step, begin])]

    def route_rules(self) -> dict[tuple[str, str], RuleTimes]:
        """Return when rules were first known and matched last, by zone and digest."""
        found = {}
        for zone, rule, since, last in self._read("SELECT zone, rule, since, last FROM route_rule"):
            with suppress(ValueError):
                found[cells.line(zone), cells.line(rule)] = RuleTimes(cells.time(since), cells.time(last))
        return found

    def keep_route_rules(
        self, rules: Mapping[tuple[str, str], RuleTimes], gone: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Keep when rules were first known and matched last; forget others."""
        with self._transaction("NORMAL") as database:
            rows = [(*key, *times) for key, times in rules.items()]
            database.executemany("INSERT OR REPLACE INTO route_rule VALUES (?, ?, ?, ?)", rows)
            database.executemany("DELETE FROM route_rule WHERE zone = ? AND rule = ?", list(gone))


def merged(*some: Points) -> dict[str, Point]:
    """Add up the points of several steps, or of parts of one."""
    found = dict(some[0]) if some else {}
    for points in some[1:]:
        for host, point in points.items():
            found[host] = found.get(host, NOTHING).plus(point)
    return found


def packed(points: Points) -> bytes:
    """Return a zone's points as bytes for `unpacked`."""
    rounded = {
        host: [
            round(point.picks, 3),
            round(point.intended, 3),
            point.probes,
            round(point.rtt, 5),
            *_rest(point),
        ]
        for host, point in points.items()
    }
    return zlib.compress(json.dumps(rounded, separators=(",", ":")).encode())


def _rest(point: Point) -> tuple[float, ...]:
    # Earlier versions know no time-outs: they read what has none.
    return point[4:] if point.timeouts else point[4:6]


def unpacked(data: bytes) -> dict[str, Point]:
    """Return what `packed` packed, or raise ValueError."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(data, MAX_POINTS)
        if not unpacking.eof:
            raise ValueError("no points of hosts: they are cut short")
        return {host: _point(values) for host, values in json.loads(text).items()}
    except (zlib.error, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no points of hosts: {error}") from error


_LENGTHS = {len(Point._fields) - 1, len(Point._fields)}
"""Earlier versions know no time-outs."""


def _point(values: Any) -> Point:
    # The cheapest way to find what is no number, below 0 or endless: there may be a million points.
    if not (len(values) in _LENGTHS and min(values) >= 0 and sum(values) < MOST):
        raise ValueError("no points of hosts: there is no such number")
    return Point(*values)
