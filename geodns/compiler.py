"""From zones and the live set to the Table, touching only what a change touches."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import cast

from geodns import wire
from geodns.choice import Choice, Dealt, choose
from geodns.encode import encode
from geodns.live import LiveSet
from geodns.model import Family, Host, Record, Rule, Zone, family_of
from geodns.rotation import cycle, units
from geodns.table import EMPTY, Node, Part, Rotation, RotationKey, Table, ZoneTable
from geodns.wire import TYPE_NUMBERS, Answer, name_to_wire, record

PoolKey = tuple[str, str]
"""Zone name and pool name."""


@dataclass(frozen=True, eq=False)
class Source:
    """A zone as it is served: the file's content and what only the running server knows of it.

    Attributes:
        zone: what the file says.
        serial: the SOA's.
        retired: hosts taken out of the file that still answer for their own names.

    """

    zone: Zone
    serial: int
    retired: tuple[Host, ...] = ()

    @cached_property
    def names(self) -> ZoneTable:
        """Everything of the zone that does not depend on health, compiled."""
        return compile_names(self)


@dataclass(frozen=True, eq=False)
class Compiled:
    """A Table and what it was made from.

    Attributes:
        table: for the workers.
        sources: by zone name.
        choices: what each pool deals.
        keys: the rotations that each pool takes part in.

    """

    table: Table = EMPTY
    sources: Mapping[str, Source] = field(default_factory=dict)
    choices: Mapping[PoolKey, Choice] = field(default_factory=dict)
    keys: Mapping[PoolKey, tuple[RotationKey, ...]] = field(default_factory=dict)


def compile_zones(previous: Compiled, sources: Mapping[str, Source], live: LiveSet) -> Compiled:
    """Compile the zones that are not the very same as before, drop those that are gone, keep the rest."""
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
                rotations[key] = compile_rotation(zone, key, chosen)
        keys |= own_keys
    return Compiled(Table(zones, rotations, previous.table.policy), sources, choices, keys)


def recompile_pools(previous: Compiled, pools: Iterable[PoolKey], live: LiveSet) -> Compiled:
    """Choose anew for some pools, and make anew the rotations of those whose choice has changed.

    Args:
        previous: what is served now.
        pools: whose hosts may have changed, those that have them through a fallback included.
        live: the live set of now.

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
        rotations[touched] = compile_rotation(previous.sources[touched.zone].zone, touched, choices)
    return replace(previous, table=replace(previous.table, rotations=rotations), choices=choices)


def pools_by_host(zone: Zone) -> dict[str, frozenset[PoolKey]]:
    """Return, for each host, the pools whose choice it can change, those with fallbacks included."""
    found: dict[str, set[PoolKey]] = {host.name: set() for host in zone.hosts}
    for pool in zone.pools:
        for link in zone.chain(pool.name):
            for member in link.members:
                found[member.host].add((zone.name, pool.name))
    return {host: frozenset(pools) for host, pools in found.items()}


# --- names ---------------------------------------------------------------------------------------------


def compile_names(source: Source) -> ZoneTable:
    """Compile everything of a zone that does not depend on health (RFC 1034 section 4.2.1, RFC 4592)."""
    zone = source.zone
    origin = name_to_wire(zone.origin)
    records = {
        (name_to_wire(record.owner), record.type): record for record in (*zone.records, *_retired(source))
    }
    cuts = {owner for owner, rtype in records if rtype == "NS" and owner != origin}
    rrsets: dict[bytes, dict[int, Answer | RotationKey]] = {origin: {}}
    for (owner, rtype), one in records.items():
        if not _below(owner, cuts):
            own = rrsets.setdefault(owner, {})
            if owner not in cuts or rtype == "DS":
                own[TYPE_NUMBERS[rtype]] = _fixed(one)
    soa_ttl = zone.record_ttl
    soa = _soa(zone, source.serial)
    rrsets[origin][wire.SOA] = Answer(record(wire.SOA, soa_ttl, soa), an=1)
    families = _families(zone)
    for rule in zone.rules:
        owner = name_to_wire(rule.owner)
        if not _below(owner, cuts):
            own = rrsets.setdefault(owner, {})
            if key := _key_of(zone, rule, families):
                own[TYPE_NUMBERS[rule.type]] = key
    _add_name_server_addresses(zone, rrsets[origin], records)
    referrals = {cut: _referral(records[cut, "NS"], records) for cut in cuts}
    nodes = {owner: Node(some, referrals.get(owner)) for owner, some in rrsets.items()}
    for owner in list(nodes):
        for parent in wire.parents(owner):
            if parent in nodes or len(parent) <= len(origin):
                break
            nodes[parent] = Node()
    negative = record(wire.SOA, min(soa_ttl, zone.soa.minimum), soa)
    return ZoneTable(zone.name, origin, negative, nodes)


