"""gdnsd's configuration: its language of hashes, arrays and strings (gdnsd.config(5)), read into values."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from geodns.cli.convert.source_file import read_source
from geodns.config.report import quoted
from geodns.errors import GeodnsError, Problem, ZoneError, printable

MAX_DEPTH = 30
MAX_FILES = 1000

_TOKEN = re.compile(
    r"""(?P<blank>\s+|[#;][^\n]*)
    |(?P<include>\$include\{\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<path>[^}"\s]+))\s*\})
    |(?P<mark>=>|[][{}=,])
    |"(?P<text>(?:[^"\\]|\\.)*)"
    |(?P<word>(?:[^][{}\#;,"=\\\s]|\\[0-9]{3}|\\[^0-9])+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)

Hash = dict[str, Any]
"""Keys and their values: texts, lists and hashes."""


@dataclass
class _Token:
    kind: str
    text: str
    line: int


@dataclass
class _IncludingReader:
    """Reads one file after the other; `files` counts them, since they may include each other.

    Attributes:
        problems: files that cannot be read; what else is wrong ends the reading.

    """

    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, path: Path, depth: int) -> Any:
        self.files.append(path)
        if depth > MAX_DEPTH or len(self.files) > MAX_FILES:
            raise GeodnsError(f"{path}: too many files are included: does one include itself?")
        text = read_source(path, included=depth > 0).decode("utf-8", "surrogateescape")
        return _File(self, path, text, depth).read()


class _File:
    def __init__(self, reader: _IncludingReader, path: Path, text: str, depth: int) -> None:
        self._reader = reader
        self._path = path
        self._depth = depth
        self._line = 1
        self._tokens = list(self._split(text))
        self._at = 0

    def _split(self, text: str) -> Iterator[_Token]:
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                self._fail(f"{quoted(text[at : at + 20])} cannot stand here")
            kind = str(found.lastgroup)
            if kind in {"quoted", "path"} or found["include"] is not None:
                yield _Token("include", _plain(found["quoted"] or found["path"] or ""), self._line)
            elif kind == "mark":
                yield _Token(found[0], found[0], self._line)
            elif kind != "blank":
                yield _Token("text", _plain(found[kind]), self._line)
            self._line += found[0].count("\n")
            at = found.end()

    def _fail(self, what: str) -> NoReturn:
        raise ZoneError((*self._reader.problems, Problem(str(self._path), self._line, 0, what)))

    def read(self) -> Any:
        if self._peek() == "[":
            self._next()
            return self._array(0)
        return self._hash("", 0)

    def _peek(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _next(self) -> _Token:
        if self._at >= len(self._tokens):
            self._fail("the file ends early: look for a bracket that is not closed")
        token = self._tokens[self._at]
        self._at, self._line = self._at + 1, token.line
        return token

    def _hash(self, end: str, depth: int) -> Hash:
        found: Hash = {}
        while self._peek() != end:
            token = self._next()
            if token.kind == "include":
                for one in self._included(token, several=True):
                    if not isinstance(one, dict):
                        self._fail("what is included here must be keys and values")
                    found |= one
            elif token.kind == "text":
                if self._next().kind not in {"=>", "="}:
                    self._fail(f"`=>` is missing behind {quoted(token.text)}")
                if token.text in found:
                    self._fail(f"{quoted(token.text)} stands here twice")
                found[token.text] = self._value(depth + 1)
            else:
                self._fail(f"{token.text} where a key is expected")
            if self._peek() == ",":
                self._next()
        if end:
            self._next()
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while self._peek() != "]":
            found.append(self._value(depth + 1))
            if self._peek() == ",":
                self._next()
        self._next()
        return found

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep")
        token = self._next()
        if token.kind == "{":
            return self._hash("}", depth)
        if token.kind == "[":
            return self._array(depth)
        if token.kind == "include":
            (one,) = self._included(token, several=False)
            return one
        if token.kind != "text":
            self._fail(f"{token.text} where a value is expected")
        return token.text

    def _included(self, token: _Token, *, several: bool) -> list[Any]:
        path = self._path.parent / token.text
        try:
            if path.is_dir():
                paths = sorted(one for one in path.iterdir() if not one.name.startswith("."))
            elif re.search(r"[*?\[]", token.text):
                paths = sorted(path.parent.glob(path.name))
            else:
                paths = [path]
        except OSError as error:
            self._fail(f"{path}: {error.strerror}")
        if not several and len(paths) != 1:
            self._fail(f"{len(paths)} files where one is expected")
        return [self._read(one) for one in paths]

    def _read(self, path: Path) -> Any:
        try:
            return self._reader.read(path, self._depth + 1)
        except OSError as error:
            what = f"{printable(str(path))} is included here: {error.strerror}"
            self._reader.problems.append(Problem(str(self._path), self._line, 0, what))
            return {}


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1])) if len(found[1]) == 3 else found[1], text)


def as_hash(value: Any) -> Hash:
    """Return a hash; what is none counts as an empty one, since a file may say anything anywhere."""
    return value if isinstance(value, dict) else {}


def read_config(path: Path) -> Hash:
    """Read a configuration with what it includes; raises GeodnsError, with every file that is missing."""
    reader = _IncludingReader()
    try:
        found = reader.read(path, 0)
    except OSError as error:
        raise GeodnsError(f"{path}: {error.strerror}") from error
    if reader.problems:
        raise ZoneError(tuple(reader.problems))
    if not isinstance(found, dict):
        raise GeodnsError(f"{path}: a list where `options`, `service_types` and `plugins` are expected")
    return found
