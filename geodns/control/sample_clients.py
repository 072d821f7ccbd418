"""Made-up clients, where nobody gives any: one for each range of addresses that rules tell apart."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import NamedTuple

from geodns.compiler.views import clients_of
from geodns.control.simulation import SimulatedClient
from geodns.model.views import GeoNetworks, PoolRule
from geodns.model.zone import Zone

MOST = 10_000
"""Ranges in a sample, at most."""
NETWORKS = 4096
"""Networks in a sample, at least, where a hash of the network decides."""
_END = {False: 1 << 32, True: 1 << 128}
_NEAR = {False: 1 << 8, True: 1 << 72}
"""Addresses of a /24 and a /56."""


class SampleClients(NamedTuple):
    """Clients that stand for ranges of addresses, all ranges alike.

    Attributes:
        ranges: that rules tell apart.
        taken: of these that are in the sample.

    """

    clients: tuple[SimulatedClient, ...]
    ranges: int
    taken: int


def sample_clients(zones: Iterable[Zone], geo: GeoNetworks, owners: Iterable[str] | None) -> SampleClients:
    """Return clients for the rules at some names; `owners` None: at all names of the zones.

    Where an experiment or a pool goes by a hash of the client's network, each range has many networks.
    """
    wanted = None if owners is None else set(owners)
    rules: dict[PoolRule, None] = {}
    hashed = False
    for zone in zones:
        for rule in zone.rules:
            if wanted is not None and rule.owner not in wanted:
                continue
            rules |= {one: None for tier in rule.tiers for one in tier.rules}
            held = zone.experiment_at.get(rule.owner)
            hashed |= (held is not None and held.by == "client") or any(
                zone.pool_by_name[pool].pick == "client" for pool in zone.pools_of(rule)
            )
    found = [clients_of(rule, geo) for rule in rules if rule.by_client]
    ranges = [
        (ipv6, first, behind)
        for ipv6 in (False, True)
        for first, behind in _ranges([one.ipv6 if ipv6 else one.ipv4 for one in found], _END[ipv6])
    ]
    taken = _thinned(ranges)
    each = max(1, NETWORKS // len(taken)) if hashed else 1
    return SampleClients(tuple(_clients(taken, each)), len(ranges), len(taken))


def _ranges(bounds: Iterable[Sequence[int]], end: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of one family between the bounds of any rule."""
    inside = sorted({0, end}.union(*bounds))
    yield from pairwise(inside)


def _thinned(ranges: list[tuple[bool, int, int]]) -> list[tuple[bool, int, int]]:
    if len(ranges) <= MOST:
        return ranges
    return [ranges[place * len(ranges) // MOST] for place in range(MOST)]


def _clients(ranges: Iterable[tuple[bool, int, int]], each: int) -> Iterator[SimulatedClient]:
    """Yield clients at even distances in each range, which together count alike for every range."""
    for ipv6, first, behind in ranges:
        networks = max(1, min(each, (behind - first) // _NEAR[ipv6]))
        for place in range(networks):
            address = first + (behind - first) * place // networks
            count = (place + 1) * each // networks - place * each // networks
            shown = IPv6Address(address) if ipv6 else IPv4Address(address)
            yield SimulatedClient(str(shown), count=count)
