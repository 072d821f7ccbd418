"""Merges the orders of several servers, so that all hold the same ones whatever came to each in which order.

Of each override (zone, host, kind) everybody keeps one order: that with the highest version. One that ends
an override is kept as well, or an earlier one would come back from a server that was away.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from geodns.errors import printable
from geodns.model.limits import MAX_AUTHOR, MAX_REASON, MAX_TIME
from geodns.model.shared import MAX_COUNTER, TOMBSTONE_KEPT, OrderVersion, SharedOrder
from geodns.model.state import Forced, ForcedState, ForcedWeight
from geodns.storage import state_rows
from geodns.storage.state_rows import StoredOrder

STATE = "state"
WEIGHT = "weight"
KINDS = (STATE, WEIGHT)
"""Kinds that this version imposes; others are kept, and given on."""
MAX_TAKEN = MAX_COUNTER // 2
"""The highest counter that is taken from elsewhere: what is ordered here must be able to go beyond."""
MAX_CONTENT = 16 * 1024
"""Characters of an order's content and further fields, as JSON."""
MAX_NAME = 255
MAX_NODE = 63
MAX_KEPT = 200_000
"""Orders that others may fill up to."""
CLOCK_TOLERANCE = 5.0
"""Seconds that the own clock may be off before the others' time counts."""
MOMENT = 60.0
"""Seconds by which the ends of two orders may differ that say the same."""

OrderKey = tuple[str, str, str]
"""Zone, host and kind."""
Override = ForcedState | ForcedWeight
Orders = Mapping[OrderKey, SharedOrder]


class Merged(NamedTuple):
    """The outcome of a merge.

    Attributes:
        changes: orders of others that win, by key.
        lost: own orders that gave way to another given at the same time, each with that one.
        unchanged: keys of others' orders that change nothing.

    """

    changes: dict[OrderKey, SharedOrder]
    lost: tuple[tuple[SharedOrder, SharedOrder], ...]
    unchanged: frozenset[OrderKey]


def merge(own: Orders, others: Iterable[SharedOrder], wins: Orders = MappingProxyType({})) -> Merged:
    """Find which orders of others win here; `wins` have won already, and do not hold yet."""
    changes: dict[OrderKey, SharedOrder] = {}
    seen: set[OrderKey] = set()
    for other in others:
        seen.add(other.key)
        known = changes.get(other.key) or wins.get(other.key) or own.get(other.key)
        if known is None or beats(other, known):
            changes[other.key] = other
    lost = tuple(
        (loser, winner)
        for key, winner in changes.items()
        if (loser := own.get(key)) is not None and _at_once(loser, winner) and not same(loser, winner)
    )
    return Merged(changes, lost, frozenset(seen - changes.keys()))


def newer(own: Orders, others: Iterable[SharedOrder]) -> tuple[SharedOrder, ...]:
    """Return the own orders that others hold in an earlier version."""
    highest: dict[OrderKey, SharedOrder] = {}
    for one in others:
        known = highest.get(one.key)
        if known is None or beats(one, known):
            highest[one.key] = one
    return tuple(own[key] for key, one in highest.items() if key in own and beats(own[key], one))


def rank(order: SharedOrder) -> tuple[int, str, str]:
    """Return what decides between two orders; the text only where one order was taken by two servers."""
    return (*order.version.rank, _canonical([order.content, order.at, order.node, order.more]))


def beats(one: SharedOrder, other: SharedOrder) -> bool:
    """Tell whether an order wins over another of its key."""
    mine, theirs = one.version, other.version
    if mine.counter != theirs.counter:
        return mine.counter > theirs.counter
    if mine.id != theirs.id:
        return mine.id > theirs.id
    return one is not other and one != other and rank(one) > rank(other)


def _at_once(one: SharedOrder, other: SharedOrder) -> bool:
    """Tell whether two orders were surely given without knowledge of each other."""
    return one.version.counter == other.version.counter and one.version.id != other.version.id


def same(one: SharedOrder, other: SharedOrder) -> bool:
    """Tell whether two orders impose the same, by the same author, whoever was told first."""
    if one.content is None or other.content is None:
        return one.content is other.content
    said = [
        {key: value for key, value in order.items() if key not in _TIMES}
        for order in (one.content, other.content)
    ]
    return said[0] == said[1] and _ends_alike(one.content.get("until"), other.content.get("until"))


_TIMES = {"since", "until"}


