"""When a target is probed next."""

import random

from geodns.model.checks import Check
from geodns.model.state import HealthState, Verdict

JITTER = 0.1
"""How much of an interval a start moves at random, either way, so that targets do not fall into step."""


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
        verdict: what is believed after the last probe.
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
