"""Looks at a folder of zone files and decides which changes to believe.

The caller takes a `snapshot` a few times a second and feeds it to a `Watch`. Edits count once a file has been
quiet, so that one which is half copied is not read; missing files are doubted, so that a slip of the hand
takes no zone away. Deciding needs no clock: time is an argument.
"""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from geodns.zonefile.reader import is_zone_file

QUIET = 0.5
"""Seconds that a file must stay as it is before it is read."""

LOOK_EVERY = 0.2
"""Seconds from one look at a folder to the next, while it is not large."""
LOOK_SHARE = 0.02
"""The part of a core that looking may take: thousands of files are looked at less often."""
SELDOM = 5.0
"""Seconds from one look to the next, at most."""

BELIEVED_MISSING = 5.0
"""Seconds that a file must be missing before its zone goes."""


class FileMark(NamedTuple):
    """A file's status that changes when it is edited, replaced or made readable."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


_UNKNOWN_MARK = FileMark(0, 0, 0, 0)
"""The mark of a file that has no readable status; reading it will say why."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at a folder.

    Attributes:
        files: those that count.
        unreadable: why the folder could not be read; `files` is empty then, and means nothing.

    """

    files: Mapping[Path, FileMark] = field(default_factory=dict)
    unreadable: str | None = None


def look_pause(cost: float, *, restless: bool) -> float:
    """Return the seconds until the next look.

    Args:
        cost: processor seconds of the last look.
        restless: whether a change waits to be believed.

    """
    return min(max(LOOK_EVERY, cost / LOOK_SHARE), QUIET if restless else SELDOM)


@dataclass(frozen=True, slots=True)
class FolderChange:
    """Files to be read, and files whose zones go."""

    changed: frozenset[Path]
    removed: frozenset[Path]


def snapshot(folder: Path, wanted: Callable[[str], object] = is_zone_file) -> Snapshot:
    """Look at the files of a folder whose names are wanted: one system call a file, and none is opened."""
    files: dict[Path, FileMark] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if wanted(entry.name):
                    mark = mark_of(entry)
                    if mark is not None:
                        files[_child(folder, entry.name)] = mark
    except OSError as error:
        return Snapshot(unreadable=error.strerror or str(error))
    return Snapshot(files)


@lru_cache(65_536)
def _child(folder: Path, name: str) -> Path:
    """Return a file's path, the same object each time: making and comparing paths costs more than a look."""
    return folder / name


def mark_of(entry: os.DirEntry[str] | Path) -> FileMark | None:
    """Return a file's mark; None where there is no such file."""
    try:
        found = entry.stat()
    except FileNotFoundError:
        return None
    except OSError:
        return _UNKNOWN_MARK
    if stat.S_ISDIR(found.st_mode):
        return None
    return FileMark(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Watch:
    """Decides which changes to believe.

    Files that vanish all at once (a folder emptied by mistake, a mount that went away) are kept: not only
    while the folder is empty, but each until it comes back, since whoever restores a folder does so file by
    file. To let them go, begin a new watch, as a reload does while there are other files.

    Attributes:
        kept: the files that are kept so.
        all_missing: whether the folder has no file now and had some.
        unreadable: why the folder could not be read at the last look; None when it could.

    """

    def __init__(self, baseline: Snapshot) -> None:
        """Begin with a snapshot that was taken before the files were read, so that no edit is missed."""
        self.kept: frozenset[Path] = frozenset()
        self.all_missing = False
        self.unreadable = baseline.unreadable
        self._known = dict(baseline.files)
        self._unsettled: dict[Path, tuple[FileMark, float]] = {}
        self._missing: dict[Path, float] = {}

    @property
    def restless(self) -> bool:
        """Whether a change waits to be believed."""
        return bool(self._unsettled or self._missing)

    def feed(self, seen: Snapshot, now: float) -> FolderChange | None:
        """Take a look, at seconds of a clock that never goes back; return what is believed, if anything."""
        self.unreadable = seen.unreadable
        if seen.unreadable is not None:
            self._missing.clear()
            return None
        self.all_missing = bool(self._known) and not seen.files
        if self.all_missing:
            self.kept = frozenset(self._known)
        elif self.kept:
            self.kept -= seen.files.keys()
        if seen.files == self._known:
            self._unsettled.clear()
            self._missing.clear()
            return None
        removed = self._believed_missing(seen.files, now)
        changed = self._settled(seen.files, now)
        return FolderChange(changed, removed) if changed or removed else None

    def _settled(self, files: Mapping[Path, FileMark], now: float) -> frozenset[Path]:
        """Return the files that changed and have been quiet since; they are known now."""
        before = self._unsettled
        self._unsettled = {}
        settled: set[Path] = set()
        for path, mark in files.items():
            if self._known.get(path) == mark:
                continue
            last, since = before.get(path, (mark, now))
            if last != mark:
                since = now
            if now - since >= QUIET:
                self._known[path] = mark
                settled.add(path)
            else:
                self._unsettled[path] = (mark, since)
        return frozenset(settled)

    def _believed_missing(self, files: Mapping[Path, FileMark], now: float) -> frozenset[Path]:
        """Return the files that have been missing for long enough; they are forgotten."""
        before = self._missing
        missing = self._known.keys() - files.keys() - self.kept
        self._missing = {path: before.get(path, now) for path in missing}
        removed = frozenset(path for path, since in self._missing.items() if now - since >= BELIEVED_MISSING)
        for path in removed:
            del self._known[path], self._missing[path]
        return removed
