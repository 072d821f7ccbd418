"""Orders of operators, carried out; what they forced for a time ends here."""

import asyncio
import time
from collections.abc import Iterator, Mapping

from geodns.control.alert_service import Alert
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
    expired,
    hidden_edits,
    plan,
    preview,
    stale_weights,
)
from geodns.control.persistence import Persistence
from geodns.control.verdict_service import VerdictService
from geodns.control.worker_service import WorkerService
from geodns.model.state import HostKey, PoolKey
from geodns.storage.event_log import EventLog

ITSELF = "geodns"
"""The author of what ends by itself."""


class OrderService:
    """Carries orders out: forced on the hosts, told, kept, and on its way to every worker."""

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        verdicts: VerdictService,
        persistence: Persistence,
        events: EventLog,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._verdicts = verdicts
        self._persistence = persistence
        self._events = events

    async def carry(self, request: OrderRequest) -> OrderResult:
        """Impose what is ordered, and return once it is on disk and every worker deals by it.

        Raises:
            NotFoundError: there is no such host.
            AmbiguousError: a host's short name, and several zones have it.

        """
        order = request.order
        hosts = tuple(find_hosts(request.hosts, self._cluster.zones, request.zone))
        what = plan(order, hosts, self._cluster, time.time())
        return await self._do(
            hosts, what, order.author, order.reason, dry_run=request.dry_run, yes=request.yes
        )

    async def apply(
        self, what: OverridePlan, author: str, reason: str, *, dry_run: bool, yes: bool
    ) -> OrderResult:
        """Force what is planned already, all of it or nothing; the authors of what it holds stay.

        Args:
            what: for which hosts.
            author: who asks.
            reason: why.
            dry_run: only work out what would be.
            yes: even if nobody in a pool is live then.

        """
        return await self._do(tuple(sorted(what.hosts)), what, author, reason, dry_run=dry_run, yes=yes)

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
        self._force(what, author, reason)
        # At once: a disk that is slow must not hold back what the workers are to know.
        pending, _ = await asyncio.gather(self._workers.deliver(), asyncio.to_thread(self._persistence.write))
        return ordered._replace(pending=pending)

    def _ordered(
        self, hosts: tuple[HostKey, ...], what: OverridePlan, changes: Mapping[PoolKey, PoolChange]
    ) -> OrderResult:
        return OrderResult(
            hosts,
            changes,
            notes=what.notes,
            left=what.left,
            dealt_by={host: dealt_by(self._cluster, host, changes) for host in hosts},
            cached_s={host: cached_for(self._cluster, [host]) for host in hosts},
        )

    def _force(self, what: OverridePlan, author: str, reason: str) -> None:
        """Impose what is planned at once, tell it, and have it kept at the keeper's next writing."""
        before = {host: self._overrides(host) for host in what.hosts}
        self._cluster.override(what.forced, what.weights)
        self._verdicts.ignore_overridden()
        for host, state in what.forced.items():
            self._persistence.keep_forced(host, state)
        for host, weight in what.weights.items():
            self._persistence.keep_weight(host, weight)
        for host in sorted(what.hosts):
            self._tell(host, before[host], self._overrides(host), author, reason)

    def _overrides(self, host: HostKey) -> Overrides:
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
            self._force(what, ITSELF, "its time is over")
        return bool(what.hosts)

    def note_edits(self) -> None:
        """Say which forced weights hide what the zone files say now, and have it kept."""
        what = stale_weights(self._cluster, time.time())
        for host, weight in what.weights.items():
            if weight is not None:
                self._cluster.weights[host] = weight
                self._persistence.keep_weight(host, weight)
        fresh = {host for host, weight in what.weights.items() if weight is not None and weight.edited}
        for host, text in hidden_edits(self._cluster).items():
            if host in fresh:
                self._events.tell("forced", text, zone=host[0], host=host[1], data={"hides": True})

    def alerts(self) -> Iterator[Alert]:
        """Return what is forced and hides what the file says, and which quarantines wait."""
        for host, text in hidden_edits(self._cluster).items():
            yield Alert(("hides", host), text, event="")  # told when it begins, and not again at a restart
        for host, why in sorted(self._cluster.held_back.items()):
            text = f"host {host[1]}.{host[0]}: its quarantine waits: {why}"
            yield Alert(("held back", host), text, event="")


def _short(one: Overrides) -> dict[str, str | int | None]:
    """Return what is imposed for programs that read events."""
    return {
        "forced": None if one.state is None else str(one.state.forced),
        "weight": None if one.weight is None else one.weight.weight,
    }
