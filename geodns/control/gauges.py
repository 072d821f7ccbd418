"""Gauges for Prometheus, read from the services at each scrape."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from geodns.compiler.choice import Choice, own_using, shares
from geodns.compiler.live_set import LiveSet, effective_weight
from geodns.control.experiments import effective
from geodns.control.services import Services
from geodns.health.tls import name_for
from geodns.model.base import FAMILIES
from geodns.model.hosts import Host
from geodns.model.state import NOT_LIVE, HealthState
from geodns.model.zone import Zone

Row = tuple[tuple[str, ...], float]
"""The values of the labels, and the number."""


class Gauges(Collector):
    """The gauges of all services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: there may be no zone yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        yield from _hosts(self._services)
        yield from _warmups(self._services)
        yield from _pools(self._services)
        yield from _zones(self._services)
        yield from _reputation(self._services)
        yield from _experiments(self._services)
        yield from _signals(self._services)
        yield from _geoip(self._services)
        yield from _views(self._services)
        yield from _server(self._services)


def _gauge(name: str, text: str, labels: str, rows: Iterable[Row]) -> Metric:
    """Return a gauge; its labels are separated by spaces."""
    family = GaugeMetricFamily(name, text, labels=labels.split())
    for values, number in rows:
        family.add_metric(values, float(number))
    return family


def _one(name: str, text: str, number: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(number))


