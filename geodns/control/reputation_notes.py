"""Keeps what reputation knows as JSON text, and reads it; what makes no sense is left out."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Any, Literal, TypeVar

from geodns.errors import printable
from geodns.model.reputation import ReputationAction
from geodns.model.state import HostKey
from geodns.signals.listings import BlockListing, ListingKey
from geodns.signals.reputation import Cause, Standing, StandingKey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ignored:
    """A rule or list (None: all) that somebody overrules for a host; `until` in seconds since the epoch."""

    host: HostKey
    rule: str | None
    until: float
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """A mode that holds instead of the file's until a time in seconds since the epoch."""

    mode: Literal["observe", "act"]
    until: float
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class Notes:
    """What is kept."""

    standings: Mapping[str, Mapping[StandingKey, Standing]] = field(default_factory=dict)
    listings: Mapping[str, Mapping[ListingKey, BlockListing]] = field(default_factory=dict)
    ignored: tuple[Ignored, ...] = ()
    modes: Mapping[str, ModeOrder] = field(default_factory=dict)


def text_of(notes: Notes) -> str:
    """Return the text to keep."""
    standings = [
        _standing_row(zone, key, one) for zone, known in notes.standings.items() for key, one in known.items()
    ]
    listings = [
        _listing_row(zone, key, one) for zone, known in notes.listings.items() for key, one in known.items()
    ]
    ignored = [[*one.host, one.rule, one.until, one.author, one.reason] for one in notes.ignored]
    modes = [[zone, one.mode, one.until, one.author, one.reason] for zone, one in notes.modes.items()]
    return json.dumps(
        {
            "standings": standings,
            "listings": listings,
            "ignored": ignored,
            "modes": modes,
        }
    )


def _standing_row(zone: str, key: StandingKey, one: Standing) -> list[Any]:
    action = one.action
    says = (action.kind, action.percent, action.seconds, one.why, one.badness, one.share)
    return [zone, key.host, *key.cause, *says, one.since, one.until, one.ended]


def _listing_row(zone: str, key: ListingKey, one: BlockListing) -> list[Any]:
    codes = [str(code) for code in sorted(one.codes)]
    return [zone, key[0], str(key[1]), codes, one.text, one.since, one.rounds, one.counts]


def notes_of(text: str | None) -> Notes:
    """Read a text that was kept; rows that make no sense are left out."""
    try:
        said = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return Notes()
    if not isinstance(said, dict):
        return Notes()
    standings: dict[str, dict[StandingKey, Standing]] = {}
    for zone, key, one in _rows(said.get("standings"), _standing):
        standings.setdefault(zone, {})[key] = one
    listings: dict[str, dict[ListingKey, BlockListing]] = {}
    for zone, listing_key, listing in _rows(said.get("listings"), _listing):
        listings.setdefault(zone, {})[listing_key] = listing
    return Notes(
        standings,
        listings,
        tuple(_rows(said.get("ignored"), _ignored)),
        dict(_rows(said.get("modes"), _mode)),
    )


def _rows(rows: Any, read: Callable[..., T]) -> Iterator[T]:
    for row in rows if isinstance(rows, list) else ():
        with suppress(ValueError, TypeError, KeyError, OverflowError):
            yield read(*row)


def _time(value: Any) -> float:
    number = float(value)
    if not 0 <= number < 1e11:
        raise ValueError(value)
    return number


def _standing(
    zone: Any, host: Any, rule: Any, provider: Any, *rest: Any
) -> tuple[str, StandingKey, Standing]:
    kind, percent, seconds, why, badness, share, since, until, ended = rest
    key = StandingKey(str(host), Cause(str(rule), None if provider is None else str(provider)))
    action = ReputationAction.model_validate({"kind": kind, "percent": percent, "seconds": seconds})
    part = min(1.0, max(0.0, float(share)))
    end = None if ended is None else _time(ended)
    return (
        str(zone),
        key,
        Standing(action, printable(str(why)), float(badness), part, _time(since), _time(until), end),
    )


def _listing(
    zone: Any, name: Any, address: Any, codes: Any, text: Any, *rest: Any
) -> tuple[str, ListingKey, BlockListing]:
    since, rounds, counts = rest
    found = frozenset(IPv4Address(code) for code in codes)
    one = BlockListing(found, printable(str(text)), _time(since), int(rounds), bool(counts))
    return str(zone), (str(name), ip_address(address)), one


def _ignored(zone: Any, host: Any, rule: Any, until: Any, author: Any, reason: Any) -> Ignored:
    name = None if rule is None else str(rule)
    return Ignored((str(zone), str(host)), name, _time(until), printable(str(author)), printable(str(reason)))


def _mode(zone: Any, mode: Any, until: Any, author: Any, reason: Any) -> tuple[str, ModeOrder]:
    if mode not in {"observe", "act"}:
        raise ValueError(mode)
    return str(zone), ModeOrder(mode, _time(until), printable(str(author)), printable(str(reason)))
