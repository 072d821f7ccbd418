"""The problems of one file, gathered while it is read, so that an operator sees all of them at once."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from geodns.errors import Problem

MAX_HINTS = 200
"""Problems of a file that get a nearest name: finding one is slow, and nobody reads more."""

MAX_KEPT = 1_000
"""Errors of a file that are kept, and warnings likewise; the rest are counted."""

MAX_SHOWN = 60


@dataclass(slots=True)
class TextPlace:
    """A place in a file; lines and columns count from 1, columns in characters."""

    line: int
    column: int


class Report:
    """The problems of a file so far."""

    def __init__(self, file: str) -> None:
        self.file = file  # as the operator gave it
        self.errors = 0  # without warnings
        self._problems: dict[bool, dict[Problem, None]] = {False: {}, True: {}}
        self._more = {False: 0, True: 0}  # by whether they are warnings, as those that are kept
        self._hints = 0

    def error(self, at: TextPlace | None, what: str, instead: str = "") -> None:
        """Note a problem that keeps the file from being used; without a place it is of the whole file."""
        self.errors += 1
        self._note(at, what, instead, warning=False)

    def warn(self, at: TextPlace | None, what: str, instead: str = "") -> None:
        self._note(at, what, instead, warning=True)

    def _note(self, at: TextPlace | None, what: str, instead: str, *, warning: bool) -> None:
        line, column = (0, 0) if at is None else (at.line, at.column)
        problem, kept = Problem(self.file, line, column, what, instead, warning), self._problems[warning]
        if problem in kept:
            return
        if len(kept) < MAX_KEPT:
            kept[problem] = None
        else:
            self._more[warning] += 1

    def unknown(self, at: TextPlace, what: str, word: str, known: Iterable[str]) -> None:
        """Note a word that is not known, and the nearest one that is."""
        names = [name for name in known if name]
        self._hints += 1
        close: list[str] = []
        if self._hints <= MAX_HINTS and len(word) <= MAX_SHOWN:
            close = difflib.get_close_matches(word, names, 1)
            by_case = {name.lower(): name for name in names}
            if word.lower() in by_case:
                close = [by_case[word.lower()]]
        if close:
            instead = f"did you mean {quoted(close[0])}?"
        elif names:
            instead = "known here: " + ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        else:
            instead = "there are none"
        self.error(at, f"{what} {quoted(word)}", instead)

    def problems(self) -> tuple[Problem, ...]:
        """Return each problem once, sorted by place, and how many more there are."""
        more = tuple(
            Problem(self.file, 0, 0, f"{number:,} more {kind}", "mend these first", warning, number)
            for (warning, number), kind in zip(self._more.items(), ("errors", "warnings"), strict=True)
            if number
        )
        return (*sorted([*self._problems[False], *self._problems[True]]), *more)


def quoted(text: str) -> str:
    """Return a text as messages show it: on one line, printable, not too long."""
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def first_and_count(names: Sequence[str], most: int) -> str:
    """Return the first of some names as one text, with the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def first_names(names: Sequence[str], most: int = 8) -> str:
    """Return the first of some names as one text, with an ellipsis where there are more."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
