"""Start a process of the supervisor's: a fork that keeps nothing of what its parent does with signals."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

from geodns import logs

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
