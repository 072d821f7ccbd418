"""Tells the routes worker what hosts that warm up may still be dealt, after each report of their mail."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from geodns.control.route_allowances import ProviderRoom, rooms
from geodns.control.route_count_service import RouteCountService
from geodns.control.signal_service import SignalService
from geodns.control.warmup_service import WarmupService
from geodns.control.worker_service import WorkerService
from geodns.model.state import HostKey
from geodns.responder.route_table import Allowance, RouteNews
from geodns.serve.frames import ROUTES, Message, RouteCounts, WorkerStarted
from geodns.signals.warmup import midnight, utc_date

LASTS = 900.0
"""Seconds after a report for which it holds."""
ON_ITS_WAY = 900.0
"""Seconds from a look-up to the report of its mail, at most: what comes later nobody has reckoned with."""


class RouteRoom(NamedTuple):
    """What a host may get of a provider's mail now.

    Attributes:
        sent: to that provider today, by the last report that counted the host's mail.
        left: look-ups that may name it from that report on; 0 where no report is recent.
        looked_up: look-ups that named it since.

    """

    sent: int
    left: int
    looked_up: int


class _Granted(NamedTuple):
    rooms: Mapping[str, ProviderRoom]
    midnight: float
    """Of the day that they are for."""
    until: float
    """By the monotonic clock."""


class RouteAllowanceService:
    """What each host was last allowed.

    Only a report that counts mail says anew what is left; one that merely says that a sender is alive lets
    the last numbers hold on. Mail that was looked up just before a report may be on its way and in none, so
    what was looked up in the last quarter of an hour counts beside what was sent.

    Args:
        servers: name servers, this one among them.
        counts: know of look-ups that an earlier process or worker answered, too.

    """

    def __init__(
        self,
        servers: int,
        workers: WorkerService,
        warmup: WarmupService,
        signals: SignalService,
        counts: RouteCountService,
    ) -> None:
        self._servers = servers
        self._workers = workers
        self._warmup = warmup
        self._signals = signals
        self._counts = counts
        self._granted: dict[HostKey, _Granted] = {}
        self._looked_up: Counter[tuple[HostKey, str]] = Counter()
        self._news: dict[HostKey, Allowance] = {}
        self._telling: asyncio.Task[None] | None = None
        signals.subscribe(self._reported)
        workers.subscribe(self._on_message)

    def of(self, host: HostKey) -> dict[str, RouteRoom]:
        """Return what a host may get, by provider; nothing before the first report that counts its mail."""
        granted = self._granted.get(host, _NOTHING)
        is_recent = time.monotonic() < granted.until
        return {
            provider: RouteRoom(room.sent, room.left if is_recent else 0, self._looked_up[host, provider])
            for provider, room in granted.rooms.items()
        }

    def _on_message(self, message: Message) -> None:
        match message:
            case WorkerStarted(worker) if worker == ROUTES:
                # What the worker before it dealt since the last report is known to nobody.
                self._granted.clear()
                self._looked_up.clear()
            case RouteCounts():
                for (zone, host, provider), number in message.looked_up.items():
                    if provider in self._granted.get((zone, host), _NOTHING).rooms:
                        self._looked_up[(zone, host), provider] += number
            case _:
                pass

    def _reported(self, heard: frozenset[HostKey], counted: frozenset[HostKey]) -> None:
        now, until = time.time(), time.monotonic() + LASTS
        today = midnight(utc_date(now))
        self._granted = {host: one for host, one in self._granted.items() if host in self._warmup.hosts}
        for host in heard:
            one = self._warmup.hosts.get(host)
            if one is None or not one.plan.provider_caps:
                continue
            if host in counted:
                recent = self._counts.looked_up(*host, now - ON_ITS_WAY)
                found = rooms(one, self._signals.firsts(host, today, now), self._servers, recent)
                self._granted[host] = _Granted(found, today, until)
                for provider in found:
                    self._looked_up.pop((host, provider), None)
                self._news[host] = Allowance({provider: room.left for provider, room in found.items()}, until)
            elif (granted := self._granted.get(host)) is not None and granted.midnight == today:
                self._granted[host] = granted._replace(until=until)
                before = self._news.get(host)
                self._news[host] = Allowance({} if before is None else before.left, until)
        if self._news and self._telling is None and ROUTES in self._workers.workers:
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        try:
            while self._news:
                news, self._news = self._news, {}
                await self._workers.tell(RouteNews(allowances=news))
        except ConnectionError:
            self._news = {}  # the supervisor is gone, and so is this process in a moment
        finally:
            self._telling = None

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError):
                await self._telling


_NOTHING = _Granted({}, 0.0, 0.0)
