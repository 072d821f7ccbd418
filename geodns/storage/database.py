"""Opens an SQLite file of the state directory, sets a damaged one aside, and makes one line of every failure.

Every method may be called from any thread (one lock serves all); a database must not be carried over a fork.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from geodns.errors import StoreError
from geodns.storage.lock import make_state_directory, unusable
from geodns.storage.replacing import (
    before_format,
    companion,
    end_replacing,
    flush_directory,
    move_aside,
    new_file,
    remove,
    set_aside,
)
from geodns.storage.salvage import connected, copied, format_of, readable
from geodns.storage.sqlite_errors import (
    ADVICE,
    DamagedError,
    DiskError,
    NewerFormatError,
    OlderFormatError,
    trouble,
)

Flush = Literal["FULL", "NORMAL"]
"""FULL: on disk when the call returns. NORMAL: the file stays whole, but a power cut may lose the last."""


class Database:
    """The open file; every method raises StoreError when the file cannot be read or written.

    Attributes:
        FILE_NAME: in the state directory.
        VERSION: of the format. The rows of an older one are taken over, and its file is kept beside the new
            one; a newer one is left as it is.
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

    def __init__(
        self, path: Path, offline: StoreError | None = None, *, touch: bool = True, keep: bool = False
    ) -> None:
        """Open a file, or, where it cannot be used now, hold in memory what can be read of it.

        Args:
            path: of the file.
            offline: why it cannot be used.
            touch: as for `readable`.
            keep: whether everything stays in memory.

        """
        self._path = path
        self._lock = threading.Lock()
        self._keep = keep
        self.offline = offline
        try:
            self._database = connected(":memory:" if offline else path)
        except sqlite3.Error as error:
            raise trouble(path, error) from error
        self._opened = None if offline else self._file()
        try:
            if offline is None:
                self._prepare()
            else:
                self._database.executescript(";".join((self.SCHEMA, self.LATER, *self.TRIGGERS)))
                self.take_from(path, touch=touch)
                self._read_through()
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, directory: Path, now: float, *, must: bool = True) -> tuple[Self, list[str]]:
        """Open the file in a directory, and return it with warnings for the operator.

        Both are made when missing. A file that is damaged is set aside under a name with `now` in it, and an
        empty one takes its place, with what can be read of the other; one of an older format is kept under
        the name of `before_format`. One of a newer format stays as it is: what can be read of it is held in
        memory.

        Args:
            directory: where it lies.
            now: seconds since the epoch.
            must: whether a file that cannot be used is an error; False: memory takes its place, with what can
                be read of it, until `reopen` can use it. A disk that is full or broken is never one, nor is a
                newer format.

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
            if not cls.TAKEN or (must and not isinstance(error, DiskError | NewerFormatError)):
                raise
            opened, warnings = cls(path, error, touch=not isinstance(error, NewerFormatError)), []
        return opened, [*warnings, *opened.remarks()]

    @classmethod
    def copy_of(cls, directory: Path, *, back: bool = False) -> Self:
        """Hold the file's rows in memory for good, and leave the file as it is; none where there is none.

        Args:
            directory: where it lies.
            back: whether the newer version that uses it now is to give back the file of before: then that
                one's rows are held.

        Raises:
            StoreError: it cannot be read, or a newer geodns wrote it.

        """
        path = directory / cls.FILE_NAME
        if path.exists():
            found = format_of(path)
            if found is None:
                raise StoreError(f"{path} cannot be read: let this user read it and what stands beside it")
            if found > cls.VERSION:
                if not back or format_of(before_format(path, found)) != cls.VERSION:
                    raise NewerFormatError(path, found, cls.VERSION)
                path = before_format(path, found)
        return cls(path, StoreError(f"{path} is only read"), touch=False, keep=True)

    @classmethod
    def _opened_at(cls, path: Path, now: float) -> tuple[Self, list[str]]:
        make_state_directory(path.parent)
        end_replacing(path)
        try:
            return cls(path), []
        except DamagedError as damage:
            how, older = f"{path} {damage.how}", isinstance(damage, OlderFormatError)
        try:
            aside, taken = cls._replace(path, now, older=older)
            opened = cls(path)
        except DiskError as error:
            if not cls.TAKEN:
                raise
            return cls(path, error), [
                f"{how}: it stays until the disk takes a new one; {cls.LOSS}, if not shown"
            ]
        place = f"it was {'kept' if older else 'set aside'} as {aside.name}"
        does, where = "starts without it", ""
        if taken:
            does, where = f"took over what can be read of it ({taken} rows)", " where they are no more"
        return opened, [f"{how}: {place} and the server {does}; {cls.LOSS}{where}"]

    @classmethod
    def _replace(
        cls, path: Path, now: float, rows: sqlite3.Connection | None = None, *, older: bool = False
    ) -> tuple[Path, int]:
        """Set a file aside, once a new one with its rows is whole: who is killed meanwhile loses none.

        Args:
            path: of the file.
            now: seconds since the epoch.
            rows: that the new one takes over; None: what can be read of the file.
            older: whether it has an older format; only the last one of these is kept.

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
            raise DiskError(f"{path}: {ADVICE[sqlite3.SQLITE_FULL]}")
        aside = move_aside(path, before_format(path, cls.VERSION)) if older else set_aside(path, now)
        end_replacing(path)
        return aside, taken

    def take_from(self, path: Path, *, touch: bool = True) -> int:
        """Take over the rows of another file that can be read, of any version; return how many.

        Raises:
            StoreError: another program has locked the file.

        """
        source = readable(path, touch=touch) if self.TAKEN else None
        if source is None:
            return 0
        with closing(source):
            return self._take(source)

    def _take(self, source: sqlite3.Connection) -> int:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                taken = sum(copied(source, self._database, table) for table in self.TAKEN)
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
        if self.offline is None or self._keep:
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
        if version > self.VERSION:
            raise NewerFormatError(self._path, version, self.VERSION)
        if not empty and version < self.VERSION:
            older = OlderFormatError(self._path, version, self.VERSION)
            raise older if version else DamagedError(self._path, older.how)
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
    def _transaction(self, flush: Flush) -> Iterator[sqlite3.Connection]:
        """Keep all that the block does, or nothing."""
        with self._lock:
            self._reopen()
            if self._file() != self._opened and not self._keep:
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
