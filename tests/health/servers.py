"""Mail servers on loopback that behave well or badly, for the tests of the prober."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from geodns.model.checks import Check, Target

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def target(port: int, host: str = "127.0.0.1", **check: Any) -> Target:
    return Target(check=Check(name="smtp", **check), address=ip_address(host), port=port)


@contextlib.asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve on a port, by default a free one; every conversation has ended when this is left."""
    talks: set[asyncio.Task[Any]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, ssl.SSLError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            talks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(talk, host, port, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        # A connection that is being accepted while its server closes is never closed itself (Python 3.11).
        asyncio.get_running_loop().remove_reader(server.sockets[0].fileno())
        await _settle()
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await _settle()


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def script(*replies: bytes) -> Handler:
    """Say the first; then, for each line that comes, the next; then read until the end."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(replies[0])
        for reply in replies[1:]:
            if not await reader.readline():
                return
            writer.write(reply)
        await reader.read()

    return handler


GOOD = (b"220 mta1 ESMTP\r\n", b"250-mta1\r\n250 SIZE\r\n", b"221 Bye\r\n")


def mail_server(
    context: ssl.SSLContext | None = None,
    *,
    heard: list[bytes] | None = None,
    greeting: bytes = b"220 mta1 ESMTP\r\n",
    replies: Mapping[bytes, bytes] = MappingProxyType({}),
) -> Handler:
    """A server that takes all it is told, but for some verbs, and STARTTLS if it has a certificate."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        encrypted = False
        while line := await reader.readline():
            if heard is not None:
                heard.append(line)
            verb = line.split()[0].upper()
            if verb in replies:
                writer.write(replies[verb])
            elif verb in {b"EHLO", b"LHLO"}:
                offer = (
                    b"250-STARTTLS\r\n" if context is not None and not encrypted else b"250-AUTH PLAIN\r\n"
                )
                writer.write(b"250-mta1\r\n" + offer + b"250-SIZE 1000\r\n250 8BITMIME\r\n")
            elif verb == b"STARTTLS" and context is not None:
                writer.write(b"220 go\r\n")
                await writer.start_tls(context)
                encrypted = True
            elif verb == b"QUIT":
                writer.write(b"221 Bye\r\n")
            elif line.startswith(b"RCPT TO:<later"):
                writer.write(b"450 4.2.0 later\r\n")
            elif line.startswith(b"RCPT TO:<nobody"):
                writer.write(b"550 5.1.1 no such user\r\n")
            else:
                writer.write(b"250 OK\r\n")

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept and never greet."""
    del writer
    await reader.read()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection instead of greeting."""
    del reader
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@contextlib.contextmanager
def full_port() -> Iterator[int]:
    """A port of 127.0.0.1 that answers no connection: its backlog is full, and nobody accepts."""
    with socket.socket() as sock, contextlib.ExitStack() as waiting:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(sock.getsockname())
        yield sock.getsockname()[1]


def server_context(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mta1.out.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
