"""What ``/status`` shows of the running state, as plain JSON (DESIGN section 7)."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web

from geodns import __version__
from geodns.api.responses import BACKEND, KEPT, METRICS, Asking, RefusedError, host_key, takes_gzip
from geodns.api.schemas import (
    CheckJson,
    ExplanationJson,
    FamilyJson,
    ForcedWeightJson,
    HostJson,
    HostLoadJson,
    PoolJson,
    SourceJson,
    StatusJson,
    ZoneStateJson,
)
from geodns.compiler.choice import Choice, shares
from geodns.compiler.live_set import LiveSet, effective_weight, factors_of
from geodns.config.server_keys import Listen
from geodns.config.times import timestamp
from geodns.control.cluster import Cluster
from geodns.control.gauges import Gauges, HostGauge, LoadGauge, PoolGauge, SourceGauge
from geodns.control.orders import hidden
from geodns.control.persistence import Persistence
from geodns.control.watchdog import Vitals, concerns
from geodns.errors import NotFoundError, printable
from geodns.health.monitor import Monitor
from geodns.health.outcome import Certificate, ProbeResult
from geodns.health.tls import certificate_json, name_for, warning_of
from geodns.model.base import Address, Family
from geodns.model.checks import Target
from geodns.model.hosts import Host, HostSource
from geodns.model.state import ForcedWeight, HostKey, PoolKey
from geodns.model.zone import Pool, Zone
from geodns.serve.control_link import ControlLink
from geodns.signals.host_load import Known
from geodns.wire.networks import Network, parse_network
from geodns.zonefile.sources import zone_over
from geodns.zones.discovery import Discovery
from geodns.zones.folder import Folder


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
    live = cluster.live()
    return {
        name: {host.name: _host(cluster, live, source.zone, host, seen) for host in source.zone.hosts}
        for name, source in cluster.sources.items()
    }


def host_of(cluster: Cluster, key: HostKey, seen: Callable[[Target], LastResult | None]) -> HostJson:
    """Return one host.

    Raises:
        NotFoundError: it is not served any more.

    """
    zone = cluster.zone(key[0])
    if key[1] not in zone.host_by_name:
        raise NotFoundError(f"zone {key[0]} has no host {key[1]} any more")
    return _host(cluster, cluster.live(), zone, zone.host_by_name[key[1]], seen)


def _host(
    cluster: Cluster, live: LiveSet, zone: Zone, host: Host, seen: Callable[[Target], LastResult | None]
) -> HostJson:
    key = (zone.name, host.name)
    forced, weight = cluster.forced.get(key), cluster.weights.get(key)
    since = cluster.since.get(key)
    shown: HostJson = {
        "state": live.host_state(zone, host),
        "forced": None if forced is None else forced.forced,
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


def _load(known: Known) -> HostLoadJson:
    return {
        "value": known.value,
        "full": known.load.full,
        "at": None if known.told is None else timestamp(known.told),
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
    return {
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


def _family(choice: Choice, family: Family) -> FamilyJson:
    dealt = choice.of(family)
    return {
        "live": [entry.host for entry in dealt] if choice.last_resort is None else [],
        "share": {host: float(share) for host, share in shares(dealt).items()},
    }


def number(weight: Fraction) -> int | float:
    """Return a weight as a number of JSON, whole where it is."""
    return weight.numerator if weight.denominator == 1 else float(weight)


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
    return [
        web.get("/status", _status),
        web.get("/metrics", _metrics),
        web.get("/healthz", _healthz),
        web.get("/readyz", _readyz),
        web.get("/api/v1/explain", _explain),
        web.get("/api/v1/hosts/{zone}/{host}", _host_route),
    ]


async def _status(request: web.Request) -> web.Response:
    return _json(request, "status", request.app[BACKEND].status)


async def _metrics(request: web.Request) -> web.Response:
    return _kept(request, "metrics", request.app[METRICS], "text/plain; version=0.0.4; charset=utf-8")


def _json(request: web.Request, name: str, make: Callable[[], Mapping[str, object]]) -> web.Response:
    return _kept(request, name, lambda: json.dumps(make()).encode(), "application/json; charset=utf-8")


def _kept(request: web.Request, name: str, make: Callable[[], bytes], kind: str) -> web.Response:
    """Return an answer that is made at most once in a moment."""
    body = request.app[KEPT].get(name, request.app[BACKEND].mark(), make)
    headers = {"Content-Type": kind, "Vary": "Accept-Encoding"}
    if not takes_gzip(request):
        return web.Response(body=body.plain, headers=headers)
    return web.Response(body=body.packed, headers=headers | {"Content-Encoding": "gzip"})


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - to answer at all is the answer
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    reason = request.app[BACKEND].unready()
    return web.Response(
        text="ready\n" if reason is None else f"{reason}\n", status=200 if reason is None else 503
    )


async def _explain(request: web.Request) -> web.Response:
    name = request.query.get("name")
    if not name:
        raise RefusedError(400, "say which name: /api/v1/explain?name=out.example.com&type=A")
    rtype = request.query.get("type", "A").upper()
    asking = Asking(_client(request.query.get("client", "127.0.0.1")), _network(request.query.get("ecs")))
    backend = request.app[BACKEND]
    return _json(request, f"explain {(name, rtype, asking)}", lambda: backend.explain(name, rtype, asking))


def _client(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise RefusedError(400, f"client {text!r} is no address: write one, as 192.0.2.7") from error


def _network(text: str | None) -> Network | None:
    try:
        return None if text is None else parse_network(text)
    except ValueError as error:
        raise RefusedError(400, f"ecs: {': '.join(map(str, error.args))}") from error


async def _host_route(request: web.Request) -> web.Response:
    return web.json_response(request.app[BACKEND].host(host_key(request)))


BACKEND_NAME = "python"
"""What deals the answers."""


class View:
    """The running server as it shows itself.

    Args:
        node: the server's name.
        listen: where DNS is answered.
        warnings: returns what else an operator should know.
        cluster: the zones and hosts.
        folder: the zone files.
        keeper: what is written down.
        monitor: the probes.
        link: the workers.
        vitals: returns what the watch over ourselves has seen.
        discovery: the hosts that come and go.
        waiting: returns why edits of zones wait, by zone.
        last_event: returns the id of what was told last.

    Attributes:
        ready: whether the first answers have been compiled and delivered.

    """

    def __init__(
        self,
        node: str,
        listen: Sequence[Listen],
        warnings: Callable[[], Sequence[str]],
        cluster: Cluster,
        folder: Folder,
        keeper: Persistence,
        monitor: Monitor,
        link: ControlLink,
        vitals: Callable[[], Vitals],
        discovery: Discovery,
        *,
        waiting: Callable[[], Mapping[str, Sequence[str]]] = dict,
        last_event: Callable[[], int] = int,
    ) -> None:
        self.ready = False
        self._node = node
        self._listen = listen
        self._warnings = warnings
        self._cluster = cluster
        self._folder = folder
        self._keeper = keeper
        self._monitor = monitor
        self._link = link
        self._vitals = vitals
        self._discovery = discovery
        self._waiting = waiting
        self._last_event = last_event
        self._started = time.monotonic()

    def zones(self) -> dict[str, Zone]:
        """Return the zones served, by name."""
        return {name: source.zone for name, source in self._cluster.sources.items()}

    def mark(self) -> object:
        """Return what is another one once other answers are dealt, or something was told."""
        return self._cluster.compiled, self._last_event(), self.ready

    def unready(self) -> str | None:
        """Return why the server cannot answer; None when it can."""
        if not self.ready:
            return "starting: the first probes are not done"
        if not self._cluster.sources:
            return "no zone is served"
        if not any(worker.pid for worker in self._link.workers.values()):
            return "no worker is alive"
        return None

    def host(self, host: HostKey) -> HostJson:
        """Return a host's status."""
        return host_of(self._cluster, host, self.seen)

    def explain(self, name: str, rtype: str, asking: Asking) -> ExplanationJson:
        """Return the pools and hosts behind a name, and why they are."""
        from geodns.api.explain import explain  # noqa: PLC0415 - a circle that the wiring ends

        return explain(self._cluster, name, rtype, asking, self.seen)

    def status(self) -> StatusJson:
        """Return everything that ``/status`` shows."""
        refused = dict(self._folder.refused)  # a copy: a thread may be reading files
        waiting = self._waiting()
        zones: dict[str, ZoneStateJson] = {}
        for name, source in self._cluster.sources.items():
            zones[name] = {
                "serial": source.serial,
                "file": printable(str(self._folder.files.get(name, ""))),
                "error": str(refused[name][0]) if name in refused else None,
            }
            if name in waiting:
                zones[name]["waiting"] = list(waiting[name])
            if source.zone.sources:
                zones[name]["sources"] = [self._source(source.zone, one) for one in source.zone.sources]
        for name, problems in refused.items():
            if name not in zones:
                file = printable(problems[0].file)
                zones[name] = {"serial": None, "file": file, "error": str(problems[0])}
        return {
            "node": self._node,
            "version": __version__,
            "backend": BACKEND_NAME,
            "uptime_s": round(time.monotonic() - self._started, 1),
            "ready": self.unready() is None,
            "listen": [str(address) for address in self._listen],
            "warnings": self._all_warnings(),
            "zones": zones,
            "hosts": hosts_of(self._cluster, self.seen),
            "pools": pools_of(self._cluster, self._held_until()),
        }

    def _source(self, zone: Zone, source: HostSource) -> SourceJson:
        one = self._discovery.listing(zone.name, source)
        return {
            "source": source.title,
            "hosts": len(one.hosts),
            "at": None if one.at is None else timestamp(one.at),
            "error": one.error,
            "since": None if one.since is None else timestamp(one.since),
        }

    def _sources(self) -> Iterator[tuple[Zone, HostSource]]:
        for served in self._cluster.sources.values():
            for source in served.zone.sources:
                yield served.zone, source

    def _failing_sources(self) -> list[str]:
        """Name the sources of hosts that give none now, or that ask ourselves."""
        found = []
        for zone, source in self._sources():
            one = self._discovery.listing(zone.name, source)
            if one.since is not None:
                found.append(f"zone {zone.name}: {one.told(source.title)}, since {timestamp(one.since)}")
            over = zone_over(source, self._cluster.sources)
            if over is not None:
                found.append(
                    f"zone {zone.name}: {source.title} lies in zone {over}, which is served here: geodns may "
                    "ask itself: name a `resolver` that does not come back to it"
                )
        return found

    def _all_warnings(self) -> list[str]:
        disk = [self._keeper.trouble] if self._keeper.trouble else []
        return [
            *self._warnings(),
            *disk,
            *self._folder.warnings(self._cluster.sources),
            *self._failing_sources(),
            *concerns(self._vitals()).values(),
            *self._blind(),
            *self._suspicions(),
            *self._old_certificates(),
            *self._without_live_hosts(),
        ]

    def _without_live_hosts(self) -> list[str]:
        """Name the pools whose answers are a last resort: whoever is on call must hear of that first."""
        return [
            f"pool {pool} of {zone}: nobody is live, last resort: {choice.last_resort}"
            for (zone, pool), choice in self._cluster.compiled.choices.items()
            if choice.last_resort is not None
        ]

    def _blind(self) -> list[str]:
        """Say so when probes fail by trouble of our own: the states shown are old then."""
        last = [self._monitor.last(target) for target in self._cluster.targets]
        details = {one[0].detail for one in last if one is not None and one[0].kind is ProbeResult.UNKNOWN}
        return [
            f"the prober has trouble of its own, host states may be old: {one}" for one in sorted(details)
        ]

    def _held_until(self) -> dict[PoolKey, float | None]:
        now = time.time()
        return {
            key: None if one.held_for is None else now + one.held_for
            for key, one in self._monitor.suspects.items()
        }

    def _suspicions(self) -> list[str]:
        """Name the pools that failed as one, and the hosts that refuse the prober alone."""
        found = [] if self._monitor.hint is None else [self._monitor.hint]
        for (zone, pool), one in self._monitor.suspects.items():
            until = (
                "they count as failures by now"
                if one.held_for is None
                else f"their verdicts are held for {one.held_for:.0f} s more"
            )
            found.append(
                f"pool {pool} of {zone}: {one.failing} of {one.hosts} hosts began to fail at once, "
                f"the prober itself may be cut off (prober_suspect): {until}"
            )
        return found

    def certificates(self) -> Iterator[tuple[Target, Certificate]]:
        """Return what hosts showed of themselves last."""
        for target in self._cluster.targets:
            shown = self._monitor.certificate(target) if target.check.encrypts else None
            if shown is not None:
                yield target, shown

    def _old_certificates(self) -> list[str]:
        now = time.time()
        told = (warning_of(target, certificate, now) for target, certificate in self.certificates())
        return sorted({one for one in told if one is not None})

    def seen(self, target: Target) -> LastResult | None:
        """Return a target's last result."""
        last = self._monitor.last(target)
        if last is None:
            return None
        outcome, when = last
        shown = self._monitor.certificate(target)
        certificate = None if shown is None else certificate_json(shown, time.time())
        return LastResult(str(outcome.kind), outcome.detail, outcome.rtt, when, outcome.ehlo_rtt, certificate)

    def gauges(self) -> Gauges:
        """Return what the metrics measure at a scrape."""
        live = self._cluster.live()
        hosts = {}
        for name, source in self._cluster.sources.items():
            for host in source.zone.hosts:
                forced = self._cluster.forced.get((name, host.name))
                hosts[name, host.name] = HostGauge(
                    live.host_state(source.zone, host),
                    None if forced is None else str(forced.forced),
                    float(effective_weight(live, source.zone, host)),
                )
        refused = {name: name in self._folder.refused for name in list(self._folder.files)}
        serials = {name: source.serial for name, source in self._cluster.sources.items()}
        restarts = {name: worker.restarts for name, worker in self._link.workers.items()}
        suspects = self._monitor.suspects
        suspect = {key: key in suspects for key in self._cluster.compiled.choices}
        ends = {
            (target.check.name, name_for(target), str(target.address), str(target.port)): one.not_after
            for target, one in self.certificates()
            if one.not_after
        }
        loads = {
            host: LoadGauge(
                None if one.value is None or one.stale else one.value / one.load.full,
                one.stale,
            )
            for host, one in self._cluster.loads.known.items()
        }
        return Gauges(
            hosts,
            serials,
            refused,
            self.unready() is None,
            restarts,
            suspect,
            ends,
            self._vitals(),
            self._keeper.trouble is None,
            self._pools(live),
            self._source_gauges(),
            loads,
        )

    def _pools(self, live: LiveSet) -> dict[PoolKey, PoolGauge]:
        return {
            (zone, name): PoolGauge(
                _dealable(live, self._cluster.zone(zone), name),
                len(choice.live),
                helped=choice.using != (name,) and choice.last_resort is None,
                last_resort=choice.last_resort is not None,
                shares={host: float(part) for host, part in shares(choice.dealt).items()},
            )
            for (zone, name), choice in self._cluster.compiled.choices.items()
        }

    def _source_gauges(self) -> dict[tuple[str, str], SourceGauge]:
        listings = {
            (zone.name, source.title): self._discovery.listing(zone.name, source)
            for zone, source in self._sources()
        }
        return {
            key: SourceGauge(one.at is not None and one.error is None, len(one.hosts), one.at)
            for key, one in listings.items()
        }


def _dealable(live: LiveSet, zone: Zone, pool: str) -> int:
    """Return how many hosts of a pool would be dealt if all were well."""
    members = zone.pool_by_name[pool].members
    return sum(live.weight(zone, member.host, member.weight) > 0 for member in members)
