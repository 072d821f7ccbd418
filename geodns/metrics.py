"""Every Prometheus name, in one place (https://prometheus.io/docs/practices/naming/)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from geodns.dealing import OTHER_TYPE, Counts
from geodns.live import HostKey, State
from geodns.liveness import Vitals
from geodns.ratelimit import Action
from geodns.rcodes import rcode_name
from geodns.rrtypes import name_of
from geodns.table import Rotation

PROBE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
RECOMPILE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)


@dataclass(frozen=True, slots=True)
class HostGauge:
    """What is measured of a host at the moment of a scrape."""

    state: State
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


class _AtScrape(Collector):
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
            for one in State:
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


class Metrics:
    """The server's metrics, in a registry of their own.

    Args:
        version: of geodns.
        backend: what deals the answers (``python``).
        gauges: reads what is measured at a scrape.

    """

    def __init__(self, version: str, backend: str, gauges: Callable[[], Gauges]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Info("geodns_build", "What is running.", registry=self.registry)
        build.info({"version": version, "backend": backend})
        self._queries = Counter(
            "geodns_queries_total",
            "Queries answered; zone is empty for names that are in no zone of ours.",
            ["zone", "type", "rcode", "transport"],
            registry=self.registry,
        )
        self._answers = Counter(
            "geodns_answers_total",
            "Answers that named a host, by the pool they were dealt for.",
            ["zone", "pool", "host"],
            registry=self.registry,
        )
        self._picks = Counter(
            "geodns_picks_total",
            "Answers, each shared out among the hosts it named: where clients that pick by chance went.",
            ["zone", "pool", "host"],
            registry=self.registry,
        )
        self._probes = Counter(
            "geodns_probes_total", "Probes, by outcome.", ["check", "outcome"], registry=self.registry
        )
        self._probe_seconds = Histogram(
            "geodns_probe_duration_seconds",
            "From connecting to the verdict.",
            ["check"],
            buckets=PROBE_BUCKETS,
            registry=self.registry,
        )
        self._transitions = Counter(
            "geodns_host_transitions_total",
            "Changes of a host's state.",
            ["zone", "host", "to"],
            registry=self.registry,
        )
        self._recompile = Histogram(
            "geodns_recompile_seconds",
            "Making the Table anew after a change.",
            buckets=RECOMPILE_BUCKETS,
            registry=self.registry,
        )
        self._load_errors = Counter(
            "geodns_zone_load_errors_total", "Zone files that were refused.", ["zone"], registry=self.registry
        )
        self._limited = Counter(
            "geodns_rate_limited_total",
            "Answers that were over the rate limit, by what became of them.",
            ["action"],
            registry=self.registry,
        )
        for action in Action:
            self._limited.labels(str(action))
        self._logged = Counter(
            "geodns_query_log_total",
            "Queries for the query log: written, or dropped because there were too many.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("written", "dropped"):
            self._logged.labels(outcome)
        self._loads = Counter(
            "geodns_load_readings_total",
            "Attempts to learn a host's load, asked for or pushed, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("ok", "failure"):
            self._loads.labels(outcome)
        self.registry.register(_AtScrape(gauges))

    def expose(self) -> bytes:
        """Return everything in the text format."""
        return generate_latest(self.registry)

    def counted(self, counts: Counts, transport: str, rotations: Callable[[bytes], Rotation | None]) -> None:
        """Add what a worker has answered.

        Args:
            counts: what it says.
            transport: ``udp`` or ``tcp``.
            rotations: finds a rotation by its uid, also one that was replaced a moment ago.

        """
        for (zone, qtype, rcode), number in counts.queries.items():
            labels = zone, _type_name(qtype), rcode_name(rcode), transport
            self._queries.labels(*labels).inc(number)
        for (uid, part, chosen), number in counts.dealt.items():
            rotation = rotations(uid)
            if rotation is not None:
                dealt = rotation.parts[part]
                hosts = dealt.sets[chosen]
                for host in hosts:
                    self._answers.labels(rotation.key.zone, dealt.pool, host).inc(number)
                    self._picks.labels(rotation.key.zone, dealt.pool, host).inc(number / len(hosts))
        if counts.limited is not None:
            for action, number in counts.limited.actions.items():
                self._limited.labels(str(action)).inc(number)

    def logged(self, written: int, dropped: int) -> None:
        """Count what went into the query log, and what would have."""
        self._logged.labels("written").inc(written)
        self._logged.labels("dropped").inc(dropped)

    def probed(self, check: str, outcome: str, seconds: float | None) -> None:
        """Count a probe."""
        self._probes.labels(check, outcome).inc()
        if seconds is not None:
            self._probe_seconds.labels(check).observe(seconds)

    def changed(self, host: HostKey, state: State) -> None:
        """Count a host's change of state."""
        self._transitions.labels(*host, str(state)).inc()

    def load_read(self, outcome: str) -> None:
        """Count an attempt to learn a host's load: ``ok`` or ``failure``."""
        self._loads.labels(outcome).inc()

    def recompiled(self, seconds: float) -> None:
        """Note how long a recompilation took."""
        self._recompile.observe(seconds)

    def refused(self, zone: str) -> None:
        """Count a zone file that was refused."""
        self._load_errors.labels(zone).inc()


def _type_name(number: int) -> str:
    return "other" if number == OTHER_TYPE else name_of(number)
