"""Keeps what became of mail on disk: counts by host and step of time, delays, and which batches were taken.

It is a file of its own, as those of the events and the history: it grows, and no start waits for it. A batch
and all that it counts are one transaction, so that it is counted once however often it is sent.
"""

import hashlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from geodns.model.mail import About, MailEvent, MailKey, MailKind
from geodns.model.state import HostKey
from geodns.storage import cells
from geodns.storage.database import Database

log = logging.getLogger(__name__)

FIVE, HOUR, DAY = 300, 3600, 86400
COUNTS_KEPT: Mapping[int, int] = {FIVE: 14 * DAY, HOUR: 90 * DAY, DAY: 90 * DAY}
"""Seconds that counts of each step are kept; every count stands in all three."""
DELAYS_KEPT: Mapping[int, int] = {HOUR: 14 * DAY, DAY: 90 * DAY}
"""Seconds that delays of each step are kept."""
BATCHES_KEPT = 7 * DAY
MAX_BATCHES = 2_000_000
"""Batches that are remembered at most, the last ones: 50 posters may send three a minute for a week."""
MAX_ERRORS = 100
"""Different errors of a batch that are kept word by word."""
SAID = "refused the first time, too"
"""Instead of further ones."""
MAX_AT = 2**32
MAX_UNPACKED = 64 << 20
"""Bytes of a row."""

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

Counts = Mapping[MailKey, int]
Delays = Mapping[str, Mapping[int, int]]
"""By provider; then deliveries by bin (see `signals.delays`)."""


class Rejected(NamedTuple):
    """A signal that was not taken: its place in the batch, from 0, and why."""

    place: int
    error: str


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


Fives = Mapping[tuple[HostKey, int], Five]
"""By host and begin."""
T = TypeVar("T")


