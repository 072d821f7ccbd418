"""Probes the hosts, serves their verdicts, and reports changes of state and doubts of the prober.

Verdicts that come together are one recompilation: the first at once, then at most one a second.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

from geodns.config.settings import Settings
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster, Transition
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.control.tasks import Tasks
from geodns.control.worker_service import WorkerService
from geodns.errors import printable
from geodns.health.mass_failure import News, Suspect
from geodns.health.monitor import Monitor
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.health.pool_watch import GuardStage, watched_pools
from geodns.health.probe import own_name
from geodns.health.tls import name_for, warning_of
from geodns.model.checks import Target
from geodns.model.state import HealthState, PoolKey, Verdict
from geodns.model.zone import Zone
from geodns.storage.event_log import EventLog

RECOMPILE_EVERY = 1.0
"""Seconds between two recompilations for verdicts."""

MOST_CHECKS = 8
"""Checks of a host in an event."""

_GUARD_NEWS = {
    GuardStage.HOLDING: "{} of its {} hosts began to fail at once ({}): the prober itself may be cut off, "
    "so their verdicts are held",
    GuardStage.COUNTING: "{} of its {} hosts go on failing ({}): they count as failures from now on",
    GuardStage.NORMAL: "most of its hosts are good again, its verdicts are no longer in doubt",
}

OnProbe = Callable[[Target, ProbeOutcome], None]


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
        await self._monitor.first_round(limit)
        self._hand_over()

    def follow(self) -> None:
        """Probe the hosts of the zones that are served now."""
        pools = watched_pools(self._cluster.zones.values())
        self._monitor.set_targets(self._cluster.targets, self._cluster.verdicts, pools)

    def ignore_overridden(self) -> None:
        """Let hosts that an operator may be working on not count as failing together."""
        resting = {host for host, one in self._cluster.weights.items() if one.weight == 0}
        self._monitor.ignore_hosts(self._cluster.forced.keys() | resting)

    async def close(self) -> None:
        """End the probes and save the verdicts."""
        await self._monitor.close()
        self._hand_over()
        await self.save()

    def _hand_over(self) -> None:
        """Give the cluster the verdicts that it does not have yet, for the caller to compile or save."""
        self._cluster.verdicts.update(self._unserved)

    # --- results ----------------------------------------------------------------------------------------

    def _on_result(self, target: Target, outcome: ProbeOutcome, before: Verdict, after: Verdict) -> None:
        for on_probe in self._subscribers:
            on_probe(target, outcome)
        self._metrics.count_probe(target.check.name, str(outcome.kind), outcome.rtt)
        if before.degraded != after.degraded and after.state is not HealthState.DOWN:
            self._report_slowness(target, slow=after.degraded)
        if before != after:
            self._serve({target: after})

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
            text = _GUARD_NEWS[one.stage].format(len(one.failing), one.hosts, _some(one.failing))
            calm = one.stage is GuardStage.NORMAL
            self._events.tell(
                "prober",
                f"pool {pool} of {zone}: {text}",
                level=logging.INFO if calm else logging.ERROR,
                zone=zone,
                pool=pool,
                data={"prober_suspect": not calm},
            )
        if verdicts:
            self._serve(verdicts)

    # --- serving ----------------------------------------------------------------------------------------

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
            checks = self._checks(one)
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

    def _checks(self, one: Transition) -> list[dict[str, str]]:
        """Return the last results of the host's checks, for an event."""
        by_address = self._cluster.zone(one.host[0]).targets_by_host[one.host[1]]
        targets = sorted({target for some in by_address.values() for target in some}, key=lambda one: one.key)
        return [
            {
                "check": target.check.name,
                "address": f"[{target.address}]:{target.port}",
                "outcome": str(seen[0].kind),
                "detail": printable(seen[0].detail),
            }
            for target in targets
            if (seen := self.last(target)) is not None
        ]

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
        yield from prober_alerts(self._monitor.hint, map(self._monitor.last, self._cluster.targets))
        yield from suspect_alerts(self.suspects)
        found = certificate_alerts(self._cluster, self.certificates(), time.time(), self.certificate)
        yield from sorted(found, key=lambda one: one.text)
        yield from pool_alerts(self._cluster)


