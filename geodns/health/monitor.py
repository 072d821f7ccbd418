"""The monitor: probes every target when it is due, and keeps its verdict."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from types import MappingProxyType
from typing import Protocol

from geodns.health.mass_failure import GuardDecision, MassFailureGuard, News, Suspect
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult, one_line
from geodns.health.pool_watch import WatchedPool
from geodns.health.probe import probe
from geodns.health.schedule import Schedule, Start
from geodns.health.state_machine import SlowAnswers, with_share, with_slow_answers
from geodns.model.checks import Target
from geodns.model.state import NOTHING_KNOWN, HealthState, HostKey, PoolKey, Verdict

log = logging.getLogger(__name__)

TICK = 0.005
"""Seconds between two looks at the schedule: many starts share one wake-up of the loop."""

STARTS_A_TURN = 32
"""Probes started before the loop may do something else."""

OnResult = Callable[[Target, ProbeOutcome, Verdict, Verdict], None]
"""Gets the target, what the probe found, and the verdicts before and after."""

OnRuling = Callable[[Mapping[Target, Verdict], tuple[News, ...]], None]
"""Gets the verdicts that others' results change, and the pools whose guard changed its stage."""


def _ignore_decision(verdicts: Mapping[Target, Verdict], news: tuple[News, ...]) -> None:
    del verdicts, news


class Probe(Protocol):
    """Probes a target once."""

    async def __call__(self, target: Target, *, ehlo: str | None) -> ProbeOutcome: ...


class _Probed:
    """A target's probes: those that run, and what the last ones showed.

    Attributes:
        tasks: the probes that run.
        began: when the youngest began that has ended and says anything of the target.
        last: its outcome, and when that came in seconds since the epoch.
        certificate: the last one seen, however long ago.
        answers: whether the last ones were slow.
        deferrals: how many in a row were deferred.

    """

    __slots__ = ("answers", "began", "certificate", "deferrals", "last", "tasks")

    def __init__(self, answers: SlowAnswers) -> None:
        self.tasks: set[asyncio.Task[ProbeOutcome]] = set()
        self.began = -math.inf
        self.last: tuple[ProbeOutcome, float] | None = None
        self.certificate: Certificate | None = None
        self.answers = answers
        self.deferrals = 0


