"""Takes over what another program has left in this process, or gives it back."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from geodns.errors import GeodnsError
from geodns.serve.handover import Handover, HandoverError, Program, take_handover
from geodns.serve.process import SIGNALS
from geodns.serve.program_files import PACKAGE, fingerprint
from geodns.serve.resources import close_on_exec
from geodns.serve.upgrade import replace_program
from geodns.serve.upgrade_socket import UpgradeStep

log = logging.getLogger(__name__)

Prepared = TypeVar("Prepared")

LEFT = 5.0
"""Seconds that workers may take to end whose sockets this program does not know."""

AGAIN = 5.0
"""Seconds between two tries to start where there is no program left to go back to."""


def this_program(version: str) -> Program:
    """Return the running program: its `bin/geodns`, and what it was called with."""
    path = Path(sys.argv[0]).absolute()
    if not os.access(path, os.X_OK) or path.is_dir():  # `python -m geodns`, for one
        path = Path(sys.executable).absolute().with_name("geodns")
    known = str(path) if os.access(path, os.X_OK) else ""
    after = sys.argv[sys.argv.index("serve") + 1 :] if "serve" in sys.argv else []
    return Program(
        version,
        known,
        tuple(after),
        str(PACKAGE),
        fingerprint(),
        file=os.path.realpath(known) if known else "",
    )


def take_over(environ: MutableMapping[str, str]) -> Handover | None:
    """Return what another program has handed over to this process; None: this is a plain start.

    What cannot be understood is let go of: its workers end, and the server starts from the state folder.
    """
    try:
        handover = take_handover(environ)
        if handover is not None:
            close_on_exec(handover)
    except (HandoverError, OSError) as error:
        log.warning("a plain start, for nothing can be taken over: %s", error)
        _abandon()
        return None
    return handover


def _abandon() -> None:
    """End the children of the program before, and close all that it has left open.

    Signals stay blocked, as in every upgrade: a SIGHUP would end this process before it is handled.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    end = time.monotonic() + LEFT
    left = _children()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while left and time.monotonic() < end:
            left = [pid for pid in left if os.waitpid(pid, os.WNOHANG) == (0, 0)]
            time.sleep(0.02)
    for pid in left:
        os.waitpid(pid, 0)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _children() -> list[int]:
    try:
        return [int(one) for one in Path("/proc/thread-self/children").read_text("ascii").split()]
    except OSError:
        return []


def insist(
    prepare: Callable[[], Prepared], handover: Handover, program: Program, environ: Mapping[str, str]
) -> Prepared:
    """Return what `prepare` returns; where it cannot, let the program before go on, or try again.

    Args:
        prepare: reads settings and the like; its errors are the way back's reason.
        handover: from the program before.
        program: this one.
        environ: variables that were taken out of the environment, and that the program before needs.

    Raises:
        SystemExit: the server was told to end meanwhile, and has.

    """
    while True:
        try:
            return prepare()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is a program that works
            _give_back(handover, program, reason_of(error), environ)


def go_back(handover: Handover, program: Program, why: str, environ: Mapping[str, str]) -> None:
    """Let the program before go on in this process; return only where it cannot be started."""
    back = replace(handover, writer=program, going_back=why, failed_step=UpgradeStep.CONTROL)
    error = replace_program(handover.writer.as_started(), back, environ)
    log.error("%s cannot be started either: %s", handover.writer.path, error)


def _give_back(handover: Handover, program: Program, why: str, environ: Mapping[str, str]) -> None:
    """Let the program before go on, since this one cannot even begin.

    Where that is no way out, since it comes from there or that one is gone, wait a moment: the old workers
    answer meanwhile, and what is wrong may be put right.
    """
    if not handover.going_back:
        go_back(handover, program, why, environ)
    log.error("tried again in %g s; the workers go on with what they have: %s", AGAIN, why)
    if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, AGAIN) is None:
        return
    for worker in handover.workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
    for worker in handover.workers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)
    raise SystemExit(0)


def reason_of(error: Exception) -> str:
    """Return an error as one sentence for whoever asked for the upgrade."""
    lines = str(error).splitlines()
    text = lines[0] if lines else ""
    return text if isinstance(error, GeodnsError) else f"{type(error).__name__}: {text}"
