"""Points of hosts on disk: a day of minutes, what they add up to for longer, a row for each zone and step.

It is a file of its own, as that of the events: it is written all the time, and no restart waits for it.
"""

from collections.abc import Mapping

from geodns.database import Database
from geodns.history import KEPT, MINUTE, Points, Step, merged, packed, unpacked

_SCHEMA = """
CREATE TABLE point (step INT NOT NULL, at INT NOT NULL, zone TEXT NOT NULL, hosts BLOB NOT NULL,
    PRIMARY KEY (step, at, zone)) WITHOUT ROWID
"""


class HistoryFile(Database):
    """The open file."""

    FILE_NAME = "history.db"
    VERSION = 1
    SCHEMA = _SCHEMA
    LOSS = "plots and reports begin anew"

    def add(self, step: int, at: int, zones: Mapping[str, Points]) -> None:
        """Keep the points of a step, by zone, or what is to be added to them."""
        rows = []
        for zone, points in zones.items():
            known = [one for _, one in self.read(zone, step, at, at + 1)]
            rows.append((step, at, zone, packed(merged(*known, points))))
        self._write("NORMAL", "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", rows)

    def read(self, zone: str, step: int, begin: float, end: float) -> list[Step]:
        """Return a zone's points of the steps that begin in a time, oldest first."""
        rows = self._read(
            "SELECT at, hosts FROM point WHERE step = ? AND zone = ? AND at >= ? AND at < ? ORDER BY at",
            [step, zone, begin, end],
        )
        return [(at, unpacked(hosts)) for at, hosts in rows]

    def zones(self, step: int, begin: float, end: float) -> list[str]:
        """Return the zones that have points of the steps that begin in a time."""
        query = "SELECT DISTINCT zone FROM point WHERE step = ? AND at >= ? AND at < ?"
        return [zone for (zone,) in self._read(query, [step, begin, end])]

    def roll_up(self, now: float) -> None:
        """Make longer steps of the minutes where those are over, and forget what is kept long enough.

        Args:
            now: seconds since the epoch.

        """
        for step in KEPT.keys() - {MINUTE}:
            for begin in self._open(step, int(now // step) * step):
                for zone in self.zones(MINUTE, begin, begin + step):
                    minutes = self.read(zone, MINUTE, begin, begin + step)
                    row = (step, begin, zone, packed(merged(*(points for _, points in minutes))))
                    self._write("NORMAL", "INSERT OR REPLACE INTO point VALUES (?, ?, ?, ?)", [row])
        for step, seconds in KEPT.items():
            self._write("NORMAL", "DELETE FROM point WHERE step = ? AND at < ?", [(step, now - seconds)])

    def _open(self, step: int, current: int) -> list[int]:
        """Return the steps that have minutes and are over, and are not made yet."""
        query = (
            "SELECT DISTINCT at / ? * ? FROM point WHERE step = ? AND at < ? "
            "EXCEPT SELECT at FROM point WHERE step = ?"
        )
        return [begin for (begin,) in self._read(query, [step, step, MINUTE, current, step])]
