"""Keeps what became of mail on disk: counts by host and step of time, delays, and which batches were taken.

It is a file of its own, as those of the events and the history: it grows, and no start waits for it. A batch
and all that it counts are one transaction, so that it is counted once however often it is sent.
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from geodns.model.mail import MailKey
from geodns.model.state import HostKey
from geodns.storage import cells
from geodns.storage.database import Database
from geodns.storage.formats import FORMATS
from geodns.storage.signal_rows import (
    Counts,
    Rejected,
    packed_counts,
    packed_delays,
    packed_rejected,
    unpacked_counts,
    unpacked_delays,
    unpacked_rejected,
)

log = logging.getLogger(__name__)

FIVE, HOUR, DAY = 300, 3600, 86400
COUNTS_KEPT: Mapping[int, int] = {FIVE: 14 * DAY, HOUR: 90 * DAY, DAY: 90 * DAY}
"""Seconds that counts of each step are kept; every count stands in all three."""
DELAYS_KEPT: Mapping[int, int] = {HOUR: 14 * DAY, DAY: 90 * DAY}
"""Seconds that delays of each step are kept."""
BATCHES_KEPT = 7 * DAY
MAX_BATCHES = 2_000_000
"""Batches that are remembered at most, the last ones: 50 posters may send three a minute for a week."""
MAX_AT = 2**32

_SCHEMA = """
CREATE TABLE batch (id BLOB PRIMARY KEY, at INT NOT NULL, accepted INT NOT NULL, rejected BLOB NOT NULL
    ) WITHOUT ROWID;
CREATE INDEX batch_at ON batch (at);
CREATE TABLE counts (step INT NOT NULL, at INT NOT NULL, zone TEXT NOT NULL, host TEXT NOT NULL,
    packed BLOB NOT NULL, PRIMARY KEY (step, at, zone, host));
CREATE TABLE delays (step INT NOT NULL, at INT NOT NULL, zone TEXT NOT NULL, host TEXT NOT NULL,
    packed BLOB NOT NULL, PRIMARY KEY (step, at, zone, host));
CREATE TABLE heard (zone TEXT NOT NULL, host TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (zone, host)
    ) WITHOUT ROWID
