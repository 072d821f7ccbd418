"""The state file as a file: what its errors mean to an operator, and how a damaged one is set aside."""

import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from geodns.errors import StoreError
from geodns.statelock import unusable


class DamagedError(StoreError):
    """The file is no database of ours, or is broken.

    Attributes:
        how: continues a sentence that begins with the file's name.

    """

    def __init__(self, path: Path, how: str) -> None:
        super().__init__(f"{path} {how}: start the server again, which sets the file aside")
        self.how = how


_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""Primary result codes of a file that is not ours; ERROR comes of a table or column that is missing."""

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
    """Say what SQLite's error means to an operator (https://www.sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    if code in _DAMAGE:
        return DamagedError(path, f"is damaged ({error})")
    return StoreError(f"{path}: {_ADVICE.get(code, str(error))}")


def set_aside(path: Path, now: float) -> Path:
    """Rename the file and its two companions to a name that is free; they can still be opened there."""
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
    """Put the file's name on disk too; SQLite flushes what is in the file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
