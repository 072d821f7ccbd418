"""The supervisor's orders, and what it hands to the control process."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from geodns.serve.handover import Handover, Program
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
        routes: the real places where MTAs ask for routes, as settings have them.
        carried: counters of the control process before, where it ended for an upgrade; in its own form.
        upgraded_from: version of the program before, for the first control process after an upgrade.
        went_back: why a newer program failed, for the first control process after that.

    """

    link: socket.socket
    http: socket.socket
    listen: tuple[HostPort, ...]
    workers: tuple[str, ...]
    number: int
    before: str = ""
    routes: tuple[str, ...] = ()
    carried: bytes = b""
    upgraded_from: str = ""
    went_back: str = ""


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


class RoutesListener(NamedTuple):
    """Where MTAs ask for routes.

    Attributes:
        place: a numeric address and a port, or the absolute path of a UNIX socket.
        zone: that is asked; empty: the request says it, or it is the only one.
        self_host: the host of that zone that asks there; empty: none.
        mode: of a UNIX socket.

    """

    place: HostPort | Path
    zone: str = ""
    self_host: str = ""
    mode: int = 0o660


@dataclass(frozen=True, slots=True)
class RoutesPlan:
    """The routes worker's part; without listeners there is no such worker.

    Attributes:
        providers: of mailbox domains that need no looking up.
        names: of this machine, by which it may be asked over HTTP beside its addresses.

    """

    listeners: tuple[RoutesListener, ...] = ()
    providers: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ServePlan:
    """The processes of a server, and where they listen.

    Attributes:
        listen: where DNS is answered, numeric; port 0 takes one that is free for UDP and TCP.
        http: where control listens.
        workers: of UDP.
        control: the control process: called in a process of its own, with signals SIGHUP and SIGINT ignored
            and SIGTERM deadly until it says otherwise; returns its exit status.
        routes: answers to MTAs.
        given: sockets that systemd has opened.
        identity: whom to become when all sockets are open; None: nobody else.
        notifier: to systemd.
        state: the state folder, where `geodns upgrade` finds the server; None: it cannot be upgraded.
        locks: descriptors of that folder's locks.
        program: this one.
        secrets: contents of files that only root could read, by path as settings have it.
        handover: from the program before; None: a plain start.
        check_way_back: returns why an earlier program cannot have its state back; empty: it can. Changes
            nothing.
        give_back: gives it back, once control has ended; returns likewise.

    """

    listen: tuple[HostPort, ...]
    http: HostPort
    workers: int
    control: Callable[[ControlContext], int]
    tcp: TcpLimits
    routes: RoutesPlan = field(default_factory=RoutesPlan)
    given: tuple[Given, ...] = ()
    identity: Identity | None = None
    notifier: Notifier = field(default_factory=lambda: Notifier({}))
    state: Path | None = None
    locks: tuple[int, ...] = ()
    program: Program = field(default_factory=lambda: Program("", ""))
    secrets: Mapping[Path, bytes] = field(default_factory=dict)
    handover: Handover | None = None
    check_way_back: Callable[[Program], str] = lambda _program: ""
    give_back: Callable[[Program], str] = lambda _program: ""
