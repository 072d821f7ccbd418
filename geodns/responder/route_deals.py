"""Deals hosts to messages by exact weights, and writes where the MTA shall send them."""

from collections.abc import Mapping
from typing import NamedTuple

from geodns.responder.route_table import Allowance, CompiledRule, RouteTarget

MOST_LISTED = 8
"""Hosts in an answer that lists those beside the asking MTA."""


class Route(NamedTuple):
    """An answer; `host` is empty where no single host is dealt."""

    transport: str
    host: str = ""


def by_name(rule: CompiledRule) -> Route:
    """Return the answer that names the rule's name."""
    return Route(f"relay:[{rule.name}]:{rule.port}")


class Dealer:
    """Places in the rotations of targets, apart for each provider, and what warming hosts may still get."""

    def __init__(self) -> None:
        self._credits: dict[tuple[str, str, str], dict[str, int]] = {}
        self._left: dict[tuple[str, str, str], int] = {}
        self._until: dict[tuple[str, str], float] = {}

    def allow(self, allowances: Mapping[tuple[str, str], Allowance]) -> None:
        """Take what hosts may be dealt from now on; what was dealt before is in it."""
        for (zone, host), allowance in allowances.items():
            self._until[zone, host] = allowance.until
            for provider, number in allowance.left.items():
                self._left[zone, host, provider] = number

    def route(
        self, rule: CompiledRule, target: RouteTarget, provider: str, now: float, self_host: str = ""
    ) -> Route | None:
        """Return where a message goes.

        Args:
            rule: that fits it.
            target: of the rule's name.
            provider: of the recipient's domain; empty: not known.
            now: seconds of the monotonic clock.
            self_host: the host that asks; it is never answered.

        Returns:
            None where there is no host but the one that asks.

        """
        if self_host in target.hosts:
            return self._others(rule, target, provider, now, self_host)
        host = self._next(target, provider, now) if rule.by_host else ""
        if not host:
            return by_name(rule)
        return Route(f"relay:[{host}.{target.zone}]:{rule.port}, [{rule.name}]:{rule.port}", host)

    def _others(
        self, rule: CompiledRule, target: RouteTarget, provider: str, now: float, self_host: str
    ) -> Route | None:
        first = self._next(target, provider, now, self_host) if rule.by_host else ""
        live = sorted(target.weights, key=lambda host: -target.weights[host])
        listed = dict.fromkeys(one for one in (first, *live) if one and one != self_host)
        listed = listed or dict.fromkeys(one for one in target.hosts if one != self_host)
        if not listed:
            return None
        places = (f"[{host}.{target.zone}]:{rule.port}" for host in list(listed)[:MOST_LISTED])
        return Route("relay:" + ", ".join(places), first)

    def _next(self, target: RouteTarget, provider: str, now: float, without: str = "") -> str:
        """Return the next host by smooth weighted round robin; empty: none may be dealt."""
        barred = target.barred.get(provider, frozenset())
        capped = target.capped.get(provider, frozenset())
        may = {
            host: weight
            for host, weight in target.weights.items()
            if weight > 0 and host != without and host not in barred
            if host not in capped or self._has_left(target.zone, host, provider, now)
        }
        if not may:
            return ""
        known = self._credits.setdefault((target.zone, target.name, provider), {})
        for host, weight in may.items():
            known[host] = known.get(host, 0) + weight
        chosen = max(may, key=lambda host: known[host])
        known[chosen] -= sum(may.values())
        if chosen in capped:
            self._left[target.zone, chosen, provider] -= 1
        return chosen

    def _has_left(self, zone: str, host: str, provider: str, now: float) -> bool:
        return now < self._until.get((zone, host), 0.0) and self._left.get((zone, host, provider), 0) > 0
