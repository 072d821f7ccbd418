"""Says in the words of a zone file what differs between two versions of a zone.

What follows from another section is left out: a host that is added brings records with its addresses, a TTL
of all answers is that of each. Keys that have no words here are shown by their names.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from geodns.model.base import FAMILIES, family_of
from geodns.model.experiments import Experiment
from geodns.model.hosts import Endpoint
from geodns.model.views import PoolRule
from geodns.model.warmup import ProviderCap
from geodns.model.zone import MinLive, Pool, Record, Rule, Tier, Zone
from geodns.zones.change_words import NAMED, arrow, few, keyed, line, short
from geodns.zones.route_diff import route_changes

_NO_SECONDS = frozenset({"degraded_weight", "floor", "full"})
"""Keys whose fractions are no durations."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def zone_diff(before: Zone, after: Zone) -> tuple[str, ...]:
    """Return a line for each change; none if and only if `Zone.digest` is the same."""
    if before.digest == after.digest:
        return ()
    return (
        tuple(_by_section(before, after))
        or tuple(_records(before, after, implied=True))
        or tuple(_orders(before, after))
        or tuple(_changes(before, after, Zone.model_fields.keys() - {"origins"}))
        or ("it differs",)
    )


def summary(zone: Zone) -> str:
    """Return how large a zone is, in words."""
    names = len({owner for owner, _ in _every(zone)})
    return f"hosts {len(zone.hosts)}, pools {len(zone.pools)}, names {names}"


def _by_section(before: Zone, after: Zone) -> Iterable[str]:
    apart = {"name", "soa", "ns", "checks", "hosts", "sources", "origins", "pools", "records", "rules"}
    apart |= {"reputation", "experiments", "local", "routes", "classes"}
    yield from _changes(before, after, apart)
    yield from (f"soa {change}" for change in _changes(before.soa, after.soa))
    old, new = before.reputation, after.reputation
    if old is None or new is None:
        yield from ["reputation added" if new else "reputation removed"] if old or new else []
    else:
        yield from (f"reputation {change}" for change in _changes(old, new))
    yield from _sections(before, after)
    yield from _records(before, after, implied=False)
    yield from _experiments(before, after)
    yield from route_changes(before, after)


def _sections(before: Zone, after: Zone) -> Iterable[str]:
    old_ns, new_ns = ({_relative(one.name, zone.origin): one for one in zone.ns} for zone in (before, after))
    yield from keyed("ns", old_ns, new_ns)
    for name in _both(old_ns, new_ns):
        yield from line(f"ns {name}", _changes(old_ns[name], new_ns[name], {"name"}))
    yield from keyed("checks", before.check_by_name, after.check_by_name)
    for name in _both(before.check_by_name, after.check_by_name):
        old_check, new_check = before.check_by_name[name], after.check_by_name[name]
        yield from line(f"check {name}", _changes(old_check, new_check, {"name"}))
    yield from keyed("hosts", before.host_by_name, after.host_by_name)
    in_pools = _weights_in_pools(before, after)
    for name in _both(before.host_by_name, after.host_by_name):
        apart = {"name", "weight"} if name in in_pools else {"name"}
        old_host, new_host = before.host_by_name[name], after.host_by_name[name]
        yield from line(f"host {name}", _changes(old_host, new_host, apart))
    old_from, new_from = ({one.title: one for one in zone.sources} for zone in (before, after))
    yield from keyed("hosts_from", old_from, new_from)
    for title in _both(old_from, new_from):
        yield from line(f"hosts_from {title}", _changes(old_from[title], new_from[title]))
    yield from keyed("pools", before.pool_by_name, after.pool_by_name)
    for name in _both(before.pool_by_name, after.pool_by_name):
        yield from _pool(before.pool_by_name[name], after.pool_by_name[name])


# --- pools ----------------------------------------------------------------------------------------------


def _weights(pool: Pool) -> dict[str, int]:
    return {member.host: member.weight for member in pool.members}


