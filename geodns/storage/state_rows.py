"""Makes rows of the state file into what they say; a row that makes no sense is a ValueError.

Anything may stand in a row: another version writes other words, and hands write what they like.
"""

import json
from typing import Any

from geodns.model.hosts import Host
from geodns.model.limits import MAX_WEIGHT
from geodns.model.state import (
    Forced,
    ForcedState,
    ForcedWeight,
    HealthState,
    HostKey,
    HostSince,
    RetiredHost,
    StoredZone,
    Verdict,
)

MAX_TIME = 4e9
"""Seconds since the epoch, in the year 2096: later times are slips of a hand."""
MAX_SERIAL = 2**32 - 1
MAX_COUNT = 10**6
MAX_LEVEL = 64
"""How often a weight can have been halved."""


def verdict(
    target: Any, state: Any, failures: Any, successes: Any, sheds: Any, level: Any, shed_out: Any
) -> tuple[str, Verdict]:
    """Return a target's key and its verdict."""
    return _text(target), Verdict(
        HealthState(state),
        _whole(failures, MAX_COUNT),
        _whole(successes, MAX_COUNT),
        _whole(sheds, MAX_COUNT),
        _whole(level, MAX_LEVEL),
        bool(shed_out),
    )


def forced(
    zone: Any, host: Any, forced: Any, reason: Any, author: Any, since: Any, until: Any, badness: Any
) -> tuple[HostKey, ForcedState]:
    """Return a host and the state that is forced on it."""
    end = None if until is None else _time(until)
    bad = None if badness is None else _number(badness, 100)
    return _host(zone, host), ForcedState(
        Forced(forced), _line(reason), _line(author), _time(since), end, bad
    )


def forced_weight(
    zone: Any,
    host: Any,
    weight: Any,
    reason: Any,
    author: Any,
    since: Any,
    until: Any,
    file: Any,
    edited: Any,
) -> tuple[HostKey, ForcedWeight]:
    """Return a host and the weight that is forced on it."""
    end = None if until is None else _time(until)
    changed = None if edited is None else _time(edited)
    return _host(zone, host), ForcedWeight(
        _whole(weight, MAX_WEIGHT), _line(reason), _line(author), _time(since), end, _weights(file), changed
    )


def _weights(file: Any) -> str:
    """Return the weights that a file gave; what cannot be read says that they are not known."""
    try:
        own, pools = json.loads(_text(file) or "[0, {}]")
        return str(file) if isinstance(own, int) and isinstance(pools, dict) else ""
    except (ValueError, TypeError, RecursionError):
        return ""


def zone(name: Any, digest: Any, serial: Any, text: Any, at: Any) -> tuple[str, StoredZone]:
    """Return a zone's name and what was served of it."""
    return _line(name), StoredZone(_line(digest), _whole(serial, MAX_SERIAL), _text(text), _time(at))


def serial(name: Any, serial: Any) -> tuple[str, int]:
    """Return a zone's name and its last serial."""
    return _line(name), _whole(serial, MAX_SERIAL)


def host_since(zone: Any, host: Any, state: Any, since: Any) -> tuple[HostKey, HostSince]:
    """Return a host and its state."""
    return _host(zone, host), HostSince(HealthState(state), _time(since))


def returned(zone: Any, host: Any, at: Any) -> tuple[HostKey, float]:
    """Return a host and when it came back from down."""
    return _host(zone, host), _time(at)


def retired(zone: Any, host: Any, model: Any, until: Any) -> tuple[HostKey, RetiredHost]:
    """Return a host that was taken out of its file."""
    return _host(zone, host), RetiredHost(Host.model_validate_json(_text(model)), _time(until))


def found(zone: Any, source: Any, text: Any) -> tuple[tuple[str, str], str]:
    """Return a source, by zone and title, and its last list."""
    return (_line(zone), _line(source)), _text(text)


def note(name: Any, text: Any) -> tuple[str, str]:
    """Return a note's name and text."""
    return _line(name), _text(text)


def _host(zone: Any, host: Any) -> HostKey:
    return _line(zone), _line(host)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")  # noqa: TRY004 - as everything that makes no sense
    value.encode()  # raises a ValueError
    return value


def _line(value: Any) -> str:
    if not _text(value).isprintable():
        raise ValueError(f"{value!r:.40} is no line that can be printed")
    return str(value)


def _number(value: Any, most: float) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError(f"{value!r:.40} is no number from 0 to {most:g}")
    return value


def _time(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 <= value <= MAX_TIME:
        raise ValueError(f"{value!r:.40} is no time in seconds since 1970")
    return value


def _whole(value: Any, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r:.40} is no whole number from 0 to {most}")
    return value
