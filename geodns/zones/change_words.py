"""Words of changes: what came and what went, what was and what is, of many the first."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geodns.errors import printable

NAMED = 6
"""Names in a line; of more it says how many."""
WIDEST = 80
"""Characters of a value."""

_MINUS = "\N{MINUS SIGN}"


def line(title: str, changes: Iterable[str]) -> Iterable[str]:
    """Yield one line of several changes; none without any."""
    text = ", ".join(changes)
    if text:
        yield f"{title}: {text}"


def keyed(title: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    """Yield which keys came and which went, on one line; none where none did."""
    came, gone = (
        [one for one in these if one not in those] for these, those in ((after, before), (before, after))
    )
    return came_and_gone(title, came, gone)


def came_and_gone(title: str, came: Sequence[str], gone: Sequence[str]) -> Iterable[str]:
    """Yield what came and what went, on one line; none where nothing did."""
    parts = [f"{sign}{len(names)} ({few(names)})" for sign, names in (("+", came), (_MINUS, gone)) if names]
    if parts:
        yield f"{title} {' '.join(parts)}"


def arrow(before: str, after: str) -> str:
    """Say that one became another."""
    return f"{before} → {after}"


def few(texts: Iterable[str]) -> str:
    """Return the first of some texts, and how many more there are."""
    texts = [short(text) for text in texts]
    more = len(texts) - NAMED
    return ", ".join(texts[:NAMED]) + (f", … {more} more" if more > 0 else "")


def short(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    text = printable(text)
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"