def _hosts(services: Services) -> Iterator[Metric]:
    cluster = services.cluster
    live, warmup = cluster.live(), cluster.warmup_factors
    found: list[tuple[tuple[str, str], Zone, Host]] = [
        ((zone.name, host.name), zone, host) for zone in cluster.zones.values() for host in zone.hosts
    ]
    states = [(key, live.host_state(zone, host)) for key, zone, host in found]
    yield _gauge(
        "geodns_host_state",
        "1 for the state that a host has.",
        "zone host state",
        (((*key, str(one)), state is one) for key, state in states for one in HealthState),
    )
    yield _gauge(
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
    yield _gauge(
        "geodns_host_forced",
        "1 where a host has an override.",
        "zone host forced",
        (((*key, str(cluster.forced[key].forced)), 1) for key, _, _ in found if key in cluster.forced),
    )
    yield _gauge(
        "geodns_host_effective_weight",
        "Weight with every factor; 0 when out.",
        "zone host",
        ((key, float(effective_weight(live, zone, host) * warmup.get(key, 1))) for key, zone, host in found),
    )
    known = cluster.loads.known
    yield _gauge(
        "geodns_host_load_ratio",
        "How busy a host says it is, as a part of what it can bear; absent when not known.",
        "zone host",
        (
            (key, one.value / one.load.full)
            for key, one in known.items()
            if one.value is not None and not one.stale
        ),
    )
    yield _gauge(
        "geodns_host_load_stale",
        "1 while a host's load has not been known for too long, and its plain weight is used.",
        "zone host",
        ((key, one.stale) for key, one in known.items()),
    )
    yield _gauge(
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
    yield _gauge(
        "geodns_pool_hosts",
        "Hosts of a pool that have weight, without those that warm up and are not dealt.",
        "zone pool",
        ((key, _with_weight(live, zones[key[0]], choice)) for key, choice in choices.items()),
    )
    yield _gauge(
        "geodns_pool_live_hosts",
        "Hosts that a pool deals because they are live, those of its fallbacks included.",
        "zone pool",
        ((key, len(choice.live)) for key, choice in choices.items()),
    )
    yield _gauge(
        "geodns_pool_fallback",
        "1 while a pool's fallback serves.",
        "zone pool",
        (
            # MX leaves out a family that only the fallback has: that is no trouble.
            (key, own_using(zones[key[0]], choice) != (key[1],) and choice.mx.last_resort is None)
            for key, choice in choices.items()
        ),
    )
    yield _gauge(
        "geodns_pool_last_resort",
        "1 while nobody in a pool or its fallbacks is live, in one family at least.",
        "zone pool",
        ((key, choice.last_resort is not None) for key, choice in choices.items()),
    )
    yield _gauge(
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
    yield _gauge(
        "geodns_prober_suspect",
        "1 while most of a pool's hosts fail that began to at once: the prober itself may be cut off.",
        "zone pool",
        ((key, key in suspects) for key in choices),
    )


def _warmups(services: Services) -> Iterator[Metric]:
    found = list(services.warmup.hosts.items())
    planned = [(key, one, cap) for key, one in found if (cap := one.plan.cap(one.stage.day)) is not None]
    yield _gauge(
        "geodns_warmup_day",
        "The day of its plan that a host is at; one more than the plan has once it is over.",
        "zone host",
        ((key, one.stage.day) for key, one in found),
    )
    yield _gauge(
        "geodns_warmup_cap_messages",
        "Messages that a host may send today; absent once its warm-up is over.",
        "zone host",
        ((key, cap) for key, _, cap in planned),
    )
    yield _gauge(
        "geodns_warmup_sent_messages",
        "Messages that a host has sent today, counted or by its share of the volume.",
        "zone host",
        ((key, one.sent) for key, one in found),
    )
    yield _gauge(
        "geodns_warmup_overshoot_messages",
        "Messages that one cached answer may still bring a host whose share has fallen to 0.",
        "zone host",
        ((key, one.seen.overshoot) for key, one, _ in planned),
    )
    yield _gauge(
        "geodns_warmup_share_ratio",
        "The part of its pools' answers that a host is dealt.",
        "zone host",
        ((key, float(one.share)) for key, one in found),
    )
    yield _gauge(
        "geodns_warmup_ceiling_ratio",
        "The part of its pools' answers that a host may have, at most.",
        "zone host",
        ((key, min(1.0, float(one.ceiling.share))) for key, one in found),
    )
    yield _gauge(
        "geodns_warmup_held",
        "1 while something holds a host at its day, or keeps it from being dealt; pacing is not counted.",
        "zone host",
        ((key, one.stalled) for key, one, _ in planned),
    )
    yield _gauge(
        "geodns_warmup_signals_silent",
        "1 while signals that came of a host's mail come no more.",
        "zone host",
        ((key, one.silent) for key, one, _ in planned),
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
    yield _gauge(
        "geodns_zone_serial",
        "The SOA serial that is served.",
        "zone",
        (((name,), source.serial) for name, source in services.cluster.sources.items()),
    )
    refused = services.zones.refused
    yield _gauge(
        "geodns_zone_file_refused",
        "1 while a zone's file has problems and is not served.",
        "zone",
        (((name,), name in refused) for name in list(services.zones.files)),
    )
    sources = [((zone.name, source.title), listing) for zone, source, listing in services.zones.sources()]
    yield _gauge(
        "geodns_host_source_up",
        "1 while a source gives hosts; 0 while its last list is kept.",
        "zone source",
        ((key, one.at is not None and one.error is None) for key, one in sources),
    )
    yield _gauge(
        "geodns_host_source_hosts",
        "Hosts of a source's last list.",
        "zone source",
        ((key, len(one.hosts)) for key, one in sources),
    )
    yield _gauge(
        "geodns_host_source_last_success_timestamp_seconds",
        "When a source gave its last list.",
        "zone source",
        ((key, one.at) for key, one in sources if one.at is not None),
    )


def _views(services: Services) -> Iterator[Metric]:
    known = [((name,), one) for name, one in services.cluster.compiled.views.items() if one.views]
    yield _gauge(
        "geodns_views_compiled_timestamp_seconds",
        "For when it was compiled last what clients of a zone with rules or experiments are dealt.",
        "zone",
        ((key, one.at) for key, one in known),
    )
    yield _gauge(
        "geodns_view_ranges",
        "Ranges of addresses that are dealt differently from their neighbours.",
        "zone",
        ((key, sum(map(len, one.partitions.values()))) for key, one in known),
    )


def _signals(services: Services) -> Iterator[Metric]:
    signals = services.signals
    heard = [
        ((zone.name, host.name), signals.heard((zone.name, host.name)))
        for zone in services.cluster.zones.values()
        for host in zone.hosts
    ]
    yield _gauge(
        "geodns_mail_signals_last_heard_timestamp_seconds",
        "When a signal or a heartbeat for a host came last.",
        "zone host",
        ((key, at) for key, at in heard if at is not None),
    )
    yield _one("geodns_mail_signals_store_bytes", "The size of signals.db.", signals.size)
    yield _one("geodns_mail_signals_written", "1 while signals of mail can be kept.", signals.trouble is None)


def _experiments(services: Services) -> Iterator[Metric]:
    service = services.experiments
    held = service.held()
    epochs = {key: one for key, one in service.epochs.items() if key in held}
    arms = [
        ((*key, arm.name), epoch.of(arm.name)) for key, epoch in epochs.items() for arm in held[key][1].arms
    ]
    for name, text in (
        ("queries", "Queries for which an arm was chosen, in this epoch."),
        ("answers", "Answers of an arm, in this epoch."),
        ("failovers", "Answers of the first arm's hosts, as nobody of the arm was live, in this epoch."),
    ):
        family = CounterMetricFamily(f"geodns_experiment_{name}", text, labels=["zone", "experiment", "arm"])
        for key, counts in arms:
            family.add_metric(key, getattr(counts, name))
        yield family
    yield _gauge(
        "geodns_experiment_effective_networks",
        "How many networks of equal size would ask as an arm's do.",
        "zone experiment arm",
        ((key, effective(one.seats)) for key, one in arms),
    )
    known = {key: found for key in epochs if (found := service.known(key)) is not None}
    yield _gauge(
        "geodns_experiment_rate_ratio",
        "A part of an arm's first attempts, at the last review.",
        "zone experiment arm metric",
        (
            ((*key, arm, metric), rate.value)
            for key, found in known.items()
            for arm, rates in found.findings.rates.items()
            for metric, rate in rates.items()
            if rate.of
        ),
    )
    yield _gauge(
        "geodns_experiment_enough",
        "1 once an experiment's primary metric may be judged.",
        "zone experiment",
        ((key, found.findings.verdict.enough) for key, found in known.items()),
    )


def _reputation(services: Services) -> Iterator[Metric]:
    service = services.reputation
    judged = service.zones()
    hosts = [(name, host) for name, zone in judged.items() for host in zone.host_by_name]
    yield _gauge(
        "geodns_host_reputation_ratio",
        "What reputation leaves of a host's weight, or would in mode act.",
        "zone host",
        ((key, float(service.factor(key))) for key in hosts),
    )
    yield _gauge(
        "geodns_host_barred",
        "1 while a host is barred for a provider.",
        "zone host provider",
        (((*key, provider), 1) for key in hosts for provider in service.barred(key)),
    )
    yield _gauge(
        "geodns_host_listed",
        "1 while a block list has an address that a host's mail leaves from.",
        "zone host list",
        (((*key, name), 1) for key in hosts for name in service.lists_with(key)),
    )
    lists = [(name, one, state) for name in judged for one, state in service.lists_of(name).items()]
    yield _gauge(
        "geodns_dnsbl_believed",
        "1 while a block list passes its test and answers.",
        "zone list",
        (((name, one), state.ok) for name, one, state in lists),
    )
    yield _gauge(
        "geodns_reputation_common_causes",
        "Causes that hit more hosts of a pool than max_out, so that nobody is taken out for them.",
        "zone",
        (((name,), len(service.common(name))) for name in judged),
    )


def _geoip(services: Services) -> Iterator[Metric]:
    files = [((str(one.path),), one) for one in services.geoip.describe()]
    yield _gauge(
        "geodns_geoip_file_build_timestamp_seconds",
        "When what is in use of a GeoIP file was built.",
        "file",
        ((key, one.build.built) for key, one in files if one.build is not None),
    )
    yield _gauge(
        "geodns_geoip_file_refused",
        "1 while a GeoIP file cannot be used; its last good copy may be.",
        "file",
        ((key, bool(one.error)) for key, one in files),
    )
    yield _gauge(
        "geodns_geoip_ranges",
        "Ranges of addresses in memory, of all countries, continents or AS numbers that rules name.",
        "kind",
        (((kind,), number) for kind, number in services.geoip.counts().items()),
    )


def _server(services: Services) -> Iterator[Metric]:
    yield _one("geodns_ready", "1 when the server can answer.", services.watchdog.unready() is None)
    restarts = CounterMetricFamily(
        "geodns_worker_restarts", "Workers that died and were started again.", labels=["worker"]
    )
    for name, worker in services.workers.workers.items():
        restarts.add_metric([name], worker.restarts)
    yield restarts
    seen = services.watchdog.vitals
    yield _gauge(
        "geodns_worker_silence_seconds",
        "How long ago a worker was heard last.",
        "worker",
        (((worker,), seconds) for worker, seconds in seen.silence.items()),
    )
    yield _one("geodns_probe_lateness_seconds", "How late the most overdue probe is.", seen.lateness)
    yield _one(
        "geodns_loop_lag_seconds",
        "The longest time in the last minute in which the control process did one thing.",
        seen.lag,
    )
    yield _one(
        "geodns_state_written",
        "1 while all that must survive a restart is on disk.",
        services.persistence.trouble is None,
    )
    if seen.free is not None:
        yield _one("geodns_state_free_bytes", "What is free on the disk of the state.", seen.free)
