"""The supervisor: starts control and the workers, passes changes on, restarts what dies.

It is the main process and stays small: no asyncio, no threads. It keeps the current Table, so that a worker
can be started with it at any moment, with or without a control process that lives. In an upgrade another
program goes on in its place, see `upgrade` and `arrival`.
"""

import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator

from geodns.serve.arrival import Arrival, adopt_workers
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
from geodns.serve.handover import Handover
from geodns.serve.plan import ControlContext, ServePlan
from geodns.serve.process import SIGNALS, ProcessSlot
from geodns.serve.resources import Resources, resources_of
from geodns.serve.table_relay import TableRelay
from geodns.serve.upgrade import Departure, Upgrades
from geodns.serve.upgrade_desk import UpgradeDesk
from geodns.serve.upgrade_socket import UpgradeClient, UpgradeRequest, UpgradeSocket

log = logging.getLogger(__name__)

MAX_LOG_BACKLOG = 1 << 20
"""Bytes that may wait for control before the query log has to do without what comes now."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL at the end."""

CONTROL_BACKOFF = (0.2, 5.0)
"""Seconds before control is started again: at first, and at most after doubling."""

WORKER_BACKOFF = (0.05, 0.5)
"""The same for a worker; one that dies at once, again and again, must not eat the machine."""


def run(plan: ServePlan) -> int:
    """Serve until SIGTERM or SIGINT; to be called in the main thread of a process without other threads.

    Returns:
        The exit status: 0 after a signal; control's own when it ends before its first Table.

    Raises:
        StartError: a socket cannot be opened, or the user cannot be had.

    """
    with resources_of(plan) as resources:
        return _Supervisor(plan, resources).run()


