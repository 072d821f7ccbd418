"""Compares the rates of two arms of an experiment, and says how far chance alone may move them.

It needs numpy, which takes 15 MiB of memory (scipy.stats takes 90), and is imported by whoever wants
intervals, never at start. Nothing here has a clock; chance comes from a seed: the same numbers say the same.

By client, hosts differ among themselves, and the hours of one host resemble each other: what is drawn again
are whole hosts, by a multiplier bootstrap of what each does to its arm's rate, as wide as Student says for so
few. What hits all hosts of an arm at once, such as a sender's bad mailing, is drawn by stretches of time, and
added. Of 100 comparisons of equal arms of three hosts the percentile bootstrap takes 20 for different; this
is for five at most.

By time, the order of the arms was drawn by the control process: the test draws it again, and the interval has
the differences that it does not refute. So no drift, and no likeness of neighbouring slots, can deceive it.
"""

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOUR = 3600
DRAWS = 10_000
"""Draws of a comparison by client."""
ORDERS = 2_000
"""Orders of the arms that are drawn by time."""
AT_ONCE = 250_000
"""Numbers that are drawn at once: some megabytes."""
STRETCHES = 5
"""Into how many stretches of time an experiment is cut; few and long, since what befalls an arm may last.

Where whole arms are put off for half a day at a time, seven have false alarms in 6 of 100 comparisons.
"""
ALPHA = 0.05
"""The part of comparisons of equal arms that may take them for different ones."""

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Range = tuple[float, float] | None
"""Low and high; None: too little is known for one."""


class HostHour(NamedTuple):
    """A host's mail in one hour, that began at a time; `number` are the counted ones of those."""

    arm: str
    host: str
    at: int
    number: int
    of: int


class ArmSlot(NamedTuple):
    """The mail of one slot, whose arm was drawn.

    Attributes:
        square: which Latin square the slot is in.
        row: of the square.
        column: of the square.

    """

    arm: str
    square: int
    row: int
    column: int
    at: int
    number: int
    of: int


@dataclass(frozen=True)
class Comparison:
    """By how much one arm's rate is above another's.

    Attributes:
        p: how often chance alone makes so great a difference.
        lows: for each draw, under which difference it refutes; sorted.
        highs: for each draw, over which; sorted.

    """

    difference: float
    p: float
    lows: Floats
    highs: Floats

    def interval(self, alpha: float = ALPHA) -> Range:
        """Return between what differences the true one is, but for so small a part of cases."""
        draws = len(self.highs)
        place = math.ceil(alpha * (draws + 1) - 1e-9) - 2
        if place < 0:
            return None
        low, high = float(self.lows[place]), float(self.highs[draws - 1 - place])
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None


# ----- by client


def compare_clients(hours: Iterable[HostHour], arm: str, other: str, seed: int) -> Comparison | None:
    """Compare arms whose clients are told apart by network; None: an arm has mail of one host at most.

    Hours in which both arms had mail are compared each with itself, then put together by how much both had
    (Mantel and Haenszel): an hour when all mail is put off is no difference, even if one arm has more of it.
    """
    names = sorted((arm, other))
    found = [one for one in hours if one.of and one.arm in names]
    if not found:
        return None
    mail = _Mail(found)
    sides = [np.array([one.arm == name for one in found]) for name in names]
    of, number = (
        [np.bincount(mail.hour, mail_of * side) for side in sides] for mail_of in (mail.of, mail.number)
    )
    total = of[0] + of[1]
    common = float((of[0] * of[1] / total).sum())
    if not common:
        return None
    usual = (number[0] + number[1]) / total
    first, second = (
        _ArmMail(mail, side, (yours / total / common)[mail.hour], usual[mail.hour])
        for side, yours in zip(sides, reversed(of), strict=True)
    )
    if first.hosts is None or second.hosts is None:
        return None
    drawn = _drawn(first.hosts, first.least, seed, names[0]) - _drawn(
        second.hosts, second.least, seed, names[1]
    )
    drawn += _drawn(_widened(first.stretches - second.stretches), 0.0, seed, "")
    reach = np.sort(np.abs(drawn))
    difference = first.rate - second.rate if arm == names[0] else second.rate - first.rate
    p = (1 + int((reach >= abs(difference)).sum())) / (1 + len(reach))
    return Comparison(difference, p, difference - reach[::-1], difference + reach)


