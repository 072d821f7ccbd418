"""Explains how an answer depends on the client: who counts, which rule applies and why, arm and affinity."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from geodns.api.explain_pools import shares_of
from geodns.api.schemas_explain import (
    ClientAnswerJson,
    DealtJson,
    ExplainedAffinityJson,
    ExplainedArmJson,
    ExplainedClientJson,
    ExplainedRuleJson,
    ViewJson,
)
from geodns.compiler.compile import Compiled
from geodns.compiler.static import view_key
from geodns.compiler.views import arm_key
from geodns.config.times import timestamp
from geodns.model.address_ranges import AddressRanges
from geodns.model.experiments import Experiment
from geodns.model.views import MOST_VALUES, GeoNetworks, PoolRule
from geodns.model.zone import Rule, Tier, Zone
from geodns.responder.lookup import ClientDeal, view_for
from geodns.responder.table import RotationKey, View, ViewKey
from geodns.responder.views import BUCKETS, SEATS, ClientNetwork, client_number, is_local
from geodns.wire.networks import Network
from geodns.zonefile.shadows import hidden_rules

K = TypeVar("K", str, int)

MANY = 4_000
"""Networks of a list from which on nobody looks whether rules hide others: that takes too long."""


@dataclass(frozen=True)
class ClientAnswer:
    """An answer that depends on the client.

    Attributes:
        geo: of what rules name.
        named: the network that the client's own option names; None: it has none.
        deal: what the client is dealt; None: nobody in particular asks.

    """

    compiled: Compiled
    zone: Zone
    key: ViewKey
    geo: GeoNetworks
    named: Network | None
    deal: ClientDeal | None

    def explain(self) -> ClientAnswerJson:
        rule = next(one for one in self.zone.rules if view_key(self.zone, one) == self.key)
        places = [
            _place(tier, self.geo, self._at, None if self.deal is None else self.deal.client)
            for tier in rule.tiers
        ]
        return {
            "client": None if self.deal is None else self._client(self.deal),
            "rules": [
                step
                for tier, place in zip(rule.tiers, places, strict=True)
                for step in self._steps(rule, tier, place)
            ],
            "views": self._views(rule),
            "experiment": self._arm(rule),
            "affinity": [] if self.deal is None else self._affinity(self.deal),
            "compiled": timestamp(self._at),
        }

    @property
    def _at(self) -> float:
        """When what is dealt was compiled, so what hours count."""
        return self.compiled.views[self.zone.name].at

    def rotations(self) -> list[RotationKey]:
        """Return what is dealt from: to the client, or to any."""
        if self.deal is not None:
            return [] if self.deal.key is None else [self.deal.key]
        views = self.compiled.table.views[self.key].views
        return list(dict.fromkeys(key for view in views for key in view.keys if key is not None))

    # --- the client -------------------------------------------------------------------------------------

    def _client(self, deal: ClientDeal) -> ExplainedClientJson:
        client = deal.client
        if client.scoped:
            why = "its option names this network"
        elif self.named is None:
            why = "it names no network, so its own address counts"
        elif self.named.prefixlen == 0:
            why = f"{self.named} names nobody, so its own address counts"
        elif is_local(ClientNetwork(self.named.version == 6, int(self.named.network_address))):
            why = f"{self.named} is not public and neither network of its own, so its own address counts"
        else:
            why = f"{self.named} is no network of clients, so its own address counts"
        shown = str(self.named) if client.scoped else str(ip_address(_packed(client)))
        return {"network": shown, "by": "ecs" if client.scoped else "source", "why": why, "scope": deal.scope}

    # --- rules ------------------------------------------------------------------------------------------

    def _steps(self, rule: Rule, tier: Tier, place: int | None) -> Iterator[ExplainedRuleJson]:
        if not tier.rules:
            return
        rules = (*tier.rules, PoolRule(use=tier.pool))
        few = sum(len(one.subnets) for one in rules) < MANY
        hidden = hidden_rules(rules) if few else {}
        for number, one in enumerate(rules):
            step: ExplainedRuleJson = {
                "rule": number + 1,
                "when": one.when,
                "pool": one.use,
                "applies": None if place is None else number == place,
                "why": self._why(one, number, place),
                "hidden_by": [other + 1 for other in hidden.get(number, ())],
            }
            if rule.type in {"MX", "SRV"}:
                step["preference"] = tier.preference
            yield step

    def _why(self, rule: PoolRule, number: int, place: int | None) -> str:
        """Say which conditions the client meets, or the first that it does not."""
        if place is not None and number > place:
            return f"rule {place + 1} comes first"
        client = None if self.deal is None else self.deal.client
        if client is None:
            if rule.hours is None:
                return ""
            return "its hours are" if rule.hours.include(self._at) else "its hours are not"
        met = []
        for good, text in conditions(rule, self.geo, self._at, client):
            if not good:
                return text
            met.append(text)
        return "; ".join(met) or "it is for all others"

    # --- views ------------------------------------------------------------------------------------------

    def _views(self, rule: Rule) -> list[ViewJson]:
        table = self.compiled.table
        mine = None if self.deal is None else view_for(table, self.key, self.deal.client)[0]
        held = self.zone.experiment_at.get(rule.owner)
        return [
            {
                "rules": _rules_of(rule, view, held),
                "applies": None if mine is None else number == mine,
                "deals": list(self._deals(view)),
            }
            for number, view in enumerate(table.views[self.key].views)
        ]

    def _deals(self, view: View) -> Iterator[DealtJson]:
        begin = 0
        for key, end in zip(view.keys, view.bounds or (SEATS,), strict=True):
            rotation = None if key is None else self.compiled.table.rotations[key]
            yield {
                "arm": None if key is None else key.arm or None,
                "share": (end - begin) / SEATS,
                "failover": rotation is not None and rotation.failover,
                "pools": {
                    part.pool: {host: float(first) for host, (first, _) in shares_of(part).items()}
                    for part in (() if rotation is None else rotation.parts)
                },
            }
            begin = end

    # --- experiment and affinity ------------------------------------------------------------------------

    def _arm(self, rule: Rule) -> ExplainedArmJson | None:
        held = self.zone.experiment_at.get(rule.owner)
        key = None if self.deal is None else self.deal.key
        if held is None or self.deal is None or key is None or not key.arm:
            return None
        arm = next(one.name for one in held.arms if arm_key(held, one.name) == key.arm)
        if held.by == "time":
            why = f"its slot ends at {timestamp(held.arm_at(self._at)[1])}"
        else:
            seat = self._seat(self.deal)
            place = bisect_right(held.bounds, seat)
            begin = held.bounds[place - 1] if place else 0
            why = f"seat {seat} of the client's network; the arm has {begin} to {held.bounds[place] - 1}"
        return {"experiment": held.name, "by": held.by, "arm": arm, "why": why}

    def _seat(self, deal: ClientDeal) -> int:
        _, view, _ = view_for(self.compiled.table, self.key, deal.client)
        return client_number(view.seed, deal.client, SEATS)

    def _affinity(self, deal: ClientDeal) -> list[ExplainedAffinityJson]:
        parts = () if deal.key is None else self.compiled.table.rotations[deal.key].parts
        found: list[ExplainedAffinityJson] = []
        for part in parts:
            if part.seed:
                bucket = client_number(part.seed, deal.client, BUCKETS)
                hosts = list(part.sets[part.index[bucket]])
                found.append({"pool": part.pool, "bucket": bucket, "hosts": hosts})
        return found


def _place(tier: Tier, geo: GeoNetworks, now: float, client: ClientNetwork | None) -> int | None:
    """Return the place of the rule that applies; None: that depends on the client."""
    if client is None:
        return None
    return next(
        (
            place
            for place, rule in enumerate(tier.rules)
            if all(good for good, _ in conditions(rule, geo, now, client))
        ),
        len(tier.rules),
    )


def conditions(
    rule: PoolRule, geo: GeoNetworks, now: float, client: ClientNetwork
) -> Iterator[tuple[bool, str]]:
    """Yield whether a client meets each condition of a rule, and why."""
    if rule.hours is not None:
        hours = rule.hours
        clock = f"{hours.clock(now):%a %H:%M} in {hours.tz}"
        yield hours.include(now), f"it is {clock}"
    if rule.subnets:
        within = next((str(one) for one in rule.subnets if _has(one, client)), "")
        yield bool(within), f"it lies in {within}" if within else "it lies in none of the subnets"
    yield from _of_place("country", rule.countries, geo.countries, client)
    yield from _of_place("continent", rule.continents, geo.continents, client)
    yield from _of_place("AS", rule.asns, geo.asns, client)


def _of_place(
    word: str, names: Sequence[K], known: Mapping[K, AddressRanges], client: ClientNetwork
) -> Iterator[tuple[bool, str]]:
    there = [one for one in names if one in known]
    found = next((one for one in there if known[one].has(client.address, ipv6=client.ipv6)), None)
    if found is not None:
        yield True, f"GeoIP: {word} {found}"
    elif names:
        said = " or ".join(map(str, names[:MOST_VALUES])) + (" …" if len(names) > MOST_VALUES else "")
        yield False, f"GeoIP: not {word} {said}" if there else f"no GeoIP file knows {word} {said}"


def _has(network: Network, client: ClientNetwork) -> bool:
    # A rule may name 100,000 of them; `num_addresses` would make an object for each, and keep it.
    return (network.version == 6) == client.ipv6 and (
        client.address & int(network.netmask) == int(network.network_address)
    )


def _packed(client: ClientNetwork) -> bytes:
    return client.address.to_bytes(16 if client.ipv6 else 4, "big")


def _rules_of(rule: Rule, view: View, held: Experiment | None) -> list[int]:
    """Return the numbers of the rules, of the first list that has any, which come to a view's pools."""
    tier = next((one for one in rule.tiers if one.rules), None)
    if tier is None:
        return []
    dealt = {one for key in view.keys if key is not None for one in key.tiers}
    wanted = {pool for pool, preference in dealt if preference == tier.preference}
    return [
        number
        for number, one in enumerate((*tier.rules, PoolRule(use=tier.pool)), 1)
        if any(pool in wanted for pool in _dealt_for(one.use, held))
    ]


def _dealt_for(pool: str, held: Experiment | None) -> Sequence[str]:
    """Return the pool, or those of the arms that replace it."""
    return [arm.pool for arm in held.arms] if held is not None and held.pool == pool else [pool]
