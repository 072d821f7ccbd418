"""What is measured at the moment of a scrape: hosts, pools, zones, sources, loads, and the server itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from geodns.control.watchdog import Vitals
from geodns.model.state import HealthState, HostKey


@dataclass(frozen=True, slots=True)
class HostGauge:
    """What is measured of a host at the moment of a scrape."""

    state: HealthState
    forced: str | None
    effective_weight: float


@dataclass(frozen=True, slots=True)
class PoolGauge:
    """What is measured of a pool.

    Attributes:
        hosts: those of its own that have weight.
        live: how many hosts it deals because they are live, those of its fallbacks included.
        helped: whether a fallback serves with it or for it.
        last_resort: whether nobody is live, and it deals whom it must or answers SERVFAIL.
        shares: of each host it deals, in its answers.

    """

    hosts: int
    live: int
    helped: bool
    last_resort: bool
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SourceGauge:
    """What is measured of a source of hosts at the moment of a scrape.

    Attributes:
        up: whether it gives hosts now, and not its last list only.
        hosts: of that list.
        at: when it gave it, in seconds since the epoch; None when it never did.

    """

    up: bool
    hosts: int
    at: float | None


@dataclass(frozen=True, slots=True)
class LoadGauge:
    """What is measured of a host's load.

    Attributes:
        ratio: the last value as a part of `full`; None when there is none that counts.
        stale: whether there has been none for too long.

    """

    ratio: float | None
    stale: bool


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is measured at the moment of a scrape.

    Attributes:
        hosts: by host.
        serials: by zone.
        refused_files: by zone, whether its file is refused and an older state of it is served.
        ready: whether the server can answer.
        restarts: by worker.
        prober_suspect: by zone and pool, whether most of its hosts failed at once.
        certificates: until when they are good, in seconds since the epoch, by check, server name,
            address and port.
        vitals: what the watch over ourselves has seen.
        pools: by zone and pool.
        written: whether everything that must survive a restart is on disk.
        sources: of hosts, by zone and source.
        loads: of the hosts that say how busy they are.

    """

    hosts: Mapping[HostKey, HostGauge]
    serials: Mapping[str, int]
    refused_files: Mapping[str, bool]
    ready: bool
    restarts: Mapping[str, int]
    prober_suspect: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    certificates: Mapping[tuple[str, str, str, str], float] = field(default_factory=dict)
    vitals: Vitals = field(default_factory=Vitals)
    written: bool = True
    pools: Mapping[tuple[str, str], PoolGauge] = field(default_factory=dict)
    sources: Mapping[tuple[str, str], SourceGauge] = field(default_factory=dict)
    loads: Mapping[HostKey, LoadGauge] = field(default_factory=dict)


