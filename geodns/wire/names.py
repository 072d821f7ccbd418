"""Domain names: text to labels to wire and back (RFC 1035 sections 2.3.4, 3.1 and 5.1)."""

import re
from collections.abc import Iterator
from struct import pack

from geodns.errors import BadNameError

MAX_LABEL = 63
"""Bytes."""
MAX_NAME = 255
"""Bytes on the wire, the root's zero included."""

USUAL = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+")
"""Nearly every name: absolute, in lower case, of letters, digits, hyphens and underscores."""

_PLAIN = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without a backslash: nearly every name, and four times as fast to read."""


def labels_of(text: str) -> tuple[bytes, ...]:
    r"""Split an absolute or relative name into labels; ``\.`` and ``\ddd`` are understood.

    Raises:
        BadNameError: an empty label, one over 63 bytes, a bad escape, or a character that is not printable
            ASCII and stands there without one.

    """
    if text in {".", ""}:
        return ()
    if _PLAIN.fullmatch(text):
        return tuple(_label(label, text) for label in text.removesuffix(".").encode().split(b"."))
    labels: list[bytes] = []
    label = bytearray()
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            octet, position = _escape(text, position)
            label.append(octet)
            continue
        if character == ".":
            labels.append(_label(label, text))
            label = bytearray()
        elif ord(character) > 126 or ord(character) < 33:
            raise BadNameError(f"{text!r}: {character!r} cannot stand in a name")
        else:
            label.append(ord(character))
        position += 1
    if label:
        labels.append(_label(label, text))
    return tuple(labels)


def _escape(text: str, position: int) -> tuple[int, int]:
    digits = text[position + 1 : position + 4]
    if len(digits) == 3 and digits.isascii() and digits.isdigit():
        if int(digits) > 255:
            raise BadNameError(f"{text!r}: \\{digits} is no byte")
        return int(digits), position + 4
    if not digits:
        raise BadNameError(f"{text!r}: nothing follows the backslash")
    if not digits[0].isascii() or digits[0].isdigit():
        raise BadNameError(f"{text!r}: \\{digits[0]} is no escape, write three digits or another character")
    return ord(digits[0]), position + 2


def _label(label: bytes | bytearray, text: str) -> bytes:
    if not label:
        raise BadNameError(f"{text!r}: an empty label")
    if len(label) > MAX_LABEL:
        raise BadNameError(f"{text!r}: a label of {len(label)} bytes, at most {MAX_LABEL} are allowed")
    return bytes(label)


QNAME = b"\xc0\x0c"
"""The compression pointer to the question's name, which always stands right behind the header."""


def name_to_wire(text: str) -> bytes:
    """Return an absolute name on the wire, in lower case.

    Raises:
        BadNameError: as `labels_of` says, and when the whole is over 255 bytes.

    """
    wire = b"".join(bytes((len(label),)) + label for label in labels_of(text)) + b"\0"
    if len(wire) > MAX_NAME:
        raise BadNameError(f"{text!r}: a name of {len(wire)} bytes, at most {MAX_NAME} are allowed")
    return wire.lower()


def name_from_wire(wire: bytes) -> str:
    r"""Return an uncompressed name as absolute text, with ``\`` escapes (RFC 4343 section 2.1)."""
    labels: list[str] = []
    position = 0
    while wire[position]:
        end = position + 1 + wire[position]
        labels.append("".join(_shown(octet) for octet in wire[position + 1 : end]))
        position = end
    return ".".join(labels) + "."


def _shown(octet: int) -> str:
    if octet in b'.\\"();@$':
        return "\\" + chr(octet)
    return chr(octet) if 33 <= octet <= 126 else f"\\{octet:03d}"


def parents(name: bytes) -> Iterator[bytes]:
    """Yield the names above one on the wire, nearest first, up to the root."""
    position = 0
    while name[position]:
        position += 1 + name[position]
        yield name[position:]


def is_below(name: bytes, other: bytes) -> bool:
    """Say whether a name is another one, or lies below it."""
    return name == other or other in parents(name)


def owner_end(records: bytes, position: int) -> int:
    """Return where the owner name of a ready record ends: `QNAME`, or a whole name."""
    while length := records[position]:
        if length > MAX_LABEL:
            return position + len(QNAME)
        position += 1 + length
    return position + 1


_HEADER = 12
"""Bytes of a message before its first name."""


def whole_name(packet: bytes, position: int) -> tuple[bytes, int] | None:
    """Return a name without compression, and where it ends in the packet; None: it is broken.

    A pointer leads to an earlier place (RFC 1035 section 4.1.4), so it cannot go round in circles.
    """
    name = b""
    end: int | None = None
    start = position
    while position < len(packet):
        length = packet[position]
        if length >= 0xC0:
            if position + 1 >= len(packet):
                return None
            end = position + 2 if end is None else end
            position = int.from_bytes(packet[position : position + 2], "big") & 0x3FFF
            if not _HEADER <= position < start:
                return None
            start = position
            continue
        if length > MAX_LABEL or position + 1 + length > len(packet):
            return None
        name += packet[position : position + 1 + length]
        position += 1 + length
        if len(name) > MAX_NAME:
            return None
        if not length:
            return name, position if end is None else end
    return None


def pointer(offset: int) -> bytes | None:
    """Return a compression pointer; None: the offset is out of its reach."""
    return pack(">H", 0xC000 | offset) if offset < 0x4000 else None
