"""Counts events for Prometheus, by its naming rules (https://prometheus.io/docs/practices/naming/)."""

from collections.abc import Callable

from prometheus_client import Counter, Histogram, Info, ProcessCollector
from prometheus_client.exposition import generate_latest

from geodns import __version__
from geodns.control.counter_sums import CarriedRegistry
from geodns.control.route_metrics import RouteMetrics
from geodns.model.state import HealthState, HostKey
from geodns.responder.rate_limit import Action
from geodns.responder.route_table import CompiledRule
from geodns.responder.table import Rotation
from geodns.responder.worker_state import OTHER_TYPE, Counts
from geodns.serve.frames import RouteCounts
from geodns.storage.signal_file import Fives
from geodns.wire.codes import name_of, rcode_name

BACKEND = "python"
"""The implementation that deals answers."""

PROBE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
RECOMPILE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)


class Metrics:
    """The server's counters, and the registry to which the gauges are added."""

    def __init__(self) -> None:
        self.registry = CarriedRegistry()
        ProcessCollector(registry=self.registry)
        build = Info("geodns_build", "What is running.", registry=self.registry)
        build.info({"version": __version__, "backend": BACKEND})
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
        self._signals = Counter(
            "geodns_mail_signals_total",
            "Signals of what became of mail, by event; about: whom the reply speaks of, if there was one.",
            ["zone", "event", "about"],
            registry=self.registry,
        )
        self._signals_rejected = Counter(
            "geodns_mail_signals_rejected_total",
            "Signals that were rejected: a wrong form, an unknown host, an impossible time.",
            registry=self.registry,
        )
        self._signal_batches = Counter(
            "geodns_mail_signal_batches_total",
            "Batches of signals, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in ("taken", "duplicate", "refused"):
            self._signal_batches.labels(outcome)

        self._providers = Counter(
            "geodns_provider_lookups_total",
            "Look-ups of who runs the mail of a recipient's domain, by what came of them; dropped: there was "
            "no room.",
            ["result"],
            registry=self.registry,
        )
        for result in ("found", "nobody", "failed", "dropped"):
            self._providers.labels(result)
        self._upgrades = Counter(
            "geodns_upgrades_total", "Upgrades, by how they ended.", ["outcome"], registry=self.registry
        )
        for outcome in ("upgraded", "refused", "went_back"):
            self._upgrades.labels(outcome)
        self._routes = RouteMetrics(self.registry)

    def expose(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self.registry)

    def count_answers(
        self, counts: Counts, transport: str, rotations: Callable[[bytes], Rotation | None]
    ) -> None:
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

    def count_logged(self, written: int, dropped: int) -> None:
        self._logged.labels("written").inc(written)
        self._logged.labels("dropped").inc(dropped)

    def count_probe(self, check: str, outcome: str, seconds: float | None) -> None:
        self._probes.labels(check, outcome).inc()
        if seconds is not None:
            self._probe_seconds.labels(check).observe(seconds)

    def count_transition(self, host: HostKey, state: HealthState) -> None:
        self._transitions.labels(*host, str(state)).inc()

    def count_provider_lookup(self, result: str) -> None:
        """Count a look-up of a domain's provider: ``found``, ``nobody``, ``failed`` or ``dropped``."""
        self._providers.labels(result).inc()

    def count_upgrade(self, outcome: str) -> None:
        """Count an upgrade: ``upgraded``, ``refused`` (nothing was changed) or ``went_back``."""
        self._upgrades.labels(outcome).inc()

    def count_load_reading(self, outcome: str) -> None:
        """Count an attempt to read a load: ``ok`` or ``failure``."""
        self._loads.labels(outcome).inc()

    def count_signal_batch(self, outcome: str) -> None:
        """Count a batch of signals: ``taken``, ``duplicate`` or ``refused``."""
        self._signal_batches.labels(outcome).inc()

    def count_signals(self, fives: Fives, rejected: int) -> None:
        for ((zone, _), _), five in fives.items():
            for (_, _, kind), number in five.counts.items():
                self._signals.labels(zone, kind.event, kind.about or "").inc(number)
        self._signals_rejected.inc(rejected)

    def count_routes(self, counts: RouteCounts, rules: Callable[[str, str], CompiledRule | None]) -> None:
        """Add what the routes worker has answered; `rules` finds a rule by its zone and digest."""
        self._routes.count(counts, rules)

    def observe_recompile(self, seconds: float) -> None:
        self._recompile.observe(seconds)

    def count_refused_file(self, zone: str) -> None:
        self._load_errors.labels(zone).inc()


def _type_name(number: int) -> str:
    return "other" if number == OTHER_TYPE else name_of(number)
