"""The supervisor: opens the sockets, then turns a loop in which control and the workers live.

It is the main process and stays small: no asyncio, no threads. In an upgrade another program goes on in its
place, see `upgrade` and `arrival`.
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
from geodns.serve.frames import UpgradeEnded
from geodns.serve.handover import Handover
from geodns.serve.plan import ServePlan
from geodns.serve.process import SIGNALS, ProcessSlot
from geodns.serve.processes import WORKER_BACKOFF, ServerProcesses
from geodns.serve.resources import ServerResources, resources_of
from geodns.serve.takeover import go_back, reason_of
from geodns.serve.upgrade import Departure, Upgrades
from geodns.serve.upgrade_desk import UpgradeDesk
from geodns.serve.upgrade_socket import UpgradeClient, UpgradeRequest, UpgradeSocket

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL at the end."""


def run(plan: ServePlan) -> int:
    """Serve until SIGTERM or SIGINT; to be called in the main thread of a process without other threads.

    Returns:
        The exit status: 0 after a signal; control's own when it ends before its first Table.

    Raises:
        StartError: a socket cannot be opened, or the user cannot be had.

    """
    with resources_of(plan) as resources:
        return _begun(plan, resources).run()


def _begun(plan: ServePlan, resources: ServerResources) -> "_Supervisor":
    """Return the supervisor of these resources, or let the program before go on with them."""
    try:
        return _Supervisor(plan, resources)
    except Exception as error:
        # What it has taken over so far is still open: the error keeps it.
        if plan.handover is not None and not plan.handover.going_back:
            go_back(plan.handover, plan.program, reason_of(error), plan.notifier.environ)
        raise


