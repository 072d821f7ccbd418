"""Gives each bucket of clients its hosts, in a pool that picks by client: weighted rendezvous hashing.

Each pair of a host and a bucket has a score, fixed for ever: a sample of the exponential distribution.
A bucket belongs to the host whose score over its weight is smallest; so a host's part of the buckets is near
its part of the weight, one that goes gives up its own buckets and no others move, and another weight moves
buckets to or from its host alone.

Scores are the same on every machine: whatever is rounded is rounded as IEEE 754 says, which is not true of a
C library's logarithm.
"""

import hashlib
import math
import sys
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

from geodns.compiler.dealt import Bounded, Ceilings, Dealt, without_bound
from geodns.responder.views import BUCKETS, hash_seed

SEED = hash_seed("affinity", 0)
"""Of the hash that gives a client its bucket."""

_CELLS = 1024
"""Parts of [0, 1] at whose ends logarithms are known; between these a line is right to 1/2000."""
_FRACTION = 54
"""Bits of a hash below those that say its cell."""


class Scores(NamedTuple):
    """A host's scores, the smallest first, and the buckets that have them."""

    scores: "array[float]"
    buckets: "array[int]"


@lru_cache(maxsize=1)
def _lines() -> tuple[list[float], list[float]]:
    """Return -ln of where each cell begins, and how much it falls for each step of a fraction."""
    context = Context(prec=24)
    logs = [context.ln(Decimal(cell)) for cell in range(1, _CELLS + 1)]  # decimals are rounded correctly
    high = [float(context.subtract(logs[-1], log)) for log in logs]
    falls = [(one - following) / 2**_FRACTION for one, following in pairwise(high)]
    return [math.inf, *high], [math.inf, *falls]


@lru_cache(maxsize=4096)  # 24 KiB each
def scores_of(host: str) -> Scores:
    """Return a host's scores; they follow from its name alone."""
    drawn = array("Q", hashlib.shake_128(host.encode()).digest(8 * BUCKETS))
    if sys.byteorder == "big":
        drawn.byteswap()
    high, falls = _lines()
    low, mask = _CELLS // 16 << _FRACTION, (1 << _FRACTION) - 1
    found = [
        high[cell := number >> _FRACTION] - (number & mask) * falls[cell] if number >= low else _tail(number)
        for number in drawn
    ]
    order = sorted(range(BUCKETS), key=found.__getitem__)
    # 24 bits of each: two hosts tie once in millions of buckets.
    return Scores(array("f", map(found.__getitem__, order)), array("H", order))


def _tail(number: int) -> float:
    """Return -ln of a small number, doubled until it is in the upper half, where lines are right."""
    high, falls = _lines()
    number |= 1
    doubled = 64 - number.bit_length()
    number <<= doubled
    cell = number >> _FRACTION
    return doubled * high[_CELLS // 2] + high[cell] - (number & (1 << _FRACTION) - 1) * falls[cell]


def ranked(
    hosts: Sequence[str], weights: Sequence[float], limits: Sequence[int | None], size: int
) -> list[list[int]]:
    """Return the hosts of each bucket, as positions, the first `size` by score over weight.

    A host with a limit has the buckets where it is nearest, and those that it has no room for go to the next
    that has: pairs are taken in the order of score over weight, whatever the order of hosts and buckets. A
    bucket for which nobody has room gets fewer hosts.

    Args:
        hosts: each once.
        weights: above 0.
        limits: buckets that each may have at most; None: any number.
        size: hosts of a bucket, at most.

    """
    if size == 1 and not any(limit is not None for limit in limits):
        return [[at] for at in _nearest(hosts, weights)]
    rows: list[list[int]] = [[] for _ in range(BUCKETS)]
    room = [BUCKETS if limit is None else limit for limit in limits]
    known = [scores_of(host) for host in hosts]
    begun = [0] * len(hosts)
    open_ = [at for at in sorted(range(len(hosts)), key=hosts.__getitem__) if room[at]]
    wanted = size * BUCKETS
    reach, step = 0.0, size + 2
    while wanted and open_:
        # A few pairs for each bucket, however many hosts there are; more for the last buckets.
        reach += step / math.fsum(weights[at] for at in open_)
        step *= 2
        found: list[tuple[float, int, int]] = []
        for turn, at in enumerate(open_):
            (scores, buckets), divisor, start = known[at], weights[at], begun[at]
            begun[at] = end = _end(scores, divisor, reach, start)
            found += [
                (score / divisor, turn, bucket)
                for score, bucket in zip(scores[start:end], buckets[start:end], strict=True)
                if len(rows[bucket]) < size
            ]
        found.sort()
        for _, turn, bucket in found:
            at, row = open_[turn], rows[bucket]
            if len(row) < size and room[at]:
                row.append(at)
                room[at] -= 1
                wanted -= 1
        open_ = [at for at in open_ if room[at] and begun[at] < BUCKETS]
    return rows


def _nearest(hosts: Sequence[str], weights: Sequence[float]) -> list[int]:
    """Return the one host of each bucket where none has a limit: this is what nearly all pools need."""
    nearest, found = [math.inf] * BUCKETS, [-1] * BUCKETS
    order = sorted(range(len(hosts)), key=hosts.__getitem__)
    begun = [0] * len(hosts)
    missing: Collection[int] = range(BUCKETS)
    reach, step = 0.0, 4
    while missing:
        reach += step / math.fsum(weights)
        step *= 2
        for at in order:
            (scores, buckets), divisor, start = scores_of(hosts[at]), weights[at], begun[at]
            begun[at] = end = _end(scores, divisor, reach, start)
            for score, bucket in zip(scores[start:end], buckets[start:end], strict=True):
                if bucket in missing and (own := score / divisor) < nearest[bucket]:
                    nearest[bucket], found[bucket] = own, at
        missing = {bucket for bucket in missing if found[bucket] < 0}
    return found


def _end(scores: "array[float]", divisor: float, reach: float, start: int) -> int:
    """Return where the scores begin that are beyond reach once they are divided."""
    end = bisect_right(scores, reach * divisor, start)
    while end < BUCKETS and scores[end] / divisor <= reach:
        end += 1
    while end > start and scores[end - 1] / divisor > reach:
        end -= 1
    return end


class _Buckets(NamedTuple):
    """The hosts of all buckets.

    Attributes:
        kept: the hosts that some bucket has, as positions.
        led: how many buckets each of those leads.
        rows: the hosts of each bucket's answer, as positions in `kept`.

    """

    kept: tuple[int, ...]
    led: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]


