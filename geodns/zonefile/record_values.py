"""A record's value, as text or as a mapping of its fields → what `model.Record` has of it."""

import re

from geodns import yamltext
from geodns.encode import GENERIC, encode, generic
from geodns.report import quoted
from geodns.rrtypes import number
from geodns.scalars import address_text, text_of
from geodns.yamltext import Node, Scalar, is_nothing
from geodns.zonefile.fields import Context, Value
from geodns.zonefile.kinds import RecordType, record_type
from geodns.zonefile.rdata import text_to_wire, wire_to_text

_GENERIC = re.compile(r"\s*\\#\s+[0-9]{1,5}(\s+[0-9A-Fa-f]+)*\s*")
_DIGESTS: dict[str, tuple[int, dict[int, int]]] = {
    "DS": (4, {1: 20, 2: 32, 4: 48}),
    "CDS": (4, {1: 20, 2: 32, 4: 48}),
    "SSHFP": (2, {1: 20, 2: 32}),
    "TLSA": (3, {1: 32, 2: 64}),
    "SMIMEA": (3, {1: 32, 2: 64}),
}
"""How many bytes stand before a digest, of which the last is its type; how long those of a type are."""
_QUOTED_TEXTS = frozenset({"TXT", "SPF"})


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
    known = record_type(kind)
    if isinstance(node, yamltext.Mapping) and len(known.fields) > 1:
        value = _from_fields(kind, known, node, context, skip)
    else:
        value = _from_text(kind, known, node, context)
    if value is not None and kind in _DIGESTS:
        _check_digest(kind, value, node, context)
    if value is not None and kind == "TLSA":
        _check_tlsa(value, node, context)
    return value


def _from_fields(
    kind: str, known: RecordType, node: yamltext.Mapping, context: Context, skip: frozenset[str]
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
        if field.name == "svcparams" and isinstance(at, yamltext.Mapping):
            parts.append(_parameters(at, context))
            continue
        text = text_of(at, context.report, field.name, f"write it as in {quoted(known.example)}")
        parts.append(None if text is None else field.read(text, at, context))
    value = _joined(parts)
    return _as_bytes(kind, known, " ".join(value), node, context) if value and known.as_text else value


def _parameters(node: yamltext.Mapping, context: Context) -> Value | None:
    """Return the parameters of a service as zone-file text (RFC 9460 section 2.1)."""
    words: list[str] = []
    for name, (key, value) in node.items.items():
        if isinstance(value, yamltext.Sequence):
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


def _from_text(kind: str, known: RecordType, node: Node, context: Context) -> Value | None:
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


def _fields_of(kind: str, known: RecordType, text: str, node: Node, context: Context) -> Value | None:
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


def _from_bytes(kind: str, known: RecordType, text: str, node: Node, context: Context) -> Value | None:
    """Read the generic form of a type that has fields of its own here."""
    try:
        shown = wire_to_text(number(kind), text_to_wire(number(kind), text, context.origin))
    except ValueError as error:
        context.report.error(
            node, f"{quoted(text)} is no {kind}: {error}", f"write it as in {quoted(known.example)}"
        )
        return None
    return _fields_of(kind, known, shown, node, context)


def _as_bytes(kind: str, known: RecordType, text: str, node: Node, context: Context) -> Value | None:
    try:
        return generic(text_to_wire(number(kind), text, context.origin))
    except ValueError as error:
        context.report.error(
            node, f"{quoted(text)} is no {kind}: {error}", f"write it as in {quoted(known.example)}"
        )
        return None


def _check_digest(kind: str, value: Value, node: Node, context: Context) -> None:
    data = encode(kind, value)
    before, lengths = _DIGESTS[kind]
    known = lengths.get(data[before - 1])
    if known is not None and len(data) != before + known:
        what = f"a digest of {len(data) - before} bytes does not go with type {data[before - 1]}"
        context.report.warn(node, what, f"that has {known} bytes, {2 * known} digits")


def _check_tlsa(value: Value, node: Node, context: Context) -> None:
    usage, selector, matching, _ = value
    for what, given, most in (
        ("certificate_usage", usage, 3),
        ("selector", selector, 1),
        ("matching_type", matching, 2),
    ):
        if most < int(given) < 255:
            context.report.warn(node, f"{what} {given} means nothing yet", f"write 0 to {most} (RFC 6698)")


def _joined(parts: list[Value | None]) -> Value | None:
    value: list[str] = []
    for part in parts:
        if part is None:
            return None
        value += part
    return tuple(value)
