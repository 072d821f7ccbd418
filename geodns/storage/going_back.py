"""Gives an earlier version its files back: those of before the change of format, and the orders since.

The version that leaves does it, which knows its own format: the earlier one then finds what it wrote itself.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from geodns.errors import StoreError
from geodns.storage.formats import FORMATS
from geodns.storage.replacing import (
    before_format,
    end_replacing,
    flush_directory,
    move_aside,
    new_file,
    remove,
)
from geodns.storage.salvage import connected, copied, format_of, readable
from geodns.storage.sqlite_errors import trouble
from geodns.storage.state_file import StateFile

ORDERS = ("forced", "badness", "forced_weight", "shared_order")
"""Tables of the state file that every version reads: what operators and programs have ordered."""


def check_way_back(directory: Path, earlier: Mapping[str, int]) -> None:
    """Require that an earlier version can be given its files back; changes nothing.

    Args:
        directory: of the state.
        earlier: `FORMATS` of that version; a file that it does not name is left alone.

    Raises:
        StoreError: it cannot; the text says why.

    """
    _changed(directory, earlier)


def give_back(directory: Path, earlier: Mapping[str, int]) -> tuple[str, ...]:
    """Put the files of before in the places of those whose format is newer, and the orders since into them.

    No server may use the directory meanwhile. What is left stays beside them, as ``….format-N``. Who is
    killed meanwhile may do it again.

    Returns:
        The names of the files that were given back.

    Raises:
        StoreError: they cannot be; the text says why, and the others of them are as they were.

    """
    for name in earlier:
        end_replacing(directory / name)
    changed = _changed(directory, earlier)
    for path, number in changed.items():
        copy = before_format(path, number)
        new = new_file(path)
        remove(new)
        try:
            _copy(copy, new, path if path.name == StateFile.FILE_NAME else None)
        except BaseException:
            remove(new)
            raise
        move_aside(path, path.with_name(f"{path.name}.format-{number}"))
        end_replacing(path)
        flush_directory(directory)
        remove(copy)
    return tuple(path.name for path in changed)


def _changed(directory: Path, earlier: Mapping[str, int]) -> dict[Path, int]:
    """Return the files whose format the earlier version does not know, with the number."""
    changed: dict[Path, int] = {}
    for name, known in earlier.items():
        path = directory / name
        if name not in FORMATS or not path.exists():
            continue
        number = format_of(path)
        if number is None:
            raise StoreError(f"{path} cannot be read, so nothing can be given back: see the log")
        if number <= known:
            continue
        copy = before_format(path, number)
        if not copy.exists():
            raise StoreError(
                f"{path} has format {number}, the earlier version knows {known}, and there is no {copy.name} "
                "of before: install a version that knows this format"
            )
        found = format_of(copy)
        if found != known:
            kept = "cannot be read" if found is None else f"has format {found}"
            raise StoreError(f"{copy} {kept}, and the earlier version knows {known}: there is no way back")
        changed[path] = number
    return changed


def _copy(copy: Path, new: Path, orders: Path | None) -> None:
    """Copy a file of before; `orders` has those that take the place of the ones in it."""
    try:
        with closing(connected(new)) as target:
            with closing(_opened(copy)) as source:
                source.backup(target)
            if orders is not None:
                with closing(_opened(orders)) as since:
                    _take_orders(since, target, orders)
            # All of it into the file itself: its name is what changes place.
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with new.open("rb") as file:
            os.fsync(file.fileno())
    except sqlite3.Error as error:
        raise trouble(new, error) from error
    except OSError as error:
        raise StoreError(f"{new} cannot be written: {error.strerror}") from error


def _opened(path: Path) -> sqlite3.Connection:
    found = readable(path, touch=True)
    if found is None:
        raise StoreError(f"{path} cannot be read")
    return found


def _take_orders(source: sqlite3.Connection, target: sqlite3.Connection, path: Path) -> None:
    """Replace the orders by those of the newer file, and let no serial go back."""
    target.execute("BEGIN IMMEDIATE")
    for table in ORDERS:
        target.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
    for table in ORDERS:
        try:
            ((wanted,),) = source.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - ours
        except sqlite3.Error:
            wanted = -1
        taken = copied(source, target, table)
        if taken != wanted:
            raise StoreError(
                f"{path}: of its {table} rows the earlier version can take {taken}: end these orders first, "
                "or stay with this version"
            )
    for name, serial in source.execute("SELECT name, serial FROM zone").fetchall():
        target.execute("UPDATE zone SET serial = ? WHERE name = ?", (serial, name))
    target.execute("COMMIT")
