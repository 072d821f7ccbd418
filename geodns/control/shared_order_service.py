"""Shares orders with the other servers of a group: offers ours, takes theirs, and waits for confirmations."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from geodns.control.order_service import OrderService
from geodns.control.order_sharing import Offered
from geodns.model.shared import OrderVersion, SharedOrder
from geodns.storage.shared_link import LinkDownError, LinkState, Put

log = logging.getLogger(__name__)

OFFER_WAIT = 1.0
"""Seconds that an offer takes at most."""
CONFIRM_WAIT = 2.0
LOOK_EVERY = 0.2
"""Seconds between two heartbeats while an order waits to be confirmed."""
MOST_WAITING = 1_000
"""Messages of orders that wait; beyond that all are read again later."""
SOURCE = "Redis"


class OrderLink(Protocol):
    """The link, as far as orders go over it."""

    @property
    def state(self) -> LinkState: ...
    async def put_order(self, order: SharedOrder, expected: str | None = None) -> Put: ...
    def offer_orders(self, orders: Sequence[SharedOrder]) -> None: ...
    def reread(self) -> None: ...


class SharedOrders:
    """The way of orders to the other servers and back.

    Args:
        orders: takes others' orders, and makes ours.
        link: to the group's store.
        heard: the other servers that are heard.
        known: those that there should be.
        beat: sends a heartbeat now.

    """

    def __init__(
        self,
        orders: OrderService,
        link: OrderLink,
        heard: Callable[[], Collection[str]],
        known: Callable[[], Collection[str]],
        beat: Callable[[], None],
    ) -> None:
        self._orders = orders
        self._link = link
        self._heard = heard
        self._known = known
        self._beat = beat
        self._digests: dict[str, str | None] = {}
        """Of the orders that other servers have in force, by node."""
        self._news = asyncio.Event()
        """Set whenever something is heard."""
        self._revisions: dict[str, str] = {}
        """Of zones' orders in the store, as far as they are in force here."""
        self._offering: set[tuple[tuple[str, str, str], OrderVersion]] = set()
        """Orders of ours that the store may tell us of before they are in force here."""
        self._inbox: asyncio.Queue[tuple[tuple[SharedOrder, ...], Mapping[str, str], bool]] = asyncio.Queue(
            MOST_WAITING
        )
        self._before: str | None = None
        """The digest that is confirmed while others' orders are being taken."""
        orders.share_by(self)
        orders.on_change(self._given)

    async def run(self) -> None:
        """Take others' orders for ever."""
        while True:
            orders, revisions, whole = await self._inbox.get()
            try:
                await self._take(orders, revisions, whole=whole)
            except Exception:
                log.exception("orders of other servers could not be taken")
            finally:
                self._inbox.task_done()

    async def taken(self) -> None:
        """Wait until all that has come so far is in force."""
        await self._inbox.join()

    async def _take(
        self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool
    ) -> None:
        others = [one for one in orders if (one.key, one.version) not in self._offering]
        self._before = self._orders.digest()
        try:
            taken = await self._orders.shared_changed(others, SOURCE, whole=whole)
        finally:
            self._before = None
        if whole:
            self._revisions = dict(revisions)
            missing = [one for one in taken.newer if (one.key, one.version) not in self._offering]
            if missing:
                self._link.offer_orders(missing)
        else:
            self._revisions.update(revisions)
        if taken.taken:
            self._beat()  # others may wait for our confirmation
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # --- what is heard ----------------------------------------------------------------------------------

    def changed(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        """Take orders that are in the store, soon."""
        try:
            self._inbox.put_nowait((tuple(orders), dict(revisions), whole))
        except asyncio.QueueFull:
            self._link.reread()

    def heard(self, node: str, digest: str | None) -> None:
        """Take the digest of the orders that another server has in force."""
        self._digests[node] = digest
        self._ring()

    def digest(self) -> str:
        """Return the digest of the orders that all workers here have."""
        return self._orders.digest() if self._before is None else self._before

    def set_clock_offset(self, seconds: float) -> None:
        self._orders.set_clock_offset(seconds)

    # --- our orders -------------------------------------------------------------------------------------

    def _given(self, orders: tuple[SharedOrder, ...]) -> None:
        """Put orders that have come into force here where they were not offered before."""
        offered = {(one.key, one.version) for one in orders} & self._offering
        self._offering -= offered
        rest = [one for one in orders if (one.key, one.version) not in offered]
        if rest:
            self._link.offer_orders(rest)

    async def offer(self, orders: Sequence[SharedOrder]) -> Offered:
        """Put orders into the store, unless others have come in there that are not in force here."""
        if not self._link.state.connected:
            return Offered(unasked=self._others())
        self._offering = set()
        expected = {one.zone: self._revisions.get(one.zone, "") for one in orders}
        first: dict[str, Put] = {}
        try:
            async with asyncio.timeout(OFFER_WAIT):
                for order in orders:
                    # Once the first of a zone is in, the others follow it: all of an order or nothing.
                    wanted = None if order.zone in first else expected[order.zone]
                    put = await self._put(order, wanted)
                    first.setdefault(order.zone, put)
                    if not put.accepted:
                        await self._catch_up(order, put)
                        return Offered(moved=True)
        except (LinkDownError, TimeoutError) as error:
            log.info("an order was not checked: %s", error)
            self._offering = set()  # whether it is there is not known: it is offered again
            return Offered(unasked=self._others())
        return Offered()

    async def _put(self, order: SharedOrder, expected: str | None) -> Put:
        mark = (order.key, order.version)
        self._offering.add(mark)
        put = await self._link.put_order(order, expected)
        if put.accepted:
            self._revisions[order.zone] = put.revision
        else:
            self._offering.discard(mark)
        return put

    async def _catch_up(self, order: SharedOrder, put: Put) -> None:
        """Have what the store holds in force here."""
        if put.there is not None:
            await self._orders.shared_changed([put.there], SOURCE)
        if self._revisions.get(order.zone, "") == put.revision:
            return
        self._link.reread()
        try:
            async with asyncio.timeout(OFFER_WAIT / 2):
                while self._revisions.get(order.zone, "") != put.revision:
                    await self._news.wait()
        except TimeoutError:
            # All that is known is in force; what is not readable there cannot be waited for.
            self._revisions[order.zone] = put.revision

    def _others(self) -> tuple[str, ...]:
        return tuple(sorted(self._known()))

    async def confirmed(self) -> tuple[str, ...]:
        """Wait until the heard servers have the same orders in force; return those that are late."""
        if not self._link.state.connected:
            return ()
        loop = asyncio.get_running_loop()
        end = loop.time() + CONFIRM_WAIT
        while late := self._late():
            left = end - loop.time()
            if left <= 0:
                return late
            self._beat()
            news = self._news
            try:
                async with asyncio.timeout(min(left, LOOK_EVERY)):
                    await news.wait()
            except TimeoutError:
                continue
        return ()

    def _late(self) -> tuple[str, ...]:
        own = self._orders.digest()
        return tuple(sorted(node for node in self._heard() if self._digests.get(node) != own))
