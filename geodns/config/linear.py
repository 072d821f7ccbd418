"""Regular expressions that cost linear time whatever a text is: RE2, and what is wrong with one."""

import re2


def wrong_with(pattern: str) -> str:
    """Return what RE2 says of a pattern that it cannot use; empty where it can."""
    try:
        re2.compile(as_bytes(pattern), options())
    except re2.error as error:
        reason = error.args[0] if error.args else b"no reason given"
        return reason.decode("latin-1") if isinstance(reason, bytes) else str(reason)
    return ""


def as_bytes(text: str) -> bytes:
    """Return a byte a character, so that no text is too strange to be looked at."""
    return text.encode("latin-1", "replace")


def options() -> re2.Options:
    """Return the options of all patterns."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False  # the library would write them on stderr
    options.max_mem = 32 << 20  # without room for its states RE2 finds nothing
    return options