def _weights_in_pools(before: Zone, after: Zone) -> set[str]:
    """Return the hosts whose new weight shows in a pool that gives them none of its own."""
    shown = set()
    for name in _both(before.pool_by_name, after.pool_by_name):
        old, new = _weights(before.pool_by_name[name]), _weights(after.pool_by_name[name])
        shown |= {
            host
            for host in _both(old, new)
            if (old[host], new[host]) == (before.host_by_name[host].weight, after.host_by_name[host].weight)
        }
    return shown


def _pool(before: Pool, after: Pool) -> Iterable[str]:
    old, new = _weights(before), _weights(after)
    yield from (f"{before.name}: {line}" for line in keyed("hosts", old, new))
    changed = [host for host in _both(old, new) if old[host] != new[host]]
    if changed and old.keys() == new.keys() and len(old) <= NAMED:
        was, now = ("/".join(str(weights[host]) for host in new) for weights in (old, new))
        yield f"{before.name}: weights {was} → {now} ({', '.join(new)})"
    elif changed:
        yield f"{before.name}: weights {few(f'{host} {old[host]} → {new[host]}' for host in changed)}"
    yield from line(before.name, _changes(before, after, {"name", "members"}))


def _experiments(before: Zone, after: Zone) -> Iterable[str]:
    old, new = ({one.name: one for one in zone.experiments} for zone in (before, after))
    yield from keyed("experiments", old, new)
    for name in _both(old, new):
        changes = [*_changes(old[name], new[name], {"name", "owner", "arms"})]
        was, now = (_relative(one.owner, before.origin) for one in (old[name], new[name]))
        changes += [f"name {arrow(was, now)}"] if was != now else []
        if old[name].arms != new[name].arms:
            changes.append(f"arms {arrow(_arms(old[name]), _arms(new[name]))}")
        yield from line(f"experiment {name}", changes)


def _arms(one: Experiment) -> str:
    return few(f"{arm.name} {arm.share} of {arm.pool}" for arm in one.arms)


# --- records --------------------------------------------------------------------------------------------


Rrset = Record | Rule
"""The answer for an owner name and type, fixed or dealt."""

_Rrsets = dict[tuple[str, str], Rrset]


def _every(zone: Zone) -> _Rrsets:
    found: tuple[Rrset, ...] = (*zone.records, *zone.rules)
    return {(one.owner, one.type): one for one in found}


def _records(before: Zone, after: Zone, *, implied: bool) -> Iterable[str]:
    """Return the changes of records; with `implied` also of those that follow from other sections."""
    old, new = _every(before), _every(after)
    if not implied:
        old_follow, new_follow = _following(before), _following(after)
        apart = {
            key
            for key in {**old, **new}
            if all(
                key not in some or _content(some[key]) == follow.get(key)
                for some, follow in ((old, old_follow), (new, new_follow))
            )
        }
        old, new = ({key: one for key, one in some.items() if key not in apart} for some in (old, new))
    shown = {key: f"{_relative(key[0], before.origin)} {key[1]}" for key in {**old, **new}}
    was, now = ({shown[key]: one for key, one in some.items()} for some in (old, new))
    yield from keyed("records", was, now)
    for name in _both(was, now):
        yield from line(name, _rrset_changes(before, was[name], after, now[name]))


def _following(zone: Zone) -> dict[tuple[str, str], Any]:
    """Return the values of the records that follow from hosts and name servers."""
    found: dict[tuple[str, str], Any] = {(zone.origin, "NS"): tuple((one.name,) for one in zone.ns)}
    named = [(zone.host_name(one.name), one.addresses) for one in zone.hosts]
    for owner, addresses in (*((one.name, one.addresses) for one in zone.ns), *named):
        for family in FAMILIES:
            found[owner, family] = tuple((str(one),) for one in addresses if family_of(one) == family)
    return found


