"""Types of values that operators write: how each is read and written, and its JSON Schema beside it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from geodns.config import yaml_nodes
from geodns.config.report import Report, quoted
from geodns.config.times import HOW_LONG, duration_text, parse_duration
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing, shown
from geodns.model.base import Address
from geodns.model.hosts import Endpoint
from geodns.model.limits import MAX_TTL
from geodns.wire.names import USUAL

Schema = dict[str, Any]

_PART = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?|\.[0-9]{1,6})(%)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")

ADDRESS_SCHEMA: Schema = {"type": "string", "pattern": r"^[0-9A-Fa-f:.\[\]-]+$"}


@dataclass(frozen=True)
class ValueType:
    """A type of values.

    Attributes:
        read: turns a node into the value; None: the report says why not.
        schema: the same as JSON Schema.
        form: the same in words, for the reference; empty: by the schema.
        show: turns the value into what an operator writes.

    """

    read: Callable[[YamlNode, Report], Any]
    schema: Schema
    form: str = ""
    show: Callable[[Any], str] = str


def text_of(node: YamlNode, report: Report, what: str, instead: str) -> str | None:
    """Return a scalar's text; anything else, and nothing at all, is a problem."""
    if isinstance(node, Scalar) and not is_nothing(node):
        return node.text
    report.error(node, f"{shown(node)} where {what} is expected", instead)
    return None


def entries_of(node: YamlNode, report: Report, what: str, instead: str) -> dict[str, tuple[Scalar, YamlNode]]:
    """Return a mapping's entries; nothing at all is none, anything else is a problem."""
    if isinstance(node, yaml_nodes.Mapping):
        return node.items
    if not is_nothing(node):
        report.error(node, f"{shown(node)} where {what} is expected", instead)
    return {}


OFF = object()
"""A value that is switched off; None is one that could not be read."""


def duration(low: float, high: float, *, whole: bool = False) -> ValueType:
    """A time in seconds, written as a number or with a unit; `whole`: without fractions."""

    def read(node: YamlNode, report: Report) -> float | int | None:
        text = text_of(node, report, "a duration", HOW_LONG)
        if text is None:
            return None
        seconds = parse_duration(text)
        if seconds is None:
            report.error(node, f"{quoted(text)} is no duration", HOW_LONG)
            return None
        if not low <= seconds <= high:
            report.error(node, f"{text} is out of range", f"write {low:g}s to {high:.0f}s")
            return None
        if whole and seconds != int(seconds):
            report.error(node, f"{text} is no whole number of seconds", f"write {max(1, round(seconds))}s")
            return None
        return int(seconds) if whole else seconds

    return ValueType(
        read,
        {
            "anyOf": [
                {"type": "integer" if whole else "number", "minimum": low, "maximum": high},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d|w)?$"},
            ]
        },
        f"duration, {duration_text(low)} to {duration_text(high)}",
        duration_text,
    )


def seconds(low: int, high: int) -> ValueType:
    """A time in whole seconds."""
    return duration(low, high, whole=True)


TTL = seconds(0, MAX_TTL)


def whole(low: int, high: int, what: str) -> ValueType:
    """A whole number from `low` to `high`."""

    def read(node: YamlNode, report: Report) -> int | None:
        text = text_of(node, report, what, f"write {low} to {high}")
        return None if text is None else read_whole(text, node, report, what, low, high)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return ValueType(read, schema, f"whole number, {low} to {high}")


def read_whole(text: str, node: YamlNode, report: Report, what: str, low: int, high: int) -> int | None:
    """Read a node's text as a whole number."""
    if _WHOLE.fullmatch(text) is None:
        report.error(node, f"{what} {quoted(text)} is no whole number", f"write {low} to {high}")
    elif len(text) > 20 or not low <= int(text) <= high:
        report.error(node, f"{what} {quoted(text)} is out of range", f"write {low} to {high}")
    else:
        return int(text)
    return None


def part(low: float, high: float) -> ValueType:
    """A part of something, as 0.5 or 50%."""
    instead = f"write {low:g} to {high:g}, or {low:.0%} to {high:.0%}"

    def read(node: YamlNode, report: Report) -> float | None:
        text = text_of(node, report, "a part", instead)
        if text is None:
            return None
        found = _PART.fullmatch(text)
        if found is None:
            report.error(node, f"{quoted(text)} is no part", instead)
            return None
        number = float(found[1]) / (100 if found[2] else 1)
        if not low <= number <= high:
            report.error(node, f"{text} is out of range", instead)
            return None
        return number

    return ValueType(
        read,
        {
            "anyOf": [
                {"type": "number", "minimum": low, "maximum": high},
                {"type": "string", "pattern": r"^[0-9]{0,3}(\.[0-9]{1,6})?%?$"},
            ]
        },
        f"{low:.0%} to {high:.0%}, or a fraction",
        lambda number: f"{number:.0%}",
    )


def choice(*words: str) -> ValueType:
    """One of these words."""

    def read(node: YamlNode, report: Report) -> str | None:
        text = text_of(node, report, " or ".join(words), f"write one of: {', '.join(words)}")
        if text is not None and text not in words:
            report.error(node, f"{quoted(text)} is not known here", f"write one of: {', '.join(words)}")
            return None
        return text

    return ValueType(read, {"enum": list(words)})


_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _read_flag(node: YamlNode, report: Report) -> bool | None:
    text = text_of(node, report, "true or false", "write true or false")
    if text is not None and text not in _FLAGS:
        report.error(node, f"{quoted(text)} is not known here", "write true or false")
    return _FLAGS.get(text or "")


