"""A name server in the test's own loop that says what it is told, over UDP and TCP."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

NAME = "mta.internal.example"


class NameServer:
    """Answers for one name.

    Attributes:
        records: by type, the TTL and the values; of types that are not here there are none.
        rcode: of each answer.
        silent: whether it gives none.
        few: over UDP, how many records it gives of more, without a word.
        port: where it listens.
        asked: the transports of the queries it had.

    """

    def __init__(self) -> None:
        self.records: dict[str, tuple[int, list[str]]] = {}
        self.rcode = dns.rcode.NOERROR
        self.rcodes: dict[str, dns.rcode.Rcode] = {}
        self.silent = False
        self.few: int | None = None
        self.port = 0
        self.asked: list[str] = []

    def has(self, *addresses: str, ttl: int = 30) -> None:
        """Answer with these addresses from now on."""
        for rtype, is_6 in (("A", False), ("AAAA", True)):
            self.records[rtype] = (ttl, [one for one in addresses if (":" in one) is is_6])

    def answer(self, packet: bytes, transport: str) -> bytes | None:
        self.asked.append(transport)
        if self.silent:
            return None
        query = dns.message.from_wire(packet)
        reply = dns.message.make_response(query)
        (question,) = query.question
        rtype = dns.rdatatype.to_text(question.rdtype)
        reply.set_rcode(self.rcodes.get(rtype, self.rcode))
        ttl, values = self.records.get(rtype, (0, []))
        if transport == "udp" and self.few is not None:
            values = values[: self.few]
        if reply.rcode() == dns.rcode.NOERROR and values:
            if "CNAME" in self.records:
                short, (alias,) = self.records["CNAME"]
                reply.answer.append(dns.rrset.from_text(question.name, short, "IN", "CNAME", alias))
                reply.answer.append(dns.rrset.from_text(alias, ttl, "IN", rtype, *values))
            else:
                reply.answer.append(dns.rrset.from_text(question.name, ttl, "IN", rtype, *values))
        if transport == "tcp":
            return reply.to_wire()
        return reply.to_wire(max_size=65535)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.answer(data, "udp")
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


@contextlib.asynccontextmanager
async def name_server(*, tcp: bool = True) -> AsyncIterator[NameServer]:
    """Run a name server on a free port of loopback until the block ends."""
    server = NameServer()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int.from_bytes(await reader.readexactly(2))
                reply = server.answer(await reader.readexactly(length), "tcp")
                if reply is not None:
                    writer.write(len(reply).to_bytes(2) + reply)
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        listener, port = _both()
        server.port = port.getsockname()[1]
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Udp(server), sock=port
        )
        stack.callback(transport.close)
        if tcp:
            stream = await asyncio.start_server(talk, sock=listener)
            stack.push_async_callback(stream.wait_closed)
            stack.callback(stream.close)
        else:
            stack.callback(listener.close)  # bound, not listening: it refuses
        yield server


def _both() -> tuple[socket.socket, socket.socket]:
    while True:
        listener, port = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        try:
            port.bind(listener.getsockname())
        except OSError:
            listener.close()
            port.close()
            continue
        port.setblocking(False)
        return listener, port


def addresses(low: int, high: int) -> Iterable[str]:
    """So many addresses of 10/8."""
    return (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(low, high))
