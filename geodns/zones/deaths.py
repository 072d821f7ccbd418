"""Files that kill whoever reads them: their deaths are remembered beyond the end of the process."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from geodns.errors import Problem, printable

_DEADLY = (
    "control died reading it, again and again",
    "give the server more memory or make the file smaller, then `touch` it: it is read once it has changed",
)


class Deaths(Protocol):
    """Whoever remembers, beyond the end of this process, which file was being read."""

    def begin(self, path: Path) -> bool:
        """Note that this thread reads a file from now on; False: it kills whoever reads it."""

    def end(self) -> None:
        """Note that this thread does not read any more what it began to read last."""

    def survived(self, paths: Iterable[Path]) -> None:
        """Forget what is noted of files that are served now."""

    def is_suspected(self, path: Path) -> bool:
        """Tell whether somebody died of a file."""

    def died(self) -> None:
        """Note that this process ends because of what this thread reads."""


class Forgetful:
    """Remembers nothing."""

    def begin(self, path: Path) -> bool:
        del path
        return True

    def end(self) -> None:
        pass

    def survived(self, paths: Iterable[Path]) -> None:
        pass

    def is_suspected(self, path: Path) -> bool:
        del path
        return False

    def died(self) -> None:
        pass


@contextmanager
def reading(deaths: Deaths, path: Path) -> Iterator[Problem | None]:
    """Note that a file is being read meanwhile; with the problem, where it has killed whoever read it."""
    if not deaths.begin(path):
        yield Problem(printable(str(path)), 0, 0, *_DEADLY)
        return
    try:
        yield None
    finally:
        deaths.end()
