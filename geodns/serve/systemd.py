"""A service under systemd: sockets that are handed over, readiness, the watchdog.

sd_listen_fds(3) and sd_notify(3) are a few variables and datagrams; the libraries for them either bind
libsystemd, which then has to be there to build them, or are no longer kept.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from typing import NamedTuple

from geodns.errors import StartError

_FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""

_PATIENCE = 0.5
"""Seconds that systemd may take for a message."""

_NOTIFY = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_LISTEN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Given(NamedTuple):
    """A socket that was handed over; its name is ``FileDescriptorName=`` of the unit, or the unit's own."""

    name: str
    socket: socket.socket


def take_sockets(environ: MutableMapping[str, str]) -> tuple[Given, ...]:
    """Take over the sockets meant for this process, and the variables that tell of them.

    Raises:
        StartError: a descriptor is no socket, or the variables are nonsense.

    """
    pid, count, names = (environ.pop(name, "") for name in _LISTEN)
    if not count or pid != str(os.getpid()):
        return ()
    if not _is_number(count):
        raise StartError(f"LISTEN_FDS={count} is no number of sockets: unset it")
    called = names.split(":") if names else []
    given = []
    for number in range(int(count)):
        descriptor = _FIRST + number
        name = called[number] if number < len(called) else "unknown"
        try:
            os.set_inheritable(descriptor, False)
            given.append(Given(name, socket.socket(fileno=descriptor)))
        except OSError as error:
            raise StartError(
                f"descriptor {descriptor} ({name}), which LISTEN_FDS tells of, is no socket "
                f"({error.strerror}): write ListenDatagram= and ListenStream= in the .socket unit"
            ) from None
    return tuple(given)


def _is_number(text: str) -> bool:
    # Superscripts are digits, too, and `int` reads none.
    return text.isascii() and text.isdecimal()


class Notifier:
    """Tells systemd that the service is ready, alive or stopping; without systemd it does nothing.

    Attributes:
        every: seconds between two calls of `alive`; None where no watchdog watches.
        environ: the variables it was made from, for another program in this process.

    """

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self.environ = {name: environ.pop(name) for name in _NOTIFY if name in environ}
        path, period, pid = (self.environ.get(name, "") for name in _NOTIFY)
        watched = bool(path) and _is_number(period) and int(period) > 0 and pid in {"", str(os.getpid())}
        self.every = int(period) / 1e6 / 2 if watched else None
        self._address = f"\0{path[1:]}" if path.startswith("@") else path

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Say that a reload has begun, when by the clock that systemd compares with; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            try:
                out.settimeout(_PATIENCE)
                out.sendto(state.encode(), self._address)
            except OSError:  # systemd's loss, not ours
                return
