"""What the supervisor is told to run, and what it hands to the control process."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from geodns.serve.privileges import Identity
from geodns.serve.sockets import HostPort
from geodns.serve.systemd import Given, Notifier


@dataclass(frozen=True, slots=True)
class ControlContext:
    """Where the control process sits: what it inherits from the supervisor.

    Attributes:
        link: its end of the stream to the supervisor; `link.Link` speaks on it.
        http: a listening socket.
        listen: the real addresses where DNS is answered.
        workers: the names of the workers that there are, or will be after the first Table.
        number: of the last Table that the workers got from an earlier control process; 0 for the first one.
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
    """What TCP clients may take.

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
    """What to run.

    Attributes:
        listen: where DNS is answered, numeric; port 0 takes one that is free for UDP and TCP.
        http: where control listens.
        workers: how many for UDP.
        control: the control process: called in a process of its own, with signals SIGHUP and SIGINT ignored
            and SIGTERM deadly until it says otherwise; returns its exit status.
        tcp: what TCP clients may take.
        given: sockets that systemd has opened.
        identity: whom to become when all sockets are open; None: nobody else.
        notifier: to be told how the service is.

    """

    listen: tuple[HostPort, ...]
    http: HostPort
    workers: int
    control: Callable[[ControlContext], int]
    tcp: TcpLimits
    given: tuple[Given, ...] = ()
    identity: Identity | None = None
    notifier: Notifier = field(default_factory=lambda: Notifier({}))