def host_rate_interval(hours: Iterable[HostHour], seed: int, alpha: float = ALPHA) -> Range:
    """Return where the rate of one arm's mail is, of other such hosts at other such times."""
    found = [one for one in hours if one.of]
    arm = _alone(found)
    if arm is None or arm.hosts is None:
        return None
    drawn = _drawn(arm.hosts, arm.least, seed, "hosts") + _drawn(_widened(arm.stretches), 0.0, seed, "")
    return _around(arm.rate, drawn, alpha)


def slot_rate_interval(slots: Iterable[ArmSlot], seed: int, alpha: float = ALPHA) -> Range:
    """Return where the rate of one arm's mail is, at other such times."""
    arm = _alone([HostHour(one.arm, "", one.at, one.number, one.of) for one in slots if one.of])
    if arm is None or np.count_nonzero(arm.stretches) < 2:
        return None
    return _around(arm.rate, _drawn(_widened(arm.stretches), arm.least, seed, ""), alpha)


def _around(rate: float, drawn: Floats, alpha: float) -> Range:
    reach = float(np.quantile(np.abs(drawn), 1 - alpha))
    return max(0.0, rate - reach), min(1.0, rate + reach)


class _Mail:
    """Hours of hosts as arrays: what was counted, and the number of each one's host, hour and stretch."""

    def __init__(self, hours: Sequence[HostHour]) -> None:
        at = np.array([one.at for one in hours], np.int64)
        self.number = np.array([one.number for one in hours], np.float64)
        self.of = np.array([one.of for one in hours], np.float64)
        names = {name: place for place, name in enumerate(sorted({(one.arm, one.host) for one in hours}))}
        self.host: Whole = np.array([names[one.arm, one.host] for one in hours], np.int64)
        _, self.hour = np.unique(at, return_inverse=True)
        self.stretch: Whole = (at - at.min()) * STRETCHES // (at.max() - at.min() + HOUR)


class _ArmMail:
    """An arm's rate, and what each host and each stretch of time does to it.

    Args:
        mail: of several arms.
        mine: which of it is this arm's.
        weights: of each mail in the rate.
        usual: the rate of everybody at the time; the arm's is told beyond it.

    Attributes:
        hosts: how much the rate would change without each; None: there are not two.
        stretches: how much the mail of each moves the rate.
        least: the variance if every mail were on its own: the rate is known no better.

    """

    def __init__(self, mail: _Mail, mine: NDArray[np.bool_], weights: Floats, usual: Floats) -> None:
        weights = weights * mine
        self.rate = float((weights * (mail.number - mail.of * usual)).sum())
        moves = weights * (mail.number - mail.of * (usual + self.rate))
        shares = np.bincount(mail.host, weights * mail.of)
        some = shares > 0
        alone = np.bincount(mail.host, moves)[some]
        self.hosts: Floats | None = alone / (1 - shares[some]) if len(alone) > 1 else None
        self.stretches = np.bincount(mail.stretch, moves, STRETCHES).astype(np.float64)
        # Two more that count and two more that do not, so that 0 of 100 is not taken for never.
        counted = weights > 0
        number, of = float(mail.number[counted].sum()) + 2, float(mail.of[counted].sum()) + 4
        self.least = number / of * (1 - number / of) / of


def _alone(hours: Sequence[HostHour]) -> _ArmMail | None:
    if not hours:
        return None
    mail = _Mail(hours)
    every = np.ones(len(hours), np.bool_)
    return _ArmMail(mail, every, every / mail.of.sum(), np.zeros(len(hours)))


def _drawn(moves: Floats, least: float, seed: int, what: str) -> Floats:
    """Draw sums of what moves a rate, each times a random number, as wide as they are for so few."""
    rng = np.random.default_rng((seed, zlib.crc32(what.encode())))
    found = np.zeros(DRAWS)
    for one in moves:
        found += one * rng.standard_normal(DRAWS)
    if float((moves**2).sum()) < least:
        found = math.sqrt(least) * rng.standard_normal(DRAWS)
    free = len(moves) - 1
    drawn: Floats = found / np.sqrt(rng.chisquare(free, DRAWS) / free)
    return drawn


def _widened(moves: Floats) -> Floats:
    """Return moves as if each were what the rest says without it."""
    return moves * math.sqrt(len(moves) / (len(moves) - 1))


# ----- by time

Orders = Callable[[int], NDArray[np.bool_]]
"""Draws so many orders of the arms anew: for each slot whether it is the first arm's."""


