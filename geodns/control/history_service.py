"""How hosts fared over time: what they were dealt and should have been, how fast and how long they were up.

Points are sums, so that those of a minute add up to those of an hour.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

from geodns.compiler.choice import Choice
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.verdict_service import VerdictService
from geodns.control.worker_service import WorkerService
from geodns.errors import StoreError
from geodns.health.outcome import ProbeOutcome
from geodns.model.base import FAMILIES
from geodns.model.checks import Target
from geodns.model.state import HealthState, HostKey, PoolKey
from geodns.responder.table import Rotation
from geodns.responder.worker_state import Counts
from geodns.serve.frames import CountsReport, Message
from geodns.storage.history_file import (
    DAY,
    HOUR,
    KEPT,
    MINUTE,
    SHOWN,
    HistoryFile,
    Point,
    Points,
    Step,
    merged,
)

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0
"""Seconds between two looks at the states of the hosts."""
RECENT = 30
"""Minutes that are in memory."""
MOST = 100_000
"""Points that are shown at once: they take most of a second to make, and some megabytes."""


def step_for(seconds: float, hosts: int) -> int:
    """Return the finest step in which so many hosts can be shown over so long a time."""
    steps = [step for step, made_of in SHOWN.items() if seconds <= KEPT[made_of] + HOUR] or [DAY]
    return next((step for step in steps if points_of(seconds, hosts, step) <= MOST), steps[-1])


def points_of(seconds: float, hosts: int, step: int) -> float:
    """Return how many points so many hosts have in a time, of which only a part may be kept."""
    return hosts * min(seconds, KEPT[SHOWN[step]]) / step


class Tally:
    """The points of a step that is not over."""

    def __init__(self) -> None:
        self._points: dict[HostKey, list[float]] = {}
        self._intended: dict[tuple[str, str, str], tuple[Choice, dict[str, float]]] = {}

    def _of(self, host: HostKey) -> list[float]:
        return self._points.setdefault(host, [0.0, 0.0, 0, 0.0, 0, 0])

    def dealt(
        self,
        counts: Counts,
        rotations: Callable[[bytes], Rotation | None],
        choices: Mapping[PoolKey, Choice],
    ) -> None:
        """Add what a worker has dealt.

        Args:
            counts: what it says.
            rotations: finds a rotation by its uid.
            choices: what each pool deals now, from which the intended shares follow.

        """
        totals: dict[tuple[str, str, str], int] = {}
        for (uid, part, chosen), number in counts.dealt.items():
            rotation = rotations(uid)
            if rotation is None:
                continue
            key, dealt = rotation.key, rotation.parts[part]
            hosts = dealt.sets[chosen]
            for host in hosts:
                self._of((key.zone, host))[0] += number / len(hosts)
            place = key.zone, dealt.pool, key.type
            totals[place] = totals.get(place, 0) + number
        for place, number in totals.items():
            for host, share in self._shares(place, choices).items():
                self._of((place[0], host))[1] += number * share

    def _shares(self, place: tuple[str, str, str], choices: Mapping[PoolKey, Choice]) -> dict[str, float]:
        zone, pool, rtype = place
        choice = choices.get((zone, pool))
        if choice is None:  # the pool is gone meanwhile
            return {}
        known = self._intended.get(place)
        if known is None or known[0] is not choice:
            family = next((one for one in FAMILIES if one == rtype), None)
            dealt = choice.dealt if family is None else choice.of(family)
            total = sum((entry.effective for entry in dealt), Fraction(0))
            known = choice, {entry.host: float(entry.effective / total) for entry in dealt if total}
            self._intended[place] = known
        return known[1]

    def probed(self, hosts: Iterable[HostKey], seconds: float) -> None:
        """Add how long a probe took, to all hosts that it was for."""
        for host in hosts:
            point = self._of(host)
            point[2] += 1
            point[3] += seconds

    def seen(self, states: Mapping[HostKey, bool]) -> None:
        """Add a look at the hosts: which of them are up."""
        for host, is_up in states.items():
            point = self._of(host)
            point[4] += 1
            point[5] += is_up

    def close(self) -> dict[str, dict[str, Point]]:
        """Return the points by zone, and begin anew."""
        found: dict[str, dict[str, Point]] = {}
        for (zone, host), (picks, intended, probes, rtt, samples, up) in self._points.items():
            point = Point(picks, intended, int(probes), rtt, int(samples), int(up))
            found.setdefault(zone, {})[host] = point
        self._points = {}
        return found


def series(steps: Iterable[Step], step: int, hosts: Collection[str] = ()) -> dict[str, dict[str, list[Any]]]:
    """Return the points of a zone as the API shows them: columns for each host.

    Args:
        steps: in the order of time.
        step: in seconds; finer points are added up.
        hosts: of them alone; none: of all.

    """
    found: dict[str, dict[str, list[Any]]] = {}
    for at, some in groupby(steps, lambda one: one[0] // step * step):
        points = merged(*(points for _, points in some))
        picks = sum(point.picks for point in points.values())
        intended = sum(point.intended for point in points.values())
        for name in points.keys() & set(hosts) if hosts else points:
            point = points[name]
            row = {
                "at": at,
                "answers": round(point.picks, 3),
                "share": round(point.picks / picks, 5) if picks else None,
                "intended": round(point.intended / intended, 5) if intended else None,
                "rtt_ms": round(point.rtt / point.probes * 1000, 2) if point.probes else None,
                "up": round(point.up / point.samples, 4) if point.samples else None,
            }
            columns = found.setdefault(name, {key: [] for key in row})
            for key, value in row.items():
                columns[key].append(value)
    return found


def recent(steps: Iterable[Step], step: int) -> dict[str, dict[str, list[float | None]]]:
    """Return what sparklines are drawn from: each host's latency and answers a second, a step each."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for number, (_, points) in enumerate(steps):
        for name, point in points.items():
            columns = found.setdefault(name, {"rtt_ms": [None] * number, "rate": [None] * number})
            columns["rtt_ms"].append(round(point.rtt / point.probes * 1000, 2) if point.probes else None)
            columns["rate"].append(round(point.picks / step, 4))
        for columns in found.values():
            for values in columns.values():
                values.extend([None] * (number + 1 - len(values)))
    return found


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