class Monitor:
    """Runs the schedule and keeps the verdicts.

    Attributes:
        verdicts: a live, read-only view.

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
        on_ruling: OnRuling = _ignore_decision,
    ) -> None:
        """Make a monitor without targets.

        Args:
            on_result: called after each probe.
            ehlo: the name that probes give; None means each one's own address, as a literal.
            rng: spreads the starts.
            concurrency: how many probes may run at once.
            probe: probes a target once.
            clock: seconds since the epoch, for `last`.
            on_ruling: called when the mass failure guard holds, restores or counts verdicts.

        """
        self._on_result = on_result
        self._on_ruling = on_ruling
        self._ehlo = ehlo
        self._probe = probe
        self._clock = clock
        self._schedule = Schedule(concurrency, rng)
        self._probed: dict[Target, _Probed] = {}
        self._verdicts: dict[Target, Verdict] = {}
        self.verdicts: Mapping[Target, Verdict] = MappingProxyType(self._verdicts)
        self._guard = MassFailureGuard(self.verdicts)
        self._hold_over: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[ProbeOutcome]] = set()
        self._wake: asyncio.TimerHandle | None = None
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
            verdicts: of new ones, from before a restart; a target without one is probed at once.
            pools: those that the mass failure guard watches.

        """
        wanted = set(targets)
        removed = self._probed.keys() - wanted
        added = {target: verdicts.get(target, NOTHING_KNOWN) for target in wanted - self._probed.keys()}
        self._drop(removed)
        for target, verdict in added.items():
            self._probed[target] = _Probed(SlowAnswers.known(slow=verdict.degraded))
            self._verdicts[target] = verdict
            if verdict.state is HealthState.UNKNOWN:
                self._unseen.add(target)
        self._schedule.change(removed, added, asyncio.get_running_loop().time())
        self._guard.watch(pools)
        self._await_end_of_hold()
        self._note_seen()
        self._arm()

    def _drop(self, targets: Collection[Target]) -> None:
        for target in targets:
            probed = self._probed.pop(target)
            del self._verdicts[target]
            self._unseen.discard(target)
            for task in probed.tasks:
                task.cancel()

    def ignore_hosts(self, hosts: Collection[HostKey]) -> None:
        """Take no failure of these hosts, and of no others, for the prober's own: operators work on them."""
        self._guard.ignore_hosts(hosts)

    def probe_now(self, targets: Collection[Target]) -> None:
        """Probe these as soon as there is a place, and go on as ever; others are not known here."""
        self._schedule.bring_forward(targets, asyncio.get_running_loop().time())
        self._arm()

    @property
    def held(self) -> AbstractSet[Target]:
        """The targets whose verdicts are held as the prober may be cut off; another set at each change."""
        return self._guard.held

    @property
    def suspects(self) -> dict[PoolKey, Suspect]:
        """The pools whose failures may be trouble of the prober's own."""
        return self._guard.suspects(asyncio.get_running_loop().time())

    @property
    def skip_slow_start(self) -> AbstractSet[Target]:
        """Targets that went down while the prober was in doubt: they come back at their full weight."""
        return self._guard.skip_slow_start

    @property
    def hint(self) -> str | None:
        """A warning that several hosts refuse the prober; None while they do not."""
        return self._guard.hint

    def last(self, target: Target) -> tuple[ProbeOutcome, float] | None:
        """Return a target's last outcome, and when in seconds since the epoch; None before the first."""
        probed = self._probed.get(target)
        return None if probed is None else probed.last

    def certificate(self, target: Target) -> Certificate | None:
        """Return the last certificate seen, however long ago: a host that fails now has it still."""
        probed = self._probed.get(target)
        return None if probed is None else probed.certificate

    def deferring(self) -> Iterator[tuple[Target, ProbeOutcome]]:
        """Return the targets that deferred the recipient of their check `fall` times in a row or more."""
        for target, probed in self._probed.items():
            if probed.deferrals >= target.check.fall and probed.last is not None:
                yield target, probed.last[0]

    @property
    def lateness(self) -> float:
        """Seconds by which the most overdue probe is late; 0 when all is well."""
        return self._schedule.lateness(asyncio.get_running_loop().time())

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
        targets = list(self._probed)
        self._drop(targets)
        self._schedule.change(targets, {}, asyncio.get_running_loop().time())
        for handle in (self._wake, self._hold_over):
            if handle is not None:
                handle.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- running the schedule ---------------------------------------------------------------------------

    def _arm(self) -> None:
        """Have `_turn` called when the next target is due; a call that comes earlier serves as well."""
        due = self._schedule.next_due
        if self._closed or due is None:
            return
        loop = asyncio.get_running_loop()
        when = max(due, loop.time() + TICK)
        if self._wake is not None:
            if self._wake.when() <= when:
                return
            self._wake.cancel()
        self._wake = loop.call_at(when, self._turn)

    def _turn(self) -> None:
        """Start what is due, a few at a time."""
        self._wake = None
        now = asyncio.get_running_loop().time()
        for _ in range(STARTS_A_TURN):
            start = self._schedule.take(now)
            if start is None:
                break
            self._start(start)
        self._arm()

    def _start(self, start: Start) -> None:
        task = asyncio.get_running_loop().create_task(self._probe(start.target, ehlo=self._ehlo))
        self._probed[start.target].tasks.add(task)
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, start))

    def _ended(self, start: Start, task: asyncio.Task[ProbeOutcome]) -> None:
        """Take a result, whatever became of the probe, and put its target back into the schedule."""
        now = asyncio.get_running_loop().time()
        self._tasks.discard(task)
        self._schedule.free(start)
        if not start.entry.gone:
            target = start.target
            outcome = _outcome(target, task)
            self._probed[target].tasks.discard(task)
            self._judge(target, outcome, start.at)
            if not start.entry.gone:  # the callback may have taken it out
                self._schedule.put_back(
                    start,
                    self._verdicts[target],
                    now,
                    hurried=target in self._guard.held,
                    answered=outcome.kind not in {ProbeResult.FAILURE, ProbeResult.UNKNOWN},
                )
        self._arm()

    # --- keeping verdicts -------------------------------------------------------------------------------

    def _judge(self, target: Target, outcome: ProbeOutcome, began: float) -> None:
        """Take an outcome; if a younger probe has ended before, it is old news, and only a failure counts."""
        probed = self._probed[target]
        before = self._verdicts[target]
        overtaken = began < probed.began
        probed.answers = probed.answers.after_probe(outcome, target.check)
        if not overtaken:
            self._show(probed, outcome, began)
        if overtaken and outcome.kind is not ProbeResult.FAILURE:
            decision = GuardDecision({target: before})
        else:
            decision = self._guard.judge(target, outcome, asyncio.get_running_loop().time())
        after = with_slow_answers(decision.verdicts.pop(target), probed.answers)
        after = self._verdicts[target] = after if overtaken else with_share(after, outcome)
        self._unseen.discard(target)
        self._note_seen()
        try:
            self._on_result(target, outcome, before, after)
        except Exception:
            log.exception("the result of %s was not taken", target.key)
        self._take_decision(decision)

    def _show(self, probed: _Probed, outcome: ProbeOutcome, began: float) -> None:
        probed.last = (outcome, self._clock())
        probed.certificate = outcome.certificate or probed.certificate
        if outcome.kind is not ProbeResult.UNKNOWN:
            probed.began = began
            probed.deferrals = probed.deferrals + 1 if outcome.kind is ProbeResult.DEFERRED else 0

    def _take_decision(self, decision: GuardDecision) -> None:
        """Believe what follows for other targets; probe those that are held without delay."""
        if not decision.verdicts and not decision.news:
            return
        verdicts = {target: one for target, one in decision.verdicts.items() if target in self._probed}
        self._verdicts |= verdicts
        self._await_end_of_hold()
        if self._guard.held:
            self._schedule.hurry(self._guard.held, asyncio.get_running_loop().time())
            self._arm()
        try:
            self._on_ruling(verdicts, decision.news)
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
        self._take_decision(self._guard.advance(asyncio.get_running_loop().time()))

    def _note_seen(self) -> None:
        if self._unseen:
            self._all_seen.clear()
        else:
            self._all_seen.set()


def _outcome(target: Target, task: asyncio.Task[ProbeOutcome]) -> ProbeOutcome:
    if task.cancelled():
        return ProbeOutcome(ProbeResult.UNKNOWN, "the probe was cancelled")
    error = task.exception()
    if error is None:
        return task.result()
    log.error("the probe of %s failed by a fault of its own", target.key, exc_info=error)
    return ProbeOutcome(ProbeResult.UNKNOWN, one_line(f"a fault of the prober: {error!r}"))
