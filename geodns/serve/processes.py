"""Control and the workers as the supervisor has them: starts them, passes on what they say, buries them."""

import gc
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator

from geodns.serve.arrival import Arrival
from geodns.serve.children import CONTROL, TCP, keep_own, udp_name, work_as
from geodns.serve.frames import (
    ROUTES,
    CountsReport,
    Message,
    QueryLogBatch,
    RouteCounts,
    Stream,
    TableApplied,
    UpgradeBegins,
    UpgradeEnded,
    WorkerExited,
    WorkerStarted,
    framed,
    pack_message,
    unpack_message,
)
from geodns.serve.handover import OldWorker
from geodns.serve.plan import ControlContext, ServePlan
from geodns.serve.process import ProcessSlot
from geodns.serve.resources import ServerResources
from geodns.serve.table_relay import TableRelay

log = logging.getLogger(__name__)

MAX_LOG_BACKLOG = 1 << 20
"""Bytes that may wait for control before the query log has to do without what comes now."""

CONTROL_BACKOFF = (0.2, 5.0)
"""Seconds before control is started again: at first, and at most after doubling."""

WORKER_BACKOFF = (0.05, 0.5)
"""The same for a worker; one that dies at once, again and again, must not eat the machine."""


class ServerProcesses:
    """The processes, and the Table with which a worker can be started at any moment.

    Attributes:
        control: the control process.
        workers: all of this program's.
        table: current.
        carried: counters of a control that left for an upgrade, for the next one.
        arrival: of this program in the place of another, with that one's workers; None: it is over.
        status: with which the server ends, since it cannot start; None: it goes on.
        ending: whether the server ends.
        leaving: whether control is not wanted, since it leaves for an upgrade; counts are held back then.
        giving_up: whether nothing is started any more, since the program before shall go on.

    """

    def __init__(
        self,
        plan: ServePlan,
        resources: ServerResources,
        selector: selectors.BaseSelector,
        on_fork: Callable[[], None],
    ) -> None:
        """Prepare a place for each process.

        Args:
            plan: of the server.
            resources: of the server.
            selector: of the supervisor's loop.
            on_fork: called in each new process: closes what is the supervisor's.

        """
        self.control = ProcessSlot(CONTROL, CONTROL_BACKOFF, selector)
        self._dns = (
            *(
                ProcessSlot(udp_name(number), WORKER_BACKOFF, selector)
                for number in range(len(resources.sockets.udp))
            ),
            ProcessSlot(TCP, WORKER_BACKOFF, selector),
        )
        self._routes = ProcessSlot(ROUTES, WORKER_BACKOFF, selector)
        self.workers = (*self._dns, *((self._routes,) if resources.routes_plan.listeners else ()))
        self.table = TableRelay()
        self.carried = b""
        self.arrival: Arrival | None = None
        self.status: int | None = None
        self.ending = self.leaving = self.giving_up = False
        self._plan = plan
        self._resources = resources
        self._on_fork = on_fork
        self._word = resources.memory.word
        self._pid = os.getpid()
        self._ended: UpgradeEnded | None = None

    @property
    def all(self) -> tuple[ProcessSlot, ...]:
        """Every process, those of another program too."""
        old = () if self.arrival is None else self.arrival.old
        return (self.control, *self.workers, *old)

    @property
    def answering(self) -> bool:
        """Whether every worker has a Table."""
        return all(slot.acked for slot in self.workers)

    @property
    def number(self) -> int:
        """Number of the last Table that workers got, from whichever program."""
        if self.table.number or self._plan.handover is None:
            return self.table.number
        return self._plan.handover.number

    def _is_old(self, slot: ProcessSlot) -> bool:
        return self.arrival is not None and slot in self.arrival.old

    def dues(self) -> Iterator[float]:
        """Yield when a process is to be started next."""
        for slot in (self.control, *self.workers):
            if slot.pid is None and self._wanted(slot):
                yield slot.due

    # --- what the processes say -------------------------------------------------------------------------

    def read(self, slot: ProcessSlot) -> bool:
        """Read once from a process, and pass on what it says; say whether it said anything."""
        assert slot.stream is not None
        came = slot.fill()
        if slot is self.control:
            self._relay(slot.stream)
            return came
        old = self._is_old(slot)
        while (payload := slot.stream.take()) is not None:
            if old:
                self._pass_on_old(slot, payload)
                continue
            message = unpack_message(payload)
            if isinstance(message, TableApplied):
                slot.acked = message.number
            elif self.leaving:
                slot.held += framed(payload)
                continue
            if isinstance(message, QueryLogBatch) and self._is_control_busy():
                self.tell(message._replace(noted=(), dropped=message.dropped + len(message.noted)))
            else:
                self.control.put(framed(payload))
        return came

    def _pass_on_old(self, slot: ProcessSlot, payload: bytes) -> None:
        """Pass on what an old worker has counted; the new one of its name says everything else."""
        try:
            message = unpack_message(payload)
            counted = isinstance(message, (CountsReport, RouteCounts, QueryLogBatch))
        except Exception as error:  # noqa: BLE001 - another version wrote it
            log.warning("what the old %s says is not understood, and not counted: %s", slot.name, error)
            return
        if not counted:
            return
        if self.leaving or self.control.pid is None:
            slot.held += framed(payload)
        else:
            self.tell(message)

    def _is_control_busy(self) -> bool:
        stream = self.control.stream
        return stream is not None and stream.backlog > MAX_LOG_BACKLOG

    def _relay(self, stream: Stream) -> None:
        """Take control's changes, and pass them on as they are to the workers that need them."""
        dns, routes = bytearray(), bytearray()
        while (payload := stream.take()) is not None:
            for_dns, for_routes = self.table.take(payload)
            dns += for_dns
            routes += for_routes
        for slots, frames in ((self._dns, bytes(dns)), ((self._routes,), bytes(routes))):
            for slot in slots if frames else ():
                slot.put(frames)
        if dns or routes:
            self._word[0] += 1
        if self.table.number:
            self.carried = b""  # that control has them now

    def flush(self, slot: ProcessSlot) -> None:
        """Send a process what it takes now."""
        slot.flush()
        if slot is not self.control:
            self._word[0] += 1

    def tell(self, message: Message | UpgradeBegins) -> None:
        """Tell control something, where there is one."""
        self.control.put(pack_message(message))

    def tell_end(self, ended: UpgradeEnded) -> None:
        """Tell control how an upgrade ended, as soon as there is one."""
        self._ended = ended
        self._tell_ended()

    def _tell_ended(self) -> None:
        if self._ended is not None and self.control.pid is not None and not self.leaving:
            self.control.put(pack_message(self._ended))
            self._ended = None

    # --- starts and ends --------------------------------------------------------------------------------

    def _wanted(self, slot: ProcessSlot) -> bool:
        """Say whether something shall run there: workers from the first whole Table on."""
        if self.ending or self.giving_up:
            return False
        if slot is self.control:
            return not self.leaving
        return self.table.number > 0

    def start_due(self) -> None:
        """Start what is to run now."""
        now = time.monotonic()
        for slot in (self.control, *self.workers):
            if slot.pid is None and slot.due <= now and self._wanted(slot):
                self._start(slot)

    def _start(self, slot: ProcessSlot) -> None:
        if not slot.start(lambda link: self._child(slot, link)):
            return
        if slot is self.control:
            self._tell_ended()
            for one in self.workers:
                if one.pid is not None:
                    self.tell(WorkerStarted(one.name, one.pid, one.restarts))
                    self.tell(TableApplied(one.name, one.acked))
            for one in self.all:
                if one.held:
                    self.control.put(bytes(one.held))
                    one.held.clear()
        else:
            assert slot.pid is not None
            self.tell(WorkerStarted(slot.name, slot.pid, slot.restarts))
            if frames := self.table.since(routes=slot is self._routes):
                slot.put(frames)

    def reap(self, slot: ProcessSlot, options: int = 0) -> None:
        """If a process has ended, read its last messages and plan its successor."""
        end = slot.wait(options)
        if end is None:
            return
        assert slot.stream is not None
        while not slot.stream.ended and self.read(slot):
            pass
        slot.bury(end)
        if self._is_old(slot):
            return
        ending = self.ending or self.status is not None
        if slot is self.control and self.table.carried is not None:
            self.carried, self.table.carried = self.table.carried, None
        if slot is not self.control:
            self.tell(WorkerExited(slot.name, "" if ending else str(end)))
        if ending or self.giving_up or (slot is self.control and self.leaving):
            return
        if self.arrival is not None:
            self.arrival.died(slot.name, str(end))
            slot.restart_later()
        elif slot is self.control and not self.table.number:
            if end.status < 0:  # else it has said itself what stopped it
                log.error("control %s before there was anything to answer", end)
            self.status = end.status if end.status > 0 else 1
        else:
            slot.restart_later()

    def go_on(self) -> None:
        """Start control again after all, where no other program took over."""
        self.leaving = self.giving_up = False
        if self.arrival is not None:
            self.arrival.going_back = True  # there is nowhere else to go
        self.control.due = 0.0

    def unsent(self) -> int:
        """Return the bytes that workers have not taken yet."""
        return sum(slot.stream.backlog for slot in self.workers if slot.stream is not None)

    def given(self) -> tuple[OldWorker, ...]:
        """Return what another supervisor needs to adopt the workers."""
        return tuple(one for slot in self.all if slot is not self.control and (one := slot.given()))

    def kill(self) -> None:
        """Kill all, and wait for their ends."""
        for slot in self.all:
            slot.signal(signal.SIGKILL)
            self.reap(slot)

    # --- in the new process -----------------------------------------------------------------------------

    def _child(self, slot: ProcessSlot, link: socket.socket) -> int:
        """Run control or a worker in the new process; return its exit status."""
        self._leave(slot)
        if slot is self.control:
            gc.enable()
            return self._plan.control(self._context(link))
        plan = self._plan
        return work_as(slot.name, link, self._resources, self.table, plan.tcp, self._pid)

    def _context(self, link: socket.socket) -> ControlContext:
        sockets, arrival = self._resources.sockets, self.arrival
        handover = None if arrival is None or self.table.number else arrival.handover
        return ControlContext(
            link,
            sockets.http,
            sockets.listen,
            tuple(one.name for one in self.workers),
            self.number,
            "" if self.control.last is None else str(self.control.last),
            self._resources.routes.places,
            self.carried,
            upgraded_from="" if handover is None or handover.going_back else handover.writer.version,
            went_back="" if handover is None else handover.going_back,
        )

    def _leave(self, slot: ProcessSlot) -> None:
        """Close what belongs to others: a stream ends for its reader only when nobody has its other end."""
        self._on_fork()
        if self.arrival is not None:
            self.arrival.leave()
        for other in self.all:
            if other.stream is not None:
                other.stream.close()
        keep_own(slot.name, self._resources)
