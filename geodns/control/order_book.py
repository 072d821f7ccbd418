"""Holds the order of every override that this server knows, and says what each imposes here."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from geodns.control.cluster import Cluster
from geodns.control.order_versions import (
    KINDS,
    MAX_KEPT,
    MAX_NODE,
    STATE,
    WEIGHT,
    Digests,
    Merged,
    OrderKey,
    Orders,
    Override,
    beats,
    content_of,
    is_past,
    merge,
    next_version,
    override_of,
    restored_orders,
    unfit,
)
from geodns.control.orders import OverridePlan
from geodns.control.overrides import file_weights
from geodns.model.shared import SharedOrder
from geodns.model.state import ForcedState, ForcedWeight, HostKey
from geodns.storage.state_rows import StoredOrder

MOST_SEEN = 10_000
"""Orders whose ids are remembered after others have replaced them."""


class OrderCause(NamedTuple):
    """Who changes overrides, why, and by which order; `id` empty: by none."""

    author: str
    reason: str
    id: str = ""


class OrderBook:
    """The orders of all overrides, with those that ended them.

    Attributes:
        orders: by key.
        over: keys of those that this server has ended, since their time was over.
        fresh: keys of those that a start found or made otherwise than they are on disk.
        lost: orders of the start whose overrides were missing on disk although nobody had ended them.
        digests: of their versions.

    """

    def __init__(
        self, stored: Mapping[OrderKey, StoredOrder], cluster: Cluster, node: str, now: float
    ) -> None:
        overrides: dict[OrderKey, Override] = {}
        overrides |= {(*host, STATE): one for host, one in cluster.forced.items()}
        overrides |= {(*host, WEIGHT): one for host, one in cluster.weights.items()}
        self._node = node[:MAX_NODE]
        restored = restored_orders(stored, overrides, self._node, now)
        self.orders = dict(restored.orders)
        self.over = set(restored.over)
        self.fresh = restored.changed
        self.lost = restored.lost
        self._seen: dict[tuple[str, OrderKey], None] = {}
        self.digests = Digests(self.orders.values())

    def stored(self, key: OrderKey) -> StoredOrder | None:
        order = self.orders.get(key)
        return None if order is None else StoredOrder(order, key in self.over)

    def made(self, plan: OverridePlan, cause: OrderCause, now: float) -> dict[OrderKey, SharedOrder]:
        """Return the orders that a plan comes to; not yet in the book."""
        changes: list[tuple[OrderKey, Override | None]] = [
            *(((*host, STATE), state) for host, state in plan.forced.items()),
            *(((*host, WEIGHT), weight) for host, weight in plan.weights.items()),
        ]
        found = {}
        for key, override in changes:
            known, ready = self.orders.get(key), plan.orders.get(key)
            if ready is not None and (known is None or not beats(known, ready)):
                found[key] = ready
                continue
            zone, host, kind = key
            found[key] = SharedOrder(
                zone=zone,
                host=host,
                kind=kind,
                version=next_version(known, cause.id),
                node=self._node,
                # An end is not forgotten before what it ended.
                at=now if known is None else max(now, known.at),
                content=None if override is None else content_of(override),
                more={"by": cause.author, "why": cause.reason} if override is None else {},
            )
        self.digests.prepare(found.values())
        return found

    def outdates(self, orders: Orders) -> bool:
        """Tell whether an order has come in meanwhile that is as late as one of these."""
        held = ((self.orders.get(key), order) for key, order in orders.items())
        return any(known is not None and beats(known, order) for known, order in held)

    def put(self, orders: Mapping[OrderKey, SharedOrder], now: float) -> None:
        """Hold these orders from now on."""
        for key, order in orders.items():
            old = self.orders.get(key)
            if old is not None:
                self._seen[old.version.id, key] = None
            self.orders[key] = order
            self.digests.change(old, order)
            if _is_over(order, now):
                self.over.add(key)
            else:
                self.over.discard(key)
        while len(self._seen) > MOST_SEEN:
            self._seen.pop(next(iter(self._seen)))

    def without_done(self, plan: OverridePlan, id: str) -> OverridePlan:  # noqa: A002 - its name everywhere
        """Return a plan without what an order of this id has done already, here or at another server."""

        def done(key: OrderKey) -> bool:
            held = self.orders.get(key)
            return (held is not None and held.version.id == id) or (id, key) in self._seen

        forced = {host: one for host, one in plan.forced.items() if not done((*host, STATE))}
        weights = {host: one for host, one in plan.weights.items() if not done((*host, WEIGHT))}
        if len(forced) == len(plan.forced) and len(weights) == len(plan.weights):
            return plan
        return replace(plan, forced=forced, weights=weights, notes=())

    def merged(
        self, orders: Iterable[SharedOrder], now: float, wins: Orders = MappingProxyType({})
    ) -> tuple[Merged, tuple[SharedOrder, ...]]:
        """Find which orders of others win here; return with it those that were looked at.

        What makes no sense is left out, and what everybody may have forgotten.

        Args:
            orders: of others.
            now: seconds since the epoch.
            wins: orders that are about to be put into the book.

        """
        found, room = [], MAX_KEPT - len(self.orders) - len(wins)
        for one in orders:
            known = wins.get(one.key) or self.orders.get(one.key)
            if known is not None:
                if not beats(one, known) or unfit(one) is None:
                    found.append(one)
            elif room > 0 and unfit(one) is None and not is_past(one, now):
                room -= 1
                found.append(one)
        return merge(self.orders, found, wins), tuple(found)

    def prune(self, now: float) -> list[OrderKey]:
        """Forget what nobody needs any more; return its keys."""
        gone = [key for key, order in self.orders.items() if is_past(order, now)]
        for key in gone:
            self.digests.change(self.orders.pop(key), None)
            self.over.discard(key)
        return gone

    def lapsed(self, now: float) -> dict[OrderKey, SharedOrder]:
        """Return the orders that this server has ended too early by a wrong clock."""
        return {key: self.orders[key] for key in self.over if not _is_over(self.orders[key], now)}


def imposed_by(changes: Orders, cluster: Cluster, now: float) -> OverridePlan:
    """Plan what others' orders come to here; what this version does not know leaves all as it is."""
    forced: dict[HostKey, ForcedState | None] = {}
    weights: dict[HostKey, ForcedWeight | None] = {}
    for (zone, name, kind), order in changes.items():
        host = (zone, name)
        if kind not in KINDS:
            continue
        try:
            override = None if order.content is None or _is_over(order, now) else override_of(order)
        except ValueError:
            continue
        if isinstance(override, ForcedWeight):
            weights[host] = replace(override, file=_file_weights(cluster, host))
        elif override is not None:
            forced[host] = override
        elif kind == STATE and host in cluster.forced:
            forced[host] = None
        elif kind == WEIGHT and host in cluster.weights:
            weights[host] = None
    return OverridePlan(forced, weights)


def _is_over(order: SharedOrder, now: float) -> bool:
    until: Any = None if order.content is None else order.content.get("until")
    return isinstance(until, int | float) and until <= now


def _file_weights(cluster: Cluster, host: HostKey) -> str:
    return file_weights(cluster.zone(host[0]), host[1]) if is_served(cluster, host) else ""


def is_served(cluster: Cluster, host: HostKey) -> bool:
    """Tell whether a zone that is served here has a host."""
    source = cluster.sources.get(host[0])
    return source is not None and host[1] in source.zone.host_by_name
