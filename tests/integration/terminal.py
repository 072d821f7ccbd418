"""Programs on a terminal of their own, as somebody who looks at them has them."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.integration.cluster import Server

ROOT = Path(__file__).parents[2]
"""Where a reader of the README stands."""


class Screen:
    """A program on a terminal, and what it has written there, without its colours."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self._text = b""

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def text(self) -> str:
        while select.select([self._terminal], [], [], 0)[0]:
            try:
                self._text += os.read(self._terminal, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._text.decode("utf-8", "replace"))


@contextlib.contextmanager
def on_terminal(command: list[str] | str, server: Server | None = None) -> Iterator[Screen]:
    """Run a program, or a line for the shell, until the block ends; its commands ask `server`."""
    more = {} if server is None else {"GEODNS_SERVER": server.http}
    terminal, other_end = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, terminal)
        with open(other_end, "wb", buffering=0) as stream:  # noqa: PTH123 - it is no path
            process = subprocess.Popen(
                command,
                shell=isinstance(command, str),
                stdin=stream,
                stdout=stream,
                stderr=stream,
                cwd=ROOT,
                env=os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "60"} | more,
                start_new_session=True,
            )
        screen = Screen(process, terminal)
        try:
            yield screen
        except BaseException:
            print(screen.text())  # noqa: T201
            raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                # A shell ends alone: what it runs is in its session's group.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
