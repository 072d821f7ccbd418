"""Made-up clients, where nobody gives any: one for each range of addresses that rules tell apart."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from geodns.model.address_ranges import AddressRanges
from geodns.responder.views import ClientNetwork

MOST = 4096
"""Ranges in a sample, at most."""
NETWORKS = 4096
"""Networks in a sample, about, where a hash of the network decides."""
_END = {False: 1 << 32, True: 1 << 128}
_NEAR = {False: 1 << 8, True: 1 << 72}
"""Addresses of a /24 and a /56."""
_Range = tuple[bool, int, int]
"""A range: True for IPv6, its first address, and the first behind it."""


class SampleClients(NamedTuple):
    """Clients that stand for ranges of addresses, all ranges alike.

    Attributes:
        clients: with their queries.
        ranges: that rules tell apart.
        taken: of these that are in the sample.

    """

    clients: Counter[ClientNetwork]
    ranges: int
    taken: int


def sample_clients(conditions: Iterable[AddressRanges], *, hashed: bool) -> SampleClients:
    """Return clients for rules with these conditions.

    Args:
        conditions: the clients that each rule is for.
        hashed: whether a hash of the client's network decides too: each range then has many networks.

    """
    known = list(conditions)
    ranges = [
        (ipv6, first, behind)
        for ipv6 in (False, True)
        for first, behind in _ranges([one.ipv6 if ipv6 else one.ipv4 for one in known], _END[ipv6])
    ]
    taken = ranges
    if len(ranges) > MOST:
        taken = [ranges[place * len(ranges) // MOST] for place in range(MOST)]
    each = max(1, NETWORKS // len(taken)) if hashed else 1
    clients = Counter(dict(_clients(taken, each)))
    return SampleClients(clients, len(ranges), len(taken))


def _ranges(bounds: Iterable[Sequence[int]], end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of one family between the bounds of any rule."""
    yield from pairwise(sorted({0, end}.union(*bounds)))


def _clients(ranges: Iterable[_Range], each: int) -> Iterator[tuple[ClientNetwork, int]]:
    """Yield clients at even distances in each range, which together ask as often for every range."""
    for ipv6, first, behind in ranges:
        networks = max(1, min(each, (behind - first) // _NEAR[ipv6]))
        for place in range(networks):
            address = first + (behind - first) * place // networks
            yield ClientNetwork(ipv6, address), (place + 1) * each // networks - place * each // networks
