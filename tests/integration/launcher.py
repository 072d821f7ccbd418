"""What systemd does before it starts a service with sockets: open them, put them in a row, tell of them."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple


class Wanted(NamedTuple):
    """A port to hand over, a free one.

    Attributes:
        name: as ``FileDescriptorName=``.
        host: to bind to.
        kinds: of its sockets: ``udp``, ``tcp`` or both.
        share: as ``ReusePort=``.

    """

    name: str
    host: str
    kinds: tuple[str, ...] = ("udp", "tcp")
    share: bool = False


def launching(*wanted: Wanted) -> tuple[str, ...]:
    """What to put before a command that shall get some sockets."""
    return sys.executable, str(Path(__file__)), json.dumps(wanted)


def _open(wanted: Wanted) -> list[socket.socket]:
    """Open the sockets of a port that is free for all of them."""
    for _ in range(50):
        opened: list[socket.socket] = []
        try:
            for kind in wanted.kinds:
                opened.append(_bound(wanted, kind, opened[0].getsockname()[1] if opened else 0))
        except OSError:
            for one in opened:
                one.close()
        else:
            return opened
    sys.exit("no free port")


def _bound(wanted: Wanted, kind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, wanted.share)
    try:
        one.bind((wanted.host, port))
        if kind == "tcp":
            one.listen()
    except OSError:
        one.close()
        raise
    return one


def main() -> None:
    """Become the command, with the sockets from descriptor 3 on."""
    wanted = [Wanted(*one) for one in json.loads(sys.argv[1])]
    opened = [(one.name, each) for one in wanted for each in _open(one)]
    aside = [os.dup2(one.fileno(), 100 + number, inheritable=False) for number, (_, one) in enumerate(opened)]
    for number, one in enumerate(aside):
        os.dup2(one, 3 + number, inheritable=True)
    environ = {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(opened)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in opened),
    }
    os.execvpe(sys.argv[2], sys.argv[2:], os.environ | environ)


if __name__ == "__main__":
    main()
