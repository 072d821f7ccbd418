"""Runs heavy work by a process of its own: a thread would hold the interpreter against probes and HTTP."""

import asyncio
import contextlib
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterable
from typing import BinaryIO, NoReturn

from setproctitle import setproctitle

NICE = 10
"""Behind what answers, and yet with a part of processors that a flood keeps busy: a tenth or so of one."""
MAX_DATA = 2 << 30
"""Bytes of memory of such a process."""


class ApartError(Exception):
    """The work was not done; the text says why."""


async def run_apart(module: str, request: Iterable[bytes], within: float) -> bytes:
    """Have a module's process do a piece of work; return what it writes.

    Args:
        module: which calls `serve_apart`.
        request: what its work reads.
        within: seconds.

    Raises:
        ApartError: it could not be started, failed, was killed, or took too long.

    """
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-P", "-m", module)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, start_new_session=True
        )
    except OSError as error:
        raise ApartError(f"no process can be started ({error.strerror})") from error
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(within):
            process.stdin.writelines(request)
            data = await process.stdout.read()
            status = await process.wait()
    except TimeoutError:
        raise ApartError(f"it takes longer than {within:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        process.stdin.close()
    if status:
        raise ApartError(f"its process ended with status {status}")
    return data


def serve_apart(title: str, work: Callable[[BinaryIO], Iterable[bytes]]) -> NoReturn:
    """Do one piece of work in this process, and end; where control ends meanwhile, so does it.

    Args:
        title: of the process.
        work: reads its request, no further, and gives what is to be written.

    """
    _lower()
    setproctitle(title)
    request = work(sys.stdin.buffer)
    for part in request:
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    os._exit(0)  # the thread waits for ever


def end_with_control() -> None:
    """End this process when the pipe that control holds open is closed; call it once the request is read."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _lower() -> None:
    """Take the processor last, and no more memory than this; a service may not be allowed to say so."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    for limit, most in ((resource.RLIMIT_DATA, MAX_DATA), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))
