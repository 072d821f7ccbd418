"""A record's value, as text or as a mapping of its fields → as `Record` has it."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import dns.immutable
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.L64
import dns.rdtypes.ANY.NID
import dns.rdtypes.ANY.SSHFP
import dns.rdtypes.dsbase
import dns.rdtypes.nsbase
import dns.rdtypes.svcbbase
import dns.rdtypes.tlsabase
import dns.tokenizer
import dns.wire

from geodns.config import yaml_nodes
from geodns.config.report import quoted
from geodns.config.value_types import address_text, text_of
from geodns.config.yaml_nodes import Scalar, YamlNode, is_nothing
from geodns.wire.codes import NUMBERS, number
from geodns.wire.encode import GENERIC, encode, generic
from geodns.wire.names import owner_end
from geodns.zonefile.record_fields import Context, Value
from geodns.zonefile.record_types import RecordType, record_type

_GENERIC = re.compile(r"\s*\\#\s+[0-9]{1,5}(\s+[0-9A-Fa-f]+)*\s*")
_DIGESTS: dict[str, tuple[int, dict[int, int]]] = {
    "DS": (4, {1: 20, 2: 32, 4: 48}),
    "CDS": (4, {1: 20, 2: 32, 4: 48}),
    "SSHFP": (2, {1: 20, 2: 32}),
    "TLSA": (3, {1: 32, 2: 64}),
    "SMIMEA": (3, {1: 32, 2: 64}),
}
"""The bytes before a digest, of which the last is its type, and the lengths of digests by type."""
_QUOTED_TEXTS = frozenset({"TXT", "SPF"})


def read_value(
    kind: str, node: YamlNode, context: Context, skip: frozenset[str] = frozenset()
) -> Value | None:
    """Read one value, as text or as a mapping of its fields; None when the report says why not.

    Keys of the mapping in `skip` are no fields.
    """
    known = record_type(kind)
    if isinstance(node, yaml_nodes.Mapping) and len(known.fields) > 1:
        value = _from_fields(kind, known, node, context, skip)
    else:
        value = _from_text(kind, known, node, context)
    if value is not None and kind in _DIGESTS:
        _check_digest(kind, value, node, context)
    if value is not None and kind == "TLSA":
        _check_tlsa(value, node, context)
    if value is not None and kind in {"SVCB", "HTTPS"}:
        _check_alias_mode(value, node, context)
    return value


def _from_fields(
    kind: str, known: RecordType, node: yaml_nodes.Mapping, context: Context, skip: frozenset[str]
) -> Value | None:
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
        if field.name == "svcparams" and isinstance(at, yaml_nodes.Mapping):
            parts.append(_parameters(at, context))
            continue
        text = text_of(at, context.report, field.name, f"write it as in {quoted(known.example)}")
        parts.append(None if text is None else field.read(text, at, context))
    value = _joined(parts)
    return _as_bytes(kind, known, " ".join(value), node, context) if value and known.as_text else value


def _parameters(node: yaml_nodes.Mapping, context: Context) -> Value | None:
    """Return a service's parameters as zone-file text (RFC 9460 section 2.1)."""
    words: list[str] = []
    for name, (key, value) in node.items.items():
        if isinstance(value, yaml_nodes.Sequence):
            texts = [text_of(item, context.report, name, "write a text") for item in value.items]
        elif is_nothing(value):
            texts = []
        else:
            texts = [text_of(value, context.report, name, "write a text or a list")]
        if re.fullmatch("[a-z0-9-]+", name) is None or None in texts:
            context.report.error(key, f"{quoted(name)} is no parameter", "write one as in {alpn: [h2, h3]}")
            return None
        joined = ",".join(text for text in texts if text is not None)
        words.append(f'{name}="{joined}"' if texts else name)
    return (" ".join(words),)


def _from_text(kind: str, known: RecordType, node: YamlNode, context: Context) -> Value | None:
    instead = f"write it as in {quoted(known.example)}"
    if kind in {"A", "AAAA"}:
        text = address_text(node, context.report)
    elif kind in _QUOTED_TEXTS and isinstance(node, Scalar) and not node.plain:
        text = node.text
    else:
        text = text_of(node, context.report, f"a value of {kind}", instead)
    if text is None:
        return None
    if known.as_text:
        return _as_bytes(kind, known, text, node, context)
    if "\\" in text and _GENERIC.fullmatch(text) is not None:
        return _from_bytes(kind, known, text, node, context)
    return _fields_of(kind, known, text, node, context)


def _fields_of(kind: str, known: RecordType, text: str, node: YamlNode, context: Context) -> Value | None:
    instead = f"write it as in {quoted(known.example)}"
    if len(known.fields) == 1:
        value = known.fields[0].read(text, node, context)
        # Strings that begin like generic data would be taken for them.
        if value is not None and value[0] == GENERIC:
            return generic(b"".join(bytes((len(one),)) + one.encode("latin-1") for one in value))
        return value
    count = len(known.fields)
    words = text.split(None, count - 1)
    if len(words) != count or (kind in {"MX", "SRV"} and " " in words[-1].strip()):
        what = f"{quoted(text)} has not the {count} fields of {kind}: {', '.join(known.names)}"
        context.report.error(node, what, instead)
        return None
    return _joined(
        [field.read(word.strip(), node, context) for field, word in zip(known.fields, words, strict=True)]
    )