"""
_LATER = """
CREATE TABLE IF NOT EXISTS claim (batch TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS peer_counts (step INT NOT NULL, at INT NOT NULL, zone TEXT NOT NULL,
    host TEXT NOT NULL, node TEXT NOT NULL, whole INT NOT NULL, packed BLOB NOT NULL,
    PRIMARY KEY (step, at, zone, host, node))
"""


class SignalChange(NamedTuple):
    """What to add to a host's counts of a step."""

    host: HostKey
    step: int
    at: int
    counts: Counts


class Taken(NamedTuple):
    """What became of a batch."""

    accepted: int
    rejected: tuple[Rejected, ...] = ()
    duplicate: bool = False


@dataclass(slots=True)
class Five:
    """What came to pass with a host's mail that came in within five minutes."""

    counts: dict[MailKey, int] = field(default_factory=dict)
    delays: dict[str, dict[int, int]] = field(default_factory=dict)


PeerStep = Mapping[HostKey, Counts]
Fives = Mapping[tuple[HostKey, int], Five]
"""By host and begin."""
T = TypeVar("T")


class SignalFile(Database):
    """The open file."""

    FILE_NAME = "signals.db"
    VERSION = FORMATS[FILE_NAME]
    SCHEMA = _SCHEMA
    LATER = _LATER
    LOSS = "counts of mail begin anew"

    # ----- writing

    def taken(self, batch: str) -> Taken | None:
        """Return what became of a batch that was taken before; None: it is new."""
        rows = self._read("SELECT accepted, rejected FROM batch WHERE id = ?", [_digest(batch)])
        if not rows:
            return None
        accepted, packed = rows[0]
        return Taken(accepted, tuple(unpacked_rejected(packed)), duplicate=True)

    def take(self, batch: str, found: Taken, fives: Fives, now: float) -> None:
        """Keep a batch and all it counts, on disk when the call returns; or, with a StoreError, nothing."""
        counts, delays = _in_steps(fives, now)
        with self._transaction("FULL") as database:
            database.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?)",
                (_digest(batch), int(now), found.accepted, packed_rejected(found.rejected)),
            )
            for slot, more in counts.items():
                known = _row(database, "counts", slot, unpacked_counts)
                if known is not None:
                    _add(known, more)
                _put(database, "counts", slot, packed_counts(known or more))
            for slot, some in delays.items():
                before = _row(database, "delays", slot, unpacked_delays) or {}
                for provider, bins in some.items():
                    _add(before.setdefault(provider, {}), bins)
                _put(database, "delays", slot, packed_delays(before))

    def note_claim(self, batch: str) -> None:
        """Note on disk that a batch is claimed in the group: a start finds what a crash left open."""
        self._write("FULL", "INSERT OR IGNORE INTO claim VALUES (?)", [(batch,)])

    def end_claim(self, batch: str) -> None:
        """Forget that; where a crash loses it, it is only looked at again."""
        self._write("NORMAL", "DELETE FROM claim WHERE batch = ?", [(batch,)])

    def claims(self) -> list[str]:
        """Return the batches that were claimed and not settled."""
        return [batch for (batch,) in self._read("SELECT batch FROM claim") if isinstance(batch, str)]

    def take_peer(self, node: str, step: int, at: int, counts: PeerStep, now: float) -> list[SignalChange]:
        """Keep what another server has counted in a step; return what that changes, in longer steps too.

        Until the other server says what a longer step comes to, that is the sum of its shorter ones here.
        What is nearly as old as counts are kept is left out: it may have been dropped already.
        """
        if at + step <= now - COUNTS_KEPT[step] + DAY:
            return []
        changes: list[SignalChange] = []
        with self._transaction("NORMAL") as database:
            for host, some in counts.items():
                before = _peer_row(database, (step, at, *host), node)
                delta = _difference(some, {} if before is None else before[1])
                if before is not None and before[0] and not delta:
                    continue
                _put_peer(database, (step, at, *host), node, whole=True, counts=some)
                changes.append(SignalChange(host, step, at, delta))
                for longer in sorted(one for one in COUNTS_KEPT if one > step):
                    slot = longer, at // longer * longer, *host
                    known = _peer_row(database, slot, node)
                    if known is not None and known[0]:
                        break
                    total = {} if known is None else known[1]
                    _add(total, delta)
                    _put_peer(database, slot, node, whole=False, counts=total)
                    changes.append(SignalChange(host, longer, slot[1], delta))
        return changes

    def save_heard(self, heard: Mapping[HostKey, float]) -> None:
        """Keep when hosts were heard of; a crash may lose the last."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO heard VALUES (?, ?, ?)",
            [(*host, at) for host, at in heard.items()],
        )

    def prune(self, now: float) -> None:
        """Drop what is older than it is kept; the bytes are used again."""
        kinds = (("counts", COUNTS_KEPT), ("peer_counts", COUNTS_KEPT), ("delays", DELAYS_KEPT))
        for table, kept in kinds:
            rows = [(step, now - seconds - step) for step, seconds in kept.items()]
            self._write("NORMAL", f"DELETE FROM {table} WHERE step = ? AND at <= ?", rows)  # noqa: S608 - ours
        self._write("NORMAL", "DELETE FROM batch WHERE at <= ?", [(now - BATCHES_KEPT,)])
        ((number,),) = self._read("SELECT count(*) FROM batch")
        if number > MAX_BATCHES:
            query = "DELETE FROM batch WHERE id IN (SELECT id FROM batch ORDER BY at LIMIT ?)"
            self._write("NORMAL", query, [(number - MAX_BATCHES,)])
        self._write("NORMAL", "DELETE FROM heard WHERE at <= ?", [(now - 90 * DAY,)])

    # ----- reading

    def heard(self) -> dict[HostKey, float]:
        rows = self._read("SELECT zone, host, at FROM heard")
        return {(zone, host): float(at) for zone, host, at in rows if isinstance(at, int | float)}

    def counts(
        self,
        step: int,
        begin: float,
        end: float,
        zone: str | None = None,
        hosts: Collection[str] | None = None,
    ) -> Iterator[tuple[HostKey, int, dict[MailKey, int]]]:
        """Return this server's counts of the steps that begin in a span of time; `hosts`: of these alone."""
        return self._rows("counts", step, begin, end, zone, unpacked_counts, hosts)

    def all_counts(
        self,
        step: int,
        begin: float,
        end: float,
        zone: str | None = None,
        hosts: Collection[str] | None = None,
    ) -> Iterator[tuple[HostKey, int, dict[MailKey, int]]]:
        """Return the same of all servers, a host's step once for each of them that has counted."""
        yield from self._rows("counts", step, begin, end, zone, unpacked_counts, hosts)
        yield from self._rows("peer_counts", step, begin, end, zone, unpacked_counts, hosts)

    def peer_totals(self, step: int, at: int) -> dict[str, dict[HostKey, dict[MailKey, int]]]:
        """Return what each other server has counted in a step, by node."""
        query = "SELECT node, zone, host, packed FROM peer_counts WHERE step = ? AND at = ?"
        found: dict[str, dict[HostKey, dict[MailKey, int]]] = {}
        for node, zone, host, packed in self._read(query, [step, at]):
            with suppress(ValueError):
                found.setdefault(node, {})[zone, host] = unpacked_counts(packed)
        return found

    def delays(
        self, step: int, begin: float, end: float, zone: str | None = None
    ) -> Iterator[tuple[HostKey, int, dict[str, dict[int, int]]]]:
        """Return the delays of the steps that begin in a span of time."""
        return self._rows("delays", step, begin, end, zone, unpacked_delays)

    def _rows(
        self,
        table: str,
        step: int,
        begin: float,
        end: float,
        zone: str | None,
        read: Callable[[bytes], T],
        hosts: Collection[str] | None = None,
    ) -> Iterator[tuple[HostKey, int, T]]:
        query = f"SELECT zone, host, at, packed FROM {table} WHERE step = ? AND at >= ? AND at < ?"  # noqa: S608 - ours
        values: list[float | str] = [step, begin, end]
        if zone is not None:
            query += " AND zone = ?"
            values.append(zone)
        if hosts is not None:
            query += " AND host IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(hosts)))
        for found, host, at, packed in self._read(query, values):
            try:
                yield (found, host), cells.whole(at, MAX_AT), read(packed)
            except ValueError as error:  # one that cannot be read must not hide the others
                log.warning("%s: %s of %s.%s are left out: %s", self._path, table, host, found, error)

    def size(self) -> int:
        """Return the bytes of the file, and of its log."""
        paths = (self._path, Path(f"{self._path}-wal"))
        return sum(path.stat().st_size for path in paths if path.exists())


