"""One child of the supervisor: forked, spoken to over a stream, replaced when it hangs or ends."""

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, NoReturn

from setproctitle import setproctitle

from geodns import logs
from geodns.serve.frames import Stream
from geodns.serve.handover import OldWorker

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
"""Signals that the supervisor handles, and its children do not inherit."""

MAX_BACKLOG = 256 << 20
"""Bytes that may wait for a process that reads nothing, before it is taken for dead and replaced."""

STALLED = 5.0
"""Seconds without reading before that: a large change may well wait for a worker that is busy answering."""

FORK_AGAIN = 0.5
"""Seconds before the next try where the machine has no room for another process."""

STEADY = 10.0
"""Seconds of life after which a death is not blamed on the start."""


class Exit(NamedTuple):
    """The end of a process; `status` is negative where a signal killed it. Its text continues a sentence."""

    pid: int
    status: int

    def __str__(self) -> str:
        if self.status >= 0:
            return f"(pid {self.pid}) ended with status {self.status}"
        return f"(pid {self.pid}) was killed by {signal.Signals(-self.status).name}"


class ProcessSlot:
    """A place for a process, and when the next one is due there.

    Attributes:
        pid: None while nothing runs.
        due: when to start the next one, by `time.monotonic`.
        restarts: processes before this one.
        acked: number of the newest Table that a worker said it answers from.
        last: the end of the process before this one.
        held: frames from it that control has still to get.

    """

    def __init__(self, name: str, backoff: tuple[float, float], selector: selectors.BaseSelector) -> None:
        """Prepare a slot that is due at once.

        Args:
            name: of the process.
            backoff: seconds before a restart: at first, and at most after doubling.
            selector: of the supervisor's loop; it gets the slot with what happens on the stream.

        """
        self.name = name
        self.pid: int | None = None
        self.stream: Stream | None = None
        self.due = 0.0
        self.restarts = -1
        self.acked = 0
        self.last: Exit | None = None
        self.held = bytearray()
        self._selector = selector
        self._backoff = backoff
        self._delay = backoff[0]
        self._started = 0.0
        self._doomed = False
        """Killed, not dead yet."""

    def start(self, live: Callable[[socket.socket], int]) -> bool:
        """Fork a process that runs `live` with its end of a new stream; False: no room, `due` is later."""
        try:
            self.pid, ours = self._fork(live)
        except OSError as error:
            log.error("%s cannot be started: %s", self.name, error.strerror)  # noqa: TRY400 - tried again soon
            self.due = time.monotonic() + FORK_AGAIN
            return False
        self.stream = Stream(ours)
        self.restarts += 1
        self.acked = 0
        self._started = time.monotonic()
        self._doomed = False
        self.watch()
        return True

    def adopt(self, worker: OldWorker) -> None:
        """Take over a process that runs already; it is not read before `watch`."""
        self.pid = worker.pid
        self.stream = Stream(socket.socket(fileno=worker.stream), worker.unread)
        self.restarts, self.acked = worker.restarts, worker.acked
        self._started = time.monotonic()

    def given(self) -> OldWorker | None:
        """Return what another supervisor needs to adopt the process; None: there is none."""
        if self.pid is None or self.stream is None:
            return None
        unread = bytes(self.held) + self.stream.unread
        return OldWorker(self.name, self.pid, self.stream.socket.fileno(), unread, self.restarts, self.acked)

    def _fork(self, live: Callable[[socket.socket], int]) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()

        def child() -> int:
            ours.close()
            return live(theirs)

        try:
            return fork(self.name, child), ours
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    # --- the stream -------------------------------------------------------------------------------------

    def fill(self) -> bool:
        """Read once; say whether anything came."""
        assert self.stream is not None
        came = self.stream.fill()
        if self.stream.ended:
            # SIGCHLD tells of its death; until then there is nothing to wait for here.
            self.unwatch()
        return came

    def watch(self) -> None:
        """Have the loop read what the process says, from here on."""
        if self.stream is not None and not self.stream.ended:
            self._selector.register(self.stream.socket, selectors.EVENT_READ, self)

    def unwatch(self) -> None:
        """Have the loop read no more."""
        assert self.stream is not None
        with contextlib.suppress(KeyError):
            self._selector.unregister(self.stream.socket)

    def put(self, frames: bytes) -> None:
        """Send frames, as far as anybody is there to read them."""
        if self.stream is not None and not self.stream.ended and not self._doomed:
            self.stream.put(frames)
            self._watch(self.stream)

    def flush(self) -> None:
        """Send what the process takes now."""
        if self.stream is not None and not self.stream.ended:
            self.stream.flush()
            self._watch(self.stream)

    def _watch(self, stream: Stream) -> None:
        """Wait for room where something is left to write; kill whoever never reads."""
        if stream.backlog > MAX_BACKLOG and time.monotonic() - stream.moved > STALLED and not self._doomed:
            self._doomed = True
            log.error("%s (pid %d) reads nothing any more: killed", self.name, self.pid)
            self.signal(signal.SIGKILL)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if stream.backlog else 0)
        if self._selector.get_key(stream.socket).events != wanted:
            self._selector.modify(stream.socket, wanted, self)

    # --- the end ----------------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal, if there is one."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def wait(self, options: int = 0) -> Exit | None:
        """Return the process's end; None while it lives. Its last messages can still be read."""
        if self.pid is None:
            return None
        done, how = os.waitpid(self.pid, options)
        return Exit(done, os.waitstatus_to_exitcode(how)) if done else None

    def bury(self, end: Exit) -> None:
        """Let go of a process that has ended."""
        assert self.stream is not None
        self.unwatch()
        self.stream.close()
        self.stream = self.pid = None
        self.last = end

    def restart_later(self) -> None:
        """Have the next process be due, the later the oftener one ends soon after its start."""
        assert self.last is not None
        now = time.monotonic()
        if now - self._started >= STEADY:
            self._delay = self._backoff[0]
        fields = {"worker": self.name, "pid": self.last.pid, "status": self.last.status}
        log.error("%s %s: started again in %.2g s", self.name, self.last, self._delay, extra=fields)
        self.due = now + self._delay
        self._delay = min(2 * self._delay, self._backoff[1])


def entitle(name: str) -> None:
    """Show in `ps` which process this is, with the words that the server was called with."""
    setproctitle(f"geodns: {name} ({' '.join(sys.argv[1:])})")


def fork(name: str, live: Callable[[], int]) -> int:
    """Fork a process that runs `live` and exits; return its pid.

    Raises:
        OSError: the machine has no room for another process.

    """
    with contextlib.suppress(OSError):  # whoever read them may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    free = set(mask) - set(SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _exit_after(name, live, free)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _exit_after(name: str, live: Callable[[], int], mask: Iterable[int]) -> NoReturn:
    """Live and exit, without the supervisor's own clean-up."""
    status = 1
    logs.begin(name)
    try:
        entitle(name)
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            # A terminal, or pkill, sends these to all processes; the supervisor passes on what they mean.
            ignored = number in {signal.SIGINT, signal.SIGHUP, signal.SIGUSR2}
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = live()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        log.exception("%s failed", name)
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
