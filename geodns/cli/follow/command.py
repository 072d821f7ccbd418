"""``geodns follow``: read what a mail server logs, and post what became of its mail."""

import asyncio
import sys
import time
from ipaddress import ip_address, ip_network
from pathlib import Path

import click

from geodns.cli.client import Server
from geodns.cli.follow.dry_run import print_signals
from geodns.cli.follow.run import STDIN, Run
from geodns.cli.follow.show_snds import show_snds
from geodns.cli.follow.signals import Network, Sender
from geodns.cli.follow.spool import Spool
from geodns.cli.options import server_option, token_option
from geodns.errors import GeodnsError, UsageError, printable
from geodns.storage.lock import lock_state


def tell(text: str) -> None:
    """Tell the operator, or the service's journal."""
    click.echo(f"geodns follow: {printable(text)}", err=True)


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE|-]…")
@click.option(
    "--journal", is_flag=True, help="Read the journal: what Postfix or Exim log to the mail facility."
)
@click.option("--webhook", metavar="ADDR:PORT", help="Take KumoMTA's records by HTTP here, on loopback.")
@click.option(
    "--arf",
    multiple=True,
    metavar="DIR|-",
    help="Feedback reports: a maildir, or one mail on standard input; may be repeated.",
)
@click.option(
    "--snds",
    multiple=True,
    metavar="FILE|URL",
    help="Show Microsoft's SNDS data (CSV); status 1 where an address was red on two days running.",
)
@click.option(
    "--egress",
    "egress",
    multiple=True,
    metavar="[NAME=]IP",
    help="What mail leaves from: by default, or by a name in the log; may be repeated.",
)
@click.option(
    "--host",
    default="",
    metavar="HOST",
    help="The host in the zone, where it has one address or none is known.",
)
@click.option("--zone", default="", metavar="ZONE", help="The zone, where several have the host.")
@click.option(
    "--inside",
    multiple=True,
    metavar="NET",
    help="Deliveries to there are not counted, as those to the zone's hosts; may be repeated.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("follow-state"),
    show_default=True,
    envvar="GEODNS_FOLLOW_STATE",
    metavar="DIR",
    help="Where it keeps its place, and batches that no server has taken.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the signals of what is there now as JSON lines; post and keep nothing.",
)
@click.option("--token-file", type=click.Path(path_type=Path), metavar="FILE", help="A file with the token.")
@server_option
@token_option
def follow(
    *,
    files: tuple[str, ...],
    journal: bool,
    webhook: str | None,
    arf: tuple[str, ...],
    snds: tuple[str, ...],
    egress: tuple[str, ...],
    host: str,
    zone: str,
    inside: tuple[str, ...],
    state: Path,
    dry_run: bool,
    token_file: Path | None,
    server: str,
    token: str | None,
) -> None:
    """Read the log of Postfix, Exim or KumoMTA on a mail host, and post what became of its mail.

    FILE is followed through rotation; - is standard input. Nobody's mail address leaves this machine.
    """
    sender = _sender(zone, host, egress)
    networks = tuple(_network(one) for one in inside)
    if STDIN in arf and (files or journal or webhook or len(arf) > 1):
        raise UsageError("--arf - reads one mail, and goes with no other input")
    if not (files or journal or webhook or arf or snds):
        raise UsageError(
            "nothing to follow: name a log file, - for standard input, --journal, --webhook or --arf"
        )
    paths = tuple(dict.fromkeys(one if one == STDIN else str(Path(one).absolute()) for one in files))
    servers = Server(server, _token(token_file) or token)
    if snds:
        show_snds(snds, state, tell)
        return
    if dry_run and (journal or webhook):
        raise UsageError("--dry-run reads what is there now: give it a file, or `journalctl -o json` by -")
    if dry_run:
        print_signals(paths, arf, sender, networks, servers, tell)
        return
    if STDIN in arf:
        _one_report(state, sender, networks, servers)
        return
    lock = lock_state(state)
    try:
        spool, warnings = Spool.open(state, time.time(), must=True)
        for warning in warnings:
            tell(warning)
        try:
            run = Run(spool, sender, networks, servers, tell)
            left = asyncio.run(
                run.until_ended(paths, _listen(webhook) if webhook else None, arf, journal=journal)
            )
        finally:
            spool.close()
    finally:
        lock.close()
    if left:
        raise GeodnsError(
            f"no server has taken {left} batches: they are kept in {state}, and posted by the next run"
        )


def _one_report(state: Path, sender: Sender, networks: tuple[Network, ...], servers: Server) -> None:
    """Keep one mail beside a service that may be running on the same state, and try to post it."""
    spool, _ = Spool.open(state, time.time())
    try:
        why = asyncio.run(Run(spool, sender, networks, servers, tell).one_report(sys.stdin.buffer.read()))
    finally:
        spool.close()
    if why is not None:
        raise GeodnsError(f"the mail is left out: {why}")


def _sender(zone: str, host: str, egress: tuple[str, ...]) -> Sender:
    default = ""
    named = {}
    for one in egress:
        name, _, address = one.rpartition("=")
        text = _address(address)
        if name:
            named[name.removesuffix("/smtp")] = text
        elif default:
            raise UsageError(
                f"--egress {one}: there is one already; name the others, as postfix/smtp-b={one}"
            )
        else:
            default = text
    return Sender(zone.rstrip("."), host.rstrip("."), default, named)


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        if ip_address(host).is_loopback and 0 < int(port) < 65536:
            return host, int(port)
    except ValueError:
        pass
    raise UsageError(f"--webhook {text}: write a loopback address and a port, as 127.0.0.1:8054")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise UsageError(
            f"--egress {text!r} is no address: write it as 192.0.2.5 or NAME=192.0.2.5"
        ) from error


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise UsageError(
            f"--inside {text!r} is no network: write an address or a network, as 10.0.0.0/8"
        ) from error


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    from geodns.config.tokens import read_tokens  # noqa: PLC0415 - pydantic takes long to load

    try:
        return read_tokens(path, "control")[0].secret.get_secret_value()
    except OSError as error:
        raise UsageError(f"--token-file {path}: it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"--token-file {path}: {error}") from error
