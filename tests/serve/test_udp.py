"""The loop of a UDP worker, over whatever sockets it gets."""

import contextlib
import gc
import os
import socket
import threading

import pytest

from geodns.responder.table import EMPTY
from geodns.serve import udp
from geodns.serve.frames import Stream
from geodns.serve.sockets import AnyAddress, Datagrams
from geodns.serve.worker import TableFollower

QUERY = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x07example\0\0\x01\0\x01"


@pytest.mark.parametrize("wildcard", [False, True], ids=["one address", "a wildcard alone"])
def test_a_single_socket_is_answered_on(wildcard: bool) -> None:
    """A wildcard is alone where the kernel does not list the machine's addresses."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours, theirs = socket.socketpair()
    with plain, ours, theirs, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        plain.bind(("0.0.0.0" if wildcard else "127.0.0.1", 0))
        served: Datagrams = AnyAddress(plain) if wildcard else plain
        word = memoryview(bytearray(8)).cast("Q")
        follower = TableFollower("udp0", "udp", Stream(ours), word, (EMPTY, 0), os.getppid())

        def serve() -> None:
            with contextlib.suppress(SystemExit):
                udp.serve(follower, [served])

        worker = threading.Thread(target=serve, daemon=True)
        worker.start()
        try:
            client.settimeout(10)
            client.sendto(QUERY, ("127.0.0.1", plain.getsockname()[1]))
            answer = client.recv(512)
        finally:
            follower.ending = True
            worker.join(10)
            gc.enable()
        assert answer[:2] == QUERY[:2]
        assert answer[3] & 0x0F == 5, "REFUSED: there is no zone"
        assert not worker.is_alive()
