"""Gauges for Prometheus, read from the services at each scrape."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from geodns.compiler.choice import Choice, own_using, shares
from geodns.compiler.live_set import LiveSet, effective_weight
from geodns.control import mail_gauges, peer_gauges, shared_gauges
from geodns.control.gauge_families import gauge, single
from geodns.control.services import Services
from geodns.health.tls import name_for
from geodns.model.base import FAMILIES
from geodns.model.hosts import Host
from geodns.model.state import NOT_LIVE, HealthState
from geodns.model.zone import Zone


class Gauges(Collector):
    """The gauges of all services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: there may be no zone yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from _hosts(self._services)
        yield from mail_gauges.warmups(self._services)
        yield from _pools(self._services)
        yield from _zones(self._services)
        yield from mail_gauges.reputation(self._services)
        yield from mail_gauges.experiments(self._services)
        yield from mail_gauges.signals(self._services)
        yield from mail_gauges.providers(self._services)
        yield from _geoip(self._services)
        yield from _views(self._services)
        yield from peer_gauges.peers(self._services.peers.views())
        if self._services.shared is not None:
            yield from shared_gauges.shared(self._services.shared.view())
        yield from _server(self._services)


def _hosts(services: Services) -> Iterator[Metric]:
    cluster = services.cluster
    live, warmup = cluster.live(), cluster.warmup_factors
    found: list[tuple[tuple[str, str], Zone, Host]] = [
        ((zone.name, host.name), zone, host) for zone in cluster.zones.values() for host in zone.hosts
    ]
    states = [(key, live.host_state(zone, host)) for key, zone, host in found]
    yield gauge(
        "geodns_host_state",
        "1 for the state that a host has.",
        "zone host state",
        (((*key, str(one)), state is one) for key, state in states for one in HealthState),
    )
    yield gauge(
        "geodns_address_live",
        "0 while an address of a host is down, or sheds all its mail; else 1.",
        "zone host family address",
        (
            ((*key, family, str(address)), live.address_state(zone, host, address) not in NOT_LIVE)
            for key, zone, host in found
            for family, addresses in host.by_family.items()
            for address in addresses
        ),
    )
    yield gauge(
        "geodns_host_forced",
        "1 where a host has an override.",
        "zone host forced",
        (((*key, str(cluster.forced[key].forced)), 1) for key, _, _ in found if key in cluster.forced),
    )
    yield gauge(
        "geodns_host_effective_weight",
        "Weight with every factor; 0 when out.",
        "zone host",
        ((key, float(effective_weight(live, zone, host) * warmup.get(key, 1))) for key, zone, host in found),
    )
    known = cluster.loads.known
    yield gauge(
        "geodns_host_load_ratio",
        "How busy a host says it is, as a part of what it can bear; absent when not known.",
        "zone host",
        (
            (key, one.value / one.load.full)
            for key, one in known.items()
            if one.value is not None and not one.stale
        ),
    )
    yield gauge(
        "geodns_host_load_stale",
        "1 while a host's load has not been known for too long, and its plain weight is used.",
        "zone host",
        ((key, one.stale) for key, one in known.items()),
    )
    yield gauge(
        "geodns_certificate_not_after_timestamp_seconds",
        "Until when the certificate is good that a host showed to a probe.",
        "check server_name address port",
        {
            (target.check.name, name_for(target), str(target.address), str(target.port)): one.not_after
            for target, one in services.verdicts.certificates()
            if one.not_after
        }.items(),
    )


def _pools(services: Services) -> Iterator[Metric]:
    cluster = services.cluster
    live, zones, choices = cluster.live(), cluster.zones, cluster.compiled.choices
    yield gauge(
        "geodns_pool_hosts",
        "Hosts of a pool that have weight, without those that warm up and are not dealt.",
        "zone pool",
        ((key, _with_weight(live, zones[key[0]], choice)) for key, choice in choices.items()),
    )
    yield gauge(
        "geodns_pool_live_hosts",
        "Hosts that a pool deals because they are live, those of its fallbacks included.",
        "zone pool",
        ((key, len(choice.live)) for key, choice in choices.items()),
    )
    yield gauge(
        "geodns_pool_fallback",
        "1 while a pool's fallback serves.",
        "zone pool",
        (
            # MX leaves out a family that only the fallback has: that is no trouble.
            (key, own_using(zones[key[0]], choice) != (key[1],) and choice.mx.last_resort is None)
            for key, choice in choices.items()
        ),
    )
    yield gauge(
        "geodns_pool_last_resort",
        "1 while nobody in a pool or its fallbacks is live, in one family at least.",
        "zone pool",
        ((key, choice.last_resort is not None) for key, choice in choices.items()),
    )
    yield gauge(
        "geodns_pool_intended_share_ratio",
        "The part of a pool's A or AAAA answers that a host is to have.",
        "zone pool host family",
        (
            ((*key, host, family), float(part))
            for key, choice in choices.items()
            for family in FAMILIES
            for host, part in shares(choice.of(family).dealt).items()
        ),
    )
    suspects = services.verdicts.suspects
    yield gauge(
        "geodns_prober_suspect",
        "1 while most of a pool's hosts fail that began to at once: the prober itself may be cut off.",
        "zone pool",
        ((key, key in suspects) for key in choices),
    )


