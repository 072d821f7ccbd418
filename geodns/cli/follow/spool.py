"""Keeps for a restart of ``geodns follow``: batches that no server has taken, and its place in files.

A batch and the place behind its lines are kept in one transaction. Whatever ends the program, the lines are
either in a kept batch or read again; and a batch that is posted twice has the same name twice.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

from geodns.storage.database import Database

MOST_BYTES = 64 << 20
"""Of batches that wait; beyond, the oldest are dropped."""


class SpooledBatch(NamedTuple):
    """A request that waits; `events` is how many events it tells of."""

    name: str
    events: int
    body: bytes


class Spool(Database):
    """The file of waiting batches."""

    FILE_NAME: ClassVar[str] = "follow.db"
    VERSION: ClassVar[int] = 1
    SCHEMA: ClassVar[str] = """
CREATE TABLE batches (number INTEGER PRIMARY KEY, name TEXT UNIQUE, events INTEGER, body BLOB);
CREATE TABLE waiting (number INTEGER PRIMARY KEY, message TEXT UNIQUE, state TEXT);
CREATE TABLE known (name TEXT PRIMARY KEY, value TEXT)
"""
    LOSS: ClassVar[str] = "logs are read from their beginning, and batches that waited are lost"
    TAKEN: ClassVar[tuple[str, ...]] = ("batches", "waiting", "known")

    def count(self) -> int:
        """Return how many batches wait."""
        return int(self._read("SELECT count(*) FROM batches")[0][0])

    def waiting_bytes(self) -> int:
        """Return the size of all batches that wait."""
        return int(self._read("SELECT coalesce(sum(length(body)), 0) FROM batches")[0][0])

    def known(self, name: str) -> str | None:
        """Return a value that `keep` was given."""
        found = self._read("SELECT value FROM known WHERE name = ?", (name,))
        return found[0][0] if found else None

    def identity(self) -> str:
        """Return the name of this spool, under which all its batches are unique."""
        found = self.known("identity")
        if found is None:
            found = uuid.uuid4().hex[:16]
            self.keep((), {"identity": found}, {})
        return found

    def waiting(self) -> Iterable[tuple[str, str]]:
        """Return the states of messages that were put off, in the order in which they were kept first."""
        return [(one[0], one[1]) for one in self._read("SELECT message, state FROM waiting ORDER BY number")]

    def keep(
        self, batches: Iterable[SpooledBatch], known: Mapping[str, str], waiting: Mapping[str, str | None]
    ) -> int:
        """Keep all at once, on disk when it returns; return how many events of old batches were dropped.

        Args:
            batches: to be posted; one whose name is kept already is left as it is.
            known: values by their names.
            waiting: states of messages; None: forget it.

        """
        rows = list(batches)
        size = sum(len(one.body) for one in rows)
        with self._transaction("FULL") as database:
            dropped = self._make_room(database, size)
            database.executemany("INSERT OR IGNORE INTO batches (name, events, body) VALUES (?, ?, ?)", rows)
            database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", known.items())
            gone = [(name,) for name, state in waiting.items() if state is None]
            database.executemany("DELETE FROM waiting WHERE message = ?", gone)
            database.executemany(
                "INSERT INTO waiting (message, state) VALUES (?, ?) "
                "ON CONFLICT (message) DO UPDATE SET state = excluded.state",
                [(name, state) for name, state in waiting.items() if state is not None],
            )
        return dropped

    def _make_room(self, database: sqlite3.Connection, size: int) -> int:
        query = "SELECT coalesce(sum(length(body)), 0) FROM batches"
        excess = database.execute(query).fetchone()[0] + size - MOST_BYTES
        dropped = 0
        while excess > 0:
            row = database.execute(
                "SELECT number, events, length(body) FROM batches ORDER BY number LIMIT 1"
            ).fetchone()
            if row is None:
                break
            database.execute("DELETE FROM batches WHERE number = ?", (row[0],))
            dropped += row[1]
            excess -= row[2]
        return dropped

    def oldest(self) -> SpooledBatch | None:
        """Return the batch to post next."""
        found = self._read("SELECT name, events, body FROM batches ORDER BY number LIMIT 1")
        return SpooledBatch(*found[0]) if found else None

    def done(self, name: str) -> None:
        """Forget a batch that was taken. Should that be lost, it is posted again, and known by its name."""
        with self._transaction("NORMAL") as database:
            database.execute("DELETE FROM batches WHERE name = ?", (name,))
