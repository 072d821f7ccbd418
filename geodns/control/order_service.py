"""Carries operators' orders out, and ends overrides whose time is over."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.host_lookup import find_hosts
from geodns.control.order_book import OrderBook, OrderCause, imposed_by, is_served
from geodns.control.order_results import result_of
from geodns.control.order_sharing import Offered, OrderIds, OrderSharing, SharedTaken
from geodns.control.order_versions import (
    CLOCK_TOLERANCE,
    STATE,
    WEIGHT,
    OrderKey,
    Orders,
    describe_loss,
    newer,
    same,
    shared_now,
    whose,
)
from geodns.control.orders import (
    OrderRequest,
    OrderResult,
    OverridePlan,
    dangers,
    expired,
    hidden_edits,
    plan_order,
    pool_changes,
    stale_weights,
)
from geodns.control.overrides import Overrides, describe_change
from geodns.control.overriding import Recompiled
from geodns.control.persistence import Persistence
from geodns.control.verdict_service import VerdictService
from geodns.control.wall_clock import WallClock
from geodns.control.worker_service import WorkerService
from geodns.model.shared import SharedOrder
from geodns.model.state import HostKey
from geodns.storage.event_log import EventLog

ITSELF = "geodns"
"""The author of overrides' ends that nobody ordered."""
TRIES = 5
"""Plans of an order while others' later orders keep coming in."""
AT_ONCE = 500
"""Others' orders that are merged before others may have a turn."""
TOLD_AT_ONCE = 100
"""Events that are told before others may have a turn."""
PRUNE_EVERY = 3600.0
"""Seconds from one look for orders that may be forgotten to the next."""


