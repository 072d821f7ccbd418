"""Holds the order of every override that this server knows, and says what each imposes here."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from geodns.control.cluster import Cluster
from geodns.control.order_versions import (
    KINDS,
    MAX_KEPT,
    STATE,
    WEIGHT,
    Merged,
    OrderKey,
    Orders,
    Override,
    content_of,
    digest,
    is_past,
    merge,
    next_version,
    override_of,
    rank,
    restored_orders,
    revisions,
    unfit,
)
from geodns.control.orders import OverridePlan
from geodns.control.overrides import file_weights
from geodns.model.shared import SharedOrder
from geodns.model.state import ForcedState, ForcedWeight, HostKey
from geodns.storage.state_rows import StoredOrder

MOST_SEEN = 10_000
"""Orders whose ids are remembered after others have replaced them."""


class Cause(NamedTuple):
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

    """

    def __init__(
        self, stored: Mapping[OrderKey, StoredOrder], cluster: Cluster, node: str, now: float
    ) -> None:
        overrides: dict[OrderKey, Override] = {}
        overrides |= {(*host, STATE): one for host, one in cluster.forced.items()}
        overrides |= {(*host, WEIGHT): one for host, one in cluster.weights.items()}
        restored = restored_orders(stored, overrides, node, now)
        self.orders = dict(restored.orders)
        self.over = set(restored.over)
        self.fresh = restored.changed
        self._node = node
        self._seen: dict[tuple[str, OrderKey], None] = {}
        self._revisions: dict[str, str] | None = None
        self._digest = ""

    def stored(self, key: OrderKey) -> StoredOrder | None:
        order = self.orders.get(key)
        return None if order is None else StoredOrder(order, key in self.over)

    def revisions(self) -> Mapping[str, str]:
        """Return digests of the versions of each zone's orders."""
        if self._revisions is None:
            self._revisions = revisions(self.orders)
            self._digest = digest(self.orders)
        return self._revisions

    def revision(self, zone: str) -> str:
        return self.revisions().get(zone) or revisions({}, (zone,))[zone]

    def digest(self) -> str:
        """Return a digest of the versions of all orders."""
        self.revisions()
        return self._digest

    def made(self, plan: OverridePlan, cause: Cause, now: float) -> dict[OrderKey, SharedOrder]:
        """Return the orders that a plan comes to; not yet in the book."""
        changes: list[tuple[OrderKey, Override | None]] = [
            *(((*host, STATE), state) for host, state in plan.forced.items()),
            *(((*host, WEIGHT), weight) for host, weight in plan.weights.items()),
        ]
        found = {}
        for key, override in changes:
            known, ready = self.orders.get(key), plan.orders.get(key)
            if ready is not None and (known is None or rank(known) <= rank(ready)):
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
        return found

    def outdates(self, orders: Orders) -> bool:
        """Tell whether an order has come in meanwhile that is as late as one of these."""
        held = ((self.orders.get(key), order) for key, order in orders.items())
        return any(known and known != order and rank(known) > rank(order) for known, order in held)

    def put(self, orders: Mapping[OrderKey, SharedOrder]) -> None:
        for key, order in orders.items():
            old = self.orders.get(key)
            if old is not None:
                self._seen[old.version.id, key] = None
            self.orders[key] = order
            self.over.discard(key)
        while len(self._seen) > MOST_SEEN:
            self._seen.pop(next(iter(self._seen)))
        self._revisions = None

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

    def merged(self, orders: Iterable[SharedOrder], now: float) -> tuple[Merged, tuple[SharedOrder, ...]]:
        """Find which orders of others win here; return with it those that were looked at.

        What makes no sense is left out, and what everybody may have forgotten.
        """
        found, room = [], MAX_KEPT - len(self.orders)
        for one in orders:
            known = one.key in self.orders
            if unfit(one) is None and (known or (room > 0 and not is_past(one, now))):
                room -= not known
                found.append(one)
        return merge(self.orders, found), tuple(found)

    def prune(self, now: float) -> list[OrderKey]:
        """Forget what nobody needs any more; return its keys."""
        gone = [key for key, order in self.orders.items() if is_past(order, now)]
        for key in gone:
            del self.orders[key]
            self.over.discard(key)
        self._revisions = None if gone else self._revisions
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
