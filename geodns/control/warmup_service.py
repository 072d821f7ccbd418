"""Warms hosts up: looks at what each was dealt and has sent, and bounds its share by its plan."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from geodns.compiler.choice import Choice, shares
from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.persistence import Persistence
from geodns.control.program_orders import Leading
from geodns.control.wall_clock import WallClock, since_boot
from geodns.control.worker_service import WorkerService
from geodns.errors import NotFoundError, UsageError
from geodns.model.mail import MailCounts, MailTally
from geodns.model.state import HostKey, PoolKey
from geodns.model.warmup import SECONDS, Warmup, WarmupStage, peak_of
from geodns.model.zone import Zone
from geodns.signals.warmup import (
    IDLE,
    Ceiling,
    Sending,
    WarmupVerb,
    ceiling_of,
    held,
    midnight,
    ordered,
    sent,
    step,
    utc_date,
)
from geodns.storage.event_log import EventLog

HOUR = 3600
DAY = 24
"""Hours for which a pool's peak is looked for."""
AT_ONCE = 6
"""Hours of a pool that one look counts, at most: that asks for every host of it."""
KEEP_EVERY = 60.0
"""Seconds from one writing of what was dealt to the next."""


@dataclass(frozen=True, slots=True)
class WarmingHost:
    """A host that warms up, as it is now.

    Attributes:
        sent: messages today, counted or by what was dealt.
        counted: whether signals say so.
        share: of its pools' answers.
        held: what holds it at its day, or keeps it from being dealt; None: nothing.
        stalled: whether that is more than the pace of the hour.
        silent: whether signals came, and come no more.

    """

    plan: Warmup
    stage: WarmupStage
    seen: Sending
    ceiling: Ceiling
    sent: float
    counted: bool
    share: Fraction
    held: str | None
    stalled: bool
    silent: bool


class WarmupOrder(NamedTuple):
    """An operator's order for one host; `day` is of `skip-to` alone."""

    verb: WarmupVerb
    reason: str
    author: str
    day: int | None = None


class WarmupResult(NamedTuple):
    """The outcome of an order: the workers that are late, and whether it is on disk."""

    pending: tuple[str, ...]
    kept: bool


