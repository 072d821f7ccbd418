"""Gauges of what a server shares with others; none where it shares nothing."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric

from geodns.control.gauge_families import gauge, single
from geodns.control.shared_view import SharedView


def shared(view: SharedView) -> Iterator[Metric]:
    """Return the gauges of a group."""
    yield single("geodns_shared_connected", "1 while the connection to Redis works.", view.connected)
    yield single(
        "geodns_shared_heard", "Servers of the group that are heard, this one among them.", len(view.heard)
    )
    yield single("geodns_shared_known", "Servers that the group should have.", view.known)
    yield gauge(
        "geodns_shared_mode",
        "1 for whose verdicts are served: the majority's, the last ones, or this server's own.",
        "mode",
        (((mode,), view.mode == mode) for mode in ("quorum", "frozen", "own")),
    )
    yield gauge(
        "geodns_shared_votes",
        "Addresses of which another server has told its vote.",
        "server",
        (((node,), count) for node, count in sorted(view.votes.items())),
    )
    yield gauge(
        "geodns_shared_lag_seconds",
        "From another server's last votes to here.",
        "server",
        (((node,), lag / 1000) for node, lag in sorted(view.lags.items())),
    )
    yield single(
        "geodns_shared_disagreements",
        "Addresses of which one server alone says otherwise for a while.",
        view.alone_count,
    )
    yield single(
        "geodns_shared_ties", "Addresses on which the servers are evenly divided for a while.", view.tied
    )
    bad = CounterMetricFamily(
        "geodns_shared_bad_values", "Values from Redis that were skipped, by reason.", labels=["reason"]
    )
    for reason, count in sorted(view.bad.items()):
        bad.add_metric([reason], count)
    yield bad