def _retired(source: Source) -> Iterable[Record]:
    """Return the address records of hosts that were taken out, where their names have no other now."""
    zone = source.zone
    kinds = [(one.owner, one.type) for one in zone.records] + [(rule.owner, rule.type) for rule in zone.rules]
    taken = {owner for owner, rtype in kinds if rtype in {"A", "AAAA", "CNAME"}}
    for host in source.retired:
        owner = zone.host_name(host.name)
        if owner in taken:
            continue
        for family in ("A", "AAAA"):
            values = tuple(
                (str(address),) for address in host.addresses if (address.version == 4) == (family == "A")
            )
            if values:
                yield Record(owner=owner, type=family, ttl=zone.ttl, values=values)


def _below(owner: bytes, cuts: set[bytes]) -> bool:
    return bool(cuts) and any(parent in cuts for parent in wire.parents(owner))


def _fixed(one: Record, owner: bytes = wire.QNAME) -> Answer:
    rtype = TYPE_NUMBERS[one.type]
    body = b"".join(record(rtype, one.ttl, encode(one.type, value), owner) for value in one.values)
    return Answer(body, an=len(one.values))


def _soa(zone: Zone, serial: int) -> bytes:
    soa = zone.soa
    times = (soa.refresh, soa.retry, soa.expire, soa.minimum)
    return encode("SOA", (soa.mname, soa.rname, str(serial), *(str(time) for time in times)))


def _addresses(name: bytes, records: Mapping[tuple[bytes, str], Record]) -> list[bytes]:
    """Return the address records of a name in the zone, each whole."""
    return [
        record(TYPE_NUMBERS[family], found.ttl, encode(family, value), name)
        for family in ("A", "AAAA")
        if (found := records.get((name, family)))
        for value in found.values
    ]


def _targets(name_servers: Record) -> list[bytes]:
    return [name_to_wire(value[0]) for value in name_servers.values]


def _add_name_server_addresses(
    zone: Zone, apex: dict[int, Answer | RotationKey], records: Mapping[tuple[bytes, str], Record]
) -> None:
    """Let the answer for the apex's NS carry the addresses that the zone has."""
    found = apex.get(wire.NS)
    one = records.get((name_to_wire(zone.origin), "NS"))
    if isinstance(found, Answer) and one is not None:
        extra = tuple(address for target in _targets(one) for address in _addresses(target, records))
        apex[wire.NS] = found._replace(extra=extra)


def _referral(name_servers: Record, records: Mapping[tuple[bytes, str], Record]) -> Answer:
    """Compile a zone cut's NS with its glue: all of it, or the answer is truncated (RFC 9471 section 3.1).

    What lies at or below the cut is needed; addresses of name servers elsewhere in the zone only help.
    """
    cut = name_to_wire(name_servers.owner)
    needed: list[bytes] = []
    helpful: list[bytes] = []
    for target in _targets(name_servers):
        inside = target == cut or cut in wire.parents(target)
        (needed if inside else helpful).extend(_addresses(target, records))
    fixed = _fixed(name_servers)
    return Answer(fixed.body + b"".join(needed), ns=fixed.an, ar=len(needed), extra=tuple(helpful))


# --- rotations -----------------------------------------------------------------------------------------


def _families(zone: Zone) -> dict[str, frozenset[str]]:
    """Return, for each pool, the families of which any host that it could deal has an address."""
    return {
        pool.name: frozenset(
            family_of(address)
            for link in zone.chain(pool.name)
            for member in link.members
            for address in zone.host_by_name[member.host].addresses
        )
        for pool in zone.pools
    }


