"""Ranges (``mx[01-04]``) and globs (``mx*``) of host names, and ranges of addresses."""

import fnmatch
import re
from collections.abc import Callable

MAX_RANGE = 10_000

_RANGE = re.compile(r"\[([0-9A-Fa-f]{1,9})-([0-9A-Fa-f]{1,9})\]")
_DECIMAL = re.compile("[0-9]+")


def has_range(text: str) -> bool:
    """Tell whether a text is meant to have a range."""
    return re.search(r"\[.*-.*\]|\[[^\]:.]*$", text) is not None


def is_glob(text: str) -> bool:
    """Tell whether a text is a pattern over names."""
    return "*" in text or "?" in text


def expand(text: str) -> tuple[str, ...]:
    """Write out a text's range; a text without one stands for itself.

    A range whose both ends are decimal digits counts in decimal, also in the last group of an IPv6 address:
    ``2001:db8::[8-11]`` is ::8, ::9, ::10, ::11, to go with ``mx[8-11]``. A letter in either end makes it
    hexadecimal: ``2001:db8::[8-b]``. An end that begins with 0 gives every number that width.

    Raises:
        ValueError: the range is not well formed, runs backwards or is too long.

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
    """Return what tells whether a name fits a glob; ``*`` is any text, ``?`` any character."""
    return re.compile(fnmatch.translate(glob.replace("[", "[[]"))).match
