"""What ``/status`` shows of the running state, as plain JSON (DESIGN section 7)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from types import MappingProxyType
from typing import NamedTuple

from geodns.choice import Choice, Dealt, LastResort
from geodns.cluster import Cluster
from geodns.compiler import PoolKey
from geodns.control import hidden
from geodns.errors import NotFoundError
from geodns.live import HostKey, LiveSet
from geodns.load import Known
from geodns.model import FAMILIES, Address, Host, Target, Zone
from geodns.shown import Json
from geodns.store import ForcedWeight


class Seen(NamedTuple):
    """The last result of a target.

    Attributes:
        outcome: ``ok``, ``failure`` …
        detail: the banner, or what went wrong.
        rtt: seconds; None when nothing answered.
        at: seconds since the epoch.
        ehlo: seconds from EHLO to its 250; None when there was none.
        certificate: what the host showed of itself, as it is shown to others.

    """

    outcome: str
    detail: str
    rtt: float | None
    at: float
    ehlo: float | None = None
    certificate: Json | None = None


def timestamp(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 text in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shares(dealt: Sequence[Dealt]) -> dict[str, Fraction]:
    """Return the part of the answers that each of some hosts has."""
    total = sum((entry.effective for entry in dealt), Fraction(0))
    return {entry.host: entry.effective / total for entry in dealt}


def hosts_of(cluster: Cluster, seen: Callable[[Target], Seen | None]) -> Json:
    """Return the hosts of all zones."""
    live = cluster.live()
    return {
        name: {host.name: _host(cluster, live, source.zone, host, seen) for host in source.zone.hosts}
        for name, source in cluster.sources.items()
    }


def host_of(cluster: Cluster, key: HostKey, seen: Callable[[Target], Seen | None]) -> Json:
    """Return one host.

    Raises:
        NotFoundError: it is not served any more.

    """
    zone = cluster.zone(key[0])
    if key[1] not in zone.host_by_name:
        raise NotFoundError(f"zone {key[0]} has no host {key[1]} any more")
    return _host(cluster, cluster.live(), zone, zone.host_by_name[key[1]], seen)


def factors_of(live: LiveSet, zone: Zone, host: Host) -> dict[str, Fraction]:
    """Return every factor in force on a host, the lowest over the checks that judge it; 0 when it is out."""
    found: dict[str, Fraction] = {}
    for jury in zone.juries_by_host[host.name]:
        for name, value in live.fitness(zone, host, jury).factors.items():
            found[name] = min(value, found.get(name, value))
    return found


def effective_weight(live: LiveSet, zone: Zone, host: Host) -> Fraction:
    """Return a host's weight with every factor; 0 while it is not dealt as a live one."""
    weight = live.weight(zone, host.name, host.weight)
    weights = [
        weight * fitness.factor if fitness.live else Fraction(0)
        for jury in zone.juries_by_host[host.name]
        for fitness in (live.fitness(zone, host, jury),)
    ]
    return min(weights, default=Fraction(weight))


def _host(
    cluster: Cluster, live: LiveSet, zone: Zone, host: Host, seen: Callable[[Target], Seen | None]
) -> Json:
    key = (zone.name, host.name)
    forced, weight = cluster.forced.get(key), cluster.weights.get(key)
    since = cluster.since.get(key)
    shown: Json = {
        "state": str(live.host_state(zone, host)),
        "forced": None if forced is None else str(forced.forced),
        "weight": live.weight(zone, host.name, host.weight),
        "forced_weight": None if weight is None else _forced_weight(weight, zone, host),
        "factors": {name: float(value) for name, value in factors_of(live, zone, host).items()},
        "effective_weight": number(effective_weight(live, zone, host)),
        "addresses": [str(address) for address in host.addresses],
        "since": None if since is None else timestamp(since.since),
        "checks": [
            _check(live, target, address, seen)
            for address, targets in zone.targets_by_host[host.name].items()
            for target in sorted(targets, key=lambda target: target.key)
        ],
    }
    if host.name in zone.source_of:
        shown["source"] = zone.source_of[host.name]
    load = cluster.loads.known.get(key)
    if load is not None:
        shown["load"] = _load(load)
    if forced is not None:
        shown["reason"] = forced.reason
        shown["author"] = forced.author
        shown["forced_since"] = timestamp(forced.since)
        shown["until"] = None if forced.until is None else timestamp(forced.until)
        if forced.badness is not None:
            shown["badness"] = forced.badness
            shown["held_back"] = cluster.held_back.get(key)
    return shown


