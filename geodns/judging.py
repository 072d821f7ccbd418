"""What results of probes bring about: verdicts that are served, changes and suspicion that are told.

Results that come together are one recompilation: the first at once, then at most one a second.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from geodns.cluster import Cluster, Transition
from geodns.health.crowd import Stage
from geodns.health.outcome import Outcome
from geodns.health.suspicion import News
from geodns.live import State, Verdict
from geodns.metrics import Metrics
from geodns.model import Target

log = logging.getLogger(__name__)

RECOMPILE_EVERY = 1.0
"""Seconds from one recompilation for verdicts to the next."""

_TELLING = {
    Stage.HELD: "pool %s of %s: %d of its %d hosts began to fail at once (%s): the prober itself may be cut "
    "off, so their verdicts are held",
    Stage.COUNTED: "pool %s of %s: %d of its %d hosts go on failing (%s): they count as failures from now on",
    Stage.CALM: "pool %s of %s: most of its hosts are good again, its verdicts are no longer in doubt",
}


class Judging:
    """Takes what the monitor finds, and serves what follows from it.

    Args:
        cluster: what is served.
        metrics: counts probes and changes.
        last: returns a target's last outcome, and when.
        spared: returns the targets that have no slow start when they come back.
        spawn: runs something beside everything else.
        publish: tells the workers.
        save: writes states down.

    """

    def __init__(
        self,
        cluster: Cluster,
        metrics: Metrics,
        last: Callable[[Target], tuple[Outcome, float] | None],
        *,
        spared: Callable[[], AbstractSet[Target]],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
        publish: Callable[[], Coroutine[Any, Any, Any]],
        save: Callable[[], Coroutine[Any, Any, Any]],
    ) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._last = last
        self._spared = spared
        self._spawn = spawn
        self._publish = publish
        self._save = save
        self._verdicts: dict[Target, Verdict] = {}
        self._due: asyncio.TimerHandle | None = None
        self._recompiled = -RECOMPILE_EVERY
        self._hinted: str | None = None

    def judged(self, target: Target, outcome: Outcome, before: Verdict, after: Verdict) -> None:
        """Take a probe's result."""
        self._metrics.probed(target.check.name, str(outcome.kind), outcome.rtt)
        if before.degraded != after.degraded and after.state is not State.DOWN:
            what = "answers slowly" if after.degraded else "no longer answers slowly"
            told = {"check": target.check.name, "address": str(target.address), "degraded": after.degraded}
            where = f"[{target.address}]:{target.port}"
            log.warning("check %s of %s: it %s (EHLO)", target.check.name, where, what, extra=told)
        if before != after:
            self._serve({target: after})

    def ruled(self, verdicts: Mapping[Target, Verdict], news: tuple[News, ...]) -> None:
        """Take what the results of others bring about for a target, and say which pools are in doubt."""
        for one in news:
            zone, pool = one.pool
            told = {"zone": zone, "pool": pool, "prober_suspect": one.stage is not Stage.CALM}
            said = () if one.stage is Stage.CALM else (len(one.failing), one.hosts, _some(one.failing))
            level = logging.INFO if one.stage is Stage.CALM else logging.ERROR
            log.log(level, _TELLING[one.stage], pool, zone, *said, extra=told)
        if verdicts:
            self._serve(verdicts)

    def hinted(self, hint: str | None) -> None:
        """Say once what hosts that refuse the prober mean."""
        if hint is not None and self._hinted is None:
            log.error("%s", hint)
        self._hinted = hint

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
            told = {"zone": zone, "host": host, "before": str(one.before), "after": str(one.after)}
            log.warning(
                "host %s.%s: %s → %s%s", host, zone, one.before, one.after, self._why(one), extra=told
            )
            self._metrics.changed(one.host, one.after)
        if transitions:
            self._spawn(self._save())

    def _why(self, one: Transition) -> str:
        targets = self._cluster.zone(one.host[0]).targets_by_host[one.host[1]].values()
        last = [self._last(target) for some in targets for target in some]
        details = {seen[0].detail for seen in last if seen is not None}
        return f" ({'; '.join(sorted(details))})" if details else ""


def _some(hosts: tuple[str, ...], most: int = 8) -> str:
    return ", ".join(hosts[:most]) + (", …" if len(hosts) > most else "")