class AtScrape(Collector):
    """Measures anew at each scrape.

    Args:
        read: returns what is so now.

    """

    def __init__(self, read: Callable[[], Gauges]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: there may be no zone yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what is so now."""
        now = self._read()
        state = GaugeMetricFamily(
            "geodns_host_state", "1 for the state that a host has.", labels=["zone", "host", "state"]
        )
        forced = GaugeMetricFamily(
            "geodns_host_forced", "1 where something is imposed on a host.", labels=["zone", "host", "forced"]
        )
        weight = GaugeMetricFamily(
            "geodns_host_effective_weight", "Weight with every factor; 0 when out.", labels=["zone", "host"]
        )
        for (zone, host), gauge in now.hosts.items():
            for one in HealthState:
                state.add_metric([zone, host, str(one)], float(gauge.state is one))
            if gauge.forced is not None:
                forced.add_metric([zone, host, gauge.forced], 1)
            weight.add_metric([zone, host], gauge.effective_weight)
        serial = GaugeMetricFamily("geodns_zone_serial", "The SOA serial that is served.", labels=["zone"])
        for name, number in now.serials.items():
            serial.add_metric([name], number)
        refused = GaugeMetricFamily(
            "geodns_zone_file_refused",
            "1 while a zone's file has problems and is not served.",
            labels=["zone"],
        )
        for name, is_refused in now.refused_files.items():
            refused.add_metric([name], float(is_refused))
        ready = GaugeMetricFamily("geodns_ready", "1 when the server can answer.")
        ready.add_metric([], float(now.ready))
        restarts = CounterMetricFamily(
            "geodns_worker_restarts", "Workers that died and were started again.", labels=["worker"]
        )
        for worker, number in now.restarts.items():
            restarts.add_metric([worker], number)
        suspect = GaugeMetricFamily(
            "geodns_prober_suspect",
            "1 while most of a pool's hosts fail that began to at once: the prober itself may be cut off.",
            labels=["zone", "pool"],
        )
        for pool, is_suspect in now.prober_suspect.items():
            suspect.add_metric([*pool], float(is_suspect))
        certificates = GaugeMetricFamily(
            "geodns_certificate_not_after_timestamp_seconds",
            "Until when the certificate is good that a host showed to a probe.",
            labels=["check", "server_name", "address", "port"],
        )
        for labels, until in now.certificates.items():
            certificates.add_metric(labels, until)
        yield from (state, forced, weight, serial, refused, ready, restarts, suspect, certificates)
        yield from _of_pools(now.pools)
        yield from _of_sources(now.sources)
        yield from _vital_signs(now)
        yield from _loads(now.loads)


def _of_pools(pools: Mapping[tuple[str, str], PoolGauge]) -> Iterable[Metric]:
    """Yield whom the pools deal."""
    labels = ["zone", "pool"]
    hosts = GaugeMetricFamily("geodns_pool_hosts", "Hosts of a pool that have weight.", labels=labels)
    live = GaugeMetricFamily(
        "geodns_pool_live_hosts",
        "Hosts that a pool deals because they are live, those of its fallbacks included.",
        labels=labels,
    )
    helped = GaugeMetricFamily("geodns_pool_fallback", "1 while a pool's fallback serves.", labels=labels)
    resort = GaugeMetricFamily(
        "geodns_pool_last_resort", "1 while nobody in a pool or its fallbacks is live.", labels=labels
    )
    share = GaugeMetricFamily(
        "geodns_pool_intended_share_ratio",
        "The part of a pool's answers that a host is to have.",
        labels=[*labels, "host"],
    )
    for key, pool in pools.items():
        hosts.add_metric([*key], pool.hosts)
        live.add_metric([*key], pool.live)
        helped.add_metric([*key], float(pool.helped))
        resort.add_metric([*key], float(pool.last_resort))
        for host, part in pool.shares.items():
            share.add_metric([*key, host], part)
    return hosts, live, helped, resort, share


def _vital_signs(now: Gauges) -> Iterable[Metric]:
    """Yield how the server itself is."""
    seen = now.vitals
    silence = GaugeMetricFamily(
        "geodns_worker_silence_seconds", "How long ago a worker was heard last.", labels=["worker"]
    )
    for worker, seconds in seen.silence.items():
        silence.add_metric([worker], seconds)
    plain = (
        ("geodns_probe_lateness_seconds", "How late the most overdue probe is.", seen.lateness),
        (
            "geodns_loop_lag_seconds",
            "The longest time in the last minute in which the control process did one thing.",
            seen.lag,
        ),
        ("geodns_state_written", "1 while all that must survive a restart is on disk.", float(now.written)),
    )
    yield silence
    for name, text, value in plain:
        yield GaugeMetricFamily(name, text, value)
    if seen.free is not None:
        yield GaugeMetricFamily(
            "geodns_state_free_bytes", "What is free on the disk of the state.", float(seen.free)
        )


def _of_sources(sources: Mapping[tuple[str, str], SourceGauge]) -> Iterable[Metric]:
    labels = ["zone", "source"]
    up = GaugeMetricFamily(
        "geodns_host_source_up", "1 while a source gives hosts; 0 while its last list is kept.", labels=labels
    )
    hosts = GaugeMetricFamily("geodns_host_source_hosts", "Hosts of a source's last list.", labels=labels)
    at = GaugeMetricFamily(
        "geodns_host_source_last_success_timestamp_seconds",
        "When a source gave its last list.",
        labels=labels,
    )
    for key, gauge in sources.items():
        up.add_metric([*key], float(gauge.up))
        hosts.add_metric([*key], gauge.hosts)
        if gauge.at is not None:
            at.add_metric([*key], gauge.at)
    return (up, hosts, at)


def _loads(loads: Mapping[HostKey, LoadGauge]) -> tuple[Metric, Metric]:
    ratio = GaugeMetricFamily(
        "geodns_host_load_ratio",
        "How busy a host says it is, as a part of what it can bear; absent when not known.",
        labels=["zone", "host"],
    )
    stale = GaugeMetricFamily(
        "geodns_host_load_stale",
        "1 while a host's load has not been known for too long, and its plain weight is used.",
        labels=["zone", "host"],
    )
    for host, gauge in loads.items():
        if gauge.ratio is not None:
            ratio.add_metric([*host], gauge.ratio)
        stale.add_metric([*host], float(gauge.stale))
    return ratio, stale
