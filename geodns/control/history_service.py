"""Records how hosts fare, minute by minute, in memory and in history.db."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.history import Tally
from geodns.control.verdict_service import VerdictService
from geodns.control.worker_service import WorkerService
from geodns.errors import StoreError
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.model.checks import Target
from geodns.model.state import HealthState
from geodns.serve.frames import CountsReport, Message
from geodns.storage.history_file import HOUR, KEPT, MINUTE, SHOWN, HistoryFile, Point, Points, Step

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_EVERY = 5.0
"""Seconds between two samples of the hosts' states."""
RECENT = 30
"""Minutes in memory."""


class HistoryService:
    """Gathers answers, probes and states, and returns their history.

    Attributes:
        trouble: why the history is not on disk; None: it is.

    """

    def __init__(
        self, directory: Path, cluster: Cluster, workers: WorkerService, verdicts: VerdictService
    ) -> None:
        self.trouble: str | None = None
        self._directory = directory
        self._cluster = cluster
        self._workers = workers
        self._tally = Tally()
        self._minute = 0
        self._memory: deque[tuple[int, dict[str, dict[str, Point]]]] = deque(maxlen=RECENT)
        self._file: HistoryFile | None = None
        self._unwritten: list[tuple[int, Mapping[str, Points]]] = []
        self._disk = threading.Lock()
        workers.subscribe(self._on_message)
        verdicts.subscribe(self._on_probe)

    def alerts(self) -> Iterator[Alert]:
        if self.trouble is not None:
            yield Alert("history", self.trouble)

    # --- gathering --------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if isinstance(message, CountsReport) and message.counts.dealt:
            self._tally.add_answers(message.counts, self._workers.rotation, self._cluster.compiled.choices)

    def _on_probe(self, target: Target, outcome: ProbeOutcome) -> None:
        if outcome.rtt is not None:
            # A time limit is no latency: in a mean it would stand for what was never measured.
            timed_out = outcome.kind is ProbeResult.FAILURE and outcome.detail.startswith("timed out")
            self._tally.add_probe(self._cluster.hosts_of(target), None if timed_out else outcome.rtt)

    async def watch(self) -> None:
        await asyncio.to_thread(self._restore_memory, time.time())
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()
            now = time.time()
            if self.close_minute(now):
                await asyncio.to_thread(self.write, now)

    def look(self) -> None:
        """Count the hosts' states; of those that nobody checks nothing is known."""
        zones = self._cluster.zones
        self._tally.add_states(
            {
                host: one.state is HealthState.UP
                for host, one in self._cluster.since.items()
                if host[0] in zones and host[1] not in zones[host[0]].unchecked
            }
        )

    def close_minute(self, now: float) -> bool:
        """Close the minute if it is over (by seconds since the epoch); return whether it was."""
        minute = int(now // MINUTE) * MINUTE
        before, self._minute = self._minute or minute, minute
        if minute == before:
            return False
        self._close(before)
        return True

    def _close(self, minute: int) -> None:
        zones = self._tally.close()
        if zones:
            self._memory.append((minute, zones))
            self._unwritten = [*self._unwritten, (minute, zones)][-HOUR // MINUTE :]

    async def close(self) -> None:
        """Write everything, the minute that is not over too."""
        self._close(self._minute or int(time.time() // MINUTE) * MINUTE)
        await asyncio.to_thread(self.write, time.time())
        if self._file is not None:
            self._file.close()

    # --- the disk ---------------------------------------------------------------------------------------

    def write(self, now: float) -> None:
        """Write what is unwritten; what cannot be written is tried again for an hour. Blocks on the disk."""
        with self._disk:
            try:
                file = self._opened(now)
                while self._unwritten:
                    minute, zones = self._unwritten[0]
                    file.add(MINUTE, minute, zones)
                    self._unwritten = self._unwritten[1:]
                file.roll_up(now)
            except StoreError as error:
                self.trouble = f"the history of hosts is not written: {error}"
            else:
                self.trouble = None

    def _opened(self, now: float) -> HistoryFile:
        if self._file is None:
            self._file, warnings = HistoryFile.open(self._directory, now)
            for warning in warnings:
                log.warning("%s", warning)
        return self._file

    def use(self, work: Callable[[HistoryFile], T]) -> T:
        """Return what is done with the file, for others that keep something in it. Blocks on the disk.

        Raises:
            StoreError: it cannot be used; `alerts` says so where writing fails, too.

        """
        with self._disk:
            return work(self._opened(time.time()))

    def _restore_memory(self, now: float) -> None:
        with self._disk:
            try:
                file = self._opened(now)
                begin = now - RECENT * MINUTE
                found: dict[int, dict[str, dict[str, Point]]] = {}
                for zone in file.zones(MINUTE, begin, now):
                    for at, points in file.read(zone, MINUTE, begin, now):
                        found.setdefault(at, {})[zone] = dict(points)
            except (StoreError, ValueError) as error:
                log.warning("the history of hosts before is not shown: %s", error)
            else:
                known = dict(self._memory)
                self._memory.extendleft(
                    sorted(((at, one) for at, one in found.items() if at not in known), reverse=True)
                )

    # --- reading ----------------------------------------------------------------------------------------

    def steps(self, zone: str, since: float, step: int) -> list[Step]:
        """Return a zone's points for steps of so many seconds, the current one in finer steps.

        It blocks on the disk, long for many points.

        Args:
            zone: its name.
            since: seconds since the epoch.
            step: one of `SHOWN`.

        """
        kept = SHOWN[step]
        # Begin with a whole step, or the first point would sum up a part of one.
        begin = since if step == MINUTE else since // step * step
        steps = self._read(zone, kept, begin)
        if kept != MINUTE:
            steps += self._read(zone, MINUTE, steps[-1][0] + kept if steps else begin)  # the current step
        return steps

    def _read(self, zone: str, step: int, since: float) -> list[Step]:
        now = time.time()
        with self._disk:
            try:
                return self._opened(now).read(zone, step, max(since, now - KEPT[step]), now)
            except (StoreError, ValueError) as error:
                log.warning("the history of hosts is not shown: %s", error)
                return []

    def last_minutes(self) -> list[tuple[int, dict[str, dict[str, Point]]]]:
        """Return the points of the last half hour: the minute, then by zone and host."""
        return list(self._memory)
