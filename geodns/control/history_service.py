"""Records how hosts fare, minute by minute, in memory and in history.db, and reads it back."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.history import Tally, recent, series
from geodns.control.verdict_service import VerdictService
from geodns.control.worker_service import WorkerService
from geodns.errors import StoreError
from geodns.health.outcome import ProbeOutcome
from geodns.model.checks import Target
from geodns.model.state import HealthState
from geodns.serve.frames import CountsReport, Message
from geodns.storage.history_file import HOUR, KEPT, MINUTE, SHOWN, HistoryFile, Points, Step

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at the states of the hosts."""
RECENT = 30
"""Minutes that are in memory."""


class HistoryService:
    """Gathers what happens to hosts, and knows what happened to them.

    Args:
        directory: of the state.
        cluster: says which hosts are up, and what each pool deals.
        workers: say what they have dealt.
        verdicts: say how long probes took.

    Attributes:
        trouble: why the history is not on disk; None while it is.

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
        self._memory: deque[tuple[int, dict[str, dict[str, Any]]]] = deque(maxlen=RECENT)
        self._file: HistoryFile | None = None
        self._unwritten: list[tuple[int, Mapping[str, Points]]] = []
        self._disk = threading.Lock()
        workers.subscribe(self.on_message)
        verdicts.subscribe(self.on_probe)

    def alerts(self) -> Iterator[Alert]:
        if self.trouble is not None:
            yield Alert("history", self.trouble)

    # --- what happens -----------------------------------------------------------------------------------

    def on_message(self, message: Message) -> None:
        """Take what a worker has dealt."""
        if isinstance(message, CountsReport) and message.counts.dealt:
            self._tally.dealt(message.counts, self._workers.rotation, self._cluster.compiled.choices)

    def on_probe(self, target: Target, outcome: ProbeOutcome) -> None:
        """Take a probe's result."""
        if outcome.rtt is not None:
            self._tally.probed(self._cluster.hosts_of(target), outcome.rtt)

    async def watch(self) -> None:
        """Look again and again, and write what is over; never return."""
        await asyncio.to_thread(self._remember, time.time())
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._tally.seen({host: one.state is HealthState.UP for host, one in self._cluster.since.items()})
            now = time.time()
            if self.turn(now):
                await asyncio.to_thread(self.write, now)

    def turn(self, now: float) -> bool:
        """Close the minute if it is over; say whether it was.

        Args:
            now: seconds since the epoch.

        """
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
        """Write what there is of the minute that is not over, too."""
        self._close(self._minute or int(time.time() // MINUTE) * MINUTE)
        await asyncio.to_thread(self.write, time.time())
        if self._file is not None:
            self._file.close()

    # --- the disk ---------------------------------------------------------------------------------------

    def write(self, now: float) -> None:
        """Write what is to be written; what cannot be is tried again for an hour. Blocks on the disk."""
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

    def _remember(self, now: float) -> None:
        """Read the last half hour back."""
        with self._disk:
            try:
                file = self._opened(now)
                begin = now - RECENT * MINUTE
                found: dict[int, dict[str, dict[str, Any]]] = {}
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

    def history(self, zone: str, hosts: Collection[str], since: float, step: int) -> dict[str, Any]:
        """Return a zone's points as the API shows them. Blocks on the disk, and takes long for many points.

        Args:
            zone: its name.
            hosts: of them alone; none: of all.
            since: seconds since the epoch.
            step: one of `SHOWN`.

        """
        kept = SHOWN[step]
        # What is added up begins with a whole step, or its first point would be one of a part of it.
        begin = since if step == MINUTE else since // step * step
        steps = self._look(zone, kept, begin)
        if kept != MINUTE:
            steps += self._look(zone, MINUTE, steps[-1][0] + kept if steps else begin)  # what is not over
        return series(steps, step, hosts)

    def _look(self, zone: str, step: int, since: float) -> list[Step]:
        now = time.time()
        with self._disk:
            try:
                return self._opened(now).read(zone, step, max(since, now - KEPT[step]), now)
            except (StoreError, ValueError) as error:
                log.warning("the history of hosts is not shown: %s", error)
                return []

    def recent(self) -> dict[str, Any]:
        """Return the last half hour of all hosts, as sparklines need it."""
        memory = list(self._memory)
        zones = {zone for _, by_zone in memory for zone in by_zone}
        return {
            zone: recent(((at, by_zone.get(zone, {})) for at, by_zone in memory), MINUTE)
            for zone in sorted(zones)
        }
