"""Replaces a file of the state directory: the old one is set aside once the new one is whole beside it.

Whoever is killed at any moment loses nothing: the next process ends what was begun, or begins anew.
"""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from geodns.storage.lock import unusable

_COMPANIONS = ("-wal", "-shm")
"""Of an SQLite file, behind its name."""


def set_aside(path: Path, now: float) -> Path:
    """Rename the file and its two companions to a free name, where they can still be opened."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    return move_aside(path, aside)


def move_aside(path: Path, aside: Path) -> Path:
    """Rename the file and its two companions, over others that have the name, and return the name."""
    try:
        if aside.exists():
            remove(aside)
        path.rename(aside)
        for name in _COMPANIONS:
            with suppress(FileNotFoundError):
                companion(path, name).rename(companion(aside, name))
    except OSError as error:
        raise unusable(path.parent, error) from error
    return aside


def before_format(path: Path, number: int) -> Path:
    """Return the name of the file as it was before it got this format, for whoever goes back."""
    return path.with_name(f"{path.name}.before-format-{number}")


def new_file(path: Path) -> Path:
    """Return the name of the file that is to replace another, until it is whole."""
    return path.with_name(f"{path.name}.new")


def companion(path: Path, name: str) -> Path:
    """Return the file beside a database that SQLite names after it: with `-wal` or `-shm`."""
    return path.with_name(path.name + name)


def remove(path: Path) -> None:
    """Remove a database that may be there, and its companions."""
    with suppress(OSError):
        for one in (path, *(companion(path, name) for name in _COMPANIONS)):
            one.unlink(missing_ok=True)


def end_replacing(path: Path) -> None:
    """Put the new file in the place of one that was set aside; while that is there, it is not whole."""
    new = new_file(path)
    if not new.exists():
        return
    remove(new if path.exists() else path)
    try:
        if not path.exists():
            new.rename(path)
    except OSError as error:
        raise unusable(path.parent, error) from error


def flush_directory(directory: Path) -> None:
    """Put the names of new files on disk; SQLite flushes only what is in them."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
