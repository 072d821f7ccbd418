"""Gauges of the other name servers; none where this server is alone."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import Metric

from geodns.control.gauge_families import gauge
from geodns.control.known_peers import PeerView
from geodns.control.peers import Topic


def peers(views: list[PeerView]) -> Iterator[Metric]:
    """Return the gauges of some servers."""
    if not views:
        return
    yield gauge(
        "geodns_peer_up",
        "1 while another name server answers this one.",
        "peer",
        (((one.name,), one.error is None) for one in views),
    )
    yield gauge(
        "geodns_peer_seen_timestamp_seconds",
        "When another name server answered last.",
        "peer",
        (((one.name,), one.seen) for one in views if one.seen is not None),
    )
    yield gauge(
        "geodns_peer_clock_offset_seconds",
        "By how much the clock of another name server is ahead of this one's.",
        "peer",
        (((one.name,), one.offset) for one in views if one.offset is not None),
    )
    yield gauge(
        "geodns_peer_lag_seconds",
        "How long the last answer of another name server took.",
        "peer",
        (((one.name,), one.lag) for one in views if one.lag is not None),
    )
    counts: dict[str, Counter[Topic]] = {one.name: Counter() for one in views}
    for one in views:
        for each in one.differs:
            counts[one.name][each.topic] += each.number
    yield gauge(
        "geodns_peer_differences",
        "Zones, hosts and other things in which a name server differs from this one for longer than it may.",
        "peer topic",
        (((name, str(topic)), count[topic]) for name, count in counts.items() for topic in Topic),
    )
