"""Publishes Tables to the workers, and passes their messages on to subscribers."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from geodns import __version__
from geodns.control.cluster import Cluster
from geodns.control.metrics import Metrics
from geodns.responder.route_table import RouteNews
from geodns.responder.table import EMPTY, Rotation, Table
from geodns.serve.control_link import ControlLink, Worker
from geodns.serve.frames import (
    ROUTES,
    CountsReport,
    Message,
    UpgradeBegins,
    UpgradeEnded,
    WorkerExited,
    WorkerStarted,
)
from geodns.serve.plan import ControlContext
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)

DELIVERY = 2.0
"""Seconds that an order waits for the workers."""
LAST_COUNTS = 2.0
"""Seconds that the end waits for one: it gives its clients one to close, and hands in what it counted."""

OnMessage = Callable[[Message], None]

MOST_EARLY = 1000
"""Reports of counts that wait for the first Table: a few seconds' worth, and what the supervisor kept."""


class WorkerService:
    """The workers; it knows the rotations of all Tables that they may still count by.

    Attributes:
        on_upgrade: called when an upgrade begins, and when one has ended.

    """

    def __init__(self, context: ControlContext, cluster: Cluster, events: EventLog, metrics: Metrics) -> None:
        self._context = context
        self._cluster = cluster
        self._events = events
        self._metrics = metrics
        self._link = ControlLink(context, self._on_message, self._on_upgrade)
        self.on_upgrade: Callable[[UpgradeBegins | UpgradeEnded], None] = lambda _: None
        self._subscribers: list[OnMessage] = [self._count, self._report]
        self._dead: set[str] = set()
        """Workers whose death was reported, until they are back."""
        self._publishing = asyncio.Lock()
        self._table: Table = EMPTY
        self._number = 0
        self._rotations: dict[bytes, Rotation] = {}
        self._early: list[CountsReport] | None = []
        """Counts that came before the first Table; None: there was one."""

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The workers by name (``udp0`` …, ``tcp``), also before they are started."""
        return self._link.workers

    async def start(self) -> None:
        await self._link.start()

    async def close(self) -> None:
        await self._link.close()

    async def leave(self, counters: bytes) -> None:
        """Leave the workers to another control process; raises ConnectionError where nobody is there."""
        await self._link.leave(counters)

    async def ended(self, name: str, within: float = LAST_COUNTS) -> None:
        """Wait for the end of a worker that runs, and so for its last counts, at most so many seconds."""
        end = asyncio.Event()

        def note(message: Message) -> None:
            if isinstance(message, WorkerExited) and message.worker == name:
                end.set()

        self.subscribe(note)
        known = self.workers.get(name)
        if known is not None and known.pid is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), within)

    def subscribe(self, on_message: OnMessage) -> None:
        """Have a function called with every message of a worker, or of the supervisor about one."""
        self._subscribers.append(on_message)

    # --- to the workers ---------------------------------------------------------------------------------

    async def publish(self) -> int:
        """Send the cluster's Table to the workers unless it was sent; return its number."""
        table = self._cluster.compiled.table
        async with self._publishing:
            if table is not self._table:
                self._remember(table)
            early, self._early = self._early, None
            for report in early or ():
                self._on_message(report)
            if table is not self._table:
                self._number = await self._link.publish(table)
                self._table = table
            return self._number

    async def deliver(self, within: float = DELIVERY) -> tuple[str, ...]:
        """Publish, and wait until the workers have applied it; return those that are late."""
        return await self._link.delivered(await self.publish(), within)

    async def tell(self, news: RouteNews) -> None:
        """Tell the routes worker something, if there is one; raises ConnectionError as `publish`."""
        if ROUTES in self.workers:
            await self._link.tell(news)

    def rotation(self, uid: bytes) -> Rotation | None:
        """Return a rotation by its uid; also one that was replaced a moment ago."""
        return self._rotations.get(uid)

    def _remember(self, table: Table) -> None:
        before = self._table.rotations
        fresh = [one for key, one in table.rotations.items() if before.get(key) is not one]
        if len(self._rotations) > 2 * len(table.rotations) + 1000:
            # Workers may still report what they dealt from the Table before.
            self._rotations, fresh = {}, [*before.values(), *table.rotations.values()]
        self._rotations |= {one.uid: one for one in fresh}

    # --- from the workers -------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        # What workers dealt while there was no control process finds its hosts in the first Table.
        if isinstance(message, CountsReport) and self._early is not None and len(self._early) < MOST_EARLY:
            self._early.append(message)
            return
        for on_message in self._subscribers:
            try:
                on_message(message)
            except Exception:
                log.exception("what %s said is lost", message.worker)

    def _on_upgrade(self, told: UpgradeBegins | UpgradeEnded) -> None:
        self.on_upgrade(told)

    def _count(self, message: Message) -> None:
        if isinstance(message, CountsReport):
            self._metrics.count_answers(message.counts, message.transport, self.rotation)

    def _report(self, message: Message) -> None:
        """Report workers that died unasked, and their return."""
        if isinstance(message, WorkerExited) and message.how:
            self._dead.add(message.worker)
            # The supervisor has logged it.
            text, level = f"worker {message.worker} {message.how}", logging.DEBUG
        elif isinstance(message, WorkerStarted) and message.worker in self._dead:
            self._dead.discard(message.worker)
            text, level = f"worker {message.worker} is back (pid {message.pid})", logging.INFO
        else:
            return
        self._events.tell("worker", text, level=level, data={"worker": message.worker})

    def report_start(self) -> None:
        """Report that the server answers, or that another control process has taken over."""
        zones, context = len(self._cluster.sources), self._context
        what = "the server is started"
        if context.upgraded_from:
            what = f"another version takes over from {context.upgraded_from}"
        elif context.number:
            what = f"the control process was started again, the one before {context.before or 'ended'}"
        data = {"version": __version__, "zones": zones, "again": bool(context.number)}
        text = f"{what}: geodns {__version__}, zones {zones}"
        self._events.tell("server", text, level=logging.INFO, data=data)
