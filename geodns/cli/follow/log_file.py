"""A log file that grows, is renamed or cut off, read once from end to end, across restarts too.

A file is known by its first line: names and inodes change hands when logs are rotated, and a copy has the
first line of what it was copied from.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

CHUNK = 1 << 20
"""Bytes that are read at once."""
MARK = 512
"""Bytes of the first line that a file is known by, at most."""
QUIET = 5.0
"""Seconds without a new line after which a renamed file is complete: its writer may have it open yet."""

_ROTATED = re.compile(r"[.-]\d[\d-]*")


class Place(NamedTuple):
    """Where reading stands.

    Attributes:
        number: of the file, counted from the first that was ever read.
        mark: the file's first line, or its beginning; empty: it has none yet.
        inode: the file's.
        offset: of the next byte.

    """

    number: int = 0
    mark: bytes = b""
    inode: int = 0
    offset: int = 0


class Piece(NamedTuple):
    """Whole lines, where they began, and where reading stands after them."""

    data: bytes
    start: Place
    end: Place


class LogFile:
    """A log that is followed under its name.

    Args:
        path: its name.
        place: where reading stopped; None: begin with the whole file.
        tell: told what the operator should know.

    """

    def __init__(self, path: Path, place: Place | None, tell: Callable[[str], None]) -> None:
        self.path = path
        self._tell = tell
        self._place = place or Place()
        self._file: int | None = None
        self._last = 0.0
        self._missing = False
        self._done = b""  # the mark of the file before this one

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def readable(self) -> bool:
        """Whether a file is open: mail would be heard of."""
        return self._file is not None

    def read(self, now: float) -> Piece | None:
        """Return the next lines, or None while there are none; `now` is seconds that only grow.

        Raises:
            OSError: the file is there and cannot be read.

        """
        if self._file is None and not self._resume(now):
            return None
        assert self._file is not None
        data = os.pread(self._file, CHUNK, self._place.offset)
        # Afterwards: had it been cut off and written anew before, its first line would be another.
        if self._was_cut(self._file):
            self._after_cut(now)
            return None
        if data and not self._place.offset and self._passed_over(self._file, now):
            return None
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == CHUNK:
            end = CHUNK  # no line of a mail server
        if end:
            self._last = now
            return self._piece(data[:end])
        if now - self._last >= QUIET and self._is_gone(self._file):
            if data:
                return self._piece(data)  # its last line has no end
            self._next(now)
        return None

    def _piece(self, data: bytes) -> Piece:
        place = self._place
        if place.offset == 0:
            place = place._replace(mark=mark_of(data))
        end = place._replace(offset=place.offset + len(data))
        piece = Piece(data, place, end)
        self._place = end
        return piece

    def _resume(self, now: float) -> bool:
        """Open the file that reading stopped in, or the one that is first to read."""
        place = self._place
        if not place.offset:
            return self._open(self.path, now)
        for path in (self.path, *reversed(self._siblings())):
            if self._open(path, now):
                assert self._file is not None
                if begins(self._file, place.mark) and os.fstat(self._file).st_size >= place.offset:
                    return True
                self.close()
        self._tell(f"{self.path}: what was read up to byte {place.offset} is gone: lines may be missing")
        self._begin()
        return self._open(self.path, now)

    def _open(self, path: Path, now: float) -> bool:
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if path == self.path and not self._missing:
                self._missing = True
                self._tell(f"{path} is not there; waiting for it")
            return False
        self._missing = False
        self._last = now
        if not self._place.offset:
            self._place = self._place._replace(inode=os.fstat(self._file).st_ino)
        return True

    def _begin(self) -> None:
        """Stand at the beginning of another file."""
        self.close()
        self._done = self._place.mark or self._done
        self._place = Place(self._place.number + 1)

    def _was_cut(self, file: int) -> bool:
        place = self._place
        if not place.offset:
            return False
        return os.fstat(file).st_size < place.offset or not begins(file, place.mark)

    def _after_cut(self, now: float) -> None:
        """Read what a copy has that was not read before the file was cut off; then the file anew."""
        place = self._place
        self.close()
        for path in reversed(self._siblings()):
            if self._open(path, now):
                assert self._file is not None
                if begins(self._file, place.mark) and os.fstat(self._file).st_size >= place.offset:
                    self._last = now - QUIET  # a copy is complete
                    return
                self.close()
        self._tell(f"{self.path} was cut off at byte {place.offset} or before, and there is no copy of it")
        self._begin()

    def _is_gone(self, file: int) -> bool:
        """Tell whether the name is another file's by now, and that one has lines already."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return found.st_ino != os.fstat(file).st_ino and found.st_size > 0

    def _next(self, now: float) -> None:
        """Go on with the file that came after a complete one."""
        assert self._file is not None
        if not self._place.offset and self._passed_over(self._file, now):
            return
        later = self._later(os.fstat(self._file))
        self._begin()
        if later is not None and self._open(later, now):
            self._last = now - QUIET
        else:
            self._open(self.path, now)

    def _passed_over(self, file: int, now: float) -> bool:
        """Go to a file between the last one and this: a copy of one of which no line was read in time."""
        siblings = self._siblings()
        before = [place for place, path in enumerate(siblings) if _begins(path, self._done)]
        later = [path for path in siblings[before[-1] + 1 :] if path.stat().st_size] if before else []
        if not later or later[0].stat().st_ino == os.fstat(file).st_ino:
            return False
        self.close()
        self._open(later[0], now)
        self._last = now - QUIET
        return True

    def _later(self, seen: os.stat_result) -> Path | None:
        """Return the first old file that came after another; None: the one that has the name now."""
        siblings = self._siblings()
        for place, path in enumerate(siblings):
            with suppress(OSError):
                if path.stat().st_ino == seen.st_ino:
                    return next((later for later in siblings[place + 1 :] if later.stat().st_size), None)
        # It is compressed or removed by now: what was written to after it came after it.
        later = (path for path in siblings if path.stat().st_mtime_ns > seen.st_mtime_ns)
        return next(later, None)

    def _siblings(self) -> list[Path]:
        """Return files that were this one before, the oldest first; compressed ones are left out."""
        found = []
        name = self.path.name
        with suppress(OSError):
            for path in self.path.parent.iterdir():
                suffix = path.name.removeprefix(name)
                if path.name.startswith(name) and _ROTATED.fullmatch(suffix):
                    digits = suffix.replace("-", "").replace(".", "")
                    # A short number is counted up with each rotation; a date is the day of one.
                    found.append((-int(digits) if len(digits) < 4 else int(digits), path))
        return [path for _, path in sorted(found)]


def mark_of(data: bytes) -> bytes:
    """Return what a file is known by: its first line."""
    return data[: data.find(b"\n", 0, MARK) + 1 or MARK]


def begins(file: int, mark: bytes) -> bool:
    """Tell whether a file has this first line."""
    return os.pread(file, len(mark), 0) == mark


def _begins(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return bool(mark) and file.read(len(mark)) == mark
    except OSError:
        return False
