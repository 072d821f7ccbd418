r"""Whether a host says what a check expects, told in bounded time: the pattern is ours, the text anybody's.

The standard library cannot stop looking: ``^([a-z0-9-]+\.?)+ ESMTP$`` takes years for a long banner that it
nearly fits, and nothing else would be probed meanwhile.
"""

from functools import lru_cache

import regex

from geodns.health.outcome import Kind

LIMIT = 0.05
"""Seconds of the processor's time; a pattern without repeats within repeats needs a thousandth of this."""


def missed(pattern: str, text: str, what: str, said: str) -> tuple[Kind, str] | None:
    """Return what it means that a text is not as expected; None: it is.

    Args:
        pattern: a regular expression that must be found in it.
        text: where to look.
        what: the text's name, as "the greeting".
        said: what the operator sees of it.

    """
    shown = repr(pattern[:60])
    try:
        found = _compiled(pattern).search(text, timeout=LIMIT)
    except TimeoutError:
        instead = "write it without repeats within repeats"
        return Kind.UNKNOWN, f"it takes too long to look for {shown} in {what}: {instead}"
    return None if found else (Kind.FAILURE, f"{what} does not match {shown}: {said}")


@lru_cache(1024)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)
