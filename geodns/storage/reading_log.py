"""Notes which file is being read, so that one which kills its reader again and again is set aside.

A zone file, or one of hosts, may need more memory than there is: the kernel kills whoever reads it, and
nobody can catch that. So the file's name is on disk while it is read; the next process finds it there.
"""

import json
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_DEATHS = 2
"""Processes that may die reading a file as it is; then it is not read until it changes."""
MAX_BYTES = 1 << 16

Mark = list[int]
"""A file's status that changes when it is edited, replaced or touched."""


class ReadingLog:
    """The note on disk; where it cannot be written, nothing is set aside."""

    def __init__(self, path: Path) -> None:
        self._deaths: dict[str, tuple[Mark, int]] = {}
        self._reading: dict[int, list[tuple[str, Mark | None]]] = {}
        """What each thread reads; the last is what another, before it, has asked for."""
        self._turn = threading.Lock()
        self._file = -1
        with suppress(OSError):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._take(os.pread(self._file, MAX_BYTES, 0))
            self._write()

    def _take(self, text: bytes) -> None:
        """Take over what the process before has noted; what cannot be read counts as nothing."""
        with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            found: Any = json.loads(text.partition(b"\n")[0])
            self._deaths = {
                str(name): (list(mark), int(count)) for name, (mark, count) in found["deaths"].items()
            }
            for name, mark in found["reading"]:
                self._count(str(name), list(mark))

    def _count(self, name: str, mark: Mark) -> None:
        before, count = self._deaths.get(name, (mark, 0))
        self._deaths[name] = (mark, count + 1 if before == mark else 1)

    def begin(self, path: Path) -> bool:
        """Note that this thread reads a file from now on; False: too many died of it as it is."""
        mark = _mark(path)
        with self._turn:
            before, count = self._deaths.get(str(path), (mark, 0))
            if mark is not None and before == mark and count >= MOST_DEATHS:
                return False
            self._reading.setdefault(threading.get_ident(), []).append((str(path), mark))
            self._write()
        return True

    def end(self) -> None:
        """Note that this thread does not read any more what it began to read last."""
        with self._turn:
            self._pop()
            self._write()

    def _pop(self) -> tuple[str, Mark | None] | None:
        """Take out what this thread began to read last."""
        own = self._reading.get(threading.get_ident(), [])
        last = own.pop() if own else None
        if not own:
            self._reading.pop(threading.get_ident(), None)
        return last

    def survived(self, paths: Iterable[Path]) -> None:
        """Forget the deaths of files that are served now: to be read well is not enough."""
        with self._turn:
            known = self._deaths.keys() & set(map(str, paths))
            for name in known:
                del self._deaths[name]
            if known:
                self._write()

    def is_suspected(self, path: Path) -> bool:
        """Tell whether somebody died of a file."""
        return str(path) in self._deaths

    def died(self) -> None:
        """Note that this process ends because of the file that this thread reads."""
        with self._turn:
            last = self._pop()
            if last is not None and last[1] is not None:
                self._count(last[0], last[1])
            self._write()

    def close(self) -> None:
        """Note that nothing is read any more, whatever becomes of this process."""
        with self._turn:
            self._reading = {}
            self._write()
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _write(self) -> None:
        # No flush: it must outlive this process, not the machine.
        reading = [own[-1] for own in self._reading.values() if own[-1][1] is not None]
        text = json.dumps({"reading": reading, "deaths": self._deaths})
        if self._file >= 0 and len(text) < MAX_BYTES:
            with suppress(OSError):
                os.pwrite(self._file, f"{text}\n".encode(), 0)


def _mark(path: Path) -> Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