def compare_times(
    slots: Iterable[ArmSlot], turns: Sequence[str], arm: str, other: str, seed: int
) -> Comparison | None:
    """Compare arms that all clients are dealt in turn; None: an arm had no mail.

    Args:
        slots: of all arms.
        turns: the arms in a row of a square, each as often as its share; their order says nothing.
        arm: whose rate is compared.
        other: with whose.
        seed: of the orders that are drawn.

    """
    names = sorted((arm, other))
    found = sorted(one for one in slots if one.of and one.arm in names)
    found.sort(key=lambda one: one.square)
    first = np.array([one.arm == names[0] for one in found], np.bool_)
    if first.all() or not first.any():
        return None
    number = np.array([one.number for one in found], np.float64)
    of = np.array([one.of for one in found], np.float64)
    _, starts, squares = np.unique([one.square for one in found], return_index=True, return_inverse=True)
    seen = float(_difference(first[None, :], number, of, starts)[0])
    if not math.isfinite(seen):
        return None
    rng = np.random.default_rng(seed)
    if set(turns) == set(names):
        orders = _squares(rng, found, squares, np.array([name == names[0] for name in sorted(turns)]))
    else:  # the slots of further arms stay where they are
        orders = _shuffles(rng, squares, first)
    lows, highs, tails = [], [], 0
    rows = max(1, AT_ONCE // max(len(found), len(starts) * len(turns)))
    for begin in range(0, ORDERS, rows):
        labels = orders(min(rows, ORDERS - begin))
        drawn = _difference(labels, number, of, starts)
        kept = _difference(labels, of * first, of, starts)  # how much of a true difference this order shows
        tails += int((np.abs(drawn) >= abs(seen) - 1e-12).sum())
        # Of a difference d taken away, |drawn - d * kept| >= |seen - d| holds between where both are equal.
        with np.errstate(divide="ignore", invalid="ignore"):
            one_end, other_end = (seen - drawn) / (1 - kept), (seen + drawn) / (1 + kept)
        same = ~(np.abs(kept) < 1 - 1e-9)  # the order that was, or its reverse, or one that compares nothing
        lows.append(np.where(same, -np.inf, np.minimum(one_end, other_end)))
        highs.append(np.where(same, np.inf, np.maximum(one_end, other_end)))
    low, high = np.concatenate(lows), np.concatenate(highs)
    if arm != names[0]:
        seen, low, high = -seen, -high, -low
    return Comparison(seen, (1 + tails) / (1 + ORDERS), np.sort(low), np.sort(high))


def _difference(first: NDArray[np.bool_], number: Floats, of: Floats, starts: Whole) -> Floats:
    """Return for each order the rates' difference within squares, put together as hours are by client."""
    mine, mine_of, all_of = (
        np.add.reduceat(values, starts, axis=-1) for values in (first * number, first * of, of)
    )
    yours, yours_of = np.add.reduceat(number, starts) - mine, all_of - mine_of
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = ((mine * yours_of - yours * mine_of) / all_of).sum(-1) / (
            mine_of * yours_of / all_of
        ).sum(-1)
    return found


def _squares(
    rng: np.random.Generator, slots: Sequence[ArmSlot], squares: Whole, turns: NDArray[np.bool_]
) -> Orders:
    """Draw Latin squares, as `Experiment.arm_at` does."""
    row = np.array([one.row for one in slots], np.int64)
    column = np.array([one.column for one in slots], np.int64)
    size, number = len(turns), int(squares.max()) + 1

    def draw(times: int) -> NDArray[np.bool_]:
        rows, columns, arms = (rng.random((times, number, size)).argsort(-1) for _ in range(3))
        place = (rows[:, squares, row] + columns[:, squares, column]) % size
        found: NDArray[np.bool_] = turns[arms[np.arange(times)[:, None], squares, place]]
        return found

    return draw


def _shuffles(rng: np.random.Generator, squares: Whole, first: NDArray[np.bool_]) -> Orders:
    """Shuffle slots within their squares."""

    def draw(times: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = first[(squares + rng.random((times, len(first)))).argsort(-1)]
        return found

    return draw


# ----- several comparisons


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for there being several (Holm); their order stays."""
    found, worst = [0.0] * len(p), 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        worst = max(worst, min(1.0, p[place] * (len(p) - rank)))
        found[place] = worst
    return found