Slot = tuple[int, int, str, str]
"""A row: the seconds of the step, its begin, zone and host."""


def _in_steps(
    fives: Fives, now: float
) -> tuple[dict[Slot, dict[MailKey, int]], dict[Slot, dict[str, dict[int, int]]]]:
    """Return what to add to the counts and to the delays of every step that is still kept."""
    counts: dict[Slot, dict[MailKey, int]] = {}
    delays: dict[Slot, dict[str, dict[int, int]]] = {}
    for (host, at), five in fives.items():
        for step, kept in COUNTS_KEPT.items():
            if at + step > now - kept:
                _add(counts.setdefault((step, at // step * step, *host), {}), five.counts)
        for step, kept in DELAYS_KEPT.items():
            if five.delays and at + step > now - kept:
                slot = delays.setdefault((step, at // step * step, *host), {})
                for provider, bins in five.delays.items():
                    _add(slot.setdefault(provider, {}), bins)
    return counts, delays


def _peer_row(database: sqlite3.Connection, slot: Slot, node: str) -> tuple[bool, dict[MailKey, int]] | None:
    """Return whether a row is what its server said itself, and its counts."""
    query = "SELECT whole, packed FROM peer_counts WHERE (step, at, zone, host, node) = (?, ?, ?, ?, ?)"
    found = database.execute(query, (*slot, node)).fetchone()
    try:
        return None if found is None else (bool(found[0]), unpacked_counts(found[1]))
    except ValueError as error:
        log.warning("counts of %s for %s.%s begin anew: %s", node, slot[3], slot[2], error)
        return None


def _put_peer(database: sqlite3.Connection, slot: Slot, node: str, *, whole: bool, counts: Counts) -> None:
    query = "INSERT OR REPLACE INTO peer_counts VALUES (?, ?, ?, ?, ?, ?, ?)"
    database.execute(query, (*slot, node, int(whole), packed_counts(counts)))


def _difference(new: Counts, old: Counts) -> dict[MailKey, int]:
    found = {key: new.get(key, 0) - old.get(key, 0) for key in {**old, **new}}
    return {key: number for key, number in found.items() if number}


def _row(database: sqlite3.Connection, table: str, slot: Slot, read: Callable[[bytes], T]) -> T | None:
    query = f"SELECT packed FROM {table} WHERE step = ? AND at = ? AND zone = ? AND host = ?"  # noqa: S608 - ours
    found = database.execute(query, slot).fetchone()
    try:
        return None if found is None else read(found[0])
    except ValueError as error:
        log.warning("%s of %s.%s begin anew: %s", table, slot[3], slot[2], error)
        return None


def _put(database: sqlite3.Connection, table: str, slot: Slot, packed: bytes) -> None:
    query = f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET packed = excluded.packed"  # noqa: S608 - ours
    database.execute(query, (*slot, packed))


K = TypeVar("K")


def _add(known: dict[K, int], more: Mapping[K, int]) -> None:
    """Add what may be negative where another server's count was corrected."""
    for key, number in more.items():
        known[key] = max(0, known.get(key, 0) + number)


def _digest(batch: str) -> bytes:
    """Return the same short bytes for the same id, of whatever length."""
    return hashlib.sha256(batch.encode()).digest()[:16]
