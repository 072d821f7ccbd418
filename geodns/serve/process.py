"""A place for a process of the supervisor's: what runs there, and when the next one is to be started."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from geodns import logs
from geodns.serve.frames import Stream


@dataclass(slots=True, eq=False)
class ProcessSlot:
    """A place for a process: what runs there now, and when the next one is to be started.

    Attributes:
        name: of the process.
        backoff: seconds before a restart: at first, and at most.
        pid: None while nothing runs.
        stream: to the process.
        born: when it was started, by `time.monotonic`.
        due: when to start the next one.
        delay: seconds to wait after the next death.
        restarts: processes before this one.
        acked: the newest Table that a worker said it answers from.
        doomed: killed, not dead yet.
        how: how the process before this one ended; continues a sentence about it.

    """

    name: str
    backoff: tuple[float, float]
    pid: int | None = None
    stream: Stream | None = None
    born: float = 0.0
    due: float = 0.0
    delay: float = field(init=False)
    restarts: int = -1
    acked: int = 0
    doomed: bool = False
    how: str = ""

    def __post_init__(self) -> None:
        """Begin with the first delay."""
        self.delay = self.backoff[0]


log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""What the supervisor listens to."""


def fork(name: str, live: Callable[[], int]) -> int:
    """Start a process that does nothing but live; return its pid.

    Raises:
        OSError: the machine has no room for another process.

    """
    with contextlib.suppress(OSError):  # whoever read them may be gone
        sys.stdout.flush()
        sys.stderr.flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _exit_after(name, live, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return pid


def _exit_after(name: str, live: Callable[[], int], mask: Iterable[int]) -> NoReturn:
    """Live and end, without what the supervisor would do at its own end."""
    status = 1
    logs.begin(name)
    try:
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            # A terminal sends these two to all its processes; the supervisor passes on what they mean.
            ignored = number in {signal.SIGINT, signal.SIGHUP}
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
