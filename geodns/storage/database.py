"""Opens an SQLite file of the state directory, sets a damaged one aside, and makes one line of every failure.

Every method may be called from any thread (one lock serves all); a database must not be carried over a fork.
"""

import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from geodns.errors import StoreError
from geodns.storage.lock import make_state_directory, unusable
from geodns.storage.replacing import companion, end_replacing, flush_directory, new_file, remove, set_aside

Flush = Literal["FULL", "NORMAL"]
"""FULL: on disk when the call returns. NORMAL: the file stays whole, but a power cut may lose the last."""


class Database:
    """The open file; every method raises StoreError when the file cannot be read or written.

    Attributes:
        FILE_NAME: in the state directory.
        VERSION: of the format; a file of another one is set aside.
        SCHEMA: makes the tables of an empty file.
        LATER: makes the tables that came later without a new version: an older program leaves them alone.
        TRIGGERS: what the file itself does with changes, also by an older program.
        LOSS: what is lost, or what the operator must do, when the file was set aside.
        TAKEN: tables whose rows an empty file takes over from the one that was set aside, and memory from one
            that cannot be written.
        offline: why everything is in memory for now; None: the file is in use.

    """

    FILE_NAME: ClassVar[str]
    VERSION: ClassVar[int]
    SCHEMA: ClassVar[str]
    LATER: ClassVar[str] = ""
    TRIGGERS: ClassVar[tuple[str, ...]] = ()
    LOSS: ClassVar[str]
    TAKEN: ClassVar[tuple[str, ...]] = ()

    def __init__(self, path: Path, offline: StoreError | None = None) -> None:
        """Open a file, or, where it cannot be used now, hold in memory what can be read of it."""
        self._path = path
        self._lock = threading.RLock()
        self._joined = False
        """Whether who has the lock is within `together`."""
        self.offline = offline
        try:
            self._database = _connected(":memory:" if offline else path)
        except sqlite3.Error as error:
            raise trouble(path, error) from error
        self._opened = None if offline else self._file()
        try:
            if offline is None:
                self._prepare()
            else:
                self._database.executescript(";".join((self.SCHEMA, self.LATER, *self.TRIGGERS)))
                self.take_from(path)
                self._read_through()
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, directory: Path, now: float, *, must: bool = True) -> tuple[Self, list[str]]:
        """Open the file in a directory, and return it with warnings for the operator.

        Both are made when missing. A file that is damaged, or that another version wrote, is set aside under
        a name with `now` in it, and an empty one takes its place, with what can be read of the other.

        Args:
            directory: where it lies.
            now: seconds since the epoch.
            must: whether a file that cannot be used is an error; False: memory takes its place, with what can
                be read of it, until `reopen` can use it. A disk that is full or broken is never one.

        Raises:
            StoreError: it cannot be used; or not even be read, since another program has locked it.

        """
        path = directory / cls.FILE_NAME
        try:
            opened, warnings = cls._opened_at(path, now)
            try:
                flush_directory(directory)
            except OSError as error:
                opened.close()
                raise unusable(directory, error) from error
        except StoreError as error:
            if not cls.TAKEN or (must and not isinstance(error, DiskError)):
                raise
            opened, warnings = cls(path, error), []
        return opened, [*warnings, *opened.remarks()]

    @classmethod
    def _opened_at(cls, path: Path, now: float) -> tuple[Self, list[str]]:
        make_state_directory(path.parent)
        end_replacing(path)
        try:
            return cls(path), []
        except DamagedError as damage:
            how = f"{path} {damage.how}"
        try:
            aside, taken = cls._replace(path, now)
            opened = cls(path)
        except DiskError as error:
            if not cls.TAKEN:
                raise
            return cls(path, error), [
                f"{how}: it stays until the disk takes a new one; {cls.LOSS}, if not shown"
            ]
        place = f"it was set aside as {aside.name}"
        does, where = "starts without it", ""
        if taken:
            does, where = f"took over what can be read of it ({taken} rows)", " where they are no more"
        return opened, [f"{how}: {place} and the server {does}; {cls.LOSS}{where}"]

    @classmethod
    def _replace(cls, path: Path, now: float, rows: sqlite3.Connection | None = None) -> tuple[Path, int]:
        """Set a file aside, once a new one with its rows is whole: who is killed meanwhile loses none.

        Args:
            path: of the file.
            now: seconds since the epoch.
            rows: that the new one takes over; None: what can be read of the file.

        Returns:
            where the old one is, and how many rows were taken.

        """
        new = new_file(path)
        try:
            made = cls(new)
            try:
                taken = made.take_from(path) if rows is None else made._take(rows)
            finally:
                made.close()
        except BaseException:
            remove(new)
            raise
        if companion(new, "-wal").exists():  # not all of it found room in the file itself
            remove(new)
            raise DiskError(f"{path}: {_ADVICE[sqlite3.SQLITE_FULL]}")
        aside = set_aside(path, now)
        end_replacing(path)
        return aside, taken

    def take_from(self, path: Path) -> int:
        """Take over the rows of another file that can be read, of any version; return how many.

        Raises:
            StoreError: another program has locked the file.

        """
        source = _readable(path) if self.TAKEN else None
        if source is None:
            return 0
        with closing(source):
            return self._take(source)

    def _take(self, source: sqlite3.Connection) -> int:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                taken = sum(_copied(source, self._database, table) for table in self.TAKEN)
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise trouble(self._path, error) from error
        return taken

    def reopen(self) -> None:
        """Use the file again where everything was in memory, and take that over into it.

        Raises:
            StoreError: it still cannot be used.

        """
        with self._lock:
            self._reopen()

    def _reopen(self) -> None:
        if self.offline is None:
            return
        make_state_directory(self._path.parent)
        try:
            fresh = type(self)(self._path)
        except DamagedError:
            self._replace(self._path, time.time(), self._database)
            fresh = type(self)(self._path)
        fresh._take(self._database)  # noqa: SLF001 - one of us
        self._database.close()
        self._database, self._opened, self.offline = fresh._database, fresh._opened, None  # noqa: SLF001 - likewise

    def close(self) -> None:
        """Close the file; later calls raise StoreError."""
        with self._lock, suppress(sqlite3.Error):
            self._database.close()

    def _read_through(self) -> None:
        """Read all that a start needs."""

    def remarks(self) -> list[str]:
        """Return warnings about what was left out when the file was opened."""
        return []

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
        made = (*(self.SCHEMA.split(";") if empty else ()), *self.LATER.split(";"), *self.TRIGGERS)
        self._run("FULL", [*made, f"PRAGMA user_version = {self.VERSION}"])
        self._read_through()

    def _file(self) -> tuple[int, int] | None:
        """Return the identity of the file that has our name now; None when there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _read(self, query: str, values: Sequence[float | str | bytes] = ()) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise trouble(self._path, error) from error

    def _write(
        self,
        flush: Flush,
        statement: str,
        rows: list[tuple[Any, ...]],
        *,
        first: str | None = None,
        also: Iterable[tuple[str, tuple[Any, ...]]] = (),
    ) -> None:
        """Run a statement for each row, and others with a row each behind it, as one transaction."""
        with self._transaction(flush) as database:
            if first is not None:
                database.execute(first)
            database.executemany(statement, rows)
            for other, row in also:
                database.execute(other, row)

    def _run(self, flush: Flush, statements: Iterable[str]) -> None:
        """Run statements as one transaction."""
        with self._transaction(flush) as database:
            for statement in statements:
                database.execute(statement)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep all that is written within the block at once, or nothing of it, and wait for the disk."""
        with self._transaction("FULL"):
            self._joined = True
            try:
                yield
            finally:
                self._joined = False

    @contextmanager
    def _transaction(self, flush: Flush) -> Iterator[sqlite3.Connection]:
        """Keep all that the block does, or nothing; within `together` as a part of that."""
        with self._lock:
            if self._joined:
                yield self._database
                return
            self._reopen()
            if self._file() != self._opened:
                # SQLite would silently go on writing to a file without a name.
                raise StoreError(f"{self._path} was removed or replaced while in use: start the server again")
            try:
                self._database.execute(f"PRAGMA synchronous = {flush}")
                self._database.execute("BEGIN IMMEDIATE")
                try:
                    yield self._database
                    self._database.execute("COMMIT")
                finally:
                    if self._database.in_transaction:
                        self._database.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise trouble(self._path, error) from error
            except UnicodeEncodeError as error:
                raise StoreError(f"{self._path}: text that is no Unicode cannot be kept") from error


