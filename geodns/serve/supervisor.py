"""The supervisor: opens the sockets, starts control and the workers, passes changes on, restarts what dies.

It is the main process and stays small: no asyncio, no threads. It keeps the current Table, so that a worker
can be started with it at any moment, with or without a control process that lives.
"""

import contextlib
import gc
import logging
import mmap
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator

from geodns.responder.rate_limit import Cells
from geodns.serve import udp, worker
from geodns.serve.frames import (
    ROUTES,
    Message,
    QueryLogBatch,
    Stream,
    TableApplied,
    WorkerExited,
    WorkerStarted,
    framed,
    pack_message,
    unpack_message,
)
from geodns.serve.plan import ControlContext, ServePlan
from geodns.serve.privileges import drop
from geodns.serve.process import SIGNALS, ProcessSlot
from geodns.serve.routes_sockets import RoutesSockets, open_routes
from geodns.serve.sockets import Sockets, sockets_of
from geodns.serve.table_relay import TableRelay

log = logging.getLogger(__name__)

CONTROL = "control"
TCP = "tcp"

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
    sockets = sockets_of(plan.given, plan.listen, plan.http, plan.workers)
    with contextlib.closing(sockets), open_routes(plan.routes.listeners, plan.identity) as routes:
        if plan.identity is not None:
            drop(plan.identity)  # whoever is started from here on is that user too
        return _Supervisor(plan, sockets, routes).run()


