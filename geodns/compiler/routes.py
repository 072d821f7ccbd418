"""Zones and choices to the compiled routes of the Table."""

from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from geodns.compiler.choice import Choice
from geodns.model.routes import RouteRule
from geodns.model.state import HostKey, PoolKey
from geodns.model.zone import Zone
from geodns.responder.route_table import CompiledRule, RouteTarget, TargetKey, ZoneRoutes


def compile_routes(zone: Zone) -> ZoneRoutes | None:
    """Return a zone's rules for the Table; None: it has none."""
    if not zone.routes:
        return None
    rules = tuple(_rule(number, rule) for number, rule in enumerate(zone.routes, 1))
    return ZoneRoutes(zone.name, zone.local, rules)


def _rule(number: int, rule: RouteRule) -> CompiledRule:
    return CompiledRule(
        number,
        rule.digest,
        rule.recipient,
        rule.sender,
        rule.mail_class,
        rule.provider,
        tuple((int(one[0]), int(one[-1]), one.version == 6) for one in rule.client),
        rule.sasl,
        rule.over,
        rule.use.removesuffix("."),
        rule.deal == "host",
        rule.port,
    )


def pool_of_name(zone: Zone, name: str) -> str | None:
    """Return the pool whose hosts' addresses an absolute name deals; None: it deals none."""
    found = (rule.tiers[0].pool for rule in zone.rules if rule.owner == name and rule.type in {"A", "AAAA"})
    return next(found, None)


def compile_targets(
    zone: Zone, choices: Mapping[PoolKey, Choice], bars: Mapping[HostKey, frozenset[str]]
) -> dict[TargetKey, RouteTarget]:
    """Compile the hosts behind each name that a zone's rules use.

    Args:
        zone: with the rules.
        choices: of its pools.
        bars: the providers that bar each host.

    """
    found: dict[TargetKey, RouteTarget] = {}
    for use in dict.fromkeys(rule.use for rule in zone.routes):
        pool = pool_of_name(zone, use)
        if pool is None:
            continue
        name = use.removesuffix(".")
        choice, hosts = choices[zone.name, pool], sorted(zone.hosts_reached[pool])
        found[zone.name, name] = RouteTarget(
            zone.name,
            name,
            pool,
            _weights(choice),
            tuple(hosts),
            _by_provider({host: bars.get((zone.name, host), frozenset()) for host in hosts}),
        )
    return found


def _weights(choice: Choice) -> dict[str, int]:
    portions = {one.host: one.portion for one in choice.mx.dealt if choice.mx.last_resort is None}
    scale = lcm(*(Fraction(one).denominator for one in portions.values()))
    return {host: int(portion * scale) for host, portion in portions.items()}


def _by_provider(bars: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    providers = dict.fromkeys(provider for some in bars.values() for provider in some)
    return {one: frozenset(host for host, some in bars.items() if one in some) for one in providers}
