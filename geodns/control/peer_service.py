"""Asks the other name servers of `servers`: takes over what is imposed there, and shows where they differ.

Without `servers`, or where all its URLs lead here, nothing of this runs.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

from pydantic import ValidationError

from geodns import __version__
from geodns.config.settings import Settings
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.known_peers import KnownPeer, KnownPeers, PeerView
from geodns.control.order_json import orders_of_state, read_state
from geodns.control.order_service import OrderService
from geodns.control.peers import PeerReport, PeerStates, differing_verdicts, report_of
from geodns.control.watchdog import Watchdog
from geodns.control.zone_service import ZoneService
from geodns.errors import printable
from geodns.model.base import Frozen
from geodns.model.shared import SharedOrder
from geodns.signals.http_client import MAX_BODY, HttpClient, UnreadError

log = logging.getLogger(__name__)

PATH, STATES_PATH, ORDERS_PATH = "/api/v1/peer", "/api/v1/peer/states", "/api/v1/state"
VOTES_PATH = "/api/v1/votes"
EVERY = 4.5
"""Seconds from one round to the next, so that servers agree within 5."""
JITTER = 0.1
"""The part of it by which a round comes earlier or later."""
CONNECT = 1.0
"""Seconds to connect to a peer."""
ANSWER = 2.0
"""Seconds for its whole answer, and for all of the first questions: so long a start may wait."""
REPORT_FOR = 1.0
"""Seconds for which an own report is good for all who ask."""
MOST_ZONES = 20
"""Zones whose hosts' states are asked for at once."""
MOST_HOSTS = 30_000
"""Hosts of these zones; a larger zone is asked for alone."""
MAX_STATES_BODY = 8 * 2**20
"""Bytes of their states."""
MAX_ORDERS_BODY = 32 * 2**20
"""Bytes of all orders."""

T = TypeVar("T", bound=Frozen)


