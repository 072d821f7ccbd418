"""The sockets of a server: found free, opened once, and kept by the supervisor for whoever serves them.

UDP has one SO_REUSEPORT socket per worker and address, among which the kernel spreads clients; TCP and HTTP
have one listening socket per listener.
"""

import errno
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geodns.errors import StartError

HostPort = tuple[str, int]
"""A numeric address and a port."""

BUFFER = 1 << 20
"""Bytes of queries that wait for a worker that is being restarted; the kernel may allow less."""

BACKLOG = 511
"""TCP connections that wait to be accepted."""

ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound
"""The wildcards."""

_TRIES = 50
_IP_PKTINFO = 8


class Datagrams(Protocol):
    """What a UDP worker needs of a socket."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, tuple[str, int]]:
        """Return a packet and the sender."""

    def sendto(self, data: bytes, address: tuple[str, int], /) -> int:
        """Send a packet."""

    def close(self) -> None:
        """Close the descriptor."""


class AnyAddress:
    """A wildcard socket that answers from the address asked (RFC 3542 section 4; ip(7), IP_PKTINFO).

    It takes what the sockets of single addresses do not: an address that came after the start, say, or one
    of 127.0.0.0/8. An answer goes to whoever was received from last.
    """

    def __init__(self, wildcard: socket.socket) -> None:
        self._socket = wildcard
        self._asked: list[tuple[int, int, bytes]] = []
        if wildcard.family == socket.AF_INET6:
            wildcard.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            wildcard.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, tuple[str, int]]:
        """Return a packet and the sender, and remember the address asked."""
        packet, asked, _, client = self._socket.recvmsg(bufsize, 64, flags)
        # Without the interface: the way back is the routing table's business.
        self._asked = [
            (level, kind, bytes(4) + info[4:] if level == socket.IPPROTO_IP else info[:16] + bytes(4))
            for level, kind, info in asked
        ]
        return packet, client

    def sendto(self, data: bytes, address: tuple[str, int], /) -> int:
        """Answer from the address that was asked."""
        return self._socket.sendmsg((data,), self._asked, 0, address)

    def close(self) -> None:
        """Close the descriptor."""
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Sockets:
    """Every socket of a server.

    Attributes:
        listen: the listeners, with the ports that were taken for port 0.
        udp: by worker, its sockets.
        tcp: listening.
        http: listening.

    """

    listen: tuple[HostPort, ...]
    udp: tuple[tuple[Datagrams, ...], ...]
    tcp: tuple[socket.socket, ...]
    http: socket.socket

    def close(self) -> None:
        """Close them all."""
        for datagrams in (one for sockets in self.udp for one in sockets):
            datagrams.close()
        for one in (*self.tcp, self.http):
            one.close()


def open_http(address: HostPort) -> socket.socket:
    """Open the HTTP side's socket, which does not listen yet.

    Raises:
        StartError: which address is the trouble, and what to do.

    """
    return bound(address, socket.SOCK_STREAM, "HTTP")


def open_sockets(listen: Sequence[HostPort], http: HostPort | socket.socket, workers: int) -> Sockets:
    """Open everything, or nothing.

    Args:
        listen: where DNS is answered; port 0 takes one that is free for UDP and TCP.
        http: where the control process listens, or a socket that is open already.
        workers: of UDP.

    Raises:
        StartError: which address is the trouble, and what to do.

    """
    opened: list[socket.socket] = []
    try:
        real: list[HostPort] = []
        for address in dict.fromkeys(listen):
            if _covered(address, listen):
                real.append(address)
                continue
            probe, tcp = _free_pair(address)
            probe.close()
            opened.append(tcp)
            real.append((address[0], tcp.getsockname()[1]))
        tcps = tuple(opened)
        web = http if isinstance(http, socket.socket) else open_http(http)
        opened.append(web)
        udp: list[tuple[Datagrams, ...]] = []
        for _ in range(workers):
            sockets = list(_shared(real))
            opened.extend(sockets)
            udp.append(tuple(AnyAddress(one) if one.getsockname()[0] in ANY else one for one in sockets))
        for one in (*tcps, web):
            one.listen(BACKLOG)
    except BaseException:
        for one in opened:
            one.close()
        raise
    return Sockets(tuple(real), tuple(udp), tcps, web)


def local_addresses() -> tuple[str, ...]:
    """Return this machine's addresses, as far as the kernel lists them without a question.

    Link-local IPv6 addresses are left out: they mean nothing without an interface.
    """
    found: dict[str, None] = {}
    for address in re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", _text("/proc/net/fib_trie")):
        found[address] = None
    for line in _text("/proc/net/if_inet6").splitlines():
        digits = line.split()[0]
        if not digits.startswith("fe8"):
            found[socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))] = None
    return tuple(found)


def _text(path: str) -> str:
    try:
        return Path(path).read_text("ascii")
    except OSError:
        return ""


def shown(address: HostPort) -> str:
    """Return an address as ``--listen`` takes it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _covered(address: HostPort, listen: Iterable[HostPort]) -> bool:
    """Say whether a wildcard listener on the same port has this address too."""
    wildcard = "::" if ":" in address[0] else "0.0.0.0"  # noqa: S104 - compared with, not bound
    return address[0] != wildcard and address[1] != 0 and (wildcard, address[1]) in listen