def _from_bytes(kind: str, known: RecordType, text: str, node: YamlNode, context: Context) -> Value | None:
    r"""Read the generic form (``\# 4 0a000001``) of a type that has fields here."""
    try:
        shown = wire_to_text(number(kind), text_to_wire(number(kind), text, context.origin))
    except ValueError as error:
        context.report.error(
            node, f"{quoted(text)} is no {kind}: {error}", f"write it as in {quoted(known.example)}"
        )
        return None
    return _fields_of(kind, known, shown, node, context)


def _as_bytes(kind: str, known: RecordType, text: str, node: YamlNode, context: Context) -> Value | None:
    try:
        return generic(text_to_wire(number(kind), text, context.origin))
    except ValueError as error:
        context.report.error(
            node, f"{quoted(text)} is no {kind}: {error}", f"write it as in {quoted(known.example)}"
        )
        return None


def _check_digest(kind: str, value: Value, node: YamlNode, context: Context) -> None:
    data = encode(kind, value)
    before, lengths = _DIGESTS[kind]
    known = lengths.get(data[before - 1])
    if known is not None and len(data) != before + known:
        what = f"a digest of {len(data) - before} bytes does not go with type {data[before - 1]}"
        context.report.warn(node, what, f"that has {known} bytes, {2 * known} digits")


def _check_tlsa(value: Value, node: YamlNode, context: Context) -> None:
    usage, selector, matching, _ = value
    for what, given, most in (
        ("certificate_usage", usage, 3),
        ("selector", selector, 1),
        ("matching_type", matching, 2),
    ):
        if most < int(given) < 255:
            context.report.warn(node, f"{what} {given} means nothing yet", f"write 0 to {most} (RFC 6698)")


def _check_alias_mode(value: Value, node: YamlNode, context: Context) -> None:
    data = encode("SVCB", value)
    if data[:2] == b"\0\0" and owner_end(data, 2) < len(data):
        what = "parameters beside priority 0 (AliasMode): clients ignore them"
        context.report.warn(node, what, "take them out, or write a priority over 0 (RFC 9460 section 2.4.2)")


def _joined(parts: list[Value | None]) -> Value | None:
    value: list[str] = []
    for part in parts:
        if part is None:
            return None
        value += part
    return tuple(value)


MAX_RDATA = 0xFFFF
"""Bytes: the length is of 16 bits (RFC 1035 section 4.1.3)."""


class MB(dns.rdtypes.nsbase.NSBase):
    """A name; dnspython does not know this type of RFC 1035."""


