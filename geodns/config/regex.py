r"""Regular expressions that operators write: refused when they cost too much, matched in bounded time.

``re`` has no time limit: ``^([a-z0-9-]+\.?)+ ESMTP$`` takes years for a long banner that nearly matches, and
would block the whole process. The ``regex`` library has one.
"""

import math
import re
from functools import lru_cache

import regex

from geodns.config.report import quoted

MAX_LENGTH = 500
"""Characters."""
MAX_TIMES = 100_000
"""The product of all counts in an expression: the library writes repeats out in memory."""
MAX_WRITTEN = 3_000_000
"""Characters of an expression with its repeats written out; they take some 100 MB."""
LIMIT = 0.05
"""Seconds for one text: a thousand times what any expression without nested repeats needs."""
SLOWLY = "write it without repeats within repeats"
"""Advice where an expression takes too long."""

_TIMES = re.compile(r"(\))\s*(?:\{([0-9]+)|\+)|\{([0-9]+)")
"""A repeat: of a group, with its count unless that is a plus; or of something else."""


def trouble(text: str) -> tuple[str, str] | None:
    """Return what is wrong with an expression and what to write instead; None when it is good."""
    if len(text) > MAX_LENGTH:
        return "a regular expression that is too long", f"write at most {MAX_LENGTH} characters"
    most = min(MAX_TIMES, MAX_WRITTEN // max(1, len(text)))
    if _times(text) > most:
        instead = f"count to at most {most:,} in all, with 2 for the + of a group"
        return f"{quoted(text)} repeats too much", instead
    try:
        # Python's own as well: it is the stricter one, and its documentation is what operators read.
        for library in (re, regex):
            library.compile(text)
    except (re.error, regex.error, OverflowError, RecursionError, MemoryError) as error:
        return f"{quoted(text)} is no regular expression", f"{error}"
    return None


def _times(text: str) -> int:
    """Return how often the innermost part is written out at most, as if all repeats were nested.

    A group of at least n repeats is written out n times, and once more for those that may follow.
    """
    repeats = _TIMES.findall(text)
    return math.prod(int(least or 1) + 1 if group else max(1, int(one)) for group, least, one in repeats)


def found(expression: str, text: str) -> bool:
    """Tell whether an expression matches somewhere in a text; raises TimeoutError after `LIMIT`."""
    return _compiled(expression, 0).search(text, timeout=LIMIT) is not None


def fits(expression: str, text: str) -> bool:
    """Tell whether an expression matches a whole text, line ends included; raises TimeoutError."""
    return _compiled(expression, regex.DOTALL).fullmatch(text, timeout=LIMIT) is not None


@lru_cache(1024)
def _compiled(expression: str, flags: int) -> regex.Pattern[str]:
    return regex.compile(expression, flags)