def _rrset_changes(before: Zone, old: Rrset, after: Zone, new: Rrset) -> Iterable[str]:
    if isinstance(old, Rule) and isinstance(new, Rule):
        yield from _tier_changes(old, new)
    elif _content(old) != _content(new):
        yield arrow(_value(old), _value(new))
    if old.ttl != new.ttl and (old.ttl, new.ttl) != (_usual_ttl(before, old), _usual_ttl(after, new)):
        yield f"ttl {old.ttl} → {new.ttl}"


def _usual_ttl(zone: Zone, one: Rrset) -> int:
    return zone.record_ttl if isinstance(one, Record) else zone.ttl


def _content(one: Rrset) -> Any:
    return one.values if isinstance(one, Record) else one.tiers


def _tier_changes(old: Rule, new: Rule) -> Iterable[str]:
    """Return the changes of a dealt RRset: rules one by one, where its pools stay the same without them."""
    if old.tiers == new.tiers:
        return
    if _pools(old) != _pools(new):
        yield arrow(_value(old), _value(new))
        return
    for was, now in zip(old.tiers, new.tiers, strict=True):
        title = f"{_title(old, now)} rules" if len(new.tiers) > 1 else "rules"
        before, after = (dict.fromkeys(map(_rule, tier.rules)) for tier in (was, now))
        if before.keys() != after.keys():
            yield from keyed(title, before, after)
        elif was.rules != now.rules:
            yield f"{title} in another order"


def _pools(one: Rule) -> list[str]:
    return [_title(one, tier) for tier in one.tiers]


def _title(one: Rule, tier: Tier) -> str:
    if one.type == "SRV":
        return f"{tier.preference} {tier.port} {tier.pool}"
    return f"{tier.preference} {tier.pool}" if one.type == "MX" else tier.pool


def _rule(rule: PoolRule) -> str:
    return f"{rule.use} for {rule.when}"


def _value(one: Rrset) -> str:
    if isinstance(one, Record):
        return few(" ".join(value) for value in one.values)
    pools = (
        f"{title} ({few(map(_rule, tier.rules))})" if tier.rules else title
        for title, tier in zip(_pools(one), one.tiers, strict=True)
    )
    return f"pool {', '.join(pools)}"


def _relative(owner: str, origin: str) -> str:
    return "@" if owner == origin else owner.removesuffix(f".{origin}")


# --- anything -------------------------------------------------------------------------------------------


def _both(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in before if name in after]


def _changes(before: BaseModel, after: BaseModel, apart: Iterable[str] = ()) -> Iterable[str]:
    """Return the changes of all keys but those `apart`."""
    for name in type(before).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if name not in apart and old != new:
            yield f"{name} {arrow(_shown(old, name), _shown(new, name))}"


def _shown(value: Any, key: str = "") -> str:
    """Return a value as a file might write it."""
    match value:
        case None | () | "":
            text = "none"
        case float():
            text = f"{value:g}" if key in _NO_SECONDS else _span(value)
        case tuple():
            text = few(_shown(one) for one in value)
        case MinLive():
            text = f"{value.amount}{'%' if value.percent else ''}"
        case ProviderCap():
            text = f"{value.provider} {value.amount}{'%' if value.percent else ''}"
        case Endpoint():
            text = str(value.address) if value.port is None else f"[{value.address}]:{value.port}"
        case BaseModel():
            fields = type(value).model_fields
            values = {name: getattr(value, name) for name in fields}
            parts = (
                f"{name} {_shown(one, name)}" for name, one in values.items() if one != fields[name].default
            )
            text = f"{{{', '.join(parts)}}}"
        case _:
            text = str(value)
    return text if isinstance(value, tuple) else short(text)


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:g}s" if seconds >= 1 or not seconds else f"{1000 * seconds:g}ms"


def _orders(before: Zone, after: Zone) -> Iterable[str]:
    """Name the sections whose order alone has changed."""
    sections = [
        name
        for name in ("ns", "checks", "hosts", "sources", "pools", "experiments", "local", "classes")
        if getattr(before, name) != getattr(after, name)
    ]
    records = [name for name in ("records", "rules") if getattr(before, name) != getattr(after, name)]
    if sections or records:
        yield f"the same in another order: {', '.join(sections or ['records'])}"
