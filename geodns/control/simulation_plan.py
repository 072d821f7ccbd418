"""From what an operator asks to be simulated to the zones, hosts, names and clients that it takes."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from geodns.compiler.answers import Source
from geodns.control.host_lookup import find_hosts
from geodns.control.simulation import (
    TYPES,
    Scenario,
    SimulatedClient,
    pooled_names,
    pooled_types,
    simulate,
    zone_for,
)
from geodns.control.simulation_shares import SimulatedName
from geodns.control.simulation_state import remarks
from geodns.errors import AmbiguousError, NotFoundError, UsageError
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.wire.idn import to_ascii

MOST_NAMES = 20
"""Names in one simulation."""
_LOOKED_AT = 200
"""Names of a query log that are looked at: many are not dealt."""
_SHOWN = 3


class SimulationWish(NamedTuple):
    """An operator's question.

    Attributes:
        name: None: every name with a pool, or of those in a query log.
        type: None: every type that a name is dealt in.
        clients: None: a sample of the ranges that rules tell apart.
        down: hosts, by name, address or glob, that probes would find down.
        weights: by the same, as `geodns weight` would set them.

    """

    name: str | None = None
    type: str | None = None
    clients: tuple[SimulatedClient, ...] | None = None
    down: tuple[str, ...] = ()
    weights: Mapping[str, int] = MappingProxyType({})


class SimulationPlan(NamedTuple):
    """The zones, names and hosts that a wish needs.

    Attributes:
        wish: that it is of.
        names: absolute, in lower case; those without a pool will be left out, unless one was wished.
        sources: of the zones that have these names.
        down: hosts of these.
        weights: likewise.
        more: names with a pool for which there is no room.

    """

    wish: SimulationWish
    names: tuple[str, ...]
    sources: Mapping[str, Source]
    down: tuple[HostKey, ...] = ()
    weights: Mapping[HostKey, int] = MappingProxyType({})
    more: int = 0

    @property
    def zones(self) -> dict[str, Zone]:
        return {name: source.zone for name, source in self.sources.items()}


@dataclass(frozen=True, slots=True)
class Simulation:
    """The result of a simulation.

    Attributes:
        at: the moment, in seconds since the epoch.
        clients: that ask; None: none were given, and samples stand for them.
        skipped: queries of clients that asked for names which are not simulated.
        more: names that there was no room for.
        remarks: on hosts, in words.

    """

    at: float
    clients: int | None
    skipped: int
    names: tuple[SimulatedName, ...]
    more: int
    remarks: tuple[str, ...]


def plan_simulation(wish: SimulationWish, sources: Mapping[str, Source]) -> SimulationPlan:
    """Return what a wish takes of the zones that there are.

    Raises:
        NotFoundError: no zone has the name or a host.
        AmbiguousError: several zones have a host of a short name.
        UsageError: a host has two weights, or there is no such name at all.

    """
    zones = {name: source.zone for name, source in sources.items()}
    names = list(_names(wish, zones))
    logged = any(one.name for one in wish.clients or ())
    most = _LOOKED_AT if logged else MOST_NAMES
    wanted = {zone.name for name in names[:most] if (zone := zone_for(zones, name)) is not None}
    some = {name: zone for name, zone in zones.items() if name in wanted}
    down = tuple(_hosts(wish.down, zones, some)) if wish.down else ()
    weights: dict[HostKey, int] = {}
    for text, weight in wish.weights.items():
        for host in _hosts((text,), zones, some):
            if weights.setdefault(host, weight) != weight:
                both = f"{weights[host]} and {weight}"
                raise UsageError(f"{host[1]}.{host[0]} has two weights, {both}: give one")
    served = {name: sources[name] for name in some}
    more = 0 if logged else max(0, len(names) - most)
    return SimulationPlan(wish, tuple(names[:most]), served, down, weights, more)


def _names(wish: SimulationWish, zones: Mapping[str, Zone]) -> Iterator[str]:
    if wish.name is not None:
        owner = to_ascii(wish.name).lower().rstrip(".") + "."
        if zone_for(zones, owner) is None:
            raise NotFoundError(f"{owner} is in no zone here; there are {', '.join(zones) or 'none'}")
        yield owner
        return
    asked: Counter[str] = Counter()
    for one in wish.clients or ():
        asked[one.name] += one.queries if one.name else 0
    named = [name for name, _ in asked.most_common() if name and zone_for(zones, name) is not None]
    yield from named or (name for zone in zones.values() for name in pooled_names(zone, wish.type))


def _hosts(texts: Sequence[str], zones: Mapping[str, Zone], some: Mapping[str, Zone]) -> list[HostKey]:
    """Return hosts of the zones that are simulated, or raise an error that names the others' too."""
    try:
        return find_hosts(texts, some)
    except NotFoundError:
        # In a zone of which no name is simulated: nothing of it would be seen.
        elsewhere = _found(texts, zones)
        if elsewhere:
            names = ", ".join(f"{host}.{zone}" for zone, host in elsewhere[:_SHOWN])
            raise NotFoundError(f"{names}: no name of its zone is simulated: leave it out") from None
        raise


def _found(texts: Sequence[str], zones: Mapping[str, Zone]) -> list[HostKey]:
    try:
        return find_hosts(texts, zones)
    except (NotFoundError, AmbiguousError):
        return []


def run_simulation(
    plan: SimulationPlan, scenario: Scenario, has_time: Callable[[], bool] = lambda: True
) -> Simulation:
    """Return what would become of the queries of the clients that were given, or of a sample.

    Raises:
        NotFoundError: no pool is behind the name that was wished.
        ServerError: there was no time left.

    """
    wish = plan.wish
    names = _pooled(plan, scenario)
    questions = [(name, rtype) for name, types in names[:MOST_NAMES] for rtype in types]
    asking, skipped = wish.clients, 0
    if asking is not None:
        simulated = {name for name, _ in questions}
        asking = tuple(one for one in asking if not one.name or one.name in simulated)
        skipped = sum(one.queries for one in wish.clients or ()) - sum(one.queries for one in asking)
    return Simulation(
        scenario.now,
        None if asking is None else len({(one.source, one.network) for one in asking}),
        skipped,
        simulate(scenario, questions, asking, has_time),
        plan.more + max(0, len(names) - MOST_NAMES),
        tuple(remarks(plan.zones, plan.down, scenario.live.forced)),
    )


def _pooled(plan: SimulationPlan, scenario: Scenario) -> list[tuple[str, list[str]]]:
    """Return the names that have a pool, with the types that are wished."""
    wish, found = plan.wish, []
    for name in plan.names:
        types = [one for one in pooled_types(scenario, name) if wish.type in {None, one}]
        if types:
            found.append((name, types))
    if not found:
        what = " or ".join(TYPES) if wish.type is None else wish.type
        known = dict.fromkeys(name for zone in plan.zones.values() for name in pooled_names(zone))
        which = plan.names[0] if wish.name is not None else "any name"
        near = difflib.get_close_matches(which, known, _SHOWN)
        those = ", ".join(near or list(known)[:_SHOWN]) or "none"
        raise NotFoundError(f"no pool is behind {which} for {what}: names that have one are {those}")
    return found
