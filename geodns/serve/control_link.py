"""Control's end of the link: publishes Tables to the workers, and knows when each answers from one."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from geodns.responder.route_table import RouteNews
from geodns.responder.table import Table
from geodns.responder.table_changes import deltas, pack
from geodns.serve.frames import (
    LENGTH,
    ControlLeaves,
    Message,
    TableApplied,
    UpgradeBegins,
    UpgradeEnded,
    WorkerExited,
    WorkerStarted,
    frame_length,
    framed,
    pack_message,
    pack_news,
    unpack_for_control,
)
from geodns.serve.plan import ControlContext

log = logging.getLogger(__name__)

BATCH = 1 << 16
"""Bytes of changes that are written at once, and after which other tasks have a turn."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as control knows it.

    Attributes:
        pid: None while there is no process.
        number: of the newest Table that it said it answers from; 0 when it said nothing yet.
        restarts: processes before this one.
        heard: when it said something last, by `time.monotonic`.

    """

    pid: int | None = None
    number: int = 0
    restarts: int = 0
    heard: float = 0.0


class ControlLink:
    """The connection to the supervisor, and through it to the workers.

    When the connection is lost, there is nobody left to control: the process gets a SIGTERM from itself.

    Attributes:
        number: of the last Table that was published.

    """

    def __init__(
        self,
        context: ControlContext,
        on_message: Callable[[Message], None] = lambda _: None,
        on_upgrade: Callable[[UpgradeBegins | UpgradeEnded], None] = lambda _: None,
    ) -> None:
        """Prepare a link.

        Args:
            context: what the supervisor handed over.
            on_message: called with everything that a worker says, or that is said of it; must not raise.
            on_upgrade: called when an upgrade begins, and when one has ended; must not raise.

        """
        self.number = context.number
        self._context = context
        self._on_message = on_message
        self._on_upgrade = on_upgrade
        self._workers = {name: Worker() for name in context.workers}
        self._published: Table | None = None
        self._one_way = asyncio.Lock()
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._writer: asyncio.StreamWriter
        self._listener: asyncio.Task[None]

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The workers by their names (``udp0`` …, ``tcp``), those that are not started yet too."""
        return self._workers

    async def start(self) -> None:
        """Connect; to be called once, in the loop that goes on running."""
        reader, self._writer = await asyncio.open_connection(sock=self._context.link)
        self._listener = asyncio.create_task(self._listen(reader), name="link to the supervisor")

    async def close(self) -> None:
        """Let go of the connection; the workers go on with what they have."""
        self._listener.cancel()
        self._writer.close()

    async def publish(self, table: Table) -> int:
        """Send the workers the changes from the last Table to this one, after all that was published before.

        Returns:
            The Table's number, as soon as everything is on its way; `delivered` says when it has arrived.

        Raises:
            ConnectionError: the supervisor is gone.

        """
        async with self._one_way:
            number = self.number + 1
            # Should this be cancelled on its way, the next Table starts afresh.
            before, self._published = self._published, None
            batch = bytearray()
            for change in deltas(before, table, number):
                batch += framed(pack(change))
                if len(batch) >= BATCH:
                    await self._send(bytes(batch))
                    batch.clear()
            self._published = table
            self.number = number
            await self._send(bytes(batch))
            return number

    async def tell(self, news: RouteNews) -> None:
        """Tell the routes worker something between two Tables; raises ConnectionError as `publish`."""
        await self._send(pack_news(news))

    async def leave(self, counters: bytes) -> None:
        """Say the last words before an upgrade, and wait until the supervisor has taken them.

        Raises:
            ConnectionError: the supervisor is gone.

        """
        self._writer.transport.set_write_buffer_limits(0)
        await self._send(pack_message(ControlLeaves(counters)))

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()
        await asyncio.sleep(0)  # `drain` gives no turn while the other side keeps up

    async def delivered(self, number: int, timeout: float) -> tuple[str, ...]:  # noqa: ASYNC109 - a result, no error
        """Wait until every worker answers from this Table or a later one, at most `timeout` seconds.

        Returns:
            The names of the workers that did not say so in time.

        """
        if self._pending(number):
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = number
            try:
                await asyncio.wait({waiter}, timeout=timeout)
            finally:
                del self._waiters[waiter]
        return self._pending(number)

    def _pending(self, number: int) -> tuple[str, ...]:
        return tuple(name for name, worker in self._workers.items() if worker.number < number)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                length = frame_length(await reader.readexactly(LENGTH))
                message = unpack_for_control(await reader.readexactly(length))
                if isinstance(message, UpgradeBegins | UpgradeEnded):
                    self._on_upgrade(message)
                else:
                    self._heard(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            log.error("the supervisor is gone: control ends")  # noqa: TRY400 - its end is all there is to say
            signal.raise_signal(signal.SIGTERM)

    def _heard(self, message: Message) -> None:
        self._take(message)
        known = self._workers[message.worker]
        self._workers[message.worker] = replace(known, heard=time.monotonic())
        self._on_message(message)

    def _take(self, message: Message) -> None:
        """Note what a message says of its worker."""
        match message:
            case WorkerStarted(worker, pid, restarts):
                self._workers[worker] = Worker(pid, 0, restarts)
            case WorkerExited(worker):
                self._workers[worker] = Worker(None, 0, self._workers[worker].restarts)
            case TableApplied(worker, number):
                self._workers[worker] = replace(self._workers[worker], number=number)
                for waiter, wanted in self._waiters.items():
                    if not waiter.done() and not self._pending(wanted):
                        waiter.set_result(None)
            case _:
                pass  # that it was heard is all