def _free_pair(address: HostPort) -> tuple[socket.socket, socket.socket]:
    """Bind a UDP and a TCP socket to one address; nobody else can have either port then."""
    for _ in range(_TRIES if address[1] == 0 else 1):
        udp = bound(address, socket.SOCK_DGRAM, "UDP")
        try:
            return udp, bound((address[0], udp.getsockname()[1]), socket.SOCK_STREAM, "TCP")
        except StartError as error:
            udp.close()
            trouble = error
    raise trouble


def _shared(listen: Iterable[HostPort]) -> Iterator[socket.socket]:
    """Yield one worker's sockets; a wildcard becomes one per local address, and one for all others."""
    addresses = dict.fromkeys(listen, True)
    for host, port in listen:
        if host in ANY:
            family = [one for one in local_addresses() if (":" in one) == (":" in host)]
            addresses = {(one, port): False for one in family} | addresses
    for address, needed in addresses.items():
        try:
            yield bound(address, socket.SOCK_DGRAM, "UDP", share=True)
        except StartError:
            # An address that is just coming or going is the wildcard socket's.
            if needed:
                raise


def bound(address: HostPort, kind: socket.SocketKind, what: str, *, share: bool = False) -> socket.socket:
    """Return a socket that has an address.

    Args:
        address: numeric.
        kind: UDP or TCP.
        what: it is for, as messages say it.
        share: with further sockets of the same address, among which the kernel spreads clients.

    Raises:
        StartError: the address is the trouble, and what to do.

    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = None
    try:
        opened = socket.socket(family, kind)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Only past connections that linger; a listener is still found.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        opened.bind(socket.getaddrinfo(host, port, family, kind, 0, socket.AI_NUMERICHOST)[0][4])
    except OSError as error:
        if opened is not None:
            opened.close()
        raise StartError(f"{shown(address)}: {_trouble(error, what)}") from None
    return opened


def _trouble(error: OSError, what: str) -> str:
    """Say what is wrong with an address, and what to do."""
    option, other = ("--http", "server") if what == "HTTP" else ("--listen", "name server")
    match error.errno:
        case errno.EADDRINUSE:
            return f"port taken ({what}): another {other}? give {option} another port"
        case errno.EACCES | errno.EPERM:
            return (
                f"not allowed to open this port ({what}): give {option} a port from 1024, "
                "or the process CAP_NET_BIND_SERVICE"
            )
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"not an address of this machine ({what}): give {option} one that is"
        case _:
            return f"cannot be opened ({what}): {error.strerror}"
