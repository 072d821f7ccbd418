"""Probes the hosts, serves their verdicts, and reports changes of state and doubts of the prober.

Verdicts that come together are one recompilation: the first at once, then at most one a second.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from geodns.config.report import first_names
from geodns.config.settings import Settings
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster, Transition
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.control.tasks import Tasks
from geodns.control.verdict_alerts import (
    MOST_CHECKS,
    certificate_alerts,
    deferral_alerts,
    family_alerts,
    pool_alerts,
    prober_alerts,
    remark_alerts,
    suspect_alerts,
)
from geodns.control.worker_service import WorkerService
from geodns.errors import printable
from geodns.health.mass_failure import News, Suspect
from geodns.health.monitor import Monitor
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.health.pool_watch import GuardStage, watched_pools
from geodns.health.probe import own_name
from geodns.model.base import Family, family_of
from geodns.model.checks import Target
from geodns.model.state import NOTHING_KNOWN, HealthState, HostKey, PoolKey, Verdict
from geodns.model.zone import Zone
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)

RECOMPILE_EVERY = 1.0
"""Seconds between two recompilations for verdicts."""

_GUARD_NEWS = {
    GuardStage.HOLDING: "{} of its {} hosts fell silent at once ({}): the prober itself may be cut off, "
    "so their verdicts are held",
    GuardStage.COUNTING: "{} of its {} hosts are silent still ({}): they count as failures from now on",
    GuardStage.NORMAL: "most of its hosts are reached again, its verdicts are no longer in doubt",
}

OnProbe = Callable[[Target, ProbeOutcome], None]


class Agreement(Protocol):
    """The other servers' part in a verdict, which is asked before one's own is believed.

    It gives what is to be served to `VerdictService.believe`.
    """

    def follow(self, targets: Mapping[Target, AbstractSet[str]], stored: Mapping[Target, Verdict]) -> None:
        """Share these targets, each with the zones that have it; `stored` is what was served of new ones."""

    def probed(self, target: Target, kind: ProbeResult, before: Verdict, after: Verdict) -> None:
        """Take the end of an own probe, and the own verdict before and after it."""

    def judged(self, verdicts: Mapping[Target, Verdict]) -> None:
        """Take own verdicts that changed without a probe of theirs, or a pool's `hold` that did."""

    def look(self) -> None:
        """Give what is to be served now, without waiting for more."""

    def reason(self, target: Target) -> str:
        """Say who made a verdict that is not this server's own; empty: it is."""
        ...


