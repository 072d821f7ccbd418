"""Sets of addresses as sorted ranges: joined and cut without a look at single networks."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
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

    def __or__(self, other: "AddressRanges") -> "AddressRanges":
        return AddressRanges(
            _merged(self.ipv4, other.ipv4, least=1, narrow=True), _merged(self.ipv6, other.ipv6, least=1)
        )

    def __and__(self, other: "AddressRanges") -> "AddressRanges":
        return AddressRanges(
            _merged(self.ipv4, other.ipv4, least=2, narrow=True), _merged(self.ipv6, other.ipv6, least=2)
        )


NOWHERE = AddressRanges()
EVERYWHERE = AddressRanges((0, 1 << 32), (0, 1 << 128))


def ranges_of(networks: Iterable[Network]) -> AddressRanges:
    """Return the addresses of networks, which may overlap."""
    spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for one in networks:
        first = int(one.network_address)
        spans[one.version].append((first, first + (1 << one.max_prefixlen - one.prefixlen)))
    return AddressRanges(array("Q", _joined(sorted(spans[4]))), tuple(_joined(sorted(spans[6]))))


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


def _merged(one: Bounds, other: Bounds, *, least: int, narrow: bool = False) -> Bounds:
    """Return the bounds of what lies in at least so many of two sets."""
    # Bounds with their side in the last bit: sorting joins two rising runs in one pass.
    turns = sorted(chain((at << 1 for at in one), (at << 1 | 1 for at in other)))
    found: list[int] = []
    inside = [0, 0]
    for turn in turns:
        inside[turn & 1] ^= 1
        if (inside[0] + inside[1] >= least) == bool(len(found) & 1):
            continue
        at = turn >> 1
        if found and found[-1] == at:  # one set ends where the other begins
            found.pop()
        else:
            found.append(at)
    return array("Q", found) if narrow else tuple(found)