def pool_alerts(cluster: Cluster) -> Iterator[Alert]:
    """Return an alert for each pool that deals its last resort."""
    for key, choice in cluster.compiled.choices.items():
        if choice.last_resort is not None:
            pool, last = f"pool {key[1]} of {key[0]}", str(choice.last_resort)
            yield Alert(
                ("pool", key),
                f"{pool}: nobody is live, last resort: {last}",
                kind="state",
                resolved=f"{pool}: somebody is live again",
                still_there=partial(_has_pool, cluster, key),
                grade=last,
                level=logging.ERROR,
                pool=key,
            )


def prober_alerts(hint: str | None, seen: Iterable[tuple[ProbeOutcome, float] | None]) -> Iterator[Alert]:
    """Return the prober's own troubles.

    Args:
        hint: why hosts may refuse the prober; None: they do not.
        seen: the last result of each target.

    """
    details = {one[0].detail for one in seen if one is not None and one[0].kind is ProbeResult.UNKNOWN}
    for detail in sorted(details):
        text = f"the prober has trouble of its own, host states may be old: {detail}"
        resolved = f"no probe reports this trouble of the prober any more: {detail}"
        yield Alert(("prober", detail), text, kind="prober", resolved=resolved)
    if hint is not None:
        resolved = "no reply speaks of refusing the prober any more"
        yield Alert("hint", hint, kind="prober", resolved=resolved, level=logging.ERROR)


def suspect_alerts(suspects: Mapping[PoolKey, Suspect]) -> Iterator[Alert]:
    """Return the pools in doubt; their events are the guard's news."""
    for key, one in suspects.items():
        until = (
            "they count as failures by now"
            if one.held_for is None
            else f"their verdicts are held for {one.held_for:.0f} s more"
        )
        text = (
            f"pool {key[1]} of {key[0]}: {one.failing} of {one.hosts} hosts began to fail at once, "
            f"the prober itself may be cut off (prober_suspect): {until}"
        )
        yield Alert(("suspect", key), text, event="", pool=key)


def certificate_alerts(
    cluster: Cluster,
    certificates: Iterable[tuple[Target, Certificate]],
    now: float,
    shown: Callable[[Target], Certificate | None] = lambda _: None,
) -> Iterator[Alert]:
    """Return an alert for each certificate that is old or bad; `shown` returns what a target shows."""
    for target, certificate in certificates:
        text = warning_of(target, certificate, now)
        if text is None:
            continue
        left = certificate.not_after - now
        grade = "warning"
        if not certificate.not_after or (
            target.check.verifies and certificate.problem not in {None, "expired"}
        ):
            grade = "bad"
        elif left < max(0.0, target.check.cert_critical):
            grade = "expired" if left < 0 else "critical"
        where = f"[{target.address}]:{target.port}"
        yield Alert(
            ("certificate", name_for(target), where),
            text,
            kind="certificate",
            resolved=f"certificate of {name_for(target)} at {where}: nothing is wrong with it any more",
            still_there=partial(_is_mended, cluster, target, shown),
            grade=grade,
            level=logging.WARNING if grade == "warning" else logging.ERROR,
            hosts=cluster.hosts_of(target),
        )


def _has_pool(cluster: Cluster, key: PoolKey) -> bool:
    return key in cluster.compiled.choices


def _is_mended(cluster: Cluster, target: Target, shown: Callable[[Target], Certificate | None]) -> bool:
    """Tell whether a certificate was seen to be good: a host that left, or shows none, has not got better."""
    certificate = shown(target)
    if target not in cluster.targets or certificate is None:
        return False
    return warning_of(target, certificate, time.time()) is None


def _some(hosts: tuple[str, ...], most: int = 8) -> str:
    return ", ".join(hosts[:most]) + (", …" if len(hosts) > most else "")
