"""``/status``, ``/metrics`` and health over HTTP: the running state as JSON."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web

from geodns import __version__
from geodns.api.peer import peers_json
from geodns.api.responses import SERVICES, cached, cached_json
from geodns.api.schemas_status import (
    CheckJson,
    FamilyJson,
    ForcedWeightJson,
    HostFamiliesJson,
    HostJson,
    HostLoadJson,
    PoolJson,
    SourceJson,
    StatusJson,
    ZoneStateJson,
)
from geodns.api.shared import shared_json
from geodns.api.views import views_of
from geodns.compiler.choice import Choice, shares
from geodns.compiler.live_set import LiveSet, effective_weight, factors_of
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.metrics import BACKEND
from geodns.control.overrides import hidden
from geodns.control.route_count_service import RouteCountService
from geodns.control.services import Services
from geodns.control.verdict_service import VerdictService
from geodns.control.zone_service import ZoneService
from geodns.errors import NotFoundError, printable
from geodns.health.tls import certificate_json
from geodns.model.base import Address, Family
from geodns.model.checks import Target
from geodns.model.hosts import Host, HostSource
from geodns.model.state import ForcedWeight, HealthState, HostKey, PoolKey
from geodns.model.zone import Pool, Zone
from geodns.signals.host_load import Known
from geodns.zones.listing import Listing


class LastResult(NamedTuple):
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
    certificate: dict[str, str | float | None] | None = None


def hosts_of(cluster: Cluster, seen: Callable[[Target], LastResult | None]) -> dict[str, dict[str, HostJson]]:
    """Return the hosts of all zones."""
    live, warmup = cluster.live(), cluster.warmup_factors
    return {
        name: {host.name: _host(cluster, live, warmup, source.zone, host, seen) for host in source.zone.hosts}
        for name, source in cluster.sources.items()
    }


def host_of(cluster: Cluster, key: HostKey, seen: Callable[[Target], LastResult | None]) -> HostJson:
    """Return one host.

    Raises:
        NotFoundError: it is not served any more.

    """
    return hosts_by(cluster, seen)(key)


def hosts_by(cluster: Cluster, seen: Callable[[Target], LastResult | None]) -> Callable[[HostKey], HostJson]:
    """Return what returns each host as `host_of` does: made once for many hosts."""
    live, warmup = cluster.live(), cluster.warmup_factors

    def host(key: HostKey) -> HostJson:
        zone = cluster.zone(key[0])
        if key[1] not in zone.host_by_name:
            raise NotFoundError(f"zone {key[0]} has no host {key[1]} any more")
        return _host(cluster, live, warmup, zone, zone.host_by_name[key[1]], seen)

    return host


def _host(
    cluster: Cluster,
    live: LiveSet,
    warmup: Mapping[HostKey, Fraction],
    zone: Zone,
    host: Host,
    seen: Callable[[Target], LastResult | None],
) -> HostJson:
    key = (zone.name, host.name)
    left = warmup.get(key, Fraction(1))
    bound = {"warmup": left} if left < 1 else {}
    forced, weight = cluster.forced.get(key), cluster.weights.get(key)
    since = cluster.since.get(key)
    shown: HostJson = {
        "state": live.host_state(zone, host),
        "unchecked": host.name in zone.unchecked,
        "families": _families(live.family_states(zone, host)),
        "forced": None if forced is None else forced.forced,
        "weight": live.weight(zone, host.name, host.weight),
        "forced_weight": None if weight is None else _forced_weight(weight, zone, host),
        "factors": {name: float(value) for name, value in (factors_of(live, zone, host) | bound).items()},
        "effective_weight": number(effective_weight(live, zone, host) * left),
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


def _families(states: Mapping[Family, HealthState]) -> HostFamiliesJson:
    shown: HostFamiliesJson = {}
    for family, state in states.items():
        shown[family] = state
    return shown


def _load(known: Known) -> HostLoadJson:
    return {
        "value": known.value,
        "full": known.load.full,
        "at": None if known.read_at is None else timestamp(known.read_at),
        "stale": known.stale,
        "error": known.error,
    }


def _forced_weight(forced: ForcedWeight, zone: Zone, host: Host) -> ForcedWeightJson:
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


def _check(
    live: LiveSet, target: Target, address: Address, seen: Callable[[Target], LastResult | None]
) -> CheckJson:
    last = seen(target)
    verdict = live.verdict(target)
    shown: CheckJson = {
        "check": target.check.name,
        "address": str(address),
        "port": target.port,
        "state": verdict.shown,
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


def pools_of(
    cluster: Cluster, held_until: Mapping[PoolKey, float | None] = MappingProxyType({})
) -> dict[str, dict[str, PoolJson]]:
    """Return the pools of all zones.

    Args:
        cluster: the running state.
        held_until: the pools whose failures may be the prober's, and until when they do not count.

    """
    return {
        name: {
            pool.name: _pool(
                source.zone,
                pool,
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
    zone: Zone, pool: Pool, choice: Choice, ttls: Iterable[int], *, suspect: bool, held_until: float | None
) -> PoolJson:
    shown: PoolJson = {
        "checks": list(pool.checks),
        "need": pool.need if pool.checks else 0,
        "using": list(choice.using),
        "last_resort": choice.last_resort,
        "live": list(choice.live),
        "answers": choice.answers,
        "ttl": choice.ttl(zone, zone.ttl),
        "max_ttl": max(ttls, default=zone.ttl),
        "prober_suspect": suspect,
        "held_until": None if held_until is None else timestamp(held_until),
        "families": {"A": _family(choice, "A"), "AAAA": _family(choice, "AAAA")},
    }
    if pool.overflow is not None:
        shown["overflow"] = pool.overflow
    return shown


def _family(choice: Choice, family: Family) -> FamilyJson:
    deal = choice.of(family)
    return {
        "using": list(deal.using),
        "last_resort": deal.last_resort,
        "live": list(deal.live),
        "share": {host: float(share) for host, share in shares(deal.dealt).items()},
    }


def number(weight: Fraction) -> int | float:
    """Return a weight as a number of JSON, whole where it is."""
    return weight.numerator if weight.denominator == 1 else float(weight)


def routes() -> list[web.RouteDef]:
    return [
        web.get("/status", _status),
        web.get("/metrics", _metrics),
        web.get("/healthz", _healthz),
        web.get("/readyz", _readyz),
    ]


async def _status(request: web.Request) -> web.Response:
    return cached_json(request, "status", partial(status, request.app[SERVICES]))


async def _metrics(request: web.Request) -> web.Response:
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return cached(request, "metrics", request.app[SERVICES].metrics.expose, kind)


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - to answer at all is the answer
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    reason = request.app[SERVICES].watchdog.unready()
    return web.Response(
        text="ready\n" if reason is None else f"{reason}\n", status=200 if reason is None else 503
    )


def status(services: Services) -> StatusJson:
    """Return everything that ``/status`` shows."""
    now = time.time()
    held_until = {
        key: None if one.held_for is None else now + one.held_for
        for key, one in services.verdicts.suspects.items()
    }
    shown: StatusJson = {
        "node": services.node,
        "identity": services.cluster.compiled.table.policy.nsid.decode() or None,
        "version": __version__,
        "version_since": timestamp(services.upgrades.since),
        "backend": BACKEND,
        "uptime_s": round(time.monotonic() - services.started, 1),
        "ready": services.watchdog.unready() is None,
        "processes": _processes(services),
        "listen": [str(address) for address in services.listen],
        "warnings": services.alerts.warnings(),
        "zones": _zones(services.cluster, services.zones, services.routes, now),
        "hosts": hosts_of(services.cluster, partial(last_result, services.verdicts)),
        "pools": pools_of(services.cluster, held_until),
        "views": views_of(services),
    }
    if (last := services.upgrades.last) is not None:
        shown["last_upgrade"] = {"at": timestamp(last.at), "outcome": last.outcome, "before": last.before}
        if last.why:
            shown["last_upgrade"] |= {"step": last.step, "why": last.why}
    if services.routes.listeners:
        shown["routes_listen"] = [printable(str(one)) for one in services.routes.listeners]
    if peers := peers_json(services.peers):
        shown["peers"] = peers
    if services.shared is not None:
        shown["shared"] = shared_json(services.shared)
    return shown


def _processes(services: Services) -> dict[str, int | None]:
    """Return the PID of each process; control is the supervisor's child."""
    workers = {name: worker.pid for name, worker in services.workers.workers.items()}
    return {"supervisor": os.getppid(), "control": os.getpid(), **workers}


