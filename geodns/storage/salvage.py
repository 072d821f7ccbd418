"""Reads SQLite files that are not in use here: of another version, damaged, or of a server that runs."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from geodns.storage.replacing import companion
from geodns.storage.sqlite_errors import BUSY, code_of, trouble

# EXCLUSIVE keeps the index of what is not in the main file yet in memory: its file may find no room.
_TOUCHING = (("mode=rw", "NORMAL"), ("mode=rw", "EXCLUSIVE"))
# A server that runs has a log beside its file. Without one, SQLite would make it, unless it is told that
# nothing changes the file.
_BESIDE_A_SERVER = (("mode=ro&readonly_shm=1", "NORMAL"),)
_ALONE = (("mode=ro&immutable=1", "NORMAL"),)


def _text(text: bytes) -> str:
    """Return a cell's text; what is no UTF-8 is read too, and left to who uses it."""
    return text.decode(errors="surrogateescape")


def connected(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    """Open a file as all of ours are: each statement stands alone unless a transaction is begun."""
    found = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False, uri=uri)
    found.text_factory = _text
    return found


def readable(path: Path, *, touch: bool) -> sqlite3.Connection | None:
    """Open a file that is there to read it alone; None: it cannot be.

    Args:
        path: of the file.
        touch: whether what another process left in its companions may be tidied up.

    Raises:
        StoreError: another program has locked it.

    """
    untouched = _BESIDE_A_SERVER if companion(path, "-wal").exists() else _ALONE
    for query, mode in _TOUCHING if touch else untouched:
        found = None
        try:
            found = connected(f"{path.absolute().as_uri()}?{query}", uri=True)
            found.execute(f"PRAGMA locking_mode = {mode}")
            found.execute("SELECT 1 FROM sqlite_master").fetchall()
        except sqlite3.Error as error:
            if found is not None:
                found.close()
            if code_of(error) in BUSY:
                raise trouble(path, error) from error
        else:
            return found
    return None


def format_of(path: Path) -> int | None:
    """Return the number of a file's format without changing anything; None: it cannot be read.

    Raises:
        StoreError: another program has locked it.

    """
    found = readable(path, touch=False)
    if found is None:
        return None
    with closing(found), suppress(sqlite3.Error):
        ((number,),) = found.execute("PRAGMA user_version").fetchall()
        return int(number)
    return None


def copied(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> int:
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