class WarmupService:
    """Knows where each host stands in its warm-up.

    Attributes:
        hosts: those that warm up, or have done so and still say `warmup` in their file.

    """

    def __init__(
        self,
        cluster: Cluster,
        workers: WorkerService,
        persistence: Persistence,
        events: EventLog,
        clock: WallClock,
        counts: MailCounts,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._persistence = persistence
        self._events = events
        self._clock = clock
        self._counts = counts
        self._stages = persistence.warmups()
        self._looked = since_boot()
        self._kept = float("-inf")
        self._hours: dict[PoolKey, dict[int, int]] = {}
        """Messages of each pool whose hosts are all counted, by hour."""
        self._leading: Leading | None = None
        self._adopted: dict[HostKey, WarmupStage] = {}
        """Where orders at other servers have put hosts."""
        self.hosts: dict[HostKey, WarmingHost] = {}

    def lead_by(self, leading: Leading) -> None:
        """Move days only where this server's programs give orders; else take the stages of who does."""
        self._leading = leading

    def look(self) -> bool:
        """Take the time and what was sent; return whether any share is bounded otherwise than before.

        To be called every few seconds, and when zones have changed.
        """
        zones = [zone for zone in self._cluster.zones.values() if zone.warms]
        if not zones and not self.hosts:
            return False
        now, unset = time.time(), since_boot()
        elapsed, self._looked = unset - self._looked, unset
        self._measure(zones, now)
        dealt = _Dealt(self._cluster)
        before, self.hosts = self.hosts, {}
        for zone in zones:
            # Who is in pools that receive alone is nobody's to warm up.
            for name in (name for name, pools in zone.sending_pools_of.items() if pools):
                host = (zone.name, name)
                # Zones that were just taken up have not been served for that time.
                since = elapsed if host in before else 0.0
                self._step(zone, host, dealt, now, since)
        known = {host: one.stage for host, one in self.hosts.items()}
        # Those of hosts that left the file are kept for a while: an edit may be undone.
        left = {host: one for host, one in self._stages.items() if now - one.active < IDLE}
        self._stages = {**left, **known}
        self._report(before)
        if self._leading is not None and self._leading.leads:
            self._leading.tell_stages(known)
        if unset - self._kept >= KEEP_EVERY or _days(before) != _days(self.hosts):
            self._kept = unset
            self._persistence.keep_warmups(self._stages)
        return self._bound()

    def _bound(self) -> bool:
        """Bound the shares by the ceilings, and take those that are dealt then."""
        capped = self._cluster.set_caps(
            {
                host: frozenset(cap.provider for cap in one.plan.provider_caps)
                for host, one in self.hosts.items()
                if one.plan.provider_caps and one.plan.cap(one.stage.day) is not None
            }
        )
        moved = self._cluster.bound({host: one.ceiling.share for host, one in self.hosts.items()})
        if moved:
            dealt, zones = _Dealt(self._cluster), self._cluster.zones
            for host, one in self.hosts.items():
                seen = replace(one.seen, rate=dealt.rate(zones[host[0]], host[1]))
                self.hosts[host] = replace(one, seen=seen, share=_share(seen))
        return moved or capped

    def _step(self, zone: Zone, host: HostKey, dealt: "_Dealt", now: float, elapsed: float) -> None:
        plan = zone.host_by_name[host[1]].warmup
        if plan is None:
            return
        stage = self._stages.get(host)
        seen = self._sending(zone, host, dealt, stage, now)
        led = self._led(host, plan)
        stage = led or step(plan, stage, seen, now, elapsed, steady=self._clock.steady)
        self._show(host, plan, stage, seen, now)

    def _led(self, host: HostKey, plan: Warmup) -> WarmupStage | None:
        """Return where a host stands by what other servers say; None: it is for this one to say."""
        if self._leading is None:
            return None
        found = self._leading.ordered(host)
        if self._leading.leads:
            if found is self._adopted.get(host):
                return None
            if found is not None:
                self._adopted[host] = found
        elif found is None:
            found = self._leading.stages().get(host)
        return found if found is not None and found.start == plan.start else None

    def _show(self, host: HostKey, plan: Warmup, stage: WarmupStage, seen: Sending, now: float) -> None:
        ceiling, why = ceiling_of(plan, stage, seen, now), held(plan, stage, seen, now)
        self.hosts[host] = WarmingHost(
            plan,
            stage,
            seen,
            ceiling,
            sent(stage, seen, now),
            seen.heard is not None and not seen.silent(now),
            _share(seen),
            why or ceiling.why,
            stalled=why is not None or (ceiling.why is not None and not ceiling.paced),
            silent=seen.silent(now),
        )

    def _sending(
        self, zone: Zone, host: HostKey, dealt: "_Dealt", stage: WarmupStage | None, now: float
    ) -> Sending:
        pools = zone.sending_pools_of[host[1]]
        peaks = [self._peak((zone.name, pool.name), pool.volume) for pool in pools if pool.volume]
        seen = Sending(
            zone.volume_of(host[1]),
            sum(peaks, Fraction(0)),
            zone.dealt_ttl_of(host[1]),
            dealt.rate(zone, host[1]),
            heard=self._counts.heard(host),
        )
        if seen.heard is None:
            return seen
        today = midnight(utc_date(now))
        counted = midnight(stage.date) if stage is not None else today
        ended = MailTally() if counted == today else self._counts.total(host, counted, counted + SECONDS)
        return replace(seen, today=self._counts.total(host, today, today + SECONDS), ended=ended)

    def _measure(self, zones: list[Zone], now: float) -> None:
        """Count some more hours of the last day, of pools of whose hosts all are heard."""
        last = int(now // HOUR) - 1  # what came in within this hour and the one before may not be told yet
        wanted = range(last - DAY, last)
        before, self._hours, left = self._hours, {}, AT_ONCE
        for zone in zones:
            for pool in dict.fromkeys(one for some in zone.sending_pools_of.values() for one in some):
                hosts = [(zone.name, member.host) for member in pool.members if member.weight]
                heard = [self._counts.heard(host) for host in hosts]
                if not heard or any(one is None or now - one > HOUR for one in heard):
                    continue
                key = (zone.name, pool.name)
                known = before.get(key, {})
                hours = self._hours[key] = {hour: known[hour] for hour in wanted if hour in known}
                for hour in [hour for hour in wanted if hour not in known][:left]:
                    start = hour * HOUR
                    hours[hour] = sum(self._counts.total(one, start, start + HOUR).first for one in hosts)
                    left -= 1

    def _peak(self, pool: PoolKey, volume: int) -> Fraction:
        """Return the messages a second of a pool's busiest hour of a day, or a guess until that is known."""
        hours = self._hours.get(pool, {})
        if len(hours) < DAY:
            return peak_of(volume)
        # A quiet day says nothing of a busy one: never under the mean.
        return max(Fraction(max(hours.values()), HOUR), Fraction(volume, SECONDS))

    def _report(self, before: Mapping[HostKey, WarmingHost]) -> None:
        """Make an event of each host that came to another day of its plan."""
        for host, one in self.hosts.items():
            known = before.get(host)
            if known is not None and known.stage.day != one.stage.day:
                cap = one.plan.cap(one.stage.day)
                what = "its warm-up is over" if cap is None else f"day {one.stage.day}: {cap:,} messages"
                self._tell(host, what, {"day": one.stage.day, "cap": cap})

    def _tell(
        self,
        host: HostKey,
        what: str,
        data: Mapping[str, int | str | None],
        author: str | None = None,
        reason: str | None = None,
    ) -> None:
        self._events.tell(
            "warmup",
            f"host {host[1]}.{host[0]}: warm-up: {what}",
            level=logging.INFO,
            zone=host[0],
            host=host[1],
            author=author,
            reason=reason,
            data=data,
        )

    def describe(self) -> dict[HostKey, str]:
        """Say in a line where each host stands."""
        return {host: _described(one) for host, one in self.hosts.items()}

    # --- orders -----------------------------------------------------------------------------------------

    async def carry(self, host: HostKey, order: WarmupOrder) -> WarmupResult:
        """Carry an order out; return once it is on disk (or cannot be) and the workers have it, or are late.

        Raises:
            NotFoundError: the host does not warm up.
            UsageError: its plan has no such day.

        """
        one = self.hosts.get(host)
        if one is None:
            raise NotFoundError(f"{host[1]}.{host[0]} does not warm up: its file has no `warmup`")
        last = len(one.plan.caps)
        if (order.day is None) == (order.verb is WarmupVerb.SKIP_TO):
            raise UsageError(f"`day` is what skip-to needs, and no other order: write 1 to {last}")
        if order.day is not None and order.day > last:
            raise UsageError(
                f"`day` {order.day}: its plan has {last}: take `warmup` out of the file to end it"
            )
        now = time.time()
        stage = ordered(
            one.plan,
            one.stage,
            order.verb,
            now,
            day=order.day or 0,
            reason=order.reason,
            author=order.author,
        )
        self._stages[host] = stage
        if self._leading is not None:
            self._leading.tell_order(host, stage)
            self._adopted[host] = stage
        self._show(host, one.plan, stage, one.seen, now)
        self._persistence.keep_warmups(self._stages)
        words = f"skip-to {order.day}" if order.day else str(order.verb)
        self._tell(
            host,
            f"{words} by {order.author} ({order.reason or 'no reason'})",
            {"order": str(order.verb), "day": stage.day},
            order.author,
            order.reason,
        )
        self._bound()
        pending, _ = await asyncio.gather(self._workers.deliver(), self._persistence.written())
        return WarmupResult(pending, kept=self._persistence.trouble is None)

    # --- alerts -----------------------------------------------------------------------------------------

    def alerts(self) -> Iterator[Alert]:
        for host, one in sorted(self.hosts.items(), key=lambda item: item[0]):
            if not one.plan.cap(one.stage.day) or not one.stalled:
                continue
            name = f"warm-up of {host[1]}.{host[0]}"
            ordered_ = one.stage.held is not None
            silent = one.silent and not ordered_
            since = f" (last {timestamp(one.seen.heard)})" if silent and one.seen.heard is not None else ""
            yield Alert(
                ("warmup", host),
                f"{name}, day {one.stage.day}: {one.held}{since}",
                kind="warmup",
                event="" if ordered_ else None,
                resolved="" if ordered_ else f"{name}: nothing holds it any more",
                grade="silent" if silent else "held",
                hosts=(host,),
                data={"day": one.stage.day, "silent": silent},
            )


class _Dealt:
    """The shares that pools deal now, each worked out once; the largest of a host's families counts."""

    def __init__(self, cluster: Cluster) -> None:
        self._choices = cluster.compiled.choices
        self._known: dict[PoolKey, dict[str, Fraction]] = {}

    def rate(self, zone: Zone, host: str) -> Fraction:
        """Return the messages a day that the shares of a host's pools bring it."""
        parts = (
            self._share((zone.name, pool.name), host) * (pool.volume or 0)
            for pool in zone.sending_pools_of[host]
        )
        return sum(parts, Fraction(0))

    def _share(self, pool: PoolKey, host: str) -> Fraction:
        if pool not in self._known:
            self._known[pool] = _largest(self._choices[pool]) if pool in self._choices else {}
        return self._known[pool].get(host, Fraction(0))


def _share(seen: Sending) -> Fraction:
    return seen.rate / seen.volume if seen.volume else Fraction(0)


def _largest(choice: Choice) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for deal in (*choice.families.values(), choice.mx):
        for host, share in shares(deal.dealt).items():
            found[host] = max(share, found.get(host, Fraction(0)))
    return found


def _described(one: WarmingHost) -> str:
    cap, last = one.plan.cap(one.stage.day), len(one.plan.caps)
    if cap is None:
        return "its warm-up is over"
    bound = f", at most {float(one.ceiling.share):.2%} of the answers" if one.ceiling.share else ""
    why = f": {one.held}" if one.held else ""
    return f"warm-up, day {one.stage.day} of {last}, {cap:,} messages{bound}{why}"


def _days(hosts: Mapping[HostKey, WarmingHost]) -> dict[HostKey, tuple[int, bool]]:
    return {host: (one.stage.day, one.stage.begun) for host, one in hosts.items()}
