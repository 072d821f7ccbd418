"""The child in which a new program shows that it can serve, before anything depends on it."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from geodns.serve.handover import HANDOVER, Handover, Program, seal

if TYPE_CHECKING:
    from subprocess import Popen

TIME = 30.0
"""Seconds that a rehearsal may take."""

PASSED = "geodns: rehearsed in process "
"""Begins the line, ended by the pid, with which a rehearsal says that all is well: status 0 alone is what any
program may end with, and the process must be the one that was started, since it is to be replaced."""

MOST_LINES = 200
"""Lines that are passed on; of what follows only the last one is kept."""

_LINE = 4096
"""Bytes without a line's end after which they count as a line."""

_LAST_READS = 32
"""Reads of what an ended rehearsal has left in the pipe: what it left running may write for ever."""


class RehearsalChild:
    """``PROGRAM serve --rehearse ARGS``, and what it says.

    Attributes:
        due: when it has had its time, by `time.monotonic`.
        last: line that it said last.

    """

    def __init__(
        self,
        program: Program,
        handover: Handover,
        selector: selectors.BaseSelector,
        said: Callable[[str], None],
    ) -> None:
        """Start it.

        Args:
            program: the new one.
            handover: what it would get; of the descriptors in it none is passed on: what holds a port or a
                lock would keep it when the supervisor is killed.
            selector: of the supervisor's loop.
            said: called with each line.

        Raises:
            OSError: it cannot be started.

        """
        import subprocess  # noqa: PLC0415 - no other process shall carry it

        self._said = said
        self._selector = selector
        self._rest = bytearray()
        self._path = program.path
        self._lines = 0
        self._passed = ""
        self.last = ""
        self.due = time.monotonic() + TIME
        sealed = seal(handover)
        try:
            self._process: Popen[bytes] = subprocess.Popen(  # noqa: S603 - root or the server's own user names it
                [program.path, "serve", "--rehearse", *program.args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=os.environ | {HANDOVER: str(sealed)},
                pass_fds=(sealed,),
                process_group=0,
            )
        finally:
            os.close(sealed)
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        selector.register(self._out, selectors.EVENT_READ, self._read)

    def _read(self) -> bool:
        """Read once, and pass on whole lines; say whether anything came."""
        try:
            data = os.read(self._out, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            self._unwatch()
        self._rest += data or b"\n"
        *lines, rest = bytes(self._rest).split(b"\n")
        if len(rest) > _LINE:
            lines.append(rest)
            rest = b""
        self._rest = bytearray(rest)
        for line in filter(None, lines):
            self._take(line.decode("utf-8", "replace"))
        return bool(data)

    def _take(self, line: str) -> None:
        if line.startswith(PASSED):
            self._passed = line.removeprefix(PASSED)
            return
        self.last = line
        self._lines += 1
        if self._lines <= MOST_LINES:
            self._said(line)
        elif self._lines == MOST_LINES + 1:
            self._said("… what it says from here on is left out")

    def _unwatch(self) -> None:
        if self._out in self._selector.get_map():
            self._selector.unregister(self._out)

    def verdict(self, now: float) -> str | None:
        """Return why the program will not do; empty: it will; None: it is still at it."""
        status = self._process.poll()
        if status is None:
            return None if now < self.due else f"the rehearsal was not through within {TIME:g} s"
        for _ in range(_LAST_READS):
            if self._out not in self._selector.get_map() or not self._read():
                break
        if status == 0:
            return self._why_not_passed()
        how = f"status {status}" if status > 0 else signal.Signals(-status).name
        last = self.last.removeprefix("geodns: ")
        return f"the rehearsal failed ({how}): {last}" if last else f"the rehearsal failed ({how})"

    def _why_not_passed(self) -> str:
        if self._passed == str(self._process.pid):
            return ""
        if self._passed:
            return (
                f"{self._path} runs geodns in another process, which cannot take this one's place: "
                "have that script call it with `exec`, or give the `geodns` of the new venv"
            )
        return f"{self._path} is no geodns, for it did not rehearse: give the `geodns` of the new venv"

    def end(self) -> None:
        """Kill it where it runs, with all that it has started, and forget it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._unwatch()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def leave(self) -> None:
        """Let go of it in another child."""
        assert self._process.stdout is not None
        self._process.stdout.close()
