"""A process that has everything imported and is copied for each server and command that a test starts.

A fresh interpreter takes a second until it serves, nearly all of it imports; a copy takes a tenth of that. It
is the same program in a process, session and environment of its own. What only a fresh interpreter shows is
tested with one: see `fresh` in `cluster.py`.

Run as a program this is the template; imported, it starts one for each process of pytest.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import io
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from tests.integration.product import LOADED, PACKAGE, PROGRAM, REAL

_PR_SET_PDEATHSIG = 1
_LOST = 255
"""The status of a process whose template was killed."""


class Order(NamedTuple):
    """What a copy shall be.

    Attributes:
        module: where its program is.
        function: the program; what it returns is the exit status.
        arguments: of the function.
        cwd: where it runs.
        env: its whole environment.
        constants: those of `product.REAL` that have another value there.

    """

    module: str
    function: str
    arguments: list[Any]
    cwd: str
    env: dict[str, str]
    constants: dict[str, Any]


# --- the template --------------------------------------------------------------------------------------


def main(control: socket.socket) -> int:
    """Copy this process as often as it is told to; come back in each copy, and once when all is over."""
    for module in (PROGRAM, *LOADED):
        import_module(module)
    gc.collect()
    gc.freeze()
    order = _copied(control)
    return 0 if order is None else _live(order)


def _copied(control: socket.socket) -> Order | None:
    """Wait for orders, and bury the copies.

    Returns:
        In a copy, what it shall be; None in the template, when nobody is left to give orders.

    """
    copies: dict[int, tuple[int, int]] = {}
    """The pid of each, and where its status is wanted, by what tells of its end."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    while True:
        for ready, _ in poller.poll():
            if ready in copies:
                poller.unregister(ready)
                _bury(ready, *copies.pop(ready))
                continue
            text, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 4)
            if not text:
                for pid, _ in copies.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                return None
            order = Order(*json.loads(text))
            import_module(order.module)
            *streams, status = descriptors
            template = os.getpid()
            pid = os.fork()
            if pid == 0:
                control.detach()
                _settle(order, streams, template)
                return order
            end = os.pidfd_open(pid)
            socket.send_fds(control, [str(pid).encode()], [end])
            copies[end] = pid, status
            poller.register(end, select.POLLIN)
            for one in streams:
                os.close(one)


def _bury(end: int, pid: int, status: int) -> None:
    os.close(end)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(status, str(code).encode())
    os.close(status)