class DiskError(StoreError):
    """The disk is full or broken: nobody gave the wrong place."""


class DamagedError(StoreError):
    """The file is no database of ours, or is broken; `how` continues a sentence that begins with its name."""

    def __init__(self, path: Path, how: str) -> None:
        super().__init__(f"{path} {how}: start the server again, which sets the file aside")
        self.how = how


_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""Primary result codes of a file that is not ours; ERROR means that a table or column is missing."""

_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NEEDED = 64 << 10
"""Bytes without which SQLite cannot even read."""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

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
    code = _code(error)
    if code == sqlite3.SQLITE_IOERR and _is_full(path.parent):  # SQLite says only sometimes why
        code = sqlite3.SQLITE_FULL
    if code in _DAMAGE:
        return DamagedError(path, f"is damaged ({error})")
    kind = DiskError if code in _DISK else StoreError
    return kind(f"{path}: {_ADVICE.get(code, str(error))}")


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _NEEDED
    except OSError:
        return False


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)) & 0xFF


def _text(text: bytes) -> str:
    """Return a cell's text; what is no UTF-8 is read too, and left to who uses it."""
    return text.decode(errors="surrogateescape")


def _connected(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    found = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False, uri=uri)
    found.text_factory = _text
    return found


def _readable(path: Path) -> sqlite3.Connection | None:
    """Open a file that is there to read it alone; None: it cannot be.

    Raises:
        StoreError: another program has locked it.

    """
    # EXCLUSIVE keeps the index of what is not in the main file yet in memory: its file may find no room.
    for mode in ("NORMAL", "EXCLUSIVE"):
        found = None
        try:
            found = _connected(f"{path.absolute().as_uri()}?mode=rw", uri=True)
            found.execute(f"PRAGMA locking_mode = {mode}")
            found.execute("SELECT 1 FROM sqlite_master").fetchall()
        except sqlite3.Error as error:
            if found is not None:
                found.close()
            if _code(error) in _BUSY:
                raise trouble(path, error) from error
        else:
            return found
    return None


