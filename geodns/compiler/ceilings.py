"""Shares under ceilings: hosts that warm up get no more than theirs, the warm ones the rest.

In whole units of a cycle, so that what is dealt is within the ceilings to the last answer.
"""

from collections.abc import Sequence
from fractions import Fraction

from geodns.compiler.rotation import apportion, units
from geodns.model.limits import CYCLE

_STEPS = 4
"""Multiples of a ceiling's smallest step for which a cycle is looked for."""


def units_within(
    weights: Sequence[Fraction], ceilings: Sequence[Fraction | None], *, fill: bool = False
) -> tuple[int, ...] | None:
    """Return each host's units of one cycle, whose sum is the cycle; 0: it is not dealt.

    Warming hosts are rounded down. None: their ceilings leave a part of the cycle that no warm host is there
    to take.

    Args:
        weights: above 0.
        ceilings: the largest share of each; None: it is warm.
        fill: let warming hosts have all that their ceilings allow, and the warm ones the rest alone.

    """
    warm = [index for index, ceiling in enumerate(ceilings) if ceiling is None]
    most = max(CYCLE, 2 * len(weights))
    plain = _plain(weights, ceilings)
    if plain is not None and not fill:
        return plain
    if not warm:
        return _among_warming(weights, ceilings, most)
    wished = [Fraction(1)] * len(weights) if fill else _filled(weights, ceilings)
    bounds = {
        index: min(ceiling, wished[index]) for index, ceiling in enumerate(ceilings) if ceiling is not None
    }
    cycle = _cycle(list(bounds.values()), most)
    found = [0] * len(weights)
    for index, bound in bounds.items():
        found[index] = _floor(bound, cycle)
    own = [weights[index] for index in warm]
    if not any(found):
        return _spread(found, warm, units(own))
    # At least one unit for each warm host.
    over = sum(found) + len(warm) - cycle
    while over > 0:
        largest = max(bounds, key=lambda index: found[index])
        taken = min(over, found[largest])
        found[largest] -= taken
        over -= taken
    return _spread(found, warm, apportion(own, cycle - sum(found)))


def _spread(found: list[int], places: Sequence[int], parts: Sequence[int]) -> tuple[int, ...]:
    for index, part in zip(places, parts, strict=True):
        found[index] = part
    return tuple(found)


def _plain(weights: Sequence[Fraction], ceilings: Sequence[Fraction | None]) -> tuple[int, ...] | None:
    """Return the units by weight alone, if they keep every ceiling."""
    found = units(weights)
    total = sum(found)
    within = all(
        ceiling is None or part <= ceiling * total for part, ceiling in zip(found, ceilings, strict=True)
    )
    return found if within else None


def _filled(weights: Sequence[Fraction], ceilings: Sequence[Fraction | None]) -> list[Fraction]:
    """Return shares in proportion to the weights, but for those at their ceilings."""
    shares = [Fraction(0)] * len(weights)
    open_, rest = set(range(len(weights))), Fraction(1)
    while True:
        total = sum((weights[index] for index in open_), Fraction(0))
        over = {
            index
            for index in open_
            if (ceiling := ceilings[index]) is not None and weights[index] * rest > ceiling * total
        }
        if not over:
            break
        for index in over:
            shares[index] = ceilings[index] or Fraction(0)
        rest -= sum(shares[index] for index in over)
        open_ -= over
    for index in open_:
        shares[index] = weights[index] * rest / total
    return shares


def _among_warming(
    weights: Sequence[Fraction], ceilings: Sequence[Fraction | None], cycle: int
) -> tuple[int, ...] | None:
    limits = [_floor(min(ceiling or Fraction(0), Fraction(1)), cycle) for ceiling in ceilings]
    if sum(limits) < cycle:
        return None
    shares = _filled(weights, [Fraction(limit, cycle) for limit in limits])
    found = [_floor(share, cycle) for share in shares]
    for index in sorted(range(len(found)), key=lambda index: found[index] - limits[index]):
        more = min(limits[index] - found[index], cycle - sum(found))
        found[index] += more
    return tuple(found)


def _cycle(bounds: Sequence[Fraction], most: int) -> int:
    """Return the length of a cycle in which whole units come nearest to the bounds."""
    dealt = [bound for bound in bounds if bound * most >= 1]
    tries = {most}
    for bound in dealt:
        step = _floor(bound, most)
        tries |= {
            length
            for part in range(step, max(0, step - _STEPS), -1)
            if (length := -(-part * bound.denominator // bound.numerator)) > most // 2
        }

    def worst(length: int) -> tuple[Fraction, int]:
        return min((_floor(one, length) / (one * length) for one in dealt), default=Fraction(1)), length

    return max(tries, key=worst)


def _floor(share: Fraction, cycle: int) -> int:
    return share.numerator * cycle // share.denominator
