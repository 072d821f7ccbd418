"""Mail hosts on loopback that a test opens, closes and tells to misbehave."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Address = tuple[str, int]
Manners = Callable[[socket.socket, str], None]
"""How a mail host treats a connection; the second argument is its name."""


def wait_until(condition: Callable[[], T], seconds: float = 15.0, what: str = "") -> T:
    """Return the first true value of a condition; fail when there is none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what or condition}; it is {value!r}"
        time.sleep(0.02)
    return value


def polite(connection: socket.socket, name: str) -> None:
    """Greet and answer as an SMTP server does."""
    greets(f"220 {name} ESMTP")(connection, name)


def greets(*lines: str) -> Manners:
    """Greet so; then answer every command as if all were well."""

    def manners(connection: socket.socket, name: str) -> None:
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        with connection.makefile("rb") as commands:
            for command in commands:
                verb = command[:4].upper()
                reply = {b"EHLO": f"250-{name}\r\n250 SIZE", b"QUIT": "221 Bye"}.get(verb, "250 OK")
                connection.sendall(f"{reply}\r\n".encode())
                if verb == b"QUIT":
                    return

    return manners


def silent(connection: socket.socket, name: str) -> None:
    """Accept and never greet."""
    del name
    while connection.recv(4096):
        pass


def reset(connection: socket.socket, name: str) -> None:
    """Reset the connection instead of greeting."""
    del name
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class MailHost:
    """A mail host on loopback: a small SMTP server that can be closed, opened and told to misbehave.

    Its port stays its own while it is closed: connections are refused then.

    Attributes:
        address: where it listens.
        manners: how it treats the next connection; assign another to change it.
        connections: how many it has had.

    """

    def __init__(self, name: str, host: str = "127.0.0.1", manners: Manners = polite) -> None:
        self.name = name
        self.manners = manners
        self.connections = 0
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = self._bound((host, 0))
        self.address: Address = self._socket.getsockname()[:2]
        self._talks: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """As zone files write it."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def open(self) -> "MailHost":
        """Listen."""
        self._socket.listen(1024)
        self._thread = threading.Thread(target=self._accept, args=(self._socket,), daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Refuse connections, and break off those there are."""
        if self._thread is None:
            return
        self._end_talks()
        self._socket = self._bound(self.address)

    def end(self) -> None:
        """Let go of everything."""
        self._end_talks()
        self._socket.close()

    def _bound(self, address: Address) -> socket.socket:
        one = socket.socket(self._family)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)
        return one

    def _end_talks(self) -> None:
        if self._thread is None:
            return
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept; close alone does not
        self._thread.join()
        self._thread = None
        self._socket.close()
        with self._lock:
            talks = list(self._talks)
        for talk in talks:
            with contextlib.suppress(OSError):
                talk.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self._talks, what=f"the talks of {self.name} end")

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._talks.add(connection)
                self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError, ValueError):
                self.manners(connection, self.name)
        finally:
            with self._lock:
                self._talks.discard(connection)


@contextlib.contextmanager
def mail_hosts(*names: str, host: str = "127.0.0.1") -> Iterator[dict[str, MailHost]]:
    """Open mail hosts with these names; all end with the block."""
    with contextlib.ExitStack() as stack:
        hosts = {}
        for name in names:
            hosts[name] = MailHost(name, host)
            stack.callback(hosts[name].end)
            hosts[name].open()
        yield hosts


@contextlib.contextmanager
def closed(host: str = "127.0.0.1") -> Iterator[Address]:
    """An address that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.bind((host, 0))
        yield one.getsockname()[:2]