def _settle(order: Order, streams: list[int], template: int) -> None:
    """Be as if started afresh: nothing of the template's but what it has imported."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != template:  # it has died just now
        os._exit(_LOST)
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order.cwd)
    os.environ.clear()
    os.environ.update(order.env)
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = (_stream(number) for number in range(3))


def _stream(number: int) -> IO[str]:
    """A standard stream, as Python opens it with PYTHONUNBUFFERED."""
    if number == 0:
        return open(0, encoding="utf-8", closefd=False)
    raw = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115 - for the whole of its life
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, write_through=True)


def _live(order: Order) -> int:
    """Run the program to its end."""
    for name, value in order.constants.items():
        module, _, attribute = name.rpartition(".")
        setattr(import_module(f"{PACKAGE}.{module}"), attribute, value)
    program: Callable[..., int | None] = getattr(import_module(order.module), order.function)
    try:
        status: str | int | None = program(*order.arguments)
    except SystemExit as end:
        status = end.code
    if not isinstance(status, int | None):  # a text, which Python prints
        return sys.exit(status)
    # Python would take down every module one by one, which takes longer than all the rest of a command.
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


# --- the test's side -----------------------------------------------------------------------------------


class Process:
    """A copy of the template, with what tests use of `subprocess.Popen`.

    Attributes:
        pid: also of its session and process group.
        stdout: what it writes there, unless that was said to go elsewhere.
        stderr: the same.
        returncode: once it was waited for; negative is the signal that killed it.

    """

    def __init__(
        self, pid: int, end: int, status: int, stdout: IO[str] | None, stderr: IO[str] | None
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._end = end
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._waited(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return the exit status."""
        status = self._waited(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def _waited(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            poller = select.poll()
            poller.register(self._status, select.POLLIN)
            if not poller.poll(None if timeout is None else timeout * 1000):
                return None
        with self._lock:
            if self.returncode is None:
                self.returncode = int(os.read(self._status, 16) or _LOST)
                os.close(self._status)
                os.close(self._end)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._end, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        try:
            self.wait(20)
        finally:
            self.kill()
            # Not before its end: where a thread reads, closing waits for that thread.
            for stream in (self.stdout, self.stderr):
                if stream is not None:
                    stream.close()


class _Template:
    """The template of this process: started when it is first needed, ended with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                env=environment(None),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self._stop)

    def _stop(self) -> None:
        self._control.close()
        self._process.wait(20)

    def copy(self, order: Order, streams: tuple[int, int, int]) -> tuple[int, int, int]:
        """Return a copy's pid, a pidfd of it, and where its exit status will be read."""
        status, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._control, [json.dumps(order).encode()], [*streams, theirs])
                text, ends, _, _ = socket.recv_fds(self._control, 100, 1)
        finally:
            os.close(theirs)
        assert text, "the template has died: its own stderr says of what"
        return int(text), ends[0], status


@functools.cache
def _template() -> _Template:
    return _Template()


def environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """The environment without the settings of whoever runs the tests, and with our package importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GEODNS_")}
    root = str(Path(__file__).parents[2])
    return kept | {"PYTHONPATH": root, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"} | dict(more or {})


def start(
    function: str,
    *arguments: Any,
    module: str = PROGRAM,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Process:
    """Run a function in a copy of the template.

    Args:
        function: its name.
        arguments: of the function, as JSON has them.
        module: where it is.
        stdin: a descriptor; else nothing is to be read there.
        stdout: a descriptor; else the test reads `stdout` of what is returned.
        stderr: the same.
        env: further variables.
        cwd: where it runs; else where the test does.
        constants: those of `product.REAL` that shall have another value there.

    """
    assert REAL.keys() >= (constants or {}).keys(), "what they really are must be tested too"
    order = Order(
        module, function, list(arguments), str(cwd or Path.cwd()), environment(env), dict(constants or {})
    )
    with contextlib.ExitStack() as given:
        read: list[IO[str] | None] = []
        streams = [stdin if stdin is not None else _opened(given, os.open(os.devnull, os.O_RDONLY))]
        for one in (stdout, stderr):
            if one is None:
                ours, theirs = os.pipe()
                read.append(open(ours, encoding="utf-8"))  # noqa: PTH123, SIM115 - closed by whoever starts it
                one = _opened(given, theirs)  # noqa: PLW2901 - what it is then
            else:
                read.append(None)
            streams.append(one)
        pid, end, status = _template().copy(order, (streams[0], streams[1], streams[2]))
    return Process(pid, end, status, read[0], read[1])


def _opened(given: contextlib.ExitStack, descriptor: int) -> int:
    given.callback(os.close, descriptor)
    return descriptor


def run(
    function: str, *arguments: Any, timeout: float = 30.0, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a function in a copy of the template to its end; options as for `start`."""
    said: dict[str, str] = {}

    def read(name: str, stream: IO[str]) -> None:
        said[name] = stream.read()

    with start(function, *arguments, **options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            threading.Thread(target=read, args=one, daemon=True)
            for one in (("out", process.stdout), ("err", process.stderr))
        ]
        for reader in readers:
            reader.start()
        try:
            status = process.wait(timeout)
        finally:
            # What it has left behind would keep its streams open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for reader in readers:
                reader.join(timeout)
    return subprocess.CompletedProcess([function, *arguments], status, said["out"], said["err"])


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
