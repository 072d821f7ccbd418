"""Finds out who runs the mail of recipients' domains, and tells the routes worker.

Domains of providers are known by name. Others are looked up by their MX records when somebody asks, a bounded
number at a time: recipients are what anybody sends. What was known last is used while nothing newer is.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from geodns.config.times import timestamp
from geodns.control.alert_service import Alert
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.control.provider_book import (
    DROPPED,
    FOREVER,
    Outage,
    ProviderBook,
    after_failure,
    is_outage,
)
from geodns.control.wall_clock import WallClock
from geodns.control.worker_service import WorkerService
from geodns.errors import printable
from geodns.responder.route_table import KnownProvider, RouteNews
from geodns.serve.frames import ROUTES, Message, ProviderAsked, WorkerStarted
from geodns.signals.mail_exchanges import MxError, MxResolver, provider_of
from geodns.wire.mail_domains import mail_domain

log = logging.getLogger(__name__)

TOGETHER = 50
"""Look-ups at a time."""
WAITING = 1000
"""Domains that wait for one; more are dropped, and asked for again by those who want to know."""
A_SECOND = 200
"""Look-ups that begin in a second: whoever sends to forged recipients must not aim us at a resolver."""
BATCH = 1000
"""Domains in a message to the routes worker."""
LONGEST = 300
"""Characters of what the routes worker is answered for: longer ones are no domains."""
KEEP_EVERY = 10.0
"""Seconds from one look at what has changed, for the disk, to the next."""


class ProviderService:
    """Who runs which domain's mail."""

    def __init__(
        self,
        resolver: MxResolver,
        workers: WorkerService,
        persistence: Persistence,
        clock: WallClock,
        metrics: Metrics,
    ) -> None:
        self._resolver = resolver
        self._workers = workers
        self._persistence = persistence
        self._clock = clock
        self._metrics = metrics
        self._book = ProviderBook(persistence.providers())
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, asyncio.Future[None]] = {}
        """Who waits for a look-up that waits or runs."""
        self._allowed = float(A_SECOND)
        self._counted = time.monotonic()
        self._turn: asyncio.TimerHandle | None = None
        self._news: dict[str, KnownProvider] = {}
        self._telling: asyncio.Task[None] | None = None
        self._retelling: asyncio.Task[None] | None = None
        self._outage: Outage | None = None
        workers.subscribe(self._on_message)

    # --- what is known ----------------------------------------------------------------------------------

    @property
    def known(self) -> int:
        """Domains that were looked up and are kept."""
        return len(self._book)

    @property
    def waiting(self) -> int:
        """Domains that wait for a look-up, or are looked up."""
        return len(self._waiting) + len(self._running)

    async def provider_of(self, domain: str, within: float = 0.5) -> str | None:
        """Return who runs a domain's mail, and wait so many seconds for a look-up.

        Returns:
            a name of `model.providers`; empty: nobody who is known; None: it is not known, or not in time.

        """
        name = mail_domain(domain)
        if not name:
            return ""
        self._wanted(name)
        found = self._book.provider(name, time.time())
        if found is None and (self._running.keys() | self._waiting.keys()) & {name}:
            done = self._done.setdefault(name, asyncio.get_running_loop().create_future())
            await asyncio.wait({done}, timeout=within)
            found = self._book.provider(name, time.time())
        return found

    def alerts(self) -> Iterator[Alert]:
        outage = self._outage
        if outage is not None and is_outage(outage, time.time()):
            yield Alert(
                "providers",
                f"since {timestamp(outage.since)} nobody's mail provider can be looked up ({outage.failed} "
                f"look-ups failed, the last one: {outage.why}): rules by `provider` go by what was known "
                f"before, for 7 days at most, and fit no other domain: see to {self._resolver.where}, or "
                "name another resolver as `routes_resolver` in geodns.yaml",
                level=logging.ERROR,
                resolved="mail providers are looked up again",
            )

    # --- the routes worker ------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        match message:
            case ProviderAsked(_, domain):
                self._asked(domain)
            case WorkerStarted(worker) if worker == ROUTES:
                if self._retelling is not None:
                    self._retelling.cancel()
                self._retelling = asyncio.create_task(self._tell_all())
            case _:
                pass

    def _asked(self, domain: str) -> None:
        now, name = time.time(), mail_domain(domain)
        if not name:
            if len(domain) <= LONGEST:
                self._tell({domain: KnownProvider("", FOREVER, FOREVER)})
            return
        has_room = self._wanted(name)
        known = self._book.told(name, now)
        if known is None and not has_room:
            known = KnownProvider("", now + DROPPED, now + DROPPED)
        if known is not None:
            self._tell({domain: known})

    async def _tell_all(self) -> None:
        """Tell all that is known, a part at a time: others must have their turns."""
        domains = list(self._book.domains)
        for start in range(0, len(domains), BATCH):
            now = time.time()
            told = {domain: self._book.told(domain, now) for domain in domains[start : start + BATCH]}
            self._tell({domain: one for domain, one in told.items() if one is not None})
            await asyncio.sleep(0)

    def _tell(self, news: Mapping[str, KnownProvider]) -> None:
        if ROUTES not in self._workers.workers:
            return
        self._news.update(news)
        if self._news and self._telling is None:
            self._telling = asyncio.create_task(self._tell_news())

    async def _tell_news(self) -> None:
        try:
            while self._news:
                batch = dict(list(self._news.items())[:BATCH]) if len(self._news) > BATCH else self._news
                self._news = {key: one for key, one in self._news.items() if key not in batch}
                await self._workers.tell(RouteNews(providers=batch))
        except ConnectionError:
            self._news = {}  # the supervisor is gone, and so is this process in a moment
        finally:
            self._telling = None

    # --- look-ups ---------------------------------------------------------------------------------------

    def _wanted(self, name: str) -> bool:
        """Have a domain looked up if that is due; return whether there was room for it."""
        if name in self._running or name in self._waiting or not self._book.wants(name, time.time()):
            return True
        if len(self._waiting) >= WAITING:
            self._metrics.count_provider_lookup("dropped")
            return False
        self._waiting[name] = None
        self._go_on()
        return True

    def _go_on(self) -> None:
        """Begin look-ups that wait, as many as may be under way and begin now."""
        now = time.monotonic()
        self._allowed = min(float(A_SECOND), self._allowed + (now - self._counted) * A_SECOND)
        self._counted = now
        while self._waiting and len(self._running) < TOGETHER and self._allowed >= 1:
            self._allowed -= 1
            name, _ = self._waiting.popitem(last=False)
            task = self._running[name] = asyncio.create_task(self._look_up(name))
            task.add_done_callback(self._ended(name))
        if self._waiting and len(self._running) < TOGETHER and self._turn is None:
            wait = (1 - self._allowed) / A_SECOND
            self._turn = asyncio.get_running_loop().call_later(wait, self._turned)

    def _turned(self) -> None:
        self._turn = None
        self._go_on()

    def _ended(self, name: str) -> Callable[[asyncio.Task[None]], None]:
        def ended(task: asyncio.Task[None]) -> None:
            self._running.pop(name, None)
            if (done := self._done.pop(name, None)) is not None and not done.done():
                done.set_result(None)
            if not task.cancelled():
                self._go_on()

        return ended

    async def _look_up(self, name: str) -> None:
        try:
            found = await self._resolver.exchanges(name)
        except MxError as error:
            self._failed(name, str(error))
        except Exception:
            log.exception("a fault of ours while looking up the mail servers of %s", name)
            self._failed(name, "a fault of geodns's own: the log says more")
        else:
            provider = provider_of(found.names)
            self._book.learn(name, provider, found.ttl, time.time(), exists=bool(found.names))
            self._outage = None
            self._metrics.count_provider_lookup("found" if provider else "nobody")
        known = self._book.told(name, time.time())
        if known is not None:
            self._tell({name: known})

    def _failed(self, name: str, why: str) -> None:
        now = time.time()
        self._book.fail(name, now)
        self._outage = after_failure(self._outage, name, printable(why), now)
        self._metrics.count_provider_lookup("failed")

    # --- the disk ---------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Keep for ever what has changed, and drop what is too old."""
        while True:
            await asyncio.sleep(KEEP_EVERY)
            self.keep()

    def keep(self) -> None:
        """Have what has changed written with the next write."""
        if self._clock.steady:  # what seems too old by a clock that was just set may not be old at all
            self._book.prune(time.time())
        if self._book.changed:
            self._book.changed = False
            self._persistence.keep_providers(self._book.domains)

    async def close(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
        tellers = [one for one in (self._telling, self._retelling) if one is not None]
        tasks = [*self._running.values(), *tellers]
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        self.keep()
