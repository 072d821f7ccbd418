"""Reads the table of refusals, `replies.toml`, and holds the meaning of bare codes."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from geodns.model.mail import About


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that receivers say.

    Attributes:
        pattern: looked for in the line `CODE ENHANCED TEXT`.
        provider: who alone means this by it; empty: anybody.
        wait_s: how long the receiver wants to be left alone, where that is known.
        source: where it is to be read.

    """

    rule: str
    about: About
    pattern: str
    provider: str
    wait_s: float | None
    source: str


def read_rows() -> tuple[Row, ...]:
    """Return the rows in the order in which they decide, one for each pattern."""
    table = tomllib.loads(resources.files("geodns").joinpath("signals", "replies.toml").read_text("utf-8"))
    words: dict[str, str] = {}
    for word, pattern in table["words"].items():
        words[f"%{word}%"] = _filled(pattern, words)
    return tuple(
        Row(
            rule,
            About(said["about"]),
            _filled(pattern, words),
            group.get("provider", ""),
            group.get("wait_s"),
            group["source"],
        )
        for group in table["group"]
        for rule, said in group["rules"].items()
        for pattern in _patterns(said.get("codes", ""), said.get("says", ()))
    )


def _patterns(codes: str, says: list[str]) -> Iterator[str]:
    if not codes:
        yield from says
        return
    code, _, enhanced = codes.partition(" ")
    start = f"^{code} {enhanced or '[^ ]+'} "
    for pattern in says:
        yield f"{start}.*(?:{pattern})"
    if not says:
        yield start


def _filled(pattern: str, words: dict[str, str]) -> str:
    for word, meant in words.items():
        pattern = pattern.replace(word, meant)
    return pattern


RECIPIENT_CODES = frozenset({521, 551, 552, 553, 556})
"""SMTP codes that mean the recipient without a word (RFC 5321 section 4.2.3, RFC 7504)."""

BY_DETAIL = {
    **dict.fromkeys(("2.3", "3.4", "7.7"), About.CONTENT),
    **dict.fromkeys(("4.4", "4.6", "7.2", "7.13", "7.17", "7.18"), About.RECIPIENT),
    **dict.fromkeys(("7.20", "7.21", "7.22", "7.23", "7.24", "7.26", "7.27", "7.29"), About.DOMAIN),
    "7.28": About.RATE,
}
"""The meaning of a subject and detail by itself (RFC 3463, 7293, 7372, 7505, 8617; IANA's registry)."""

BY_SUBJECT = {
    "2": About.RECIPIENT,
    "3": About.PASSING,
    "4": About.PASSING,
    "5": About.PASSING,
    "6": About.CONTENT,
}
"""The meaning of an enhanced code's subject where its detail says no more (RFC 3463 section 2)."""
