"""A watch over ourselves: late probes, silent workers, a blocked loop, a full disk, files refused for long.

A check that has stopped looks like a check that finds all well. So everything that is to happen again and
again is looked after by something else, and whoever is on call is told.
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
"""Seconds that a worker may say nothing: it says something each few seconds, whatever it is asked."""
BLOCKED = 1.0
"""Seconds that the control process's loop may take for one thing."""
HANGS = 10.0
"""Seconds of that after which it is logged where the loop hangs: it could not say so itself any more."""
REFUSED = 3600.0
"""Seconds that a zone file may be refused before that is more than an edit under way."""
FREE = 64 << 20
"""Bytes that should be free on the disk of the state."""
LOOK_EVERY = 1.0
DISK_EVERY = 30.0
REMEMBER = 60.0
"""Seconds for which a blocked loop is told after it went on."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the watch has seen.

    Attributes:
        lateness: seconds that the most overdue probe is late.
        silence: seconds since each worker was heard.
        lag: the longest time within the last minute in which the loop did one thing, in seconds.
        refused: zones whose file is refused, and for how many seconds.
        free: bytes free on the disk of the state; None where nobody can say.

    """

    lateness: float = 0.0
    silence: Mapping[str, float] = field(default_factory=dict)
    lag: float = 0.0
    refused: Mapping[str, float] = field(default_factory=dict)
    free: int | None = None


def server_alerts(seen: Vitals) -> Iterator[Alert]:
    """Return what is wrong with the server itself."""
    if seen.lateness > LATE:
        yield _alert("probes", f"probes are late by {seen.lateness:.0f} s: the prober is overloaded")
    for worker, seconds in seen.silence.items():
        if seconds > SILENT:
            text = f"worker {worker} has said nothing for {seconds:.0f} s: it may hang"
            yield _alert(f"worker {worker}", text)
    if seen.lag > BLOCKED:
        text = f"the control process was busy with one thing for {seen.lag:.1f} s: probes and orders waited"
        yield _alert("loop", text)
    for zone, seconds in seen.refused.items():
        if seconds > REFUSED:
            text = (
                f"the file of zone {zone} has been refused for {seconds / 3600:.0f} h: what is served is old"
            )
            yield _alert(f"zone {zone}", text)
    if seen.free is not None and seen.free < FREE:
        text = (
            f"the disk of the state has {seen.free >> 20} MiB left: what is ordered may not survive a restart"
        )
        yield _alert("disk", text)


def _alert(about: str, text: str) -> Alert:
    return Alert(("server", about), text, resolved=f"no longer: {text}", level=logging.ERROR)


class Lag:
    """How long the loop was kept from going on, over the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, now: float, lag: float) -> None:
        """Take a measurement: falling ones are kept, for the largest is all that counts."""
        while self._seen and self._seen[-1][1] <= lag:
            self._seen.pop()
        self._seen.append((now, lag))

    def worst(self, now: float) -> float:
        """Return the largest of the last minute."""
        while self._seen and self._seen[0][0] < now - REMEMBER:
            self._seen.popleft()
        return self._seen[0][1] if self._seen else 0.0


class Watchdog:
    """The watch, in the control process.

    Attributes:
        vitals: what was seen last.
        ready: whether the first answers have been compiled and delivered.

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
        """Return why the server cannot answer; None when it can."""
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
        """Look at everything.

        Args:
            now: seconds of `time.monotonic`.

        """
        self._since = {zone: self._since.get(zone, now) for zone in list(self._zones.refused)}
        self.vitals = Vitals(
            self._verdicts.lateness,
            {name: now - one.heard for name, one in self._workers.workers.items() if one.pid},
            self._lag.worst(now),
            {zone: now - since for zone, since in self._since.items()},
            self._free,
        )

    async def watch(self) -> None:
        """Look again and again; never return."""
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
        """Log where the loop hangs, once each time: from a thread, for the loop cannot."""
        told = self._beat
        while not ended.wait(1.0):
            beat = self._beat
            if beat != told and time.monotonic() - beat > HANGS:
                told = beat
                frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, in spite of its name
                where = "".join(traceback.format_stack(frame)) if frame else "nowhere"
                log.critical("the control process hangs: answers stay as they are. It is here:\n%s", where)


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
