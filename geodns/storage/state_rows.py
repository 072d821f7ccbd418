"""Makes rows of the state file into what they say; a row that makes no sense is a ValueError.

Anything may stand in a row: another version writes other words, and hands write what they like.
"""

import datetime as dt
import json
from typing import Any, NamedTuple

from geodns.errors import printable
from geodns.model.hosts import Host
from geodns.model.limits import MAX_WEIGHT
from geodns.model.providers import NAMES, LookedUp
from geodns.model.shared import OrderVersion, SharedOrder
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
from geodns.model.warmup import MAX_DAYS, MAX_VOLUME, WarmupStage
from geodns.storage import cells

MAX_SERIAL = 2**32 - 1
MAX_COUNT = 10**6
MAX_LEVEL = 64
"""Halvings of a weight by shedding, at most."""


GONE = 2
"""In the column `over`: an earlier version, which knows no orders, has ended what the order imposed."""


class StoredOrder(NamedTuple):
    """An order as it is kept.

    Attributes:
        over: this server has ended it, since its time was over.
        gone: an earlier version of geodns has ended what it imposed.

    """

    order: SharedOrder
    over: bool = False
    gone: bool = False


def verdict(
    target: Any, state: Any, failures: Any, successes: Any, sheds: Any, level: Any, shed_out: Any
) -> tuple[str, Verdict]:
    """Return a target's key and its verdict."""
    return cells.text(target), Verdict(
        HealthState(state),
        cells.whole(failures, MAX_COUNT),
        cells.whole(successes, MAX_COUNT),
        cells.whole(sheds, MAX_COUNT),
        cells.whole(level, MAX_LEVEL),
        bool(shed_out),
    )


def forced(
    zone: Any, host: Any, forced: Any, reason: Any, author: Any, since: Any, until: Any, badness: Any
) -> tuple[HostKey, ForcedState]:
    """Return a host and the state that is forced on it."""
    end = None if until is None else cells.time(until)
    return _host(zone, host), ForcedState(
        Forced(forced), _told(reason), _told(author), _since(since), end, _badness(badness)
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
    end = None if until is None else cells.time(until)
    changed = None if edited is None else cells.time(edited)
    return _host(zone, host), ForcedWeight(
        cells.whole(weight, MAX_WEIGHT),
        _told(reason),
        _told(author),
        _since(since),
        end,
        _weights(file),
        changed,
    )


def shared_order(
    zone: Any,
    host: Any,
    kind: Any,
    counter: Any,
    id: Any,  # noqa: A002 - the column's name
    node: Any,
    at: Any,
    content: Any,
    more: Any,
    over: Any,
) -> tuple[tuple[str, str, str], StoredOrder]:
    """Return an order's key, and the order."""
    try:
        held = None if content is None else json.loads(cells.text(content))
        further = json.loads(cells.text(more))
    except RecursionError as error:
        raise ValueError("the content is too deep") from error
    order = SharedOrder(
        zone=cells.line(zone),
        host=cells.line(host),
        kind=cells.line(kind),
        version=OrderVersion(counter=counter, id=cells.line(id)),
        node=cells.line(node),
        at=cells.time(at),
        content=held,
        more=further,
    )
    return order.key, StoredOrder(order, over == 1, over == GONE)


def _told(value: Any) -> str:
    """Return what people are told: an order must not end because of a word in its reason."""
    try:
        return printable(cells.text(value))
    except ValueError:
        return ""


def _since(value: Any) -> float:
    try:
        return cells.time(value)
    except ValueError:
        return 0.0


def _badness(value: Any) -> float | None:
    try:
        return None if value is None else cells.number(value, 100)
    except ValueError:
        return None


def _weights(file: Any) -> str:
    """Return the weights that a file gave; what cannot be read says that they are not known."""
    try:
        own, pools = json.loads(cells.text(file) or "[0, {}]")
        return str(file) if isinstance(own, int) and isinstance(pools, dict) else ""
    except (ValueError, TypeError, RecursionError):
        return ""


def zone(name: Any, digest: Any, serial: Any, text: Any, at: Any) -> tuple[str, StoredZone]:
    """Return a zone's name and what was served of it."""
    return cells.line(name), StoredZone(
        cells.line(digest), cells.whole(serial, MAX_SERIAL), cells.text(text), cells.time(at)
    )


def serial(name: Any, serial: Any) -> tuple[str, int]:
    """Return a zone's name and its last serial."""
    return cells.line(name), cells.whole(serial, MAX_SERIAL)


def host_since(zone: Any, host: Any, state: Any, since: Any) -> tuple[HostKey, HostSince]:
    """Return a host and its state."""
    return _host(zone, host), HostSince(HealthState(state), cells.time(since))


def returned(zone: Any, host: Any, at: Any) -> tuple[HostKey, float]:
    """Return a host and when it came back from down."""
    return _host(zone, host), cells.time(at)


def retired(zone: Any, host: Any, model: Any, until: Any) -> tuple[HostKey, RetiredHost]:
    """Return a host that was taken out of its file."""
    return _host(zone, host), RetiredHost(Host.model_validate_json(cells.text(model)), cells.time(until))


def found(zone: Any, source: Any, text: Any) -> tuple[tuple[str, str], str]:
    """Return a source, by zone and title, and its last list."""
    return (cells.line(zone), cells.line(source)), cells.text(text)


def warmup(
    zone: Any,
    host: Any,
    start: Any,
    day: Any,
    date: Any,
    begun: Any,
    dealt: Any,
    active: Any,
    held: Any,
    author: Any,
) -> tuple[HostKey, WarmupStage]:
    """Return a host and where it stands in its warm-up."""
    return _host(zone, host), WarmupStage(
        _date(start),
        cells.whole(day, MAX_DAYS + 1),
        _date(date),
        bool(begun),
        cells.number(dealt, MAX_VOLUME),
        cells.time(active),
        None if held is None else _told(held),
        _told(author),
    )


def _date(value: Any) -> dt.date:
    return dt.date.fromisoformat(cells.line(value))


def provider(domain: Any, provider: Any, confirmed: Any, fresh: Any) -> tuple[str, LookedUp]:
    """Return a domain and who runs its mail; a provider that this version does not know is left out."""
    if provider and provider not in NAMES:
        raise ValueError(f"{provider!r:.40} is no provider")
    return cells.line(domain), LookedUp(cells.line(provider), cells.time(confirmed), cells.time(fresh))


def note(name: Any, text: Any) -> tuple[str, str]:
    """Return a note's name and text."""
    return cells.line(name), cells.text(text)


def _host(zone: Any, host: Any) -> HostKey:
    return cells.line(zone), cells.line(host)