class PeerService:
    """Knows the other servers; URLs come from the settings alone.

    Attributes:
        known: what is known of all servers.
        keeps_time: whether overrides end by these servers' clocks where most say that the own is wrong; not
            while a store of all of them tells the time.

    """

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        zones: ZoneService,
        watchdog: Watchdog,
        orders: OrderService,
    ) -> None:
        self.keeps_time = True
        self._node = settings.node
        self._cluster = cluster
        self._zones = zones
        self._watchdog = watchdog
        self._orders = orders
        # One that may only read is enough; where there is none, the servers share the other.
        tokens = (*settings.read_token, *settings.token)
        shown = f"Bearer {tokens[0].secret.get_secret_value()}" if tokens else None
        self._headers = {"Accept": "application/json"} | ({"Authorization": shown} if shown else {})
        self._started = time.time()
        self.known = KnownPeers(settings.node, self._started, settings.servers)
        self._client = HttpClient(max(1, len(settings.servers)), "peer-names")
        self._own: tuple[float, PeerReport] | None = None
        self._merged: dict[str, tuple[str, str]] = {}
        """By URL, the digests of orders after which asking again brings nothing new."""

    # --- what this server says --------------------------------------------------------------------------

    def report(self) -> PeerReport:
        """Return what this server says of itself, at most a second old but for clock and orders."""
        now = time.monotonic()
        if self._own is None or now - self._own[0] > REPORT_FOR:
            self._own = now, self._fresh_report()
        return self._own[1].model_copy(update={"clock": time.time(), "orders": self._orders.digest()})

    def _fresh_report(self) -> PeerReport:
        return report_of(
            self._node,
            __version__,
            time.time(),
            self._started,
            self._cluster,
            self._zones.sources(),
            self._orders.digest(),
            ready=self._watchdog.ready,
        )

    # --- asking -----------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take over what is imposed elsewhere, from whoever answers within 2 s."""
        if not self.known.peers:
            return
        asking = [asyncio.ensure_future(self._first_orders(peer)) for peer in self.known.peers]
        done, late = await asyncio.wait(asking, timeout=ANSWER)
        for one in late:
            one.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for peer, one in zip(self.known.peers, asking, strict=True):
            if one in done and one.result():
                await self._orders.shared_changed(one.result(), peer.url)

    async def _first_orders(self, peer: KnownPeer) -> list[SharedOrder]:
        try:
            return await self._fetch_orders(peer)
        except UnreadError as error:
            log.info("no orders from %s: %s", peer.url, error)
        except Exception:
            log.exception("no orders from %s", peer.url)
        return []

    async def watch(self) -> None:
        """Ask for ever, unless this server is alone."""
        while self.known.peers:
            try:
                await self.look()
            except Exception:
                log.exception("the other servers could not be compared with this one")
            if self.known.is_alone():
                return
            await asyncio.sleep(EVERY * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - it spreads

    async def close(self) -> None:
        await self._client.close()

    async def look(self) -> None:
        """Ask each server once, and compare."""
        await asyncio.gather(*map(self._ask, self.known.peers))
        self.compare(time.monotonic())
        if self.keeps_time:
            self._orders.set_clock_offset(self.known.clock_ahead)

    async def _ask(self, peer: KnownPeer) -> None:
        begun = time.monotonic()
        try:
            report = await self._get(peer, PATH, PeerReport)
        except UnreadError as error:
            peer.asked, peer.error = True, _explained(str(error))
            return
        now = time.monotonic()
        peer.lag = now - begun
        peer.offset = report.clock - (time.time() - peer.lag / 2)
        peer.report, peer.heard, peer.seen = report, now, time.time()
        peer.asked, peer.error, peer.states = True, None, {}
        if report.node == self._node:
            return
        try:
            await self._exchange(peer, report)
        except UnreadError as error:
            log.debug("%s: %s", peer.url, error)
        except Exception:
            log.exception("what %s says could not be taken", peer.url)

    async def _exchange(self, peer: KnownPeer, report: PeerReport) -> None:
        """Ask for what is worth it only where the two differ."""
        own = self.report()
        pair = own.orders, report.orders
        if own.orders != report.orders and self._merged.get(peer.url) != pair:
            await self._orders.shared_changed(await self._fetch_orders(peer), report.node)
            self._merged[peer.url] = self._orders.digest(), report.orders
        zones = self._some(differing_verdicts(own, report)) if own.ready and report.ready else []
        if zones:
            path = f"{STATES_PATH}?zones={','.join(zones)}"
            found = await self._get(peer, path, PeerStates, MAX_STATES_BODY)
            peer.states = {zone: found.states[zone] for zone in zones if zone in found.states}

    def _some(self, zones: Iterable[str]) -> list[str]:
        """Return the first zones, as many as one answer may be about."""
        found: list[str] = []
        room = MOST_HOSTS
        for zone in zones:
            room -= len(self._cluster.sources[zone].zone.hosts)
            if len(found) == MOST_ZONES or (found and room < 0):
                break
            found.append(zone)
        return found

    async def _fetch_orders(self, peer: KnownPeer) -> list[SharedOrder]:
        body = await self.fetch(peer, ORDERS_PATH, MAX_ORDERS_BODY)
        try:
            orders, bad = await asyncio.to_thread(_orders_in, body)
        except (ValueError, RecursionError) as error:
            raise UnreadError("its orders are no JSON of a geodns") from error
        if bad:
            log.warning("%d orders of %s cannot be read: they are left out", bad, peer.url)
        return orders

    async def fetch(self, peer: KnownPeer, path: str, most: int = MAX_BODY) -> bytes:
        """Get a path of a server, of at most so many bytes, within 2 s.

        Raises:
            UnreadError: it does not answer so.

        """
        return await self._client.get(peer.url + path, ANSWER, self._headers, connect=CONNECT, most=most)

    async def _get(self, peer: KnownPeer, path: str, kind: type[T], most: int = MAX_BODY) -> T:
        body = await self.fetch(peer, path, most)
        try:
            return await asyncio.to_thread(kind.model_validate_json, body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            what = printable(f"{where}: {first['msg']}"[:200])
            raise UnreadError(f"it does not speak as a geodns of this version does ({what})") from None

    def askable(self) -> dict[str, Callable[[str, int], Awaitable[bytes]]]:
        """Return the other servers by node, each as `fetch` of it: known are those that have answered."""
        return {node: partial(self.fetch, peer) for node, peer in self.known.by_node().items()}

    # --- what is shown ----------------------------------------------------------------------------------

    def compare(self, now: float) -> None:
        """Note where the servers differ by their last answers; `now` is of the monotonic clock."""
        self.known.compare(self.report(), self._cluster, now)

    def views(self) -> list[PeerView]:
        """Return the other servers, each once, by name; none: this server is alone."""
        return self.known.views()

    def roll(self) -> tuple[set[str] | None, int]:
        """Return the nodes that `servers` names, and how many have not told theirs; None: it names nobody."""
        if not self.known.peers:
            return None, 0
        told = {peer.report.node for peer in self.known.peers if peer.report is not None}
        silent = sum(1 for peer in self.known.peers if peer.report is None) - (self._node not in told)
        return (None if told <= {self._node} and silent <= 0 else told), max(0, silent)

    def alerts(self) -> Iterator[Alert]:
        return self.known.alerts(self._cluster.sources, time.monotonic(), time.time())


def _explained(error: str) -> str:
    """Return why a server gives no report, with what an operator would try."""
    for start, hint in _HINTS.items():
        if error.startswith(start):
            return f"{error} ({hint})"
    return error


_HINTS = {
    "status 401": "have all servers the same `read_token`, or `token`?",
    "status 403": "is this server's token one for reading?",
    "status 404": "is it a geodns of an earlier version?",
}


def _orders_in(body: bytes) -> tuple[list[SharedOrder], int]:
    """Return the orders of a server's state, and how many make no sense; raises ValueError."""
    return orders_of_state(read_state(body))
