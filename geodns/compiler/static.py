"""Compiles what health does not change: names, fixed answers, referrals."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import chain

from geodns.model.base import FAMILIES, family_of
from geodns.model.experiments import Experiment
from geodns.model.hosts import Host
from geodns.model.zone import Record, Rule, Tier, Zone
from geodns.responder.table import NameNode, RotationKey, Rrset, ViewKey, ZoneTable
from geodns.wire import codes
from geodns.wire.codes import NUMBERS, number
from geodns.wire.encode import encode
from geodns.wire.message import NOTHING, Answer
from geodns.wire.names import is_below, name_to_wire, parents
from geodns.wire.records import TARGETS, record, split_records, target_of

Records = dict[tuple[bytes, str], Record]
"""Fixed RRsets by owner name on the wire and type."""

Rrsets = dict[bytes, dict[int, Rrset]]
"""By owner name on the wire and type number."""


def compile_names(zone: Zone, serial: int, retired: Iterable[Host] = ()) -> ZoneTable:
    """Compile everything of a zone that does not depend on health.

    Names below a zone cut are not ours, but for glue (RFC 1034 section 4.2.1), and below a DNAME there are
    none (RFC 6672 section 2.4).
    """
    origin = name_to_wire(zone.origin)
    records: Records = {
        (name_to_wire(one.owner), one.type): one for one in (*zone.records, *_retired(zone, retired))
    }
    cuts = {owner for owner, rtype in records if rtype == "NS" and owner != origin}
    rrsets = _rrsets(zone, origin, records, cuts)
    soa = _soa(zone, serial)
    rrsets[origin][codes.SOA] = Answer(record(codes.SOA, zone.soa_ttl, soa), an=1)
    nodes = {owner: NameNode(some, NOTHING if owner in cuts else None) for owner, some in rrsets.items()}
    for owner in list(nodes):
        for parent in parents(owner):
            if parent in nodes or len(parent) <= len(origin):
                break
            nodes[parent] = NameNode()
    negative = record(codes.SOA, min(zone.soa_ttl, zone.soa.minimum), soa)
    table = ZoneTable(zone.name, origin, negative, nodes)
    _add_addresses(table, nodes, rrsets, records)
    return table


def _retired(zone: Zone, retired: Iterable[Host]) -> Iterable[Record]:
    """Yield the address records of hosts taken out of the file, unless their names have others now."""
    kinds = [(one.owner, one.type) for one in zone.records] + [(rule.owner, rule.type) for rule in zone.rules]
    taken = {owner for owner, rtype in kinds if rtype in {"A", "AAAA", "CNAME"}}
    for host in retired:
        owner = zone.host_name(host.name)
        if owner in taken:
            continue
        for family in FAMILIES:
            values = tuple((str(address),) for address in host.addresses if family_of(address) == family)
            if values:
                yield Record(owner=owner, type=family, ttl=zone.ttl, values=values)


def _rrsets(zone: Zone, origin: bytes, records: Records, cuts: set[bytes]) -> Rrsets:
    ends = cuts | {owner for owner, rtype in records if rtype == "DNAME"}
    rrsets: Rrsets = {origin: {}}
    for (owner, rtype), one in records.items():
        if not _below(owner, ends):
            own = rrsets.setdefault(owner, {})
            # The NS of a cut that is a wildcard is synthesized like any other RRset (RFC 4592 section 4.2).
            if owner not in cuts or rtype in {"DS", "NS"}:
                own[number(rtype)] = _fixed(one)
    families = pool_families(zone)
    for rule in zone.rules:
        owner = name_to_wire(rule.owner)
        if not _below(owner, ends):
            own = rrsets.setdefault(owner, {})
            if owner not in cuts and (key := key_of(zone, rule, families)):
                own[NUMBERS[rule.type]] = key
    return rrsets


def _below(owner: bytes, ends: set[bytes]) -> bool:
    return bool(ends) and any(parent in ends for parent in parents(owner))


def _fixed(one: Record) -> Answer:
    rtype = number(one.type)
    body = b"".join(record(rtype, one.ttl, encode(one.type, value)) for value in one.values)
    return Answer(body, an=len(one.values))


def _soa(zone: Zone, serial: int) -> bytes:
    soa = zone.soa
    times = (soa.refresh, soa.retry, soa.expire, soa.minimum)
    return encode("SOA", (soa.mname, soa.rname, str(serial), *(str(time) for time in times)))


# --- addresses that come with names --------------------------------------------------------------------


def addresses_of(table: ZoneTable, name: bytes) -> tuple[bytes, ...]:
    """Return a name's fixed address records, each whole; glue is not among them."""
    match = table.match(name)
    if match is None or (match.owner != name and not match.synthesized):
        return ()
    found = [match.node.rrsets.get(NUMBERS[family]) for family in FAMILIES]
    return tuple(
        one
        for answer in found
        if isinstance(answer, Answer)
        for one in split_records(answer.body, owner=name)
    )


