"""Checks of routes that need a whole zone: the names they use, what never matches, what has no effect."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

from geodns.config import yaml_nodes
from geodns.config.report import Report, first_and_count, quoted
from geodns.model.base import FAMILIES
from geodns.model.hosts import Host
from geodns.model.routes import RouteRule
from geodns.model.zone import Rule, Zone
from geodns.wire.names import USUAL
from geodns.zonefile.route_shadows import containing, hidden_routes
from geodns.zonefile.routes import PlacedRoute
from geodns.zonefile.sections import Placed

_MOST_SHOWN = 3
_WIDEST = 60
"""Characters of a rule's conditions."""
_POOLED = "write a name that deals a pool, as `bulk: {pool: main}` under `records` makes one"


def check_routes(
    zone: Zone,
    routes: Sequence[PlacedRoute],
    root: yaml_nodes.Mapping,
    hosts: Mapping[str, Placed[Host]],
    report: Report,
) -> None:
    """Report names that routes cannot use, and warn of what never matches or has no effect.

    Args:
        zone: as it was read.
        routes: its rules, and where they stand.
        root: the file.
        hosts: those that the file itself has.
        report: takes the problems.

    """
    uses = _Uses(zone)
    for one in routes:
        uses.check(one, report)
    if report.errors:
        return  # rules may be missing: their numbers, and what comes before what, are not known
    _check_caps(zone, hosts, report)
    if not routes:
        if zone.local:
            report.warn(root.place("local"), "`local` without `routes` has no effect", "write `routes`, too")
        return
    _check_order(routes, report)
    _check_local(zone, routes, report)
    if "classes" in root.items:
        _check_classes(zone, routes, report)


