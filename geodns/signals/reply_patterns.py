"""Many patterns at once over a text, in linear time whatever both are: RE2's sets."""

from collections.abc import Iterable

import re2

from geodns.config.linear import as_bytes, options


class Patterns:
    """Patterns in RE2's syntax, made ready once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._set = re2.Set.SearchSet(options())
        self._any = False
        for pattern in patterns:
            self._set.Add(as_bytes(pattern))
            self._any = True
        self._set.Compile()

    def found_in(self, text: str) -> list[int]:
        """Return the numbers of the patterns that are somewhere in the text, from the first."""
        return sorted(self._set.Match(as_bytes(text)) or ()) if self._any else []


def too_large(patterns: Iterable[str]) -> bool:
    """Whether RE2 has no room for all of these, each of which it can use."""
    try:
        Patterns(patterns)
    except re2.error:
        return True
    return False
