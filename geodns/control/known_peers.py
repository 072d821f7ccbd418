"""Keeps what is known of the other servers: who they are, where they differ, and the alerts on that.

Times are those of the monotonic clock, given as arguments.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.peers import (
    ConditionAges,
    PeerDifference,
    PeerReport,
    StandingDifference,
    clock_offset,
    differences,
    standing,
    states_of,
)
from geodns.model.shared import ZoneContent

SILENT = 15.0
"""Seconds without an answer that are a warning."""


class PeerView(NamedTuple):
    """What is known of another server.

    Attributes:
        name: its node; its URL while it never answered, and for a second server of our name.
        seen: when it answered last, in seconds since the epoch; None: never.
        offset: seconds that its clock was ahead.
        lag: seconds that its last answer took.
        error: why it did not answer the last time; None: it did.
        differs: in what, for longer than it may.

    """

    name: str
    url: str
    seen: float | None
    version: str | None
    offset: float | None
    lag: float | None
    zones: Mapping[str, ZoneContent]
    error: str | None
    differs: tuple[StandingDifference, ...]


class KnownPeer:
    """The server at a URL, by its last answer.

    Attributes:
        report: what it said of itself; None: it never answered.
        heard: when it did, by the monotonic clock.
        seen: the same in seconds since the epoch.
        offset: seconds that its clock was ahead.
        lag: seconds that it took.
        asked: whether it was asked yet.
        error: why it did not answer the last time; None: it did.
        states: of the hosts of zones where they differ, by zone and host.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.report: PeerReport | None = None
        self.heard = float("-inf")
        self.seen = self.offset = self.lag = 0.0
        self.asked = False
        self.error: str | None = None
        self.states: Mapping[str, Mapping[str, str]] = {}

    @property
    def answers(self) -> bool:
        return self.report is not None and self.error is None


class KnownPeers:
    """All servers of `servers`, this one among them.

    Args:
        node: the own name.
        started: as in the own report: who says the same is this server.
        urls: of all.

    """

    def __init__(self, node: str, started: float, urls: Sequence[str]) -> None:
        self.peers = [KnownPeer(url) for url in urls]
        self._node = node
        self._started = started
        self._since = ConditionAges()
        self._standing: dict[str, tuple[StandingDifference, ...]] = {}

    def is_alone(self) -> bool:
        """Tell whether every URL leads to this server."""
        return all(map(self._is_own, self.peers))

    def _is_own(self, peer: KnownPeer) -> bool:
        report = peer.report
        return report is not None and (report.node, report.started) == (self._node, self._started)

    def _others(self) -> Iterator[KnownPeer]:
        """Return the servers that were asked and are not this one."""
        return (peer for peer in self.peers if peer.asked and not self._is_own(peer))

    def _name(self, peer: KnownPeer) -> str:
        known = peer.report is not None and peer.report.node != self._node
        return peer.report.node if known and peer.report is not None else peer.url

    def _latest(self) -> dict[str, KnownPeer]:
        """Return the other servers by name; of several URLs of one the last that answered."""
        found: dict[str, KnownPeer] = {}
        for peer in self._others():
            name = self._name(peer)
            if name not in found or peer.heard > found[name].heard:
                found[name] = peer
        return found

    def by_node(self) -> dict[str, KnownPeer]:
        """Return the other servers that have told their node, and that this is another than ours."""
        return {
            name: peer
            for name, peer in self._latest().items()
            if peer.report is not None and peer.report.node != self._node
        }

    def compare(self, own: PeerReport, cluster: Cluster, now: float) -> None:
        """Note where the servers differ by their last answers, and for how long."""
        found: dict[str, list[PeerDifference]] = {}
        for name, peer in self._latest().items():
            if peer.answers and peer.report is not None and peer.report.node != self._node:
                states = states_of(cluster, peer.states)
                found[name] = list(differences(own, peer.report, peer.offset, states, peer.states))
        self._since.look(
            [
                *(("silent", peer.url) for peer in self._others() if not peer.answers),
                *(("twins", *pair) for pair in self._twins()),
                *((name, one.key) for name, some in found.items() for one in some),
            ],
            now,
        )
        self._standing = {
            name: tuple(standing(some, partial(self._begun, name), now)) for name, some in found.items()
        }

    def _begun(self, name: str, one: PeerDifference) -> float:
        return self._since.since[name, one.key]

    def _twins(self) -> Iterator[tuple[str, str]]:
        """Return the URLs of other servers that share a name."""
        first: dict[str, KnownPeer] = {}
        for peer in self._others():
            if peer.report is None or not peer.answers or peer.report.node == self._node:
                continue
            known = first.setdefault(peer.report.node, peer)
            if known.report is not None and known.report.started != peer.report.started:
                yield known.url, peer.url

    # --- what is shown ----------------------------------------------------------------------------------

    def views(self) -> list[PeerView]:
        """Return the other servers, each once, by name; none: this server is alone."""
        return [self._view(name, peer) for name, peer in sorted(self._latest().items())]

    def _view(self, name: str, peer: KnownPeer) -> PeerView:
        report, differs = peer.report, self._standing.get(name, ())
        if report is None:
            return PeerView(name, peer.url, None, None, None, None, {}, peer.error, differs)
        return PeerView(
            name,
            peer.url,
            peer.seen,
            report.version,
            peer.offset,
            peer.lag,
            report.zones,
            peer.error,
            differs,
        )

    @property
    def clock_ahead(self) -> float:
        """Seconds that the own clock is ahead of what most servers that answer say."""
        return clock_offset(peer.offset for peer in self._latest().values() if peer.answers)

    def alerts(self, zones: Collection[str], now: float, wall: float) -> Iterator[Alert]:
        """Return the alerts.

        Args:
            zones: that are served, for events.
            now: seconds.
            wall: the same moment in seconds since the epoch.

        """
        for peer in self._others():
            if peer.report is not None and peer.report.node == self._node and peer.answers:
                text = (
                    f"{peer.url} is another server that also calls itself {self._node}: give each a `node` "
                    "of its own"
                )
                yield Alert(("peer node", peer.url), text, kind="peer")
            silent = ("silent", peer.url)
            if not peer.answers and self._since.lasted(silent, now, SILENT):
                name = peer.url if peer.report is None else f"{self._name(peer)} ({peer.url})"
                since = timestamp(wall - now + self._since.since[silent])
                text = f"server {name} has not answered since {since}: {peer.error}"
                yield Alert(silent, text, kind="peer", resolved=f"server {name} answers again")
        for pair in self._twins():
            if self._since.lasted(("twins", *pair), now, SILENT):
                text = f"{pair[0]} and {pair[1]} are two servers with one name: give each a `node` of its own"
                yield Alert(("twins", *pair), text, kind="peer")
        for name, some in self._standing.items():
            for one in some:
                since = timestamp(wall - now + one.since)
                yield self._alert(name, one, since, one.zone if one.zone in zones else None)

    def _alert(self, name: str, one: StandingDifference, since: str, zone: str | None) -> Alert:
        about = f"{one.topic} of {one.zone}" if one.zone else one.topic
        return Alert(
            ("peer", name, one.topic, one.which),
            f"{one.text}, since {since}",
            kind="peer",
            resolved=f"{self._node} and {name} agree again: {about}",
            still_there=partial(self._is_heard, name),
            zone=zone,
            data={"peer": name, "topic": str(one.topic)},
        )

    def _is_heard(self, name: str) -> bool:
        found = self._latest().get(name)
        return found is not None and found.answers
