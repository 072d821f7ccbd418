"""Zones and the live set to the Table; only what a change touches is compiled again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from geodns.compiler.answers import Source, compile_rotation
from geodns.compiler.choice import Choice, choose
from geodns.compiler.live_set import LiveSet
from geodns.compiler.routes import compile_routes, compile_target
from geodns.compiler.static import key_of, pool_families, with_helper
from geodns.compiler.views import ZoneViews, compile_views
from geodns.model.state import HostKey, PoolKey
from geodns.model.views import NO_NETWORKS
from geodns.model.zone import Zone
from geodns.responder.route_table import RouteTarget, TargetKey, ZoneRoutes
from geodns.responder.table import EMPTY, Rotation, RotationKey, Table, ZoneTable
from geodns.wire.names import name_to_wire


@dataclass(frozen=True, eq=False)
class Compiled:
    """A Table and what it was compiled from.

    Attributes:
        sources: by zone name.
        views: what clients are dealt just now, by zone name.
        keys: the rotations that each pool takes part in.
        bars: the providers that bar each host.
        caps: the providers that may send each host a part of its mail alone, as its warm-up is not over.

    """

    table: Table = EMPTY
    sources: Mapping[str, Source] = field(default_factory=dict)
    views: Mapping[str, ZoneViews] = field(default_factory=dict)
    choices: Mapping[PoolKey, Choice] = field(default_factory=dict)
    keys: Mapping[PoolKey, tuple[RotationKey, ...]] = field(default_factory=dict)
    bars: Mapping[HostKey, frozenset[str]] = field(default_factory=dict)
    caps: Mapping[HostKey, frozenset[str]] = field(default_factory=dict)


def compile_zones(
    previous: Compiled,
    sources: Mapping[str, Source],
    live: LiveSet,
    views: Mapping[str, ZoneViews] = MappingProxyType({}),
) -> Compiled:
    """Compile the zones whose source is another object than before; drop those that are gone.

    A zone without `views` has those of before, or, where it is new or another, what no hour, place or slot
    of time changes.
    """
    zones: dict[bytes, ZoneTable] = {}
    choices: dict[PoolKey, Choice] = {}
    seen: dict[str, ZoneViews] = {}
    for name, source in sources.items():
        zone = source.zone
        if previous.sources.get(name) is source:
            origin = name_to_wire(zone.origin)
            zones[origin] = previous.table.zones[origin]
            choices |= {(name, pool.name): previous.choices[name, pool.name] for pool in zone.pools}
            seen[name] = views.get(name) or previous.views[name]
        else:
            zones[source.names.origin] = source.names
            choices |= {(name, pool.name): choose(zone, pool, live) for pool in zone.pools}
            seen[name] = views.get(name) or compile_views(zone, NO_NETWORKS, 0.0)
    same = frozenset(name for name, source in sources.items() if previous.sources.get(name) is source)
    found = _with_rotations(replace(previous, sources=sources, choices=choices), zones, seen, same)
    return _with_routes(found, previous.sources, sources.keys() - same)


def set_views(previous: Compiled, views: Mapping[str, ZoneViews]) -> Compiled:
    """Let the clients of some zones be dealt otherwise; hosts and pools stay as they are chosen."""
    if not any(previous.views.get(name) is not one for name, one in views.items()):
        return previous
    seen = {name: views.get(name, one) for name, one in previous.views.items()}
    return _with_rotations(previous, previous.table.zones, seen, frozenset(previous.sources))


def _with_rotations(
    before: Compiled, zones: Mapping[bytes, ZoneTable], views: Mapping[str, ZoneViews], same: frozenset[str]
) -> Compiled:
    """Compile the rotations that views and rules name; those of zones that are the `same` are kept."""
    keys: dict[PoolKey, tuple[RotationKey, ...]] = {}
    rotations: dict[RotationKey, Rotation] = {}
    for name, source in before.sources.items():
        if name in same and views[name] is before.views[name]:
            known_keys = {(name, pool.name): before.keys[name, pool.name] for pool in source.zone.pools}
            keys |= known_keys
            for some in known_keys.values():
                rotations.update((key, before.table.rotations[key]) for key in some)
            continue
        own_keys = _keys_of(source.zone, views[name])
        # Pool by pool: the rotations of one pool share its cycle.
        for key in dict.fromkeys(key for some in own_keys.values() for key in some):
            known = before.table.rotations.get(key) if name in same else None
            rotations[key] = known or compile_rotation(source, key, before.choices)
        keys |= own_keys
    found = tuple(views.values())
    table = replace(
        before.table,
        zones=zones,
        rotations=rotations,
        views={key: one for some in found for key, one in some.views.items()},
        partitions={key: one for some in found for key, one in some.partitions.items()},
    )
    return replace(before, table=table, views=views, keys=keys)


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
    found = replace(previous, table=replace(previous.table, rotations=rotations), choices=choices)
    touched_targets = [key for key, one in found.table.targets.items() if (one.zone, one.pool) in changed]
    return _with_targets(found, touched_targets)


def set_bars(previous: Compiled, bars: Mapping[HostKey, frozenset[str]]) -> Compiled:
    """Let providers bar other hosts: routes that deal hosts go by it."""
    if bars == previous.bars:
        return previous
    touched = _touched(previous, previous.bars, bars)
    return _with_targets(replace(previous, bars=dict(bars)), touched)


def set_caps(previous: Compiled, caps: Mapping[HostKey, frozenset[str]]) -> Compiled:
    """Let providers send other hosts a part of their mail alone: routes that deal hosts go by it."""
    if caps == previous.caps:
        return previous
    touched = _touched(previous, previous.caps, caps)
    return _with_targets(replace(previous, caps=dict(caps)), touched)


def _touched(
    previous: Compiled, before: Mapping[HostKey, frozenset[str]], after: Mapping[HostKey, frozenset[str]]
) -> list[TargetKey]:
    """Return the targets with a host of which something else is said than before."""
    hosts = {host for host in before.keys() | after.keys() if before.get(host) != after.get(host)}
    targets = previous.table.targets
    return [key for key, one in targets.items() if any((one.zone, host) in hosts for host in one.hosts)]


def _with_routes(found: Compiled, before: Mapping[str, Source], changed: Collection[str]) -> Compiled:
    """Compile the routes of zones that have changed, and drop those of zones that are gone.

    Rules that are the same objects as `before`, as where hosts come and go, are not even looked at.
    """
    known = found.table.routes
    if not known and not any(found.sources[name].zone.routes for name in changed):
        return found
    routes: dict[str, ZoneRoutes] = {}
    for name, source in found.sources.items():
        own = known.get(name)
        if name in changed and not _has_rules_of(source, before.get(name)):
            own = compile_routes(source.zone, own)
        if own is not None:
            routes[name] = own
    targets = {
        key: one for key, one in found.table.targets.items() if key[0] in routes and key[0] not in changed
    }
    table = replace(found.table, routes=routes, targets=targets)
    new = [(name, owner) for name in changed if name in routes for owner in found.sources[name].routed]
    return _with_targets(replace(found, table=table), new, found.table.targets)


def _has_rules_of(source: Source, before: Source | None) -> bool:
    if before is None:
        return False
    zone, other = source.zone, before.zone
    return zone.routes is other.routes and zone.local is other.local


def _with_targets(
    found: Compiled, keys: Collection[TargetKey], known: Mapping[TargetKey, RouteTarget] | None = None
) -> Compiled:
    """Compile the hosts behind some names that routes use; those that come to the same are kept."""
    if not keys:
        return found
    known = found.table.targets if known is None else known
    targets = dict(found.table.targets)
    for key in keys:
        source = found.sources[key[0]]
        routed = source.routed[key[1]]
        choice = found.choices[key[0], routed.pool]
        one = compile_target(source.zone, routed, choice, found.bars, found.caps)
        before = known.get(key)
        targets[key] = before if before is not None and before == one else one
    return replace(found, table=replace(found.table, targets=targets))


def pools_by_host(zone: Zone) -> dict[str, frozenset[PoolKey]]:
    """Return, for each host, the pools whose choice it can change, also through a fallback or overflow."""
    found: dict[str, set[PoolKey]] = {host.name: set() for host in zone.hosts}
    for pool in zone.pools:
        for link in zone.reach(pool.name):
            for member in link.members:
                found[member.host].add((zone.name, pool.name))
    return {host: frozenset(pools) for host, pools in found.items()}


def _keys_of(zone: Zone, views: ZoneViews) -> dict[PoolKey, tuple[RotationKey, ...]]:
    found: dict[PoolKey, dict[RotationKey, None]] = {(zone.name, pool.name): {} for pool in zone.pools}
    families = pool_families(zone)
    plain = (key_of(zone, rule, families) for rule in zone.rules)
    for key in (*(one for one in plain if isinstance(one, RotationKey)), *views.rotation_keys()):
        # The first arm helps out where another has nobody live.
        for pool in (*(pool for pool, _ in key.tiers), *(with_helper(zone, key.arm) or ())):
            found[zone.name, pool][key] = None
    return {pool: tuple(keys) for pool, keys in found.items()}