def _ends_alike(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= MOMENT
    return bool(one == other)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


# --- what a server holds --------------------------------------------------------------------------------


def next_version(known: SharedOrder | None, id: str) -> OrderVersion:  # noqa: A002 - its name everywhere
    """Return the version of a new order, one higher than the highest seen of its key."""
    return OrderVersion(counter=1 if known is None else min(known.version.counter + 1, MAX_COUNTER), id=id)


def content_of(override: Override) -> dict[str, Any]:
    """Return an override as an order's content: what all servers share, and nothing of this one."""
    if isinstance(override, ForcedState):
        own: dict[str, Any] = {"forced": str(override.forced), "badness": override.badness}
    else:
        own = {"weight": override.weight}
    whose = {"reason": override.reason, "author": override.author}
    return own | whose | {"since": override.since, "until": override.until}


def override_of(order: SharedOrder) -> Override:
    """Return the override that an order imposes.

    Raises:
        ValueError: it ends one, or says what this version does not know.

    """
    if order.content is None:
        raise ValueError("it ends an override")
    one = order.content
    reason, author = str(one.get("reason") or "")[:MAX_REASON], str(one.get("author") or "")[:MAX_AUTHOR]
    whose = (reason, author, one.get("since"), one.get("until"))
    place = order.zone, order.host
    if order.kind == STATE:
        return state_rows.forced(*place, one.get("forced"), *whose, one.get("badness"))[1]
    if order.kind == WEIGHT:
        return state_rows.forced_weight(*place, one.get("weight"), *whose, "", None)[1]
    raise ValueError(f"{order.kind!r:.40} is no kind of this version")


def first_order(key: OrderKey, override: Override) -> SharedOrder:
    """Return the order of an override that has no version: the same on every server that has it so."""
    content = content_of(override)
    id = hashlib.sha256(_canonical([*key, content]).encode()).hexdigest()[:32]  # noqa: A001 - as above
    zone, host, kind = key
    version = OrderVersion(counter=1, id=id)
    return SharedOrder(
        zone=zone, host=host, kind=kind, version=version, node="", at=override.since, content=content
    )


def whose(order: SharedOrder) -> tuple[str, str]:
    """Return the author and the reason of an order, or of an override's end."""
    found = (
        (order.more.get("by"), order.more.get("why"))
        if order.content is None
        else (order.content.get("author"), order.content.get("reason"))
    )
    author, reason = (printable(str(one or "")) for one in found)
    return author[:MAX_AUTHOR], reason[:MAX_REASON]


def describe_loss(loser: SharedOrder, winner: SharedOrder, source: str) -> str:
    """Say which order gave way to which."""
    authors = [whose(one)[0] or "somebody" for one in (loser, winner)]
    through = f" through {winner.node or source}"
    return (
        f"host {loser.host}.{loser.zone}: {_noun(loser)} by {authors[0]} gave way to {_noun(winner)} by "
        f"{authors[1]}{through}: neither server knew of the other's order"
    )


def _noun(order: SharedOrder) -> str:
    try:
        override = override_of(order)
    except ValueError:
        return "the end of what was forced" if order.content is None else "an order of a later version"
    if isinstance(override, ForcedWeight):
        return f"the weight {override.weight}"
    return _NOUNS[override.forced]


_NOUNS = {
    Forced.DRAINED: "the drain",
    Forced.QUARANTINED: "the quarantine",
    Forced.UP: "the force up",
    Forced.DOWN: "the force down",
}


def unfit(order: SharedOrder) -> str | None:
    """Return why an order from elsewhere is not to be taken; None: it is."""
    names = (*order.key, order.node)
    if not all(order.key) or not all(map(str.isprintable, names)):
        return "a name that cannot be printed"
    if any(name != name.lower() for name in names[:2]):
        return "a name in capitals"
    if order.version.counter > MAX_TAKEN or not 0 <= order.at <= MAX_TIME:
        return "a version or a time beyond all bounds"
    try:
        size = len(json.dumps([order.content, dict(order.more)], allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        return "what is no JSON"
    return "too much" if size > MAX_CONTENT else None


def is_past(order: SharedOrder, now: float) -> bool:
    """Tell whether an order, or an end of one, needs to be remembered no longer."""
    until = None if order.content is None else order.content.get("until")
    if order.content is not None and not isinstance(until, int | float):
        return False
    last = max(order.at, until) if isinstance(until, int | float) else order.at
    return last + TOMBSTONE_KEPT < now


@lru_cache(8_000)
def _number(key: OrderKey, rank: tuple[int, str]) -> int:
    text = _canonical([*key, *rank])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])


class Digests:
    """Digests of the versions of orders, of each zone and of all; a change costs no more for many orders."""

    def __init__(self, orders: Iterable[SharedOrder] = ()) -> None:
        self._sums: dict[str, int] = {}
        for order in orders:
            self.change(None, order)

    @staticmethod
    def prepare(orders: Iterable[SharedOrder]) -> None:
        """Work out, in any thread, what makes a change to these orders cheap."""
        for order in orders:
            _number(order.key, order.version.rank)

    def change(self, before: SharedOrder | None, after: SharedOrder | None) -> None:
        """Take one order instead of another; None: there was none, or is none any more."""
        for order, sign in ((before, -1), (after, 1)):
            if order is not None:
                number = _number(order.key, order.version.rank)
                self._sums[order.zone] = (self._sums.get(order.zone, 0) + sign * number) % 2**128

    def zone(self, zone: str) -> str:
        return f"{self._sums.get(zone, 0):032x}"[:16]

    def zones(self) -> dict[str, str]:
        """Return the digests of the zones that have orders."""
        return {zone: self.zone(zone) for zone, held in sorted(self._sums.items()) if held}

    def all(self) -> str:
        return f"{sum(self._sums.values()) % 2**128:032x}"[:16]


def shared_now(own: float, offset: float) -> float:
    """Return the time by which overrides end: the own, unless the others say that it is far off.

    Args:
        own: seconds since the epoch.
        offset: seconds that the own clock is ahead of Redis or the peers' median.

    """
    return own - offset if abs(offset) > CLOCK_TOLERANCE else own


# --- after a start --------------------------------------------------------------------------------------


class RestoredOrders(NamedTuple):
    """The orders that a server holds after a start.

    Attributes:
        orders: all of them, by key.
        over: keys of those that this server has ended since their time was over.
        changed: keys whose orders are not on disk as they are here.
        lost: orders whose overrides are missing although nobody has ended them.

    """

    orders: dict[OrderKey, SharedOrder]
    over: frozenset[OrderKey]
    changed: frozenset[OrderKey]
    lost: dict[OrderKey, SharedOrder]


def restored_orders(
    stored: Mapping[OrderKey, StoredOrder],
    overrides: Mapping[OrderKey, Override],
    node: str,
    now: float,
) -> RestoredOrders:
    """Return the orders of a start, those of a version of geodns that knows no versions included.

    Such a version may have imposed and ended overrides since these orders were stored, too: what is in force
    holds then, as an order given after the stored one.

    Args:
        stored: as kept beside the overrides.
        overrides: that are in force.
        node: the own name.
        now: seconds since the epoch.

    """
    orders = {key: one.order for key, one in stored.items()}
    over = {key for key, one in stored.items() if one.over}
    changed: set[OrderKey] = set()
    lost: dict[OrderKey, SharedOrder] = {}
    # A hand may have written any name into the file.
    overrides = {key: one for key, one in overrides.items() if max(map(len, key)) <= MAX_NAME}
    for key in overrides.keys() | {key for key in orders if key[2] in KINDS}:
        order, override = orders.get(key), overrides.get(key)
        if override is not None and (order is None or not _imposes(order, override)):
            first = first_order(key, override)
            orders[key] = (
                first
                if order is None
                else first.model_copy(
                    update={"version": next_version(order, first.version.id), "node": node, "at": now}
                )
            )
        elif override is None and order is not None and _is_missed(order, now) and key not in over:
            if not stored[key].gone:
                lost[key] = order
                continue
            zone, host, kind = key
            digest = hashlib.sha256(_canonical([*key, *order.version.rank]).encode()).hexdigest()
            version = next_version(order, digest[:32])
            at = max(now, order.at)
            orders[key] = SharedOrder(zone=zone, host=host, kind=kind, version=version, node=node, at=at)
        else:
            over -= {key} if override is not None else set()
            continue
        changed.add(key)
        over.discard(key)
    return RestoredOrders(orders, frozenset(over), frozenset(changed), lost)


def _imposes(order: SharedOrder, override: Override) -> bool:
    try:
        return content_of(override_of(order)) == content_of(override)
    except ValueError:
        return order.content is not None  # of a later version: what is in force here stays


def _is_missed(order: SharedOrder, now: float) -> bool:
    """Tell whether an order would be in force had nobody ended it."""
    try:
        until = override_of(order).until
    except ValueError:
        return False
    return until is None or until > now