class _Uses:
    """What the names of a zone deal, for rules that use them."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._dealt: dict[str, dict[str, Rule]] = {}
        for rule in zone.rules:
            self._dealt.setdefault(rule.owner, {})[rule.type] = rule
        self._wrong: dict[tuple[str, str], tuple[str, str] | None] = {}

    def check(self, one: PlacedRoute, report: Report) -> None:
        use = one.rule.use
        addresses = [rule for kind, rule in self._dealt.get(use, {}).items() if kind in FAMILIES]
        if not addresses and use not in self._dealt and use not in self._fixed:
            self._tell_unknown(one, report)
            return
        key = use, one.rule.deal
        if key not in self._wrong:
            self._wrong[key] = self._what_is_wrong(one.rule, addresses)
        wrong = self._wrong[key]
        if wrong is not None:
            report.error(one.place("deal" if addresses and one.rule.deal == "host" else "use"), *wrong)

    def _what_is_wrong(self, rule: RouteRule, addresses: Sequence[Rule]) -> tuple[str, str] | None:
        """Return why a rule cannot use its name, and what to write instead; None: it can."""
        use, dealt = rule.use, self._dealt.get(rule.use)
        if not addresses and dealt:
            what = f"{use} deals a pool by {' and '.join(dealt)} alone: MTAs are told a name with addresses"
            return what, "write `pool: NAME` there, too, or another name"
        if not addresses:
            return f"{use} has fixed records alone", _POOLED
        if USUAL.fullmatch(use) is None:
            return f"{use} cannot stand in a transport", "write a name of letters, digits and hyphens"
        why = self._undecided(use, addresses) if rule.deal == "host" else ""
        return (
            (f"`deal: host` at {use}, {why}", "write `deal: name`, or a name with one pool") if why else None
        )

    def _undecided(self, use: str, addresses: Sequence[Rule]) -> str:
        """Return why nobody can say which pool a name deals; empty: one pool, whoever asks."""
        held = self._zone.experiment_at.get(use)
        pools = {tier.pool for one in addresses for tier in one.tiers}
        if held is not None and held.pool in pools:
            return f"where the experiment {quoted(held.name)} is held: the pool depends on who asks DNS"
        if any(tier.rules for one in addresses for tier in one.tiers):
            return "where rules say the pool: it depends on who asks DNS"
        return "whose A and AAAA deal different pools" if len(pools) > 1 else ""

    def _tell_unknown(self, one: PlacedRoute, report: Report) -> None:
        zone, at = self._zone, one.place("use")
        text = one.rule.use
        doubled = text.removesuffix(f".{zone.origin}") if text.endswith(f".{zone.name}.{zone.origin}") else ""
        if doubled:
            what = f"{quoted(doubled)} without a final dot is {text[:120]}"
            report.error(at, what, f"write {quoted(f'{doubled}.')}, or the name without the zone's")
        else:
            report.unknown(at, "no name of this zone is called", self._relative(text), self._names)

    @cached_property
    def _names(self) -> list[str]:
        dealing = (owner for owner, kinds in self._dealt.items() if not kinds.keys().isdisjoint(FAMILIES))
        return [self._relative(owner) for owner in dealing]

    @cached_property
    def _fixed(self) -> frozenset[str]:
        return frozenset(record.owner for record in self._zone.records)

    def _relative(self, name: str) -> str:
        return "@" if name == self._zone.origin else name.removesuffix(f".{self._zone.origin}")


# --- what never matches -----------------------------------------------------------------------------------


def _check_order(routes: Sequence[PlacedRoute], report: Report) -> None:
    """Warn of rules that no message reaches, and of a list whose last rule is not for all."""
    rules = [one.rule for one in routes]
    for number, hiding in hidden_routes(rules).items():
        by = " and ".join(_shown(one, routes[one]) for one in hiding[:_MOST_SHOWN])
        more = len(hiding) - _MOST_SHOWN
        by += f" and {more} more" if more > 0 else ""
        verb = "takes" if len(hiding) == 1 else "take"
        what = f"rule {number + 1} never matches: {by} {verb} all of its mail"
        report.warn(routes[number].at, what, "put it before, or take it out")
    if all(rule.conditional for rule in rules):
        what = "no rule for mail that none of these fits: it leaves the way that the MTA has by itself"
        report.warn(routes[-1].at, what, 'end the list with a rule without conditions, as {use: "@"}')


def _shown(number: int, one: PlacedRoute) -> str:
    when = one.rule.when or "no condition"
    when = when if len(when) <= _WIDEST else f"{when[:_WIDEST]}…"
    return f"rule {number + 1} (line {one.at.line}: {when})"


def _check_local(zone: Zone, routes: Sequence[PlacedRoute], report: Report) -> None:
    """Warn of rules whose recipients are local all: nobody asks rules for these."""
    is_local = lru_cache(maxsize=1024)(containing(zone.local))
    for number, one in enumerate(routes if zone.local else (), 1):
        domains = [pattern.rpartition("@")[2] for pattern in one.rule.recipient]
        if domains and all(map(is_local, domains)):
            what = f"rule {number} never matches: its recipients are `local`"
            report.warn(one.place("recipient"), what, "take it out: local mail is never routed")


def _check_classes(zone: Zone, routes: Sequence[PlacedRoute], report: Report) -> None:
    known = {one.name for one in zone.classes}
    for one in routes:
        unknown = [name for name in one.rule.mail_class if name not in known]
        if unknown:
            what = f"`classes` does not define {first_and_count([*map(quoted, unknown)], 3)}"
            instead = f"define it there, unless the MTA says it: there is {', '.join(sorted(known))}"
            report.warn(one.place("class"), what, instead if known else "define it there")


def _check_caps(zone: Zone, hosts: Mapping[str, Placed[Host]], report: Report) -> None:
    """Warn of caps by provider for hosts that no route deals by host."""
    capped = [host for host in zone.hosts if host.warmup and host.warmup.provider_caps]
    if not capped:
        return
    pools_at: dict[str, set[str]] = {}
    for dealt_at in zone.rules:
        if dealt_at.type in FAMILIES:
            pools_at.setdefault(dealt_at.owner, set()).update(tier.pool for tier in dealt_at.tiers)
    dealt: dict[str, set[str]] = {}
    everybody: set[str] = set()
    for rule in zone.routes:
        if rule.deal == "host":
            reached = {host for pool in pools_at.get(rule.use, ()) for host in zone.hosts_reached[pool]}
            for provider in rule.provider:
                dealt.setdefault(provider, set()).update(reached)
            everybody |= reached if not rule.provider else set()
    for host in capped:
        caps = host.warmup.provider_caps if host.warmup else ()
        idle = [one.provider for one in caps if host.name not in everybody | dealt.get(one.provider, set())]
        if idle:
            what = f"no route with `deal: host` deals host {quoted(host.name)} mail to {', '.join(idle)}"
            at = hosts[host.name].at if host.name in hosts else None
            report.warn(at, what, "take its `caps` out, or write such a route: they count there alone")
