"""What one probe found: the word that the state machine takes, and the text that the operator reads."""

from dataclasses import dataclass
from enum import StrEnum

MAX_DETAIL = 200
"""Characters."""


class Kind(StrEnum):
    """How a probe ended (the table of DESIGN section 6).

    ``ok`` and ``failure`` speak for themselves. ``shedding``: a 4xx greeting, the host has enough to do.
    ``deferred``: a 4xx later, which says nothing. ``unknown``: trouble of our own, which says nothing either.
    """

    OK = "ok"
    SHEDDING = "shedding"
    DEFERRED = "deferred"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one probe found.

    Attributes:
        kind: the judgement.
        detail: one line of at most 200 printable characters: the greeting, or what went wrong.
        rtt: seconds from the start of the connection to the greeting (TCP: to the connection), or to the
            judgement where there was none; None when the probe never got as far as the host.
        ehlo_rtt: seconds from EHLO to its 250, the first of them; None when it did not come so far.

    """

    kind: Kind
    detail: str
    rtt: float | None = None
    ehlo_rtt: float | None = None


def one_line(text: str, limit: int = MAX_DETAIL) -> str:
    """Return a text as one line of printable characters, cut to a length."""
    clean = text[: limit + 1]
    if not clean.isprintable():
        clean = "".join(character if character.isprintable() else "\ufffd" for character in clean)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"