class VerdictService:
    """Carries verdicts from the monitor, which it owns, to the cluster."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        workers: WorkerService,
        persistence: Persistence,
        events: EventLog,
        metrics: Metrics,
        tasks: Tasks,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._persistence = persistence
        self._events = events
        self._metrics = metrics
        self._tasks = tasks
        self._subscribers: list[OnProbe] = []
        self._agreement: Agreement | None = None
        self._monitor = Monitor(
            self._on_result,
            on_ruling=self._on_decision,
            ehlo=settings.ehlo or own_name(),
            concurrency=settings.probe_concurrency,
            rng=random.Random(),  # noqa: S311 - spreads probes
        )
        self._unserved: dict[Target, Verdict] = {}
        """Verdicts that the cluster does not have yet."""
        self._due: asyncio.TimerHandle | None = None
        self._recompiled = -RECOMPILE_EVERY

    def subscribe(self, on_probe: OnProbe) -> None:
        """Have a function called with every probe's result."""
        self._subscribers.append(on_probe)

    def agree_by(self, agreement: Agreement) -> None:
        """Ask the other servers before own verdicts are believed."""
        self._agreement = agreement

    # --- targets ----------------------------------------------------------------------------------------

    async def first_round(self, zones: Iterable[Zone], limit: float) -> None:
        """Probe the hosts of the first zones until all have a verdict, or for so many seconds."""
        zones = list(zones)
        targets = {
            target
            for zone in zones
            for addresses in zone.targets_by_host.values()
            for some in addresses.values()
            for target in some
        }
        known = self._persistence.verdicts(targets, time.time())
        self._cluster.verdicts.update(known)
        self.ignore_overridden()
        self._monitor.set_targets(targets, known, watched_pools(zones))
        if self._agreement is not None:
            self._agreement.follow(_zones_of(zones), known)
        await self._monitor.first_round(limit)
        if self._agreement is not None:
            self._agreement.look()
        self._hand_over()

    def prepare(self, zones: Iterable[Zone]) -> None:
        """Work out what `follow` takes of zones, in a thread: with many addresses it holds the loop up."""
        if self._agreement is not None:
            for target in _zones_of(zones):
                target.shared_key  # noqa: B018 # which it keeps

    def follow(self) -> None:
        """Probe the hosts of the zones that are served now."""
        pools = watched_pools(self._cluster.zones.values())
        self._monitor.set_targets(self._cluster.targets, self._cluster.verdicts, pools)
        if self._agreement is not None:
            zones = {
                target: {zone for zone, _ in self._cluster.hosts_of(target)}
                for target in self._cluster.targets
            }
            self._agreement.follow(zones, self._cluster.verdicts)

    def ignore_overridden(self) -> None:
        """Let hosts that an operator may be working on not count as failing together."""
        resting = {host for host, one in self._cluster.weights.items() if one.weight == 0}
        self._monitor.ignore_hosts(self._cluster.forced.keys() | resting)

    async def close(self) -> None:
        """End the probes and save the verdicts."""
        await self._monitor.close()
        if self._due is not None:
            self._due.cancel()
        self._hand_over()
        await self.save()

    def _hand_over(self) -> None:
        """Give the cluster the verdicts that it does not have yet, for the caller to compile or save."""
        self._cluster.verdicts.update(self._unserved)

    # --- results ----------------------------------------------------------------------------------------

    def _on_result(self, target: Target, outcome: ProbeOutcome, before: Verdict, after: Verdict) -> None:
        if self._agreement is not None:
            self._agreement.probed(target, outcome.kind, before, after)
        elif before != after:
            self._serve({target: after})
        self._metrics.count_probe(target.check.name, str(outcome.kind), outcome.rtt)
        if before.degraded != after.degraded and after.state is not HealthState.DOWN:
            self._report_slowness(target, slow=after.degraded)
        for on_probe in self._subscribers:
            try:
                on_probe(target, outcome)
            except Exception:
                log.exception("the result of %s is lost to one who subscribed", target.key)

    def _report_slowness(self, target: Target, *, slow: bool) -> None:
        what = "answers slowly" if slow else "no longer answers slowly"
        where = f"[{target.address}]:{target.port}"
        hosts = self._cluster.hosts_of(target)
        zone, host = hosts[0] if len(hosts) == 1 else (None, None)
        self._events.tell(
            "state",
            f"check {target.check.name} of {where}: it {what} (EHLO)",
            zone=zone,
            host=host,
            data={"check": target.check.name, "address": str(target.address), "degraded": slow},
        )

    def _on_decision(self, verdicts: Mapping[Target, Verdict], news: tuple[News, ...]) -> None:
        """Serve verdicts that the mass-failure guard has released, and report its news of pools."""
        for one in news:
            zone, pool = one.pool
            text = _GUARD_NEWS[one.stage].format(len(one.failing), one.hosts, first_names(one.failing))
            calm = one.stage is GuardStage.NORMAL
            self._events.tell(
                "prober",
                f"pool {pool} of {zone}: {text}",
                level=logging.INFO if calm else logging.ERROR,
                zone=zone,
                pool=pool,
                data={"prober_suspect": not calm},
            )
        if self._agreement is not None:
            self._agreement.judged(verdicts)
        elif verdicts:
            self._serve(verdicts)

    # --- serving ----------------------------------------------------------------------------------------

    def believe(self, verdicts: Mapping[Target, Verdict]) -> None:
        """Serve what the servers agree on, of targets that are served."""
        self._serve(verdicts)

    def _serve(self, verdicts: Mapping[Target, Verdict]) -> None:
        self._unserved |= verdicts
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(
                max(0.0, self._recompiled + RECOMPILE_EVERY - loop.time()), self._take_verdicts
            )

    def _take_verdicts(self) -> None:
        self._due = None
        self._recompiled = asyncio.get_running_loop().time()
        self._tasks.spawn(self._serve_verdicts())

    async def _serve_verdicts(self) -> None:
        verdicts, self._unserved = self._unserved, {}
        began = time.perf_counter()
        at_once = self._monitor.skip_slow_start & verdicts.keys()
        transitions = self._cluster.apply_verdicts(verdicts, time.time(), at_once)
        self._metrics.observe_recompile(time.perf_counter() - began)
        self.report(transitions)
        await self._workers.publish()

    async def save(self) -> None:
        """Save verdicts, states and slow starts."""
        # Copies: the loop changes the originals while a thread writes.
        verdicts, since = dict(self._cluster.verdicts), dict(self._cluster.since)
        returned = dict(self._cluster.slow_start.since)
        await asyncio.to_thread(self._persistence.save_states, verdicts, since, returned, time.time())

    # --- events -----------------------------------------------------------------------------------------

    def report(self, transitions: Collection[Transition]) -> None:
        """Make an event of each host's change of state, with its cause."""
        for one in transitions:
            zone, host = one.host
            checks = self._checks(one.host)
            why = "; ".join(sorted({check["detail"] for check in checks}))
            self._events.tell(
                "state",
                f"host {host}.{zone}: {one.before} → {one.after}{f' ({why})' if why else ''}",
                zone=zone,
                host=host,
                reason=why or None,
                data={"before": str(one.before), "after": str(one.after), "checks": checks[:MOST_CHECKS]},
            )
            self._metrics.count_transition(one.host, one.after)
        if transitions:
            self._tasks.spawn(self.save())

    def _checks(self, host: HostKey, family: Family | None = None) -> list[dict[str, str]]:
        """Return the last results of the host's checks, in one family or all, for an event."""
        by_address = self._cluster.zone(host[0]).targets_by_host[host[1]]
        found = {
            target
            for address, some in by_address.items()
            if family in {None, family_of(address)}
            for target in some
        }
        targets = sorted(found, key=lambda one: one.key)
        return [
            {
                "check": target.check.name,
                "address": f"[{target.address}]:{target.port}",
                "outcome": str(seen[0].kind),
                "detail": self._reason(target) or printable(seen[0].detail),
            }
            for target in targets
            if (seen := self.last(target)) is not None
        ]

    def _reason(self, target: Target) -> str:
        return "" if self._agreement is None else self._agreement.reason(target)

    # --- reading ----------------------------------------------------------------------------------------

    def last(self, target: Target) -> tuple[ProbeOutcome, float] | None:
        """Return a target's last outcome and its time, in seconds since the epoch."""
        return self._monitor.last(target)

    def certificate(self, target: Target) -> Certificate | None:
        return self._monitor.certificate(target)

    def certificates(self) -> Iterator[tuple[Target, Certificate]]:
        """Return the last certificate of each target whose check uses TLS."""
        for target in self._cluster.targets:
            shown = self._monitor.certificate(target) if target.check.encrypts else None
            if shown is not None:
                yield target, shown

    def own(self, target: Target) -> Verdict:
        """Return what this server's own probes say of a target."""
        return self._monitor.verdicts.get(target, NOTHING_KNOWN)

    @property
    def held(self) -> AbstractSet[Target]:
        """As `Monitor.held`."""
        return self._monitor.held

    def probe_now(self, targets: Collection[Target]) -> None:
        """Probe targets once more as soon as there is a place."""
        self._monitor.probe_now(targets)

    @property
    def suspects(self) -> dict[PoolKey, Suspect]:
        """The pools whose failures may be the prober's own trouble."""
        return self._monitor.suspects

    @property
    def lateness(self) -> float:
        """Seconds that the most overdue probe is late."""
        return self._monitor.lateness

    # --- alerts -----------------------------------------------------------------------------------------

    def alerts(self) -> Iterator[Alert]:
        seen = [(one, self._monitor.last(one)) for one in self._cluster.targets]
        yield from prober_alerts(self._monitor.hint, (last for _, last in seen))
        yield from suspect_alerts(self.suspects)
        yield from remark_alerts(self._cluster, seen)
        yield from sorted(deferral_alerts(self._cluster, self._monitor.deferring()), key=lambda one: one.text)
        found = certificate_alerts(self._cluster, self.certificates(), time.time, self.certificate)
        yield from sorted(found, key=lambda one: one.text)
        yield from pool_alerts(self._cluster)
        yield from family_alerts(self._cluster, self._checks)


def _zones_of(zones: Iterable[Zone]) -> dict[Target, set[str]]:
    found: dict[Target, set[str]] = {}
    for zone in zones:
        for addresses in zone.targets_by_host.values():
            for targets in addresses.values():
                for target in targets:
                    found.setdefault(target, set()).add(zone.name)
    return found
