"""All that changes a Verdict: what a probe's outcome, slow answers and an agent's share do to it. Pure.

The state machine is gdnsd's, which does not flap: failures count although successes lie between them, until
`rise` successes in a row clear them.

=========  ==================================  ==================================  =======================
state      ok                                  failure                             shedding
=========  ==================================  ==================================  =======================
UNKNOWN    UP at once                          DOWN at once                        shed
UP         with failures: one more success,    one more failure, successes to 0;   shed
           at `rise` in a row all is cleared   at `fall` in all DOWN
DOWN       one more success, at `rise` in a    successes to 0                      shed
           row UP
=========  ==================================  ==================================  =======================

*Shed* halves the factor, and makes it 0 once there were `fall` in a row; failures and successes stay as they
are. Each ok doubles the factor back and ends the row; nothing else does. Going DOWN or coming UP from there
starts clean. Deferred and unknown outcomes change nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.model.checks import Check
from geodns.model.state import HealthState, Verdict

MAX_LEVEL = 10
"""Halvings at most, however large `fall` is; with a smaller `fall`, as many as that."""

RECENT = 5
"""Answers that tell whether a target is slow."""
BEGIN = 3
"""Slow ones among these that make it slow."""
END = 1
"""Slow ones with which it is slow no longer."""

DOWN = Verdict(HealthState.DOWN)
_UP = Verdict(HealthState.UP)

Step = Callable[[Verdict, Check], Verdict]


def advance(verdict: Verdict, kind: ProbeResult, check: Check) -> Verdict:
    """Return the verdict after an outcome; the module's docstring has the rules."""
    step = _STEPS.get((verdict.state, kind))
    return verdict if step is None else step(verdict, check)


def withhold(verdict: Verdict, check: Check) -> Verdict:
    """Return what is believed after a failure that may be the prober's own: it is never the last one."""
    if verdict.state is HealthState.UP:
        return replace(verdict, failures=min(verdict.failures + 1, check.fall - 1), successes=0)
    return replace(verdict, successes=0)


def forgive(verdict: Verdict) -> Verdict:
    """Return a verdict without the failures that were the prober's own."""
    return replace(verdict, failures=0, successes=0)


def with_share(verdict: Verdict, outcome: ProbeOutcome) -> Verdict:
    """Return a verdict with the share of weight that a good outcome asks for; bad ones do not change it."""
    if outcome.kind is not ProbeResult.OK:
        return verdict
    share = 100 if outcome.weight is None else max(1, round(outcome.weight * 100))
    return verdict if verdict.share == share else replace(verdict, share=share)


def with_slow_answers(verdict: Verdict, answers: "SlowAnswers") -> Verdict:
    """Return a verdict that says whether the target answers slowly; one that is down does not."""
    degraded = answers.slow and verdict.state is not HealthState.DOWN
    return verdict if verdict.degraded == degraded else replace(verdict, degraded=degraded)


@dataclass(frozen=True, slots=True)
class SlowAnswers:
    """A target's last answers, and whether most were slow.

    Attributes:
        recent: whether each of them was, the newest last.
        slow: whether the target counts as slow.

    """

    recent: tuple[bool, ...] = ()
    slow: bool = False

    @classmethod
    def known(cls, *, slow: bool) -> "SlowAnswers":
        """Begin with the verdict of before a restart or an edit."""
        return cls((True,) * BEGIN, slow=True) if slow else cls()

    def after_probe(self, outcome: ProbeOutcome, check: Check) -> "SlowAnswers":
        """Take a probe; only a good one that said EHLO counts, and none where the check has no `slow`."""
        if check.slow is None:
            return SlowAnswers()
        if outcome.kind is not ProbeResult.OK or outcome.ehlo_rtt is None:
            return self
        return self.after(outcome.ehlo_rtt, check.slow)

    def after(self, seconds: float, limit: float) -> "SlowAnswers":
        """Take one more answer.

        Args:
            seconds: from EHLO to its 250.
            limit: seconds from which an answer is slow.

        """
        recent = (*self.recent, seconds >= limit)[-RECENT:]
        slow = sum(recent) > END if self.slow else sum(recent) >= BEGIN
        return self if recent == self.recent and slow == self.slow else SlowAnswers(recent, slow)


# --- the table ------------------------------------------------------------------------------------------


def _relieved(verdict: Verdict) -> Verdict:
    if not verdict.sheds and not verdict.level:
        return verdict
    return replace(verdict, sheds=0, shed_out=False, level=max(0, verdict.level - 1))


def _come_up(verdict: Verdict, check: Check) -> Verdict:
    del check
    return replace(_relieved(verdict), state=HealthState.UP)


def _succeed(verdict: Verdict, check: Check) -> Verdict:
    verdict = _relieved(verdict)
    if not verdict.failures:
        return verdict
    if verdict.successes + 1 >= check.rise:
        return replace(verdict, failures=0, successes=0)
    return replace(verdict, successes=verdict.successes + 1)


def _recover(verdict: Verdict, check: Check) -> Verdict:
    if verdict.successes + 1 >= check.rise:
        return _UP
    return replace(_relieved(verdict), successes=verdict.successes + 1)


def _go_down(verdict: Verdict, check: Check) -> Verdict:
    del verdict, check
    return DOWN


def _fail(verdict: Verdict, check: Check) -> Verdict:
    if verdict.failures + 1 >= check.fall:
        return DOWN
    return replace(verdict, failures=verdict.failures + 1, successes=0)


def _stay_down(verdict: Verdict, check: Check) -> Verdict:
    del check
    return replace(verdict, successes=0)


def _shed(verdict: Verdict, check: Check) -> Verdict:
    sheds = min(verdict.sheds + 1, check.fall)  # both bounded: a host that goes on shedding changes nothing
    return replace(
        verdict,
        sheds=sheds,
        level=min(verdict.level + 1, check.fall, MAX_LEVEL),
        shed_out=verdict.shed_out or sheds >= check.fall,
    )


_STEPS: Mapping[tuple[HealthState, ProbeResult], Step] = {
    (HealthState.UNKNOWN, ProbeResult.OK): _come_up,
    (HealthState.UNKNOWN, ProbeResult.FAILURE): _go_down,
    (HealthState.UNKNOWN, ProbeResult.SHEDDING): _shed,
    (HealthState.UP, ProbeResult.OK): _succeed,
    (HealthState.UP, ProbeResult.FAILURE): _fail,
    (HealthState.UP, ProbeResult.SHEDDING): _shed,
    (HealthState.DOWN, ProbeResult.OK): _recover,
    (HealthState.DOWN, ProbeResult.FAILURE): _stay_down,
    (HealthState.DOWN, ProbeResult.SHEDDING): _shed,
}
