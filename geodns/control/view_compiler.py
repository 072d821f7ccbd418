"""Compiles a zone's views in a process of its own: `view_service` starts it where there are many networks.

Networks travel as plain numbers: pickled as they are, the interpreter would be held for a tenth of a second.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import BinaryIO, NamedTuple

from geodns.compiler.views import compile_views
from geodns.model.views import GeoNetworks, PoolRule
from geodns.model.zone import Rule, Tier, Zone
from geodns.zones.apart import end_with_control, serve_apart

_NEEDED = ("name", "ttl", "min_ttl", "soa", "ns", "hosts", "pools", "experiments")
_NARROW, _WIDE = 4, 16
"""Bytes of an IPv4 and of an IPv6 address."""
_WIDER = 100


class _Networks(NamedTuple):
    """Networks in their order: the lengths of their prefixes, IPv6 ones more by `_WIDER`, and addresses."""

    lengths: bytes
    addresses: bytes


def ranges_named(zone: Zone, geo: GeoNetworks) -> int:
    """Return how many ranges of addresses the rules of a zone name."""
    return sum(_ranges(one, geo) for rule in zone.rules for tier in rule.tiers for one in tier.rules)


def _ranges(rule: PoolRule, geo: GeoNetworks) -> int:
    named = (
        *(geo.countries.get(one) for one in rule.countries),
        *(geo.continents.get(one) for one in rule.continents),
        *(geo.asns.get(one) for one in rule.asns),
    )
    return len(rule.subnets) + sum((len(one.ipv4) + len(one.ipv6)) // 2 for one in named if one is not None)


# --- control's side ----------------------------------------------------------------------------------------


def packed_zone(zone: Zone) -> bytes:
    """Return what of a zone decides over views."""
    networks: list[_Networks] = []

    def bare(rule: PoolRule) -> PoolRule:
        networks.append(_packed_networks(rule.subnets))
        return rule.model_copy(update={"subnets": ()})

    by_pick = any(pool.pick == "client" for pool in zone.pools)
    rules = [
        rule
        for rule in zone.rules
        if by_pick or rule.owner in zone.experiment_at or any(tier.rules for tier in rule.tiers)
    ]
    part = Zone.model_construct(
        rules=_with_rules(rules, bare), **{name: getattr(zone, name) for name in _NEEDED}
    )
    return pickle.dumps((part, networks), protocol=pickle.HIGHEST_PROTOCOL)


def packed_places(geo: GeoNetworks) -> bytes:
    """Return the networks of places; their bounds are packed as files gave them."""
    plain = GeoNetworks(dict(geo.countries), dict(geo.continents), dict(geo.asns))
    return pickle.dumps(plain, protocol=pickle.HIGHEST_PROTOCOL)


def packed_moment(now: float) -> bytes:
    """Return the moment for which is compiled; it comes behind the zone and the places."""
    return pickle.dumps(now)


def _with_rules(rules: Iterable[Rule], change: Callable[[PoolRule], PoolRule]) -> tuple[Rule, ...]:
    return tuple(
        rule.model_copy(update={"tiers": tuple(_with_changed(tier, change) for tier in rule.tiers)})
        for rule in rules
    )


def _with_changed(tier: Tier, change: Callable[[PoolRule], PoolRule]) -> Tier:
    return tier.model_copy(update={"rules": tuple(map(change, tier.rules))}) if tier.rules else tier


def _packed_networks(networks: Sequence[IPv4Network | IPv6Network]) -> _Networks:
    lengths = bytes(one.prefixlen + (_WIDER if one.version == 6 else 0) for one in networks)
    return _Networks(lengths, b"".join([one.network_address.packed for one in networks]))


# --- the process's side ------------------------------------------------------------------------------------


def unpacked(request: BinaryIO) -> tuple[Zone, GeoNetworks, float]:
    """Read what control has packed."""
    zone, networks = pickle.load(request)  # noqa: S301 - control wrote it
    places: GeoNetworks = pickle.load(request)  # noqa: S301 - likewise
    now: float = pickle.load(request)  # noqa: S301 - likewise
    waiting = iter(networks)

    def whole(rule: PoolRule) -> PoolRule:
        return rule.model_copy(update={"subnets": tuple(_unpacked_networks(next(waiting)))})

    zone = zone.model_copy(update={"rules": _with_rules(zone.rules, whole)})
    return zone, places, now


def _unpacked_networks(packed: _Networks) -> Iterator[IPv4Network | IPv6Network]:
    at = 0
    for length in packed.lengths:
        size = _WIDE if length >= _WIDER else _NARROW
        address = packed.addresses[at : at + size]
        at += size
        yield IPv6Network((address, length - _WIDER)) if size == _WIDE else IPv4Network((address, length))


def _compile(request: BinaryIO) -> Iterator[bytes]:
    zone, geo, now = unpacked(request)
    end_with_control()
    yield pickle.dumps(compile_views(zone, geo, now), protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    serve_apart("geodns: views", _compile)
