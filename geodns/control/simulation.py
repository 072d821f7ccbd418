"""Deals a list of clients against zones at one moment: shares by host, rule, pool and arm, before they ask.

Nothing is drawn by chance: where answers are dealt in turn, each client counts for the whole cycle.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones, recompile_pools, set_views
from geodns.compiler.live_set import LiveSet
from geodns.compiler.static import view_key
from geodns.compiler.views import ZoneViews, clients_of, compile_views
from geodns.control.sample_clients import sample_clients
from geodns.control.simulation_shares import QueryTally, ShareMaker, SimulatedName
from geodns.errors import ServerError
from geodns.model.address_ranges import AddressRanges
from geodns.model.views import GeoNetworks, PoolRule
from geodns.model.zone import Rule, Tier, Zone
from geodns.responder.lookup import deal_for, rrset_of
from geodns.responder.table import RotationKey, ViewKey
from geodns.responder.views import BUCKETS, ClientNetwork, client_network, client_number
from geodns.wire.codes import NUMBERS
from geodns.wire.edns import subnet_of
from geodns.wire.names import name_to_wire
from geodns.wire.networks import Network

TYPES = ("A", "AAAA", "MX", "SRV")
_Conditions = list[tuple[int, AddressRanges | None]]
"""The places of rules that hold now, each with its clients; None: all. The last is for all."""
CHECK_EVERY = 500
"""Clients dealt between two looks at whether there is time left."""


class SimulatedClient(NamedTuple):
    """Somebody who asks.

    Attributes:
        source: the address that its queries come from.
        network: the network that it says it asks for (RFC 7871); None: it does not say.
        queries: how often.
        name: the only name that it asks for, absolute and in lower case; empty: all.

    """

    source: str
    network: Network | None = None
    queries: int = 1
    name: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Zones at one moment, to deal from.

    Attributes:
        compiled: of all zones.
        live: that they were compiled for.
        geo: likewise.
        now: likewise, in seconds since the epoch.

    """

    compiled: Compiled
    live: LiveSet
    geo: GeoNetworks
    now: float


def compile_scenario(sources: Mapping[str, Source], live: LiveSet, geo: GeoNetworks, now: float) -> Scenario:
    """Compile zones for a moment; heavy where rules name many networks."""
    views = {name: compile_views(source.zone, geo, now) for name, source in sources.items()}
    return Scenario(compile_zones(Compiled(), sources, live, views), live, geo, now)


def change_scenario(
    served: Compiled,
    zones: Iterable[Zone],
    live: LiveSet,
    geo: GeoNetworks,
    now: float,
    views: Mapping[str, ZoneViews] = MappingProxyType({}),
) -> Scenario:
    """Compile what other hosts, weights and views change of zones that are served.

    Args:
        served: all zones.
        zones: the hosts and weights of these.
        live: with the changes.
        geo: that the views were compiled with.
        now: likewise.
        views: of zones that have others than now.

    """
    pools = [(zone.name, pool.name) for zone in zones for pool in zone.pools]
    return Scenario(recompile_pools(set_views(served, views), pools, live), live, geo, now)


# --- which names ----------------------------------------------------------------------------------------


def zone_for(zones: Mapping[str, Zone], owner: str) -> Zone | None:
    """Return the innermost zone that an absolute name is in."""
    name = owner.rstrip(".")
    while name and name not in zones:
        name = name.partition(".")[2]
    return zones.get(name)


def pooled_names(zone: Zone, rtype: str | None = None) -> list[str]:
    """Return the names that have a pool: the zone's own first, the others in the order of the file."""
    owners = dict.fromkeys(rule.owner for rule in zone.rules if rtype in {None, rule.type})
    return sorted(owners, key=lambda owner: owner != zone.origin)


def pooled_types(scenario: Scenario, owner: str) -> list[str]:
    """Return the types for which a name is dealt from pools, through wildcards and aliases."""
    table, wire = scenario.compiled.table, name_to_wire(owner)
    return [rtype for rtype in TYPES if rrset_of(table, wire, NUMBERS[rtype]) is not None]


# --- dealing --------------------------------------------------------------------------------------------


