"""Plans operators' orders: which overrides they set and end, and what every pool deals then.

Pure, so that a dry run and the order itself give the same plan.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from geodns.compiler.choice import Choice
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster, with_changes
from geodns.control.edit_guard import weight_lost
from geodns.control.overrides import describe_state, describe_weight, file_weights, hidden
from geodns.control.overriding import Recompiled
from geodns.model.base import FAMILIES, Family
from geodns.model.shared import SharedOrder
from geodns.model.state import (
    TAKEN_OUT,
    Forced,
    ForcedState,
    ForcedWeight,
    HealthState,
    HostKey,
    PoolKey,
)
from geodns.model.zone import Record, Zone


class Verb(StrEnum):
    """The kinds of orders."""

    DRAIN = "drain"
    UNDRAIN = "undrain"
    QUARANTINE = "quarantine"
    UP = "up"
    DOWN = "down"
    WEIGHT = "weight"
    CLEAR = "clear"


FORCED_BY = {
    Verb.DRAIN: Forced.DRAINED,
    Verb.QUARANTINE: Forced.QUARANTINED,
    Verb.UP: Forced.UP,
    Verb.DOWN: Forced.DOWN,
}
"""The state that a verb forces; `WEIGHT` forces a weight, the others end overrides."""


class Order(NamedTuple):
    """An operator's order, as it holds for each host.

    Attributes:
        author: as far as known.
        seconds: how long it holds; None: until it is ended.
        weight: of `Verb.WEIGHT` alone.
        badness: of `Verb.QUARANTINE` where a program gives it; see `ForcedState`.

    """

    verb: Verb
    reason: str
    author: str
    seconds: float | None = None
    weight: int | None = None
    badness: float | None = None


class OrderRequest(NamedTuple):
    """An order for some hosts.

    Attributes:
        hosts: names, addresses and globs, as `host_lookup.find_hosts` reads them.
        zone: the only zone to look in; None: all.
        dry_run: plan the order alone.
        yes: carry it out even if it takes more out of a pool than may go unasked.
        id: 32 hex digits; what comes with the same ones is the same order. Empty: one is made.
        revision: of the orders that it was planned by, by zone: if they are others now, a `yes` was to
            something else.

    """

    order: Order
    hosts: tuple[str, ...]
    zone: str | None = None
    dry_run: bool = False
    yes: bool = False
    id: str = ""
    revision: Mapping[str, str] = {}


@dataclass(frozen=True)
class OverridePlan:
    """The overrides that an order sets and ends.

    Attributes:
        forced: by host; None ends its forced state.
        weights: by host; None ends its forced weight.
        notes: lines for whoever ordered.
        left: a line for each host that the order cannot change, with the order that can.
        orders: of other servers, by zone, host and kind: those that impose this, with their versions.

    """

    forced: Mapping[HostKey, ForcedState | None] = field(default_factory=dict)
    weights: Mapping[HostKey, ForcedWeight | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    orders: Mapping[tuple[str, str, str], SharedOrder] = field(default_factory=dict)

    @property
    def hosts(self) -> Collection[HostKey]:
        return self.forced.keys() | self.weights.keys()


def plan_order(order: Order, hosts: Sequence[HostKey], cluster: Cluster, now: float) -> OverridePlan:
    """Plan an order for hosts; the time is in seconds since the epoch."""
    forced: dict[HostKey, ForcedState | None] = {}
    weights: dict[HostKey, ForcedWeight | None] = {}
    notes: list[str] = []
    left: list[str] = []
    until = None if order.seconds is None else now + order.seconds
    for host in hosts:
        name = f"{host[1]}.{host[0]}"
        state, weight = cluster.forced.get(host), cluster.weights.get(host)
        if (why := _left_alone(order, name, state)) is not None:
            left.append(why)
        elif (forces := FORCED_BY.get(order.verb)) is not None:
            forced[host] = ForcedState(forces, order.reason, order.author, now, until, order.badness)
            if state is not None:
                notes.append(f"{name} was {describe_state(state)}: this order replaces that")
        elif order.verb is Verb.WEIGHT and order.weight is not None:
            file = file_weights(cluster.zone(host[0]), host[1])
            weights[host] = ForcedWeight(order.weight, order.reason, order.author, now, until, file)
            if weight is not None:
                notes.append(f"{name} had its {describe_weight(weight)}: this order replaces that")
        else:
            if state is not None:
                forced[host] = None
            if weight is not None and order.verb is Verb.CLEAR:
                weights[host] = None
            if host not in forced and host not in weights:
                was = "drained" if order.verb is Verb.UNDRAIN else "forced"
                notes.append(f"{name} was not {was}")
    return OverridePlan(forced, weights, tuple(notes), tuple(left))


def _left_alone(order: Order, name: str, state: ForcedState | None) -> str | None:
    """Return why an order cannot change a host; None: it can."""
    if state is None:
        return None
    if order.verb is Verb.UNDRAIN and state.forced is not Forced.DRAINED:
        return f"{name} is not drained but {describe_state(state)}: `geodns clear {name}` ends that"
    if order.badness is not None and state.badness is None:
        return f"{name} is {describe_state(state)}: what a program says does not replace that"
    return None


def expired(cluster: Cluster, now: float) -> OverridePlan:
    """Plan the end of every override whose time is over."""
    return OverridePlan(
        {host: None for host, one in cluster.forced.items() if one.until is not None and one.until <= now},
        {host: None for host, one in cluster.weights.items() if one.until is not None and one.until <= now},
    )


def stale_weights(cluster: Cluster, now: float) -> OverridePlan:
    """Plan new dates for the forced weights that begin or cease to hide an edit of the file."""
    weights: dict[HostKey, ForcedWeight | None] = {}
    for host, one in cluster.weights.items():
        zone = _zone_with(cluster, host)
        if zone is not None:
            hides = hidden(one, zone, host[1]) is not None
            if hides != (one.edited is not None):
                weights[host] = replace(one, edited=now if hides else None)
    return OverridePlan(weights=weights)


def hidden_edits(cluster: Cluster) -> dict[HostKey, str]:
    """Return a warning for each forced weight that hides a later edit of the file."""
    found = {}
    for host, one in cluster.weights.items():
        zone = _zone_with(cluster, host)
        said = None if zone is None or one.edited is None else hidden(one, zone, host[1])
        if said is not None and one.edited is not None:
            name = f"{host[1]}.{host[0]}"
            found[host] = (
                f"host {name}: its {describe_weight(one)} hides an edit, the file has said {said} since "
                f"{timestamp(one.edited)}: `geodns clear {name}` ends it"
            )
    return found


def _zone_with(cluster: Cluster, host: HostKey) -> Zone | None:
    source = cluster.sources.get(host[0])
    return source.zone if source is not None and host[1] in source.zone.host_by_name else None


# --- effects on pools ----------------------------------------------------------------------------------


class PoolChange(NamedTuple):
    """A pool's choice before and after an order."""

    before: Choice
    after: Choice

    @property
    def lost(self) -> tuple[Family, ...]:
        """The families that lose their last live host, or the last that would be dealt at all."""
        pairs = [(one, self.before.of(one), self.after.of(one)) for one in FAMILIES]
        return tuple(
            one
            for one, before, after in pairs
            if (before.last_resort is None and after.last_resort is not None)
            or (before.dealt and not after.dealt)
        )

    @property
    def dangerous(self) -> bool:
        return bool(self.lost)

    @property
    def what_is_lost(self) -> str:
        """Say what has no live host any more: the pool, or one family of it."""
        which = f" for {' and '.join(self.lost)}" if self.after.live else ""
        deals = [self.after.of(one) for one in (self.lost if which else FAMILIES)]
        hosts = {host for deal in deals for host in deal.hosts}
        if not hosts:
            return f"no live host{which} (its names would be answered with SERVFAIL)"
        count = "1 host" if len(hosts) == 1 else f"{len(hosts)} hosts"
        resorts = dict.fromkeys(str(deal.last_resort) for deal in deals if deal.last_resort is not None)
        return f"no live host{which} (last resort: {' and '.join(resorts)}, {count} dealt all the same)"


