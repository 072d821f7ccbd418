"""A client that asks as fast as it is answered: dnsperf where it is installed, else one of our own."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from bench.processes import pinned
from bench.servers import NAME, QUERY
from geodns.errors import GeodnsError
from geodns.wire import edns

OUTSTANDING = 100
"""Queries on their way at once; dnsperf's own default."""

CLIENTS = 8
"""Sockets of dnsperf."""

OPT = b"\0\0\x29\x04\xd0" + bytes(6)
"""What resolvers send too: EDNS with 1232 bytes."""


class Load(NamedTuple):
    """What a client got.

    Attributes:
        answers: in all.
        seconds: that it took.
        lost: queries without an answer.

    """

    answers: int
    seconds: float
    lost: int


def has_dnsperf() -> bool:
    """Say whether dnsperf is there."""
    return shutil.which("dnsperf") is not None


def learn_cookie(port: int) -> bytes:
    """Return the cookie that a server gives to 127.0.0.1, as a resolver would send it from then on.

    Raises:
        GeodnsError: it gives none.

    """
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(1)
        client.send(_query(b"a client"))
        answer = client.recv(4096)
    place = answer.find(b"a client")
    if place < 0:
        raise GeodnsError(f"the server on port {port} gives no cookie")
    return answer[place : place + int.from_bytes(answer[place - 2 : place], "big")]


def ask(port: int, seconds: float, core: int, cookie: bytes = b"") -> Load:
    """Ask 127.0.0.1 for `NAME` A with EDNS, from a process on the given core."""
    with pinned(core):
        return _dnsperf(port, seconds, cookie) if has_dnsperf() else _own(port, seconds, cookie)


def _query(cookie: bytes) -> bytes:
    option = edns.option(edns.COOKIE, cookie) if cookie else b""
    query = bytearray(QUERY + OPT[:-2] + len(option).to_bytes(2, "big") + option)
    query[11] = 1
    return bytes(query)


def _dnsperf(port: int, seconds: float, cookie: bytes) -> Load:
    option = ("-E", f"{edns.COOKIE}:{cookie.hex()}") if cookie else ()
    fixed = ("-s", "127.0.0.1", "-e", *option, "-c", str(CLIENTS), "-q", str(OUTSTANDING), "-t", "1")
    command = ("dnsperf", *fixed, "-p", str(port), "-l", str(seconds))
    with tempfile.TemporaryFile("w+") as questions:  # no pipe: they are read again and again
        questions.write(f"{NAME} A\n")
        questions.seek(0)
        said = subprocess.run(
            command, stdin=questions, capture_output=True, text=True, timeout=seconds + 30, check=True
        ).stdout

    def number(label: str) -> float:
        found = re.search(rf"{label}:\s+([\d.]+)", said)
        return float(found[1]) if found else 0.0

    return Load(
        int(number("Queries completed")), number(r"Run time \(s\)") or seconds, int(number("Queries lost"))
    )


def _own(port: int, seconds: float, cookie: bytes) -> Load:
    command = (sys.executable, "-m", "bench.load", str(port), str(seconds), cookie.hex())
    said = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
    answers, took, lost = said.split()
    return Load(int(answers), float(took), int(lost))


def _client(port: int, seconds: float, cookie: bytes) -> Load:
    """Ask from one socket; whoever runs this costs more than the server, but does not slow its count."""
    packet = _query(cookie)
    answers = lost = 0
    begun = time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.5)
        send, receive, window = client.send, client.recv, OUTSTANDING // 2
        while time.monotonic() - begun < seconds:
            for _ in range(window):
                send(packet)
            for got in range(window):
                try:
                    receive(4096)
                except TimeoutError:
                    lost += window - got
                    break
                answers += 1
        return Load(answers, time.monotonic() - begun, lost)


if __name__ == "__main__":
    print(*_client(int(sys.argv[1]), float(sys.argv[2]), bytes.fromhex(sys.argv[3])))
