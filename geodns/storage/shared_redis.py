"""Links a server to its group through Redis or Valkey: heartbeats, votes, orders, sums and claims."""

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from geodns.model.shared import AddressVote, Heartbeat, SharedOrder, SharedSettings
from geodns.storage.shared_link import Claim, LinkState, Put, SharedEvents


class SharedLink:
    """The link; everything is for the one loop.

    Nothing here waits for Redis but the methods that say so, and these are bounded by two seconds.

    Attributes:
        state: of the link.
        lags: milliseconds from another server's last vote to here, by node.

    """

    def __init__(self, settings: SharedSettings, node: str, events: SharedEvents) -> None:
        """Prepare a link; nothing is connected yet.

        Raises:
            MissingLibraryError: redis-py is not installed.
            ValueError: the URL is none.

        """
        self.state = LinkState()
        self.lags: dict[str, float] = {}

    async def run(self) -> None:
        """Connect, read, write and connect again till cancelled; raises nothing else."""
        raise NotImplementedError

    async def first_read(self, seconds: float) -> bool:
        """Wait till everything in the store was told once; return whether it was."""
        raise NotImplementedError

    def beat(self, heartbeat: Heartbeat) -> None:
        """Send this soon in place of an earlier one that still waits; `digests` are filled in here."""
        raise NotImplementedError

    def publish_votes(self, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        """Write changes of one's own votes soon, the last of each address; None: no vote any more.

        The link keeps them and writes them again where the store lost them. A new epoch deletes all of the
        older one, here and in the store.
        """
        raise NotImplementedError

    def publish_sums(self, epoch: int, changes: Mapping[str, JsonValue]) -> None:
        """Write changes of one's own sums soon, the last of each field; None deletes a field."""
        raise NotImplementedError

    async def put_order(self, order: SharedOrder, expected: str | None = None) -> Put:
        """Put an order where its version is higher than what is there.

        Args:
            order: it.
            expected: the revision of the zone's orders that its dangers were worked out by; None: any.

        Raises:
            LinkDownError: the store cannot be asked: whether it was put is not known; the same again is safe.

        """
        raise NotImplementedError

    def offer_orders(self, orders: Iterable[SharedOrder]) -> None:
        """Put orders soon where the store has none, or an older version; what wins comes by `on_orders`."""
        raise NotImplementedError

    async def claim_batch(self, batch: str) -> Claim:
        """Claim a batch of signals for a week, or learn who has it.

        Raises:
            LinkDownError: the store cannot be asked, and nothing may be counted.

        """
        raise NotImplementedError

    def reread(self) -> None:
        """Have everything read again soon."""
        raise NotImplementedError
