"""The beginning of a probe: a connection, from where the check says and with the header that it wants."""

import asyncio
import errno
import os
import socket
import ssl
import struct
import sys
from ipaddress import ip_address
from typing import Literal

from geodns.health.clock import ProbeClock
from geodns.model.checks import Target

_OURS = frozenset(
    {
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,  # no port is left at the address that a check has us connect from
        errno.EMFILE,
        errno.ENFILE,
        errno.EPERM,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EAFNOSUPPORT,
    }
)
"""What says nothing of the host. EHOSTUNREACH is not among them: it is what the kernel reports when nobody
answers ARP, so it is how a host in the same network looks that is switched off."""

_PERHAPS_OURS = frozenset({errno.ENETUNREACH, errno.EACCES})
"""What the kernel says of itself when it has no route, or may not connect; and over IPv6 what it makes of
an ICMP message: "no route" of a router's, "administratively prohibited" of a host's own firewall (RFC 4443
section 3.1)."""

_NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24 if sys.platform == "linux" else None)


async def connect(target: Target, clock: ProbeClock) -> socket.socket:
    """Return a connection to a target, with its PROXY header sent.

    Raises:
        OSError: it did not come about.

    """
    loop = asyncio.get_running_loop()
    sock = socket.socket(_family(target), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        _bind(sock, target)
        await loop.sock_connect(sock, (str(target.address), target.port))
        if sock.getsockname() == sock.getpeername():
            # Whoever connects to a free port of his own machine may meet himself (RFC 9293 section 3.5).
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")  # noqa: TRY301 - closed below
        clock.done("connect")
        clock.note("*", b"connected")
        if target.check.proxy_protocol is not None:
            here, there = sock.getsockname()[:2], sock.getpeername()[:2]
            line = header(target.check.proxy_protocol, here, there)
            clock.note(">", line if target.check.proxy_protocol == "v1" else b"PROXY header, version 2")
            await loop.sock_sendall(sock, line)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, target: Target) -> None:
    source = source_of(target)
    if source is None:
        return
    if _NO_PORT_YET is not None:
        # Else the port is one that no other connection from there has, to whomever: they would run out.
        sock.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
    sock.bind((source, 0))


def is_ours(error: OSError, target: Target) -> bool:
    """Tell whether a connection failed for trouble of this machine's own, which says nothing of the host."""
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's
        return False
    if error.errno in _PERHAPS_OURS:
        return _cannot_begin(target)
    return error.errno in _OURS


def _cannot_begin(target: Target) -> bool:
    """Tell whether this machine refuses at once to connect: then no answer of anybody's was the reason."""
    try:
        with socket.socket(_family(target), socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            _bind(sock, target)
            sock.connect((str(target.address), target.port))
    except BlockingIOError:
        return False
    except OSError as error:
        return error.errno in _OURS | _PERHAPS_OURS
    return False


def _family(target: Target) -> socket.AddressFamily:
    return socket.AF_INET if target.address.version == 4 else socket.AF_INET6


def source_of(target: Target) -> str | None:
    """Return the address to connect from; None where the system may choose."""
    version = target.address.version
    return next((str(one) for one in target.check.source if one.version == version), None)


def reason(error: Exception | None) -> str:
    """Return what happened to a connection in the system's words, without asyncio's."""
    if isinstance(error, ssl.SSLError):
        return f"TLS broke ({error.reason or error.strerror})"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOTCONN:  # it was connected, and reset before we looked
        number = errno.ECONNRESET
    return os.strerror(number).lower() if number else "connection closed"


SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""How version 2 begins (its section 2.2)."""


def header(version: Literal["v1", "v2"], source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Return the header of a TCP connection.

    Args:
        version: of the protocol.
        source: address and port of the client's end, both of the same family.
        destination: of the server's.

    """
    here, there = (ip_address(address.partition("%")[0]) for address, _ in (source, destination))
    ports = source[1], destination[1]
    if version == "v1":
        family = "TCP4" if here.version == 4 else "TCP6"
        return f"PROXY {family} {here} {there} {ports[0]} {ports[1]}\r\n".encode()
    addresses = here.packed + there.packed + struct.pack("!HH", *ports)
    # Version 2, command PROXY; then the family with STREAM, and the length of what follows.
    return (
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if here.version == 4 else 0x21, len(addresses)) + addresses
    )