class _Supervisor:
    def __init__(self, plan: ServePlan, resources: Resources) -> None:
        self._plan = plan
        self._resources = resources
        self._selector = selectors.DefaultSelector()
        self._control = ProcessSlot(CONTROL, CONTROL_BACKOFF, self._selector)
        self._udp = tuple(
            ProcessSlot(udp_name(number), WORKER_BACKOFF, self._selector)
            for number in range(len(resources.sockets.udp))
        )
        self._tcp = ProcessSlot(TCP, WORKER_BACKOFF, self._selector)
        self._dns = (*self._udp, self._tcp)
        self._routes = ProcessSlot(ROUTES, WORKER_BACKOFF, self._selector)
        self._workers = (*self._dns, *((self._routes,) if resources.routes_plan.listeners else ()))
        self._slots = (self._control, *self._workers)
        self._table = TableRelay()
        self._word = resources.memory.word
        self._carried = b""
        """Counters of a control that left for an upgrade, for the next one."""
        self._wake, self._wakeup = socket.socketpair()
        self._pid = os.getpid()
        self._stop_by: float | None = None
        self._status: int | None = None
        self._ready = False
        self._alive_due = 0.0
        self._arrival: Arrival | None = None
        self._ended: UpgradeEnded | None = None
        self._take_over(plan.handover)

    def _take_over(self, handover: Handover | None) -> None:
        """Go on where another program has handed over, if one has."""
        opened = UpgradeSocket.open(self._plan.state) if handover is None else None
        earlier = None
        if handover is not None:
            opened = UpgradeSocket.adopt(handover.upgrade_socket, self._plan.state)
            earlier = handover.earlier if handover.going_back else handover.writer
            client = None
            if handover.client is not None:
                client = UpgradeClient(socket.socket(fileno=handover.client))
            old = adopt_workers(handover, lambda name: ProcessSlot(name, WORKER_BACKOFF, self._selector))
            for slot, before in ((one, other) for one in self._workers for other in old):
                if slot.name == before.name:
                    slot.restarts = before.restarts - 1
            self._ready = True
            self._carried = handover.counters
            self._arrival = Arrival(handover, old, client, self._plan.program.version)
        assert opened is not None
        self._desk = UpgradeDesk(opened, self._selector, self._asked)
        self._upgrades = Upgrades(self._plan, earlier, self._selector, self)

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self) -> int:
        # Collecting would touch, and so copy, the pages that the workers share.
        gc.disable()
        try:
            with self._signals():
                while self._status is None:
                    self._start_due()
                    self._turn()
        finally:
            self._upgrades.stop()
            self._kill()
            self._desk.close()
            gc.enable()
        return self._status

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Receive signals as bytes on a socket, and restore their handlers in the end."""
        self._wake.setblocking(False)
        self._wakeup.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        wakeup = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked by the program that handed over
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            self._wake.close()
            self._wakeup.close()

    def _turn(self) -> None:
        now = time.monotonic()
        dues = [slot.due for slot in self._slots if slot.pid is None and self._wanted(slot)]
        dues += [] if self._stop_by is None else [self._stop_by]
        dues += [
            one.due for one in (self._upgrades, self._arrival) if one is not None and one.due is not None
        ]
        dues += self._alive(now)
        timeout = max(0.0, min(dues) - now) if dues else None
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._wake:
                with contextlib.suppress(BlockingIOError):
                    self._signalled(set(self._wake.recv(4096)))
                continue
            if not isinstance(key.data, ProcessSlot):
                key.data()
                continue
            slot = key.data
            if slot.stream is None:  # gone in this very turn
                continue
            if events & selectors.EVENT_READ:
                self._read(slot)
            if events & selectors.EVENT_WRITE:
                slot.flush()
                if slot is not self._control:
                    self._word[0] += 1
        if self._stop_by is not None:
            self._end_by(self._stop_by)
            return
        self._upgrades.turn()
        if self._arrival is not None and not self._upgrades.giving_up:
            self._arrive(self._arrival)

    def _arrive(self, arrival: Arrival) -> None:
        trouble = arrival.turn(self._table.number, self._workers)
        if trouble and arrival.step is not None:
            self._upgrades.turn_back(arrival.handover, arrival.client, trouble, arrival.step)
        elif arrival.over:
            arrival.tell_end()
            self._arrival = None
            came = arrival.handover
            before = self._plan.program.version if came.going_back else came.writer.version
            self._ended = UpgradeEnded(before, came.going_back, came.failed_step, replaced=True)
            self._tell_ended()

    def _alive(self, now: float) -> tuple[float, ...]:
        """Tell systemd's watchdog, where there is one, that the loop turns; return when to do so next."""
        every = self._plan.notifier.every
        if every is None or not self._ready:  # systemd watches from READY on; before, it fills its queue
            return ()
        if now >= self._alive_due:
            self._alive_due = now + every
            self._plan.notifier.alive()
        return (self._alive_due,)

    def _end_by(self, end: float) -> None:
        """Note that everything has ended, or kill what has not in time."""
        running = [slot.name for slot in self._all if slot.pid is not None]
        if not running:
            self._status = 0
        elif time.monotonic() >= end:
            log.error("killed at the end: %s", ", ".join(running))
            self._kill()

    def _signalled(self, numbers: set[int]) -> None:
        if signal.SIGCHLD in numbers:
            for slot in self._all:
                self._reap(slot, os.WNOHANG)
        if signal.SIGHUP in numbers:
            self._control.signal(signal.SIGHUP)
        if signal.SIGUSR2 in numbers and self._stop_by is None:
            self._upgrades.ask(UpgradeRequest(), None)
        if {signal.SIGTERM, signal.SIGINT} & numbers and self._stop_by is None:
            self._stop_by = time.monotonic() + GRACE
            self._plan.notifier.stopping()
            self._upgrades.stop()
            for (
                one
            ) in self._resources.sockets.tcp:  # the worker closes them too: nobody connects to what is ending
                one.close()
            self._resources.routes.close()
            for slot in self._all:
                slot.signal(signal.SIGTERM)

    @property
    def _all(self) -> tuple[ProcessSlot, ...]:
        return self._slots if self._arrival is None else (*self._slots, *self._arrival.old)

    def _is_old(self, slot: ProcessSlot) -> bool:
        return self._arrival is not None and slot in self._arrival.old

    # --- what the processes say -------------------------------------------------------------------------

    def _read(self, slot: ProcessSlot) -> bool:
        """Read once from a process, and pass on what it says; say whether it said anything."""
        assert slot.stream is not None
        came = slot.fill()
        if slot is self._control:
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
                self._say_ready()
            elif self._upgrades.leaving:
                slot.held += framed(payload)
                continue
            if isinstance(message, QueryLogBatch) and self._is_control_busy():
                self._tell(message._replace(noted=(), dropped=message.dropped + len(message.noted)))
            else:
                self._control.put(framed(payload))
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
        if self._upgrades.leaving:
            slot.held += framed(payload)
        else:
            self._tell(message)

    def _is_control_busy(self) -> bool:
        stream = self._control.stream
        return stream is not None and stream.backlog > MAX_LOG_BACKLOG

    def _say_ready(self) -> None:
        """Tell systemd that every worker answers, once."""
        if self._ready or not all(slot.acked for slot in self._workers):
            return
        self._ready = True
        self._plan.notifier.ready()
        if os.geteuid() == 0:
            log.warning("running as root: `user: geodns` in the settings, or --user, gives that up")

    def _relay(self, stream: Stream) -> None:
        """Take control's changes, and pass them on as they are to the workers that need them."""
        dns, routes = bytearray(), bytearray()
        while (payload := stream.take()) is not None:
            for_dns, for_routes = self._table.take(payload)
            dns += for_dns
            routes += for_routes
        for slots, frames in ((self._dns, bytes(dns)), ((self._routes,), bytes(routes))):
            for slot in slots if frames else ():
                slot.put(frames)
        if dns or routes:
            self._word[0] += 1

    def _tell(self, message: Message | UpgradeBegins | UpgradeEnded) -> None:
        self._control.put(pack_message(message))

    # --- starts and ends --------------------------------------------------------------------------------

    def _wanted(self, slot: ProcessSlot) -> bool:
        """Say whether something shall run there: workers from the first whole Table on."""
        if self._stop_by is not None or self._upgrades.giving_up:
            return False
        if slot is self._control:
            return not self._upgrades.leaving
        return self._table.number > 0

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid is None and slot.due <= now and self._wanted(slot):
                self._start(slot)

    def _start(self, slot: ProcessSlot) -> None:
        if not slot.start(lambda link: self._child(slot, link)):
            return
        if slot is self._control:
            self._tell_ended()
            for one in self._workers:
                if one.pid is not None:
                    self._tell(WorkerStarted(one.name, one.pid, one.restarts))
                    self._tell(TableApplied(one.name, one.acked))
                    self._control.put(bytes(one.held))
                    one.held.clear()
        else:
            assert slot.pid is not None
            self._tell(WorkerStarted(slot.name, slot.pid, slot.restarts))
            if frames := self._table.since(routes=slot is self._routes):
                slot.put(frames)

    def _reap(self, slot: ProcessSlot, options: int = 0) -> None:
        """If a process has ended, read its last messages and plan its successor."""
        end = slot.wait(options)
        if end is None:
            return
        assert slot.stream is not None
        while not slot.stream.ended and self._read(slot):
            pass
        slot.bury(end)
        if self._is_old(slot):
            return
        ending = self._stop_by is not None or self._status is not None
        if slot is self._control and self._table.carried is not None:
            self._carried, self._table.carried = self._table.carried, None
        if slot is not self._control:
            self._tell(WorkerExited(slot.name, "" if ending else str(end)))
        if ending or self._upgrades.giving_up or (slot is self._control and self._upgrades.leaving):
            return
        if self._arrival is not None:
            self._arrival.died(slot.name, str(end))
            slot.restart_later()
        elif slot is self._control and not self._table.number:
            if end.status < 0:  # else it has said itself what stopped it
                log.error("control %s before there was anything to answer", end)
            self._status = end.status if end.status > 0 else 1
        else:
            slot.restart_later()

    def _kill(self) -> None:
        for slot in self._all:
            slot.signal(signal.SIGKILL)
            self._reap(slot)

    # --- in the new process -----------------------------------------------------------------------------

    def _child(self, slot: ProcessSlot, link: socket.socket) -> int:
        """Run control or a worker in the new process; return its exit status."""
        self._leave(slot)
        if slot is self._control:
            gc.enable()
            return self._plan.control(self._context(link))
        plan = self._plan
        return work_as(slot.name, link, self._resources, self._table, plan.tcp, self._pid)

    def _context(self, link: socket.socket) -> ControlContext:
        sockets, arrival = self._resources.sockets, self._arrival
        handover = None if arrival is None or self._table.number else arrival.handover
        return ControlContext(
            link,
            sockets.http,
            sockets.listen,
            tuple(one.name for one in self._workers),
            self._number,
            "" if self._control.last is None else str(self._control.last),
            self._resources.routes.places,
            self._carried,
            self._plan.secrets,
            upgraded_from="" if handover is None or handover.going_back else handover.writer.version,
            went_back="" if handover is None else handover.going_back,
        )

    def _leave(self, slot: ProcessSlot) -> None:
        """Close what belongs to others: a stream ends for its reader only when nobody has its other end."""
        self._selector.close()
        self._wake.close()
        self._wakeup.close()
        self._desk.leave()
        self._upgrades.leave()
        if self._arrival is not None:
            self._arrival.leave()
        for other in self._all:
            if other.stream is not None:
                other.stream.close()
        keep_own(slot.name, self._resources)

    # --- upgrades ---------------------------------------------------------------------------------------

    @property
    def _number(self) -> int:
        """Number of the last Table that workers got, from whichever program."""
        if self._table.number or self._plan.handover is None:
            return self._table.number
        return self._plan.handover.number

    def _asked(self, request: UpgradeRequest, client: UpgradeClient) -> None:
        if self._stop_by is None:
            self._upgrades.ask(request, client)
        else:
            client.say(failed="the server ends")
            client.close()

    def refusal(self) -> str:
        """See `Departing`; so are the others below."""
        if self._arrival is not None:
            return "another upgrade is under way"
        return "" if self._table.number else "the server does not answer yet"

    def handover(self, departure: Departure) -> Handover:
        plan, memory, sockets = self._plan, self._resources.memory, self._resources.sockets
        listening = self._desk.listening.socket
        return Handover(
            plan.program,
            self._resources.asked,
            sockets.listen,
            tuple(tuple(one.fileno() for one in worker) for worker in sockets.udp),
            tuple(one.fileno() for one in sockets.tcp),
            sockets.http.fileno(),
            self._resources.routes.given(),
            plan.locks,
            *memory.descriptors,
            memory.cells.secret,
            None if listening is None else listening.fileno(),
            None if departure.client is None else departure.client.socket.fileno(),
            tuple(worker for slot in self._all if slot is not self._control and (worker := slot.given())),
            self._number,
            self._carried,
            {str(path): content for path, content in plan.secrets.items()},
            self._upgrades.earlier
            if not departure.going_back or plan.handover is None
            else plan.handover.earlier,
            departure.going_back,
            departure.failed_step,
            departure.back,
            departure.begun,
        )

    def ask_control_to_leave(self) -> None:
        if self._control.pid is not None:
            self._tell(UpgradeBegins())

    def kill_control(self) -> None:
        self._control.signal(signal.SIGKILL)

    def control_lives(self) -> bool:
        return self._control.pid is not None

    def end_workers(self, number: signal.Signals) -> None:
        for slot in self._workers:
            slot.signal(number)

    def workers_live(self) -> bool:
        return any(slot.pid is not None for slot in self._workers)

    def unsent(self) -> int:
        return sum(slot.stream.backlog for slot in self._workers if slot.stream is not None)

    def tell_end(self, why: str, step: str) -> None:
        self._ended = UpgradeEnded(self._plan.program.version, why, step)
        self._tell_ended()

    def _tell_ended(self) -> None:
        """Tell control how the last upgrade ended, as soon as there is one that answers."""
        if self._ended is not None and self._control.pid is not None and not self._upgrades.leaving:
            self._tell(self._ended)
            self._ended = None

    def go_on(self) -> None:
        if self._arrival is not None:
            self._arrival.going_back = True  # there is nowhere else to go
        self._control.due = 0.0
