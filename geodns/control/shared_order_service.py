"""Shares orders with the other servers of a group: offers ours, takes theirs, and waits for confirmations."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from geodns.control.order_service import OrderService
from geodns.control.order_sharing import Offered
from geodns.model.shared import OrderVersion, SharedOrder
from geodns.storage.shared_link import LinkDownError, LinkState, Put

log = logging.getLogger(__name__)

OFFER_WAIT = 1.0
"""Seconds that an offer of an order takes at most."""
OFFERED_A_SECOND = 1_000
"""Orders for which an offer may take another second."""
CONFIRM_WAIT = 2.0
LOOK_EVERY = 0.2
"""Seconds between two heartbeats while an order waits to be confirmed."""
MOST_WAITING = 1_000
"""Messages of orders that wait; beyond that all are read again later."""
SOURCE = "Redis"


_Told = tuple[tuple[SharedOrder, ...], Mapping[str, str], bool]
"""Orders, the revisions of their zones, and whether these are all that there are."""


class OrderLink(Protocol):
    """The link, as far as orders go over it."""

    @property
    def state(self) -> LinkState: ...
    async def put_orders(
        self, orders: Sequence[SharedOrder], expected: Mapping[str, str] | None = None
    ) -> list[Put]: ...
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
        self._places: dict[str, str | None] = {}
        """The places in the store's log up to which they have them in force, by node."""
        self._awaited: dict[str, str] = {}
        """Servers that have not confirmed orders of ours, with the place of the last of these."""
        self._place = ""
        self._missed = False
        """Whether messages were dropped, so that later ones do not say that all before them was taken."""
        self._news = asyncio.Event()
        """Set whenever something is heard."""
        self._revisions: dict[str, str] = {}
        """Of zones' orders in the store, as far as they are in force here."""
        self._offering: set[tuple[tuple[str, str, str], OrderVersion]] = set()
        """Orders of ours that the store may tell us of before they are in force here."""
        self._inbox: asyncio.Queue[_Told] = asyncio.Queue(MOST_WAITING)
        self._before: str | None = None
        """The digest that is confirmed while others' orders are being taken."""
        orders.share_by(self)
        orders.on_change(self._given)

    async def run(self) -> None:
        """Take others' orders for ever."""
        while True:
            waiting = [await self._inbox.get()]
            while not self._inbox.empty():
                waiting.append(self._inbox.get_nowait())
            for orders, revisions, whole in _together(waiting):
                try:
                    await self._take(orders, revisions, whole=whole)
                except Exception:
                    log.exception("orders of other servers could not be taken")
            for _ in waiting:
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
        last = max(revisions.values(), key=_rank, default="")
        if whole:
            self._revisions = dict(revisions)
            self._missed = False
            if _rank(last) < _rank(self._place):
                self._place = ""  # the log began anew
            missing = [one for one in taken.newer if (one.key, one.version) not in self._offering]
            if missing:
                self._link.offer_orders(missing)
        else:
            self._revisions.update(revisions)
            # All that came before has been taken: these messages come in the log's order.
            if not self._missed:
                self._place = max(self._place, last, key=_rank)
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
            if not self._missed:
                self._missed = True
                self._link.reread()

    def heard(self, node: str, digest: str | None, place: str | None) -> None:
        """Take which orders another server has in force: their digest, and the place of the last."""
        self._digests[node], self._places[node] = digest, place
        if node in self._awaited and self._has(node, self._awaited[node]):
            del self._awaited[node]
        self._ring()

    @property
    def place(self) -> str:
        """The place in the store's log up to which orders are in force here; empty: none was read."""
        return self._place

    @property
    def awaited(self) -> tuple[str, ...]:
        """The servers that have not confirmed the last orders given here."""
        return tuple(sorted(self._awaited))

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
        self._offering = {(one.key, one.version) for one in orders}
        try:
            async with asyncio.timeout(OFFER_WAIT + len(orders) / OFFERED_A_SECOND):
                puts = await self._link.put_orders(orders, expected)
                self._revisions |= {
                    one.zone: put.revision for one, put in zip(orders, puts, strict=False) if put.accepted
                }
                refused = next(
                    (pair for pair in zip(orders, puts, strict=False) if not pair[1].accepted), None
                )
                if refused is not None:
                    # What is in already holds at the others: here too, whatever becomes of the rest.
                    self._offering = set()
                    there = [one for one, put in zip(orders, puts, strict=False) if put.accepted]
                    await self._orders.shared_changed(there, SOURCE)
                    await self._catch_up(*refused)
                    return Offered(moved=True)
        except (LinkDownError, TimeoutError) as error:
            log.info("an order was not checked: %s", error)
            self._offering = set()  # whether it is there is not known: it is offered again
            return Offered(unasked=self._others())
        return Offered(place=max((put.revision for put in puts), key=_rank, default=""))

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

    async def confirmed(self, place: str) -> tuple[str, ...]:
        """Wait until the heard servers have our orders in force; return who is late, or is not heard.

        Args:
            place: of the last of these orders in the store's log; empty: not known.

        """
        if not self._link.state.connected:
            return ()
        loop = asyncio.get_running_loop()
        end = loop.time() + CONFIRM_WAIT
        while self._late(place) and (left := end - loop.time()) > 0:
            self._beat()
            news = self._news
            try:
                async with asyncio.timeout(min(left, LOOK_EVERY)):
                    await news.wait()
            except TimeoutError:
                continue
        late = {*self._late(place), *self._others()} - {
            node for node in self._heard() if self._has(node, place)
        }
        self._awaited |= dict.fromkeys(late, place)
        return tuple(sorted(late))

    def _late(self, place: str) -> list[str]:
        return [node for node in self._heard() if not self._has(node, place)]

    def _has(self, node: str, place: str) -> bool:
        """Tell whether a server has said that it has the orders up to a place, or all of ours, in force."""
        if place and _rank(self._places.get(node) or "") >= _rank(place):
            return True
        return self._digests.get(node) == self._orders.digest()


def _rank(place: str) -> tuple[int, int]:
    """Return what orders places in the log, ``milliseconds-number``; any other text comes first."""
    first, _, second = place.partition("-")
    numbers = [
        int(one) if one.isascii() and one.isdigit() and len(one) <= 20 else 0 for one in (first, second)
    ]
    return numbers[0], numbers[1]


def _together(told: Iterable[_Told]) -> list[_Told]:
    """Put messages of one order or some together: each that is taken compiles its pools anew."""
    found: list[_Told] = []
    for orders, revisions, whole in told:
        if found and not whole and not found[-1][2]:
            before = found.pop()
            found.append(((*before[0], *orders), {**before[1], **revisions}, False))
        else:
            found.append((orders, revisions, whole))
    return found
