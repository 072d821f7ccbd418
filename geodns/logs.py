"""Log lines of every process, as text or JSON, on stderr: what stderr does not take at once is dropped.

A query must not wait for whoever reads the log, so nothing here blocks; lost lines are counted, and a line
says how many as soon as there is room.
"""

import logging
import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal

from geodns.errors import GeodnsError, printable

log = logging.getLogger(__name__)

Format = Literal["text", "json"]

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Fields of every record; the rest came with ``extra=``."""

_STDERR = 2


class TextFormatter(logging.Formatter):
    """A line that people read: time, level, process, message. What is not printable is escaped."""

    def __init__(self) -> None:
        super().__init__()
        self.process = "supervisor"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        head = f"{self.formatTime(record)} {record.levelname} {self.process}"
        return f"{head}: {printable(record.getMessage())}"


class JsonFormatter(logging.Formatter):
    """An object a line: ``time`` (RFC 3339, UTC), ``level``, ``process``, ``logger``, ``message``.

    The fields that a record carries by ``extra=`` follow, and ``exception`` with a traceback.
    """

    def __init__(self) -> None:
        super().__init__()
        from json import dumps  # noqa: PLC0415 - workers that write text need not carry it

        self.process = "supervisor"
        self._dumps = dumps

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, Any] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        for name, value in vars(record).items():
            if name not in _KNOWN:
                fields.setdefault(name, value)
        return self._dumps(fields, ensure_ascii=False, default=str)


class Handler(logging.Handler):
    """Writes lines to a descriptor without ever waiting for its reader.

    Attributes:
        lost: lines that were dropped since the last line about that.

    """

    def __init__(self, descriptor: int, formatter: TextFormatter | JsonFormatter) -> None:
        super().__init__()
        self.lines = formatter
        self.setFormatter(formatter)
        self.lost = 0
        self._rest = b""
        self._send, self._close = _sender(descriptor)

    def begin(self, process: str) -> None:
        """Be the log of a forked process: what its parent could not write is its parent's."""
        self.lines.process = process
        self.lost = 0
        self._rest = b""

    def close(self) -> None:
        """Let go of what was opened for writing; the descriptor itself stays."""
        close, self._close = self._close, _nothing  # logging closes once more at the end
        close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a record whose arguments do not fit must not stop anything
            line = f"a log line that cannot be shown: {record.msg!r}"
        if self.lost and self._put(self._about_lost()):
            self.lost = 0
        if self.lost or not self._put(line):
            self.lost += 1

    def _about_lost(self) -> str:
        args = (self.lost,)
        what = "%d log lines were lost: stderr took no more"
        return self.format(logging.LogRecord(__name__, logging.WARNING, __file__, 0, what, args, None))

    def _put(self, line: str) -> bool:
        """Write a line, after what is left of the one before; say whether it is on its way."""
        try:
            if self._rest:
                self._rest = self._rest[self._send(self._rest) :]
            if self._rest:
                return False
            data = f"{line}\n".encode("utf-8", "backslashreplace")
            self._rest = data[self._send(data) :]
        except BlockingIOError:
            return False
        except OSError:  # nobody is there to read it any more, or the disk is full
            self._rest = b""
        return True


def configure(form: Format, level: str) -> None:
    """Have this process, and those that it forks, log to stderr what is at this level or above."""
    root = logging.getLogger()
    for earlier in _ours():
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(Handler(_STDERR, JsonFormatter() if form == "json" else TextFormatter()))
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


def begin(process: str) -> None:
    """Say which process this is, after a fork."""
    for handler in _ours():
        handler.begin(process)


def tell(error: GeodnsError) -> None:
    """Say which error ends the process: in a log of text a plain line does."""
    if any(isinstance(handler.lines, JsonFormatter) for handler in _ours()):
        log.critical("%s", error)
    else:
        sys.stderr.write(f"geodns: {error}\n")


def _ours() -> list[Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, Handler)]


def _uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    log.critical("ends by a fault of its own", exc_info=(kind, error, traceback))


def _sender(descriptor: int) -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """Return what writes to a descriptor as much as it takes at once, and what closes that.

    The first raises BlockingIOError where nothing is taken. The descriptor itself stays as it is: its flags
    are shared with whoever else has it.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):  # the journal, under systemd
        connection = socket.socket(fileno=os.dup(descriptor))
        return lambda data: connection.send(data, socket.MSG_DONTWAIT), connection.close
    if not stat.S_ISFIFO(mode) and not os.isatty(descriptor):
        return lambda data: os.write(descriptor, data), _nothing
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return lambda data: _if_ready(descriptor, data), _nothing
    return lambda data: os.write(own, data), lambda: os.close(own)


def _nothing() -> None:
    """Nothing was opened, so there is nothing to close."""


def _if_ready(descriptor: int, data: bytes) -> int:
    """Write as much as a pipe has room for once it says that it has any (pipe(7), PIPE_BUF)."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    if not poller.poll(0):
        raise BlockingIOError
    return os.write(descriptor, data[: select.PIPE_BUF])
