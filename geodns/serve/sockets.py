"""The sockets of a server: opened once, or taken over from systemd, and kept by the supervisor.

UDP has one SO_REUSEPORT socket per worker and address, among which the kernel spreads clients; TCP and HTTP
have one listening socket per listener.
"""

import errno
import logging
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geodns.errors import StartError
from geodns.serve.systemd import Given

log = logging.getLogger(__name__)

HostPort = tuple[str, int]
"""A numeric address and a port."""

HTTP = "http"
"""``FileDescriptorName=`` of the socket for the HTTP side; all others are for DNS."""

BUFFER = 4 << 20
"""Bytes of queries that wait for a worker that is being restarted, or has no core for a moment: some 10,000,
a third of a second at 30,000 a second. The kernel may allow less (net.core.rmem_max)."""

BACKLOG = 511
"""TCP connections that wait to be accepted."""

ANY = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound
"""The wildcards."""

_TRIES = 50
_OPTIONS = {"HTTP": ("--http", "server"), "routes": ("routes_listen", "server")}
_IP_PKTINFO = 8


class Datagrams(Protocol):
    """A UDP socket, as far as a worker needs one."""

    def fileno(self) -> int: ...

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, tuple[str, int]]: ...

    def sendto(self, data: bytes, address: tuple[str, int], /) -> int: ...

    def close(self) -> None: ...


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
        return self._socket.fileno()

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, tuple[str, int]]:
        packet, asked, _, client = self._socket.recvmsg(bufsize, 64, flags)
        # Without the interface: the way back is the routing table's business.
        self._asked = [
            (level, kind, bytes(4) + info[4:] if level == socket.IPPROTO_IP else info[:16] + bytes(4))
            for level, kind, info in asked
        ]
        return packet, client

    def sendto(self, data: bytes, address: tuple[str, int], /) -> int:
        return self._socket.sendmsg((data,), self._asked, 0, address)

    def close(self) -> None:
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Sockets:
    """Every socket of a server; `listen` has the real ports, `udp` the sockets of each worker."""

    listen: tuple[HostPort, ...]
    udp: tuple[tuple[Datagrams, ...], ...]
    tcp: tuple[socket.socket, ...]
    http: socket.socket

    def close(self) -> None:
        for datagrams in (one for sockets in self.udp for one in sockets):
            datagrams.close()
        for one in (*self.tcp, self.http):
            one.close()


def open_http(address: HostPort) -> socket.socket:
    """Open the HTTP side's socket, which does not listen yet; raises StartError."""
    return bind(address, socket.SOCK_STREAM, "HTTP")


def open_sockets(listen: Sequence[HostPort], http: HostPort | socket.socket, workers: int) -> Sockets:
    """Open everything, or nothing.

    Args:
        listen: where DNS is answered; port 0 takes one that is free for UDP and TCP.
        http: where the control process listens, or a socket that is open already.
        workers: of UDP.

    Raises:
        StartError: an address cannot be had; its text says which, and what to do.

    """
    opened: list[socket.socket] = []
    try:
        real: list[HostPort] = []
        for address in dict.fromkeys(listen):
            if _has_wildcard(address, listen):
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
    """Return this machine's addresses, as the kernel lists them.

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


def format_address(address: HostPort) -> str:
    """Write an address as ``--listen`` takes it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _has_wildcard(address: HostPort, listen: Iterable[HostPort]) -> bool:
    """Say whether a wildcard listener on the same port has this address too."""
    wildcard = "::" if ":" in address[0] else "0.0.0.0"  # noqa: S104 - compared with, not bound
    return address[0] != wildcard and address[1] != 0 and (wildcard, address[1]) in listen


def _free_pair(address: HostPort) -> tuple[socket.socket, socket.socket]:
    """Bind a UDP and a TCP socket to one address; nobody else can have either port then."""
    for _ in range(_TRIES if address[1] == 0 else 1):
        udp = bind(address, socket.SOCK_DGRAM, "UDP")
        try:
            return udp, bind((address[0], udp.getsockname()[1]), socket.SOCK_STREAM, "TCP")
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
            yield bind(address, socket.SOCK_DGRAM, "UDP", share=True)
        except StartError:
            # An address that is just coming or going is the wildcard socket's.
            if needed:
                raise


