"""Domain names as people write them: text to labels (RFC 1035 sections 2.3.4 and 5.1)."""

import re

from geodns.errors import BadNameError

MAX_LABEL = 63
"""Bytes."""
MAX_NAME = 255
"""Bytes on the wire, the root's zero included."""

USUAL = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+")
"""An absolute name in lower case, of letters, digits, hyphens and underscores, as nearly every one is."""

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