class OrderService:
    """Changes overrides: in the cluster, in the workers, on disk, as events, and at the other servers."""

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        verdicts: VerdictService,
        persistence: Persistence,
        events: EventLog,
        clock: WallClock,
        node: str,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._verdicts = verdicts
        self._persistence = persistence
        self._events = events
        self._clock = clock
        self._node = node
        self._offset = 0.0
        self._book = OrderBook(persistence.orders(), cluster, node, time.time())
        self._ids = OrderIds()
        self._turn = asyncio.Lock()
        self._sharing: OrderSharing | None = None
        self._subscribers: list[Callable[[tuple[SharedOrder, ...]], None]] = []
        self._pruned = float("-inf")
        again = imposed_by(self._book.lost, cluster, 0.0)
        cluster.override(again.forced, again.weights)
        for key in self._book.fresh | self._book.lost.keys():
            self._keep(key)

    async def carry(self, request: OrderRequest) -> OrderResult:
        """Carry an order out; return once it is on disk (or cannot be) and the workers have it, or are late.

        Raises:
            NotFoundError: there is no such host.
            AmbiguousError: several zones have a host of a short name.
            UsageError: the id is that of another order.

        """
        if request.dry_run or not request.id:
            return await self._carry(request)
        return await self._ids.once(request, lambda: self._carry(request))

    async def _carry(self, request: OrderRequest) -> OrderResult:
        order = request.order
        hosts = tuple(find_hosts(request.hosts, self._cluster.zones, request.zone))

        def made() -> OverridePlan:
            plan = plan_order(order, hosts, self._cluster, self.now())
            if order.seconds is not None and self._clock.was_set:
                note = (
                    "the clock was set a moment ago: look in a minute whether the end in the status is as "
                    "meant"
                )
                plan = replace(plan, notes=(*plan.notes, note))
            return self._book.without_done(plan, request.id) if request.id else plan

        cause = OrderCause(order.author, order.reason, request.id)
        return await self._do(hosts, made, cause, request.revision, dry_run=request.dry_run, yes=request.yes)

    async def apply(
        self,
        plan: OverridePlan,
        author: str,
        reason: str,
        *,
        dry_run: bool,
        yes: bool,
        id: str = "",  # noqa: A002 - its name everywhere
    ) -> OrderResult:
        """Carry out a plan made elsewhere, all of it or nothing.

        The author and reason are those of the events; overrides keep the ones they have in the plan. What
        an order of the same id has done already is left out.
        """
        cause = OrderCause(author, reason, id)
        return await self._do(
            tuple(sorted(plan.hosts)),
            lambda: self._book.without_done(plan, id) if id else plan,
            cause,
            {},
            dry_run=dry_run,
            yes=yes,
        )

    async def _do(
        self,
        hosts: tuple[HostKey, ...],
        made: Callable[[], OverridePlan],
        cause: OrderCause,
        revision: Mapping[str, str],
        *,
        dry_run: bool,
        yes: bool,
    ) -> OrderResult:
        cause = cause if cause.id else cause._replace(id=uuid.uuid4().hex)
        approved: str | None = None
        offered = Offered()
        async with contextlib.nullcontext() if dry_run else self._turn:
            for _ in range(TRIES):
                plan = made()
                planned = await self._planned(hosts, plan)
                danger, result = planned.danger, planned.result
                if dry_run or (danger and not (yes and self._is_as_approved(danger, approved, revision))):
                    return result._replace(refused=danger, revision=self._revision(hosts))
                approved = danger
                orders = await asyncio.to_thread(self._book.made, plan, cause, self.now())
                if self._sharing is None or not orders:
                    if not self._book.outdates(orders):
                        break
                    continue
                offered = await self._sharing.offer(tuple(orders.values()))
                if not offered.moved and not self._book.outdates(orders):
                    break
            else:
                orders = self._book.made(plan, cause, self.now())
            told = self._override(plan, cause, orders, planned.recompiled)
        own = tuple(orders.values())
        # All at once: a slow disk must not hold up the workers.
        _, pending, unkept, peers = await asyncio.gather(
            _in_turns(told),
            self._workers.deliver(),
            self._persistence.orders_written(plan.hosts),
            _nobody() if self._sharing is None or not own else self._sharing.confirmed(offered.place),
        )
        if unkept is not None:
            note = f"in force, but not kept ({unkept}): it is written as soon as it can be"
            result = result._replace(kept=False, notes=(*result.notes, note))
        if offered.unasked:
            note = f"not checked against {', '.join(offered.unasked)}: a later order there may take its place"
            result = result._replace(notes=(*result.notes, note), unasked=offered.unasked)
        return result._replace(pending=pending, peers=peers, id=cause.id, revision=self._revision(hosts))

    async def _planned(self, hosts: tuple[HostKey, ...], plan: OverridePlan) -> "_Planned":
        """Work out what a plan comes to, in a thread: pools may have thousands of hosts."""
        overriding = self._cluster.overriding(plan.forced, plan.weights)
        cluster, shared = self._cluster.snapshot(), self.shared

        def work() -> _Planned:
            recompiled = overriding.compiled()
            changes = pool_changes(recompiled)
            danger = "; ".join(dangers(cluster, plan, changes))
            return _Planned(
                danger, result_of(cluster, hosts, plan, changes)._replace(shared=shared), recompiled
            )

        return await asyncio.to_thread(work)

    def _is_as_approved(self, danger: str, approved: str | None, revision: Mapping[str, str]) -> bool:
        """Tell whether a yes was to this danger: to the one found first, by the orders of now."""
        if approved is not None:
            return danger == approved
        return all(self._book.digests.zone(zone) == known for zone, known in revision.items())

    def _revision(self, hosts: Iterable[HostKey]) -> dict[str, str]:
        return {zone: self._book.digests.zone(zone) for zone in dict.fromkeys(zone for zone, _ in hosts)}

    def _override(
        self,
        plan: OverridePlan,
        cause: OrderCause,
        orders: Mapping[OrderKey, SharedOrder],
        ready: Recompiled | None = None,
    ) -> list[Callable[[], None]]:
        """Change the overrides at once; persistence keeps them at its next write. Return what tells of it."""
        before = {host: self._overrides(host) for host in plan.hosts}
        self._impose(plan, orders, 0.0, ready)
        for subscriber in self._subscribers if orders else ():
            subscriber(tuple(orders.values()))
        return [
            partial(self._report, host, before[host], self._overrides(host), cause.author, cause.reason)
            for host in sorted(plan.hosts)
        ]

    def _impose(
        self,
        plan: OverridePlan,
        orders: Mapping[OrderKey, SharedOrder],
        now: float,
        ready: Recompiled | None,
    ) -> None:
        self._book.put(orders, now)
        self._cluster.override(plan.forced, plan.weights, ready)
        self._verdicts.ignore_overridden()
        for key in dict.fromkeys([*orders, *_keys_of(plan)]):
            self._keep(key)

    def _keep(self, key: OrderKey) -> None:
        """Keep an override as it is now, and its order."""
        host, kind, stored = (key[0], key[1]), key[2], self._book.stored(key)
        if kind == STATE:
            self._persistence.keep_forced(host, self._cluster.forced.get(host), stored)
        elif kind == WEIGHT:
            self._persistence.keep_weight(host, self._cluster.weights.get(host), stored)
        elif stored is not None:
            self._persistence.keep_order(stored)

    def _overrides(self, host: HostKey) -> Overrides:
        return Overrides(self._cluster.forced.get(host), self._cluster.weights.get(host))

    def _report(
        self,
        host: HostKey,
        before: Overrides,
        after: Overrides,
        author: str,
        reason: str,
        through: str = "",
    ) -> None:
        if before == after:
            return
        self._events.tell(
            "forced",
            f"host {host[1]}.{host[0]}: {describe_change(before, after)} "
            f"by {author} ({reason or 'no reason'}){through and f' through {through}'}",
            zone=host[0],
            host=host[1],
            author=author,
            reason=reason,
            data={"before": _event_data(before), "after": _event_data(after)}
            | ({"through": through} if through else {}),
        )

    # --- other servers ----------------------------------------------------------------------------------

    @property
    def held(self) -> Mapping[OrderKey, SharedOrder]:
        """The last order of every override, those that ended one included."""
        return self._book.orders

    def is_of_another(self, host: HostKey) -> bool:
        """Tell whether what is forced on a host was ordered at another server."""
        order = self._book.orders.get((*host, STATE))
        return order is not None and order.node not in {"", self._node}

    def ended_by(self, host: HostKey) -> str | None:
        """Return who ended what was forced on a host; None: something is, or nobody did."""
        order = self._book.orders.get((*host, STATE))
        return None if order is None or order.content is not None else str(order.more.get("by", ""))

    def counter(self, host: HostKey) -> int:
        """Return the counter of the last version of what is forced on a host; 0: there was none."""
        order = self._book.orders.get((*host, STATE))
        return 0 if order is None else order.version.counter

    def revisions(self) -> Mapping[str, str]:
        """Return digests of the versions of each zone's orders: servers that hold the same share them."""
        return self._book.digests.zones()

    def digest(self) -> str:
        """Return a digest of the versions of all orders."""
        return self._book.digests.all()

    @property
    def shared(self) -> bool:
        """Whether the other servers take orders from this one."""
        return self._sharing is not None

    def share_by(self, sharing: OrderSharing | None) -> None:
        """Offer orders to the other servers this way from now on."""
        self._sharing = sharing

    def on_change(self, subscriber: Callable[[tuple[SharedOrder, ...]], None]) -> None:
        """Tell a subscriber of the orders given here, each time as they come into force."""
        self._subscribers.append(subscriber)

    def set_clock_offset(self, seconds: float) -> None:
        """Take by how much the own clock is ahead of Redis or the peers' median; 0: not known."""
        self._offset = seconds

    def now(self) -> float:
        """Return the time by which overrides end, in seconds since the epoch."""
        return shared_now(time.time(), self._offset)

    async def shared_changed(
        self, orders: Iterable[SharedOrder], source: str, *, whole: bool = False
    ) -> SharedTaken:
        """Take orders that others hold, as far as they are later; return once they are in force and on disk.

        Nobody is asked for a yes: they are imposed elsewhere already.

        Args:
            orders: of the others, those that ended an override included.
            source: who tells, for events of orders that do not say which server took them.
            whole: whether these are all that the others hold.

        """
        theirs = list(orders)
        newer_here: list[SharedOrder] = []
        wins: dict[OrderKey, SharedOrder] = {}
        lost: list[tuple[SharedOrder, SharedOrder]] = []
        for first in range(0, len(theirs), AT_ONCE):
            merged, some = self._book.merged(theirs[first : first + AT_ONCE], self.now(), wins)
            wins |= merged.changes
            lost += merged.lost
            newer_here += newer(self._book.orders, some)
            await asyncio.sleep(0)
        taken = await self._take(wins, lost, source) if wins else {}
        newer_here = [one for one in newer_here if one.key not in taken]
        if whole:
            known = {one.key for one in theirs}
            newer_here += (one for key, one in self._book.orders.items() if key not in known)
        if not taken:
            return SharedTaken(tuple(newer_here))
        hosts = {(zone, host) for zone, host, _ in taken}
        written = self._persistence.orders_written(hosts)
        pending, unkept = await asyncio.gather(self._workers.deliver(), written)
        unserved = frozenset(host for host in hosts if not is_served(self._cluster, host))
        return SharedTaken(tuple(newer_here), tuple(taken.values()), unserved, pending, unkept is None)

    async def _take(
        self, wins: Orders, lost: Iterable[tuple[SharedOrder, SharedOrder]], source: str
    ) -> Orders:
        """Impose others' orders at once, with an event for each host whose overrides change; return them."""
        # Until the clock is believed it ends nothing.
        now = self.now() if self._clock.steady else 0.0
        plan = imposed_by(wins, self._cluster, now)
        overriding = self._cluster.overriding(plan.forced, plan.weights)

        def work() -> Recompiled:
            self._book.digests.prepare(wins.values())
            return overriding.compiled()

        ready = await asyncio.to_thread(work)
        # Later ones may have come in meanwhile.
        taken = {key: one for key, one in wins.items() if not self._book.outdates({key: one})}
        if len(taken) < len(wins):
            plan = imposed_by(taken, self._cluster, now)
        old = {key: self._book.orders.get(key) for key in taken}
        before = {host: self._overrides(host) for host in plan.hosts}
        self._impose(plan, taken, now, ready)
        after = {host: self._overrides(host) for host in plan.hosts}

        def tell(key: OrderKey, order: SharedOrder) -> None:
            host, known = (key[0], key[1]), old[key]
            if host in plan.hosts and (known is None or not same(known, order)):
                was, held = before[host].only(key[2]), after[host].only(key[2])
                if was != held:
                    self._report(host, was, held, *whose(order), through=order.node or source)

        await _in_turns([partial(tell, key, order) for key, order in taken.items()])
        for loser, winner in lost:
            self._events.tell(
                "forced", describe_loss(loser, winner, source), zone=loser.zone, host=loser.host
            )
        return taken

    # --- without an order -------------------------------------------------------------------------------

    def end_expired(self) -> bool:
        """End the overrides whose time is over, if the clock is steady; return whether there were any.

        What ended too early by a clock that the other servers say was wrong is in force again.
        """
        if not self._clock.steady:
            return False
        now = self.now()
        self._prune(now)
        plan = expired(self._cluster, now)
        if plan.hosts:
            self._book.over.update(_keys_of(plan))
            _at_once(self._override(plan, OrderCause(ITSELF, "its time is over"), {}))
        early = self._book.lapsed(now) if self._book.over and abs(self._offset) > CLOCK_TOLERANCE else {}
        if early:
            again = imposed_by(early, self._cluster, now)
            self._book.over -= early.keys()
            cause = OrderCause(ITSELF, "its time is not over yet by the other servers' clocks")
            _at_once(self._override(again, cause, {}))
        return bool(plan.hosts or early)

    def _prune(self, now: float) -> None:
        if time.monotonic() - self._pruned >= PRUNE_EVERY:
            self._pruned = time.monotonic()
            for key in self._book.prune(now):
                self._persistence.forget_order(key)

    def note_edits(self) -> None:
        """Report the forced weights that begin to hide an edit of the file."""
        plan = stale_weights(self._cluster, time.time())
        for host, weight in plan.weights.items():
            if weight is not None:
                self._cluster.weights[host] = weight
                self._persistence.keep_weight(host, weight, self._book.stored((*host, WEIGHT)))
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


def _keys_of(plan: OverridePlan) -> list[OrderKey]:
    return [*((*host, STATE) for host in plan.forced), *((*host, WEIGHT) for host in plan.weights)]


class _Planned(NamedTuple):
    """A plan, worked out."""

    danger: str
    result: OrderResult
    recompiled: Recompiled


def _at_once(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()


async def _in_turns(calls: Sequence[Callable[[], None]]) -> None:
    """Make calls, a few at a time: others have their turns between."""
    for first in range(0, len(calls), TOLD_AT_ONCE):
        _at_once(calls[first : first + TOLD_AT_ONCE])
        await asyncio.sleep(0)


async def _nobody() -> tuple[str, ...]:
    return ()


def _event_data(one: Overrides) -> dict[str, str | int | None]:
    return {
        "forced": None if one.state is None else str(one.state.forced),
        "weight": None if one.weight is None else one.weight.weight,
    }