class _Supervisor:
    def __init__(self, plan: ServePlan, sockets: Sockets, routes: RoutesSockets) -> None:
        self._plan = plan
        self._sockets = sockets
        self._routes_sockets = routes
        self._selector = selectors.DefaultSelector()
        self._control = ProcessSlot(CONTROL, CONTROL_BACKOFF, self._selector)
        self._udp = tuple(
            ProcessSlot(f"udp{number}", WORKER_BACKOFF, self._selector) for number in range(plan.workers)
        )
        self._tcp = ProcessSlot(TCP, WORKER_BACKOFF, self._selector)
        self._dns = (*self._udp, self._tcp)
        self._routes = ProcessSlot(ROUTES, WORKER_BACKOFF, self._selector)
        self._workers = (*self._dns, *((self._routes,) if plan.routes.listeners else ()))
        self._slots = (self._control, *self._workers)
        self._table = TableRelay()
        self._word = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        """Moves whenever something was written to workers; shared with them."""
        self._cells = Cells.shared()
        """In which the workers limit answers; shared with them too."""
        self._wake, self._wakeup = socket.socketpair()
        self._pid = os.getpid()
        self._stop_by: float | None = None
        self._status: int | None = None
        self._ready = False
        self._alive_due = 0.0

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
            self._kill()
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
        dues += self._alive(now)
        timeout = max(0.0, min(dues) - now) if dues else None
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._wake:
                with contextlib.suppress(BlockingIOError):
                    self._signalled(set(self._wake.recv(4096)))
                continue
            slot: ProcessSlot = key.data
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
        running = [slot.name for slot in self._slots if slot.pid is not None]
        if not running:
            self._status = 0
        elif time.monotonic() >= end:
            log.error("killed at the end: %s", ", ".join(running))
            self._kill()

    def _signalled(self, numbers: set[int]) -> None:
        if signal.SIGCHLD in numbers:
            for slot in self._slots:
                self._reap(slot, os.WNOHANG)
        if signal.SIGHUP in numbers:
            self._reload()
        if {signal.SIGTERM, signal.SIGINT} & numbers and self._stop_by is None:
            self._stop_by = time.monotonic() + GRACE
            self._plan.notifier.stopping()
            for one in self._sockets.tcp:  # the worker closes them too: nobody connects to what is ending
                one.close()
            self._routes_sockets.close()
            for slot in self._slots:
                slot.signal(signal.SIGTERM)

    def _reload(self) -> None:
        """Have control read the zones again; answers go on, so to systemd this is done at once."""
        if self._ready:
            self._plan.notifier.reloading()
        self._control.signal(signal.SIGHUP)
        if self._ready:
            self._plan.notifier.ready()

    # --- what the processes say -------------------------------------------------------------------------

    def _read(self, slot: ProcessSlot) -> bool:
        """Read once from a process, and pass on what it says; say whether it said anything."""
        assert slot.stream is not None
        came = slot.fill()
        if slot is self._control:
            self._relay(slot.stream)
            return came
        while (payload := slot.stream.take()) is not None:
            message = unpack_message(payload)
            if isinstance(message, TableApplied):
                slot.acked = message.number
                self._say_ready()
            if isinstance(message, QueryLogBatch) and self._is_control_busy():
                self._tell(message._replace(noted=(), dropped=message.dropped + len(message.noted)))
            else:
                self._control.put(framed(payload))
        return came

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

    def _tell(self, message: Message) -> None:
        self._control.put(pack_message(message))

    # --- starts and ends --------------------------------------------------------------------------------

    def _wanted(self, slot: ProcessSlot) -> bool:
        """Say whether something shall run there: workers from the first whole Table on."""
        return self._stop_by is None and (slot is self._control or self._table.number > 0)

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.pid is None and slot.due <= now and self._wanted(slot):
                self._start(slot)

    def _start(self, slot: ProcessSlot) -> None:
        if not slot.start(lambda link: self._child(slot, link)):
            return
        if slot is self._control:
            for one in self._workers:
                if one.pid is not None:
                    self._tell(WorkerStarted(one.name, one.pid, one.restarts))
                    self._tell(TableApplied(one.name, one.acked))
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
        ending = self._stop_by is not None or self._status is not None
        if slot is not self._control:
            self._tell(WorkerExited(slot.name, "" if ending else str(end)))
        if ending:
            return
        if slot is self._control and not self._table.number:
            if end.status < 0:  # else it has said itself what stopped it
                log.error("control %s before there was anything to answer", end)
            self._status = end.status if end.status > 0 else 1
        else:
            slot.restart_later()

    def _kill(self) -> None:
        for slot in self._slots:
            slot.signal(signal.SIGKILL)
            self._reap(slot)

    # --- in the new process -----------------------------------------------------------------------------

    def _child(self, slot: ProcessSlot, link: socket.socket) -> int:
        """Run control or a worker in the new process; return its exit status."""
        self._leave(slot)
        if slot is self._control:
            gc.enable()
            names = tuple(one.name for one in self._workers)
            before = "" if slot.last is None else str(slot.last)
            return self._plan.control(
                ControlContext(
                    link,
                    self._sockets.http,
                    self._sockets.listen,
                    names,
                    self._table.number,
                    before,
                    self._routes_sockets.places,
                )
            )
        follower = worker.TableFollower(
            slot.name,
            "udp" if slot in self._udp else slot.name,
            Stream(link),
            self._word,
            (self._table.table(routes=slot is self._routes), self._table.number),
            self._pid,
            self._cells,
        )
        if slot is self._tcp:
            # Half of what a UDP worker weighs would be asyncio.
            from geodns.serve import tcp  # noqa: PLC0415 - asyncio: for it alone

            return worker.work(follower, lambda: tcp.serve(follower, self._sockets.tcp, self._plan.tcp))
        if slot is self._routes:
            from geodns.serve import routes  # noqa: PLC0415 - asyncio and HTTP: for it alone

            return worker.work(
                follower,
                lambda: routes.serve(
                    follower, self._routes_sockets.listening, self._plan.routes, self._table.providers
                ),
            )
        sockets = self._sockets.udp[self._udp.index(slot)]
        return worker.work(follower, lambda: udp.serve(follower, sockets))

    def _leave(self, slot: ProcessSlot) -> None:
        """Close what belongs to others: a stream ends for its reader only when nobody has its other end."""
        self._selector.close()
        self._wake.close()
        self._wakeup.close()
        for other in self._slots:
            if other.stream is not None:
                other.stream.close()
        for other, sockets in zip(self._udp, self._sockets.udp, strict=True):
            if other is not slot:
                for one in sockets:
                    one.close()
        if slot is not self._tcp:
            for one in self._sockets.tcp:
                one.close()
        if slot is not self._control:
            self._sockets.http.close()
        if slot is not self._routes:
            self._routes_sockets.close()
