"""A way to a TCP server that a test closes, slows down or leads elsewhere, for one client alone."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from tests.integration.mailhosts import Address

CONNECT = 5.0
"""Seconds that the server behind may take to accept."""


class Gate:
    """Listens on loopback, and passes on what comes.

    Attributes:
        address: where it listens.
        to: where it leads; None: nowhere.
        delay: seconds by which replies come later.

    """

    def __init__(self, to: Address) -> None:
        self.delay = 0.0
        self.to: Address | None = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listener.getsockname()[:2]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def lead(self, to: Address | None) -> None:
        """Break all connections off, and lead new ones there; None: they are closed at once."""
        self.to = to
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Let go of everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept; close alone does not
        self._listener.close()
        self.lead(None)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            to = self.to
            if to is None:
                return
            with socket.create_connection(to, CONNECT) as server:
                server.settimeout(None)
                with self._lock:
                    if self.to != to:
                        return
                    self._open |= {client, server}
                try:
                    threading.Thread(target=_copy, args=(client, server), daemon=True).start()
                    while data := server.recv(65536):
                        if self.delay:
                            time.sleep(self.delay)
                        client.sendall(data)
                finally:
                    with self._lock:
                        self._open -= {client, server}
                    for one in (client, server):
                        with contextlib.suppress(OSError):
                            one.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def gates(to: Address, *names: str) -> Iterator[dict[str, Gate]]:
    """Open gates with these names, which all lead there; all end with the block."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in names:
            found[name] = Gate(to)
            stack.callback(found[name].end)
        yield found
