"""Names what orders need of the other servers: to be offered to them first, and confirmed by them after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

from geodns.control.orders import OrderRequest, OrderResult
from geodns.errors import UsageError
from geodns.model.shared import SharedOrder
from geodns.model.state import HostKey

MOST_IDS = 1_000
"""Orders whose results are remembered, so that the same order again is answered as the first time."""


class Offered(NamedTuple):
    """What the other servers said to orders before these were in force.

    Attributes:
        moved: they hold later ones of these zones, which have been given to `OrderService.shared_changed`.
        unasked: servers that could not be asked.
        place: of the last of these orders where all servers read them; empty: none is there.

    """

    moved: bool = False
    unasked: tuple[str, ...] = ()
    place: str = ""


class OrderSharing(Protocol):
    """The way to the other servers."""

    async def offer(self, orders: Sequence[SharedOrder]) -> Offered:
        """Offer orders that were planned by those in force here; takes a second at most."""
        ...

    async def confirmed(self, place: str) -> tuple[str, ...]:
        """Wait until the others that are heard have the orders of this place in force, 2 s at most.

        Return those that have not, or are not heard.
        """
        ...


class SharedTaken(NamedTuple):
    """What has become of others' orders.

    Attributes:
        newer: own orders that the others lack, or have in an earlier version.
        taken: others' orders that hold now.
        unserved: hosts of them that this server does not have; their orders are kept all the same.
        pending: workers that have not applied them in time.
        kept: whether they are on disk.

    """

    newer: tuple[SharedOrder, ...]
    taken: tuple[SharedOrder, ...] = ()
    unserved: frozenset[HostKey] = frozenset()
    pending: tuple[str, ...] = ()
    kept: bool = True


class OrderIds:
    """The results of orders by their ids: a client that heard no answer may ask again."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[object, asyncio.Task[OrderResult]]] = {}

    async def once(self, request: OrderRequest, carry: Callable[[], Awaitable[OrderResult]]) -> OrderResult:
        """Carry an order out unless that was done before; return its result.

        Raises:
            UsageError: the id is that of another order.

        """
        what = (request.order._replace(author=""), request.hosts, request.zone)
        before, task = self._given.get(request.id, (what, None))
        if before != what:
            raise UsageError(
                "`id`: another order has it: make one for each order, of 32 hex digits by chance"
            )
        if task is None:

            async def run() -> OrderResult:
                return await carry()

            task = asyncio.get_running_loop().create_task(run())
            self._given[request.id] = what, task
            if len(self._given) > MOST_IDS:
                del self._given[next(iter(self._given))]
            task.add_done_callback(lambda done: self._forget(request.id, done))
        return await asyncio.shield(task)

    def _forget(self, id: str, task: "asyncio.Task[OrderResult]") -> None:  # noqa: A002 - its name everywhere
        """Forget an order that changed nothing: it may be given again, as with a yes."""
        known = self._given.get(id)
        if (
            known is not None
            and known[1] is task
            and (task.cancelled() or task.exception() or task.result().refused)
        ):
            del self._given[id]
