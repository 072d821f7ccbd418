"""The YAML parser's complaints in our words: what stands there, and what to write instead."""

import re
from typing import NamedTuple

from yaml import Mark, MarkedYAMLError

from geodns.config.report import TextPlace

_LOOK = "look at quotes, brackets and indentation here or above"
_QUOTE_V6 = 'if this is an IPv6 address, quote this address, as "2001:db8::1"'
_NO_SPACE = re.compile(r"""[^\s:"'{}\[\],#]+:(?=[^\s:/])""")


class YamlTrouble(NamedTuple):
    """A fault of the syntax: its place, a text and an advice."""

    place: TextPlace | None
    what: str
    instead: str


class QuotedLines(NamedTuple):
    """The last text in quotes that goes over several lines: where it opens, and the line that it ends on."""

    opens: TextPlace
    ends: int


def in_words(error: MarkedYAMLError, text: str, quotes: QuotedLines | None) -> YamlTrouble:
    """Return a parser's complaint in our words.

    Args:
        error: the parser's.
        text: the whole file.
        quotes: the last text in quotes that goes over several lines, if any was read.

    """
    here, start = error.problem_mark or error.context_mark, error.context_mark or error.problem_mark
    if here is None or start is None:
        return YamlTrouble(None, f"no valid YAML: {error.problem}", _LOOK)
    problem, context = str(error.problem), str(error.context)
    if quotes is not None and quotes.ends == here.line + 1:
        what = f"no valid YAML: the quote that opens here is closed only at line {quotes.ends}"
        return YamlTrouble(quotes.opens, what, "close it where the text ends, or take it out")
    found = _by_problem(problem, context, _Text(text.split("\n"), here, start))
    if found is None:
        what = " ".join(part for part in (error.context, error.problem) if part)
        return YamlTrouble(_place(here), f"no valid YAML: {what}", _LOOK)
    at, what, instead = found
    return YamlTrouble(_place(at), f"no valid YAML: {what}", instead)


def _place(mark: Mark) -> TextPlace:
    return TextPlace(mark.line + 1, mark.column + 1)


class _Text(NamedTuple):
    """The lines of a file, where the parser stopped, and where what it was reading begins."""

    lines: list[str]
    here: Mark
    start: Mark

    def line(self, number: int) -> str:
        return self.lines[number] if 0 <= number < len(self.lines) else ""

    def rest(self, mark: Mark) -> str:
        return self.line(mark.line)[mark.column :]

    @property
    def above(self) -> tuple[int, str]:
        """The last line before the stop that says something."""
        for number in range(self.here.line - 1, -1, -1):
            line = self.line(number)
            if line.strip() and not line.lstrip().startswith("#"):
                return number, line
        return -1, ""


_Found = tuple[Mark, str, str]


def _by_problem(  # noqa: C901, PLR0911 - a table: each complaint has its words
    problem: str, context: str, text: _Text
) -> _Found | None:
    here, start = text.here, text.start
    rest = text.rest(here)
    if "tab" in problem or (rest.lstrip(" ").startswith("\t") and "cannot start any token" in problem):
        return here, "a tab", "indent with spaces: YAML takes no tabs there"
    if "unexpected end of stream" in problem:
        return start, "the quote that opens here is never closed", "close it where the text ends"
    if "unexpected ':'" in problem or ("node content" in problem and rest.startswith(":")):
        return start if "unexpected" in problem else here, "a colon where none can stand", _QUOTE_V6
    if "cannot start any token" in problem:
        return here, f"no value begins with {rest[:1]!r}", f'put it into quotes, as "{_word(rest)}"'
    if "alphabetic or numeric" in problem or "alphanumeric" in problem:
        sign = text.rest(start)[:1]
        return start, f"no value begins with {sign!r}", f'put it into quotes, as "{_word(text.rest(start))}"'
    if "node content" in problem:
        return here, f"{rest[:1]!r} where a value is expected", "write the value, or take a comma out"
    if "flow sequence" in context or "flow mapping" in context:
        return _in_brackets(text, rest)
    if "mapping values are not allowed" in problem:
        return _second_colon(text)
    if "could not find expected ':'" in problem:
        return start, f"{_word(text.rest(start))!r} is a key without a colon", "write `key: value`"
    if "escape" in problem or "hexdecimal" in problem or "hexadecimal" in problem:
        what = "a backslash that YAML does not know in double quotes"
        return here, what, r"write \\ for a backslash, or use single quotes"
    return _in_block(problem, context, text)


