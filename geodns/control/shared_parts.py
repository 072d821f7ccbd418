"""Names what the service of a group needs of the parts around it: the link, orders, counts of mail."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from geodns.model.shared import AddressVote, Heartbeat, SharedOrder, SharedSettings
from geodns.storage.shared_link import LinkState, SharedEvents


class SharedConnection(Protocol):
    """The link to the group's store, as `storage.shared_redis.SharedLink` is."""

    @property
    def state(self) -> LinkState: ...
    @property
    def lags(self) -> Mapping[str, float]: ...
    async def run(self) -> None: ...
    async def first_read(self, seconds: float) -> bool: ...
    def beat(self, heartbeat: Heartbeat) -> None: ...
    def publish_votes(self, epoch: int, changes: Mapping[str, AddressVote | None]) -> None: ...
    def publish_sums(self, epoch: int, changes: Mapping[str, JsonValue]) -> None: ...


class OrdersOfGroup(Protocol):
    """The part that shares orders."""

    @property
    def place(self) -> str:
        """The place in the store's log up to which orders are in force here."""

    @property
    def awaited(self) -> tuple[str, ...]:
        """The servers that have not confirmed the last orders given here."""

    def heard(self, node: str, digest: str | None, place: str | None) -> None:
        """Take which orders another server has in force: their digest, and the place of the last."""

    def changed(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        """Take orders that are in the store, as `SharedEvents.on_orders`."""

    def digest(self) -> str:
        """Return the digest of the orders in force here."""

    def set_clock_offset(self, seconds: float) -> None: ...

    async def run(self) -> None:
        """Take others' orders for ever."""

    async def taken(self) -> None:
        """Wait until all that has come so far is in force."""


class SumsOfGroup(Protocol):
    """A part that shares counts of mail, or what is told beside them."""

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        """Take sums that are in the store, as `SharedEvents.on_sums`."""


LinkMaker = Callable[[SharedSettings, str, SharedEvents], SharedConnection]