def _with_weight(live: LiveSet, zone: Zone, choice: Choice) -> int:
    """Return how many hosts of a pool would be dealt if all were up."""
    pool = zone.pool_by_name[choice.pool]
    waiting = live.warming(zone, pool).keys() - set(choice.hosts)
    return sum(
        live.weight(zone, member.host, member.weight) > 0
        for member in pool.members
        if member.host not in waiting
    )


def _zones(services: Services) -> Iterator[Metric]:
    yield gauge(
        "geodns_zone_serial",
        "The SOA serial that is served.",
        "zone",
        (((name,), source.serial) for name, source in services.cluster.sources.items()),
    )
    refused = services.zones.refused
    yield gauge(
        "geodns_zone_file_refused",
        "1 while a zone's file has problems and is not served.",
        "zone",
        (((name,), name in refused) for name in list(services.zones.files)),
    )
    sources = [((zone.name, source.title), listing) for zone, source, listing in services.zones.sources()]
    yield gauge(
        "geodns_host_source_up",
        "1 while a source gives hosts; 0 while its last list is kept.",
        "zone source",
        ((key, one.at is not None and one.error is None) for key, one in sources),
    )
    yield gauge(
        "geodns_host_source_hosts",
        "Hosts of a source's last list.",
        "zone source",
        ((key, len(one.hosts)) for key, one in sources),
    )
    yield gauge(
        "geodns_host_source_last_success_timestamp_seconds",
        "When a source gave its last list.",
        "zone source",
        ((key, one.at) for key, one in sources if one.at is not None),
    )


def _views(services: Services) -> Iterator[Metric]:
    known = [((name,), one) for name, one in services.cluster.compiled.views.items() if one.views]
    yield gauge(
        "geodns_views_compiled_timestamp_seconds",
        "For when it was compiled last what clients of a zone with rules or experiments are dealt.",
        "zone",
        ((key, one.at) for key, one in known),
    )
    yield gauge(
        "geodns_view_ranges",
        "Ranges of addresses that are dealt differently from their neighbours.",
        "zone",
        ((key, sum(map(len, one.partitions.values()))) for key, one in known),
    )


def _geoip(services: Services) -> Iterator[Metric]:
    files = [((str(one.path),), one) for one in services.geoip.describe()]
    yield gauge(
        "geodns_geoip_file_build_timestamp_seconds",
        "When what is in use of a GeoIP file was built.",
        "file",
        ((key, one.build.built) for key, one in files if one.build is not None),
    )
    yield gauge(
        "geodns_geoip_file_refused",
        "1 while a GeoIP file cannot be used; its last good copy may be.",
        "file",
        ((key, bool(one.error)) for key, one in files),
    )
    yield gauge(
        "geodns_geoip_ranges",
        "Ranges of addresses in memory, of all countries, continents or AS numbers that rules name.",
        "kind",
        (((kind,), number) for kind, number in services.geoip.counts().items()),
    )


def _server(services: Services) -> Iterator[Metric]:
    yield single("geodns_ready", "1 when the server can answer.", services.watchdog.unready() is None)
    restarts = CounterMetricFamily(
        "geodns_worker_restarts", "Workers that died and were started again.", labels=["worker"]
    )
    for name, worker in services.workers.workers.items():
        restarts.add_metric([name], worker.restarts)
    yield restarts
    seen = services.watchdog.vitals
    yield gauge(
        "geodns_worker_silence_seconds",
        "How long ago a worker was heard last.",
        "worker",
        (((worker,), seconds) for worker, seconds in seen.silence.items()),
    )
    yield single("geodns_probe_lateness_seconds", "How late the most overdue probe is.", seen.lateness)
    yield single(
        "geodns_loop_lag_seconds",
        "The longest time in the last minute in which the control process did one thing.",
        seen.lag,
    )
    yield single(
        "geodns_state_written",
        "1 while all that must survive a restart is on disk.",
        services.persistence.trouble is None,
    )
    if seen.free is not None:
        yield single("geodns_state_free_bytes", "What is free on the disk of the state.", seen.free)