class MG(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


class MR(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


class MD(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


class MF(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


@dns.immutable.immutable
class MINFO(dns.rdata.Rdata):
    """Two mailboxes (RFC 1035 section 3.3.7)."""

    __slots__ = ("emailbx", "rmailbx")

    def __init__(self, rdclass: Any, rdtype: Any, rmailbx: dns.name.Name, emailbx: dns.name.Name) -> None:
        super().__init__(rdclass, rdtype)
        self.rmailbx = rmailbx
        self.emailbx = emailbx

    def to_styled_text(self, style: Any) -> str:
        return f"{self.rmailbx.to_styled_text(style)} {self.emailbx.to_styled_text(style)}"

    @classmethod
    def from_text(
        cls,
        rdclass: Any,
        rdtype: Any,
        tok: dns.tokenizer.Tokenizer,
        origin: dns.name.Name | None = None,
        relativize: bool = True,
        relativize_to: dns.name.Name | None = None,
    ) -> "MINFO":
        first = tok.get_name(origin, relativize, relativize_to)
        return cls(rdclass, rdtype, first, tok.get_name(origin, relativize, relativize_to))

    def _to_wire(
        self, file: Any, compress: Any = None, origin: Any = None, canonicalize: bool = False
    ) -> None:
        self.rmailbx.to_wire(file, compress, origin, canonicalize)
        self.emailbx.to_wire(file, compress, origin, canonicalize)

    @classmethod
    def from_wire_parser(cls, rdclass: Any, rdtype: Any, parser: Any, origin: Any = None) -> "MINFO":
        return cls(rdclass, rdtype, parser.get_name(origin, True), parser.get_name(origin, True))


for _kind in ("MB", "MG", "MR", "MD", "MF", "MINFO"):
    dns.rdata.register_type(sys.modules[__name__], dns.rdatatype.RdataType.make(NUMBERS[_kind]), _kind)


class DS(dns.rdtypes.dsbase.DSBase):
    """A digest of any length: we warn of an odd one, and refuse no zone for it."""

    _digest_length_by_type: dict[int, int] = {}  # noqa: RUF012 - as above it


class CDS(DS):
    """Likewise; digest type 0 asks for the parent's DS to be removed (RFC 8078 section 4)."""

    _digest_length_by_type: dict[int, int] = {0: 1}  # noqa: RUF012 - as dnspython has it


class DLV(DS):
    """Likewise."""


class TLSA(dns.rdtypes.tlsabase.TLSABase):
    """Likewise."""

    _cert_length_by_mtype: dict[int, int] = {}  # noqa: RUF012 - as above it


class SMIMEA(TLSA):
    """Likewise."""


class SSHFP(dns.rdtypes.ANY.SSHFP.SSHFP):
    """Likewise."""

    _fingerprint_length_by_type: dict[int, int] = {}  # noqa: RUF012 - as above it


class _LenientService(dns.rdtypes.svcbbase.SVCBBase):
    """AliasMode with parameters: clients ignore those (RFC 9460 section 2.4.2), so we warn only."""

    @classmethod
    def from_text(cls, rdclass: Any, rdtype: Any, tok: dns.tokenizer.Tokenizer, *names: Any) -> Any:
        priority = tok.get_uint16()
        tok.unget(dns.tokenizer.Token(dns.tokenizer.IDENTIFIER, str(priority or 1)))
        found = super().from_text(rdclass, rdtype, tok, *names)
        return cls(rdclass, rdtype, priority, found.target, found.params)

    @classmethod
    def from_wire_parser(cls, rdclass: Any, rdtype: Any, parser: Any, origin: Any = None) -> Any:
        priority = parser.get_uint16()
        rest = dns.wire.Parser((priority or 1).to_bytes(2, "big") + parser.get_remaining())
        found = super().from_wire_parser(rdclass, rdtype, rest, origin)
        return cls(rdclass, rdtype, priority, found.target, found.params)


@dns.immutable.immutable
class SVCB(_LenientService):
    """Lenient, as above."""


@dns.immutable.immutable
class HTTPS(_LenientService):
    """Lenient, as above."""


def _groups(text: str) -> str:
    """Write out four groups of up to four digits, which others read as in IPv6 addresses."""
    return ":".join(group.zfill(4) if group else group for group in text.split(":"))


@dns.immutable.immutable
class NID(dns.rdtypes.ANY.NID.NID):
    """With short groups, too."""

    def __init__(self, rdclass: Any, rdtype: Any, preference: Any, nodeid: Any) -> None:
        super().__init__(rdclass, rdtype, preference, _groups(nodeid) if isinstance(nodeid, str) else nodeid)  # type: ignore[no-untyped-call]  # dnspython's


@dns.immutable.immutable
class L64(dns.rdtypes.ANY.L64.L64):
    """With short groups, too."""

    def __init__(self, rdclass: Any, rdtype: Any, preference: Any, locator64: Any) -> None:
        whole = _groups(locator64) if isinstance(locator64, str) else locator64
        super().__init__(rdclass, rdtype, preference, whole)  # type: ignore[no-untyped-call]  # dnspython's


for _lenient in (DS, CDS, DLV, TLSA, SMIMEA, SSHFP, SVCB, HTTPS, NID, L64):
    # dnspython has no way to register another class for a type that it knows.
    _of = dns.rdatatype.RdataType.make(NUMBERS[_lenient.__name__])
    dns.rdata._rdata_classes[dns.rdataclass.IN, _of] = _lenient  # noqa: SLF001 - see above


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn whatever dnspython raises for bad text or bytes into a ValueError of one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError | RecursionError):
            raise
        text = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
        raise ValueError(text) from error


@lru_cache(64)
def _origin(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def text_to_wire(number: int, text: str, origin: str) -> bytes:
    r"""Return the data of a record from zone-file text, names uncompressed; raises ValueError.

    Any type may be ``\# 2 abcd`` (RFC 3597 section 5). Names are in lower case in the types where signing
    wants them so (RFC 4034 section 6.2), and as they stand in newer ones.
    """
    with _refusals():
        tokens = dns.tokenizer.Tokenizer(text.strip(), idna_codec=dns.name.IDNA_2008_UTS_46)
        rdata = dns.rdata.from_text(
            dns.rdataclass.IN,
            dns.rdatatype.RdataType.make(number),
            tokens,
            origin=_origin(origin),
            relativize=False,
        )
        if not tokens.get().is_eof():
            raise ValueError("there is a second line")
        wire = rdata.to_digestable()
        if len(wire) > MAX_RDATA:
            raise ValueError(f"over {MAX_RDATA} bytes")
        # What cannot be read back is of no use.
        dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(number), wire, 0, len(wire))
        return wire


def wire_to_text(number: int, wire: bytes) -> str:
    r"""Return a record's data as zone-file text: the type's own, or ``\# 2 abcd``; raises ValueError."""
    with _refusals():
        rdata = dns.rdata.from_wire(
            dns.rdataclass.IN, dns.rdatatype.RdataType.make(number), wire, 0, len(wire)
        )
        return rdata.to_text(chunksize=0) if number in _CHUNKED else rdata.to_text()


_CHUNKED = frozenset(NUMBERS[kind] for kind in ("TLSA", "SMIMEA", "DS", "CDS", "SSHFP", "ZONEMD"))
"""Types whose hexadecimal data is written in one piece: easier to compare."""
