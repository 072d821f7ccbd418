"""Zones and the live set to the Table; only what a change touches is compiled again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from geodns.compiler.answers import Source, compile_rotation
from geodns.compiler.choice import Choice, choose
from geodns.compiler.live_set import LiveSet
from geodns.compiler.static import pool_families, rotation_key
from geodns.model.state import PoolKey
from geodns.model.zone import Zone
from geodns.responder.table import EMPTY, Rotation, RotationKey, Table, ZoneTable
from geodns.wire.names import name_to_wire


@dataclass(frozen=True, eq=False)
class Compiled:
    """A Table and what it was compiled from.

    Attributes:
        sources: by zone name.
        keys: the rotations that each pool takes part in.

    """

    table: Table = EMPTY
    sources: Mapping[str, Source] = field(default_factory=dict)
    choices: Mapping[PoolKey, Choice] = field(default_factory=dict)
    keys: Mapping[PoolKey, tuple[RotationKey, ...]] = field(default_factory=dict)


def compile_zones(previous: Compiled, sources: Mapping[str, Source], live: LiveSet) -> Compiled:
    """Compile the zones whose source is another object than before; drop those that are gone."""
    zones: dict[bytes, ZoneTable] = {}
    choices: dict[PoolKey, Choice] = {}
    keys: dict[PoolKey, tuple[RotationKey, ...]] = {}
    rotations: dict[RotationKey, Rotation] = {}
    for name, source in sources.items():
        zone = source.zone
        own_keys = _keys_of(zone)
        if previous.sources.get(name) is source:
            origin = name_to_wire(zone.origin)
            zones[origin] = previous.table.zones[origin]
            choices |= {(name, pool.name): previous.choices[name, pool.name] for pool in zone.pools}
            rotations |= {key: previous.table.rotations[key] for some in own_keys.values() for key in some}
        else:
            zones[source.names.origin] = source.names
            chosen = {(name, pool.name): choose(zone, pool, live) for pool in zone.pools}
            choices |= chosen
            # Pool by pool: the rotations of one pool share its cycle.
            for key in dict.fromkeys(key for some in own_keys.values() for key in some):
                rotations[key] = compile_rotation(source, key, chosen)
        keys |= own_keys
    return Compiled(Table(zones, rotations, previous.table.policy), sources, choices, keys)


def recompile_pools(previous: Compiled, pools: Iterable[PoolKey], live: LiveSet) -> Compiled:
    """Choose again for some pools, and compile the rotations of those whose choice changes.

    Pools that have a host through a fallback must be among them: `pools_by_host` knows.
    """
    changed: dict[PoolKey, Choice] = {}
    for key in pools:
        zone = previous.sources[key[0]].zone
        choice = choose(zone, zone.pool_by_name[key[1]], live)
        if choice != previous.choices[key]:
            changed[key] = choice
    if not changed:
        return previous
    choices = {**previous.choices, **changed}
    rotations = dict(previous.table.rotations)
    for touched in dict.fromkeys(rotation for pool in changed for rotation in previous.keys[pool]):
        rotations[touched] = compile_rotation(previous.sources[touched.zone], touched, choices)
    return replace(previous, table=replace(previous.table, rotations=rotations), choices=choices)


def pools_by_host(zone: Zone) -> dict[str, frozenset[PoolKey]]:
    """Return, for each host, the pools whose choice it can change, also through a fallback or overflow."""
    found: dict[str, set[PoolKey]] = {host.name: set() for host in zone.hosts}
    for pool in zone.pools:
        for link in zone.reach(pool.name):
            for member in link.members:
                found[member.host].add((zone.name, pool.name))
    return {host: frozenset(pools) for host, pools in found.items()}


def _keys_of(zone: Zone) -> dict[PoolKey, tuple[RotationKey, ...]]:
    found: dict[PoolKey, dict[RotationKey, None]] = {(zone.name, pool.name): {} for pool in zone.pools}
    families = pool_families(zone)
    for rule in zone.rules:
        if key := rotation_key(zone, rule, families):
            for pool, _ in key.tiers:
                found[zone.name, pool][key] = None
    return {pool: tuple(keys) for pool, keys in found.items()}
