"""Packs the rows of signals.db into bytes and back: counts, delays, and what was refused of a batch."""

import json
import zlib
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from geodns.model.mail import About, MailEvent, MailKey, MailKind

MAX_ERRORS = 100
"""Different errors of a batch that are kept word by word."""
SAID = "refused the first time, too"
"""Instead of further ones."""
MAX_UNPACKED = 64 << 20
"""Bytes of a row."""

Counts = Mapping[MailKey, int]
NestedCounts = dict[str, dict[str, dict[str, int]]]
Delays = Mapping[str, Mapping[int, int]]
"""By provider; then deliveries by bin (see `signals.delays`)."""


class Rejected(NamedTuple):
    """A signal that was not taken: its place in the batch, from 0, and why."""

    place: int
    error: str


_EVENTS = {
    MailEvent.DELIVERED: "d",
    MailEvent.DEFERRED: "f",
    MailEvent.RETRIED: "r",
    MailEvent.BOUNCED: "b",
    MailEvent.EXPIRED: "e",
    MailEvent.COMPLAINT: "c",
    MailEvent.INBOX: "i",
    MailEvent.SPAM: "s",
    MailEvent.OPENED: "o",
    MailEvent.CLICKED: "k",
}
_ABOUT = {
    None: "-",
    About.IP: "i",
    About.NETBLOCK: "n",
    About.DOMAIN: "d",
    About.CONTENT: "c",
    About.RECIPIENT: "r",
    About.RATE: "t",
    About.PASSING: "p",
    About.UNKNOWN: "u",
}
"""Letters that files keep: none is ever given another meaning."""

_CODES = {
    f"{event_letter}{about_letter}{first:d}{late:d}{dated:d}": MailKind(event, about, first, late, dated)
    for event, event_letter in _EVENTS.items()
    for about, about_letter in _ABOUT.items()
    for first in (False, True)
    for late in (False, True)
    for dated in (False, True)
}
_CODE_OF = {kind: code for code, kind in _CODES.items()}


def nested_counts(counts: Counts) -> NestedCounts:
    """Return counts as JSON has them: by egress, letters of the kind, and provider."""
    nested: NestedCounts = {}
    for (egress, provider, kind), number in counts.items():
        nested.setdefault(egress, {}).setdefault(_CODE_OF[kind], {})[provider] = number
    return nested


def packed_counts(counts: Counts) -> bytes:
    """Return counts as bytes for `unpacked_counts`."""
    return _pack(nested_counts(counts))


def unpacked_counts(packed: bytes) -> dict[MailKey, int]:
    """Return what `packed_counts` packed, or raise ValueError."""
    return counts_of(_unpack(packed))


def counts_of(nested: Any) -> dict[MailKey, int]:
    """Return what `nested_counts` nested, or raise ValueError."""
    try:
        return {
            (egress, provider, _CODES[code]): _number(number)
            for egress, codes in nested.items()
            for code, providers in codes.items()
            for provider, number in providers.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no counts: {error}") from error


def packed_delays(delays: Delays) -> bytes:
    """Return delays as bytes for `unpacked_delays`: the lowest bin, then all to the highest."""
    rows: dict[str, list[int]] = {}
    for provider, bins in delays.items():
        if bins:
            lowest = min(bins)
            row = rows[provider] = [0] * (max(bins) - lowest + 2)
            row[0] = lowest
            for place, number in bins.items():
                row[place - lowest + 1] = number
    return _pack(rows)


def unpacked_delays(packed: bytes) -> dict[str, dict[int, int]]:
    """Return what `packed_delays` packed, or raise ValueError."""
    try:
        return {provider: _bins(*values) for provider, values in _unpack(packed).items()}
    except (AttributeError, TypeError) as error:
        raise ValueError(f"no delays: {error}") from error


def _bins(lowest: Any, *numbers: Any) -> dict[int, int]:
    # The cheapest way to find what is no number or below 0: there may be a million.
    if type(lowest) is not int or set(map(type, numbers)) != {int} or min(numbers) < 0:
        raise ValueError("no delays: no bins")
    return {place: number for place, number in enumerate(numbers, lowest) if number}


def _number(given: Any) -> int:
    if type(given) is not int or given < 0:
        raise ValueError("no count")
    return given


def packed_rejected(rejected: Iterable[Rejected]) -> bytes:
    """Return as bytes the places of each error, by how far each lies behind the one before."""
    steps: dict[str, list[int]] = {}
    last: dict[str, int] = {}
    for one in sorted(rejected):
        error = one.error if one.error in steps or len(steps) < MAX_ERRORS else SAID
        steps.setdefault(error, []).append(one.place - last.get(error, 0))
        last[error] = one.place
    return _pack(steps) if steps else b""


def unpacked_rejected(packed: bytes) -> list[Rejected]:
    """Return what `packed_rejected` packed; nothing where that cannot be read."""
    try:
        found = _unpack(packed) if packed else {}
        return sorted(Rejected(place, error) for error, steps in found.items() for place in accumulate(steps))
    except (ValueError, AttributeError, TypeError):
        return []  # what counts is that the batch was taken


def _pack(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode())


def _unpack(packed: bytes) -> Any:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(packed, MAX_UNPACKED)
        if not unpacking.eof:
            raise ValueError("it is cut short")
        return json.loads(text)
    except (zlib.error, TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error
