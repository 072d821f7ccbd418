"""Keeps events on disk, in an SQLite file of its own that is bounded in rows and age.

It is apart from the state because it grows and is written all the time: searching it, or losing it, must not
touch what a restart needs.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geodns.storage import cells
from geodns.storage.database import Database
from geodns.storage.formats import FORMATS

MAX_ID = 2**63 - 1
MAX_ROWS = 100_000
MAX_AGE = 90 * 86400.0
"""Seconds."""

PRUNE_EVERY = 1_000
"""Rows over the bound before the oldest go: counting them costs as much as writing hundreds."""

_SCHEMA = """
CREATE TABLE event (id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, zone TEXT, host TEXT,
    pool TEXT, author TEXT, reason TEXT, text TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX event_at ON event (at)
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for operators.

    Attributes:
        id: rising, also over restarts.
        at: seconds since the epoch.
        kind: one of `event_log.KINDS`.
        zone: what it is about; None: none, or all. Likewise `host` and `pool`, by their short names.
        author: who ordered it; None where nobody did.
        reason: the author's words, or a host's.
        text: one line.
        data: further figures, as JSON has them.

    """

    id: int
    at: float
    kind: str
    zone: str | None
    host: str | None
    pool: str | None
    author: str | None
    reason: str | None
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A choice of events.

    Attributes:
        kinds: empty means all; None of `zone` and `host` too.
        host: a short name or a whole one, without the final dot.
        since: seconds since the epoch.

    """

    kinds: frozenset[str] = frozenset()
    zone: str | None = None
    host: str | None = None
    since: float = 0.0

    def fits(self, event: Event) -> bool:
        return (
            (not self.kinds or event.kind in self.kinds)
            and (self.zone is None or self.zone == event.zone)
            and (self.host is None or self.host in {event.host, f"{event.host}.{event.zone}"})
            and event.at >= self.since
        )


class EventFile(Database):
    """The open file."""

    FILE_NAME = "events.db"
    VERSION = FORMATS[FILE_NAME]
    SCHEMA = _SCHEMA
    LOSS = "what happened before is in the log"

    def append(self, events: Iterable[Event]) -> None:
        rows = [
            (
                one.id,
                one.at,
                one.kind,
                one.zone,
                one.host,
                one.pool,
                one.author,
                one.reason,
                one.text,
                json.dumps(dict(one.data), ensure_ascii=False, default=str),
            )
            for one in events
        ]
        self._write("NORMAL", "INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def last_id(self) -> int:
        """Return the id of the last event, or 0."""
        ((last,),) = self._read("SELECT max(id) FROM event")
        return last or 0

    def after(self, position: int, limit: int, wanted: EventFilter) -> list[Event]:
        """Return the first events after an id, oldest first."""
        return self._find("id > ? {} ORDER BY id ASC", position, limit, wanted)

    def newest(self, limit: int, wanted: EventFilter) -> list[Event]:
        """Return the last events, oldest first."""
        return self._find("id < ? {} ORDER BY id DESC", MAX_ID, limit, wanted)[::-1]

    def _find(self, where: str, position: int, limit: int, wanted: EventFilter) -> list[Event]:
        """Return as many events as are wanted: who gets fewer takes them for all that there are."""
        terms: list[str] = []
        values: list[float | str] = []
        if wanted.kinds:
            terms.append(f"kind IN ({', '.join('?' * len(wanted.kinds))})")
            values += sorted(wanted.kinds)
        if wanted.zone is not None:
            terms.append("zone = ?")
            values.append(wanted.zone)
        if wanted.host is not None:
            terms.append("? IN (host, host || '.' || zone)")
            values.append(wanted.host)
        if wanted.since:
            terms.append("at >= ?")
            values.append(wanted.since)
        where = where.format("".join(f" AND {term}" for term in terms))
        columns = "id, at, kind, zone, host, pool, author, reason, text, data"
        query = f"SELECT {columns} FROM event WHERE {where} LIMIT ?"  # noqa: S608 - words of ours
        found: list[Event] = []
        while True:
            rows = self._read(query, [position, *values, limit - len(found)])
            some = [one for row in rows for one in _events(*row)]
            found += some
            if len(some) == len(rows):
                return found
            position = rows[-1][0]

    def prune(self, now: float) -> None:
        """Drop events over the bounds of age and number."""
        self._write("NORMAL", "DELETE FROM event WHERE at < ?", [(now - MAX_AGE,)])
        self._write(
            "NORMAL",
            "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)",
            [(MAX_ROWS,)],
        )


def _events(number: Any, at: Any, kind: Any, *about: Any) -> list[Event]:
    """Return the event of a row; none where the row makes no sense: one alone must not hide the others."""
    *names, text, data = about
    try:
        zone, host, pool, author, reason = (None if one is None else cells.text(one) for one in names)
        more = json.loads(cells.text(data))
        if not isinstance(more, dict):
            return []
        when, what = cells.time(at), cells.line(kind)
        return [Event(number, when, what, zone, host, pool, author, reason, cells.text(text), more)]
    except (ValueError, RecursionError):
        return []
