"""Counts who of some zones' servers is heard and who should be, and finds whose verdict holds. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from geodns.health.quorum_peers import Hearing, Peer
from geodns.health.quorum_standing import QuorumMode


@dataclass(slots=True, eq=False)
class Circle:
    """The servers of the zones that some addresses are of.

    Attributes:
        heard: the others that are heard.
        known: how many there should be, ourselves among them.
        lost: the event by which one was lost last, or own verdicts took over.
        gained: the event by which one came last.

    """

    zones: frozenset[str]
    heard: tuple[Peer, ...] = ()
    known: int = 1
    mode: QuorumMode = QuorumMode.FROZEN
    lost: int = 0
    gained: int = 0

    def serves(self, peer: Peer) -> bool:
        return not self.zones.isdisjoint(peer.zones)


@dataclass(slots=True)
class Roll:
    """Which other servers there should be.

    Attributes:
        listed: the other servers that have told their node; None: nobody lists any.
        unnamed: how many of those that are listed have not.

    """

    listed: frozenset[str] | None = None
    unnamed: int = 0

    def known(self, circle: Circle, hearing: Hearing) -> int:
        """Return how many servers a circle should have, ourselves among them."""
        serving = {node for node, peer in hearing.peers.items() if circle.serves(peer)}
        if self.listed is None:
            return 1 + len(serving)
        elsewhere = {node for node, peer in hearing.peers.items() if peer.zones} - serving
        others = sum(1 for peer in circle.heard if peer.node not in self.listed)
        return 1 + len(self.listed - elsewhere) + max(others, self.unnamed)


def mode_of(circle: Circle, *, connected: bool, waits: bool, starts: bool) -> QuorumMode:
    """Return whose verdict holds.

    Args:
        circle: whose.
        connected: whether the own connection works.
        waits: whether it was lost a short while ago.
        starts: whether we began a short while ago.

    """
    if circle.known == 1:
        return QuorumMode.QUORUM
    if not connected:
        return QuorumMode.FROZEN if waits else QuorumMode.OWN
    if 2 * (1 + len(circle.heard)) >= circle.known:
        return QuorumMode.QUORUM
    return QuorumMode.FROZEN if starts else QuorumMode.OWN


def heard_in(circle: Circle, peers: Collection[Peer]) -> tuple[Peer, ...]:
    """Return the servers of a circle that are heard."""
    return tuple(peer for peer in peers if peer.alive and circle.serves(peer))
