"""Lowers a host's weight as its load rises: a smooth curve, smoothed values, small steps.

Load is no health: it takes no host out, and a value that is missing or old does nothing. No clock: time is an
argument, in seconds of the monotonic clock, for no value is worth keeping over a restart.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from geodns.model.hosts import Load
from geodns.model.state import HostKey

PLAIN = 0.5
"""Up to this part of `full` a host has its plain weight: a queue half full is an ordinary day."""
PARTS = 20
"""The factor is a multiple of 1/20 or the floor, so that rotations stay small."""
STEP = Fraction(1, 10)
"""The most that a factor may change at once."""
INTERVALS = 3.0
"""A value is smoothed over so many intervals."""

_NEAR = 0.75 / PARTS
"""A goal so near to the factor changes nothing: a load between two parts must not swing."""
_AT_FLOOR = 0.01
"""A goal so near to the floor is the floor itself, which smoothed values approach and never reach."""
_ONE = Fraction(1)


def wanted(ratio: float, floor: float) -> float:
    """Return the goal of a factor for a load as a part of `full`: 1 up to `PLAIN`, `floor` from 1 on.

    Between the two it is Perlin's smoothstep, 3t² - 2t³, which has no corner at either end: a host at the
    bend does not swing across it.
    """
    risen = min(1.0, max(0.0, (ratio - PLAIN) / (1 - PLAIN)))
    return 1 - (1 - floor) * risen * risen * (3 - 2 * risen)


def smoothed(before: float, value: float, elapsed: float, over: float) -> float:
    """Return an exponential mean over time (EWMA).

    Args:
        before: the mean so far.
        value: the new one.
        elapsed: seconds between the two.
        over: seconds after which a third (1/e) of the mean so far is left.

    """
    return value + (before - value) * math.exp(-max(0.0, elapsed) / over)


def next_step(factor: Fraction, goal: float, floor: float) -> Fraction:
    """Return a factor after one step at most towards its goal; its denominator divides 100."""
    if goal >= 1:
        to = _ONE
    elif goal <= floor + _AT_FLOOR:
        to = _floor(floor)
    elif abs(goal - factor) < _NEAR:
        return factor
    else:
        to = max(_floor(floor), Fraction(round(goal * PARTS), PARTS))
    return min(max(to, factor - STEP), factor + STEP)


def _floor(floor: float) -> Fraction:
    return Fraction(max(1, round(floor * 100)), 100)


@dataclass(frozen=True, slots=True)
class Known:
    """A host's load, as far as it is known.

    Attributes:
        load: what its zone file says of it.
        value: the last one; None until there is one.
        at: when that came; until one has, when the first was waited for.
        read_at: when it came in seconds since the epoch, for the status.
        ratio: smoothed, as a part of `full`; never over 1, so that one wild value is soon forgotten.
        error: why the last attempt brought no value; None when it did.
        stale: whether `at` is too long ago for the value to count.
        factor: of the host's weight, as of the last step.

    """

    load: Load
    value: float | None = None
    at: float | None = None
    read_at: float | None = None
    ratio: float = 0.0
    error: str | None = None
    stale: bool = False
    factor: Fraction = _ONE

    @property
    def trouble(self) -> str | None:
        """Why the plain weight is used for want of a value; None where it is not."""
        if not self.stale:
            return None
        if self.error is not None:
            return self.error
        return f"nothing has been {'pushed' if self.load.url is None else 'read'} for {self.load.stale:g} s"


class Loads:
    """The loads of all hosts.

    Attributes:
        known: of the hosts that have one.
        factors: of their weights, as of the last `step`; those that are 1 are left out.

    """

    def __init__(self) -> None:
        self.known: dict[HostKey, Known] = {}
        self.factors: dict[HostKey, Fraction] = {}

    def keep(self, loads: Mapping[HostKey, Load]) -> None:
        """Follow an edit: keep these hosts and no others.

        A host without a load has its plain weight at once. One whose load is read elsewhere from now on keeps
        its factor until new values change it.
        """
        self.known = {host: _edited(self.known.get(host), load) for host, load in loads.items()}
        self.factors = {host: factor for host, factor in self.factors.items() if host in loads}

    def took(self, host: HostKey, value: float, now: float, read_at: float) -> None:
        """Take a value of a host that has a load.

        Args:
            host: whose.
            value: finite and not below 0.
            now: seconds of the monotonic clock.
            read_at: seconds since the epoch.

        """
        before = self.known[host]
        ratio = min(1.0, value / before.load.full)
        if before.value is not None and before.at is not None:
            over = INTERVALS * before.load.interval
            ratio = smoothed(before.ratio, ratio, now - before.at, over)
        self.known[host] = replace(
            before, value=value, at=now, read_at=read_at, ratio=ratio, error=None, stale=False
        )

    def failed(self, host: HostKey, error: str) -> None:
        """Keep why there was no value; the last one counts until it is stale."""
        self.known[host] = replace(self.known[host], error=error)

    def step(self, now: float) -> list[HostKey]:
        """Let every factor take its next step; return the hosts whose factor changed."""
        changed = []
        for host, before in self.known.items():
            after = _stepped(before, now)
            self.known[host] = after
            if after.factor != before.factor:
                changed.append(host)
                self.factors[host] = after.factor
                if after.factor == 1:
                    del self.factors[host]
        return changed


def _edited(before: Known | None, load: Load) -> Known:
    if before is None:
        return Known(load)
    old = before.load
    if old == load:
        return before
    if (old.url, old.metric, old.path) != (load.url, load.metric, load.path):
        return Known(load, factor=before.factor)
    if before.value is None or old.full == load.full:
        return replace(before, load=load)
    return replace(before, load=load, ratio=min(1.0, before.value / load.full))


def _stepped(before: Known, now: float) -> Known:
    at = now if before.at is None else before.at
    stale = now - at > before.load.stale
    goal = 1.0 if stale or before.value is None else wanted(before.ratio, before.load.floor)
    factor = next_step(before.factor, goal, before.load.floor)
    if (at, stale, factor) == (before.at, before.stale, before.factor):
        return before
    return replace(before, at=at, stale=stale, factor=factor)
