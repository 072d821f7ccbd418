"""``geodns demo``: the sample zone, served, with a real mail server behind each of its hosts."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from geodns.config.server_keys import Listen
from geodns.errors import StartError, UsageError, ZoneError
from geodns.model.hosts import Host
from geodns.zonefile.reader import read_zones, zone_files

_STOP_TIME = 8.0
_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP comes when the terminal is closed: the ports must be free for the next demo then, too."""


@click.command()
@click.option("--zones", default="zones", show_default=True, metavar="DIR", help="The folder of zone files.")
@click.option("--listen", default="127.0.0.1:5300", show_default=True, metavar="ADDR:PORT", help="DNS.")
@click.option("--http", default="127.0.0.1:8053", show_default=True, metavar="ADDR:PORT", help="The status.")
def demo(zones: str, listen: str, http: str) -> None:
    """Run a name server and a mail server for each host, all on this machine, until interrupted.

    Hosts are those of the zone files that have a `probe` on loopback: there the mail servers listen.
    """
    if find_spec("aiosmtpd") is None:
        raise UsageError("the demo's mail servers need aiosmtpd: pip install 'geodns[demo]'")
    hosts = loopback_hosts(Path(zones))
    _require_free(hosts)
    for name in _ENDINGS:
        if signal.getsignal(name) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(name, _interrupted)
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="geodns-demo-"))
        servers = {host.name: stack.enter_context(_mail_server(zone, host, at)) for zone, host, at in hosts}
        arguments = ["serve", "--zones", zones, "--listen", listen, "--http", http, "--state", state]
        server = stack.enter_context(_process("geodns", *arguments, stdout=subprocess.PIPE))
        try:
            _run(server, hosts[0][0], servers)
        except KeyboardInterrupt:
            click.echo("ending")
            return
    if server.returncode:
        raise click.exceptions.Exit(1)


def _interrupted(number: int, frame: object) -> None:
    del number, frame
    for name in _ENDINGS:
        signal.signal(name, signal.SIG_IGN)  # whoever is impatient must not stop the others from being ended
    raise KeyboardInterrupt


def loopback_hosts(folder: Path) -> list[tuple[str, Host, Listen]]:
    """Find the hosts that are probed on this machine, with their zones."""
    parsed = read_zones(zone_files([folder])).values()
    errors = tuple(problem for one in parsed for problem in one.problems if not problem.warning)
    if errors:
        raise ZoneError(errors)
    found = [
        (one.zone.name, host, Listen(str(host.probe.address), host.probe.port))
        for one in parsed
        if one.zone is not None
        for host in one.zone.hosts
        if host.probe is not None and host.probe.address.is_loopback and host.probe.port is not None
    ]
    if not found:
        raise StartError(f'{folder}: no host with a `probe` on loopback, as in `probe: "127.0.0.1:2511"`')
    return found


def _require_free(hosts: list[tuple[str, Host, Listen]]) -> None:
    """Refuse to start anything while a mail server's port is taken."""
    for zone, host, at in hosts:
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        with socket.socket(family) as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                place.bind(at)
            except OSError as error:
                raise StartError(
                    f"no mail server for {host.name}.{zone} at {at}: {error.strerror}: "
                    "end what listens there (another demo?), or give the host another `probe`"
                ) from error


@contextmanager
def _mail_server(zone: str, host: Host, at: Listen) -> Iterator[subprocess.Popen[str]]:
    with _process("geodns.cli.demo_mailhost", f"{host.name}.{zone}", at.host, str(at.port)) as process:
        yield process


@contextmanager
def _process(module: str, *arguments: str, stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
    # In a session of its own: Ctrl-C reaches this process alone, which then ends the others in order.
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, *arguments], stdout=stdout, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _run(server: subprocess.Popen[str], zone: str, servers: dict[str, subprocess.Popen[str]]) -> None:
    """Wait for the server, say what to try, and stay until it ends."""
    assert server.stdout is not None
    for line in server.stdout:
        click.echo(line, nl=False)
        if line.startswith("ready: "):
            words = line.split()
            click.echo(what_to_try(zone, words[2], words[4], servers))
    server.wait()


def what_to_try(zone: str, dns: str, http: str, servers: dict[str, subprocess.Popen[str]]) -> str:
    """Return commands to try, with the names, addresses and processes of this demo."""
    where = Listen.parse(dns.partition(",")[0])
    stopped, process = list(servers.items())[-1]
    typed = sys.argv[0] if Path(sys.argv[0]).name == "geodns" else f"{sys.executable} -m geodns"
    command = "geodns" if shutil.which("geodns") else typed
    ask = f"dig @{where.host} -p {where.port} {zone}"
    return f"""
The page is at http://{http}/. Try, in another terminal:
  {ask} A +short
  {ask} MX +short
  curl -s http://{http}/status
  kill -USR1 {process.pid}; {command} status --watch --server http://{http}
The last one stops {stopped}, and you watch it leave; the same kill starts it again. Ctrl-C ends everything.
"""
