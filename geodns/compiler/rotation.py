"""Weights to the cycle of answer sets: shares are exact both for first addresses and for random picks.

Drawing *k* of *n* hosts one after another is right only for clients that take the first address. Here the
cycle is built from whole numbers, layer by layer: sets of *k* hosts as far as the weights allow, then of
*k* - 1, down to single ones, so that a host's share is the same whether clients take the first or shuffle.
"""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from geodns.model.limits import CYCLE


@dataclass(frozen=True, slots=True)
class Layer:
    """The sets of one size in a cycle.

    Attributes:
        size: hosts in each set.
        sets: how many sets.
        firsts: for each host, the sets where it stands first; it appears in `size` times as many.

    """

    size: int
    sets: int
    firsts: tuple[int, ...]


def units(weights: Sequence[Fraction | int]) -> tuple[int, ...]:
    """Return the smallest whole numbers in the proportion of the weights, of which some must be above 0.

    Where their sum would pass max(`CYCLE`, hosts with weight) they are apportioned to that sum by largest
    remainders, and no weight above 0 becomes 0.
    """
    whole = _whole(weights)
    limit = max(CYCLE, sum(weight > 0 for weight in whole))
    return tuple(whole) if sum(whole) <= limit else _apportion(whole, limit)


def _whole(weights: Sequence[Fraction | int]) -> list[int]:
    exact = [Fraction(weight) for weight in weights]
    scale = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * scale) for weight in exact]
    divisor = math.gcd(*whole)
    return [weight // divisor for weight in whole]


def apportion(weights: Sequence[Fraction | int], seats: int) -> tuple[int, ...]:
    """Divide as many seats as there are hosts, or more, by weights above 0; nobody goes without."""
    return _apportion(_whole(weights), seats)


def _apportion(whole: Sequence[int], seats: int) -> tuple[int, ...]:
    """Divide seats by largest remainders; hosts whose part is under one seat get one, the others the rest."""
    given = [0] * len(whole)
    open_ = [index for index, weight in enumerate(whole) if weight]
    while True:
        left, total = seats - sum(given), sum(whole[index] for index in open_)
        small = [index for index in open_ if whole[index] * left < total]
        if not small:
            break
        for index in small:
            given[index] = 1
        open_ = [index for index in open_ if whole[index] * left >= total]
    for index in open_:
        given[index] = whole[index] * left // total
    by_remainder = sorted(open_, key=lambda index: (-(whole[index] * left % total), index))
    for index in by_remainder[: seats - sum(given)]:
        given[index] += 1
    return tuple(given)


def layers(weights: Sequence[int], answers: int) -> tuple[Layer, ...]:
    """Return how many sets of each size make one cycle of sum(weights) sets.

    Each set of *m* hosts is worth one unit and gives each of them 1/m; a host must collect as many units as
    it has weight. For each size the largest number of sets N is taken for which every host can stand first
    in at most N // m of them. That N is sum(min(rest, q)) for the largest q with that sum >= m * q: were it
    m * q + m or more, q + 1 would do as well. So nothing is ever left over that would have to be trimmed.
    """
    rest = list(weights)
    found: list[Layer] = []
    for size in range(min(answers, len(rest)), 0, -1):
        most = _widest(rest, size)
        if not most:
            continue
        firsts = tuple(min(weight, most) for weight in rest)
        rest = [weight - first for weight, first in zip(rest, firsts, strict=True)]
        found.append(Layer(size, sum(firsts), firsts))
    return tuple(found)


def _widest(rest: Sequence[int], size: int) -> int:
    """Return the largest q with sum(min(rest, q)) >= size * q; the sum is concave in q: halving finds it."""
    low, high = 0, sum(rest) // size
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(weight, middle) for weight in rest) >= size * middle:
            low = middle
        else:
            high = middle - 1
    return low


def _sets(layer: Layer, order: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield a layer's sets: column 0 lists each host in a run; column c is column 0 moved by c times N // m.

    No run is longer than N // m, so no set has a host twice; and each column holds each host equally often.
    """
    column = [host for host in order for _ in range(layer.firsts[host])]
    step = layer.sets // layer.size
    for row in range(layer.sets):
        yield tuple(column[(row - c * step) % layer.sets] for c in range(layer.size))


def _leaders(counts: Sequence[int]) -> Iterator[int]:
    """Yield who leads each set, every host as often as its count and as evenly as can be.

    Turn *n* of a host falls in the slots from n / share, rounded down, to (n + 1) / share, rounded up.
    Whoever must come first goes first, and nobody is ever late (Baruah et al., Proportionate progress, 1996).
    """
    total = sum(counts)
    waiting = [(0, host, 0) for host, count in enumerate(counts) if count]
    due: list[tuple[int, int, int]] = []
    for slot in range(total):
        while waiting and waiting[0][0] <= slot:
            _, host, turn = heapq.heappop(waiting)
            heapq.heappush(due, (-(-(turn + 1) * total // counts[host]), host, turn))
        _, host, turn = heapq.heappop(due)
        yield host
        if turn + 1 < counts[host]:
            heapq.heappush(waiting, ((turn + 1) * total // counts[host], host, turn + 1))


@lru_cache(maxsize=256)  # some 70 KB each: enough for the types of a pool, which follow one another
def cycle(weights: tuple[int, ...], answers: int, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    """Return the cycle of answer sets, each a tuple of positions in `weights`, in the order dealt.

    Over the cycle, host *i* is first in exactly weights[i] / sum(weights) of the sets, and the chance that a
    client which picks one host of a random set picks *i* is the same. Every stretch of the cycle is near
    those shares: of the first *n* sets, host *i* leads less than one more or less than its share of *n*.

    Args:
        weights: as `units` makes them.
        answers: hosts in a set, at most; 1 to 32.
        seed: chooses the partners that hosts have in the copies of the cycle.

    """
    rng = random.Random(seed)  # noqa: S311 - partners need variety, not secrecy
    total = sum(weights)
    layered = layers(weights, answers)
    led: list[list[tuple[int, ...]]] = [[] for _ in weights]
    for _ in range(max(1, CYCLE // total)):
        order = list(range(len(weights)))
        rng.shuffle(order)
        for layer in layered:
            for row in _sets(layer, order):
                led[row[0]].append(row)
    for rows in led:
        rng.shuffle(rows)
    return tuple(led[host].pop() for host in _leaders([len(rows) for rows in led]))
