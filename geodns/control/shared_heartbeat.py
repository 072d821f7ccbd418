"""Makes the heartbeats of a server: what it serves and what it holds, as digests."""

from geodns import __version__
from geodns.control.cluster import Cluster
from geodns.control.shared_parts import OrdersOfGroup
from geodns.health.quorum import Quorum
from geodns.model.shared import Heartbeat, ZoneContent

BALLOTS = "ballots"
"""The heartbeat's digest of the votes as they are merged; the link has one of its own of what it wrote."""
HELD = "held"
"""The heartbeat's digest of the orders in force."""
PLACE = "place"
"""The heartbeat's place in the store's log up to which orders are in force; no digest, but it travels so."""


class OwnHeartbeats:
    """What this server says of itself."""

    def __init__(self, quorum: Quorum, cluster: Cluster) -> None:
        self._quorum = quorum
        self._cluster = cluster
        self._zones: tuple[object, dict[str, ZoneContent]] = (None, {})

    def make(self, orders: OrdersOfGroup | None, at: float) -> Heartbeat:
        """Return a heartbeat of this moment, `at` of the wall clock."""
        digests = {BALLOTS: self._quorum.digest}
        if orders is not None:
            digests |= {HELD: orders.digest(), PLACE: orders.place}
        return Heartbeat(
            node=self._quorum.node,
            epoch=self._quorum.epoch,
            seq=self._quorum.seq,
            version=__version__,
            at=at,
            heard=self._quorum.nodes,
            zones=self._contents(),
            digests=digests,
        )

    def _contents(self) -> dict[str, ZoneContent]:
        sources = self._cluster.sources
        if self._zones[0] is not sources:
            contents = {
                name: ZoneContent(digest=one.zone.digest[:16], serial=one.serial)
                for name, one in sources.items()
            }
            self._zones = sources, contents
        return self._zones[1]


def as_merged(heartbeat: Heartbeat) -> Heartbeat:
    """Return another server's heartbeat with the digest that the quorum compares with."""
    said = heartbeat.digests.get(BALLOTS)
    return heartbeat.model_copy(update={"digests": {} if said is None else {"votes": said}})
