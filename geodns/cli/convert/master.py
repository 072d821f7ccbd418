"""Writing a zone as a zone file (RFC 1035 section 5) that every name server reads.

Names are whole. A type that some server does not know by its name is written in the generic form (RFC 3597).
"""

from collections.abc import Iterable, Iterator

from geodns.model.base import family_of
from geodns.model.zone import Record, Rule, Zone
from geodns.wire.codes import number
from geodns.wire.encode import encode
from geodns.zonefile.names import parent
from geodns.zonefile.record_values import wire_to_text

_KNOWN = """
A NS CNAME SOA PTR HINFO MINFO MX TXT RP AFSDB RT KEY AAAA LOC SRV NAPTR KX CERT DNAME APL DS
SSHFP IPSECKEY DNSKEY DHCID TLSA SMIMEA CDS CDNSKEY OPENPGPKEY CSYNC ZONEMD SVCB HTTPS SPF NID
L32 L64 LP EUI48 EUI64 URI CAA
"""
_BY_NAME = frozenset(_KNOWN.split())
"""Types whose names and text all of BIND, NSD and Knot know."""


def master_file(zone: Zone, serial: int) -> str:
    """Return a zone's records as text, with `serial` where the zone has none of its own.

    Of a pool all hosts that have weight stand there, with a comment. Where rules choose among pools, it is
    that of clients that meet none: the file has one answer for everybody, and internal hosts are not
    everybody's. What lies below a DNAME is commented out: it is not served, and others refuse a file with it.
    """
    return "\n".join(_lines(zone, serial)) + "\n"


def _lines(zone: Zone, serial: int) -> Iterator[str]:
    soa = zone.soa
    shown = serial if soa.serial is None else soa.serial
    times = (soa.refresh, soa.retry, soa.expire, soa.minimum)
    fields = (soa.mname, soa.rname, str(shown), *map(str, times))
    yield f"; {zone.name}"
    yield f"$ORIGIN {zone.origin}"
    yield f"$TTL {zone.record_ttl}"
    yield from _rrset(Record(owner=zone.origin, type="SOA", ttl=zone.soa_ttl, values=(fields,)))
    aliased = {one.owner for one in zone.records if one.type == "DNAME"}
    named = [one for one in zone.records if (one.owner, one.type) == (zone.origin, "NS")]
    others = [one for one in zone.records if (one.owner, one.type) != (zone.origin, "NS")]
    for one in (*named, *others):
        mark = "; not served, it is below a DNAME: " if _is_below(one.owner, aliased, zone.origin) else ""
        yield from (mark + line for line in _rrset(one))
    for rule in zone.rules:
        whole = _whole(zone, rule)
        yield from _left_out(zone, rule)
        pools = ", ".join(tier.pool for tier in rule.tiers)
        if whole is None:
            yield f"; {rule.owner} {rule.type}: dealt from pool {pools}, which has no such address"
        else:
            yield f"; dealt from pool {pools}: geodns gives some of these in each answer, while they are up"
            yield from _rrset(whole)


def _left_out(zone: Zone, rule: Rule) -> Iterator[str]:
    """Say what of a dealt RRset the file cannot have: rules and experiments."""
    for tier in rule.tiers:
        for one in tier.rules:
            yield f"; {rule.owner} {rule.type}: left out: pool {one.use} for {one.when}"
    held = zone.experiment_at.get(rule.owner)
    if held is not None and any(held.pool in tier.pools for tier in rule.tiers):
        arms = ", ".join(f"{arm.pool} ({arm.share})" for arm in held.arms)
        yield f"; {rule.owner} {rule.type}: left out: experiment {held.name}, pools {arms} for {held.pool}"


def _is_below(owner: str, aliased: set[str], origin: str) -> bool:
    while aliased and owner != origin:
        owner = parent(owner)
        if owner in aliased:
            return True
    return False


def _rrset(one: Record) -> Iterator[str]:
    for value in one.values:
        wire = encode(one.type, value)
        kind, text = one.type, f"\\# {len(wire)} {wire.hex()}".rstrip()
        if kind in _BY_NAME:
            text = wire_to_text(number(one.type), wire)
        else:
            kind = f"TYPE{number(one.type)}"
        yield f"{one.owner} {one.ttl} IN {kind} {text}"


def _whole(zone: Zone, rule: Rule) -> Record | None:
    """Return all records that a rule may deal while all is well; None where it has none."""
    values: dict[tuple[str, ...], None] = {}
    for tier in rule.tiers:
        if rule.type == "MX":
            hosts = _weighted(zone, tier.pool)
            values |= dict.fromkeys((str(tier.preference), zone.host_name(host)) for host in hosts)
            continue
        if rule.type == "SRV":
            weights = {one.host: str(min(one.weight, 65535)) for one in zone.pool_by_name[tier.pool].members}
            values |= {
                (str(tier.preference), weights[host], str(tier.port), zone.host_name(host)): None
                for host in _weighted(zone, tier.pool)
            }
            continue
        for pool in zone.chain(tier.pool):
            found = [
                (str(address),)
                for host in _weighted(zone, pool.name)
                for address in zone.host_by_name[host].addresses
                if family_of(address) == rule.type
            ]
            if found:
                values |= dict.fromkeys(found)
                break
    if not values:
        return None
    return Record(owner=rule.owner, type=rule.type, ttl=rule.ttl, values=tuple(values))


def _weighted(zone: Zone, pool: str) -> Iterable[str]:
    return (member.host for member in zone.pool_by_name[pool].members if member.weight)
