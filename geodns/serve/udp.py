"""The loop of a UDP worker: receive, answer, send; everything else waits for a lull or its second.

Each line here is paid for by every query, so the loop stands twice: blocking on a single socket, which spares
a system call per query, and over `epoll` for several sockets and while a large change comes in.
"""

import gc
import select
import socket
import struct
import time
from collections.abc import Sequence

from geodns.responder.respond import respond
from geodns.serve.sockets import Datagrams
from geodns.serve.worker import AGAIN, TableFollower

QUERY_SIZE = 4096
"""Bytes of a query that are read; one that is cut off here is answered FORMERR."""

LULL = 0.1
"""Seconds without a query after which a blocking worker looks for changes by itself."""

DRAIN = 64
"""Packets taken from one socket before the next one's turn."""

_TIMEVAL = struct.pack("@ll", 0, int(LULL * 1_000_000))


def serve(follower: TableFollower, sockets: Sequence[Datagrams]) -> None:
    """Answer until the worker shall end, which raises SystemExit."""
    gc.disable()  # answers and changes leave no circles behind
    # A wildcard's socket knows no timeout: it is polled, also where it is the only one.
    alone = sockets[0] if len(sockets) == 1 and isinstance(sockets[0], socket.socket) else None
    while True:
        if alone is not None and not follower.behind:
            _block(follower, alone)
        else:
            _poll(follower, sockets, until_whole=alone is not None)


def _block(follower: TableFollower, alone: socket.socket) -> None:
    """Answer on one socket until a change comes that is too large to be taken at once."""
    alone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
    receive, send, monotonic, answer_to = alone.recvfrom, alone.sendto, time.monotonic, respond
    word, state = follower.word, follower.state
    seen = follower.catch_up()
    table = follower.table
    due = 0.0
    while True:
        try:
            packet, client = receive(QUERY_SIZE)
        except BlockingIOError:
            seen = follower.catch_up()
            table = follower.table
            due = follower.pulse(monotonic())
            if follower.behind:
                return
            continue
        now = monotonic()
        if word[0] != seen:
            seen = follower.catch_up()
            table = follower.table
            due = now  # for `behind` is looked at below, not with every query
        answer = answer_to(table, packet, (client[0], client[1], "udp"), now, state)
        if answer is not None:
            try:  # noqa: SIM105 - a context manager costs every query
                send(answer, client)
            except OSError:  # no way back to this client; there are others
                pass
        if now >= due:
            due = follower.pulse(now)
            if follower.behind:
                return


def _poll(  # noqa: C901 - a call more costs every query
    follower: TableFollower, sockets: Sequence[Datagrams], *, until_whole: bool
) -> None:
    """Answer on several sockets; a large change is taken slice by slice between rounds.

    With `until_whole` it returns as soon as no change is half taken.
    """
    monotonic, answer_to, dont_wait = time.monotonic, respond, socket.MSG_DONTWAIT
    word, state = follower.word, follower.state
    calls = {one.fileno(): (one.recvfrom, one.sendto) for one in sockets}
    stream = follower.stream.socket.fileno()
    with select.epoll() as poller:
        for descriptor in (*calls, stream):
            poller.register(descriptor, select.EPOLLIN)
        seen = follower.catch_up(0)
        due = 0.0
        while follower.behind or not until_whole:
            events = poller.poll(0 if seen == AGAIN else LULL)
            if seen == AGAIN or not events:
                seen = follower.catch_up(0)
            for descriptor, _ in events:
                if descriptor == stream:
                    seen = follower.catch_up(0)
                    continue
                receive, send = calls[descriptor]
                for _ in range(DRAIN):
                    try:
                        packet, client = receive(QUERY_SIZE, dont_wait)
                    except BlockingIOError:
                        break
                    now = monotonic()
                    if word[0] != seen and not follower.behind:
                        seen = follower.catch_up()
                    answer = answer_to(follower.table, packet, (client[0], client[1], "udp"), now, state)
                    if answer is not None:
                        try:  # noqa: SIM105 - a context manager costs every query
                            send(answer, client)
                        except OSError:  # no way back to this client; there are others
                            pass
            now = monotonic()
            if now >= due:
                due = follower.pulse(now)
