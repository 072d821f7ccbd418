"""Asks the other name servers of `servers`: takes over what is imposed there, and shows where they differ.

Without `servers`, or where all its URLs lead here, nothing of this runs.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from geodns import __version__
from geodns.config.settings import Settings
from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.order_json import orders_of_state
from geodns.control.order_service import OrderService
from geodns.control.peers import (
    Lasting,
    PeerDifference,
    PeerReport,
    PeerStates,
    StandingDifference,
    clock_offset,
    differences,
    differing_verdicts,
    report_of,
    standing,
    states_of,
)
from geodns.control.watchdog import Watchdog
from geodns.control.zone_service import ZoneService
from geodns.errors import printable
from geodns.model.base import Frozen
from geodns.model.shared import SharedOrder, ZoneContent
from geodns.signals.http_client import MAX_BODY, HttpClient, UnreadError

log = logging.getLogger(__name__)

PATH, STATES_PATH, ORDERS_PATH = "/api/v1/peer", "/api/v1/peer/states", "/api/v1/state"
EVERY = 4.5
"""Seconds from one round to the next, so that servers agree within 5."""
JITTER = 0.1
"""The part of it by which a round comes earlier or later."""
CONNECT = 1.0
"""Seconds to connect to a peer."""
ANSWER = 2.0
"""Seconds for its whole answer, and for all of the first questions: so long a start may wait."""
SILENT = 15.0
"""Seconds without an answer that are a warning."""
REPORT_FOR = 1.0
"""Seconds for which an own report is good for all who ask."""
MOST_ZONES = 20
"""Zones whose hosts' states are asked for at once."""
MOST_HOSTS = 100_000
"""Hosts of these zones; a larger zone is asked for alone."""
MAX_STATES_BODY = 8 * 2**20
"""Bytes of their states."""
MAX_ORDERS_BODY = 32 * 2**20
"""Bytes of all orders."""