def preview(cluster: Cluster, plan: OverridePlan) -> dict[PoolKey, PoolChange]:
    """Return the pools that a plan changes, without carrying it out."""
    return pool_changes(cluster.overriding(plan.forced, plan.weights).compiled())


def pool_changes(done: Recompiled) -> dict[PoolKey, PoolChange]:
    """Return the pools that are dealt otherwise than before."""
    before, after = done.before.choices, done.after.choices
    if before is after:
        return {}
    return {
        key: PoolChange(before[key], after[key]) for key in sorted(after) if after[key] is not before[key]
    }


def dangers(cluster: Cluster, plan: OverridePlan, changes: Mapping[PoolKey, PoolChange]) -> list[str]:
    """Return a line for each pool that would lose too much, for the operator to confirm."""
    dead = {key for key, change in changes.items() if change.dangerous}
    return [
        *(
            f"pool {key[1]} of {key[0]} would have {changes[key].what_is_lost}"
            for key in changes
            if key in dead
        ),
        *(f"pool {key[1]} of {key[0]} {why}" for key, why in _losses(cluster, plan) if key not in dead),
    ]


def is_out(cluster: Cluster, host: HostKey, forced: Mapping[HostKey, Forced]) -> bool:
    """Tell whether a host is out of the answers: taken out by hand, or down."""
    state = forced.get(host)
    return cluster.state_of(host) is HealthState.DOWN if state is None else state in TAKEN_OUT


