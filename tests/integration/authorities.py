"""NSD and Knot from the distribution, with given zone files on free ports of loopback, to ask beside ours."""

import contextlib
import shutil
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from bench import servers
from bench.servers import Server
from geodns.wire import codes
from geodns.wire.message import question
from geodns.wire.names import name_to_wire

SECRET = "e5e973e5a6b2a43f48e7dc849e37bfcf"
"""Of the cookies of all servers (RFC 9018 section 5)."""

NSD_OPTIONS = (
    "minimal-responses: yes",  # no NS and no address records that nobody asked for, as we and Knot answer
    "confine-to-zone: yes",  # an answer is one zone's, also where several are served
    f'cookie-secret: "{SECRET}"',
    "tcp-query-count: 0",  # any number of queries on one connection
    'nsid: "ascii_other"',
    "hide-version: yes",
    "hide-identity: yes",
)

KNOT_OPTIONS = ('nsid: "other"', 'identity: ""', 'version: ""')

BATCH = 32
"""Packets on their way at once: no socket's buffer overflows, so whoever gives no answer has dropped one."""
PATIENCE = 10.0
"""Seconds that a batch may take."""

_LENGTH = struct.Struct(">H")


class Authority:
    """A name server to ask, with one worker, so that it answers in the order of the packets.

    Args:
        name: in messages.
        address: of UDP and TCP.
        known: a name on the wire that it is authoritative for.

    """

    def __init__(self, name: str, address: tuple[str, int], known: bytes) -> None:
        self.name = name
        self._address = address
        self._last = _query(0xFFFF, known)

    def ask(self, packets: Sequence[bytes], *, one_by_one: bool = False) -> list[bytes | None]:
        """Send datagrams, whose IDs are replaced; return their answers, None for each that gets none.

        Args:
            packets: what to send.
            one_by_one: wait for each answer, and send no more than 96 in a second: NSD gives no more than 100
                errors, and of datagrams that it takes at once it may leave those behind a bad one unanswered.

        """
        answers: list[bytes | None] = []
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE)
            client.connect(self._address)
            size = 1 if one_by_one else BATCH
            for start in range(0, len(packets), size):
                if one_by_one and start and start % 96 == 0:
                    time.sleep(1.01)
                batch = packets[start : start + size]
                for number, packet in enumerate(batch):
                    client.send(_LENGTH.pack(start + number & 0x7FFF) + packet[2:])
                client.send(self._last)
                found: dict[int, bytes] = {}
                while True:
                    answer = client.recv(65535)
                    (number,) = _LENGTH.unpack_from(answer)
                    if number == 0xFFFF:
                        break
                    found[number] = answer
                answers += [found.get(start + number & 0x7FFF) for number in range(len(batch))]
        return answers

    def ask_over_tcp(self, packets: Sequence[bytes]) -> list[bytes]:
        """Send queries over one connection, or over another where that is closed; return their answers."""
        found: dict[int, bytes] = {}
        while len(found) < len(packets):
            before = len(found)
            with (
                socket.create_connection(self._address, PATIENCE) as client,
                client.makefile("rb") as stream,
                contextlib.suppress(ConnectionError, struct.error),
            ):
                while left := [number for number in range(len(packets)) if number not in found][:BATCH]:
                    client.sendall(b"".join(_framed(number, packets[number]) for number in left))
                    for _ in left:
                        answer = stream.read(_LENGTH.unpack(stream.read(2))[0])
                        found[_LENGTH.unpack_from(answer)[0]] = answer
            assert len(found) > before, f"{self.name} closes every connection"
        return [found[number] for number in range(len(packets))]


def _framed(number: int, packet: bytes) -> bytes:
    return _LENGTH.pack(len(packet)) + _LENGTH.pack(number) + packet[2:]


def _query(number: int, name: bytes) -> bytes:
    return struct.pack(">6H", number, 0, 1, 0, 0, 0) + question(name, codes.SOA)


@contextmanager
def authorities(folder: Path, zones: Mapping[str, str]) -> Iterator[list[Authority]]:
    """Run NSD and Knot with these zone files' texts by zone name, whichever are installed."""
    known = name_to_wire(f"{next(iter(zones))}.")
    kinds = (
        Server("NSD", "nsd", "nsd", partial(servers.nsd_command, zones=zones, options=NSD_OPTIONS)),
        Server(
            "Knot",
            "knotd",
            "knot",
            partial(servers.knot_command, zones=zones, options=KNOT_OPTIONS, cookies=[f"secret: 0x{SECRET}"]),
        ),
    )
    with ExitStack() as stack:
        found = []
        for kind in kinds:
            if kind.installed:
                running = stack.enter_context(servers.running(kind, folder / kind.name, _query(1, known)))
                found.append(Authority(kind.name, ("127.0.0.1", running.port), known))
        yield found


def need(*programs: Iterable[str] | str) -> pytest.MarkDecorator:
    """Skip tests where one of the programs (each with its package) is not installed."""
    missing = [package for program, package in map(tuple, programs) if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not here: apt-get install {' '.join(missing)}")
