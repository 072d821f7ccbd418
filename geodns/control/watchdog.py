"""Watches the server itself: late probes, silent workers, a blocked loop, a full disk, refused files.

A check that has stopped looks like one that finds all well. So everything that runs again and again is
watched by something else, and its failure is an alert.
"""

import asyncio
import logging
import shutil
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.verdict_service import VerdictService
from geodns.control.worker_service import WorkerService
from geodns.control.zone_service import ZoneService

log = logging.getLogger(__name__)

LATE = 5.0
"""Seconds that a probe may be overdue."""
SILENT = 15.0
"""Seconds that a worker may send nothing: without queries, too, it sends something every few seconds."""
BLOCKED = 1.0
"""Seconds that one callback may hold up the control process's loop."""
HANGS = 10.0
"""Seconds of a blocked loop after which a thread logs where it hangs: the loop cannot."""
REFUSED = 3600.0
"""Seconds that a zone file may be refused before that is more than an edit under way."""
FREE = 64 << 20
"""Bytes that should be free on the disk of the state."""
LOOK_EVERY = 1.0
DISK_EVERY = 30.0
REMEMBER = 60.0
"""Seconds for which a blocked loop is shown after it went on."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """The server's own condition, in seconds but for the disk.

    Attributes:
        lateness: of the most overdue probe.
        silence: since each worker was heard.
        lag: the longest block of the loop within the last minute.
        refused: for which each zone's file has been refused.
        free: bytes on the disk of the state; None: unknown.

    """

    lateness: float = 0.0
    silence: Mapping[str, float] = field(default_factory=dict)
    lag: float = 0.0
    refused: Mapping[str, float] = field(default_factory=dict)
    free: int | None = None


def server_alerts(vitals: Vitals) -> Iterator[Alert]:
    """Return alerts on the server itself."""
    if vitals.lateness > LATE:
        yield _alert("probes", f"probes are late by {vitals.lateness:.0f} s: the prober is overloaded")
    for worker, seconds in vitals.silence.items():
        if seconds > SILENT:
            text = f"worker {worker} has said nothing for {seconds:.0f} s: it may hang"
            yield _alert(f"worker {worker}", text)
    if vitals.lag > BLOCKED:
        text = f"the control process was busy with one thing for {vitals.lag:.1f} s: probes and orders waited"
        yield _alert("loop", text)
    for zone, seconds in vitals.refused.items():
        if seconds > REFUSED:
            text = (
                f"the file of zone {zone} has been refused for {seconds / 3600:.0f} h: what is served is old"
            )
            yield _alert(f"zone {zone}", text)
    if vitals.free is not None and vitals.free < FREE:
        text = (
            f"the disk of the state has {vitals.free >> 20} MiB left: "
            "what is ordered may not survive a restart"
        )
        yield _alert("disk", text)


def _alert(about: str, text: str) -> Alert:
    return Alert(("server", about), text, resolved=f"no longer: {text}", level=logging.ERROR)


class Lag:
    """The longest block of the loop in the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, now: float, lag: float) -> None:
        # Keep falling measurements alone: the largest is all that counts.
        while self._seen and self._seen[-1][1] <= lag:
            self._seen.pop()
        self._seen.append((now, lag))

    def worst(self, now: float) -> float:
        while self._seen and self._seen[0][0] < now - REMEMBER:
            self._seen.popleft()
        return self._seen[0][1] if self._seen else 0.0


class Watchdog:
    """Looks at the other services once a second.

    Attributes:
        vitals: of the last look.
        ready: whether the first Table has been delivered.

    """

    def __init__(
        self,
        cluster: Cluster,
        verdicts: VerdictService,
        workers: WorkerService,
        zones: ZoneService,
        state: Path,
    ) -> None:
        self.vitals = Vitals()
        self.ready = False
        self._cluster = cluster
        self._verdicts = verdicts
        self._workers = workers
        self._zones = zones
        self._state = state
        self._lag = Lag()
        self._since: dict[str, float] = {}
        self._free: int | None = None
        self._disk_at = float("-inf")
        self._beat = time.monotonic()

    def unready(self) -> str | None:
        """Return why the server cannot answer; None: it can."""
        if not self.ready:
            return "starting: the first probes are not done"
        if not self._cluster.sources:
            return "no zone is served"
        if not any(worker.pid for worker in self._workers.workers.values()):
            return "no worker is alive"
        return None

    def alerts(self) -> Iterator[Alert]:
        return server_alerts(self.vitals)

    def look(self, now: float) -> None:
        """Measure the vitals, at a monotonic time."""
        self._since = {zone: self._since.get(zone, now) for zone in list(self._zones.refused)}
        self.vitals = Vitals(
            self._verdicts.lateness,
            {name: now - one.heard for name, one in self._workers.workers.items() if one.pid},
            self._lag.worst(now),
            {zone: now - since for zone, since in self._since.items()},
            self._free,
        )

    async def watch(self) -> None:
        hanging = threading.Event()
        loop = threading.get_ident()
        threading.Thread(target=self._log_hang, args=(hanging, loop), daemon=True).start()
        try:
            while True:
                before = time.monotonic()
                await asyncio.sleep(LOOK_EVERY)
                self._beat = now = time.monotonic()
                self._lag.note(now, max(0.0, now - before - LOOK_EVERY))
                if now - self._disk_at >= DISK_EVERY:
                    self._disk_at = now
                    self._free = await asyncio.to_thread(_free, self._state)
                self.look(now)
        finally:
            hanging.set()

    def _log_hang(self, ended: threading.Event, thread: int) -> None:
        """Log from a thread where the loop hangs, once each time."""
        logged = self._beat
        while not ended.wait(1.0):
            beat = self._beat
            if beat != logged and time.monotonic() - beat > HANGS:
                logged = beat
                frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, in spite of its name
                where = "".join(traceback.format_stack(frame)) if frame else "nowhere"
                log.critical("the control process hangs: answers stay as they are. It is here:\n%s", where)


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
