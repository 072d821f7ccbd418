"""Decides when each target is probed, and which of those that are due get a place.

Targets that were slow the last time (dead ones, which keep a probe until its time is out) may hold only part
of the places, so that however many of them there are the others are probed on time.

No clock and no tasks: time is an argument, in seconds of any clock that does not go back.
"""

import heapq
import random
from collections import deque
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice

from geodns.model.checks import Check, Target
from geodns.model.state import HealthState, Verdict

JITTER = 0.1
"""The part of an interval by which a start moves at random, either way: targets must not fall into step."""

SLOW = 1.0
"""Seconds from which a probe counts as slow."""

SLOW_SHARE = 0.75
"""The part of the places that slow targets may hold."""


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


class ScheduledTarget:
    """A target in the schedule; one that was taken out and comes back is another.

    Attributes:
        due: when it is probed next.
        started: when it was probed last.
        slow: whether that probe was.
        fresh: whether it has had no result since it was added.
        gone: whether it was taken out.

    """

    __slots__ = ("due", "fresh", "gone", "slow", "started", "target")

    def __init__(self, target: Target, due: float, *, fresh: bool) -> None:
        self.target = target
        self.due = due
        self.started = 0.0
        self.slow = False
        self.fresh = fresh
        self.gone = False

    def __lt__(self, other: "ScheduledTarget") -> bool:
        return self.due < other.due


class Schedule:
    """All targets in one heap, ordered by when they are due, and the places for the probes that run."""

    def __init__(self, places: int, rng: random.Random) -> None:
        self._places = places
        self._slow_places = max(1, int(places * SLOW_SHARE))
        self._rng = rng
        self._entries: dict[Target, ScheduledTarget] = {}
        self._heap: list[ScheduledTarget] = []
        self._waiting_slow: deque[ScheduledTarget] = deque()
        self._running = 0
        self._slow_running = 0

    def change(self, removed: Collection[Target], added: Mapping[Target, Verdict], now: float) -> None:
        """Take targets out, and add others: those whose state is not known are probed at once."""
        for target in removed:
            self._entries.pop(target).gone = True
        for target, verdict in added.items():
            due = first_start(target.check, verdict, now, self._rng)
            entry = ScheduledTarget(target, due, fresh=verdict.state is HealthState.UNKNOWN)
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
        return self._heap[0].due if self._heap else None

    def take(self, now: float) -> ScheduledTarget | None:
        """Return the next target to probe, if one is due and has a place, and give it the place."""
        if self._running >= self._places:
            return None
        if self._waiting_slow and self._slow_running < self._slow_places:
            return self._placed(self._waiting_slow.popleft(), now)
        while self._heap and self._heap[0].due <= now:
            entry = heapq.heappop(self._heap)
            if not entry.slow or self._slow_running < self._slow_places:
                return self._placed(entry, now)
            self._waiting_slow.append(entry)
        return None

    def _placed(self, entry: ScheduledTarget, now: float) -> ScheduledTarget:
        entry.started = now
        self._running += 1
        self._slow_running += entry.slow
        return entry

    def free(self, entry: ScheduledTarget) -> None:
        """Give up the place of a probe that has ended, also of a target that is gone."""
        self._running -= 1
        self._slow_running -= entry.slow

    def put_back(self, entry: ScheduledTarget, verdict: Verdict, now: float, *, hurried: bool) -> None:
        """Let a target wait for its next probe.

        Args:
            entry: what `take` gave; not one that is gone.
            verdict: after its probe.
            now: when that ended.
            hurried: as if a change was pending.

        """
        spread, entry.fresh = entry.fresh, False
        entry.slow = now - entry.started >= SLOW
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

    def lateness(self, now: float) -> float:
        """Return for how many seconds the most overdue target has waited for a place."""
        waiting = [*self._heap[:1], *islice(self._waiting_slow, 1)]
        return max([0.0, *(now - entry.due for entry in waiting)])
