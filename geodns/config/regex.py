r"""Regular expressions that operators write: refused when they cost too much, and tried in bounded time.

The standard library cannot stop looking: ``^([a-z0-9-]+\.?)+ ESMTP$`` takes years for a long banner that it
nearly fits, and nothing else would be done meanwhile. The ``regex`` library can.
"""

import math
import re
from functools import lru_cache

import regex

from geodns.config.report import quoted

MAX_LENGTH = 500
"""Characters."""
MAX_TIMES = 100_000
"""Product of all counts in an expression: what is to be repeated so often is written out in memory."""
MAX_WRITTEN = 3_000_000
"""Characters that are written out so, at most: some 100 MB."""
LIMIT = 0.05
"""Seconds of the processor's time for one text: a thousand times what all but repeats within repeats need."""
SLOWLY = "write it without repeats within repeats"
"""What to write instead of an expression that takes too long."""

_TIMES = re.compile(r"(\))\s*(?:\{([0-9]+)|\+)|\{([0-9]+)")
"""A repeat: of a group, with its count unless that is a plus; or of something else."""


def trouble(text: str) -> tuple[str, str] | None:
    """Return what is wrong with an expression, and what to write instead; None: nothing."""
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
    """Return how often the innermost part of an expression is written out, were all its repeats nested.

    A group that must come n times is written out as often, and once more for those that may follow.
    """
    repeats = _TIMES.findall(text)
    return math.prod(int(least or 1) + 1 if group else max(1, int(one)) for group, least, one in repeats)


def found(expression: str, text: str) -> bool:
    """Return whether an expression is found in a text.

    Raises:
        TimeoutError: it takes too long to look.

    """
    return _compiled(expression, 0).search(text, timeout=LIMIT) is not None


def fits(expression: str, text: str) -> bool:
    """Return whether a text as a whole, ends of lines and all, is what an expression says.

    Raises:
        TimeoutError: it takes too long to look.

    """
    return _compiled(expression, regex.DOTALL).fullmatch(text, timeout=LIMIT) is not None


@lru_cache(1024)
def _compiled(expression: str, flags: int) -> regex.Pattern[str]:
    return regex.compile(expression, flags)
