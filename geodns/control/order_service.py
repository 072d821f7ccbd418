"""What operators order, carried out: imposed on the hosts, told, kept, and on its way to every worker."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from geodns.api import state as state_
from geodns.api.bodies import StateJson
from geodns.api.hosts import pools_json
from geodns.api.json_types import Json
from geodns.control.cluster import Cluster
from geodns.control.host_lookup import find_hosts
from geodns.control.orders import (
    OrderRequest,
    OrderResult,
    OverridePlan,
    Overrides,
    PoolChange,
    cached_for,
    dangers,
    dealt_by,
    describe_change,
    describe_state,
    describe_weight,
    expired,
    hidden_edits,
    plan,
    preview,
    stale_weights,
)
from geodns.control.persistence import Persistence
from geodns.model.state import HostKey, PoolKey
from geodns.model.zone import Zone
from geodns.storage.event_log import EventLog

ITSELF = "geodns"
"""The author of what ends by itself."""


class OrderService:
    """Carries orders out.

    Args:
        cluster: what is served.
        keeper: keeps what is imposed.
        events: tells it.
        ignore_hosts: called with the hosts that an operator may be working on.
        deliver: brings what is served now to the workers; returns those that have not taken it in time.

    """

    def __init__(
        self,
        cluster: Cluster,
        keeper: Persistence,
        events: EventLog,
        *,
        ignore_hosts: Callable[[set[HostKey]], None],
        deliver: Callable[[], Coroutine[Any, Any, tuple[str, ...]]],
    ) -> None:
        self._cluster = cluster
        self._keeper = keeper
        self._events = events
        self._ignore_hosts = ignore_hosts
        self._deliver = deliver

    async def carry(self, wish: OrderRequest) -> OrderResult:
        """Impose what is ordered, and return once it is on disk and every worker deals by it.

        Raises:
            NotFoundError: there is no such host.
            AmbiguousError: a host's short name, and several zones have it.

        """
        hosts = tuple(find_hosts(wish.hosts, self._zones(), wish.zone))
        what = plan(wish.order, hosts, self._cluster, time.time())
        return await self._do(
            hosts, what, wish.order.author, wish.order.reason, dry_run=wish.dry_run, yes=wish.yes
        )

    def _zones(self) -> dict[str, Zone]:
        return {name: source.zone for name, source in self._cluster.sources.items()}

    async def _do(
        self,
        hosts: tuple[HostKey, ...],
        what: OverridePlan,
        author: str,
        reason: str,
        *,
        dry_run: bool,
        yes: bool,
    ) -> OrderResult:
        changes = preview(self._cluster, what)
        danger = "; ".join(dangers(changes))
        ordered = self._ordered(hosts, what, changes)
        if dry_run or (danger and not yes):
            return ordered._replace(refused=danger)
        self._impose(what, author, reason)
        # At once: a disk that is slow must not hold back what the workers are to know.
        pending, _ = await asyncio.gather(self._deliver(), asyncio.to_thread(self._keeper.write))
        return ordered._replace(pending=pending)

    def _ordered(
        self, hosts: tuple[HostKey, ...], what: OverridePlan, changes: Mapping[PoolKey, PoolChange]
    ) -> OrderResult:
        return OrderResult(
            hosts,
            pools_json(changes),
            notes=what.notes,
            left=what.left,
            dealt_by={host: dealt_by(self._cluster, host, changes) for host in hosts},
            cached_s={host: cached_for(self._cluster, [host]) for host in hosts},
        )

    def _impose(self, what: OverridePlan, author: str, reason: str) -> None:
        """Impose what is planned at once, tell it, and have it kept at the keeper's next writing."""
        before = {host: self._imposed(host) for host in what.hosts}
        self._cluster.impose(what.forced, what.weights)
        self.aside()
        for host, state in what.forced.items():
            self._keeper.keep_forced(host, state)
        for host, weight in what.weights.items():
            self._keeper.keep_weight(host, weight)
        for host in sorted(what.hosts):
            self._tell(host, before[host], self._imposed(host), author, reason)

    def aside(self) -> None:
        """Let the hosts that an operator may be working on count for nothing where hosts fail together."""
        resting = {host for host, one in self._cluster.weights.items() if one.weight == 0}
        self._ignore_hosts(self._cluster.forced.keys() | resting)

    def _imposed(self, host: HostKey) -> Overrides:
        return Overrides(self._cluster.forced.get(host), self._cluster.weights.get(host))

    def _tell(self, host: HostKey, before: Overrides, after: Overrides, author: str, reason: str) -> None:
        self._events.tell(
            "forced",
            f"host {host[1]}.{host[0]}: {describe_change(before, after)} "
            f"by {author} ({reason or 'no reason'})",
            zone=host[0],
            host=host[1],
            author=author,
            reason=reason,
            data={"before": _short(before), "after": _short(after)},
        )

    # --- what happens by itself -------------------------------------------------------------------------

    def end_expired(self) -> bool:
        """End what was imposed for a time that is over; say whether there was any."""
        what = expired(self._cluster, time.time())
        if what.hosts:
            self._impose(what, ITSELF, "its time is over")
        return bool(what.hosts)

    def note_edits(self) -> None:
        """Say which forced weights hide what the zone files say now, and have it kept."""
        what = stale_weights(self._cluster, time.time())
        for host, weight in what.weights.items():
            if weight is not None:
                self._cluster.weights[host] = weight
                self._keeper.keep_weight(host, weight)
        fresh = {host for host, weight in what.weights.items() if weight is not None and weight.edited}
        for host, text in hidden_edits(self._cluster).items():
            if host in fresh:
                self._events.tell("forced", text, zone=host[0], host=host[1], data={"hides": True})

    def warnings(self) -> list[str]:
        """Return what an operator should know."""
        back = [
            f"host {host[1]}.{host[0]}: its quarantine waits: {why}"
            for host, why in sorted(self._cluster.held_back.items())
        ]
        return [*hidden_edits(self._cluster).values(), *back]

    # --- all of it at once ------------------------------------------------------------------------------

    def export(self, node: str) -> StateJson:
        """Return everything that is imposed."""
        return state_.export(self._cluster, node, time.time())

    async def bring(
        self, body: StateJson, author: str, *, dry_run: bool, yes: bool
    ) -> tuple[OrderResult, Json]:
        """Impose what an export says, all of it or nothing.

        Args:
            body: the export.
            author: who asks; the authors of what it holds stay.
            dry_run: only work out what would be.
            yes: even if nobody in a pool is live then.

        Returns:
            What has become of it, and how many of its entries there were of what kind.

        """
        found = state_.read(body, self._cluster, time.time())
        what = found.plan
        ordered = await self._do(
            tuple(sorted(what.hosts)), what, author, "import-state", dry_run=dry_run, yes=yes
        )
        lines = [
            f"{host[1]}.{host[0]}: {describe_state(one)}"
            for host, one in what.forced.items()
            if one is not None
        ] + [
            f"{host[1]}.{host[0]}: {describe_weight(one)}"
            for host, one in what.weights.items()
            if one is not None
        ]
        return ordered, {
            "imposed": sorted(lines),
            "expired": list(found.expired),
            "unknown": list(found.unknown),
        }


def _short(one: Overrides) -> Json:
    """Return what is imposed for programs that read events."""
    return {
        "forced": None if one.state is None else str(one.state.forced),
        "weight": None if one.weight is None else one.weight.weight,
    }