def _key_of(zone: Zone, rule: Rule, families: Mapping[str, frozenset[str]]) -> RotationKey | None:
    """Return the key of a rule's rotation; None when no host it could deal has such an address."""
    if rule.type != "MX" and not any(rule.type in families[tier.pool] for tier in rule.tiers):
        return None
    return RotationKey(
        zone.name, rule.type, rule.ttl, tuple((tier.pool, tier.preference) for tier in rule.tiers)
    )


def _keys_of(zone: Zone) -> dict[PoolKey, tuple[RotationKey, ...]]:
    found: dict[PoolKey, dict[RotationKey, None]] = {(zone.name, pool.name): {} for pool in zone.pools}
    families = _families(zone)
    for rule in zone.rules:
        if key := _key_of(zone, rule, families):
            for pool, _ in key.tiers:
                found[zone.name, pool][key] = None
    return {pool: tuple(keys) for pool, keys in found.items()}


def compile_rotation(zone: Zone, key: RotationKey, choices: Mapping[PoolKey, Choice]) -> Rotation:
    """Compile the ready answers of a rotation from what its pools deal."""
    chosen = [(choices[zone.name, pool], preference) for pool, preference in key.tiers]
    # With several tiers, one that has nobody live is left out while another lives.
    serving = [entry for entry in chosen if entry[0].last_resort is None] or chosen
    ttl = min(choice.ttl(zone, key.ttl) for choice, _ in serving)
    note = "; ".join(_last_resort(choice) for choice, _ in serving if choice.last_resort is not None)
    serving = [entry for entry in serving if entry[0].dealt]
    if not serving:
        return Rotation(key, (), servfail=True, note=note)
    parts = []
    for choice, preference in serving:
        if key.type == "MX":
            parts.append(_mx_part(zone, choice, preference, ttl))
        elif part := _address_part(zone, choice, cast(Family, key.type), ttl):
            parts.append(part)
    return Rotation(key, tuple(parts), note=note)


def _last_resort(choice: Choice) -> str:
    """Say what a pool deals although nobody in it or its fallbacks is live."""
    if not choice.dealt:
        return f"nobody in pool {choice.pool} is live"
    return f"nobody in pool {choice.pool} is live: hosts are dealt that are {choice.last_resort}"


def _address_part(zone: Zone, choice: Choice, family: Family, ttl: int) -> Part | None:
    """Compile a pool's A or AAAA cycle; a host with several addresses lends one to each answer, in turn."""
    dealt = choice.of(family)
    if not dealt:
        return None
    rtype = TYPE_NUMBERS[family]
    lent = [[record(rtype, ttl, address.packed) for address in entry.of(family)] for entry in dealt]
    turns = [0] * len(dealt)
    bodies: list[tuple[bytes, tuple[int, ...]]] = []
    for row in _rows(zone, choice, dealt):
        records = []
        for host in row:
            records.append(lent[host][turns[host] % len(lent[host])])
            turns[host] += 1
        bodies.append((b"".join(records), row))
    return _part(choice, dealt, bodies)


def _mx_part(zone: Zone, choice: Choice, preference: int, ttl: int) -> Part:
    """Compile a pool's MX cycle: the hosts' names at equal preference."""
    lent = [
        record(
            TYPE_NUMBERS["MX"], ttl, preference.to_bytes(2, "big") + name_to_wire(zone.host_name(entry.host))
        )
        for entry in choice.dealt
    ]
    rows = _rows(zone, choice, choice.dealt)
    return _part(choice, choice.dealt, [(b"".join(lent[host] for host in row), row) for row in rows])


def _rows(zone: Zone, choice: Choice, dealt: tuple[Dealt, ...]) -> tuple[tuple[int, ...], ...]:
    weights = units([entry.effective for entry in dealt])
    # The seed differs from pool to pool, so that not all pools pair their first hosts.
    seed = int.from_bytes(f"{zone.name}/{choice.pool}".encode()[-8:], "big")
    return cycle(weights, choice.answers, seed)


def _part(choice: Choice, dealt: tuple[Dealt, ...], bodies: Iterable[tuple[bytes, tuple[int, ...]]]) -> Part:
    numbers: dict[tuple[bytes, tuple[int, ...]], int] = {}
    index = array("I", (numbers.setdefault(body, len(numbers)) for body in bodies))
    return Part(
        choice.pool,
        tuple(Answer(body, an=len(row)) for body, row in numbers),
        index,
        tuple(tuple(dealt[host].host for host in row) for _, row in numbers),
    )
