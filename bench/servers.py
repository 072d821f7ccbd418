"""Name servers to measure: each with one UDP worker, on a free port of loopback, with the same answers.

They all answer `NAME` A with two of three hosts. geodns and gdnsd weigh them 50 : 30 : 20 (gdnsd's `multi`
draws each host by itself, so it is two on average), NSD and Knot give a fixed RRset of two.
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from geodns.errors import GeodnsError
from geodns.wire import codes
from geodns.wire.message import question
from geodns.wire.names import name_to_wire

NAME = "out.example.com"
QUERY = b"\0\1" + bytes((1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + question(name_to_wire(f"{NAME}."), 1)

READY_WITHIN = 60.0
"""Seconds from the start to the first answer, at most."""


class Server(NamedTuple):
    """A name server that can be measured.

    Attributes:
        name: in the table.
        program: None is our own.
        package: of the distribution that has it.
        prepare: writes its files into a folder for a port, and returns the command that runs it.

    """

    name: str
    program: str | None
    package: str
    prepare: Callable[[Path, int], Sequence[str]]

    @property
    def installed(self) -> bool:
        """Whether it can be started."""
        return self.program is None or shutil.which(self.program) is not None


class Running(NamedTuple):
    """A name server that answers.

    Attributes:
        pid: leader of the session that all its processes are in.
        port: on 127.0.0.1, UDP and TCP.

    """

    pid: int
    port: int


def free_port() -> int:
    """Return a port that is free on 127.0.0.1 for UDP and TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def running(server: Server, folder: Path, query: bytes = QUERY, port: int | None = None) -> Iterator[Running]:
    """Run a server until the block ends; it has answered once when the block begins.

    Args:
        server: which one.
        folder: for its files.
        query: what it answers.
        port: to listen on; None takes a free one.

    """
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    command = server.prepare(folder, port)
    log = folder / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, start_new_session=True) as process,
    ):
        try:
            _wait_for_answer(process, port, query, log)
            yield Running(process.pid, port)
        finally:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()


def _wait_for_answer(process: "subprocess.Popen[bytes]", port: int, query: bytes, log: Path) -> None:
    end = time.monotonic() + READY_WITHIN
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.05)
        while time.monotonic() < end and process.poll() is None:
            try:
                client.send(query)
                if client.recv(4096)[3] & 0x0F == codes.NOERROR:
                    return
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.02)
    raise GeodnsError(f"{process.args!r} gives no answer:\n{log.read_text('utf-8', 'replace')[-2000:]}")


# --- geodns --------------------------------------------------------------------------------------------


def geodns_command(folder: Path, port: int) -> Sequence[str]:
    """Return the command that serves the zones in `folder`/zones with one worker."""
    places = ("--zones", f"{folder}/zones", "--state", f"{folder}/state", "--http", "127.0.0.1:0")
    return (
        sys.executable,
        "-m",
        "geodns",
        "serve",
        *places,
        "--listen",
        f"127.0.0.1:{port}",
        "--workers",
        "1",
    )


def _geodns(folder: Path, port: int) -> Sequence[str]:
    (folder / "zones").mkdir()
    (folder / "zones" / f"{NAME}.yaml").write_text(
        "ns: {ns1: 192.0.2.53}\n"
        "hosts:\n"
        "  mta1: {address: 192.0.2.11, weight: 50}\n"
        "  mta2: {address: 192.0.2.12, weight: 30}\n"
        "  mta3: {address: 192.0.2.13, weight: 20}\n"
        "pools: {main: {hosts: [mta1, mta2, mta3], check: none, answers: 2}}\n"
        'records: {"@": {pool: main}}\n',
        "utf-8",
    )
    return geodns_command(folder, port)


# --- the others ----------------------------------------------------------------------------------------

