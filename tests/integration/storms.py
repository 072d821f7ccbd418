"""Packets by the thousand, over UDP and over connections of every kind, and what a process weighs."""

import contextlib
import random
import select
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from tests.integration.mailhosts import Address
from tests.integration.packets import MAX_UDP, limit, mutated, noise, query


def packet_of(rng: random.Random, names: Sequence[bytes]) -> bytes:
    """Most often a query with something wrong, sometimes a proper one, or noise."""
    kind = rng.randrange(5)
    return noise(rng) if kind == 0 else query(rng, names) if kind == 1 else mutated(rng, names)


def storm(address: Address, rng: random.Random, names: Sequence[bytes], number: int) -> int:
    """Send packets from a few sockets, no more at a time than are taken; check every answer; count them."""
    answers = 0
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    try:
        for client in clients:
            client.connect(address)
        asked: dict[tuple[int, bytes], int] = {}
        for turn in range(0, number, 64):
            for client in clients:
                for _ in range(8):
                    packet = packet_of(rng, names)
                    # Which of several with one ID an answer is for cannot be told: the widest counts.
                    key = client.fileno(), packet[:2]
                    asked[key] = max(asked.get(key, 0), limit(packet))
                    client.send(packet)
            waiting = select.select(clients, [], [], 0.2 if turn % 1024 == 0 else 0)[0]
            while waiting:
                for client in waiting:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            answer = client.recv(65535, socket.MSG_DONTWAIT)
                            answers += 1
                            assert len(answer) >= 12
                            assert answer[2] & 0x80, "a response has QR set"
                            # What is late may be for a socket of an earlier storm, at the same port.
                            most = asked.get((client.fileno(), answer[:2]), MAX_UDP)
                            assert len(answer) <= most, answer.hex()
                waiting = select.select(clients, [], [], 0)[0]
    finally:
        for client in clients:
            client.close()
    return answers


def talk(address: Address, rng: random.Random, names: Sequence[bytes]) -> int:
    """Send about fifty messages over one connection, and read what comes until it closes; count answers."""
    stream = bytearray()
    for _ in range(rng.randrange(1, 100)):
        packet = rng.choice((query, query, mutated))(rng, names)
        stream += struct.pack(">H", len(packet)) + packet
    match rng.randrange(5):
        case 0:
            stream += rng.randbytes(rng.randrange(2000))
        case 1:
            del stream[rng.randrange(len(stream)) :]
        case 2:
            stream[rng.randrange(len(stream))] ^= 0xFF
        case 3:
            stream += struct.pack(">H", 0) * 20
    received = bytearray()
    with (
        socket.create_connection(address, timeout=10) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(stream)
        if rng.random() < 0.2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return 0
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            received += chunk
    answers = 0
    while len(received) >= 2:
        (size,) = struct.unpack_from(">H", received)
        if len(received) < 2 + size:
            break
        assert size >= 12
        assert received[4] & 0x80
        del received[: 2 + size]
        answers += 1
    return answers


def resident(pid: int) -> int:
    """Bytes of memory that are a process's own."""
    (line,) = (
        line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if "Private_Dirty" in line
    )
    return int(line.split()[1]) * 1024
