"""Tables on their way to the workers, and what the workers count on its way back to the hosts they dealt."""

import asyncio
import logging
from collections.abc import Callable

from geodns import __version__
from geodns.responder.table import EMPTY, Rotation, Table
from geodns.responder.worker_state import Counts
from geodns.serve.control_link import ControlLink
from geodns.serve.frames import QueryLogBatch, WorkerExited, WorkerStarted
from geodns.serve.plan import ControlContext
from geodns.storage.event_log import EventLog


class WorkerService:
    """Publishes each Table once, in order, and knows the rotations of those that workers may still count.

    Args:
        seat: what the supervisor gave.
        on_counts: called with a transport and what one of its workers counted.
        on_log: called with what a worker noted for the query log.
        on_worker: called when a worker has died, and when the next one is there.

    Attributes:
        link: to the workers.

    """

    def __init__(
        self,
        seat: ControlContext,
        on_counts: Callable[[str, Counts], None],
        on_log: Callable[[QueryLogBatch], None],
        on_worker: Callable[[WorkerStarted | WorkerExited], None],
    ) -> None:
        self.link = ControlLink(
            seat, lambda _, transport, counts: on_counts(transport, counts), on_log, on_worker
        )
        self._one_way = asyncio.Lock()
        self._table: Table = EMPTY
        self._number = 0
        self._rotations: dict[bytes, Rotation] = {}

    async def publish(self, table: Table) -> int:
        """Bring a Table on its way to the workers, unless it is; return its number."""
        async with self._one_way:
            if table is not self._table:
                self._remember(table)
                self._number = await self.link.publish(table)
                self._table = table
            return self._number

    def rotation(self, uid: bytes) -> Rotation | None:
        """Return the rotation that a worker counted by; also one that was replaced a moment ago."""
        return self._rotations.get(uid)

    def _remember(self, table: Table) -> None:
        before = self._table.rotations
        fresh = [one for key, one in table.rotations.items() if before.get(key) is not one]
        if len(self._rotations) > 2 * len(table.rotations) + 1000:
            # Workers may still count what they dealt from the Table before.
            self._rotations, fresh = {}, [*before.values(), *table.rotations.values()]
        self._rotations |= {one.uid: one for one in fresh}


def tell_start(events: EventLog, seat: ControlContext, zones: int) -> None:
    """Tell that the server answers, or that another control process has taken over.

    Args:
        events: told.
        seat: what the supervisor gave.
        zones: how many are served.

    """
    what = "the server is started"
    if seat.number:
        what = f"the control process was started again, the one before {seat.before or 'ended'}"
    data = {"version": __version__, "zones": zones, "again": bool(seat.number)}
    events.tell("server", f"{what}: geodns {__version__}, zones {zones}", level=logging.INFO, data=data)


def tell_worker(events: EventLog, message: WorkerStarted | WorkerExited) -> None:
    """Tell that a worker has died, or that the next one is there."""
    if isinstance(message, WorkerExited):
        # The supervisor has logged it.
        text, level = f"worker {message.worker} {message.how}", logging.DEBUG
    else:
        text, level = f"worker {message.worker} is back (pid {message.pid})", logging.INFO
    events.tell("worker", text, level=level, data={"worker": message.worker})
