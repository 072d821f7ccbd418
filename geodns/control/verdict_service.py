"""What results of probes bring about: verdicts that are served, changes and suspicion that are told.

Results that come together are one recompilation: the first at once, then at most one a second.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from geodns.control.cluster import Cluster, Transition
from geodns.control.metrics import Metrics
from geodns.errors import printable
from geodns.health.mass_failure import News
from geodns.health.outcome import ProbeOutcome
from geodns.health.pool_watch import GuardStage
from geodns.model.checks import Target
from geodns.model.state import HealthState, Verdict
from geodns.storage.event_log import EventLog

RECOMPILE_EVERY = 1.0
"""Seconds from one recompilation for verdicts to the next."""

MOST_CHECKS = 8
"""Checks of a host whose results an event carries."""

_TELLING = {
    GuardStage.HOLDING: "{} of its {} hosts began to fail at once ({}): the prober itself may be cut off, "
    "so their verdicts are held",
    GuardStage.COUNTING: "{} of its {} hosts go on failing ({}): they count as failures from now on",
    GuardStage.NORMAL: "most of its hosts are good again, its verdicts are no longer in doubt",
}


class VerdictService:
    """Takes what the monitor finds, and serves what follows from it.

    Args:
        cluster: what is served.
        metrics: counts probes and changes.
        events: tells them.
        last: returns a target's last outcome, and when.
        skip_slow_start: returns the targets that have no slow start when they come back.
        spawn: runs something beside everything else.
        publish: tells the workers.
        save: writes states down.

    """

    def __init__(
        self,
        cluster: Cluster,
        metrics: Metrics,
        events: EventLog,
        last: Callable[[Target], tuple[ProbeOutcome, float] | None],
        *,
        skip_slow_start: Callable[[], AbstractSet[Target]],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
        publish: Callable[[], Coroutine[Any, Any, Any]],
        save: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._events = events
        self._last = last
        self._spared = skip_slow_start
        self._spawn = spawn
        self._publish = publish
        self._save = save
        self._verdicts: dict[Target, Verdict] = {}
        self._due: asyncio.TimerHandle | None = None
        self._recompiled = -RECOMPILE_EVERY

    def judged(self, target: Target, outcome: ProbeOutcome, before: Verdict, after: Verdict) -> None:
        """Take a probe's result."""
        self._metrics.probed(target.check.name, str(outcome.kind), outcome.rtt)
        if before.degraded != after.degraded and after.state is not HealthState.DOWN:
            what = "answers slowly" if after.degraded else "no longer answers slowly"
            where = f"[{target.address}]:{target.port}"
            hosts = self._cluster.hosts_of(target)
            zone, host = hosts[0] if len(hosts) == 1 else (None, None)
            self._events.tell(
                "state",
                f"check {target.check.name} of {where}: it {what} (EHLO)",
                zone=zone,
                host=host,
                data={
                    "check": target.check.name,
                    "address": str(target.address),
                    "degraded": after.degraded,
                },
            )
        if before != after:
            self._serve({target: after})

    def ruled(self, verdicts: Mapping[Target, Verdict], news: tuple[News, ...]) -> None:
        """Take what the results of others bring about for a target, and say which pools are in doubt."""
        for one in news:
            zone, pool = one.pool
            said = _TELLING[one.stage].format(len(one.failing), one.hosts, _some(one.failing))
            calm = one.stage is GuardStage.NORMAL
            self._events.tell(
                "prober",
                f"pool {pool} of {zone}: {said}",
                level=logging.INFO if calm else logging.ERROR,
                zone=zone,
                pool=pool,
                data={"prober_suspect": not calm},
            )
        if verdicts:
            self._serve(verdicts)

    def note(self) -> None:
        """Let the cluster know what has not been served yet; somebody else compiles or saves it."""
        self._cluster.verdicts.update(self._verdicts)

    def _serve(self, verdicts: Mapping[Target, Verdict]) -> None:
        self._verdicts |= verdicts
        if self._due is None:
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(
                max(0.0, self._recompiled + RECOMPILE_EVERY - loop.time()), self._take_verdicts
            )

    def _take_verdicts(self) -> None:
        self._due = None
        self._recompiled = asyncio.get_running_loop().time()
        self._spawn(self._serve_verdicts())

    async def _serve_verdicts(self) -> None:
        verdicts, self._verdicts = self._verdicts, {}
        began = time.perf_counter()
        transitions = self._cluster.judged(verdicts, time.time(), self._spared() & verdicts.keys())
        self._metrics.recompiled(time.perf_counter() - began)
        self.tell(transitions)
        await self._publish()

    def tell(self, transitions: list[Transition]) -> None:
        """Say which hosts changed their state, and why."""
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
            self._metrics.changed(one.host, one.after)
        if transitions:
            self._spawn(self._save())

    def _checks(self, one: Transition) -> list[dict[str, str]]:
        """Return what the host's checks found last."""
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
            if (seen := self._last(target)) is not None
        ]


def _some(hosts: tuple[str, ...], most: int = 8) -> str:
    return ", ".join(hosts[:most]) + (", …" if len(hosts) > most else "")
