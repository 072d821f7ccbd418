"""Counts answers of routes for Prometheus, of as many rules and hosts as it bears."""

from collections.abc import Callable, Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from geodns.responder.route_table import CompiledRule
from geodns.serve.frames import ROUTE_SECONDS, RouteCounts

MOST_RULES = 1000
"""Rules with series of their own: those that answer first; the others are counted together."""
MOST_LOOKED_UP = 2000
"""Hosts and providers with a series of their own, likewise."""
OTHER = "other"


class RouteMetrics(Collector):
    """The counters of routes, and the histogram of how long answers took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "geodns_route_answers_total",
            "Answers to MTAs by routes; rule is its number in the file, empty where none answered, "
            f"{OTHER} for those after the first {MOST_RULES:,} that did.",
            ["zone", "rule", "use", "outcome", "protocol"],
            registry=registry,
        )
        self._looked_up = Counter(
            "geodns_route_looked_up_total",
            "Answers to MTAs that named a host: an MTA asks for a message several times; provider is empty "
            "where none is known.",
            ["zone", "host", "provider"],
            registry=registry,
        )
        self._rules: set[tuple[str, str, str]] = set()
        self._hosts: set[tuple[str, str, str]] = set()
        self._buckets = [0] * (len(ROUTE_SECONDS) + 1)
        self._seconds = 0.0
        registry.register(self)

    def count(self, counts: RouteCounts, rules: Callable[[str, str], CompiledRule | None]) -> None:
        """Add what the worker has answered; `rules` finds a rule by its zone and digest."""
        found: dict[tuple[str, ...], int] = {}  # at once: each touch of a counter takes a lock
        for (zone, digest, outcome, protocol), number in counts.answers.items():
            which, use = "", ""
            if digest:
                rule = rules(zone, digest)  # None: an edit has just taken it away
                which, use = (OTHER, "") if rule is None else (str(rule.number), rule.name)
            labels = _bounded(self._rules, (zone, which, use), MOST_RULES) or (zone, OTHER, "")
            key = (*labels, outcome, protocol)
            found[key] = found.get(key, 0) + number
        for values, number in found.items():
            self._answers.labels(*values).inc(number)
        for host, number in counts.looked_up.items():
            self._looked_up.labels(
                *(_bounded(self._hosts, host, MOST_LOOKED_UP) or (host[0], OTHER, ""))
            ).inc(number)
        for place, number in enumerate(counts.buckets[: len(self._buckets)]):
            self._buckets[place] += number
        self._seconds += counts.seconds

    def describe(self) -> Iterable[Metric]:
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """Yield the histogram; its buckets come from the worker as they are."""
        bounds = [*map(floatToGoString, ROUTE_SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            "geodns_route_seconds",
            "From a whole request of an MTA to its answer.",
            buckets=list(zip(bounds, accumulate(map(float, self._buckets)), strict=True)),
            sum_value=self._seconds,
        )


def _bounded(
    known: set[tuple[str, str, str]], key: tuple[str, str, str], most: int
) -> tuple[str, str, str] | None:
    """Return a key that has, or may have, series of its own; None: there are enough."""
    if key not in known:
        if len(known) >= most:
            return None
        known.add(key)
    return key
