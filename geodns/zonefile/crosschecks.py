"""Checks that need a whole zone file: aliases, targets, delegations, mail policy, what nothing uses."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from geodns.config.report import Report, first_and_count, quoted
from geodns.model.base import FAMILIES
from geodns.model.checks import Check
from geodns.model.hosts import Host
from geodns.model.zone import Pool, Record, Rule, Zone
from geodns.zonefile.names import is_within, parent
from geodns.zonefile.records import Names, PlacedRrset
from geodns.zonefile.sections import Placed

_TARGET_FIELD = {"MX": 1, "NS": 0, "SRV": 3, "CNAME": 0}
_NEED_ADDRESS = {"MX", "NS", "SRV"}


def check_names(names: Names, origin: str, report: Report) -> None:
    """Report bad aliases, targets, delegations and mail policy."""
    certain = not report.errors  # what seems to be missing may stand in a part that could not be read
    cuts = {name for name, kinds in names.items() if "NS" in kinds and name != origin}
    aliased = {name for name, kinds in names.items() if "DNAME" in kinds}
    if cuts or aliased:
        _check_occluded(names, origin, cuts, aliased, report)
    if "DS" in (apex := names.get(origin, {})):
        what = "DS at the zone's own name: it is not served"
        report.warn(apex["DS"].at, what, "it belongs into the parent zone (RFC 4035 section 2.4)")
    _check_aliases(names, origin, report, certain=certain)
    for kinds in names.values():
        for kind in _NEED_ADDRESS & kinds.keys():
            _check_targets(names, origin, cuts, kinds[kind], report, certain=certain)
        if any(map(_deals_mail_hosts, kinds.values())):
            _check_mail(kinds, report)


def _ancestors(name: str, origin: str) -> Iterator[str]:
    """Yield a name and those above it, up to the zone's own."""
    while name != origin:
        yield name
        name = parent(name)
    yield origin


def _check_occluded(names: Names, origin: str, cuts: set[str], aliased: set[str], report: Report) -> None:
    """Warn of names at or below a delegation, or below a DNAME (RFC 6672 section 2.4): they are not served.

    Those of pools and hosts are errors, since mail would be lost.
    """
    for name, kinds in names.items():
        path = [*_ancestors(name, origin)]
        over = next((above for above in reversed(path) if above in cuts or above in aliased), None)
        if over is None:
            continue
        at_cut, by_cut = over == name, over in cuts
        if by_cut and name.startswith("*."):
            what = f"the wildcard {name} is or lies below a delegation"
            report.warn(next(iter(kinds.values())).at, what, "take it out (RFC 4592 section 4.2)")
        if at_cut and not by_cut:
            continue  # a DNAME has other data beside it
        for kind, rrset in kinds.items():
            if by_cut and _may_stand_there(kind, rrset, at_cut=at_cut):
                continue
            where = f"at or below the delegation of {over}" if by_cut else f"below the DNAME of {over}"
            what = f"{kind} of {name} lies {where}: it is not served"
            instead = "move it to the servers of that zone" if by_cut else "take one of the two out"
            lost = isinstance(rrset.data, Rule) or rrset.of.startswith("host")
            (report.error if lost else report.warn)(rrset.at, what, instead)


def _may_stand_there(kind: str, rrset: PlacedRrset, *, at_cut: bool) -> bool:
    """Tell whether an RRset at or below a delegation is NS or DS of it, or glue."""
    if kind in {"A", "AAAA"}:
        return isinstance(rrset.data, Record) and not rrset.of.startswith("host")
    return at_cut and kind in {"NS", "DS"}


def _check_aliases(names: Names, origin: str, report: Report, *, certain: bool) -> None:
    done: set[str] = set()
    for name, kinds in names.items():
        alias = kinds.get("CNAME")
        if alias is None:
            continue
        others = [kind for kind in kinds if kind != "CNAME"]
        if name == origin:
            report.error(
                alias.at, "CNAME at the zone's own name", "SOA and NS stand there already: write A, or `pool`"
            )
        elif others:
            whose = next((f", the addresses of {kinds[kind].of}" for kind in others if kinds[kind].of), "")
            what = f"CNAME of {name} beside other data: {', '.join(others)}{whose}"
            report.error(alias.at, what, "an alias stands alone: take one out (RFC 1034 section 3.6.2)")
        _follow(names, origin, name, done, report, certain=certain)


def _follow(names: Names, origin: str, start: str, done: set[str], report: Report, *, certain: bool) -> None:
    """Report a loop of aliases, once, and a chain that ends at a name which does not exist."""
    path: dict[str, None] = {}
    name = start
    last: PlacedRrset | None = None
    while name not in path and name not in done and is_within(name, origin):
        kinds = _lookup(names, origin, name)
        alias = None if kinds is None else kinds.get("CNAME")
        if (
            certain
            and kinds is None
            and len(path) == 1
            and last is not None
            and not _is_delegated(names, origin, name)
        ):
            what = f"{start} is an alias of {name}, which does not exist"
            report.warn(last.at, what, "write that name too, or a final dot if it is a whole one")
        if alias is None or not isinstance(alias.data, Record):
            break
        path[name] = None
        last = alias
        name = alias.data.values[0][0]
    if name in path and last is not None:
        report.warn(last.at, f"a loop of aliases through {name}", "let one of them have an address")
    done.update(path)


def _is_delegated(names: Names, origin: str, name: str) -> bool:
    return any(above != origin and "NS" in names.get(above, {}) for above in _ancestors(name, origin))


