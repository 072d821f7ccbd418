"""Shapes of replies that no row knows: what differs from message to message is taken out, to count them."""

import re
from collections import Counter

MAX_SHAPE = 200
"""Characters of a shape."""

MAX_SHAPES = 1_000
"""Shapes counted at a time; the rarer half is forgotten when more come."""

SHOWN = 10

_LOOKED_AT = 1_000
_CODES = re.compile(r"[245]\d\d(?:[ -][245]\.\d{1,3}\.\d{1,3}(?![\w.]))?(?=\s|$)", re.ASCII)
_LINE_CODE = re.compile(r"(?<=\s)[245]\d\d-?(?:\s?[245]\.\d{1,3}\.\d{1,3})?(?=\s|$)", re.ASCII)
_PARTS = re.compile(
    r"(?P<URL>(?:[a-z]{2,10}://|www\.)[^\s<>\"')\]]{1,500})"
    r"|(?P<MAILBOX>[^\s<>@\"'=]{1,64}@[^\s<>@,;:()\[\]\"']{1,255})"
    r"|(?P<ADDRESS>\b\d{1,3}(?:\.(?:\d{1,3}|x{1,3})){3}\b(?:/\d{1,3})?|[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,8}(?:/\d{1,3})?)"
    r"|(?P<NAME>(?:[a-z0-9_-]{1,63}\.){1,10}[a-z][a-z0-9-]{1,62}(?![\w.-]))",
    re.IGNORECASE | re.ASCII,
)
"""Patterns that are blanked, by the word that takes their place; each part is bounded: no text takes long."""
_WORD = re.compile(r"[^\W_](?:[\w~+/=-]{0,200}[^\W_])?")
_DIGITS = re.compile(r"\d+")


def shape(text: str) -> str:
    """Return a reply with its codes; addresses, mailboxes, names, identifiers, URLs and digits blanked."""
    text = text[:_LOOKED_AT].replace("\\n", "\n").strip()
    codes = _CODES.match(text)
    start = codes[0].replace("-", " ") if codes else ""
    rest = _LINE_CODE.sub(" ", text[codes.end() if codes else 0 :])
    rest = _PARTS.sub(lambda part: part.lastgroup or "", rest)
    rest = _DIGITS.sub("#", _WORD.sub(_without_identifier, rest))
    return " ".join([*start.split(), *rest.split()])[:MAX_SHAPE].rstrip()


def _without_identifier(word: re.Match[str]) -> str:
    """Blank what is one message's alone, as queue ids are: long, and letters and digits mixed, or cases."""
    text = word[0]
    digits = sum(map(str.isdigit, text))
    mixed = len(text) >= 6 and 2 <= digits < len(text)
    cased = len(text) >= 12 and text not in {text.lower(), text.upper()} and any(map(str.isdigit, text))
    return "ID" if mixed or cased else text


class Shapes:
    """Counts the shapes of unknown replies; what it keeps is bounded, whatever comes."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, text: str, count: int = 1) -> None:
        self._counts[shape(text)] += count
        if len(self._counts) > MAX_SHAPES:
            self._counts = Counter(dict(self._counts.most_common(MAX_SHAPES // 2)))

    def commonest(self) -> list[tuple[str, int]]:
        """Return the shapes that came most often, and how often at least."""
        seen = Counter(dict(self._counts))  # copied in one step: another thread may be adding
        return seen.most_common(SHOWN)

    @property
    def kept(self) -> int:
        """How many shapes are counted now."""
        return len(self._counts)
