"""Sockets that systemd has opened, in the place of our own: sorted, checked, and shared among the workers."""

import logging
import socket
from collections.abc import Sequence

from geodns.errors import StartError
from geodns.serve.sockets import (
    ANY,
    BACKLOG,
    BUFFER,
    AnyAddress,
    Datagrams,
    HostPort,
    Sockets,
    bound,
    open_http,
    open_sockets,
    shown,
)
from geodns.serve.systemd import Given

log = logging.getLogger(__name__)

HTTP = "http"
"""``FileDescriptorName=`` of the socket for the HTTP side; all others are for DNS."""


def sockets_of(given: Sequence[Given], listen: Sequence[HostPort], http: HostPort, workers: int) -> Sockets:
    """Return the sockets of a server: those that were handed over, and the others opened.

    Args:
        given: DNS sockets among them stand for all of `listen`; one called ``http`` for `http`.
        listen: where DNS is answered otherwise.
        http: where the control process listens otherwise.
        workers: of UDP.

    Raises:
        StartError: a socket is of no use, and what to write into its unit; or as for `open_sockets`.

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
        log.warning("%s was handed over for UDP or TCP alone: resolvers need both", shown(odd))
    log.info("answering on sockets from systemd, not on `listen`: %s", ", ".join(map(shown, addresses)))
    opened = web[0] if web else open_http(http)
    opened.listen(BACKLOG)
    shares = zip(*(_shares(one, workers) for one in udp), strict=True)
    return Sockets(addresses, tuple(shares), tuple(tcp), opened)


def _address(one: socket.socket) -> HostPort:
    host, port = one.getsockname()[:2]
    return host, port


def _check(name: str, one: socket.socket) -> None:
    """Have a socket be one that DNS or HTTP can be spoken on."""
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
                sockets.append(bound(_address(one), socket.SOCK_DGRAM, "UDP", share=True))
                continue
            except StartError:
                beside = False
        sockets.append(one.dup())
    return [AnyAddress(each) if _address(each)[0] in ANY else each for each in sockets]
