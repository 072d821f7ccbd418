"""Asks workers on private sockets a query or two for every zone, and compares with the Table."""

import json
import random
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from geodns.errors import StartError
from geodns.responder.respond import respond
from geodns.responder.table import RotationKey, Table, ViewKey, ZoneTable
from geodns.responder.worker_state import WorkerState
from geodns.serve.sockets import HostPort
from geodns.wire import codes
from geodns.wire.message import HEADER, question
from geodns.wire.names import name_from_wire

WITHIN = 3.0
"""Seconds for an answer."""
_TRIES = 3
_AA, _A = 0x04, 1


def ask_workers(table: Table, dns: HostPort, routes: Sequence[tuple[str, str]]) -> None:
    """Ask for the SOA of every zone, and for the A of a name with a pool, over UDP and TCP; and for routes.

    Args:
        table: that the workers answer from.
        dns: where.
        routes: the zone and the place (address and port) of every listener for routes.

    Raises:
        StartError: an answer is missing or wrong; the text says which.

    """
    for transport, client in (("UDP", _Udp(dns)), ("TCP", _Tcp(dns))):
        with closing(client):
            for zone in table.zones.values():
                for name, rtype in _questions(zone):
                    _check(table, client, transport, name, rtype)
    for zone_name in table.routes:
        for own, place in routes:
            if own in {"", zone_name}:
                _check_route(zone_name, place)


def _questions(zone: ZoneTable) -> Iterator[tuple[bytes, int]]:
    yield zone.origin, codes.SOA
    for name, node in zone.nodes.items():
        if isinstance(node.rrsets.get(_A), RotationKey | ViewKey):
            yield name, _A
            return


def _check(table: Table, client: "_Udp | _Tcp", transport: str, name: bytes, rtype: int) -> None:
    number = random.getrandbits(16)
    query = struct.pack(">HHHHHH", number, 0, 1, 0, 0, 0) + question(name, rtype)
    about = f"the {transport} worker's answer for {name_from_wire(name)} {codes.name_of(rtype)}"
    try:
        answer = client.ask(query)
    except OSError as error:
        raise StartError(f"{about} is missing: {error.strerror or error}") from None
    wanted = respond(
        table,
        query,
        ("127.0.0.1", 53, transport.lower()),
        time.monotonic(),
        WorkerState(random.Random()),  # noqa: S311 - a place to start from
    )
    if wanted is None or len(answer) < HEADER or answer[:2] != query[:2]:
        raise StartError(f"{about} is none")
    if answer[HEADER : len(query)] != query[HEADER:]:
        raise StartError(f"{about} is for another question")
    if (answer[3] & 15, answer[2] & _AA) != (wanted[3] & 15, wanted[2] & _AA):
        raise StartError(f"{about} has response code {answer[3] & 15}, not {wanted[3] & 15}")
    if rtype == codes.SOA and (answer[3] & 15 or not int.from_bytes(answer[6:8])):
        raise StartError(f"{about} has no SOA (response code {answer[3] & 15})")


class _Udp:
    def __init__(self, where: HostPort) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(where)
        self._socket.settimeout(WITHIN / _TRIES)
        self.close = self._socket.close

    def ask(self, query: bytes) -> bytes:
        for left in reversed(range(_TRIES)):
            self._socket.send(query)
            try:
                while True:
                    answer = self._socket.recv(65535)
                    if answer[:2] == query[:2]:
                        return answer
            except TimeoutError:
                if not left:
                    raise
        raise TimeoutError


class _Tcp:
    def __init__(self, where: HostPort) -> None:
        self._where = where
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def ask(self, query: bytes) -> bytes:
        if self._socket is None:
            self._socket = socket.create_connection(self._where, WITHIN)
        self._socket.sendall(struct.pack(">H", len(query)) + query)
        return self._read(self._socket, int.from_bytes(self._read(self._socket, 2)))

    @staticmethod
    def _read(connection: socket.socket, length: int) -> bytes:
        data = b""
        while len(data) < length:
            piece = connection.recv(length - len(data))
            if not piece:
                raise ConnectionError("it was closed")
            data += piece
        return data


def _check_route(zone: str, place: str) -> None:
    host, _, port = place.rpartition(":")
    body = json.dumps({"zone": zone}).encode()
    head = (
        f"POST /route HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    about = f"the routes worker's answer for zone {zone}"
    data = b""
    try:
        with socket.create_connection((host.strip("[]"), int(port)), WITHIN) as asking:
            asking.sendall(head.encode() + body)
            while piece := asking.recv(65536):
                data += piece
    except OSError as error:
        raise StartError(f"{about} is missing: {error.strerror or error}") from None
    status = data.split(b"\r\n", 1)[0].decode("latin-1")
    if not status.startswith("HTTP/1.1 200"):
        raise StartError(f"{about} is not 200 but {status or 'empty'}")
