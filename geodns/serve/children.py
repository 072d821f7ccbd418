"""Turns a forked child into a worker: it closes what belongs to others, then works on its own sockets."""

import socket

from geodns.serve import udp, worker
from geodns.serve.frames import ROUTES, Stream
from geodns.serve.plan import TcpLimits
from geodns.serve.resources import ServerResources
from geodns.serve.table_relay import TableRelay

CONTROL = "control"
TCP = "tcp"
UDP = "udp"


def udp_name(number: int) -> str:
    """Return the name of a UDP worker."""
    return f"{UDP}{number}"


def keep_own(name: str, resources: ServerResources) -> None:
    """Close what the process of this name has no use for."""
    for number, sockets in enumerate(resources.sockets.udp):
        if name != udp_name(number):
            for one in sockets:
                one.close()
    if name != TCP:
        for listening in resources.sockets.tcp:
            listening.close()
    if name != CONTROL:
        resources.sockets.http.close()
    if name != ROUTES:
        resources.routes.close()
    resources.memory.close()


def work_as(
    name: str,
    link: socket.socket,
    resources: ServerResources,
    table: TableRelay,
    tcp_limits: TcpLimits,
    parent: int,
) -> int:
    """Be the worker of this name until it shall end; return the exit status.

    Args:
        name: of the worker.
        link: its end of the stream to the supervisor.
        resources: of the server; see `keep_own`.
        table: with which it is born.
        tcp_limits: for the TCP worker.
        parent: the supervisor's pid.

    """
    follower = worker.TableFollower(
        name,
        name if name in {TCP, ROUTES} else UDP,
        Stream(link),
        resources.memory.word,
        (table.table(routes=name == ROUTES), table.number),
        parent,
        resources.memory.cells,
    )
    if name == TCP:
        # Half of what a UDP worker weighs would be asyncio.
        from geodns.serve import tcp  # noqa: PLC0415 - asyncio: for it alone

        return worker.work(follower, lambda: tcp.serve(follower, resources.sockets.tcp, tcp_limits))
    if name == ROUTES:
        from geodns.serve import routes  # noqa: PLC0415 - asyncio and HTTP: for it alone

        return worker.work(
            follower,
            lambda: routes.serve(
                follower, resources.routes.listening, resources.routes_plan, table.providers
            ),
        )
    sockets = resources.sockets.udp[int(name.removeprefix(UDP))]
    return worker.work(follower, lambda: udp.serve(follower, sockets))