def _lookup(names: Names, origin: str, name: str) -> Mapping[str, PlacedRrset] | None:
    """Return a name's RRsets, also from a wildcard (RFC 4592); None when it does not exist."""
    kinds = names.get(name)
    if kinds is not None or name == origin:
        return kinds or {}
    for above in _ancestors(parent(name), origin):
        wild = names.get(f"*.{above}")
        if wild is not None:
            return wild
        if above in names:
            break
    return None


def _check_targets(
    names: Names, origin: str, cuts: set[str], rrset: PlacedRrset, report: Report, *, certain: bool
) -> None:
    if not isinstance(rrset.data, Record):
        return
    kind = rrset.data.type
    for value in rrset.data.values:
        target = value[_TARGET_FIELD[kind]]
        if target == "." or not is_within(target, origin):
            continue
        found = _lookup(names, origin, target)
        if found is not None and "CNAME" in found:
            instead = "name the host that the alias stands for (RFC 2181 section 10.3)"
            report.warn(rrset.at, f"{kind} of {rrset.data.owner} points at the alias {target}", instead)
        elif certain and (found is None or not found.keys() & {"A", "AAAA"}):
            if kind != "NS" and cuts and any(above in cuts for above in _ancestors(target, origin)):
                continue
            what = f"{kind} of {rrset.data.owner} points at {target}, which has no address"
            instead = "write its address, or a final dot if the name is a whole one"
            report.warn(rrset.at, what, instead)


def _deals_mail_hosts(rrset: PlacedRrset) -> bool:
    """Say whether a pool answers with addresses or MX: senders look for neither where SRV stands."""
    return isinstance(rrset.data, Rule) and rrset.data.type != "SRV"


def _check_mail(kinds: Mapping[str, PlacedRrset], report: Report) -> None:
    dealt = next(filter(_deals_mail_hosts, kinds.values()))
    if "MX" not in kinds:
        what = f"{dealt.data.owner} has pool addresses and no MX: senders may deliver to it (implicit MX)"
        report.warn(
            dealt.at, what, 'write `MX: {pool: …, preference: 10}`, or `MX: "0 ."` if it takes no mail'
        )
    text = kinds.get("TXT")
    if text is None or not isinstance(text.data, Record):
        return
    for value in text.data.values:
        if "".join(value).lower().split() == ["v=spf1", "-all"]:
            what = f"{text.data.owner} deals mail hosts, and its SPF record `-all` refuses whatever they send"
            report.warn(text.at, what, "list their addresses, as v=spf1 ip4:192.0.2.0/24 -all")


def check_views(zone: Zone, names: Names, report: Report) -> None:
    """Warn where some clients get addresses of a family and others are told that there are none."""
    families = {pool.name: _families(zone, pool.name) for pool in zone.pools}
    for rule in zone.rules:
        held = zone.experiment_at.get(rule.owner)
        by_client = any(one.by_client for tier in rule.tiers for one in tier.rules)
        pools = zone.pools_of(rule)
        if rule.type not in FAMILIES or not (by_client or (held is not None and held.by == "client")):
            continue
        # A pool without hosts, which a source is yet to find, is not known to be without a family.
        without = [name for name in pools if families[name] and rule.type not in families[name]]
        if without and len(without) < len(pools):
            at = names[rule.owner][rule.type].at
            what = f"{rule.type} of {rule.owner}: {_pools(without)} no such address, and other pools have"
            instead = "resolvers tell all clients that there is none (RFC 7871 section 7.4): give it one"
            report.warn(at, what, instead)


def _pools(names: Sequence[str]) -> str:
    some = first_and_count([quoted(name) for name in names], 4)
    return f"pool {some} has" if len(names) == 1 else f"pools {some} have"


def _families(zone: Zone, pool: str) -> set[str]:
    members = (member for link in zone.reach(pool) for member in link.members)
    return {family for member in members for family in zone.host_by_name[member.host].by_family}


def check_use(
    zone: Zone,
    checks: Mapping[str, Placed[Check]],
    hosts: Mapping[str, Placed[Host]],
    pools: Mapping[str, Placed[Pool]],
    report: Report,
) -> None:
    """Warn of pools, checks and hosts that nothing uses; only after `pools` and `records` had no error."""
    dealt = (pool for rule in zone.rules for tier in rule.tiers for pool in tier.pools)
    arms = (arm.pool for one in zone.experiments for arm in one.arms)
    used = _used_pools((*dealt, *arms), pools)
    for name, (at, _) in pools.items():
        if name not in used:
            report.warn(at, f"no name deals pool {quoted(name)}", "name it under `records`, or take it out")
    used_checks = {check for _, pool in pools.values() for check in pool.checks}
    for name, (at, _) in checks.items():
        if name not in used_checks:
            report.warn(at, f"no pool uses check {quoted(name)}", "name it in a pool, or take it out")
    members = {member.host for _, pool in pools.values() for member in pool.members}
    for name, (at, _) in hosts.items():
        if name not in members:
            report.warn(at, f"no pool has host {quoted(name)}", "put it into a pool, or take it out")


def _used_pools(named: Iterable[str], pools: Mapping[str, Placed[Pool]]) -> set[str]:
    used: set[str] = set()
    waiting = [*named]
    while waiting:
        name = waiting.pop()
        if name in pools and name not in used:
            used.add(name)
            pool = pools[name].value
            waiting += [one for one in (pool.fallback, pool.overflow) if one is not None]
    return used