def _add_addresses(table: ZoneTable, nodes: dict[bytes, NameNode], rrsets: Rrsets, records: Records) -> None:
    """Give zone cuts their referrals, and answers that name hosts of the zone these hosts' addresses."""

    @cache
    def addresses(target: bytes) -> tuple[bytes, ...]:
        match = table.match(target)
        if match is None or match.referral is None:
            return addresses_of(table, target)
        return tuple(
            record(NUMBERS[family], found.ttl, encode(family, value), target)
            for family in FAMILIES
            if (found := records.get((target, family)))
            for value in found.values
        )

    for owner, own in rrsets.items():
        for rtype in own.keys() & TARGETS.keys():
            answer = own[rtype]
            if isinstance(answer, Answer):
                targets = dict.fromkeys(filter(None, map(target_of, split_records(answer.body))))
                by_name = {target: addresses(target) for target in targets}
                own[rtype] = answer._replace(extra=tuple(chain.from_iterable(by_name.values())))
                if nodes[owner].referral is not None:
                    nodes[owner] = nodes[owner]._replace(referral=_referral(owner, answer, by_name))


def _referral(cut: bytes, name_servers: Answer, addresses: Mapping[bytes, tuple[bytes, ...]]) -> Answer:
    """Compile a zone cut's NS with its glue: all of it, or the answer is truncated (RFC 9471 section 3.1).

    What lies at or below the cut is needed; addresses of name servers elsewhere in the zone only help.
    """
    needed: list[bytes] = []
    helpful: list[bytes] = []
    for target, some in addresses.items():
        (needed if is_below(target, cut) else helpful).extend(some)
    body = name_servers.body + b"".join(needed)
    return Answer(body, ns=name_servers.an, ar=len(needed), extra=tuple(helpful))


# --- what is dealt -------------------------------------------------------------------------------------


def pool_families(zone: Zone) -> dict[str, frozenset[str]]:
    """Return, for each pool, the address families of all hosts that it could deal."""
    return {
        pool.name: frozenset(
            family_of(address)
            for link in zone.chain(pool.name)
            for member in link.members
            for address in zone.host_by_name[member.host].addresses
        )
        for pool in zone.pools
    }


def key_of(zone: Zone, rule: Rule, families: Mapping[str, frozenset[str]]) -> RotationKey | ViewKey | None:
    """Return what a dealt RRset is found by; None: it has no data."""
    views = view_key(zone, rule)
    return views or rotation_key(zone, rule, families, [tier.pool for tier in rule.tiers], rule.ttl)


def rotation_key(
    zone: Zone,
    rule: Rule,
    families: Mapping[str, frozenset[str]],
    pools: Sequence[str],
    ttl: int,
    arm: str = "",
) -> RotationKey | None:
    """Return the key of a rule's rotation; None: all hosts that it could deal are of the other family.

    Where there is no host at all, as before a source has given its first, there is a rotation that says
    SERVFAIL: a sender that hears of no address may bounce the mail.

    Args:
        zone: has the rule.
        rule: says type and preferences.
        families: of each pool.
        pools: one for each tier.
        ttl: seconds when all is well.
        arm: of an experiment.

    """
    found = frozenset().union(*(families[pool] for pool in pools))
    if rule.type in FAMILIES and found and rule.type not in found:
        return None
    tiers = tuple((pool, tier.preference) for pool, tier in zip(pools, rule.tiers, strict=True))
    ports = tuple(tier.port for tier in rule.tiers) if rule.type == "SRV" else ()
    return RotationKey(zone.name, rule.type, ttl, tiers, ports, arm)


def arm_key(experiment: Experiment, arm: str) -> str:
    """Return what `RotationKey.arm` calls an arm."""
    return f"{experiment.name}/{arm}"


def with_helper(zone: Zone, arm: str) -> tuple[str, str] | None:
    """Return the pool of an arm that `arm_key` names, and the first arm's, which helps out; None: of none."""
    experiment, _, name = arm.partition("/")
    held = zone.experiment_by_name.get(experiment)
    if held is None:
        return None
    return next(one.pool for one in held.arms if one.name == name), held.arms[0].pool


def view_key(zone: Zone, rule: Rule) -> ViewKey | None:
    """Return the key of what clients or times decide at a dealt RRset; None: all are dealt the same."""
    ruled = any(tier.rules for tier in rule.tiers)
    held = zone.experiment_at.get(rule.owner)
    holds = held is not None and any(held.pool in tier.pools for tier in rule.tiers)
    if not (ruled or holds or picks_by_client(zone, rule, [tier.pool for tier in rule.tiers])):
        return None
    lists = tuple((_digest(tier), tier.preference) for tier in rule.tiers)
    ports = tuple(tier.port for tier in rule.tiers) if rule.type == "SRV" else ()
    return ViewKey(zone.name, rule.type, rule.ttl, lists, ports, rule.owner if holds else "")


def picks_by_client(zone: Zone, rule: Rule, pools: Iterable[str]) -> bool:
    """Say whether some of the pools give a client hosts of its own; an SRV's weights are for all alike."""
    return rule.type != "SRV" and any(zone.pool_by_name[pool].pick == "client" for pool in pools)


def _digest(tier: Tier) -> str:
    """Return a short name of a tier's pools: a list of rules may be of thousands of networks."""
    if not tier.rules:
        return tier.pool
    text = " ".join([tier.pool, *(one.digest for one in tier.rules)])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
