"""Reads the files of the settings, and keeps what only root may read for the program after an upgrade."""

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

ReadFile = Callable[[Path], bytes]
"""Reads a file, or raises OSError."""

LONGEST = 16 << 20
"""Bytes of a file."""
MOST = 4 << 20
"""Bytes of all that are kept."""


def read_whole(path: Path) -> bytes:
    """Read a file; raises OSError for one that has no end, too."""
    with path.open("rb") as file:
        text = file.read(LONGEST + 1)
    if len(text) > LONGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return text


class SettingsFiles:
    """The files that the settings were read from.

    A server that was started by root gives that up, and the program that follows in an upgrade may not read
    its files again: it gets them as they were. What it may read it does read.
    """

    def __init__(self, carried: Mapping[Path, bytes] | None = None) -> None:
        """Begin with what the program before has `kept`."""
        self._carried = dict(carried or {})
        self._read: dict[Path, bytes] = {}

    def __repr__(self) -> str:
        return f"SettingsFiles({len(self._read)} read, {len(self._carried)} carried)"  # never what is in them

    def read(self, path: Path) -> bytes:
        """Read a file; one that this user may not read as root once did. Raises OSError."""
        key = path.absolute()
        try:
            text = read_whole(path)
        except PermissionError:
            if key not in self._carried:
                raise
            text = self._carried[key]
        self._read[key] = text
        return text

    def kept(self) -> dict[Path, bytes]:
        """Return what was read of files that the user whom this process acts as may not read."""
        found: dict[Path, bytes] = {}
        for path, text in self._read.items():
            if not _readable(path) and sum(map(len, found.values())) + len(text) <= MOST:
                found[path] = text
        return found


def _readable(path: Path) -> bool:
    try:
        path.open("rb").close()
    except PermissionError:
        return False
    except OSError:  # it is gone: so it is for whoever comes next
        return True
    return True