def _copied(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> int:
    """Copy a table's rows that the target does not have, as far as both have columns; return how many."""
    found: dict[tuple[Any, ...], None] = {}
    known, keys = _columns(source, table), _columns(target, table)
    columns = ", ".join(sorted(known.keys() & keys.keys()))
    by = sorted((place, name) for name, place in keys.items() if place)
    for order in ("ASC", "DESC") if columns else ():  # from both ends: what is damaged lies between
        try:
            ordered = ", ".join(f"{name} {order}" for _, name in by)
            for row in source.execute(f"SELECT {columns} FROM {table} ORDER BY {ordered}"):  # noqa: S608 - ours
                found.setdefault(row)
        except sqlite3.Error:
            continue
        break
    places = ", ".join("?" * (columns.count(",") + 1))
    taken = 0
    for row in found:
        with suppress(sqlite3.IntegrityError, UnicodeEncodeError):
            query = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})"  # noqa: S608 - likewise
            taken += target.execute(query, row).rowcount
    return taken


def _columns(database: sqlite3.Connection, table: str) -> dict[str, int]:
    """Return a table's columns with their places in its key; 0: it is not in the key."""
    with suppress(sqlite3.Error):
        return {row[1]: row[5] for row in database.execute(f"PRAGMA table_info({table})")}
    return {}