def bind(address: HostPort, kind: socket.SocketKind, what: str, *, share: bool = False) -> socket.socket:
    """Open a socket at an address.

    Args:
        address: numeric.
        kind: UDP or TCP.
        what: it is for, as messages say it.
        share: with further sockets of the same address, among which the kernel spreads clients.

    Raises:
        StartError: the address cannot be had; its text says why, and what to do.

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
        raise StartError(f"{format_address(address)}: {_trouble(error, what)}") from None
    return opened


def _trouble(error: OSError, what: str) -> str:
    option, other = _OPTIONS.get(what, ("--listen", "name server"))
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


def sockets_of(given: Sequence[Given], listen: Sequence[HostPort], http: HostPort, workers: int) -> Sockets:
    """Return the sockets of a server: those that were handed over, and the others opened.

    Args:
        given: DNS sockets among them stand for all of `listen`; one called ``http`` for `http`.
        listen: where DNS is answered otherwise.
        http: where the control process listens otherwise.
        workers: of UDP.

    Raises:
        StartError: a socket is of no use (its text says what to write into the unit), or cannot be opened.

    """
    for name, one in given:
        _check(name, one)
    web = [one for name, one in given if name == HTTP]
    udp = [one for name, one in given if name != HTTP and one.type == socket.SOCK_DGRAM]
    tcp = [one for name, one in given if name != HTTP and one.type == socket.SOCK_STREAM]
    if len(web) > 1 or any(one.type != socket.SOCK_STREAM for one in web):
        raise StartError(f"systemd hands over more for {HTTP} than a stream socket: write one ListenStream=")
    if not udp and not tcp:
        return open_sockets(listen, web[0] if web else http, workers)
    if not udp or not tcp:
        lacking = "TCP: write ListenStream=" if udp else "UDP: write ListenDatagram="
        raise StartError(f"systemd hands over no socket for {lacking} in the .socket unit as well")
    addresses = tuple(dict.fromkeys(map(_address, udp)))
    for odd in sorted(set(addresses) ^ set(map(_address, tcp))):
        log.warning("%s was handed over for UDP or TCP alone: resolvers need both", format_address(odd))
    log.info(
        "answering on sockets from systemd, not on `listen`: %s", ", ".join(map(format_address, addresses))
    )
    opened = web[0] if web else open_http(http)
    opened.listen(BACKLOG)
    shares = zip(*(_shares(one, workers) for one in udp), strict=True)
    return Sockets(addresses, tuple(shares), tuple(tcp), opened)


def _address(one: socket.socket) -> HostPort:
    host, port = one.getsockname()[:2]
    return host, port


def _check(name: str, one: socket.socket) -> None:
    """Refuse a socket that neither DNS nor HTTP can be spoken on."""
    if one.family not in {socket.AF_INET, socket.AF_INET6}:
        raise StartError(
            f"the socket {name} from systemd is none of IPv4 or IPv6: write an address and a port, "
            "as ListenStream=192.0.2.53:53"
        )
    if one.type == socket.SOCK_STREAM and not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise StartError(f"the socket {name} from systemd is one connection: write Accept=no")
    if one.type not in {socket.SOCK_STREAM, socket.SOCK_DGRAM}:
        raise StartError(f"the socket {name} from systemd is neither UDP nor TCP")
    if one.family == socket.AF_INET6 and _address(one)[0] in ANY:
        only = one.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        if not only:  # clients would come as ::ffff:192.0.2.1, all of one network
            raise StartError(
                f"the socket {name} from systemd takes IPv4 as IPv6: write BindIPv6Only=ipv6-only, "
                "and a socket for 0.0.0.0"
            )


def _shares(one: socket.socket, workers: int) -> list[Datagrams]:
    """Return a UDP socket for each worker: bound beside the one given, or that one for all.

    Beside it (``ReusePort=yes``), the kernel spreads clients over the workers; that is for a server that root
    starts, since only the user who opened a port may open it again. Else the workers share one queue, from
    which each takes a query when it has time.
    """
    one.setblocking(True)
    if one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < BUFFER:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sockets = [one]
    beside = bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))
    for _ in range(1, workers):
        if beside:
            try:
                sockets.append(bind(_address(one), socket.SOCK_DGRAM, "UDP", share=True))
                continue
            except StartError:
                beside = False
        sockets.append(one.dup())
    return [AnyAddress(each) if _address(each)[0] in ANY else each for each in sockets]
