"""Answers DNS queries over UDP on a free port of loopback, in a thread."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar


class Answering(Protocol):
    """Makes replies; None: it stays silent."""

    def answer(self, packet: bytes, /) -> bytes | None: ...


T = TypeVar("T", bound=Answering)


@contextlib.contextmanager
def udp_server(make: Callable[[int], T]) -> Iterator[T]:
    """Run what `make` makes for a port, until the block ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        port.settimeout(0.1)
        server, ended = make(port.getsockname()[1]), threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    packet, client = port.recvfrom(4096)
                    reply = server.answer(packet)
                    if reply is not None:
                        port.sendto(reply, client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            thread.join(5)
