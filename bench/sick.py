"""Mail hosts to be judged: twelve that are sick, and four that are healthy, three in an awkward way."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bench.probing import addresses
from tests.health.certificates import Authority, server
from tests.health.servers import Handler, mail_server, script, serving, silent

RECIPIENT = "postmaster@out.example.com"


class Host(NamedTuple):
    """A mail host.

    Attributes:
        what: it does.
        healthy: whether a client that waits and reads as RFC 5321 says can hand it mail, over TLS.
        handler: does it.

    """

    what: str
    healthy: bool
    handler: Handler


def hosts(folder: Path, signer: Authority, delay: float) -> tuple[Host, ...]:
    """Return all of them, the healthy ones first.

    Args:
        folder: for their certificates.
        signer: of these.
        delay: seconds that a slow one takes.

    """
    good = server(folder, signer)
    expired = server(folder, signer, since=-90, days=-1)
    none = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    said = b"220-mta1.example.com ESMTP\r\n220-No spam here.\r\n220 Go on\r\n"
    no = b"550 5.7.1 Go away\r\n"
    return (
        Host("greets and takes mail", True, mail_server(good)),
        Host("greets in several lines", True, mail_server(good, greeting=said)),
        Host("greets with a code and no text", True, mail_server(good, greeting=b"220\r\n")),
        Host(f"one line, {delay:g} s, the other; drops early talkers", True, _screened(good, delay)),
        Host("554 mx220.example.com: no SMTP here", False, script(b"554 mx220.example.com\r\n", no, no)),
        Host("421 too busy", False, _once(b"421 4.3.2 mta1.example.com too busy\r\n")),
        Host("accepts and says nothing", False, silent),
        Host("accepts and closes", False, _once(b"")),
        Host("stops within its greeting", False, script(b"220 mta1.example.com ESM")),
        Host("greets, then refuses EHLO", False, mail_server(replies={b"EHLO": no, b"HELO": no})),
        Host("greets, then hangs at EHLO", False, script(b"220 mta1.example.com ESMTP\r\n")),
        Host("binary garbage", False, _once(bytes(range(256)) + b"\r\n")),
        Host("a web server", False, _web),
        Host("STARTTLS whose handshake fails", False, mail_server(none)),
        Host("STARTTLS whose certificate expired", False, mail_server(expired)),
        Host("takes no recipient any more", False, mail_server(good, replies={b"RCPT": no})),
    )


@asynccontextmanager
async def open_hosts(some: tuple[Host, ...], port: int) -> AsyncIterator[Mapping[IPv4Address, Host]]:
    """Open each at an address of its own, all at one port."""
    places = dict(zip(addresses(len(some)), some, strict=True))
    async with AsyncExitStack() as stack:
        for address, host in places.items():
            await stack.enter_async_context(serving(host.handler, str(address), port))
        yield MappingProxyType(places)


def _once(said: bytes) -> Handler:
    """Say something, and close."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(said)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return handler


def _screened(context: ssl.SSLContext, delay: float) -> Handler:
    """Greet as Postfix's postscreen does: half of it, a wait for those who talk too early, the rest."""
    rest = mail_server(context, greeting=b"220 mta1.example.com ESMTP\r\n")

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220-mta1.example.com please wait\r\n")
        try:
            async with asyncio.timeout(delay):
                early = await reader.read(1)
        except TimeoutError:
            await rest(reader, writer)
            return
        if early:
            writer.write(b"521 5.5.1 Protocol error\r\n")
            await writer.drain()

    return handler


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait for a request, and complain of it; after a while also if there is none."""
    try:
        async with asyncio.timeout(1):
            await reader.readline()
    except TimeoutError:
        writer.write(b"HTTP/1.0 408 Request Time-out\r\n\r\n")
    else:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    await writer.drain()
