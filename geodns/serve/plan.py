"""The supervisor's orders, and what it hands to the control process."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from geodns.serve.privileges import Identity
from geodns.serve.sockets import HostPort
from geodns.serve.systemd import Given, Notifier


@dataclass(frozen=True, slots=True)
class ControlContext:
    """Sockets and facts that the control process inherits from the supervisor.

    Attributes:
        link: its end of the stream to the supervisor, for `ControlLink`.
        http: a listening socket.
        listen: the real addresses where DNS is answered.
        workers: names of the workers that there are, or will be after the first Table.
        number: of the last Table that the workers got from an earlier control process; 0: there was none.
        before: how that one ended; continues a sentence about it.

    """

    link: socket.socket
    http: socket.socket
    listen: tuple[HostPort, ...]
    workers: tuple[str, ...]
    number: int
    before: str = ""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """Limits on TCP clients.

    Attributes:
        connections: at one time; past that the one that was idle longest goes.
        per_client: of one IPv4 address, or one IPv6 /64, at one time; further ones are closed at once.
        idle: seconds that a connection may stay without a query, with an unfinished one, or with answers
            that are not taken. The value for edns-tcp-keepalive (RFC 7828) where a client asks for it.

    """

    connections: int
    per_client: int
    idle: float


@dataclass(frozen=True, slots=True)
class ServePlan:
    """The processes of a server, and where they listen.

    Attributes:
        listen: where DNS is answered, numeric; port 0 takes one that is free for UDP and TCP.
        http: where control listens.
        workers: of UDP.
        control: the control process: called in a process of its own, with signals SIGHUP and SIGINT ignored
            and SIGTERM deadly until it says otherwise; returns its exit status.
        given: sockets that systemd has opened.
        identity: whom to become when all sockets are open; None: nobody else.
        notifier: to systemd.

    """

    listen: tuple[HostPort, ...]
    http: HostPort
    workers: int
    control: Callable[[ControlContext], int]
    tcp: TcpLimits
    given: tuple[Given, ...] = ()
    identity: Identity | None = None
    notifier: Notifier = field(default_factory=lambda: Notifier({}))