def _in_brackets(text: _Text, rest: str) -> _Found:
    here, start = text.here, text.start
    opening = text.rest(start)[:1]
    closing = {"[": "]", "{": "}"}.get(opening, "bracket")
    if rest[:1] in {"]", "}"}:
        return here, f"{rest[0]!r} closes the {opening!r} of line {start.line + 1}", f"write {closing!r}"
    if rest[:1] in {"[", "{"}:
        what = f"{rest[0]!r} within a value"
        return here, what, 'put the whole value into quotes, as "mx[01-04]"'
    if rest[:1] == ":" and (start.line == here.line or ": " not in text.line(here.line)[: here.column]):
        if start.line == here.line:
            return (
                here,
                "a second colon in a value",
                "put the value into quotes, or write a comma before the key",
            )
        what = f"the {opening!r} that opens here is not closed before line {here.line + 1}"
        return start, what, f"write {closing!r}, or a comma before that line"
    if not rest.strip() or start.line != here.line:
        return start, f"the {opening!r} that opens here is never closed", f"write {closing!r} where it ends"
    return here, f"{_word(rest)!r} after a value", "write a comma between two values"


def _second_colon(text: _Text) -> _Found:
    here = text.here
    before = text.line(here.line)[: here.column]
    if ": " in before or '":' in before:
        return here, "a second colon", 'put a value that has ": " in it into quotes'
    number, above = text.above
    missing = _NO_SPACE.search(above)
    if missing is not None and ": " not in above:
        mark = Mark(here.name, 0, number, missing.end() - 1, None, 0)
        return mark, "no space after the colon", f"write `{missing[0]} …`"
    if _indent(text.line(here.line)) > _indent(above):
        what = f"indented deeper than line {number + 1}, which has its value already"
        return (
            Mark(here.name, 0, here.line, _indent(text.line(here.line)), None, 0),
            what,
            "begin keys of one mapping in one column",
        )
    return here, "a colon where none can stand", "put the value into quotes, or give the line above its colon"


def _in_block(  # noqa: PLR0911 - as above
    problem: str, context: str, text: _Text
) -> _Found | None:
    here = text.here
    rest = text.rest(here)
    if rest[:1] in {"]", "}"}:
        return here, f"{rest[0]!r} closes nothing", "take it out, or open the bracket"
    if "expected key" in problem or "<block end>" in problem:
        if rest.startswith("- "):
            return (
                here,
                "an item of a list among keys",
                "write `key: value`, or indent the list below its key",
            )
        if _indent(text.line(here.line)) == here.column:
            return here, "indented unlike the keys above", "begin keys of one mapping in one column"
        return here, f"{_word(rest)!r} after a value", "put the whole value into quotes"
    if "'-' indicator" in problem:
        return here, "a key among the items of a list", "write `- ` before it, or indent it otherwise"
    if "block scalar" in context:
        return here, "text after `|` or `>`", "put it on the lines below, or put the value into quotes"
    if "incompatible" in problem or "directive" in problem:
        return here, "a line that begins with %", "take it out"
    return None


def _word(rest: str) -> str:
    """Return the value that begins there, short enough to show."""
    found = re.match(r"[^\s,\]}:]+", rest)
    return found[0][:40] if found is not None else rest[:1]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
