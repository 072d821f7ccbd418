"""Carries operators' orders out, and ends overrides whose time is over."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.host_lookup import find_hosts
from geodns.control.order_versions import STATE, WEIGHT, OrderKey, first_order, override_of
from geodns.control.orders import (
    OrderRequest,
    OrderResult,
    OverridePlan,
    PoolChange,
    cached_for,
    dangers,
    dealt_by,
    describe_pointing,
    expired,
    hidden_edits,
    plan_order,
    pointing_at,
    preview,
    stale_weights,
)
from geodns.control.overrides import Overrides, describe_change
from geodns.control.persistence import Persistence
from geodns.control.verdict_service import VerdictService
from geodns.control.wall_clock import WallClock
from geodns.control.worker_service import WorkerService
from geodns.model.shared import SharedOrder
from geodns.model.state import Forced, ForcedState, HostKey, PoolKey
from geodns.storage.event_log import EventLog

ITSELF = "geodns"
"""The author of overrides' ends that nobody ordered."""


class OrderService:
    """Changes overrides: in the cluster, in the workers, on disk and as events."""

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        verdicts: VerdictService,
        persistence: Persistence,
        events: EventLog,
        clock: WallClock,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._verdicts = verdicts
        self._persistence = persistence
        self._events = events
        self._clock = clock

    async def carry(self, request: OrderRequest) -> OrderResult:
        """Carry an order out; return once it is on disk (or cannot be) and the workers have it, or are late.

        Raises:
            NotFoundError: there is no such host.
            AmbiguousError: several zones have a host of a short name.

        """
        order = request.order
        hosts = tuple(find_hosts(request.hosts, self._cluster.zones, request.zone))
        plan = plan_order(order, hosts, self._cluster, time.time())
        if order.seconds is not None and self._clock.was_set:
            note = (
                "the clock was set a moment ago: look in a minute whether the end in the status is as meant"
            )
            plan = replace(plan, notes=(*plan.notes, note))
        return await self._do(
            hosts, plan, order.author, order.reason, dry_run=request.dry_run, yes=request.yes
        )

    async def apply(
        self, plan: OverridePlan, author: str, reason: str, *, dry_run: bool, yes: bool
    ) -> OrderResult:
        """Carry out a plan made elsewhere, all of it or nothing.

        The author and reason are those of the events; overrides keep the ones they have in the plan.
        """
        return await self._do(tuple(sorted(plan.hosts)), plan, author, reason, dry_run=dry_run, yes=yes)

    async def _do(
        self,
        hosts: tuple[HostKey, ...],
        plan: OverridePlan,
        author: str,
        reason: str,
        *,
        dry_run: bool,
        yes: bool,
    ) -> OrderResult:
        changes = preview(self._cluster, plan)
        danger = "; ".join(dangers(self._cluster, plan, changes))
        result = self._result(hosts, plan, changes)
        if dry_run or (danger and not yes):
            return result._replace(refused=danger)
        self._override(plan, author, reason)
        # Both at once: a slow disk must not hold up the workers.
        pending, unkept = await asyncio.gather(
            self._workers.deliver(), self._persistence.orders_written(plan.hosts)
        )
        if unkept is not None:
            note = f"in force, but not kept ({unkept}): it is written as soon as it can be"
            result = result._replace(kept=False, notes=(*result.notes, note))
        return result._replace(pending=pending)

    def _result(
        self, hosts: tuple[HostKey, ...], plan: OverridePlan, changes: Mapping[PoolKey, PoolChange]
    ) -> OrderResult:
        drained = [key for key, one in plan.forced.items() if one and one.forced is Forced.DRAINED]
        pointing = pointing_at(self._cluster, drained) if drained else {}
        ttls = {host: max(one.ttl for one in records) for host, records in pointing.items()}
        return OrderResult(
            hosts,
            changes,
            notes=(*plan.notes, *(describe_pointing(*one) for one in pointing.items())),
            left=plan.left,
            dealt_by={host: dealt_by(self._cluster, host, changes) for host in hosts},
            cached_s={host: max(cached_for(self._cluster, [host]), ttls.get(host, 0)) for host in hosts},
        )

    def _override(self, plan: OverridePlan, author: str, reason: str) -> None:
        """Change the overrides at once, with events; persistence keeps them at its next write."""
        before = {host: self._overrides(host) for host in plan.hosts}
        self._cluster.override(plan.forced, plan.weights)
        self._verdicts.ignore_overridden()
        for host, state in plan.forced.items():
            self._persistence.keep_forced(host, state)
        for host, weight in plan.weights.items():
            self._persistence.keep_weight(host, weight)
        for host in sorted(plan.hosts):
            self._report(host, before[host], self._overrides(host), author, reason)

    def _overrides(self, host: HostKey) -> Overrides:
        return Overrides(self._cluster.forced.get(host), self._cluster.weights.get(host))

    def _report(self, host: HostKey, before: Overrides, after: Overrides, author: str, reason: str) -> None:
        self._events.tell(
            "forced",
            f"host {host[1]}.{host[0]}: {describe_change(before, after)} "
            f"by {author} ({reason or 'no reason'})",
            zone=host[0],
            host=host[1],
            author=author,
            reason=reason,
            data={"before": _event_data(before), "after": _event_data(after)},
        )

    # --- orders of other servers ---

    @property
    def held(self) -> dict[OrderKey, SharedOrder]:
        """Every order that is in force."""
        found: dict[OrderKey, SharedOrder] = {}
        for host, state in self._cluster.forced.items():
            found[*host, STATE] = first_order((*host, STATE), state)
        for host, weight in self._cluster.weights.items():
            found[*host, WEIGHT] = first_order((*host, WEIGHT), weight)
        return found

    async def shared_changed(self, orders: Iterable[SharedOrder]) -> None:
        """Impose what others impose, where nothing is imposed here."""
        forced: dict[HostKey, ForcedState | None] = {}
        for one in orders:
            host = (one.zone, one.host)
            if one.kind == STATE and one.content is not None and host not in self._cluster.forced:
                override = override_of(one)
                if isinstance(override, ForcedState):
                    forced[host] = override
        if forced:
            self._override(OverridePlan(forced), ITSELF, "another server imposes it")
            await asyncio.gather(self._workers.deliver(), self._persistence.written())

    # --- without an order -------------------------------------------------------------------------------

    def end_expired(self) -> bool:
        """End the overrides whose time is over, if the clock is steady; return whether there were any."""
        if not self._clock.steady:
            return False
        plan = expired(self._cluster, time.time())
        if plan.hosts:
            self._override(plan, ITSELF, "its time is over")
        return bool(plan.hosts)

    def note_edits(self) -> None:
        """Report the forced weights that begin to hide an edit of the file."""
        plan = stale_weights(self._cluster, time.time())
        for host, weight in plan.weights.items():
            if weight is not None:
                self._cluster.weights[host] = weight
                self._persistence.keep_weight(host, weight)
        weights = plan.weights.items()
        fresh = {host for host, weight in weights if weight is not None and weight.edited}
        for host, text in hidden_edits(self._cluster).items():
            if host in fresh:
                self._events.tell("forced", text, zone=host[0], host=host[1], data={"hides": True})

    def alerts(self) -> Iterator[Alert]:
        for host, text in hidden_edits(self._cluster).items():
            yield Alert(("hides", host), text, event="")  # `note_edits` does, and not again at a restart
        for host, why in sorted(self._cluster.held_back.items()):
            text = f"host {host[1]}.{host[0]}: its quarantine waits: {why}"
            yield Alert(("held back", host), text, event="")


def _event_data(one: Overrides) -> dict[str, str | int | None]:
    return {
        "forced": None if one.state is None else str(one.state.forced),
        "weight": None if one.weight is None else one.weight.weight,
    }
