"""Decides when each target is probed, and which of those that are due get a place.

Targets that were slow the last time (dead ones, which keep a probe until its time is out) may hold only part
of the places, so that however many of them there are the others are probed on time.

A host that accepts connections and says nothing keeps a probe until its time is out. So once a probe has
waited `PATIENCE` longer than its target usually takes, others are started beside it each `fast_interval`, as
many as could take the target down: it is down a `greeting_timeout` after the last of them started.

No clock and no tasks: time is an argument, in seconds of any clock that does not go back.
"""

import heapq
import random
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import NamedTuple

from geodns.model.checks import Check, Target
from geodns.model.state import HealthState, Verdict

JITTER = 0.1
"""The part of an interval by which a start moves at random, either way: targets must not fall into step."""

SLOW = 1.0
"""Seconds from which a probe counts as slow."""

SLOW_SHARE = 0.75
"""The part of the places that slow targets may hold."""

PATIENCE = 2.0
"""Seconds that a probe may take longer than its target usually does before others start beside it."""

SMOOTHING = 4
"""One part in so many of what a target usually takes is its last probe's time."""


def first_start(check: Check, verdict: Verdict, now: float, rng: random.Random) -> float:
    """Return when a target is probed first: at once, or some time in its interval if its state is known."""
    return now if verdict.state is HealthState.UNKNOWN else now + rng.random() * _period(check, verdict)


def next_start(
    check: Check,
    verdict: Verdict,
    started: float,
    ended: float,
    rng: random.Random,
    *,
    spread: bool = False,
    hurried: bool = False,
) -> float:
    """Return when a target is probed next; never before the last probe's end.

    Args:
        check: its intervals.
        verdict: after the last probe.
        started: when that began.
        ended: when that ended.
        rng: moves the start by a tenth of the interval either way.
        spread: anywhere in the interval, after the first probes, which all began together.
        hurried: as if a change was pending.

    """
    period = check.fast_interval if hurried else _period(check, verdict)
    share = rng.random() if spread and not verdict.pending else rng.uniform(1 - JITTER, 1 + JITTER)
    return max(ended, started + period * share)


def _period(check: Check, verdict: Verdict) -> float:
    return check.fast_interval if verdict.pending else check.interval


def _useful(check: Check, verdict: Verdict) -> int:
    """Return how many probes at once can be of use: each may fail, and that many take the target down."""
    return check.fall - verdict.failures if verdict.state is HealthState.UP else 1


class ScheduledTarget:
    """A target in the schedule; one that was taken out and comes back is another.

    Attributes:
        due: when it is probed next.
        started: when it was probed last.
        slow: whether that probe was.
        fresh: whether it has had no result since it was added.
        gone: whether it was taken out.
        running: how many probes of it run.
        useful: how many of them can be of use at once.
        usual: seconds that its probes take when it answers; 0 before the first.
        beside: when another probe starts beside those that run; None: never.

    """

    __slots__ = (
        "beside",
        "due",
        "fresh",
        "gone",
        "running",
        "slow",
        "started",
        "target",
        "useful",
        "usual",
    )

    def __init__(self, target: Target, due: float, *, fresh: bool, useful: int) -> None:
        self.target = target
        self.due = due
        self.started = 0.0
        self.slow = False
        self.fresh = fresh
        self.gone = False
        self.running = 0
        self.useful = useful
        self.usual = 0.0
        self.beside: float | None = None

    def __lt__(self, other: "ScheduledTarget") -> bool:
        return self.due < other.due


class Start(NamedTuple):
    """One probe: its target, when it starts, and whether it has one of the places for slow targets."""

    entry: ScheduledTarget
    at: float
    slow: bool

    @property
    def target(self) -> Target:
        return self.entry.target


