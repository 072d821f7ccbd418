"""Opens an SQLite file of the state directory, sets a damaged one aside, and makes one line of every failure.

Every method may be called from any thread (one lock serves all); a database must not be carried over a fork.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from geodns.errors import StoreError
from geodns.storage.lock import make_state_directory, unusable

Flush = Literal["FULL", "NORMAL"]
"""FULL: on disk when the call returns. NORMAL: the file stays whole, but a power cut may lose the last."""


class Database:
    """The open file; every method raises StoreError when the file cannot be read or written.

    Attributes:
        FILE_NAME: in the state directory.
        VERSION: of the format; a file of another one is set aside.
        SCHEMA: makes the tables of an empty file.
        LATER: makes the tables that came later without a new version: an older program leaves them alone.
        LOSS: what is lost, or what the operator must do, when the file was set aside.

    """

    FILE_NAME: ClassVar[str]
    VERSION: ClassVar[int]
    SCHEMA: ClassVar[str]
    LATER: ClassVar[str] = ""
    LOSS: ClassVar[str]

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
    def open(cls, directory: Path, now: float) -> tuple[Self, list[str]]:
        """Open the file in a directory, and return it with warnings for the operator.

        Both are made when missing. A file that is damaged, or that another version wrote, is set aside under
        a name with `now` in it, and an empty one takes its place.
        """
        make_state_directory(directory)
        path = directory / cls.FILE_NAME
        try:
            opened, warnings = cls(path), []
        except DamagedError as damage:
            aside = set_aside(path, now)
            opened = cls(path)
            warning = (
                f"{path} {damage.how}: it was set aside as {aside.name} and the server starts without it; "
                f"{cls.LOSS}"
            )
            warnings = [warning]
        try:
            flush_directory(directory)
        except OSError as error:
            opened.close()
            raise unusable(directory, error) from error
        return opened, warnings

    def close(self) -> None:
        """Close the file; later calls raise StoreError."""
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    def _read_through(self) -> None:
        """Read all that a start needs; raise ValueError where it makes no sense."""

    def _prepare(self) -> None:
        """Make the tables of an empty file; find out whether another can be read and written."""
        damage = self._read("PRAGMA quick_check(1)")
        if damage != [("ok",)]:
            raise DamagedError(self._path, f"is damaged ({' '.join(damage[0][0].split())})")
        ((version,),) = self._read("PRAGMA user_version")
        empty = version == 0 and not self._read("SELECT 1 FROM sqlite_master")
        if not empty and version != self.VERSION:
            raise DamagedError(
                self._path, f"has format {version}, and this version of geodns reads {self.VERSION}"
            )
        self._read("PRAGMA journal_mode = WAL")
        # Setting the version writes even when nothing changes, which finds out a read-only file.
        made = (*(self.SCHEMA.split(";") if empty else ()), *self.LATER.split(";"))
        self._run("FULL", [*made, f"PRAGMA user_version = {self.VERSION}"])
        try:
            self._read_through()
        except ValueError as error:
            raise DamagedError(
                self._path, f"holds what cannot be read ({str(error).splitlines()[0]})"
            ) from error

    def _file(self) -> tuple[int, int] | None:
        """Return the identity of the file that has our name now; None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _read(self, query: str, values: Sequence[float | str] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise trouble(self._path, error) from error

    def _write(
        self, flush: Flush, statement: str, rows: list[tuple[Any, ...]], *, first: str | None = None
    ) -> None:
        self._run(flush, [] if first is None else [first], statement, rows)

    def _run(
        self, flush: Flush, statements: Iterable[str], many: str = "", rows: Iterable[tuple[Any, ...]] = ()
    ) -> None:
        """Run statements as one transaction."""
        with self._lock:
            if self._file() != self._opened:
                # SQLite would silently go on writing to a file without a name.
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


class DamagedError(StoreError):
    """The file is no database of ours, or is broken; `how` continues a sentence that begins with its name."""

    def __init__(self, path: Path, how: str) -> None:
        super().__init__(f"{path} {how}: start the server again, which sets the file aside")
        self.how = how


_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""Primary result codes of a file that is not ours; ERROR means that a table or column is missing."""

_LOCKED = "another program has locked it: end that program, or use another --state"
_READ_ONLY = "it cannot be opened and written: make it and its directory writable for this user"
_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_IOERR: "the disk does not read or write: see the kernel's log",
}


def trouble(path: Path, error: sqlite3.Error) -> StoreError:
    """Return SQLite's error in an operator's words (https://www.sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    if code in _DAMAGE:
        return DamagedError(path, f"is damaged ({error})")
    return StoreError(f"{path}: {_ADVICE.get(code, str(error))}")


def set_aside(path: Path, now: float) -> Path:
    """Rename the file and its two companions to a free name, where they can still be opened."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    try:
        path.rename(aside)
        for companion in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + companion).rename(aside.with_name(aside.name + companion))
    except OSError as error:
        raise unusable(path.parent, error) from error
    return aside


def flush_directory(directory: Path) -> None:
    """Put the names of new files on disk; SQLite flushes only what is in them."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