class SignalFile(Database):
    """The open file."""

    FILE_NAME = "signals.db"
    VERSION = 1
    SCHEMA = _SCHEMA
    LOSS = "counts of mail begin anew"

    # ----- writing

    def taken(self, batch: str) -> Taken | None:
        """Return what became of a batch that was taken before; None: it is new."""
        rows = self._read("SELECT accepted, rejected FROM batch WHERE id = ?", [_digest(batch)])
        if not rows:
            return None
        accepted, packed = rows[0]
        return Taken(accepted, tuple(_rejected(packed)), duplicate=True)

    def take(self, batch: str, found: Taken, fives: Fives, now: float) -> None:
        """Keep a batch and all it counts, on disk when the call returns; or, with a StoreError, nothing."""
        counts, delays = _in_steps(fives, now)
        with self._transaction("FULL") as database:
            database.execute(
                "INSERT INTO batch VALUES (?, ?, ?, ?)",
                (_digest(batch), int(now), found.accepted, _packed_rejected(found.rejected)),
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

    def save_heard(self, heard: Mapping[HostKey, float]) -> None:
        """Keep when hosts were heard of; a crash may lose the last."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO heard VALUES (?, ?, ?)",
            [(*host, at) for host, at in heard.items()],
        )

    def prune(self, now: float) -> None:
        """Drop what is older than it is kept; the bytes are used again."""
        for table, kept in (("counts", COUNTS_KEPT), ("delays", DELAYS_KEPT)):
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
        """Return the counts of the steps that begin in a span of time; `hosts`: of these alone."""
        return self._rows("counts", step, begin, end, zone, unpacked_counts, hosts)

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
    for key, number in more.items():
        known[key] = known.get(key, 0) + number


def _digest(batch: str) -> bytes:
    """Return the same short bytes for the same id, of whatever length."""
    return hashlib.sha256(batch.encode()).digest()[:16]


# ----- rows as bytes

_EVENTS = {
    MailEvent.DELIVERED: "d",
    MailEvent.DEFERRED: "f",
    MailEvent.RETRIED: "r",
    MailEvent.BOUNCED: "b",
    MailEvent.EXPIRED: "e",
    MailEvent.COMPLAINT: "c",
    MailEvent.INBOX: "i",
    MailEvent.SPAM: "s",
    MailEvent.OPENED: "o",
    MailEvent.CLICKED: "k",
}
_ABOUT = {
    None: "-",
    About.IP: "i",
    About.NETBLOCK: "n",
    About.DOMAIN: "d",
    About.CONTENT: "c",
    About.RECIPIENT: "r",
    About.RATE: "t",
    About.PASSING: "p",
    About.UNKNOWN: "u",
}
"""Letters that files keep: none is ever given another meaning."""

_CODES = {
    f"{event_letter}{about_letter}{first:d}{late:d}{dated:d}": MailKind(event, about, first, late, dated)
    for event, event_letter in _EVENTS.items()
    for about, about_letter in _ABOUT.items()
    for first in (False, True)
    for late in (False, True)
    for dated in (False, True)
}
_CODE_OF = {kind: code for code, kind in _CODES.items()}


def packed_counts(counts: Counts) -> bytes:
    """Return counts as bytes for `unpacked_counts`."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for (egress, provider, kind), number in counts.items():
        nested.setdefault(egress, {}).setdefault(_CODE_OF[kind], {})[provider] = number
    return _pack(nested)


def unpacked_counts(packed: bytes) -> dict[MailKey, int]:
    """Return what `packed_counts` packed, or raise ValueError."""
    try:
        return {
            (egress, provider, _CODES[code]): _number(number)
            for egress, codes in _unpack(packed).items()
            for code, providers in codes.items()
            for provider, number in providers.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no counts: {error}") from error


def packed_delays(delays: Delays) -> bytes:
    """Return delays as bytes for `unpacked_delays`: the lowest bin, then all to the highest."""
    rows: dict[str, list[int]] = {}
    for provider, bins in delays.items():
        if bins:
            lowest = min(bins)
            row = rows[provider] = [0] * (max(bins) - lowest + 2)
            row[0] = lowest
            for place, number in bins.items():
                row[place - lowest + 1] = number
    return _pack(rows)


def unpacked_delays(packed: bytes) -> dict[str, dict[int, int]]:
    """Return what `packed_delays` packed, or raise ValueError."""
    try:
        return {provider: _bins(*values) for provider, values in _unpack(packed).items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(f"no delays: {error}") from error


def _bins(lowest: Any, *numbers: Any) -> dict[int, int]:
    # The cheapest way to find what is no number or below 0: there may be a million.
    if type(lowest) is not int or set(map(type, numbers)) != {int} or min(numbers) < 0:
        raise ValueError("no delays: no bins")
    return {place: number for place, number in enumerate(numbers, lowest) if number}


def _number(given: Any) -> int:
    if type(given) is not int or given < 0:
        raise ValueError("no count")
    return given


def _packed_rejected(rejected: Iterable[Rejected]) -> bytes:
    """Return as bytes the places of each error, by how far each lies behind the one before."""
    steps: dict[str, list[int]] = {}
    last: dict[str, int] = {}
    for one in sorted(rejected):
        error = one.error if one.error in steps or len(steps) < MAX_ERRORS else SAID
        steps.setdefault(error, []).append(one.place - last.get(error, 0))
        last[error] = one.place
    return _pack(steps) if steps else b""


def _rejected(packed: bytes) -> list[Rejected]:
    try:
        found = _unpack(packed) if packed else {}
        return sorted(Rejected(place, error) for error, steps in found.items() for place in accumulate(steps))
    except (ValueError, AttributeError, TypeError):
        return []  # what counts is that the batch was taken


def _pack(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode())


def _unpack(packed: bytes) -> Any:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(packed, MAX_UNPACKED)
        if not unpacking.eof:
            raise ValueError("it is cut short")
        return json.loads(text)
    except (zlib.error, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
