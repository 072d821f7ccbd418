"""Record types of the zone file: their fields, and a record's value (text or fields) → text fields."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from geodns import yamltext
from geodns.errors import BadNameError
from geodns.report import Report, quoted
from geodns.scalars import (
    ADDRESS_SCHEMA,
    Schema,
    address_text,
    check_address,
    parse_address,
    read_whole,
    text_of,
)
from geodns.yamltext import Node, Scalar
from geodns.zonefile.names import absolute

MAX_STRING = 255


@dataclass(frozen=True)
class Context:
    """What reading a value needs.

    Attributes:
        origin: the zone's absolute name.
        report: takes the problems.

    """

    origin: str
    report: Report


Value = tuple[str, ...]
Reader = Callable[[str, Node, Context], Value | None]


@dataclass(frozen=True)
class Field:
    """A field of a record.

    Attributes:
        name: octoDNS's word for it.
        read: turns its text into the field as `model.Record` has it (TXT: into several strings); None
            means that the report says why not.
        schema: its JSON Schema.
        default: what it is when it is left out; None: it may not be.

    """

    name: str
    read: Reader
    schema: Schema
    default: str | None = None


@dataclass(frozen=True)
class RecordType:
    """A record type that the zone file knows.

    Attributes:
        fields: in the order of the zone file.
        example: a value as text.
        says: what it is, for the operator's editor.
        pooled: whether a pool may stand for its values.

    """

    fields: tuple[Field, ...]
    example: str
    says: str
    pooled: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its fields."""
        return tuple(field.name for field in self.fields)


def read_name(text: str, at: Node, context: Context) -> str | None:
    """Return a name of a record's value as an absolute one."""
    try:
        return absolute(text, context.origin)
    except BadNameError as error:
        what, _, instead = str(error).partition(": ")
        context.report.error(at, what, instead)
        return None


def _target(text: str, at: Node, context: Context) -> Value | None:
    if parse_address(text.removesuffix(".")) is not None:
        context.report.error(at, f"the address {quoted(text)} where a name is needed", "write a host's name")
        return None
    name = read_name(text, at, context)
    if name is not None and text.lower().endswith(f".{context.origin[:-1]}"):
        context.report.warn(
            at,
            f"{quoted(text)} without a final dot is {name[:120]}",
            f"write {quoted(text + '.')}, or the name without the zone's",
        )
    return None if name is None else (name,)


def _number(what: str, high: int) -> Reader:
    def read(text: str, at: Node, context: Context) -> Value | None:
        number = read_whole(text, at, context.report, what, 0, high)
        return None if number is None else (str(number),)

    return read


def _numeric(name: str, high: int, default: str | None = None) -> Field:
    return Field(name, _number(name, high), {"type": "integer", "minimum": 0, "maximum": high}, default)


def _address(version: Literal[4, 6]) -> Reader:
    other = {4: "AAAA", 6: "A"}[version]

    def read(text: str, at: Node, context: Context) -> Value | None:
        address = check_address(text, at, context.report)
        if address is None:
            return None
        if address.version != version:
            context.report.error(
                at, f"{address} is an IPv{address.version} address", f"write it under {other}"
            )
            return None
        return (str(address),)

    return read


_ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
_STRING = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|((?:[^"\\\s]|\\.)+))(?=\s|"|$)', re.DOTALL)


def _unescaped(text: str) -> bytes:
    r"""Return a text's bytes, with ``\;`` and ``\ddd`` read as a zone file does (RFC 1035 section 5.1).

    Raises:
        ValueError: a backslash with nothing behind it, or a number over 255.

    """
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
    """Return a TXT value's strings: one, unless the text begins with a quotation mark.

    Raises:
        ValueError: quotation marks or backslashes do not come out even.

    """
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


def _strings(text: str, at: Node, context: Context) -> Value | None:
    try:
        strings = character_strings(text)
    except ValueError as error:
        context.report.error(at, f"the text {quoted(text)}: {error}", r'write " as \" and \ as \\')
        return None
    return tuple(
        string[start : start + MAX_STRING].decode("latin-1")
        for string in strings
        for start in range(0, max(1, len(string)), MAX_STRING)
    )


def _tag(text: str, at: Node, context: Context) -> Value | None:
    if re.fullmatch("[A-Za-z0-9]{1,255}", text) is None:
        context.report.error(at, f"{quoted(text)} is no CAA tag", "write issue, issuewild or iodef")
        return None
    return (text.lower(),)


def _caa_value(text: str, at: Node, context: Context) -> Value | None:
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if re.fullmatch(r"[ !#-\[\]-~]*", bare) is None:
        instead = "write printable ASCII without quotation marks and backslashes, as ca.example.net"
        context.report.error(at, f"{quoted(text)} is no CAA value", instead)
        return None
    return (bare,)


def _hex(text: str, at: Node, context: Context) -> Value | None:
    digits = "".join(text.split()).lower()
    if not digits or len(digits) % 2 or re.fullmatch("[0-9a-f]+", digits) is None:
        context.report.error(
            at, f"{quoted(text)} is no hexadecimal data", "write pairs of hexadecimal digits"
        )
        return None
    return (digits,)


_NAME: Schema = {"type": "string", "minLength": 1}


def _one(read: Reader, schema: Schema) -> tuple[Field, ...]:
    return (Field("value", read, schema),)


RECORD_TYPES: dict[str, RecordType] = {
    "A": RecordType(
        _one(_address(4), ADDRESS_SCHEMA), "192.0.2.1", "IPv4 addresses, or a pool.", pooled=True
    ),
    "AAAA": RecordType(
        _one(_address(6), ADDRESS_SCHEMA), '"2001:db8::1"', "IPv6 addresses, or a pool.", pooled=True
    ),
    "MX": RecordType(
        (_numeric("preference", 65535), Field("exchange", _target, _NAME)),
        "10 mail.example.net.",
        "Where mail for the name goes, or pools at their preferences.",
        pooled=True,
    ),
    "NS": RecordType(_one(_target, _NAME), "ns1.example.net.", "Delegates the name to other name servers."),
    "TXT": RecordType(
        _one(_strings, {"type": "string"}), "v=spf1 a ~all", "Text; over 255 bytes it is split into strings."
    ),
    "CNAME": RecordType(_one(_target, _NAME), "mail.example.net.", "The name that this one is an alias of."),
    "SRV": RecordType(
        (
            _numeric("priority", 65535),
            _numeric("weight", 65535),
            _numeric("port", 65535),
            Field("target", _target, _NAME),
        ),
        "0 0 587 mail.example.net.",
        "Where a service is.",
    ),
    "CAA": RecordType(
        (
            _numeric("flags", 255, "0"),
            Field("tag", _tag, _NAME),
            Field("value", _caa_value, {"type": "string"}),
        ),
        "0 issue ca.example.net",
        "Who may issue certificates for the name.",
    ),
    "PTR": RecordType(_one(_target, _NAME), "mail.example.net.", "The name that an address has."),
    "TLSA": RecordType(
        (
            _numeric("certificate_usage", 3),
            _numeric("selector", 1),
            _numeric("matching_type", 2),
            Field("certificate_association_data", _hex, _NAME),
        ),
        "3 1 1 0123…ef",
        "The certificate that a service shows (RFC 6698).",
    ),
}


def read_value(kind: str, node: Node, context: Context, skip: frozenset[str] = frozenset()) -> Value | None:
    """Read one value, as text or as a mapping of its fields.

    Args:
        kind: the record type.
        node: where it stands.
        context: the zone's name and the report.
        skip: keys of the mapping that are no fields.

    Returns:
        The record's fields; None when the report says why not.

    """
    known = RECORD_TYPES[kind]
    if isinstance(node, yamltext.Mapping) and len(known.fields) > 1:
        value = _from_fields(kind, node, context, skip)
    else:
        value = _from_text(kind, node, context)
    if (
        kind == "TLSA"
        and value is not None
        and len(value[3]) != {"1": 64, "2": 128}.get(value[2], len(value[3]))
    ):
        what = f"{len(value[3])} hexadecimal digits do not go with matching type {value[2]}"
        context.report.error(node, what, "SHA-256 (1) has 64, SHA-512 (2) has 128")
        return None
    return value


def _from_fields(kind: str, node: yamltext.Mapping, context: Context, skip: frozenset[str]) -> Value | None:
    known = RECORD_TYPES[kind]
    for name, (key, _) in node.items.items():
        if name not in known.names and name not in skip:
            context.report.unknown(key, "unknown key", name, [*known.names, *skip])
    parts: list[Value | None] = []
    for field in known.fields:
        at = node.get(field.name)
        if at is None:
            if field.default is None:
                context.report.error(
                    node, f"{kind} without `{field.name}`", f"its keys are {', '.join(known.names)}"
                )
            parts.append(None if field.default is None else (field.default,))
            continue
        text = text_of(at, context.report, field.name, f"write it as in {quoted(known.example)}")
        parts.append(None if text is None else field.read(text, at, context))
    return _joined(parts)


def _from_text(kind: str, node: Node, context: Context) -> Value | None:
    known = RECORD_TYPES[kind]
    instead = f"write it as in {quoted(known.example)}"
    if kind in {"A", "AAAA"}:
        text = address_text(node, context.report)
    elif kind == "TXT" and isinstance(node, Scalar) and not node.plain:
        text = node.text
    else:
        text = text_of(node, context.report, f"a value of {kind}", instead)
    if text is None:
        return None
    if len(known.fields) == 1:
        return known.fields[0].read(text, node, context)
    count = len(known.fields)
    words = text.split(None, count - 1)
    if len(words) != count or (kind in {"MX", "SRV"} and " " in words[-1].strip()):
        what = f"{quoted(text)} has not the {count} fields of {kind}: {', '.join(known.names)}"
        context.report.error(node, what, instead)
        return None
    return _joined(
        [field.read(word.strip(), node, context) for field, word in zip(known.fields, words, strict=True)]
    )


def _joined(parts: list[Value | None]) -> Value | None:
    value: list[str] = []
    for part in parts:
        if part is None:
            return None
        value += part
    return tuple(value)
