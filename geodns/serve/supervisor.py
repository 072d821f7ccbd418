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
from collections.abc import Iterable, Iterator

from geodns.responder.rate_limit import Cells
from geodns.responder.table_changes import TableReplica, unpack
from geodns.serve import udp, worker
from geodns.serve.frames import (
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
from geodns.serve.process import SIGNALS, ProcessSlot, fork
from geodns.serve.sockets import Sockets, sockets_of

log = logging.getLogger(__name__)

CONTROL = "control"
TCP = "tcp"

MAX_BACKLOG = 256 << 20
"""Bytes that may wait for a process that reads nothing, before it is taken for dead and replaced."""

MAX_LOG_BACKLOG = 1 << 20
"""Bytes that may wait for control before the query log has to do without what comes now."""

STALLED = 5.0
"""Seconds without reading before that: a large change may well wait for a worker that is busy answering."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL at the end."""

CONTROL_BACKOFF = (0.2, 5.0)
"""Seconds before control is started again: at first, and at most after doubling."""

WORKER_BACKOFF = (0.05, 0.5)
"""The same for a worker; one that dies at once, again and again, must not eat the machine."""

FORK_AGAIN = 0.5
"""Seconds before the next try where the machine has no room for another process."""

STEADY = 10.0
"""Seconds of life after which a death is not blamed on the start."""


def run(plan: ServePlan) -> int:
    """Serve until SIGTERM or SIGINT; to be called in the main thread of a process without other threads.

    Returns:
        The exit status: 0 after a signal; control's own when it ends before its first Table.

    Raises:
        StartError: a socket cannot be opened, or the user cannot be had.

    """
    sockets = sockets_of(plan.given, plan.listen, plan.http, plan.workers)
    if plan.identity is not None:
        drop(plan.identity)  # whoever is started from here on is that user too
    return _Supervisor(plan, sockets).run()


class _Supervisor:
    def __init__(self, plan: ServePlan, sockets: Sockets) -> None:
        self._plan = plan
        self._sockets = sockets
        self._control = ProcessSlot(CONTROL, CONTROL_BACKOFF)
        self._udp = tuple(ProcessSlot(f"udp{number}", WORKER_BACKOFF) for number in range(plan.workers))
        self._tcp = ProcessSlot(TCP, WORKER_BACKOFF)
        self._draft = TableReplica()
        self._way: list[bytes] = []
        """The frames since the last whole Table."""
        self._number = 0
        self._word = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        """Moves whenever something was written to workers; shared with them."""
        self._cells = Cells.shared()
        """In which the workers limit answers; shared with them too."""
        self._selector = selectors.DefaultSelector()
        self._wake, self._wakeup = socket.socketpair()
        self._pid = os.getpid()
        self._stop_by: float | None = None
        self._status: int | None = None
        self._ready = False
        self._alive_due = 0.0

    @property
    def _workers(self) -> tuple[ProcessSlot, ...]:
        return (*self._udp, self._tcp)

    @property
    def _places(self) -> tuple[ProcessSlot, ...]:
        return (self._control, *self._workers)

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run until everything has ended."""
        # Collecting would touch, and so copy, the pages that the workers share.
        gc.disable()
        try:
            with self._signals():
                while self._status is None:
                    self._start_due()
                    self._turn()
        finally:
            self._kill(place for place in self._places if place.pid is not None)
            self._sockets.close()
            gc.enable()
        return self._status

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Have signals as bytes on a socket; afterwards, as before."""
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
        """Wait for something, and see to it."""
        now = time.monotonic()
        dues = [place.due for place in self._places if place.pid is None and self._wanted(place)]
        dues += [] if self._stop_by is None else [self._stop_by]
        dues += self._alive(now)
        timeout = max(0.0, min(dues) - now) if dues else None
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._wake:
                with contextlib.suppress(BlockingIOError):
                    self._signalled(set(self._wake.recv(4096)))
                continue
            place: ProcessSlot = key.data
            if place.stream is None:  # gone in this very turn
                continue
            if events & selectors.EVENT_READ:
                self._read(place)
            if events & selectors.EVENT_WRITE and not place.stream.ended:
                self._flush(place)
        if self._stop_by is not None:
            self._end_by(self._stop_by)

    def _alive(self, now: float) -> tuple[float, ...]:
        """Tell systemd's watchdog, where there is one, that the loop turns; return when to do so next."""
        every = self._plan.notifier.every
        if every is None:
            return ()
        if now >= self._alive_due:
            self._alive_due = now + every
            self._plan.notifier.alive()
        return (self._alive_due,)

    def _end_by(self, end: float) -> None:
        """See whether everything has ended, and kill what has not in time."""
        running = [place for place in self._places if place.pid is not None]
        if not running:
            self._status = 0
        elif time.monotonic() >= end:
            log.error("killed at the end: %s", ", ".join(place.name for place in running))
            self._kill(running)

    def _signalled(self, numbers: set[int]) -> None:
        if signal.SIGCHLD in numbers:
            for place in self._places:
                if place.pid is not None:
                    self._reap(place, place.pid, os.WNOHANG)
        if signal.SIGHUP in numbers and self._control.pid is not None:
            os.kill(self._control.pid, signal.SIGHUP)
        if {signal.SIGTERM, signal.SIGINT} & numbers and self._stop_by is None:
            self._stop_by = time.monotonic() + GRACE
            self._plan.notifier.stopping()
            for one in self._sockets.tcp:  # the worker closes them too: nobody connects to what is ending
                one.close()
            for place in self._places:
                if place.pid is not None:
                    os.kill(place.pid, signal.SIGTERM)

    # --- streams ----------------------------------------------------------------------------------------

    def _read(self, place: ProcessSlot) -> bool:
        """Read once from a process, and pass on what it says; say whether it said anything."""
        assert place.stream is not None
        came = place.stream.fill()
        if place.stream.ended:
            # Its death is told by SIGCHLD; until then there is nothing to wait for here.
            self._selector.unregister(place.stream.socket)
        if place is self._control:
            self._relay(place.stream)
        else:
            while (payload := place.stream.take()) is not None:
                message = unpack_message(payload)
                if isinstance(message, TableApplied):
                    place.acked = message.number
                    self._say_ready()
                if isinstance(message, QueryLogBatch) and self._is_busy(self._control):
                    less = message._replace(noted=(), dropped=message.dropped + len(message.noted))
                    self._tell(less)
                    continue
                self._put(self._control, framed(payload))
        return came

    def _is_busy(self, place: ProcessSlot) -> bool:
        return place.stream is not None and place.stream.backlog > MAX_LOG_BACKLOG

    def _say_ready(self) -> None:
        """Tell systemd that every worker answers, once."""
        if self._ready or not all(place.acked for place in self._workers):
            return
        self._ready = True
        self._plan.notifier.ready()
        if os.geteuid() == 0:
            log.warning("running as root: `user: geodns` in the settings, or --user, gives that up")

    def _relay(self, stream: Stream) -> None:
        """Take control's changes, and pass them on to every worker as they are."""
        frames = bytearray()
        running = [place for place in self._workers if place.stream is not None]
        while (payload := stream.take()) is not None:
            change = unpack(payload)
            if change.restart:
                self._way.clear()
            frame = framed(payload)
            frames += frame
            self._way.append(frame)
            number = self._draft.take(change)
            if number is not None:
                self._way.clear()
                self._number = number
        if frames:
            shared = bytes(frames)
            for place in running:
                self._put(place, shared)
            self._word[0] += 1

    def _tell(self, message: Message) -> None:
        self._put(self._control, pack_message(message))

    def _put(self, place: ProcessSlot, frames: bytes) -> None:
        if place.stream is not None and not place.stream.ended and not place.doomed:
            place.stream.put(frames)
            self._watch(place)

    def _flush(self, place: ProcessSlot) -> None:
        assert place.stream is not None
        place.stream.flush()
        self._watch(place)
        if place is not self._control:
            self._word[0] += 1

    def _watch(self, place: ProcessSlot) -> None:
        """Wait for room where something is left to write; replace whoever never reads."""
        assert place.stream is not None
        stalled = place.stream.backlog > MAX_BACKLOG and time.monotonic() - place.stream.moved > STALLED
        if stalled and place.pid is not None and not place.doomed:
            place.doomed = True
            log.error("%s (pid %d) reads nothing any more: killed", place.name, place.pid)
            os.kill(place.pid, signal.SIGKILL)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if place.stream.backlog else 0)
        if self._selector.get_key(place.stream.socket).events != wanted:
            self._selector.modify(place.stream.socket, wanted, place)

    # --- births and deaths ------------------------------------------------------------------------------

    def _wanted(self, place: ProcessSlot) -> bool:
        """Say whether something shall run there: workers from the first whole Table on."""
        return self._stop_by is None and (place is self._control or self._number > 0)

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.pid is None and place.due <= now and self._wanted(place):
                self._start(place)

    def _start(self, place: ProcessSlot) -> None:
        try:
            pid, ours = self._born(place)
        except OSError as error:
            log.error("%s cannot be started: %s", place.name, error.strerror)  # noqa: TRY400 - tried again soon
            place.due = time.monotonic() + FORK_AGAIN
            return
        place.pid = pid
        place.born = time.monotonic()
        place.restarts += 1
        place.doomed = False
        place.stream = Stream(ours)
        self._selector.register(ours, selectors.EVENT_READ, place)
        if place is self._control:
            for one in self._workers:
                if one.pid is not None:
                    self._tell(WorkerStarted(one.name, one.pid, one.restarts))
                    self._tell(TableApplied(one.name, one.acked))
        else:
            place.acked = 0
            self._tell(WorkerStarted(place.name, pid, place.restarts))
            if self._way:
                self._put(place, b"".join(self._way))

    def _born(self, place: ProcessSlot) -> tuple[int, socket.socket]:
        """Fork; return the new process's pid, and this end of the stream to it."""
        ours, theirs = socket.socketpair()

        def live() -> int:
            ours.close()
            return self._child(place, theirs)

        try:
            return fork(place.name, live), ours
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    def _reap(self, place: ProcessSlot, pid: int, options: int) -> None:
        """Bury a process if it is dead: hear its last words, and plan its successor."""
        done, how = os.waitpid(pid, options)
        if not done:
            return
        status = os.waitstatus_to_exitcode(how)
        assert place.stream is not None
        while not place.stream.ended and self._read(place):
            pass
        if not place.stream.ended:
            self._selector.unregister(place.stream.socket)
        place.stream.close()
        place.stream = place.pid = None
        said = (
            f"ended with status {status}" if status >= 0 else f"was killed by {signal.Signals(-status).name}"
        )
        ending = self._stop_by is not None or self._status is not None
        if place is not self._control:
            self._tell(WorkerExited(place.name, "" if ending else f"(pid {pid}) {said}"))
        if ending:
            return
        place.how = f"(pid {pid}) {said}"
        if place is self._control and not self._number:
            if status < 0:  # else it has said itself what stopped it
                log.error("control (pid %d) %s before there was anything to answer", pid, said)
            self._status = status if status > 0 else 1
            return
        now = time.monotonic()
        if now - place.born >= STEADY:
            place.delay = place.backoff[0]
        told = {"worker": place.name, "pid": pid, "status": status}
        log.error("%s (pid %d) %s: started again in %.2g s", place.name, pid, said, place.delay, extra=told)
        place.due = now + place.delay
        place.delay = min(2 * place.delay, place.backoff[1])

    def _kill(self, places: Iterable[ProcessSlot]) -> None:
        for place in list(places):
            if place.pid is not None:
                os.kill(place.pid, signal.SIGKILL)
                self._reap(place, place.pid, 0)

    # --- in the new process -----------------------------------------------------------------------------

    def _child(self, place: ProcessSlot, link: socket.socket) -> int:
        """Be a process other than the supervisor, until its end; return its exit status."""
        self._leave(place)
        if place is self._control:
            gc.enable()
            names = tuple(one.name for one in self._workers)
            return self._plan.control(
                ControlContext(link, self._sockets.http, self._sockets.listen, names, self._number, place.how)
            )
        transport = "tcp" if place is self._tcp else "udp"
        follower = worker.TableFollower(
            place.name,
            transport,
            Stream(link),
            self._word,
            (self._draft.table, self._number),
            self._pid,
            self._cells,
        )
        if place is self._tcp:
            # Half of what a UDP worker weighs would be asyncio.
            from geodns.serve import tcp  # noqa: PLC0415 - asyncio: for it alone

            return worker.work(follower, lambda: tcp.serve(follower, self._sockets.tcp, self._plan.tcp))
        sockets = self._sockets.udp[self._udp.index(place)]
        return worker.work(follower, lambda: udp.serve(follower, sockets))

    def _leave(self, place: ProcessSlot) -> None:
        """Close what is others': a stream ends for its reader only when nobody has its other end."""
        self._selector.close()
        self._wake.close()
        self._wakeup.close()
        for other in self._places:
            if other.stream is not None:
                other.stream.close()
        for other, sockets in zip(self._udp, self._sockets.udp, strict=True):
            if other is not place:
                for one in sockets:
                    one.close()
        if place is not self._tcp:
            for one in self._sockets.tcp:
                one.close()
        if place is not self._control:
            self._sockets.http.close()