FLAG = ValueType(_read_flag, {"type": "boolean"}, "`true`, `false`", lambda value: str(value).lower())


def _anything(node: YamlNode, report: Report) -> YamlNode:
    del report
    return node


def section(schema: Schema, form: str = "") -> ValueType:
    """A value that is read later, by the code of its section."""
    return ValueType(_anything, schema, form)


def word(what: str) -> ValueType:
    """A text that is not empty; read as its node, which knows where it stands."""

    def read(node: YamlNode, report: Report) -> Scalar | None:
        text = text_of(node, report, what, f"write {what}")
        return None if text is None or not isinstance(node, Scalar) else node

    return ValueType(read, {"type": "string"})


def _read_ehlo(node: YamlNode, report: Report) -> str | None:
    text = text_of(node, report, "a host's name", "write the name that the prober gives in EHLO")
    if text is None:
        return None
    literal = text.startswith("[") and text.endswith("]") and parse_address(text[1:-1].removeprefix("IPv6:"))
    name = f"{text.removesuffix('.')}.".lower()
    if not literal and not (len(text) <= 253 and text.isascii() and USUAL.fullmatch(name)):
        instead = "write a whole domain name or an address literal, as probe.example.net or '[192.0.2.1]'"
        report.error(node, f"{quoted(text)} is no name for EHLO", instead)
        return None
    return text.removesuffix(".")


EHLO = ValueType(_read_ehlo, {"type": "string"})


@lru_cache(4096)
def parse_address(text: str) -> Address | None:
    """Return the address that a text is, else None; one with an IPv6 zone (``%eth0``) is none."""
    try:
        if ":" in text:
            return None if "%" in text else IPv6Address(text)
        return IPv4Address(text)
    except ValueError:
        return None


def address_text(node: YamlNode, report: Report) -> str | None:
    """Return the text of what should be an address; an IPv6 address must stand in quotes.

    YAML takes a colon for the mark of a key as soon as a space, a bracket or the line's end follows it.
    """
    if isinstance(node, yaml_nodes.Mapping) and any(":" in key for key in node.items):
        report.error(node, "an IPv6 address that YAML reads as a key", 'quote this address, as "2001:db8::1"')
        return None
    text = text_of(node, report, "an address", 'write an address, as 192.0.2.1 or "2001:db8::1"')
    if text is not None and ":" in text and isinstance(node, Scalar) and node.plain:
        report.error(node, f"{text[:60]} without quotes", f'quote this address, as "{text[:60]}"')
        return None
    return text


def check_address(text: str, node: YamlNode, report: Report) -> Address | None:
    """Return the address that a node's text is."""
    address = parse_address(text)
    if address is None:
        report.error(node, f"{quoted(text)} is no address", 'write it as 192.0.2.1 or "2001:db8::1"')
    return address


def no_machine_has(address: Address) -> bool:
    """Tell whether an address is no machine's: unspecified, multicast or broadcast."""
    number = int(address)
    if address.version == 4:
        return number < 2**24 or 0xE0000000 <= number < 0xF0000000 or number == 0xFFFFFFFF
    return number == 0 or number >> 120 == 0xFF


def check_unicast(text: str, node: YamlNode, report: Report) -> Address | None:
    """Return the address that a node's text is; it must be one that a machine can have."""
    address = check_address(text, node, report)
    if address is not None and no_machine_has(address):
        report.error(node, f"no machine can have the address {address}", "write the host's own address")
        return None
    return address


def items_of(node: YamlNode) -> Sequence[YamlNode]:
    """Return a list's items, or the single item that stands without a list; nothing at all is none."""
    if isinstance(node, yaml_nodes.Sequence):
        return node.items
    return () if is_nothing(node) else (node,)


def one_or_more(one: Schema, **bounds: int) -> Schema:
    """Return the JSON Schema of what `items_of` takes: a value, or a list of such values."""
    return {"anyOf": [one, {"type": "array", "items": one, **bounds}]}


ADDRESSES = section(one_or_more(ADDRESS_SCHEMA), "address or list")


def parse_endpoint(text: str) -> Endpoint | None:
    """Return the address and port of ``10.0.0.13:2525``, ``[::1]:25`` or a bare address, else None."""
    address, port = text, None
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else None
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    parsed = parse_address(address)
    if parsed is None:
        return None
    if port is None:
        return Endpoint(address=parsed)
    if re.fullmatch("[0-9]{1,5}", port) is None or not 1 <= int(port) <= 65535:
        return None
    return Endpoint(address=parsed, port=int(port))


def _read_resolver(node: YamlNode, report: Report) -> Endpoint | None:
    instead = 'write an address with or without a port, as 10.0.0.53 or "[2001:db8::53]:5353"'
    text = text_of(node, report, "whom to ask", instead)
    endpoint = None if text is None else parse_endpoint(text)
    if text is not None and endpoint is None:
        report.error(node, f"{quoted(text)} is no resolver", instead)
    return endpoint


RESOLVER = ValueType(_read_resolver, ADDRESS_SCHEMA, "address")
"""Whom to ask for names, as 10.0.0.53 or 127.0.0.1:8600."""


HOW_MANY = "write 1 for all, or a part of them, as 1%, 1/100 or 0.01"


def parse_share(text: str) -> float | None:
    """Return the share that ``1%``, ``1/100`` or ``0.01`` is, above 0 and at most 1; else None."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(%|/([0-9]{1,9}))?", text)
    if found is None:
        return None
    below = 100 if found[2] == "%" else int(found[3] or 1)
    share = float(found[1]) / below if below else 0.0
    return share if 0 < share <= 1 else None
