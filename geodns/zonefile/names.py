"""Names in a zone file: relative or absolute text → absolute, in lower case, valid; ranges and globs."""

import fnmatch
import re
from collections.abc import Callable

from geodns.errors import BadNameError
from geodns.wire.idn import to_ascii
from geodns.wire.names import USUAL, name_from_wire, name_to_wire

_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 254
"""Characters of an absolute name without escapes that is 255 bytes on the wire."""


def is_absolute(text: str) -> bool:
    """Tell whether a name ends in a dot that no backslash takes away."""
    if not text.endswith("."):
        return False
    before = text[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def absolute(text: str, origin: str) -> str:
    """Return a name of a zone file as an absolute one; raises BadNameError."""
    if text == "@":
        return origin
    name = to_ascii(text).lower()
    if not is_absolute(name):
        if not is_absolute(f"{name}."):
            raise BadNameError(f"{text!r} ends in a backslash: write another character behind it")
        name = f"{name}.{origin}"
    if len(name) <= _LONGEST and USUAL.fullmatch(name):
        return name
    return name_from_wire(name_to_wire(name))


def owner(text: str, origin: str) -> str:
    """Return an owner name as an absolute one; raises BadNameError, also for one outside the zone."""
    name = absolute(text, origin)
    if not is_within(name, origin):
        raise BadNameError(f"{text!r} lies outside the zone: write names that end in {origin}")
    return name


def is_strange_wildcard(name: str) -> bool:
    """Tell whether an asterisk in a name makes no wildcard: it is not the whole first label."""
    return "*" in name and not name.startswith("*.")


def is_within(name: str, origin: str) -> bool:
    """Tell whether an absolute name is another one or lies below it."""
    return name == origin or (name.endswith(f".{origin}") and is_absolute(name[: -len(origin)]))


def parent(name: str) -> str:
    r"""Return an absolute name without its first label; ``\.`` ends no label."""
    start = 0
    while True:
        dot = name.index(".", start)
        if is_absolute(name[: dot + 1]):
            return name[dot + 1 :]
        start = dot + 1


def is_host_label(text: str) -> bool:
    """Tell whether a text can be a host's label: letters, digits, hyphens (RFC 1123 section 2.1)."""
    return _HOST_LABEL.fullmatch(text) is not None


def zone_name(text: str) -> str:
    """Return a zone's name in lower case, without a final dot; raises BadNameError.

    A label may be an asterisk, which is no wildcard there (RFC 4592 section 4.1).
    """
    name = to_ascii(text).lower()
    usual = re.sub(r"(^|(?<=\.))\*(?=\.|$)", "x", name)
    if len(name) >= _LONGEST or USUAL.fullmatch(f"{usual}.") is None:
        raise BadNameError(f"{text!r} is no domain name: a zone's file is called like out.example.com.yaml")
    return name


MAX_RANGE = 10_000

_RANGE = re.compile(r"\[([0-9A-Fa-f]{1,9})-([0-9A-Fa-f]{1,9})\]")
_DECIMAL = re.compile("[0-9]+")


def has_range(text: str) -> bool:
    """Tell whether a text has a range, or seems meant to."""
    return re.search(r"\[.*-.*\]|\[[^\]:.]*$", text) is not None


def is_glob(text: str) -> bool:
    """Tell whether a text is a pattern over names."""
    return "*" in text or "?" in text


def expand(text: str) -> tuple[str, ...]:
    """Return each text that a text with a range stands for; one without a range stands for itself.

    Two decimal ends count in decimal, also in the last group of an IPv6 address: ``2001:db8::[8-11]`` is ::8,
    ::9, ::10, ::11, to go with ``mx[8-11]``. A letter in either end makes the range hexadecimal:
    ``2001:db8::[8-b]``. A first end with leading zeros gives every number its width. Raises ValueError.
    """
    found = list(_RANGE.finditer(text))
    if not found:
        if has_range(text):
            raise ValueError(f"{text!r} has a range that cannot be read: write it as in mx[01-04]")
        return (text,)
    if len(found) > 1:
        raise ValueError(f"{text!r} has {len(found)} ranges: one is allowed")
    first, last = found[0].groups()
    decimal = _DECIMAL.fullmatch(first) and _DECIMAL.fullmatch(last)
    if not decimal and ":" not in text:
        raise ValueError(f"{text!r} has letters in its range: write digits, as in mx[01-04]")
    base = 10 if decimal else 16
    low, high = int(first, base), int(last, base)
    if low > high:
        raise ValueError(f"{text!r} runs backwards: write the lower end first")
    if high - low >= MAX_RANGE:
        raise ValueError(f"{text!r} stands for {high - low + 1:,} names: at most {MAX_RANGE:,} are allowed")
    padded = first.startswith("0") and len(first) > 1
    if padded and len(first) != len(last):
        raise ValueError(f"{text!r} has ends of different width: write both with as many digits")
    width = len(first) if padded else 1
    head, tail = text[: found[0].start()], text[found[0].end() :]
    spec = f"0{width}{'d' if decimal else 'x'}"
    return tuple(f"{head}{number:{spec}}{tail}" for number in range(low, high + 1))


def matcher(glob: str) -> Callable[[str], object]:
    """Return a test of names against a glob: ``*`` is any text, ``?`` any character."""
    return re.compile(fnmatch.translate(glob.replace("[", "[[]"))).match
