"""What TCP clients that stay cost: how many are held and answered, and the memory of each in the server."""

import contextlib
import resource
import socket
import struct
import tempfile
from pathlib import Path

from bench.figures import Figure
from bench.processes import of_session, own_memory
from bench.servers import GEODNS, QUERY, running
from geodns.errors import GeodnsError

HELD = 1000
"""As many as geodns holds unless told otherwise."""

A_CLIENT = 50
"""Connections from one address of loopback; geodns takes 100."""

FRAME = struct.pack(">H", len(QUERY)) + QUERY


def measure(held: int = HELD) -> list[Figure]:
    """Open connections, have a query answered on each, and then again on each while all stay open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, held + 100)), hard))
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = stack.enter_context(running(GEODNS, folder / "geodns"))
            pids = of_session(server.pid)
            before = {pid: own_memory(pid) for pid in pids}
            clients = [stack.enter_context(_client(number, server.port)) for number in range(held)]
            answered = 0
            for _ in range(2):
                answered = sum(map(_ask, clients))
            if answered < held:
                raise GeodnsError(f"only {answered} of {held} connections are answered")
            grown = max(own_memory(pid) - before[pid] for pid in pids)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return [
        Figure("connections held", f"{held:,}", "each answered, and again while all are open"),
        Figure("memory of a held connection", f"{grown * 1024 / held:.1f} KiB", "in the TCP worker"),
    ]


def _client(number: int, port: int) -> socket.socket:
    source = f"127.0.{2 + number // A_CLIENT // 250}.{1 + number // A_CLIENT % 250}"
    client = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def _ask(client: socket.socket) -> bool:
    """Ask one query; say whether the answer is whole."""
    try:
        client.sendall(FRAME)
        data = client.recv(65537)
    except OSError:
        return False
    return len(data) > 2 and len(data) == 2 + struct.unpack_from(">H", data)[0]
