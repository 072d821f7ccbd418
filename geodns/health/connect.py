"""Connects to a target as its check says (source, PROXY header), and tells whose fault a failure is."""

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

_NO_PORT_YET = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24 if sys.platform == "linux" else None)

PROXY_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""The first bytes of a version 2 header (section 2.2 of its specification)."""


async def connect(target: Target, clock: ProbeClock) -> socket.socket:
    """Connect to a target and send its PROXY header; raises OSError."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(_family(target), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        _bind(sock, target)
        await loop.sock_connect(sock, (str(target.address), target.port))
        if sock.getsockname() == sock.getpeername():
            # A connection to a free port of this machine may meet itself (RFC 9293 section 3.5).
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")  # noqa: TRY301 - closed below
        clock.reached = True
        clock.done("connect")
        clock.note("*", b"connected")
        if target.check.proxy_protocol is not None:
            here, there = sock.getsockname()[:2], sock.getpeername()[:2]
            line = proxy_header(target.check.proxy_protocol, here, there)
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
        # Else bind() takes a port that no other connection from there uses, to any host: ports would run out.
        sock.setsockopt(socket.IPPROTO_IP, _NO_PORT_YET, 1)
    sock.bind((source, 0))


def source_of(target: Target) -> str | None:
    """Return the address to connect from; None lets the system choose."""
    version = target.address.version
    return next((str(one) for one in target.check.source if one.version == version), None)


def _family(target: Target) -> socket.AddressFamily:
    return socket.AF_INET if target.address.version == 4 else socket.AF_INET6


def proxy_header(
    version: Literal["v1", "v2"], source: tuple[str, int], destination: tuple[str, int]
) -> bytes:
    """Return the PROXY header of a TCP connection; both ends are address and port, of the same family."""
    here, there = (ip_address(address.partition("%")[0]) for address, _ in (source, destination))
    ports = source[1], destination[1]
    if version == "v1":
        family = "TCP4" if here.version == 4 else "TCP6"
        return f"PROXY {family} {here} {there} {ports[0]} {ports[1]}\r\n".encode()
    addresses = here.packed + there.packed + struct.pack("!HH", *ports)
    # Version 2, command PROXY; then the family with STREAM, and the length of what follows.
    return (
        PROXY_SIGNATURE
        + struct.pack("!BBH", 0x21, 0x11 if here.version == 4 else 0x21, len(addresses))
        + addresses
    )


# --- whose fault a failure is ---------------------------------------------------------------------------

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
"""Errors of this machine, which say nothing of the host. EHOSTUNREACH is not among them: the kernel reports
it when nobody answers ARP, so it is how a host in the same network looks that is switched off."""

_PERHAPS_OURS = frozenset({errno.ENETUNREACH, errno.EACCES})
"""Errors of this machine when it has no route or may not connect; but over IPv6 also of an ICMP message: "no
route" from a router, "administratively prohibited" from a host's own firewall (RFC 4443 section 3.1)."""


def is_ours(error: OSError, target: Target) -> bool:
    """Tell whether a connection failed by this machine's fault, which says nothing of the host."""
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's
        return False
    if error.errno in _PERHAPS_OURS:
        return _cannot_begin(target)
    return error.errno in _OURS


def _cannot_begin(target: Target) -> bool:
    """Tell whether this machine refuses at once to connect: then no answer from outside was the reason."""
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


_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EACCES})
"""The kernel's errors when a router, or nobody, answers in the host's place."""


def is_silence(error: OSError) -> bool:
    """Tell whether a failure leaves open that the prober is cut off: a time-out, or "unreachable"."""
    if isinstance(error, ssl.SSLError):
        return False
    return isinstance(error, TimeoutError) or error.errno in _UNREACHABLE


def reason(error: Exception | None) -> str:
    """Return why a connection failed, in the system's words and not asyncio's; None is a close."""
    if isinstance(error, ssl.SSLError):
        return f"TLS broke ({error.reason or error.strerror})"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOTCONN:  # it was connected, and reset before we looked
        number = errno.ECONNRESET
    return os.strerror(number).lower() if number else "connection closed"
