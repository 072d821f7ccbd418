"""Embedded state that must survive a restart: verdicts, what is forced, zones, hosts, notes.

One SQLite file, ``geodns.db`` in the state directory. Every method may be called from any thread (one lock
serves all); a store must not be carried over a fork. Times are seconds since the epoch.
"""

import math
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal

from geodns.errors import StoreError
from geodns.live import Forced, HostKey, State, Verdict
from geodns.model import Host
from geodns.statelock import make_state_directory, unusable
from geodns.storefile import DamagedError, flush_directory, set_aside, trouble

FILE_NAME = "geodns.db"
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE verdict (target TEXT PRIMARY KEY, state TEXT NOT NULL, failures INT NOT NULL,
    successes INT NOT NULL, sheds INT NOT NULL, level INT NOT NULL, shed_out INT NOT NULL, at REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE forced (zone TEXT NOT NULL, host TEXT NOT NULL, forced TEXT NOT NULL, reason TEXT NOT NULL,
    author TEXT NOT NULL, since REAL NOT NULL, until REAL, PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE zone (name TEXT PRIMARY KEY, digest TEXT NOT NULL, serial INT NOT NULL, text TEXT,
    at REAL NOT NULL);
CREATE TABLE host_state (zone TEXT NOT NULL, host TEXT NOT NULL, state TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE retired (zone TEXT NOT NULL, host TEXT NOT NULL, model TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID
"""

STORED = 6
"""So many of a verdict's fields are kept, its first; whether a target is slow is soon found out anew."""

_LATER = """
CREATE TABLE IF NOT EXISTS returned (zone TEXT NOT NULL, host TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (zone, host)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID
"""
"""What came after the version of the file was given: a version without it leaves it alone."""

_Flush = Literal["FULL", "NORMAL"]
"""FULL: on disk when the call returns. NORMAL: the file stays whole, but a power cut may lose the last."""


@dataclass(frozen=True, slots=True)
class ForcedState:
    """What is imposed on a host, by whom and for how long.

    Attributes:
        forced: what.
        reason: why, in the author's words; may be empty.
        author: who did it.
        since: when.
        until: when it ends; None means when somebody ends it.

    """

    forced: Forced
    reason: str
    author: str
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class StoredZone:
    """The last good state of a zone.

    Attributes:
        digest: `Zone.digest` of it.
        serial: what its SOA said.
        text: the zone as JSON of the model.
        at: when it was loaded.

    """

    digest: str
    serial: int
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class HostSince:
    """A host's state and since when it has had it."""

    state: State
    since: float


@dataclass(frozen=True, slots=True)
class RetiredHost:
    """A host taken out of its zone's file that answers for its own name until a time."""

    host: Host
    until: float


class Store:
    """The open state file. Every method raises StoreError, with one line, when the file lets it down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise trouble(path, error) from error
        self._opened = self._file()
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, directory: Path, now: float) -> "tuple[Store, list[str]]":
        """Open the state file in a directory; both are made when missing.

        A file that is damaged, or that another version wrote, is set aside and a fresh one starts.

        Args:
            directory: what ``--state`` says.
            now: names the file that is set aside.

        Returns:
            The store, and what an operator should be told.

        Raises:
            StoreError: the directory or file cannot be read and written.

        """
        make_state_directory(directory)
        path = directory / FILE_NAME
        try:
            store, warnings = cls(path), []
        except DamagedError as damage:
            aside = set_aside(path, now)
            store = cls(path)
            told = (
                f"{path} {damage.how}: it was set aside as {aside.name} and the server starts without it; "
                "hosts that were drained or forced must be so again"
            )
            warnings = [told]
        try:
            flush_directory(directory)
        except OSError as error:
            store.close()
            raise unusable(directory, error) from error
        return store, warnings

    def close(self) -> None:
        """Close the file; what is called later raises StoreError."""
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    # ----- verdicts

    def save_verdicts(self, verdicts: Mapping[str, Verdict], now: float) -> None:
        """Keep verdicts, by `Target.key`; those of other targets stay."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(target, *astuple(verdict)[:STORED], now) for target, verdict in verdicts.items()],
        )

    def load_verdicts(self, max_age: float, now: float) -> dict[str, Verdict]:
        """Return the verdicts that were saved at most so many seconds ago, by `Target.key`.

        One from the future is judged by its distance too: the clock was or is wrong.
        """
        rows = self._read(
            "SELECT target, state, failures, successes, sheds, level, shed_out FROM verdict"
            " WHERE abs(? - at) <= ?",
            (now, max_age),
        )
        return {
            target: Verdict(State(state), failures, successes, sheds, level, bool(shed_out))
            for target, state, failures, successes, sheds, level, shed_out in rows
        }

    def prune_verdicts(self, max_age: float, now: float) -> None:
        """Forget the verdicts that `load_verdicts` would not return."""
        self._write("NORMAL", "DELETE FROM verdict WHERE abs(? - at) > ?", [(now, max_age)])

    # ----- what is forced

    def save_forced(self, host: HostKey, state: ForcedState) -> None:
        """Keep what is imposed on a host; it is on disk when this returns."""
        self._write(
            "FULL", "INSERT OR REPLACE INTO forced VALUES (?, ?, ?, ?, ?, ?, ?)", [(*host, *astuple(state))]
        )

    def clear_forced(self, host: HostKey) -> None:
        """Forget what is imposed on a host, if anything; it is gone from disk when this returns."""
        self._write("FULL", "DELETE FROM forced WHERE zone = ? AND host = ?", [host])

    def load_forced(self) -> dict[HostKey, ForcedState]:
        """Return everything imposed, also what has ended since."""
        rows = self._read("SELECT zone, host, forced, reason, author, since, until FROM forced")
        return {
            (zone, host): ForcedState(Forced(forced), reason, author, since, until)
            for zone, host, forced, reason, author, since, until in rows
        }

    # ----- zones

    def save_zone(self, name: str, zone: StoredZone) -> None:
        """Keep a zone's last good state; it is on disk when this returns."""
        self._write("FULL", "INSERT OR REPLACE INTO zone VALUES (?, ?, ?, ?, ?)", [(name, *astuple(zone))])

    def drop_zone(self, name: str) -> None:
        """Forget a zone but its serial, which must not go back should the zone return."""
        self._write("FULL", "UPDATE zone SET text = NULL WHERE name = ?", [(name,)])

    def load_zones(self) -> dict[str, StoredZone]:
        """Return the zones that were not dropped."""
        rows = self._read("SELECT name, digest, serial, text, at FROM zone WHERE text IS NOT NULL")
        return {name: StoredZone(digest, serial, text, at) for name, digest, serial, text, at in rows}

    def load_serials(self) -> dict[str, int]:
        """Return the last serial of every zone there ever was."""
        return dict(self._read("SELECT name, serial FROM zone"))

    # ----- hosts

    def save_host_states(self, states: Mapping[HostKey, HostSince]) -> None:
        """Keep the states of hosts; those of others stay."""
        self._write(
            "NORMAL",
            "INSERT OR REPLACE INTO host_state VALUES (?, ?, ?, ?)",
            [(*host, *astuple(state)) for host, state in states.items()],
        )

    def forget_host_states(self, hosts: Iterable[HostKey]) -> None:
        """Forget the states of hosts that are no more."""
        self._write("NORMAL", "DELETE FROM host_state WHERE zone = ? AND host = ?", list(hosts))

    def load_host_states(self) -> dict[HostKey, HostSince]:
        """Return the states of all hosts."""
        rows = self._read("SELECT zone, host, state, since FROM host_state")
        return {(zone, host): HostSince(State(state), since) for zone, host, state, since in rows}

    def save_returned(self, hosts: Mapping[HostKey, float]) -> None:
        """Keep when these hosts came back from down, and of no others."""
        self._write(
            "NORMAL",
            "INSERT INTO returned VALUES (?, ?, ?)",
            [(*host, at) for host, at in hosts.items()],
            first="DELETE FROM returned",
        )

    def load_returned(self) -> dict[HostKey, float]:
        """Return when hosts came back from down, of those that were still in their slow start."""
        return {(zone, host): at for zone, host, at in self._read("SELECT zone, host, at FROM returned")}

    def save_retired(self, hosts: Mapping[HostKey, RetiredHost]) -> None:
        """Keep these retired hosts and no others; they are on disk when this returns."""
        self._write(
            "FULL",
            "INSERT INTO retired VALUES (?, ?, ?, ?)",
            [(*key, retired.host.model_dump_json(), retired.until) for key, retired in hosts.items()],
            first="DELETE FROM retired",
        )

    def load_retired(self) -> dict[HostKey, RetiredHost]:
        """Return the retired hosts, also those whose time has passed since."""
        rows = self._read("SELECT zone, host, model, until FROM retired")
        return {
            (zone, host): RetiredHost(Host.model_validate_json(model), until)
            for zone, host, model, until in rows
        }

    # ----- notes

    def save_note(self, name: str, text: str) -> None:
        """Keep a text under a name, instead of the one before; it is on disk when this returns."""
        self._write("FULL", "INSERT OR REPLACE INTO note VALUES (?, ?)", [(name, text)])

    def load_notes(self) -> dict[str, str]:
        """Return all notes by their names."""
        return dict(self._read("SELECT name, text FROM note"))

    # ----- the file

    def _prepare(self) -> None:
        """Make the tables in an empty file; find out whether a full one can be read and written."""
        damage = self._read("PRAGMA quick_check(1)")
        if damage != [("ok",)]:
            raise DamagedError(self._path, f"is damaged ({' '.join(damage[0][0].split())})")
        ((version,),) = self._read("PRAGMA user_version")
        empty = version == 0 and not self._read("SELECT 1 FROM sqlite_master")
        if not empty and version != SCHEMA_VERSION:
            raise DamagedError(
                self._path, f"has format {version}, and this version of geodns reads {SCHEMA_VERSION}"
            )
        self._read("PRAGMA journal_mode = WAL")
        # Setting the version writes even when nothing changes: a file that is read-only is found out here.
        made = (*(_SCHEMA.split(";") if empty else ()), *_LATER.split(";"))
        self._run("FULL", [*made, f"PRAGMA user_version = {SCHEMA_VERSION}"])
        try:
            self.load_verdicts(math.inf, 0)
            self.load_forced()
            self.load_zones()
            self.load_host_states()
            self.load_retired()
            self.load_returned()
            self.load_notes()
        except ValueError as error:
            raise DamagedError(
                self._path, f"holds what cannot be read ({str(error).splitlines()[0]})"
            ) from error

    def _file(self) -> tuple[int, int] | None:
        """Return what tells the file that has our name now from all others; None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _read(self, query: str, values: tuple[float, ...] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise trouble(self._path, error) from error

    def _write(
        self, flush: _Flush, statement: str, rows: list[tuple[Any, ...]], *, first: str | None = None
    ) -> None:
        self._run(flush, [] if first is None else [first], statement, rows)

    def _run(
        self, flush: _Flush, statements: Iterable[str], many: str = "", rows: Iterable[tuple[Any, ...]] = ()
    ) -> None:
        """Run statements as one transaction: all of it is done, or nothing."""
        with self._lock:
            if self._file() != self._opened:
                # SQLite would go on writing to a file without a name, and say nothing.
                raise StoreError(f"{self._path} was removed or replaced while in use: start the server again")
            try:
                self._database.execute(f"PRAGMA synchronous = {flush}")
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    for statement in statements:
                        self._database.execute(statement)
                    if many:
                        self._database.executemany(many, rows)
                    self._database.execute("COMMIT")
                finally:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise trouble(self._path, error) from error
            except UnicodeEncodeError as error:
                raise StoreError(f"{self._path}: text that is no Unicode cannot be kept") from error
