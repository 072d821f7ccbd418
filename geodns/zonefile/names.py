"""Names in a zone file: text, relative to the zone or not → absolute, in lower case, valid."""

import re

from geodns.errors import BadNameError
from geodns.names import USUAL
from geodns.wire import name_from_wire, name_to_wire
from geodns.zonefile.idn import to_ascii

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
    """Return a name of a zone file as an absolute one.

    Raises:
        BadNameError: it is no domain name.

    """
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
    """Return an owner name of a zone file as an absolute one.

    Raises:
        BadNameError: it is no domain name, or it lies outside the zone.

    """
    name = absolute(text, origin)
    if not is_within(name, origin):
        raise BadNameError(f"{text!r} lies outside the zone: write names that end in {origin}")
    return name


def is_strange_wildcard(name: str) -> bool:
    """Tell whether an asterisk in a name makes no wildcard, as it does where it is the whole first label."""
    return "*" in name.removeprefix("*.")


def is_within(name: str, origin: str) -> bool:
    """Tell whether an absolute name is another one or lies below it."""
    return name == origin or (name.endswith(f".{origin}") and is_absolute(name[: -len(origin)]))


def parent(name: str) -> str:
    r"""Return an absolute name without its first label; a dot behind a backslash parts no labels."""
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
    """Return a zone's name in lower case, without a final dot.

    Raises:
        BadNameError: it is no domain name.

    """
    name = to_ascii(text).lower()
    if len(name) >= _LONGEST or USUAL.fullmatch(f"{name}.") is None:
        raise BadNameError(f"{text!r} is no domain name: a zone's file is called like out.example.com.yaml")
    return name
