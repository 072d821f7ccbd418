"""The schedule: every target is probed at its interval, and every result moves what is believed of it.

All targets wait in one heap, ordered by when they are due; a probe that runs is one task. Targets that were
slow the last time (dead ones, which keep a probe until its time is out) may hold only part of the places, so
that however many of them there are the others are probed on time.
"""

import asyncio
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Protocol

from geodns.health.mass_failure import GuardDecision, MassFailureGuard, News, Suspect
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult, one_line
from geodns.health.pool_watch import PoolKey, WatchedPool
from geodns.health.probe import probe
from geodns.health.schedule import first_start, next_start
from geodns.health.state_machine import SlowAnswers
from geodns.model.checks import Target
from geodns.model.state import NOTHING_KNOWN, HealthState, HostKey, Verdict

log = logging.getLogger(__name__)

SLOW = 1.0
"""Seconds from which a probe counts as slow."""

SLOW_SHARE = 0.75
"""Of the places, for slow targets."""

TICK = 0.005
"""Seconds between two looks at the heap: many starts share one wake-up of the loop."""

STARTS_A_TURN = 32
"""Probes started before the loop may do something else."""

OnResult = Callable[[Target, ProbeOutcome, Verdict, Verdict], None]
"""Is told the target, what the probe found, and what was believed before and is believed after."""

OnRuling = Callable[[Mapping[Target, Verdict], tuple[News, ...]], None]
"""Is told what others' results mean for targets, and which pools are looked at otherwise than before."""


def _no_ruling(verdicts: Mapping[Target, Verdict], news: tuple[News, ...]) -> None:
    del verdicts, news


class Probe(Protocol):
    """What probes a target once."""

    async def __call__(self, target: Target, *, ehlo: str | None) -> ProbeOutcome:
        """Return what was found."""


class _Scheduled:
    """A target in the schedule.

    Attributes:
        target: what is probed.
        due: when it is probed next, by the loop's clock.
        started: when it was probed last.
        task: the probe that runs.
        slow: whether the last probe was.
        fresh: whether it has had no result since it was added.
        gone: whether it was taken out.
        last: the last outcome, and when in seconds since the epoch.
        certificate: the one that was shown last.
        pace: how fast it has answered.

    """

    __slots__ = ("certificate", "due", "fresh", "gone", "last", "pace", "slow", "started", "target", "task")

    def __init__(self, target: Target, due: float, pace: SlowAnswers) -> None:
        self.target = target
        self.due = due
        self.started = 0.0
        self.task: asyncio.Task[ProbeOutcome] | None = None
        self.slow = False
        self.fresh = True
        self.gone = False
        self.last: tuple[ProbeOutcome, float] | None = None
        self.certificate: Certificate | None = None
        self.pace = pace

    def __lt__(self, other: "_Scheduled") -> bool:
        return self.due < other.due


