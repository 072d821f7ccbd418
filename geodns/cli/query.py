"""``geodns query``: ask a running server by DNS, and show the pool and hosts behind its answer."""

import socket
from ipaddress import IPv6Address

import click
import dnslib

from geodns.cli.client import Json, Server
from geodns.cli.options import server_option, token_option
from geodns.config.server_keys import Listen
from geodns.errors import BadNameError, NotFoundError, ServerError, UsageError
from geodns.wire.codes import name_of, number_of
from geodns.wire.idn import to_ascii
from geodns.wire.names import labels_of

TIMEOUT = 3.0
_POOL_TYPES = ("A", "AAAA", "MX", "SRV")


@click.command()
@click.argument("name")
@click.argument("rtype", metavar="[TYPE]", default="A")
@click.option("--dns", metavar="ADDR:PORT", help="Ask here, instead of where the server says it listens.")
@click.option("--tcp", is_flag=True, help="Ask over TCP.")
@server_option
@token_option
def query(name: str, rtype: str, dns: str | None, *, tcp: bool, server: str, token: str | None) -> None:
    """Ask a running server for NAME (type A unless TYPE says otherwise) and show who is behind the answer.

    Exit status 1 when the answer is anything but NOERROR with records.
    """
    rtype = rtype.upper()
    number = number_of(rtype)
    if number is None:
        raise UsageError(f"{rtype} is no record type: write A, AAAA, MX, TXT, TYPE65280 …")
    rtype = name_of(number)
    try:
        name = to_ascii(name)
        labels_of(name)
    except BadNameError as error:
        raise UsageError(str(error)) from error
    source = Server(server, token)
    where = _address(dns or source.get("/status")["listen"][0])
    answer = _ask(where, name, number, tcp=tcp)
    click.echo(answer.toZone())
    _explain(source, name, rtype, answer)
    if answer.header.rcode or not answer.rr:
        raise click.exceptions.Exit(1)


def _address(text: str) -> Listen:
    try:
        return Listen.parse(text)
    except ValueError as error:
        raise UsageError(": ".join(str(part) for part in error.args)) from error


def _ask(where: Listen, name: str, rtype: int, *, tcp: bool) -> dnslib.DNSRecord:
    """Ask by UDP, and by TCP where the answer was cut short."""
    question = dnslib.DNSRecord(q=dnslib.DNSQuestion(name, rtype))
    question.add_ar(dnslib.EDNS0(udp_len=1232))
    try:
        answer = dnslib.DNSRecord.parse(
            question.send(where.host, where.port, tcp=tcp, timeout=TIMEOUT, ipv6=":" in where.host)
        )
    except (OSError, dnslib.DNSError, socket.gaierror) as error:
        raise ServerError(f"{where}: {error or 'no answer'}: is `geodns serve` running there?") from error
    return _ask(where, name, rtype, tcp=True) if answer.header.tc and not tcp else answer


def _explain(source: Server, name: str, rtype: str, answer: dnslib.DNSRecord) -> None:
    """Print the pools behind the name and the host behind each record."""
    try:
        shown = source.get("/api/v1/explain", name=name, type=rtype)
    except NotFoundError as error:
        click.echo(f"; {error}")
        return
    for tier in shown["tiers"]:
        click.echo(f"; {_tier(tier)}")
    for record in answer.rr:
        if (host := _host(shown["hosts"], record)) is not None:
            click.echo(f"; {record.rdata} is host {host}")
    if rtype in _POOL_TYPES and not shown["tiers"]:
        click.echo("; fixed by the zone file: no pool is behind it")


def _tier(tier: Json) -> str:
    using = ", ".join(tier["using"]) or "nobody"
    preference = f" at preference {tier['preference']}" if tier["preference"] else ""
    resort = f", last resort: {tier['last_resort']}" if tier["last_resort"] else ""
    hosts = ", ".join(f"{host} {about['effective_weight']:g}" for host, about in tier["hosts"].items())
    dealt = f"dealt from {using}{resort}, TTL {tier['ttl']}: {hosts or 'no host'}"
    return f"pool {tier['pool']}{preference}, {dealt}"


def _host(hosts: dict[str, str], record: dnslib.RR) -> str | None:
    text = str(record.rdata)
    if record.rtype == dnslib.QTYPE.AAAA:
        text = str(IPv6Address(text))  # dnslib shortens some addresses in a way of its own
    return hosts.get(text) or hosts.get(text.rsplit(maxsplit=1)[-1].lower())
