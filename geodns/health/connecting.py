"""The beginning of a probe: a connection, from where the check says and with the header that it wants."""

import asyncio
import errno
import os
import socket

from geodns.health import proxy
from geodns.health.clock import Clock
from geodns.model import Target


async def connect(target: Target, clock: Clock) -> socket.socket:
    """Return a connection to a target, with its PROXY header sent.

    Raises:
        OSError: it did not come about.

    """
    family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
    loop = asyncio.get_running_loop()
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        source = source_of(target)
        if source is not None:
            sock.bind((source, 0))
        await loop.sock_connect(sock, (str(target.address), target.port))
        if sock.getsockname() == sock.getpeername():
            # Whoever connects to a free port of his own machine may meet himself (RFC 9293 section 3.5).
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")  # noqa: TRY301 - closed below
        clock.done("connect")
        clock.note("*", b"connected")
        if target.check.proxy_protocol is not None:
            here, there = sock.getsockname()[:2], sock.getpeername()[:2]
            header = proxy.header(target.check.proxy_protocol, here, there)
            clock.note(">", header if target.check.proxy_protocol == "v1" else b"PROXY header, version 2")
            await loop.sock_sendall(sock, header)
    except BaseException:
        sock.close()
        raise
    return sock


def source_of(target: Target) -> str | None:
    """Return the address to connect from; None where the system may choose."""
    version = target.address.version
    return next((str(one) for one in target.check.source if one.version == version), None)


def reason(error: Exception | None) -> str:
    """Return what happened to a connection in the system's words, without asyncio's."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOTCONN:  # it was connected, and reset before we looked
        number = errno.ECONNRESET
    return os.strerror(number).lower() if number else "connection closed"
