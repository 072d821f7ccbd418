"""Compiles a zone's views in a process of its own: `view_service` starts it where there are many networks."""

import pickle
from collections.abc import Iterator
from typing import BinaryIO

from geodns.compiler.static import view_key
from geodns.compiler.views import compile_views
from geodns.model.views import GeoNetworks, PoolRule
from geodns.model.zone import Zone
from geodns.zones.apart import end_with_control, serve_apart

_NEEDED = ("name", "ttl", "min_ttl", "soa", "ns", "hosts", "pools", "experiments")


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


def packed_request(zone: Zone, geo: GeoNetworks, now: float) -> bytes:
    """Return what the other process needs: of the zone only what decides over views."""
    rules = tuple(rule for rule in zone.rules if view_key(zone, rule) is not None)
    part = Zone.model_construct(rules=rules, **{name: getattr(zone, name) for name in _NEEDED})
    plain = GeoNetworks(dict(geo.countries), dict(geo.continents), dict(geo.asns))
    return pickle.dumps((part, plain, now), protocol=pickle.HIGHEST_PROTOCOL)


def _compile(request: BinaryIO) -> Iterator[bytes]:
    zone, geo, now = pickle.load(request)  # noqa: S301 - control wrote it
    end_with_control()
    yield pickle.dumps(compile_views(zone, geo, now), protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    serve_apart("geodns: views", _compile)