def _load(known: Known) -> Json:
    return {
        "value": known.value,
        "full": known.load.full,
        "at": None if known.told is None else timestamp(known.told),
        "stale": known.stale,
        "error": known.error,
    }


def _forced_weight(forced: ForcedWeight, zone: Zone, host: Host) -> Json:
    said = None if forced.edited is None else hidden(forced, zone, host.name)
    return {
        "weight": forced.weight,
        "file_weight": host.weight,
        "reason": forced.reason,
        "author": forced.author,
        "since": timestamp(forced.since),
        "until": None if forced.until is None else timestamp(forced.until),
        "hides": None
        if said is None or forced.edited is None
        else f"the file has said {said} since {timestamp(forced.edited)}",
    }


def _check(live: LiveSet, target: Target, address: Address, seen: Callable[[Target], Seen | None]) -> Json:
    last = seen(target)
    verdict = live.verdict(target)
    shown: Json = {
        "check": target.check.name,
        "address": str(address),
        "port": target.port,
        "state": str(verdict.shown),
        "failures": verdict.failures,
        "degraded": verdict.degraded,
        "outcome": None if last is None else last.outcome,
        "detail": None if last is None else last.detail,
        "rtt_ms": None if last is None or last.rtt is None else round(last.rtt * 1000, 1),
        "ehlo_ms": None if last is None or last.ehlo is None else round(last.ehlo * 1000, 1),
        "at": None if last is None else timestamp(last.at),
    }
    if target.check.encrypts:
        shown["certificate"] = None if last is None else last.certificate
    if target.address != address:
        shown["probed"] = str(target.address)
    return shown


def pools_of(cluster: Cluster, held_until: Mapping[PoolKey, float | None] = MappingProxyType({})) -> Json:
    """Return the pools of all zones.

    Args:
        cluster: the running state.
        held_until: the pools whose failures may be the prober's, and until when they do not count.

    """
    return {
        name: {
            pool.name: {"checks": list(pool.checks), "need": pool.need if pool.checks else 0}
            | _pool(
                source.zone,
                cluster.compiled.choices[name, pool.name],
                [key.ttl for key in cluster.compiled.keys[name, pool.name]],
                suspect=(name, pool.name) in held_until,
                held_until=held_until.get((name, pool.name)),
            )
            for pool in source.zone.pools
        }
        for name, source in cluster.sources.items()
    }


def _pool(
    zone: Zone, choice: Choice, ttls: Iterable[int], *, suspect: bool, held_until: float | None
) -> Json:
    return {
        "using": list(choice.using),
        "last_resort": resort_of(choice.last_resort),
        "live": list(choice.live),
        "answers": choice.answers,
        "ttl": choice.ttl(zone, zone.ttl),
        "max_ttl": max(ttls, default=zone.ttl),
        "prober_suspect": suspect,
        "held_until": None if held_until is None else timestamp(held_until),
        "families": {
            family: {
                "live": [entry.host for entry in choice.of(family)] if choice.last_resort is None else [],
                "share": {host: float(share) for host, share in shares(choice.of(family)).items()},
            }
            for family in FAMILIES
        },
    }


def resort_of(resort: LastResort | None) -> str | None:
    """Return a last resort's name; None where nobody needs one."""
    return None if resort is None else str(resort)


def number(weight: Fraction) -> int | float:
    """Return a weight as a number of JSON, whole where it is."""
    return weight.numerator if weight.denominator == 1 else float(weight)
