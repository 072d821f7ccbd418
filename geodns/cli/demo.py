"""``geodns demo``: the sample zone, served, with a real mail server behind each of its hosts."""

import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click

from geodns.cli.demo_processes import (
    Process,
    interrupt_at_endings,
    loopback_hosts,
    mail_servers,
    name_server,
    typed,
)
from geodns.cli.demo_two import require_for_two, run_two, two_servers
from geodns.config.server_keys import Listen
from geodns.errors import UsageError


@click.command()
@click.option("--zones", default="zones", show_default=True, metavar="DIR", help="The folder of zone files.")
@click.option("--listen", default="127.0.0.1:5300", show_default=True, metavar="ADDR:PORT", help="DNS.")
@click.option("--http", default="127.0.0.1:8053", show_default=True, metavar="ADDR:PORT", help="The status.")
@click.option(
    "--two",
    is_flag=True,
    help="Run two servers that share a Redis or Valkey; the second takes the next ports.",
)
def demo(zones: str, listen: str, http: str, *, two: bool) -> None:
    """Run a name server and a mail server for each host, all on this machine, until interrupted.

    Hosts are those of the zone files that have a `probe` on loopback: there the mail servers listen.
    """
    if find_spec("aiosmtpd") is None:
        raise UsageError("the demo's mail servers need aiosmtpd: pip install 'geodns[demo]'")
    store = require_for_two() if two else ""
    hosts = loopback_hosts(Path(zones))
    zone = hosts[0][0]
    interrupt_at_endings()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="geodns-demo-")))
        servers = stack.enter_context(mail_servers(hosts))
        try:
            if two:
                status = run_two(folder, zone, servers, Path(zones), two_servers(listen, http), store)
            else:
                arguments = ["--zones", zones, "--listen", listen, "--http", http, "--state", str(folder)]
                status = _run(stack.enter_context(name_server(*arguments)), zone, servers)
        except KeyboardInterrupt:
            click.echo("ending")
            return
    if status:
        raise click.exceptions.Exit(1)


def _run(server: Process, zone: str, servers: dict[str, Process]) -> int:
    """Wait for the server, say what to try, and stay until it ends; return its status."""
    assert server.stdout is not None
    for line in server.stdout:
        click.echo(line, nl=False)
        if line.startswith("ready: "):
            words = line.split()
            click.echo(what_to_try(zone, words[2], words[4], servers))
    return server.wait()


def what_to_try(zone: str, dns: str, http: str, servers: dict[str, Process]) -> str:
    """Return commands to try, with the names, addresses and processes of this demo."""
    where = Listen.parse(dns.partition(",")[0])
    stopped, process = list(servers.items())[-1]
    ask = f"dig @{where.host} -p {where.port} {zone}"
    return f"""
The page is at http://{http}/. Try, in another terminal:
  {ask} A +short
  {ask} MX +short
  curl -s http://{http}/status
  kill -USR1 {process.pid}; {typed()} status --watch --server http://{http}
The last one stops {stopped}, and you watch it leave; the same kill starts it again. Ctrl-C ends everything.
"""
