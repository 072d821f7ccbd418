"""Many patterns at once over a text, in linear time whatever both are: RE2's sets."""

from collections.abc import Iterable

import re2


class Patterns:
    """Patterns in RE2's syntax, made ready once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._set = re2.Set.SearchSet(_options())
        self._any = False
        for pattern in patterns:
            self._set.Add(_bytes(pattern))
            self._any = True
        self._set.Compile()

    def found_in(self, text: str) -> list[int]:
        """Return the numbers of the patterns that are somewhere in the text, from the first."""
        return sorted(self._set.Match(_bytes(text)) or ()) if self._any else []


def wrong_with(pattern: str) -> str:
    """Return what RE2 says of a pattern that it cannot use; empty where it can."""
    try:
        re2.compile(_bytes(pattern), _options())
    except re2.error as error:
        reason = error.args[0] if error.args else b"no reason given"
        return reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)
    return ""


def too_large(patterns: Iterable[str]) -> bool:
    """Whether RE2 has no room for all of these, each of which it can use."""
    try:
        Patterns(patterns)
    except re2.error:
        return True
    return False


def _bytes(text: str) -> bytes:
    """Return a byte a character, so that no text is too strange to be looked at."""
    return text.encode("latin-1", "replace")


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False  # the library would write them on stderr
    options.max_mem = 32 << 20  # without room for its states RE2 finds nothing
    return options
