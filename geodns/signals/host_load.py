"""What a host's load does to its weight: a smooth curve, smoothed values, small steps.

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
"""Up to this part of `full` a host has its plain weight: a queue half full is a day like any other."""
PARTS = 20
"""A host has so many parts of its weight at most, so that rotations stay small; a floor may lie between."""
STEP = Fraction(1, 10)
"""What a weight may change at once, as a part of the plain one."""
INTERVALS = 3.0
"""A value is smoothed over the time in which so many are read."""

_NEAR = 0.75 / PARTS
"""A wish so near to what is so already changes nothing: what lies between two parts must not swing."""
_AT_FLOOR = 0.01
"""From here on a wish is for the floor itself, which smoothed values come near to and never reach."""
_ONE = Fraction(1)


def wanted(ratio: float, floor: float) -> float:
    """Return the part of its weight that a host is to have; it never rises with the load.

    1 up to `PLAIN`, `floor` from 1 on. Between the two it is Perlin's smoothstep, 3t² - 2t³, which has no
    corner at either end: a host that comes to the bend is not thrown to and fro across it.

    Args:
        ratio: its load as a part of `full`.
        floor: what is left at least.

    """
    risen = min(1.0, max(0.0, (ratio - PLAIN) / (1 - PLAIN)))
    return 1 - (1 - floor) * risen * risen * (3 - 2 * risen)


def smoothed(before: float, value: float, elapsed: float, over: float) -> float:
    """Return a value smoothed by those before it: an exponential mean over time (EWMA).

    Args:
        before: what it was smoothed to.
        value: what is read now.
        elapsed: seconds between the two.
        over: seconds after which a third (1/e) of what was before is left.

    """
    return value + (before - value) * math.exp(-max(0.0, elapsed) / over)


def next_step(factor: Fraction, wish: float, floor: float) -> Fraction:
    """Return the part of its weight that a host has after one step at most; its denominator divides 100.

    Args:
        factor: what it has.
        wish: what it is to have.
        floor: what it has at least; rounded to hundredths.

    """
    if wish >= 1:
        to = _ONE
    elif wish <= floor + _AT_FLOOR:
        to = _floor(floor)
    elif abs(wish - factor) < _NEAR:
        return factor
    else:
        to = max(_floor(floor), Fraction(round(wish * PARTS), PARTS))
    return min(max(to, factor - STEP), factor + STEP)


def _floor(floor: float) -> Fraction:
    return Fraction(max(1, round(floor * 100)), 100)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a host's load.

    Attributes:
        load: what its zone file says of it.
        value: the last one read; None until there is one.
        at: when that was; until there is one, when it was first waited for.
        told: the same in seconds since the epoch, to be shown.
        ratio: smoothed, as a part of `full`; never over 1, so that one wild value is soon forgotten.
        error: why the last attempt brought none; None when it did.
        stale: whether `at` is too long ago for the value to count.
        factor: the part of its weight that the host has.

    """

    load: Load
    value: float | None = None
    at: float | None = None
    told: float | None = None
    ratio: float = 0.0
    error: str | None = None
    stale: bool = False
    factor: Fraction = _ONE

    @property
    def trouble(self) -> str | None:
        """Why its plain weight is used, where it is for want of a value."""
        if not self.stale:
            return None
        if self.error is not None:
            return self.error
        return f"nothing has been {'pushed' if self.load.url is None else 'read'} for {self.load.stale:g} s"


class Loads:
    """The loads of all hosts.

    Attributes:
        known: of the hosts that have one.
        factors: the part of its weight that each has, as of the last `step`; never 1.

    """

    def __init__(self) -> None:
        self.known: dict[HostKey, Known] = {}
        self.factors: dict[HostKey, Fraction] = {}

    def keep(self, loads: Mapping[HostKey, Load]) -> None:
        """Follow an edit: know of these hosts and no others.

        A host without a load has its plain weight at once, as the operator says. One whose load is read
        elsewhere from now on keeps its factor until the new values tell another.
        """
        self.known = {host: _edited(self.known.get(host), load) for host, load in loads.items()}
        self.factors = {host: factor for host, factor in self.factors.items() if host in loads}

    def took(self, host: HostKey, value: float, now: float, told: float) -> None:
        """Take a value.

        Args:
            host: whose; it has a load.
            value: finite and not below 0.
            now: seconds of the monotonic clock.
            told: seconds since the epoch.

        """
        before = self.known[host]
        ratio = min(1.0, value / before.load.full)
        if before.value is not None and before.at is not None:
            over = INTERVALS * before.load.interval
            ratio = smoothed(before.ratio, ratio, now - before.at, over)
        self.known[host] = replace(
            before, value=value, at=now, told=told, ratio=ratio, error=None, stale=False
        )

    def failed(self, host: HostKey, error: str) -> None:
        """Take note that there was no value; the last one goes on counting until it is stale."""
        self.known[host] = replace(self.known[host], error=error)

    def step(self, now: float) -> list[HostKey]:
        """Let every factor take its next step; return the hosts that have another now.

        Args:
            now: seconds of the monotonic clock.

        """
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
    """Return what is known once a zone file says something else of a host's load, or the same."""
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
    wish = 1.0 if stale or before.value is None else wanted(before.ratio, before.load.floor)
    factor = next_step(before.factor, wish, before.load.floor)
    if (at, stale, factor) == (before.at, before.stale, before.factor):
        return before
    return replace(before, at=at, stale=stale, factor=factor)
