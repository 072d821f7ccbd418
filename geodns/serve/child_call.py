"""Has a child do what the supervisor must not do itself, and waits for the sentence that it returns.

What needs a database or a large library would stay in the supervisor's memory, and in all that it forks.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable

from geodns.serve.process import fork

LIMIT = 10.0
"""Seconds that the child may take; then it is killed."""


def call_in_child(name: str, work: Callable[[], str], limit: float = LIMIT) -> str:
    """Return what `work` returns in a forked child, or a sentence about why it returns nothing.

    Args:
        name: of the process.
        work: its failure is logged by the child.
        limit: seconds.

    """
    ours, theirs = os.pipe()

    def child() -> int:
        os.close(ours)
        os.write(theirs, b"!" + work().encode(errors="replace"))
        return 0

    try:
        pid = fork(name, child)
    except OSError as error:
        os.close(ours)
        return f"{name} cannot be started: {error.strerror}"
    finally:
        os.close(theirs)
    try:
        said = _read(ours, limit)
    finally:
        os.close(ours)
    if said is None:
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if said is None:
        return f"{name} took longer than {limit:g} s"
    return said[1:].decode() if said else f"{name} failed: see the log"


def _read(descriptor: int, limit: float) -> bytes | None:
    """Read to the end; None: there was none in time."""
    end = time.monotonic() + limit
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(max(0.0, end - time.monotonic())):
            piece = os.read(descriptor, 65536)
            if not piece:
                return said
            said += piece
    return None
