"""What an SMTP server's replies say, as text for people; the lines are whole and begin with their codes."""

from geodns.health.outcome import MAX_DETAIL, one_line


def decoded(line: bytes) -> str:
    """Return a line's text."""
    return line[4:].strip().decode("utf-8", "replace")


def one_text(code: int, lines: list[bytes]) -> str:
    """Return a reply as one line: its code, and the texts of its first lines."""
    return " ".join([str(code), *filter(None, map(decoded, lines[:10]))])


def plain_text(lines: list[bytes]) -> str:
    """Return a reply's text without its codes."""
    return "\n".join(map(decoded, lines))


_BLOCKED = "(is the prober blocked?)"
_ROOM = MAX_DETAIL - len(_BLOCKED) - 30
"""For the text before it, when a command's name stands in front."""


def refusal(code: int, text: str) -> str:
    """Return the text of a refusal; a 5xx often means the prober, not the host."""
    if code < 500:
        return f"unexpected {text}"
    return f"{one_line(text, _ROOM)} {_BLOCKED}"
