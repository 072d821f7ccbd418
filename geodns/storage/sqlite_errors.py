"""The errors of SQLite files in an operator's words."""

import shutil
import sqlite3
from pathlib import Path

from geodns.errors import StoreError


class DiskError(StoreError):
    """The disk is full or broken: nobody gave the wrong place."""


class NewerFormatError(StoreError):
    """A newer geodns wrote the file: it is read as far as that goes, and neither changed nor moved."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a newer geodns (format {found}), and this one knows format {known}: "
            "start that version again; `geodns upgrade --back` leaves it with its state"
        )


class DamagedError(StoreError):
    """The file is no database of ours, or is broken; `how` continues a sentence that begins with its name."""

    def __init__(self, path: Path, how: str) -> None:
        super().__init__(f"{path} {how}: start the server again, which sets the file aside")
        self.how = how


class OlderFormatError(DamagedError):
    """An older geodns wrote the file: its rows go into one of today's format."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(path, f"has format {found}, and this version of geodns writes {known}")


_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""Primary result codes of a file that is not ours; ERROR means that a table or column is missing."""

_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NEEDED = 64 << 10
"""Bytes without which SQLite cannot even read."""
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_LOCKED = "another program has locked it: end that program, or use another --state"
_READ_ONLY = "it cannot be opened and written: make it and its directory writable for this user"
ADVICE = {
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
    code = code_of(error)
    if code == sqlite3.SQLITE_IOERR and _is_full(path.parent):  # SQLite says only sometimes why
        code = sqlite3.SQLITE_FULL
    if code in _DAMAGE:
        return DamagedError(path, f"is damaged ({error})")
    kind = DiskError if code in _DISK else StoreError
    return kind(f"{path}: {ADVICE.get(code, str(error))}")


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _NEEDED
    except OSError:
        return False


def code_of(error: sqlite3.Error) -> int:
    """Return the primary result code."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)) & 0xFF
