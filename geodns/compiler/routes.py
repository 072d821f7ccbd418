"""Compiles a zone's rules, and the hosts behind the names that they use, for the Table."""

from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from math import gcd, lcm
from typing import NamedTuple

from geodns.compiler.choice import Choice, Deal
from geodns.model.base import FAMILIES
from geodns.model.routes import RouteRule
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.responder.route_table import CompiledRule, RouteTarget, ZoneRoutes

PRECISION = 1 << 20
"""The most that the weights of a target add up to, but that nobody's becomes 0."""
_MOST_EXACT = 1 << 60
"""Common denominators beyond it are of no use: those of many factors have thousands of digits."""


def compile_routes(zone: Zone, known: ZoneRoutes | None = None) -> ZoneRoutes | None:
    """Return a zone's rules for the Table, ready to be looked up; None: it has none.

    Args:
        zone: with the rules.
        known: those of before, which are returned if they are the same.

    """
    if not zone.routes:
        return None
    rules = tuple(_rule(number, rule) for number, rule in enumerate(zone.routes, 1))
    if known is not None and known.rules == rules and known.local == zone.local:
        return known
    found = ZoneRoutes(zone.name, zone.local, rules)
    _ = found.index  # made here, so that the routes worker gets it with the rules
    return found


def _rule(number: int, rule: RouteRule) -> CompiledRule:
    return CompiledRule(
        number,
        rule.digest,
        rule.recipient,
        rule.sender,
        rule.mail_class,
        rule.provider,
        tuple((int(one[0]), int(one[-1]), one.version == 6) for one in rule.client),
        tuple(user.lower() for user in rule.sasl),
        rule.over,
        rule.use.removesuffix("."),
        rule.deal == "host",
        rule.port,
    )


class RoutedName(NamedTuple):
    """A name that rules use.

    Attributes:
        name: without final dot.
        pool: that it deals where no rule by client or time says otherwise.
        types: those of A and AAAA that it deals of it.
        hosts: all that it may deal to anybody at any time.

    """

    name: str
    pool: str
    types: tuple[str, ...]
    hosts: tuple[str, ...]


def routed_names(zone: Zone) -> dict[str, RoutedName]:
    """Return the names that a zone's rules use and that deal addresses, each by itself."""
    used = dict.fromkeys(rule.use for rule in zone.routes)
    dealt = [rule for rule in zone.rules if rule.type in FAMILIES and rule.owner in used] if used else []
    found: dict[str, RoutedName] = {}
    for owner in used:
        own = sorted((rule for rule in dealt if rule.owner == owner), key=lambda rule: rule.type)
        if not own:
            continue
        pool = own[0].tiers[0].pool
        types = tuple(rule.type for rule in own if rule.tiers[0].pool == pool)
        pools = {one for rule in own for one in zone.pools_of(rule)}
        hosts = frozenset[str]().union(*(zone.hosts_reached[one] for one in pools))
        name = owner.removesuffix(".")
        found[name] = RoutedName(name, pool, types, tuple(sorted(hosts)))
    return found


def compile_target(
    zone: Zone,
    routed: RoutedName,
    choice: Choice,
    bars: Mapping[HostKey, frozenset[str]],
    caps: Mapping[HostKey, frozenset[str]],
) -> RouteTarget:
    """Compile the hosts behind a name that a zone's rules use.

    Args:
        zone: with the rules.
        routed: the name.
        choice: of its pool.
        bars: the providers that bar each host.
        caps: the providers that may send each host a part of its mail alone: all of the warm-up, also while
            the day's cap is more than the pools send.

    """
    # A name that deals one family alone has no host that lives in the other.
    deal = choice.of(routed.types[0]) if len(routed.types) == 1 else choice.mx
    barred = ((host, bars.get((zone.name, host), ())) for host in routed.hosts) if bars else ()
    capped = ((host, caps.get((zone.name, host), ())) for host in routed.hosts) if caps else ()
    return RouteTarget(
        zone.name,
        routed.name,
        routed.pool,
        _weights(deal),
        routed.hosts,
        _by_provider(barred),
        _by_provider((*capped, *((host, _capped_for(zone, host)) for host in deal.warmup))),
    )


def _weights(deal: Deal) -> dict[str, int]:
    """Return the weights of live hosts in whole numbers, exact as far as they are small."""
    portions = {one.host: one.portion for one in deal.dealt if deal.last_resort is None and one.portion}
    if not portions:
        return {}
    scale = 1
    for portion in portions.values():
        scale = lcm(scale, portion.denominator)
        if scale > _MOST_EXACT:
            return _rounded({host: Fraction(float(one)) for host, one in portions.items()})
    whole = {host: int(portion * scale) for host, portion in portions.items()}
    divisor = gcd(*whole.values())
    found = {host: one // divisor for host, one in whole.items()}
    return found if sum(found.values()) <= PRECISION else _rounded(found)


def _rounded(weights: Mapping[str, int | Fraction]) -> dict[str, int]:
    total = float(sum(weights.values()))
    return {host: max(1, int(PRECISION * float(one) / total)) for host, one in weights.items()}


def _capped_for(zone: Zone, host: str) -> tuple[str, ...]:
    """Return the providers that may send a host that warms up a part of its mail alone."""
    plan = zone.host_by_name[host].warmup
    return tuple(cap.provider for cap in plan.provider_caps) if plan is not None else ()


def _by_provider(found: Iterable[tuple[str, Collection[str]]]) -> dict[str, frozenset[str]]:
    hosts: dict[str, set[str]] = {}
    for host, providers in found:
        for provider in providers:
            hosts.setdefault(provider, set()).add(host)
    return {provider: frozenset(hosts[provider]) for provider in sorted(hosts)}