def simulate(
    scenario: Scenario,
    questions: Iterable[tuple[str, str]],
    clients: Iterable[SimulatedClient] | None,
    has_time: Callable[[], bool] = lambda: True,
) -> tuple[SimulatedName, ...]:
    """Return what becomes of the queries of some clients.

    Args:
        scenario: that is dealt from.
        questions: names, absolute and in lower case, and types that `pooled_types` gives.
        clients: who asks each of them; None: a sample of those that its rules tell apart.
        has_time: is asked now and then.

    Raises:
        ServerError: there was no time left.

    """
    simulation = _Simulation(scenario, has_time)
    if clients is None:
        return tuple(simulation.of(name, rtype, None) for name, rtype in questions)
    asking: dict[str, Counter[ClientNetwork]] = defaultdict(Counter)
    for one in clients:
        asking[one.name][client_network(subnet_of(one.network), one.source)] += one.queries
    return tuple(
        simulation.of(name, rtype, asking[""] + asking[name] if name in asking else asking[""])
        for name, rtype in questions
    )


class _Simulation:
    """Deals clients, and remembers what names share: the ranges of rules, and which name has which views."""

    def __init__(self, scenario: Scenario, has_time: Callable[[], bool]) -> None:
        self._scenario = scenario
        self._table = scenario.compiled.table
        self._has_time = has_time
        self._ranges: dict[PoolRule, AddressRanges] = {}
        self._ruled: dict[str, dict[ViewKey, Rule]] = {}

    def of(self, name: str, rtype: str, clients: Counter[ClientNetwork] | None) -> SimulatedName:
        key = rrset_of(self._table, name_to_wire(name), NUMBERS[rtype])
        assert key is not None, (name, rtype)
        tiers = self._tiers(key)
        lists = [self._conditions(tier) for tier in tiers]
        sample = None
        if clients is None:
            views = () if isinstance(key, RotationKey) else self._table.views[key].views
            named = [ranges for some in lists for _, ranges in some if ranges is not None]
            sample = sample_clients(named, hashed=any(view.near for view in views))
            clients = sample.clients
        tally = self._counted(key, lists, clients)
        made = ShareMaker(self._scenario.compiled, self._scenario.live, key, tiers, tally)
        return made.of(name, sample)

    def _tiers(self, key: RotationKey | ViewKey) -> tuple[Tier, ...]:
        """Return the tiers behind a key; the names that share it have the same."""
        if isinstance(key, RotationKey):
            return tuple(Tier(pool=pool, preference=rank) for pool, rank in key.tiers)
        if key.zone not in self._ruled:
            zone = self._scenario.compiled.sources[key.zone].zone
            keys = ((view_key(zone, rule), rule) for rule in zone.rules)
            self._ruled[key.zone] = {found: rule for found, rule in keys if found is not None}
        return self._ruled[key.zone][key].tiers

    def _counted(
        self, key: RotationKey | ViewKey, lists: list[_Conditions], clients: Counter[ClientNetwork]
    ) -> QueryTally:
        tally = QueryTally(rules=[Counter() for _ in lists])
        if isinstance(key, RotationKey):
            tally.rotations[key] = clients.total()
            for found in tally.rules:
                found[0] = clients.total()
            return tally
        for number, (client, count) in enumerate(clients.items()):
            if number % CHECK_EVERY == 0 and not self._has_time():
                raise ServerError("the simulation takes too long: name one name, or give fewer clients")
            rotation = deal_for(self._table, key, client).key
            tally.rotations[rotation] += count
            for found, conditions in zip(tally.rules, lists, strict=True):
                found[_place(conditions, client)] += count
            if rotation is not None:
                for part, one in enumerate(self._table.rotations[rotation].parts):
                    if one.seed:
                        tally.buckets[rotation, part][client_number(one.seed, client, BUCKETS)] += count
        return tally

    def _conditions(self, tier: Tier) -> _Conditions:
        """Return which rules of a tier hold now."""
        found: _Conditions = []
        for place, rule in enumerate(tier.rules):
            if rule.hours is not None and not rule.hours.include(self._scenario.now):
                continue
            if not rule.by_client:
                found.append((place, None))
                break
            if rule not in self._ranges:
                self._ranges[rule] = clients_of(rule, self._scenario.geo)
            found.append((place, self._ranges[rule]))
        else:
            found.append((len(tier.rules), None))
        return found


def _place(conditions: _Conditions, client: ClientNetwork) -> int:
    """Return the place of the first that a client meets; the last is for everybody."""
    for at, ranges in conditions[:-1]:
        if ranges is None or ranges.has(client.address, ipv6=client.ipv6):
            return at
    return conditions[-1][0]