@lru_cache(
    maxsize=64
)  # the types of a pool follow one another; 32 KiB each, ten times that for large answers
def buckets_of(
    hosts: tuple[str, ...],
    weights: tuple[float, ...],
    limits: tuple[int | None, ...],
    size: int,
    filled: bool,
) -> _Buckets | None:
    """Return what buckets get; None where limits leave some that nobody may take.

    A host with a limit follows in no answer that it does not lead: whether clients take the first host or
    shuffle, it has no more than its limit.
    """
    warm = [at for at, limit in enumerate(limits) if limit is None]
    first = [at for at in range(len(hosts)) if not filled or limits[at] is not None]

    def ranks(places: list[int], size: int) -> list[list[int]]:
        chosen = [hosts[at] for at in places], [weights[at] for at in places], [limits[at] for at in places]
        found = ranked(*chosen, size=size)
        return [[places[at] for at in row] for row in found]

    rows = ranks(warm, min(size, len(warm)))
    if len(warm) < len(hosts):
        rows = [
            [*leader, *(host for host in others if host not in leader)][:size]
            for leader, others in zip(ranks(first, 1), rows, strict=True)
        ]
    if not all(rows):
        return None
    numbers = Counter(map(tuple, rows))
    kept = tuple(sorted(set(chain.from_iterable(numbers))))
    place = {at: number for number, at in enumerate(kept)}
    led = Counter[int]()
    for row, number in numbers.items():
        led[row[0]] += number
    known = {row: tuple(place[at] for at in row) for row in numbers}
    return _Buckets(kept, tuple(led[at] for at in kept), tuple(known[row] for row in map(tuple, rows)))


def by_client(within: Bounded, warming: Ceilings, answers: int) -> Bounded:
    """Give each bucket of clients its hosts; shares are then what the buckets come to, not the weights.

    Hosts that no bucket has are not dealt. Where ceilings leave buckets that nobody may take, which needs
    more than 500 hosts that all warm up, nothing changes: answers are dealt in turn.
    """
    plain = [without_bound(entry) for entry in within.dealt]
    limits = [warming.get(entry.host) for entry in plain]
    found = buckets_of(
        tuple(entry.host for entry in plain),
        tuple(float(entry.effective) for entry in plain),
        tuple(None if limit is None else int(limit * BUCKETS) for limit in limits),
        answers,
        within.filled,
    )
    if found is None:
        return within
    left = dict(within.warmup)
    if left:
        total = sum((entry.effective for entry in plain), Fraction(0))
        for at, led in zip(found.kept, found.led, strict=True):
            entry, limit = plain[at], limits[at]
            if limit is not None:
                share = Fraction(led, BUCKETS)
                at_most = led == int(limit * BUCKETS)  # else it is chance that it has no more
                left[entry.host] = min(
                    Fraction(1), share * total / entry.effective if at_most else Fraction(1)
                )
    return Bounded(
        tuple(
            _with_buckets(plain[at], led, left.get(plain[at].host, Fraction(1)))
            for at, led in zip(found.kept, found.led, strict=True)
        ),
        left,
        within.filled,
        found.rows,
    )


def _with_buckets(entry: Dealt, buckets: int, left: Fraction) -> Dealt:
    factors = entry.factors if left == 1 else {**entry.factors, "warmup": left}
    return replace(entry, units=buckets, factors=factors)


@lru_cache(maxsize=4096)  # 8 KiB each
def address_scores(address: bytes) -> "array[int]":
    """Return a number for each bucket: of a host's addresses it has the one whose number is smallest."""
    drawn = array("H", hashlib.shake_128(address).digest(2 * BUCKETS))
    if sys.byteorder == "big":
        drawn.byteswap()
    return drawn