class _Supervisor:
    def __init__(self, plan: ServePlan, resources: ServerResources) -> None:
        self._plan = plan
        self._resources = resources
        self._selector = selectors.DefaultSelector()
        self._wake, self._wakeup = socket.socketpair()
        self._processes = ServerProcesses(plan, resources, self._selector, self._leave)
        self._stop_by: float | None = None
        self._ready = False
        self._alive_due = 0.0
        if plan.handover is None:
            listening, earlier = UpgradeSocket.open(plan.state), None
        else:
            listening = UpgradeSocket.adopt(plan.handover.upgrade_socket, plan.state)
            earlier = plan.handover.earlier if plan.handover.going_back else plan.handover.writer
            self._take_over(plan.handover)
        self._desk = UpgradeDesk(listening, self._selector, self._asked)
        self._upgrades = Upgrades(
            plan,
            earlier,
            self._selector,
            self._processes,
            self._refusal,
            self._handover,
            self._noticed,
        )

    def _take_over(self, handover: Handover) -> None:
        """Go on where another program has handed over."""
        client = None
        if handover.client is not None:
            client = UpgradeClient(socket.socket(fileno=handover.client))
        old = adopt_workers(handover, lambda name: ProcessSlot(name, WORKER_BACKOFF, self._selector))
        restarts = {slot.name: slot.restarts for slot in old}
        for slot in self._processes.workers:  # an upgrade counts as no restart
            slot.restarts = restarts.get(slot.name, 0) - 1
        self._processes.carried = handover.counters
        self._processes.arrival = Arrival(handover, old, client, self._plan.program.version)
        self._ready = True

    # --- the loop ---------------------------------------------------------------------------------------

    def run(self) -> int:
        processes = self._processes
        # Collecting would touch, and so copy, the pages that the workers share.
        gc.disable()
        try:
            with self._signals():
                try:
                    self._signalled({signal.SIGCHLD})  # whoever ended before anybody listened
                    while processes.status is None:
                        processes.start_due()
                        self._turn()
                finally:
                    self._upgrades.stop()
        finally:
            processes.kill()
            self._desk.close()
            gc.enable()
        return processes.status

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
        processes = self._processes
        now = time.monotonic()
        arrives = None if processes.arrival is None or processes.giving_up else processes.arrival.due
        waiting = (one for one in (self._stop_by, self._upgrades.due, arrives) if one is not None)
        dues = [*processes.dues(), *waiting, *self._alive(now)]
        timeout = max(0.0, min(dues) - now) if dues else None
        for key, events in self._selector.select(timeout):
            if key.fileobj is self._wake:
                self._signalled(set(self._noticed()))
                continue
            if not isinstance(key.data, ProcessSlot):
                key.data()
                continue
            slot = key.data
            if slot.stream is None:  # gone in this very turn
                continue
            if events & selectors.EVENT_READ:
                processes.read(slot)
            if events & selectors.EVENT_WRITE:
                processes.flush(slot)
        if self._stop_by is not None:
            self._end_by(self._stop_by)
            return
        self._say_ready()
        if processes.arrival is not None and not processes.giving_up:
            self._arrive(processes.arrival)
        self._upgrades.turn()

    def _arrive(self, arrival: Arrival) -> None:
        """Go on with an upgrade that brought this program here."""
        processes, handover = self._processes, arrival.handover
        trouble = arrival.turn(processes.table.number, processes.workers)
        if trouble and arrival.step is not None:
            self._upgrades.turn_back(handover, arrival.client, trouble, arrival.step)
        elif arrival.over:
            arrival.tell_end()
            processes.arrival = None
            before = self._plan.program.version if handover.going_back else handover.writer.version
            processes.tell_end(UpgradeEnded(before, handover.going_back, handover.failed_step, replaced=True))

    def _say_ready(self) -> None:
        """Tell systemd that every worker answers, once."""
        if self._ready or not self._processes.answering:
            return
        self._ready = True
        self._plan.notifier.ready()
        if os.geteuid() == 0:
            log.warning("running as root: `user: geodns` in the settings, or --user, gives that up")

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
        running = [slot.name for slot in self._processes.all if slot.pid is not None]
        if not running:
            self._processes.status = 0
        elif time.monotonic() >= end:
            log.error("killed at the end: %s", ", ".join(running))
            self._processes.kill()

    def _noticed(self) -> bytes:
        """Take the numbers of the signals that came since."""
        try:
            return self._wake.recv(4096)
        except BlockingIOError:
            return b""

    def _signalled(self, numbers: set[int]) -> None:
        if signal.SIGCHLD in numbers:
            for slot in self._processes.all:
                self._processes.reap(slot, os.WNOHANG)
        if signal.SIGHUP in numbers:
            self._reload()
        if signal.SIGUSR2 in numbers and self._stop_by is None:
            self._upgrades.ask(UpgradeRequest(), None)
        if {signal.SIGTERM, signal.SIGINT} & numbers and self._stop_by is None:
            self._stop_by = time.monotonic() + GRACE
            self._processes.ending = True
            self._plan.notifier.stopping()
            self._upgrades.stop()
            for one in self._resources.sockets.tcp:  # as the worker does: nobody connects to what is ending
                one.close()
            self._resources.routes.close()
            for slot in self._processes.all:
                slot.signal(signal.SIGTERM)

    def _reload(self) -> None:
        """Have control read the zones again; answers go on, so to systemd this is done at once."""
        if self._ready:
            self._plan.notifier.reloading()
        self._processes.control.signal(signal.SIGHUP)
        if self._ready:
            self._plan.notifier.ready()

    # --- upgrades ---------------------------------------------------------------------------------------

    def _asked(self, request: UpgradeRequest, client: UpgradeClient) -> None:
        if self._stop_by is None:
            self._upgrades.ask(request, client)
        else:
            client.say(failed="the server ends")
            client.close()

    def _refusal(self) -> str:
        """Return why no upgrade can begin now; empty: it can."""
        if self._processes.arrival is not None:
            return "another upgrade is under way"
        return "" if self._ready else "the server does not answer yet"

    def _handover(self, departure: Departure) -> Handover:
        """Return all that the next program gets."""
        plan, processes, before = self._plan, self._processes, self._plan.handover
        memory, sockets = self._resources.memory, self._resources.sockets
        listening, client = self._desk.listening.socket, departure.client
        word, cells = memory.descriptors
        earlier, counters = self._upgrades.earlier, processes.carried
        if departure.going_back and before is not None:
            earlier, counters = before.earlier, counters or before.counters
        return Handover(
            writer=plan.program,
            asked=self._resources.asked,
            listen=sockets.listen,
            udp=tuple(tuple(one.fileno() for one in worker) for worker in sockets.udp),
            tcp=tuple(one.fileno() for one in sockets.tcp),
            http=sockets.http.fileno(),
            routes=self._resources.routes.given(),
            locks=plan.locks,
            word=word,
            cells=cells,
            cells_secret=memory.cells.secret,
            upgrade_socket=None if listening is None else listening.fileno(),
            client=None if client is None else client.socket.fileno(),
            workers=processes.given(),
            number=processes.number,
            counters=counters,
            secrets={str(path): content for path, content in plan.secrets.items()},
            earlier=earlier,
            going_back=departure.going_back,
            failed_step=departure.failed_step,
            back=departure.back,
            begun=departure.begun,
        )

    def _leave(self) -> None:
        """Let go of what is the supervisor's, in a new process."""
        self._selector.close()
        self._wake.close()
        self._wakeup.close()
        self._desk.leave()
        self._upgrades.leave()