class Monitor:
    """Probes targets for ever and keeps what is believed of them.

    Attributes:
        verdicts: a live, read-only view of what is believed of each target.

    """

    def __init__(
        self,
        on_result: OnResult,
        *,
        ehlo: str | None,
        rng: random.Random,
        concurrency: int = 512,
        probe: Probe = probe,
        clock: Callable[[], float] = time.time,
        on_ruling: OnRuling = _no_ruling,
    ) -> None:
        """Make a monitor without targets.

        Args:
            on_result: is told every result.
            ehlo: the name that probes give; None means each one's own address, as a literal.
            rng: spreads the starts.
            concurrency: how many probes may run at once.
            probe: probes a target once.
            clock: seconds since the epoch, for what is shown.
            on_ruling: is told what else changes: verdicts that are held, restored or counted at last.

        """
        self._on_result = on_result
        self._on_ruling = on_ruling
        self._ehlo = ehlo
        self._rng = rng
        self._places = concurrency
        self._slow_places = max(1, int(concurrency * SLOW_SHARE))
        self._probe = probe
        self._clock = clock
        self._entries: dict[Target, _Scheduled] = {}
        self._verdicts: dict[Target, Verdict] = {}
        self.verdicts: Mapping[Target, Verdict] = MappingProxyType(self._verdicts)
        self._guard = MassFailureGuard(self.verdicts)
        self._hold_over: asyncio.TimerHandle | None = None
        self._heap: list[_Scheduled] = []
        self._waiting_slow: deque[_Scheduled] = deque()
        self._tasks: set[asyncio.Task[ProbeOutcome]] = set()
        self._slow_running = 0
        self._wake: asyncio.Handle | None = None
        self._unseen: set[Target] = set()
        self._all_seen = asyncio.Event()
        self._closed = False

    def set_targets(
        self,
        targets: Collection[Target],
        verdicts: Mapping[Target, Verdict] = MappingProxyType({}),
        pools: Mapping[PoolKey, WatchedPool] = MappingProxyType({}),
    ) -> None:
        """Probe these targets and no others; those that are probed already go on undisturbed.

        Args:
            targets: all of them.
            verdicts: what is believed of new ones, from before a restart; others are probed at once.
            pools: whose verdicts are held when most of their hosts fail at once.

        """
        now = asyncio.get_running_loop().time()
        wanted = set(targets)
        for target in self._entries.keys() - wanted:
            self._drop(target)
        for target in wanted - self._entries.keys():
            verdict = verdicts.get(target, NOTHING_KNOWN)
            start = first_start(target.check, verdict, now, self._rng)
            entry = _Scheduled(target, start, SlowAnswers.known(slow=verdict.degraded))
            self._entries[target] = entry
            self._verdicts[target] = verdict
            if verdict.state is HealthState.UNKNOWN:
                self._unseen.add(target)
            else:
                entry.fresh = False
            self._heap.append(entry)
        self._heap = [entry for entry in self._heap if not entry.gone]
        heapq.heapify(self._heap)
        self._waiting_slow = deque(entry for entry in self._waiting_slow if not entry.gone)
        self._guard.watch(pools)
        self._await_end_of_hold()
        self._note_seen()
        self._arm()

    def ignore_hosts(self, hosts: Collection[HostKey]) -> None:
        """Draw no conclusions on ourselves from these hosts: something is imposed on them."""
        self._guard.ignore_hosts(hosts)

    @property
    def suspects(self) -> dict[PoolKey, Suspect]:
        """The pools whose failures may be trouble of our own."""
        return self._guard.suspects(asyncio.get_running_loop().time())

    @property
    def skip_slow_start(self) -> AbstractSet[Target]:
        """Targets that come back, or will, from being down in doubt: nothing is to be made of that."""
        return self._guard.skip_slow_start

    @property
    def hint(self) -> str | None:
        """What an operator should know of hosts that refuse the prober; None while there are not several."""
        return self._guard.hint

    def last(self, target: Target) -> tuple[ProbeOutcome, float] | None:
        """Return a target's last outcome, and when in seconds since the epoch; None before the first."""
        entry = self._entries.get(target)
        return None if entry is None else entry.last

    def certificate(self, target: Target) -> Certificate | None:
        """Return what a target showed of itself last, however long ago: one that fails now has it still."""
        entry = self._entries.get(target)
        return None if entry is None else entry.certificate

    @property
    def lateness(self) -> float:
        """How many seconds the most overdue probe is late; 0 when all is well."""
        waiting = [*self._heap[:1], *islice(self._waiting_slow, 1)]
        if not waiting:
            return 0.0
        now = asyncio.get_running_loop().time()
        return max(0.0, now - min(entry.due for entry in waiting))

    async def first_round(self, limit: float = 5.0) -> None:
        """Wait until every target that had no verdict has had a result, or for `limit` seconds."""
        self._note_seen()
        try:
            async with asyncio.timeout(limit):
                await self._all_seen.wait()
        except TimeoutError:
            log.info("the first round of probes goes on: %d targets have no result yet", len(self._unseen))

    async def close(self) -> None:
        """Stop for good, and end the probes that run."""
        self._closed = True
        for target in list(self._entries):
            self._drop(target)
        self._heap.clear()
        self._waiting_slow.clear()
        for handle in (self._wake, self._hold_over):
            if handle is not None:
                handle.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- starting ---------------------------------------------------------------------------------------

    def _drop(self, target: Target) -> None:
        entry = self._entries.pop(target)
        entry.gone = True
        del self._verdicts[target]
        self._unseen.discard(target)
        if entry.task is not None:
            entry.task.cancel()

    def _arm(self) -> None:
        """Look at the heap when its first target is due; not at all while every place is taken."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._closed or len(self._tasks) >= self._places:
            return
        loop = asyncio.get_running_loop()
        if self._waiting_slow and self._slow_running < self._slow_places:
            self._wake = loop.call_soon(self._turn)
        elif self._heap:
            self._wake = loop.call_at(max(self._heap[0].due, loop.time() + TICK), self._turn)

    def _turn(self) -> None:
        """Start what is due, a few at a time."""
        self._wake = None
        now = asyncio.get_running_loop().time()
        for _ in range(STARTS_A_TURN):
            entry = self._take(now)
            if entry is None:
                break
            self._start(entry, now)
        self._arm()

    def _take(self, now: float) -> _Scheduled | None:
        """Return the next target to probe, if there is one and a place for it."""
        if len(self._tasks) >= self._places:
            return None
        if self._waiting_slow and self._slow_running < self._slow_places:
            return self._waiting_slow.popleft()
        while self._heap and self._heap[0].due <= now:
            entry = heapq.heappop(self._heap)
            if not entry.slow or self._slow_running < self._slow_places:
                return entry
            self._waiting_slow.append(entry)
        return None

    def _start(self, entry: _Scheduled, now: float) -> None:
        entry.started = now
        self._slow_running += entry.slow
        entry.task = asyncio.get_running_loop().create_task(self._probe(entry.target, ehlo=self._ehlo))
        self._tasks.add(entry.task)
        entry.task.add_done_callback(partial(self._ended, entry))

    # --- ending -----------------------------------------------------------------------------------------

    def _ended(self, entry: _Scheduled, task: asyncio.Task[ProbeOutcome]) -> None:
        """Take a result, whatever became of the probe, and put its target back into the schedule."""
        now = asyncio.get_running_loop().time()
        full = len(self._tasks) >= self._places
        self._tasks.discard(task)
        self._slow_running -= entry.slow
        entry.task = None
        if not entry.gone:
            spread, entry.fresh = entry.fresh, False
            entry.slow = now - entry.started >= SLOW
            self._judge(entry, _outcome(entry.target, task))
        if not entry.gone:  # the callback may have taken it out
            verdict = self._verdicts[entry.target]
            entry.due = next_start(
                entry.target.check,
                verdict,
                entry.started,
                now,
                self._rng,
                spread=spread,
                hurried=entry.target in self._guard.held,
            )
            heapq.heappush(self._heap, entry)
        if full or self._waiting_slow or (self._heap and self._heap[0] is entry):
            self._arm()

    def _judge(self, entry: _Scheduled, outcome: ProbeOutcome) -> None:
        target = entry.target
        before = self._verdicts[target]
        ruling = self._guard.judge(target, outcome, asyncio.get_running_loop().time())
        after = _weighed(outcome, self._paced(entry, outcome, ruling.verdicts.pop(target)))
        entry.last = (outcome, self._clock())
        entry.certificate = outcome.certificate or entry.certificate
        self._verdicts[target] = after
        self._unseen.discard(target)
        self._note_seen()
        try:
            self._on_result(target, outcome, before, after)
        except Exception:
            log.exception("the result of %s was not taken", target.key)
        self._take_ruling(ruling)

    def _paced(self, entry: _Scheduled, outcome: ProbeOutcome, verdict: Verdict) -> Verdict:
        """Return a verdict that says as well whether the target answers slowly."""
        limit = entry.target.check.slow
        if limit is None:
            entry.pace = SlowAnswers()
        elif outcome.kind is ProbeResult.OK and outcome.ehlo_rtt is not None:
            entry.pace = entry.pace.after(outcome.ehlo_rtt, limit)
        degraded = entry.pace.slow and verdict.state is not HealthState.DOWN
        return verdict if verdict.degraded == degraded else replace(verdict, degraded=degraded)

    def _take_ruling(self, ruling: GuardDecision) -> None:
        """Believe what follows for other targets; probe those that are held without delay."""
        if not ruling.verdicts and not ruling.news:
            return
        verdicts = {target: one for target, one in ruling.verdicts.items() if target in self._entries}
        self._verdicts |= verdicts
        self._await_end_of_hold()
        self._hurry()
        try:
            self._on_ruling(verdicts, ruling.news)
        except Exception:
            log.exception("what follows of the results of others was not taken")

    def _await_end_of_hold(self) -> None:
        if self._hold_over is not None:
            self._hold_over.cancel()
            self._hold_over = None
        end = self._guard.end
        if end is not None and not self._closed:
            self._hold_over = asyncio.get_running_loop().call_at(end, self._end_hold)

    def _end_hold(self) -> None:
        self._hold_over = None
        self._take_ruling(self._guard.advance(asyncio.get_running_loop().time()))

    def _hurry(self) -> None:
        """Bring forward the probes of what is held."""
        held = self._guard.held
        if not held:
            return
        now = asyncio.get_running_loop().time()
        for entry in self._heap:
            if entry.target in held:
                soon = now + self._rng.random() * entry.target.check.fast_interval
                entry.due = min(entry.due, soon)
        heapq.heapify(self._heap)
        self._arm()

    def _note_seen(self) -> None:
        if self._unseen:
            self._all_seen.clear()
        else:
            self._all_seen.set()


def _weighed(outcome: ProbeOutcome, verdict: Verdict) -> Verdict:
    """Return a verdict that says as well what share of its weight the host asked for last."""
    if outcome.kind is not ProbeResult.OK:
        return verdict
    share = 100 if outcome.weight is None else max(1, round(outcome.weight * 100))
    return verdict if verdict.share == share else replace(verdict, share=share)


def _outcome(target: Target, task: asyncio.Task[ProbeOutcome]) -> ProbeOutcome:
    if task.cancelled():
        return ProbeOutcome(ProbeResult.UNKNOWN, "the probe was cancelled")
    error = task.exception()
    if error is None:
        return task.result()
    log.error("the probe of %s failed by a fault of its own", target.key, exc_info=error)
    return ProbeOutcome(ProbeResult.UNKNOWN, one_line(f"a fault of the prober: {error!r}"))
