"""Hosts that are dealt, with their weights; those that warm up within their ceilings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from geodns.compiler.ceilings import units_within
from geodns.model.base import Address

Ceilings = Mapping[str, Fraction]
"""The largest share of each host that warms up."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """A host that is dealt.

    Attributes:
        addresses: those that are live, of the families that are dealt.
        weight: the pool's, or what an operator has forced instead.
        factors: by name; each 0 to 1.
        units: of the cycle, where a host that warms up is in it; the buckets that it leads, where the pool
            picks by client; None: by effective weight.

    """

    host: str
    addresses: tuple[Address, ...]
    weight: int
    factors: Mapping[str, Fraction] = field(default_factory=dict)
    units: int | None = None

    @property
    def effective(self) -> Fraction:
        return math.prod(self.factors.values(), start=Fraction(self.weight))

    @property
    def portion(self) -> Fraction:
        """What shares are in proportion to."""
        return self.effective if self.units is None else Fraction(self.units)


@dataclass(frozen=True, slots=True)
class Bounded:
    """Hosts within their ceilings; those with no unit of the cycle are in `warmup` alone.

    Attributes:
        filled: whether those that warm up have all that their ceilings allow, the warm ones the rest alone.
        rows: the hosts of each bucket of clients, as positions in `dealt`; empty: answers are dealt in turn.

    """

    dealt: tuple[Dealt, ...] = ()
    warmup: Mapping[str, Fraction] = field(default_factory=dict)
    filled: bool = False
    rows: tuple[tuple[int, ...], ...] = ()


def bounded(dealt: Sequence[Dealt], warming: Ceilings, *, fill: bool = False) -> Bounded | None:
    """Bound the shares of hosts that warm up; None: no warm host is there to take the rest.

    Their factor `warmup` is what is left of the share that they would have by weight.
    """
    plain = [without_bound(entry) for entry in dealt]
    if not any(entry.host in warming for entry in plain):
        return Bounded(tuple(plain)) if plain else None
    units = units_within(
        [entry.effective for entry in plain], [warming.get(entry.host) for entry in plain], fill=fill
    )
    if units is None:
        return None
    total, weight = sum(units), sum((entry.effective for entry in plain), Fraction(0))
    left = {
        entry.host: min(Fraction(1), Fraction(part, total) * weight / entry.effective)
        for entry, part in zip(plain, units, strict=True)
        if entry.host in warming
    }
    return Bounded(
        tuple(
            replace(
                entry,
                units=part,
                factors={**entry.factors, "warmup": left[entry.host]}
                if left.get(entry.host, 1) < 1
                else entry.factors,
            )
            for entry, part in zip(plain, units, strict=True)
            if part
        ),
        left,
        fill,
    )


def without_bound(entry: Dealt) -> Dealt:
    """Return a host by its weight alone."""
    if entry.units is None:
        return entry
    factors = {name: factor for name, factor in entry.factors.items() if name != "warmup"}
    return replace(entry, units=None, factors=factors)