class Schedule:
    """All targets in one heap, ordered by when they are due, and the places for the probes that run."""

    def __init__(self, places: int, rng: random.Random) -> None:
        self._places = places
        self._slow_places = max(1, int(places * SLOW_SHARE))
        self._rng = rng
        self._entries: dict[Target, ScheduledTarget] = {}
        self._heap: list[ScheduledTarget] = []
        self._waiting_slow: deque[ScheduledTarget] = deque()
        self._hanging: list[tuple[float, int, ScheduledTarget]] = []
        """When probes may have others beside them; one that has another time in its entry is void."""
        self._started = 0
        self._running = 0
        self._slow_running = 0

    def change(self, removed: Collection[Target], added: Mapping[Target, Verdict], now: float) -> None:
        """Take targets out, and add others: those whose state is not known are probed at once."""
        for target in removed:
            self._entries.pop(target).gone = True
        for target, verdict in added.items():
            due = first_start(target.check, verdict, now, self._rng)
            entry = ScheduledTarget(
                target,
                due,
                fresh=verdict.state is HealthState.UNKNOWN,
                useful=_useful(target.check, verdict),
            )
            self._entries[target] = entry
            self._heap.append(entry)
        self._heap = [entry for entry in self._heap if not entry.gone]
        heapq.heapify(self._heap)
        self._waiting_slow = deque(entry for entry in self._waiting_slow if not entry.gone)

    @property
    def next_due(self) -> float | None:
        """When `take` may give a target; None while every place is taken, or no target waits."""
        if self._running >= self._places:
            return None
        if self._waiting_slow and self._slow_running < self._slow_places:
            return self._waiting_slow[0].due
        while self._hanging and self._is_void(self._hanging[0]):
            heapq.heappop(self._hanging)
        dues = [entry.due for entry in self._heap[:1]] + [when for when, _, _ in self._hanging[:1]]
        return min(dues, default=None)

    def take(self, now: float) -> Start | None:
        """Return the next probe, if a target is due and has a place, and give it the place."""
        if self._running >= self._places:
            return None
        while self._hanging and self._hanging[0][0] <= now:
            awaited = heapq.heappop(self._hanging)
            entry = awaited[2]
            if self._is_void(awaited):
                continue
            if self._slow_running < self._slow_places:
                return self._placed(entry, now, entry.target.check.fast_interval, slow=True)
            self._await(entry, now + entry.target.check.fast_interval)
        if self._waiting_slow and self._slow_running < self._slow_places:
            entry = self._waiting_slow.popleft()
            return self._placed(entry, now, entry.usual + PATIENCE, slow=entry.slow)
        while self._heap and self._heap[0].due <= now:
            entry = heapq.heappop(self._heap)
            if not entry.slow or self._slow_running < self._slow_places:
                return self._placed(entry, now, entry.usual + PATIENCE, slow=entry.slow)
            self._waiting_slow.append(entry)
        return None

    def _placed(self, entry: ScheduledTarget, now: float, patience: float, *, slow: bool) -> Start:
        entry.started = now
        entry.running += 1
        self._running += 1
        self._slow_running += slow
        self._await(entry, now + patience)
        return Start(entry, now, slow)

    def _await(self, entry: ScheduledTarget, when: float) -> None:
        """Have another probe start beside those of a target at some time, if it can be of use."""
        entry.beside = None
        if 0 < entry.running < entry.useful:
            entry.beside = when
            self._started += 1
            heapq.heappush(self._hanging, (when, self._started, entry))

    @staticmethod
    def _is_void(awaited: tuple[float, int, ScheduledTarget]) -> bool:
        when, _, entry = awaited
        return entry.gone or entry.beside != when

    def free(self, start: Start) -> None:
        """Give up the place of a probe that has ended, also of a target that is gone."""
        start.entry.running -= 1
        self._running -= 1
        self._slow_running -= start.slow

    def put_back(
        self, start: Start, verdict: Verdict, now: float, *, hurried: bool, answered: bool = True
    ) -> None:
        """Let a target wait for its next probe, once none of it runs any more.

        Args:
            start: what `take` gave; not of a target that is gone.
            verdict: after its probe.
            now: when that ended.
            hurried: as if a change was pending.
            answered: whether the target did, so that it tells what its probes usually take.

        """
        entry, took = start.entry, now - start.at
        if answered:
            entry.usual += (took - entry.usual) / SMOOTHING if entry.usual else took
        entry.useful = _useful(entry.target.check, verdict)
        if entry.running:
            soon = now + entry.target.check.fast_interval
            self._await(entry, soon if entry.beside is None else entry.beside)
            return
        entry.beside = None
        spread, entry.fresh = entry.fresh, False
        entry.slow = took >= SLOW
        entry.due = next_start(
            entry.target.check, verdict, entry.started, now, self._rng, spread=spread, hurried=hurried
        )
        heapq.heappush(self._heap, entry)

    def hurry(self, targets: AbstractSet[Target], now: float) -> None:
        """Bring forward the probes of targets as if a change was pending."""
        for entry in self._heap:
            if entry.target in targets:
                soon = now + self._rng.random() * entry.target.check.fast_interval
                entry.due = min(entry.due, soon)
        heapq.heapify(self._heap)

    def bring_forward(self, targets: Iterable[Target], now: float) -> None:
        """Have targets probed as soon as there is a place; one that is being probed is so already."""
        for target in targets:
            entry = self._entries.get(target)
            if entry is not None and not entry.running:
                entry.due = min(entry.due, now)
        heapq.heapify(self._heap)

    def lateness(self, now: float) -> float:
        """Return for how many seconds the most overdue target has waited for a place."""
        waiting = [*self._heap[:1], *islice(self._waiting_slow, 1)]
        return max([0.0, *(now - entry.due for entry in waiting)])
