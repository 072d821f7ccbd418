"""The UNIX socket in the state folder on which `geodns upgrade` asks, and is told how it goes."""

import contextlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

from geodns.serve.routes_sockets import MAX_PATH

log = logging.getLogger(__name__)

NAME = "upgrade.sock"
"""In the state folder."""

MAX_LINE = 1 << 16
"""Bytes of a line, either way."""

MAX_CLIENTS = 8
"""Clients that may be connected at one time; one of them at most has its upgrade."""

_SAID = 2000
"""Characters of a text that is passed on to the client."""
_CREDENTIALS = Struct("3i")


class UpgradeStep(StrEnum):
    """A step, as clients are told of it."""

    REHEARSAL = "rehearsal"
    HANDOVER = "handover"
    CONTROL = "new control"
    WORKERS = "new workers"


class UpgradeRequest(NamedTuple):
    """What a client asks for.

    Attributes:
        program: absolute path of an executable; empty: this server's own.
        args: after ``serve``; None: as this server was called.
        back: to the program before instead.

    """

    program: str = ""
    args: tuple[str, ...] | None = None
    back: bool = False


class UpgradeClient:
    """A connection; whether anybody reads there makes no difference to an upgrade.

    Attributes:
        socket: the connection.
        ended: whether it is of no use any more.

    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.ended = False
        self._in = bytearray()

    def read(self) -> UpgradeRequest | str | None:
        """Read once: a request, what is wrong with it, or None: nothing whole has come yet."""
        try:
            data = self.socket.recv(MAX_LINE)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        self.ended = self.ended or not data
        self._in += data
        line, end, _ = self._in.partition(b"\n")
        if not end:
            return "the request is too long" if len(self._in) >= MAX_LINE else None
        return _request(bytes(line))

    def say(self, **words: Any) -> None:
        """Send a line, as far as anybody takes it."""
        text = json.dumps({key: _short(one) for key, one in words.items()})
        try:
            sent = self.socket.send(text.encode() + b"\n")
        except OSError:  # the client is gone, or does not read
            return
        if sent <= len(text):  # a line cut off would spoil the next one
            self.ended = True

    def close(self) -> None:
        self.ended = True
        self.socket.close()


def _short(value: object) -> object:
    return value[:_SAID] if isinstance(value, str) else value


def _request(line: bytes) -> UpgradeRequest | str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "the request is no JSON"
    match found:
        case {"back": {}}:
            return UpgradeRequest(back=True)
        case {"upgrade": {"program": program, "args": list(args)}} if all(map(_is_name, (program, *args))):
            return UpgradeRequest(program, tuple(args))
        case {"upgrade": {"program": program}} if _is_name(program) and found["upgrade"].get("args") is None:
            return UpgradeRequest(program)
    return "the request is neither an upgrade nor a way back"


def _is_name(value: object) -> bool:
    """Say whether the system takes it as a path or an argument; else asking it raises ValueError."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:  # half a surrogate pair
        return False


class UpgradeSocket:
    """The listening socket, and its file.

    Attributes:
        socket: None: there is none.

    """

    def __init__(self, opened: socket.socket | None, path: Path | None) -> None:
        self.socket = opened
        self._path = path

    @classmethod
    def open(cls, state: Path | None) -> "UpgradeSocket":
        """Open it where nobody else can: the state folder is locked. Without it a server serves, too."""
        if state is None:
            return cls(None, None)
        path = state.absolute() / NAME
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        umask = os.umask(0o177)
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            with _bindable(path) as name:
                opened.bind(name)
            opened.listen(MAX_CLIENTS)
            opened.setblocking(False)
        except OSError as error:
            opened.close()
            log.warning("%s: cannot be made (%s): `geodns upgrade` finds no server", path, error.strerror)
            return cls(None, None)
        finally:
            os.umask(umask)
        return cls(opened, path)

    @classmethod
    def adopt(cls, descriptor: int | None, state: Path | None) -> "UpgradeSocket":
        """Take over the one of the program before, or make one where it had none."""
        if descriptor is None:
            return cls.open(state)
        opened = socket.socket(fileno=descriptor)
        opened.setblocking(False)
        return cls(opened, None if state is None else state.absolute() / NAME)

    def accept(self) -> UpgradeClient | None:
        """Let a client in; None: nobody is there, or one that may not ask."""
        assert self.socket is not None
        try:
            connection, _ = self.socket.accept()
        except OSError:
            return None
        pid, uid = _peer(connection)
        client = UpgradeClient(connection)
        if uid in {0, os.geteuid()}:
            return client
        log.warning("user %d (process %d) asked for an upgrade: refused", uid, pid)
        client.say(failed="only root and the server's own user may ask for an upgrade")
        client.close()
        return None

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()

    def remove(self) -> None:
        """Close it, and take its file away."""
        self.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return the pid and the user of whoever has connected."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(packed)
    return pid, uid


@contextlib.contextmanager
def _bindable(path: Path) -> Iterator[str]:
    """Give a path of at most `MAX_PATH` bytes for a path of any length."""
    if len(os.fsencode(path)) <= MAX_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
