"""Reading zone files as BIND does (RFC 1035 section 5, RFC 2308 section 4), every problem with its line.

We split a file into entries, so that the next is read whatever is wrong with this; dnspython reads each.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dns.exception
import dns.grange
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer
import dns.ttl
import dns.zonefile

from geodns.cli.convert.draft import SourcePlace
from geodns.cli.convert.source_file import read_source
from geodns.config.report import MAX_SHOWN, quoted
from geodns.errors import GeodnsError, Problem

MAX_RECORDS = 2_000_000
"""A bound, since a $GENERATE makes any number of records from a short line."""

MAX_PROBLEMS = 1000
MAX_INCLUDES = 10_000
MAX_DEPTH = 20

_SPECIAL = re.compile(r"""[()";\\]""")
_INSIDE = re.compile(r"""\\.|"(?:\\.|[^"\\])*"?|;.*|[()]""")
_CAUGHT = re.compile(r"caught exception <class '[^']*'>: ")
_GENERATE = re.compile(
    r"""\$GENERATE \s+ (?P<range>\S+) \s+ (?P<left>"[^"]*"|\S+)
    (?P<between>(?:\s+ (?:[0-9]\S*|IN|CH|HS|CLASS[0-9]+))*) \s+ (?P<type>\S+) \s+ (?P<right>.*)""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_NO_TTL = -1
"""The TTL of records that have none, for dnspython."""


class _TooManyError(Exception):
    """Ends the reading; the problem is noted already."""


class MasterFile:
    """A zone file and what it includes.

    Attributes:
        records: owner, TTL (None: the file says none), data and place of each.
        implied: the first record whose TTL nothing says.

    """

    def __init__(self, path: Path, origin: dns.name.Name) -> None:
        self.records: list[tuple[dns.name.Name, int | None, dns.rdata.Rdata, SourcePlace]] = []
        self.problems: list[Problem] = []
        self.implied: SourcePlace | None = None
        self._path = path
        self._place = SourcePlace(str(path))
        self._entry = ""
        self._includes = 0
        self.origin = origin
        # It calls of a transaction what stands here, and nothing else.
        empty = dns.tokenizer.Tokenizer("", str(path))
        self._reader = dns.zonefile.Reader(empty, dns.rdataclass.IN, self, True, default_ttl=_NO_TTL)  # type: ignore[arg-type]  # see above
        self._reader.zone_origin = dns.name.root  # else what lies outside would be dropped without a word

    def read(self) -> None:
        """Read all of it; raises GeodnsError where the file itself cannot be read."""
        try:
            text = _text(self._path, included=False)
        except OSError as error:
            raise GeodnsError(f"{self._path}: {error.strerror}") from error
        with suppress(_TooManyError):
            self._read(text, str(self._path), 0)

    # What dnspython's reader asks of its transaction.

    @property
    def manager(self) -> "MasterFile":
        return self

    def origin_information(self) -> tuple[dns.name.Name, bool, dns.name.Name]:
        return self.origin, False, self.origin

    def check_put_rdataset(self, _check: object) -> None:
        """Check nothing: our own reader does."""

    def add(self, name: dns.name.Name, ttl: int, rdata: dns.rdata.Rdata) -> None:
        if len(self.records) >= MAX_RECORDS:
            self._note(f"more than {MAX_RECORDS:,} records")
            raise _TooManyError
        if ttl == _NO_TTL:
            self.implied = self.implied or self._place
        self.records.append((name, None if ttl == _NO_TTL else ttl, rdata, self._place))

    def _note(self, what: str) -> None:
        entry = " ".join(self._entry.split())
        if self._entry[:1].isspace() and self._reader.last_name is not None:
            entry = f"{self._reader.last_name} {entry}"
        self.problems.append(Problem(*self._place, 0, f"{quoted(entry)}: {what}"))
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(Problem(*self._place, 0, "too many problems: reading ends here"))
            raise _TooManyError

    def _read(self, text: str, file: str, depth: int) -> None:
        for line, entry in entries(text):
            self._place, self._entry = SourcePlace(file, line), entry
            try:
                self._one(entry, depth)
            except (dns.exception.DNSException, ValueError, AssertionError) as error:
                self._note(_shown(error))

    def _one(self, entry: str, depth: int) -> None:
        reader = self._reader
        tokens = reader.tok = dns.tokenizer.Tokenizer(entry, self._place.file)
        first = tokens.get(want_leading=True)
        if first.is_eol_or_eof():
            return
        if not first.is_identifier() or not first.value.startswith("$"):
            tokens.unget(first)
            reader._rr_line()  # noqa: SLF001 - all that we need of its loop
            return
        word = first.value.upper()
        if word == "$TTL":
            # It holds for all that follows, also behind the end of an included file (RFC 2308 section 4).
            reader.default_ttl = dns.ttl.from_text(tokens.get_identifier())
            tokens.get_eol()
        elif word == "$ORIGIN":
            reader.current_origin = tokens.get_name(reader.current_origin)
            tokens.get_eol()
        elif word == "$INCLUDE":
            self._include(tokens, depth)
        elif word == "$GENERATE":
            self._generate(entry)
        else:
            raise ValueError(f"{word} is no directive")

    def _include(self, tokens: dns.tokenizer.Tokenizer, depth: int) -> None:
        reader = self._reader
        name = tokens.get().value
        token = tokens.get()
        before = reader.current_origin, reader.last_name, reader.last_ttl, reader.last_ttl_known
        origin = before[0] if token.is_eol_or_eof() else tokens.as_name(token, before[0])
        self._includes += 1
        if depth >= MAX_DEPTH or self._includes > MAX_INCLUDES:
            raise ValueError("too many files are included: does one include itself?")
        path = self._folder() / name
        try:
            text = _text(path, included=True)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from error
        reader.current_origin = origin
        self._read(text, str(path), depth + 1)
        reader.current_origin, reader.last_name, reader.last_ttl, reader.last_ttl_known = before

    def _folder(self) -> Path:
        """Return where a file that is included by its relative name lies."""
        return self._path.parent

    def _generate(self, entry: str) -> None:
        found = _GENERATE.fullmatch(entry.strip())
        if found is None:
            raise ValueError("write $GENERATE 1-9 NAME TYPE DATA")
        numbers, middle = found["range"], f"{found['between']} {found['type']}"
        try:
            start, stop, step = dns.grange.from_text(numbers)
        except (dns.exception.DNSException, ValueError, AssertionError) as error:
            raise ValueError(f"{numbers!r} is no range: write it as 1-9 or 1-9/2") from error
        count = (stop - start) // step + 1
        if count > MAX_RECORDS - len(self.records):
            raise ValueError(f"{count:,} records: more than {MAX_RECORDS:,} in a file are refused")
        left, right = _unquoted(found["left"]), _unquoted(found["right"])
        for number in range(start, stop + 1, step):
            made = [dns.zonefile._generate_text(side, number) for side in (left, right)]  # noqa: SLF001 - as above
            self._reader.tok = dns.tokenizer.Tokenizer(f"{made[0]} {middle} {made[1]}")
            self._reader._rr_line()  # noqa: SLF001 - as above


def entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield each entry and its first line's number; parentheses join lines."""
    begun, depth, parts = 0, 0, [""]
    for number, line in enumerate(text.split("\n"), 1):
        if not depth:
            begun, parts = number, []
        parts.append(line)
        if _SPECIAL.search(line):
            for found in _INSIDE.finditer(line):
                depth = max(0, depth + {"(": 1, ")": -1}.get(found[0], 0))
        if not depth:
            yield begun, "\n".join(parts)
    if depth:
        yield begun, "\n".join(parts)


def _text(path: Path, *, included: bool) -> str:
    """Return a file's text; bytes beyond ASCII stand for themselves, where dnspython would see Unicode."""
    return "".join(
        letter if ord(letter) < 0x80 else f"\\{ord(letter):03d}"
        for letter in read_source(path, included=included)
        .decode("latin-1")
        .removeprefix("\u00ef\u00bb\u00bf")
    ).replace("\r\n", "\n")


def _unquoted(text: str) -> str:
    r"""Take the quotation marks off data of a $GENERATE that are one quoted text, as BIND does."""
    found = re.fullmatch(r'"((?:\\.|[^"\\])*)"\s*(;.*)?', text, re.DOTALL)
    return text if found is None else found[1].replace('\\"', '"')


_PLAINER = {
    "Text input is malformed": "a field cannot be read",
    "expecting an identifier": "a field is missing",
}


def _shown(error: Exception) -> str:
    text = _CAUGHT.sub("", " ".join(str(error).split()))
    text = _PLAINER.get(text.removesuffix("."), text)
    return text[: 4 * MAX_SHOWN].removesuffix(".") or "no record can be read from it"
