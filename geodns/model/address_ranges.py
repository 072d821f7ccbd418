"""Sets of addresses as sorted ranges: joined and cut without a look at single networks."""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import chain

Network = IPv4Network | IPv6Network

Bounds = Sequence[int]
"""In rising order: the first address in a range, the first behind it, the first in the next, and so on."""


@dataclass(frozen=True, slots=True)
class AddressRanges:
    """A set of IPv4 and IPv6 addresses, each family by the bounds of its ranges."""

    ipv4: Bounds = ()
    ipv6: Bounds = ()

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6)

    def has(self, address: int, *, ipv6: bool) -> bool:
        return bool(bisect_right(self.ipv6 if ipv6 else self.ipv4, address) % 2)

    def __and__(self, other: "AddressRanges") -> "AddressRanges":
        return AddressRanges(
            array("Q", _common(self.ipv4, other.ipv4)), tuple(_common(self.ipv6, other.ipv6))
        )


NOWHERE = AddressRanges()
EVERYWHERE = AddressRanges(array("Q", (0, 1 << 32)), (0, 1 << 128))


def ranges_of(networks: Iterable[Network]) -> AddressRanges:
    """Return the addresses of networks, which may overlap."""
    spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for one in networks:
        first = int(one.network_address)
        spans[one.version].append((first, first + (1 << one.max_prefixlen - one.prefixlen)))
    return AddressRanges(array("Q", _joined(sorted(spans[4]))), tuple(_joined(sorted(spans[6]))))


def cover(sets: Collection[AddressRanges], other: AddressRanges) -> bool:
    """Say whether some sets together have all addresses of another."""
    return _covered([one.ipv4 for one in sets], other.ipv4) and _covered(
        [one.ipv6 for one in sets], other.ipv6
    )


def _covered(sets: Collection[Bounds], other: Bounds) -> bool:
    for begin, behind in _spans(other):
        at = begin
        while at < behind:
            ends = [one[place] for one in sets if (place := bisect_right(one, at)) % 2]
            if not ends:
                return False
            at = max(ends)
    return True


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Yield the bounds of sorted spans, those that touch as one."""
    begin = end = -1
    for first, behind in spans:
        if first > end:
            if end >= 0:
                yield from (begin, end)
            begin, end = first, behind
        else:
            end = max(end, behind)
    if end >= 0:
        yield from (begin, end)


def any_of(sets: Iterable[AddressRanges]) -> AddressRanges:
    """Return the addresses that any of the sets has; one after another, many would take far longer."""
    some = tuple(sets)
    if len(some) == 1:
        return some[0]
    ipv4 = sorted(chain.from_iterable(_spans(one.ipv4) for one in some))
    ipv6 = sorted(chain.from_iterable(_spans(one.ipv6) for one in some))
    return AddressRanges(array("Q", _joined(ipv4)), tuple(_joined(ipv6)))


def _spans(bounds: Bounds) -> Iterator[tuple[int, int]]:
    return zip(bounds[0::2], bounds[1::2], strict=True)


def _common(one: Bounds, other: Bounds) -> Iterator[int]:
    """Yield the bounds of what lies in both sets."""
    ours, theirs = _spans(one), _spans(other)
    mine, their = next(ours, None), next(theirs, None)
    while mine is not None and their is not None:
        begin, behind = max(mine[0], their[0]), min(mine[1], their[1])
        if begin < behind:
            yield begin
            yield behind
        if mine[1] < their[1]:
            mine = next(ours, None)
        else:
            their = next(theirs, None)
