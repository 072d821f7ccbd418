"""A hundred thousand packets that are no proper queries: none stops a worker, fattens it or amplifies."""

import contextlib
import random
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import packets
from tests.integration.cluster import Server, serving
from tests.integration.mailhosts import wait_until

ZONE = "lab.example"
SEED = 20261123
HOST, ADDRESS = f"mx07.{ZONE}", "192.0.2.107"
GROWTH = 4 << 20
"""Bytes that a worker may grow by in a second storm: what is filled once was filled by the first."""

TEXT = f"""\
ns: {{ns1: 192.0.2.53, ns2: "2001:db8::53"}}
hosts: {{"mx[01-40]": {{address: ["192.0.2.[101-140]", "2001:db8::[101-140]"]}}}}
pools: {{main: {{hosts: ["mx*"], answers: 32}}}}
records:
  "@": {{A: {{pool: main}}, AAAA: {{pool: main}}, MX: {{pool: main, preference: 10}}}}
  long: {{TXT: [{", ".join(f'"{number:02}{"x" * 240}"' for number in range(40))}]}}
  "*.wild": {{A: 192.0.2.9}}
  alias: {{CNAME: long}}
  "a.b.c.d": {{A: 192.0.2.8}}
  sub: {{NS: ns.sub}}
  ns.sub: {{A: 192.0.2.7}}
"""


def name_of(text: str) -> bytes:
    return b"".join(bytes((len(label),)) + label.encode() for label in text.split(".")) + b"\0"


NAMES = [
    name_of(text)
    for text in (
        ZONE,
        f"mx01.{ZONE}",
        f"long.{ZONE}",
        f"x.wild.{ZONE}",
        f"alias.{ZONE}",
        f"c.d.{ZONE}",
        f"nobody.{ZONE}",
        "example.org",
    )
] + [b"\0"]


def query(rng: random.Random) -> bytes:
    return packets.query(rng, NAMES)


def mutated(rng: random.Random) -> bytes:
    return packets.mutated(rng, NAMES)


def packet_of(rng: random.Random) -> bytes:
    return rng.choice((query, mutated, mutated, mutated, packets.noise))(rng)


def resident(pid: int) -> int:
    """Bytes of memory that are a process's own."""
    (line,) = (
        line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if "Private_Dirty" in line
    )
    return int(line.split()[1]) * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("packets"), {ZONE: TEXT}, workers=2) as one:
        yield one


@contextlib.contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """Expect every worker to come out of it as it went in."""
    before = {pid: resident(pid) for pid in server.workers()}
    yield
    for tcp in (False, True):
        for _ in range(8):
            assert server.values(HOST, tcp=tcp) == [ADDRESS]
    assert set(server.workers()) == before.keys()
    assert server.metric("geodns_worker_restarts_total") == 0
    assert "Traceback" not in server.log()
    assert server.status()["ready"]
    grown = {pid: resident(pid) - size for pid, size in before.items()}
    assert max(grown.values()) < GROWTH, grown


def storm(server: Server, rng: random.Random, number: int) -> int:
    """Send packets from a few sockets, no more at a time than are taken; check every answer; count them."""
    answers = 0
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    try:
        for client in clients:
            client.connect(server.listen[0])
        asked: dict[tuple[int, bytes], int] = {}
        for turn in range(0, number, 64):
            for client in clients:
                for _ in range(8):
                    packet = packet_of(rng)
                    # Which of several with one ID an answer is for cannot be told: the widest counts.
                    key = client.fileno(), packet[:2]
                    asked[key] = max(asked.get(key, 0), packets.limit(packet))
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
                            assert len(answer) <= asked[client.fileno(), answer[:2]], answer.hex()
                waiting = select.select(clients, [], [], 0)[0]
    finally:
        for client in clients:
            client.close()
    return answers


def test_datagrams(server: Server) -> None:
    rng = random.Random(SEED)
    storm(server, rng, 40_000)  # fills what is filled once
    with unharmed(server):
        answers = storm(server, rng, 60_000)
    # Most are answered, if only by an error; without this the test could be of packets that never arrive.
    assert answers > 10_000


def test_streams(server: Server) -> None:
    """Twenty thousand messages over connections that are cut, mixed up, or never say what they promised."""
    rng = random.Random(SEED + 1)
    answers = sum(talk(server, rng) for _ in range(200))
    with unharmed(server):
        answers += sum(talk(server, rng) for _ in range(250))
    assert answers > 2_000


def talk(server: Server, rng: random.Random) -> int:
    """Send about fifty messages over one connection, and read what comes until it closes; count answers."""
    stream = bytearray()
    for _ in range(rng.randrange(1, 100)):
        packet = rng.choice((query, query, mutated))(rng)
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
        socket.create_connection(server.listen[0], timeout=10) as connection,
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


def test_connections_that_are_half_open(server: Server) -> None:
    """Who holds as many connections as he gets, and says nothing, keeps nobody from asking."""
    with unharmed(server), contextlib.ExitStack() as stack:
        held = []
        for number in range(1200):
            one = stack.enter_context(socket.socket())
            one.bind((f"127.0.{1 + number // 90}.1", 0))
            one.settimeout(10)
            one.connect(server.listen[0])
            one.sendall(beginning(number))
            held.append(one)
        began = time.monotonic()
        assert server.values(HOST, tcp=True) == [ADDRESS]
        assert server.values(HOST) == [ADDRESS]
        assert time.monotonic() - began < 5
    wait_until(lambda: server.values(HOST, tcp=True) == [ADDRESS], what="answers once they are gone")


def beginning(number: int) -> bytes:
    """The beginning of a message: nothing, half a length, a length, or some of what it promises."""
    return (b"", b"\0", b"\xff\xff", b"\xff\xff" + b"x" * 1000)[number % 4]
