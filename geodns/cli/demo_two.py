"""``geodns demo --two``: two name servers that judge together through a Redis or Valkey of their own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import click

from geodns.cli.demo_processes import Process, name_server, process, typed
from geodns.config.server_keys import Listen
from geodns.errors import StartError, UsageError

NODES = ("ns1", "ns2")
AWAY = 30.0
"""Seconds that a killed Redis stays away: longer than the servers go on with what they had agreed on."""
_PROGRAMS = ("valkey-server", "redis-server")
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class DemoServer:
    """One of the two name servers.

    Attributes:
        node: its name.
        listen: where it answers DNS.
        http: its HTTP side.

    """

    node: str
    listen: Listen
    http: Listen

    @property
    def url(self) -> str:
        return f"http://{self.http}"


def require_for_two() -> str:
    """Return the path of the program that the two servers share.

    Raises:
        UsageError: geodns lacks the library that speaks to it.
        StartError: there is no such program here.

    """
    if find_spec("redis") is None:
        raise UsageError("two servers share a Redis through a library: pip install 'geodns[shared]'")
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    raise StartError(
        "two servers need a Redis or Valkey, and neither is installed: apt-get install redis-server "
        "(or dnf install valkey, brew install valkey)"
    )


def two_servers(listen: str, http: str) -> tuple[DemoServer, DemoServer]:
    """Return the first server at these addresses, and the second at the next ports; free ones for port 0.

    Raises:
        UsageError: one is no address and port.

    """
    try:
        (dns, next_dns), (web, next_web) = (_pair(Listen.parse(text)) for text in (listen, http))
    except ValueError as error:
        raise UsageError(": ".join(map(str, error.args))) from None
    return DemoServer(NODES[0], dns, web), DemoServer(NODES[1], next_dns, next_web)


def _pair(first: Listen) -> tuple[Listen, Listen]:
    if first.port:
        if first.port == 65535:
            raise ValueError("the second server takes the port after 65535", "write a smaller one")
        return first, first._replace(port=first.port + 1)
    family = socket.AF_INET6 if ":" in first.host else socket.AF_INET
    with socket.socket(family) as one, socket.socket(family) as other:
        for place in (one, other):
            place.bind(first)
        return first._replace(port=one.getsockname()[1]), first._replace(port=other.getsockname()[1])


def settings_of(server: DemoServer, servers: tuple[DemoServer, ...], store: Path) -> str:
    """Return the geodns.yaml of a server; by its `ehlo` mail hosts know its probes."""
    urls = ", ".join(f'"{one.url}"' for one in servers)
    return (
        f"node: {server.node}\nehlo: {server.node}.geodns.example\nservers: [{urls}]\n"
        f'shared: {{url: "unix://{store}", group: demo}}\n'
    )


def run_two(
    folder: Path,
    zone: str,
    mail_hosts: Mapping[str, Process],
    zones: Path,
    servers: tuple[DemoServer, ...],
    program: str,
) -> int:
    """Run the servers and what they share until one of them ends; return its exit status.

    Args:
        folder: an empty one, for their state.
        zone: whose name to ask for.
        mail_hosts: by the hosts' names.
        zones: the folder of zone files.
        servers: the two.
        program: a Redis or Valkey.

    """
    store = folder / "shared.sock"
    with SharedStore(program, store) as shared, ExitStack() as every:
        running = []
        for server in servers:
            settings = folder / f"{server.node}.yaml"
            settings.write_text(settings_of(server, servers, store))
            arguments = ["--config", str(settings), "--zones", str(zones), "--workers", "1"]
            arguments += ["--listen", str(server.listen), "--http", str(server.http)]
            arguments += ["--state", str(folder / server.node)]
            running.append(every.enter_context(name_server(*arguments)))
        for one in running:
            assert one.stdout is not None
            line = one.stdout.readline()
            if not line:  # it has said why
                return one.wait() or 1
            click.echo(line, nl=False)
        click.echo(what_to_try_with_two(zone, servers, mail_hosts, shared.pid))
        while all(one.poll() is None for one in running):
            shared.look(time.monotonic())
            time.sleep(_LOOK_EVERY)
        return 1


class SharedStore:
    """The Redis or Valkey of the demo: it keeps nothing on disk, and is started again after it was killed."""

    def __init__(self, program: str, at: Path) -> None:
        self._command = (
            *(program, "--port", "0", "--unixsocket", str(at), "--dir", str(at.parent)),
            *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
        )
        self._name = Path(program).stem.partition("-")[0]
        self._running = ExitStack()
        self._process: Process | None = None
        self._back_at: float | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *why: object) -> None:
        self._running.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _start(self) -> None:
        self._process = self._running.enter_context(process(*self._command, stdout=subprocess.DEVNULL))

    def look(self, now: float) -> None:
        """Start it again where it has been away for long enough."""
        if self._process is not None and self._process.poll() is not None:
            self._running.close()
            self._process, self._back_at = None, now + AWAY
            click.echo(f"{self._name} is gone; it comes back, empty, in {AWAY:g} s")
        elif self._back_at is not None and now >= self._back_at:
            self._back_at = None
            self._start()
            click.echo(f"{self._name} is back: kill {self.pid} ends it again")


def what_to_try_with_two(
    zone: str, servers: tuple[DemoServer, ...], mail_hosts: Mapping[str, Process], store: int
) -> str:
    """Return commands to try, with the names, addresses and processes of this demo."""
    first, second = servers
    geodns = typed()
    ask = "; ".join(f"dig @{one.listen.host} -p {one.listen.port} {zone} A +short" for one in servers)
    both = f"--server {first.url} --server {second.url}"
    drained = list(mail_hosts)[-1]
    pids = " ".join(str(one.pid) for one in mail_hosts.values())
    return f"""
Ctrl-C ends everything. The pages are at {first.url}/ and {second.url}/. Try, in another terminal:
  {ask}
  {geodns} shared status {both}
A drain that is ordered of {first.node} holds on {second.node}, too, before the command returns:
  {geodns} drain {drained} --reason "a try" --server {first.url}
  {geodns} status {drained} --server {second.url}
  {geodns} undrain {drained} --server {second.url}
All mail hosts refuse the probes of {second.node}; of two, none takes a host out alone, and all stay dealt:
  kill -USR2 {pids}; sleep 10; {geodns} explain {zone} --server {second.url}
  {ask}
  kill -USR2 {pids}
What they share is killed, and comes back empty after {AWAY:g} s: answers and orders go on all the while:
  kill -9 {store}; sleep 1; {ask}
  {geodns} shared status {both}
  {geodns} drain {drained} --reason "without it" --server {first.url}
  {geodns} undrain {drained} --server {first.url}
"""
