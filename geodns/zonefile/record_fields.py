"""Fields of records: a field's text as operators write it → as `Record` has it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from geodns.config.report import Report, quoted
from geodns.config.value_types import Schema, check_address, no_machine_has, parse_address, read_whole
from geodns.config.yaml_nodes import YamlNode
from geodns.errors import BadNameError
from geodns.zonefile.names import absolute, is_absolute

MAX_STRING = 255


@dataclass(frozen=True)
class Context:
    """The surroundings of a value; `origin` is the zone's absolute name."""

    origin: str
    report: Report


Value = tuple[str, ...]
Reader = Callable[[str, YamlNode, Context], Value | None]


@dataclass(frozen=True)
class Field:
    """A field of a record.

    Attributes:
        name: octoDNS's word.
        read: turns text into what `Record` has (of TXT several strings); None: the report says why not.
        default: None: the field must be there.

    """

    name: str
    read: Reader
    schema: Schema
    default: str | None = None


def read_name(text: str, at: YamlNode, context: Context) -> str | None:
    """Return a name in a record as an absolute one; None: the report says why not."""
    try:
        return absolute(text, context.origin)
    except BadNameError as error:
        what, _, instead = str(error).partition(": ")
        context.report.error(at, what, instead)
        return None


def target(text: str, at: YamlNode, context: Context) -> Value | None:
    """Read the name that a record points at."""
    if parse_address(text.removesuffix(".")) is not None:
        what = f"the address {quoted(text)} where a name is needed"
        if not is_absolute(text):
            context.report.error(at, what, "write a host's name")
            return None
        context.report.warn(at, what, "write a host's name")
    name = read_name(text, at, context)
    if name is not None and text.lower().endswith(f".{context.origin[:-1]}"):
        context.report.warn(
            at,
            f"{quoted(text)} without a final dot is {name[:120]}",
            f"write {quoted(text + '.')}, or the name without the zone's",
        )
    return None if name is None else (name,)


def _number(what: str, high: int) -> Reader:
    def read(text: str, at: YamlNode, context: Context) -> Value | None:
        number = read_whole(text, at, context.report, what, 0, high)
        return None if number is None else (str(number),)

    return read


def numeric(name: str, high: int, default: str | None = None) -> Field:
    """Return a field of a whole number."""
    return Field(name, _number(name, high), {"type": "integer", "minimum": 0, "maximum": high}, default)


def address_of(version: Literal[4, 6]) -> Reader:
    """Return the reader of addresses of a family."""
    other = {4: "AAAA", 6: "A"}[version]

    def read(text: str, at: YamlNode, context: Context) -> Value | None:
        address = check_address(text, at, context.report)
        if address is None:
            return None
        if address.version != version:
            context.report.error(
                at, f"{address} is an IPv{address.version} address", f"write it under {other}"
            )
            return None
        if no_machine_has(address):
            context.report.warn(
                at, f"no machine can have the address {address}", "write a host's own address"
            )
        return (str(address),)

    return read


_ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
_STRING = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|((?:[^"\\\s]|\\.)+))(?=\s|"|$)', re.DOTALL)


def _unescaped(text: str) -> bytes:
    r"""Return a text's bytes, ``\;`` and ``\ddd`` read as in RFC 1035 section 5.1; raises ValueError."""
    if "\\" not in text:
        return text.encode()
    found = bytearray()
    position = 0
    for escape in _ESCAPE.finditer(text):
        found += text[position : escape.start()].encode()
        found += bytes((int(escape[1]),)) if len(escape[1]) == 3 else escape[1].encode()
        position = escape.end()
    rest = text[position:]
    if "\\" in rest:
        raise ValueError("nothing follows the backslash")
    return bytes(found + rest.encode())


def character_strings(text: str) -> list[bytes]:
    """Return a TXT value's strings: one, unless the text begins with a quotation mark; raises ValueError."""
    if not text.lstrip().startswith('"'):
        return [_unescaped(text)]
    strings: list[bytes] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _STRING.match(text, position)
        if found is None:
            raise ValueError("the quotation marks do not come out even")
        strings.append(_unescaped(found[2] if found[1] is None else found[1]))
        position = found.end()
    return strings


def strings(text: str, at: YamlNode, context: Context) -> Value | None:
    """Read the strings of TXT."""
    try:
        found = character_strings(text)
    except ValueError as error:
        context.report.error(at, f"the text {quoted(text)}: {error}", r'write " as \" and \ as \\')
        return None
    return tuple(
        string[start : start + MAX_STRING].decode("latin-1")
        for string in found
        for start in range(0, max(1, len(string)), MAX_STRING)
    )


def tag(text: str, at: YamlNode, context: Context) -> Value | None:
    """Read the tag of CAA (RFC 8659 section 4.1)."""
    if re.fullmatch("[A-Za-z0-9]{1,255}", text) is None:
        context.report.error(at, f"{quoted(text)} is no CAA tag", "write issue, issuewild or iodef")
        return None
    return (text.lower(),)


def caa_value(text: str, at: YamlNode, context: Context) -> Value | None:
    """Read the value of CAA, with or without quotation marks."""
    try:
        found = character_strings(text)
    except ValueError:
        found = []
    if len(found) != 1 or re.fullmatch("[ -~]*", text) is None:
        instead = r"write one text of printable ASCII, as ca.example.net, with \" and \\ where need be"
        context.report.error(at, f"{quoted(text)} is no CAA value", instead)
        return None
    return (found[0].decode("latin-1"),)


def hex_data(text: str, at: YamlNode, context: Context) -> Value | None:
    """Read hexadecimal data, with or without blanks in it."""
    digits = "".join(text.split()).lower()
    if not digits or len(digits) % 2 or re.fullmatch("[0-9a-f]+", digits) is None:
        context.report.error(
            at, f"{quoted(text)} is no hexadecimal data", "write pairs of hexadecimal digits"
        )
        return None
    return (digits,)


def word(text: str, at: YamlNode, context: Context) -> Value | None:
    """Take one word of zone-file text as it is."""
    if not text or re.search(r"[\s()\";]", text) is not None:
        context.report.error(
            at, f"{quoted(text)} is not one word", "write it without blanks and quotation marks"
        )
        return None
    return (text,)


def words(text: str, at: YamlNode, context: Context) -> Value | None:
    """Take several words of zone-file text as they are."""
    del at, context
    return (text,)


def in_quotes(text: str, at: YamlNode, context: Context) -> Value | None:
    r"""Put a text into quotation marks; backslashes in it mean what they do in a zone file."""
    del at, context
    return ('"' + re.sub(r'(\\.)|"', lambda found: found[1] or '\\"', text) + '"',)


NAME: Schema = {"type": "string", "minLength": 1}
TEXT: Schema = {"type": "string"}


def single(read: Reader, schema: Schema) -> tuple[Field, ...]:
    """Return the fields of a type that has only one."""
    return (Field("value", read, schema),)