def _losses(cluster: Cluster, plan: OverridePlan) -> Iterator[tuple[PoolKey, str]]:
    """Yield the pools that would have too much of their weight out."""
    # Quarantines that programs give answer to `max_out` alone.
    ordered = {host: one for host, one in plan.forced.items() if one is None or one.badness is None}
    moments = [
        (cluster.in_force(cluster.forced), cluster.weights),
        (
            cluster.in_force(with_changes(cluster.forced, ordered)),
            with_changes(cluster.weights, plan.weights),
        ),
    ]
    for key in sorted(cluster.pools_of(ordered.keys() | plan.weights.keys())):
        pool = cluster.zone(key[0]).pool_by_name[key[1]]
        weights = {member.host: member.weight for member in pool.members if member.weight}
        before, after = (
            {
                host: own[key[0], host].weight if (key[0], host) in own else weight
                for host, weight in weights.items()
                if not is_out(cluster, (key[0], host), forced)
            }
            for forced, own in moments
        )
        why = weight_lost(weights, before, after)
        if why is not None:
            yield key, why


def dealt_by(
    cluster: Cluster, hosts: Iterable[HostKey], changes: Mapping[PoolKey, PoolChange]
) -> dict[HostKey, list[str]]:
    """Return for each host the pools that deal it after these changes."""
    pools = {host: sorted(cluster.pools_of([host])) for host in hosts}
    # Once for each pool: an order may be for thousands of its hosts.
    dealt = {
        key: frozenset((changes[key].after if key in changes else cluster.compiled.choices[key]).hosts)
        for key in {key for keys in pools.values() for key in keys}
    }
    return {host: [key[1] for key in keys if host[1] in dealt[key]] for host, keys in pools.items()}


def cached_for(cluster: Cluster, hosts: Iterable[HostKey]) -> int:
    """Return for how many seconds caches may hold answers with these hosts: their longest TTL."""
    ttls = [key.ttl for pool in cluster.pools_of(hosts) for key in cluster.compiled.keys[pool]]
    return max(ttls, default=0)


_TARGET_FIELD = {"MX": 1, "SRV": 3, "CNAME": 0}
"""The place of the target among a record's fields, by type."""
MOST_NAMED = 8
"""Fixed records that a note names, at most."""


def pointing_at(cluster: Cluster, hosts: Iterable[HostKey]) -> dict[HostKey, list[Record]]:
    """Return the fixed records of all zones that send to these hosts whatever an order says.

    A host's own addresses, and those of name servers, are no such records.
    """
    found: dict[HostKey, list[Record]] = {}
    wanted: dict[str, list[HostKey]] = {}
    for key in hosts:
        zone = _zone_with(cluster, key)
        if zone is not None:
            addresses = map(str, zone.host_by_name[key[1]].addresses)
            for text in (zone.host_name(key[1]), *addresses):
                wanted.setdefault(text, []).append(key)
    for zone in cluster.zones.values():
        own = {*map(zone.host_name, zone.host_by_name), *(server.name for server in zone.ns)}
        for one in zone.records:
            field = 0 if one.type in FAMILIES and one.owner not in own else _TARGET_FIELD.get(one.type)
            if field is not None:
                keys = (key for value in one.values for key in wanted.get(value[field].lower(), ()))
                for key in dict.fromkeys(keys):
                    found.setdefault(key, []).append(one)
    return found


def describe_pointing(host: HostKey, records: Sequence[Record]) -> str:
    """Say which fixed records still point at a host."""
    some = [f"{one.owner} {one.type} (TTL {one.ttl} s)" for one in records[:MOST_NAMED]]
    more = f" and {len(records) - MOST_NAMED} more" if len(records) > MOST_NAMED else ""
    names = f"{', '.join(some)}{more}"
    return f"fixed records still point at {host[1]}.{host[0]}, edit the zone file to change that: {names}"


# --- results --------------------------------------------------------------------------------------------


class OrderResult(NamedTuple):
    """The outcome of an order, or of a dry run.

    Attributes:
        refused: what has to be confirmed first; empty: nothing.
        pending: workers that have not applied the new Table in time.
        notes: as in `OverridePlan`.
        left: likewise.
        dealt_by: the pools that deal each host afterwards.
        cached_s: seconds that caches may hold each host's addresses.
        kept: whether it is on disk, so that a restart knows it.
        id: of the order; empty: of a dry run.
        revision: of the orders of each zone afterwards.
        shared: whether the other servers take it from this one.
        peers: servers that have not confirmed it in time.
        unasked: servers that could not be asked whether they know of a later order.

    """

    hosts: tuple[HostKey, ...]
    changes: Mapping[PoolKey, PoolChange]
    refused: str = ""
    pending: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    dealt_by: Mapping[HostKey, list[str]] = {}
    cached_s: Mapping[HostKey, int] = {}
    kept: bool = True
    id: str = ""
    revision: Mapping[str, str] = {}
    shared: bool = False
    peers: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