def _zones(
    cluster: Cluster, zones: ZoneService, routes: RouteCountService, now: float
) -> dict[str, ZoneStateJson]:
    """Return the zones that are served, and those whose files are refused and that never were."""
    refused = zones.refused
    found: dict[str, ZoneStateJson] = {}
    for name, source in cluster.sources.items():
        found[name] = {
            "serial": source.serial,
            "digest": source.zone.digest,
            "file": printable(str(zones.files.get(name, ""))),
            "error": str(refused[name][0]) if name in refused else None,
        }
        views = cluster.compiled.views[name]
        if views.views:
            found[name]["views_at"] = timestamp(views.at)
            found[name]["views_until"] = None if views.until is None else timestamp(views.until)
        if name in cluster.compiled.table.routes:
            rules = len(cluster.compiled.table.routes[name].rules)
            found[name]["routes"] = {"rules": rules, "looked_up": routes.last_hour(name, now)}
        if name in zones.waiting:
            found[name]["waiting"] = list(zones.waiting[name])
    for zone, origin, listing in zones.sources():
        found[zone.name].setdefault("sources", []).append(_source(origin, listing))
    for name, problems in refused.items():
        if name not in found:
            file = printable(problems[0].file)
            found[name] = {"serial": None, "digest": None, "file": file, "error": str(problems[0])}
    return found


def _source(source: HostSource, listing: Listing) -> SourceJson:
    return {
        "source": source.title,
        "hosts": len(listing.hosts),
        "at": None if listing.at is None else timestamp(listing.at),
        "error": listing.error,
        "since": None if listing.since is None else timestamp(listing.since),
    }


def host_status(services: Services, host: HostKey) -> HostJson:
    """Return one host's status; raises NotFoundError where it is not served any more."""
    return statuses(services)(host)


def statuses(services: Services) -> Callable[[HostKey], HostJson]:
    """Return what returns the status of each of many hosts, by the verdicts of now."""
    return hosts_by(services.cluster, partial(last_result, services.verdicts))


def last_result(verdicts: VerdictService, target: Target) -> LastResult | None:
    """Return a target's last result; None where there is none."""
    last = verdicts.last(target)
    if last is None:
        return None
    outcome, when = last
    shown = verdicts.certificate(target)
    certificate = None if shown is None else certificate_json(shown, time.time())
    return LastResult(str(outcome.kind), outcome.detail, outcome.rtt, when, outcome.ehlo_rtt, certificate)