_ZONE = """\
@ 3600 SOA ns1 hostmaster 1 3600 600 604800 30
@ 3600 NS ns1
ns1 3600 A 192.0.2.53
"""
_FIXED = f"$ORIGIN {NAME}.\n{_ZONE}@ 30 A 192.0.2.11\n@ 30 A 192.0.2.12\n"


def _gdnsd(folder: Path, port: int) -> Sequence[str]:
    for name in ("zones", "run", "state"):
        (folder / name).mkdir()
    (folder / "zones" / NAME).write_text(f"{_ZONE}@ 30 DYNA weighted!main\n", "utf-8")
    (folder / "config").write_text(
        f"""\
options => {{
  listen => 127.0.0.1:{port}, udp_threads => 1, tcp_threads => 1
  run_dir => {folder}/run, state_dir => {folder}/state
}}
plugins => {{ weighted => {{
  multi => true, up_thresh => 0.01, service_types => up
  main => {{ mta1 => [192.0.2.11, 50], mta2 => [192.0.2.12, 30], mta3 => [192.0.2.13, 20] }}
}} }}
""",
        "utf-8",
    )
    return "gdnsd", "-c", str(folder), "start"


def nsd_command(
    folder: Path, port: int, zones: Mapping[str, str], options: Iterable[str] = ()
) -> Sequence[str]:
    """Write NSD's files, and return the command that serves zones with one process and no rate limit.

    Args:
        folder: for the files.
        port: to listen on.
        zones: zone files' text by zone name.
        options: further lines of its section `server`.

    """
    for name, text in zones.items():
        (folder / f"{name}.zone").write_text(text, "utf-8")
    more = "".join(f"\n  {line}" for line in options)
    (folder / "nsd.conf").write_text(
        f"""\
server:
  server-count: 1
  ip-address: 127.0.0.1@{port}
  username: ""
  chroot: ""
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonesdir: "{folder}"
  zonelistfile: "{folder}/zones.list"
  xfrdir: "{folder}"
  rrl-ratelimit: 0
  answer-cookie: yes{more}
remote-control:
  control-enable: no
"""
        + "".join(f'zone:\n  name: "{name}"\n  zonefile: "{name}.zone"\n' for name in zones),
        "utf-8",
    )
    return "nsd", "-d", "-c", f"{folder}/nsd.conf"


def knot_command(
    folder: Path,
    port: int,
    zones: Mapping[str, str],
    options: Iterable[str] = (),
    cookies: Iterable[str] = (),
) -> Sequence[str]:
    """Write Knot's files, and return the command that serves zones with one worker; arguments as for NSD.

    Args:
        folder: for the files.
        port: to listen on.
        zones: as for NSD.
        options: the same.
        cookies: further lines of the module of that name.

    """
    for name, text in zones.items():
        (folder / f"{name}.zone").write_text(text, "utf-8")
    more, beside = ("".join(f"\n    {line}" for line in lines) for lines in (options, cookies))
    (folder / "knot.conf").write_text(
        f"""\
server:
    rundir: "{folder}"
    listen: 127.0.0.1@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1{more}
database:
    storage: "{folder}"
mod-cookies:
  - id: default{beside}
template:
  - id: default
    storage: "{folder}"
    global-module: mod-cookies/default
zone:
"""
        + "".join(f'  - domain: "{name}"\n    file: "{name}.zone"\n' for name in zones),
        "utf-8",
    )
    return "knotd", "-c", f"{folder}/knot.conf"


def _nsd(folder: Path, port: int) -> Sequence[str]:
    return nsd_command(folder, port, {NAME: _FIXED})


def _knot(folder: Path, port: int) -> Sequence[str]:
    return knot_command(folder, port, {NAME: _FIXED})


GEODNS = Server("geodns", None, "", _geodns)
GDNSD = Server("gdnsd", "gdnsd", "gdnsd", _gdnsd)
SERVERS = (GEODNS, GDNSD, Server("NSD", "nsd", "nsd", _nsd), Server("Knot", "knotd", "knot", _knot))