T = TypeVar("T", bound=Frozen)


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
    """What is known of the server at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.report: PeerReport | None = None
        self.heard: float | None = None
        """Monotonic."""
        self.seen: float | None = None
        self.offset = self.lag = 0.0
        self.error: str | None = None
        self.asked = False
        self.states: Mapping[str, Mapping[str, str]] = {}
        self.standing: tuple[StandingDifference, ...] = ()

    @property
    def answers(self) -> bool:
        return self.report is not None and self.error is None

    @property
    def name(self) -> str:
        return self.url if self.report is None else self.report.node


class PeerService:
    """Knows the other servers; URLs come from the settings alone.

    Attributes:
        keeps_time: whether overrides end by these servers' clocks where most say that the own is wrong.

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
        self._peers = [KnownPeer(url) for url in settings.servers]
        self._client = HttpClient(max(1, len(self._peers)), "peer-names")
        self._started = time.time()
        self._since = Lasting()
        self._own: tuple[float, PeerReport] | None = None
        self._merged: dict[str, tuple[str, str]] = {}
        """By URL, the digests of orders after which asking again brings nothing new."""

    # --- what this server says --------------------------------------------------------------------------

    def report(self) -> PeerReport:
        """Return what this server says of itself, at most a second old but for its clock."""
        now = time.monotonic()
        if self._own is None or now - self._own[0] > REPORT_FOR:
            self._own = now, self._fresh_report()
        return self._own[1].model_copy(update={"clock": time.time()})

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
        if not self._peers:
            return
        asking = [asyncio.ensure_future(self._first_orders(peer)) for peer in self._peers]
        done, late = await asyncio.wait(asking, timeout=ANSWER)
        for one in late:
            one.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for peer, one in zip(self._peers, asking, strict=True):
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
        while self._peers:
            try:
                await self.look()
            except Exception:
                log.exception("the other servers could not be compared with this one")
            if all(self._is_own(peer) for peer in self._peers):
                return
            await asyncio.sleep(EVERY * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - it spreads

    async def close(self) -> None:
        await self._client.close()

    async def look(self) -> None:
        """Ask each server once, and compare."""
        await asyncio.gather(*map(self._ask, self._peers))
        self.compare(time.monotonic())
        if self.keeps_time:
            self._orders.set_clock_offset(self.clock_ahead)

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
        own = self._fresh_report()
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
        body = await self._body(peer, ORDERS_PATH, MAX_ORDERS_BODY)
        try:
            orders, bad = await asyncio.to_thread(_orders_in, body)
        except (ValueError, RecursionError) as error:
            raise UnreadError("its orders are no JSON of a geodns") from error
        if bad:
            log.warning("%d orders of %s cannot be read: they are left out", bad, peer.url)
        return orders

    async def _body(self, peer: KnownPeer, path: str, most: int = MAX_BODY) -> bytes:
        return await self._client.get(peer.url + path, ANSWER, self._headers, connect=CONNECT, most=most)

    async def _get(self, peer: KnownPeer, path: str, kind: type[T], most: int = MAX_BODY) -> T:
        body = await self._body(peer, path, most)
        try:
            return await asyncio.to_thread(kind.model_validate_json, body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            what = printable(f"{where}: {first['msg']}"[:200])
            raise UnreadError(f"it does not speak as a geodns of this version does ({what})") from None

    # --- comparing --------------------------------------------------------------------------------------

    def _is_own(self, peer: KnownPeer) -> bool:
        return peer.report is not None and (peer.report.node, peer.report.started) == (
            self._node,
            self._started,
        )

    def _others(self) -> Iterator[KnownPeer]:
        """Return the servers that were asked and are not this one."""
        return (peer for peer in self._peers if peer.asked and not self._is_own(peer))

    def compare(self, now: float) -> None:
        """Note where the servers differ by their last answers, and for how long; `now` is monotonic."""
        own = self._fresh_report()
        found: dict[str, list[PeerDifference]] = {}
        keys: list[object] = []
        for peer in self._others():
            if not peer.answers:
                keys.append(("silent", peer.url))
            elif peer.report is not None and peer.report.node != self._node:
                states = states_of(self._cluster, peer.states)
                found[peer.url] = list(differences(own, peer.report, peer.offset, states, peer.states))
                keys += [(peer.url, one.key) for one in found[peer.url]]
        keys += [("twins", *pair) for pair in self._twins()]
        self._since.look(keys, now)
        for peer in self._peers:
            peer.standing = tuple(self._standing(peer.url, found.get(peer.url, ()), now))

    def _standing(
        self, url: str, found: Iterable[PeerDifference], now: float
    ) -> Iterable[StandingDifference]:
        return standing(found, lambda one: self._since.since[url, one.key], now)

    def _twins(self) -> Iterator[tuple[str, str]]:
        """Return the URLs of other servers that share a name."""
        first: dict[str, KnownPeer] = {}
        for peer in self._others():
            if peer.report is None or peer.error is not None or peer.report.node == self._node:
                continue
            known = first.setdefault(peer.report.node, peer)
            if known.report is not None and known.report.started != peer.report.started:
                yield known.url, peer.url

    # --- what is shown ----------------------------------------------------------------------------------

    def views(self) -> list[PeerView]:
        """Return the other servers, each once, by name; none: this server is alone."""
        latest: dict[str, KnownPeer] = {}
        for peer in self._others():
            name = peer.url if peer.name == self._node else peer.name
            known = latest.get(name)
            if known is None or (peer.heard or 0.0) > (known.heard or 0.0):
                latest[name] = peer
        return [self._view(name, peer) for name, peer in sorted(latest.items())]

    @staticmethod
    def _view(name: str, peer: KnownPeer) -> PeerView:
        report = peer.report
        if report is None:
            return PeerView(name, peer.url, None, None, None, None, {}, peer.error, ())
        return PeerView(
            name,
            peer.url,
            peer.seen,
            report.version,
            peer.offset,
            peer.lag,
            report.zones,
            peer.error,
            peer.standing,
        )

    def roll(self) -> tuple[set[str] | None, int]:
        """Return the nodes that `servers` names, and how many have not told theirs; None: it names nobody."""
        if not self._peers:
            return None, 0
        told = {peer.report.node for peer in self._peers if peer.report is not None}
        silent = sum(1 for peer in self._peers if peer.report is None)
        return told, max(0, silent - (self._node not in told))

    @property
    def clock_ahead(self) -> float:
        """Seconds that the own clock is ahead of what most servers say."""
        return clock_offset({one.name: one.offset for one in self.views() if one.offset is not None}.values())

    def alerts(self) -> Iterator[Alert]:
        now = time.monotonic()
        for peer in self._others():
            if peer.report is not None and peer.report.node == self._node and peer.answers:
                text = (
                    f"{peer.url} is another server that also calls itself {self._node}: give each a `node` "
                    "of its own"
                )
                yield Alert(("peer node", peer.url), text, kind="peer", grade=text)
            if not peer.answers and self._since.lasted(("silent", peer.url), now, SILENT):
                name = peer.url if peer.report is None else f"{peer.name} ({peer.url})"
                since = _moment(self._since.since["silent", peer.url])
                text = f"server {name} has not answered since {since}: {peer.error}"
                resolved = f"server {name} answers again"
                yield Alert(("peer silent", peer.url), text, kind="peer", resolved=resolved)
            for one in peer.standing if peer.answers else ():
                yield self._alert(peer, one)
        for pair in self._twins():
            if self._since.lasted(("twins", *pair), now, SILENT):
                text = f"{pair[0]} and {pair[1]} are two servers with one name: give each a `node` of its own"
                yield Alert(("peer twins", pair), text, kind="peer")

    def _alert(self, peer: KnownPeer, one: StandingDifference) -> Alert:
        about = f"{one.topic} of {one.zone}" if one.zone else one.topic
        return Alert(
            ("peer", peer.url, one.topic, one.zone, one.which),
            f"{one.text}, since {_moment(one.since)}",
            kind="peer",
            resolved=f"{self._node} and {peer.name} agree again: {about}",
            still_there=lambda: peer.answers,
            zone=one.zone if one.zone in self._cluster.sources else None,
            data={"peer": peer.name, "topic": str(one.topic)},
        )


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
    state = json.loads(body)
    if not isinstance(state, dict):
        raise ValueError("no object")  # noqa: TRY004 - the text is wrong, not the call
    return orders_of_state(state)


def _moment(monotonic: float) -> str:
    return timestamp(time.time() - (time.monotonic() - monotonic))
