"""Opens, or takes over, what all processes of the server share: sockets and memory."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from geodns.serve.handover import AskedSockets, Handover
from geodns.serve.plan import RoutesListener, RoutesPlan, ServePlan
from geodns.serve.privileges import drop
from geodns.serve.routes_sockets import RoutesSockets, open_routes
from geodns.serve.shared_memory import SharedMemory
from geodns.serve.sockets import ANY, AnyAddress, Datagrams, Sockets, format_address, sockets_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerResources:
    """Everything that children inherit, and the next program in an upgrade.

    Attributes:
        asked: what the settings said when the sockets were opened.
        sockets: for DNS and HTTP.
        routes: for MTAs.
        memory: shared by the workers.
        routes_plan: with a listener for each of `routes`.

    """

    asked: AskedSockets
    sockets: Sockets
    routes: RoutesSockets
    memory: SharedMemory
    routes_plan: RoutesPlan


@contextlib.contextmanager
def resources_of(plan: ServePlan) -> Iterator[ServerResources]:
    """Open everything, or take it over from the program before; close it with the block.

    Raises:
        StartError: a socket cannot be opened, or the user cannot be had.

    """
    if plan.handover is not None:
        sockets, routes = _adopted(plan.handover), RoutesSockets()
        routes.adopt(plan.handover.routes)
        asked, routes_plan = plan.handover.asked, _matched(plan, plan.handover)
        if plan.identity is not None:
            log.warning("privileges stay as they are in an upgrade: restart to change `user`")
    else:
        sockets = sockets_of(plan.given, plan.listen, plan.http, plan.workers)
        asked, routes_plan = asked_of(plan), plan.routes
    with contextlib.closing(sockets):
        if plan.handover is None:
            routes = open_routes(plan.routes.listeners, plan.identity)
        with routes, contextlib.closing(SharedMemory.of(plan.handover)) as memory:
            if plan.identity is not None and plan.handover is None:
                drop(plan.identity)  # whoever is started from here on is that user too
            yield ServerResources(asked, sockets, routes, memory, routes_plan)


def asked_of(plan: ServePlan) -> AskedSockets:
    """Return what the settings say of sockets, for the program after this one."""
    routes = tuple(place_asked(one) for one in plan.routes.listeners)
    state = "" if plan.state is None else str(plan.state.absolute())
    return AskedSockets(plan.listen, plan.http, routes, plan.workers, state)


def place_asked(listener: RoutesListener) -> str:
    """Return a listener's place as `AskedSockets` has it."""
    place = listener.place
    return f"unix:{place}" if isinstance(place, Path) else format_address(place)


def _matched(plan: ServePlan, handover: Handover) -> RoutesPlan:
    """Give each socket for MTAs what the settings say of its place now."""
    known = {place_asked(one): one for one in plan.routes.listeners}
    listeners = []
    for asked, one in zip(handover.asked.routes, handover.routes, strict=False):
        plain = RoutesListener(Path(one.path) if one.path else _address(one.place))
        listeners.append(known.get(asked, plain))
    return replace(plan.routes, listeners=tuple(listeners))


def _address(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)


def _adopted(handover: Handover) -> Sockets:
    """Make sockets of the descriptors that were handed over."""
    return Sockets(
        handover.listen,
        tuple(tuple(_datagrams(one) for one in worker) for worker in handover.udp),
        tuple(socket.socket(fileno=one) for one in handover.tcp),
        socket.socket(fileno=handover.http),
    )


def _datagrams(descriptor: int) -> Datagrams:
    one = socket.socket(fileno=descriptor)
    one.setblocking(True)
    return AnyAddress(one) if one.getsockname()[0] in ANY else one


def close_on_exec(handover: Handover) -> None:
    """Keep all that was handed over from programs that this one starts; raises OSError."""
    for one in handover.descriptors():
        os.set_inheritable(one, False)
