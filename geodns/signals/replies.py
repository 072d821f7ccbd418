"""Whom a refusing reply speaks of: the IP, its netblock, the domain, the content, the recipient, or nobody.

No text costs more than linear time: all patterns, an operator's own too, run at once in RE2.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from geodns.model.mail import About
from geodns.signals.reply_additions import Addition
from geodns.signals.reply_patterns import Patterns
from geodns.signals.reply_table import BY_DETAIL, BY_SUBJECT, RECIPIENT_CODES, read_rows

MAX_TEXT = 2_000
"""Characters of a reply that are looked at; a line of one has 512 (RFC 5321 section 4.5.3.1.5)."""


@dataclass(frozen=True, slots=True)
class JudgedReply:
    """What a reply says.

    Attributes:
        rule: the name of the row that decided; empty where none did.
        wait_s: how long the receiver wants to be left alone, where it says so.

    """

    about: About
    rule: str = ""
    wait_s: float | None = None


class Replies:
    """The table, made ready once; safe to use from several threads."""

    def __init__(self, additions: Sequence[Addition] = ()) -> None:
        self._rows = read_rows()
        self._patterns = Patterns(row.pattern for row in self._rows)
        self._additions = tuple(additions)
        self._added = Patterns(one.pattern for one in self._additions)

    def classify(self, code: int, enhanced: str, text: str, provider: str) -> JudgedReply:
        """Say whom a reply speaks of.

        Args:
            code: the SMTP code; 0 where the text is the sending MTA's own.
            enhanced: the enhanced code; where it is empty, the text's own counts.
            text: the whole reply, with or without its codes; lines may be joined.
            provider: of `model/providers.py`.

        """
        code, enhanced, text = _parts(code, enhanced, text)
        if self._additions:
            line = " ".join(part for part in (f"{code:03d}" if code else "", enhanced, text) if part)
            for index in self._added.found_in(line):
                one = self._additions[index]
                return JudgedReply(one.about, one.name)
        line = f"{code:03d} {enhanced or '-'} {text.lower()}"
        for index in self._patterns.found_in(line):
            row = self._rows[index]
            if not row.provider or row.provider == provider:
                return JudgedReply(row.about, row.rule, row.wait_s)
        return (
            _by_code(code, enhanced)
            if code or enhanced or not text
            else JudgedReply(About.PASSING, "own-text")
        )


_NEW_LINE = "\\n"
"""Exim writes the ends of lines so."""
_TOLD = re.compile(
    r"host \S{1,255}(?: \[[^\]\s]{1,50}\])? (?:said|refused to talk to me): "
    r"|(?:[^\n]{1,300} )?SMTP error from remote mail server after [^\n]{1,400}?: (?=[245]\d\d[ -])",
    re.ASCII,
)
"""Postfix's and Exim's words before a reply; the address in them is the receiver's."""
_WHEN = re.compile(r" \(in reply to [^()]{1,80}\)$", re.ASCII)
_ENHANCED = r"#?([245]\.\d{1,3}\.\d{1,3})\b:?"
_CODES = re.compile(rf"([245]\d\d)(?:[ -]|$)(?:{_ENHANCED})?", re.ASCII)
_LATER_CODES = re.compile(rf"(?:^|(?<=\s))[245]\d\d(?:-(?:{_ENHANCED})?|\s{_ENHANCED})(?=\s|$)", re.ASCII)
_LINE_CODE = re.compile(rf"^[245]\d\d[ -](?:{_ENHANCED})?", re.ASCII | re.MULTILINE)
_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
_MAILBOX = re.compile(r"<?[^\s<>@]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}>?")


def _parts(code: int, enhanced: str, text: str) -> tuple[int, str, str]:
    """Return the codes, and the text without codes, ends of lines and mail addresses."""
    text = text[:MAX_TEXT].strip().replace(_NEW_LINE, "\n")
    if told := _TOLD.match(text):
        text = text[told.end() :]
    text = _WHEN.sub("", text)
    first = _CODES.match(text)
    if not 200 <= code <= 599:
        code = int(first[1]) if first else 0
    if not _ENHANCED_CODE.fullmatch(enhanced):
        enhanced = (first[2] or "") if first else ""
    text = _LATER_CODES.sub(" ", _LINE_CODE.sub(" ", text))
    if "@" in text:
        text = _MAILBOX.sub("@", text)
    return code, enhanced, " ".join(text.split())


def _by_code(code: int, enhanced: str) -> JudgedReply:
    """Say what the codes mean where no row knows the text: the enhanced one, then SMTP's."""
    kind, _, detail = enhanced.partition(".")
    if (about := BY_DETAIL.get(detail)) is None and not (kind == "5" and detail in {"3.0", "4.0", "5.0"}):
        about = BY_SUBJECT.get(detail.partition(".")[0])
    if about is not None:
        return JudgedReply(about, f"enhanced-{enhanced}")
    if detail.startswith("7."):
        return JudgedReply(About.UNKNOWN)
    if code in RECIPIENT_CODES:
        return JudgedReply(About.RECIPIENT, f"smtp-{code}")
    if code // 100 == 4 or 500 <= code <= 504:
        return JudgedReply(About.PASSING, f"smtp-{code}")
    return JudgedReply(About.UNKNOWN)
