"""What systemd does before it starts a service with sockets: open them, put them in a row, tell of them."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple


class Wanted(NamedTuple):
    """A socket to hand over.

    Attributes:
        name: as ``FileDescriptorName=``.
        kind: ``udp`` or ``tcp``.
        host: to bind to.
        port: the same.
        share: as ``ReusePort=``.

    """

    name: str
    kind: str
    host: str
    port: int
    share: bool = False


def launching(*wanted: Wanted) -> tuple[str, ...]:
    """What to put before a command that shall get some sockets."""
    return sys.executable, str(Path(__file__)), json.dumps(wanted)


def _open(wanted: Wanted) -> socket.socket:
    kind = socket.SOCK_DGRAM if wanted.kind == "udp" else socket.SOCK_STREAM
    one = socket.socket(socket.AF_INET6 if ":" in wanted.host else socket.AF_INET, kind)
    one.setblocking(False)
    if wanted.kind == "tcp":
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, wanted.share)
    one.bind((wanted.host, wanted.port))
    if wanted.kind == "tcp":
        one.listen()
    return one


def main() -> None:
    """Become the command, with the sockets from descriptor 3 on."""
    wanted = [Wanted(*one) for one in json.loads(sys.argv[1])]
    opened = [_open(one) for one in wanted]
    aside = [os.dup(one.fileno()) for one in opened]
    high = [os.dup2(one, 100 + number) for number, one in enumerate(aside)]
    for number, one in enumerate(high):
        os.dup2(one, 3 + number, inheritable=True)
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(wanted)),
        "LISTEN_FDNAMES": ":".join(one.name for one in wanted),
    }
    for one in high:
        os.set_inheritable(one, False)
    os.execvpe(sys.argv[2], sys.argv[2:], os.environ | environ)


if __name__ == "__main__":
    main()
