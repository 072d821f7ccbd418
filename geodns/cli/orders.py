"""The orders: ``geodns drain``, ``undrain``, ``quarantine``, ``force``, ``weight`` and ``clear``."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from geodns.cli.client import Json, Server
from geodns.cli.options import number
from geodns.cli.order_courier import Answers
from geodns.cli.order_dialog import describe_order, give, order_options
from geodns.cli.wait import wait
from geodns.config.times import seconds_asked
from geodns.errors import UsageError
from geodns.model.limits import MAX_WEIGHT

PATH = "/api/v1/orders"

Command = Callable[..., None]


def _duration(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        seconds_asked(value, "leave it out: it holds until it is ended")
    return value


def _ordering(*, ends: bool = False) -> Callable[[Command], Command]:
    """Add the options of every order; those that end something have no end themselves."""

    def add(command: Command) -> Command:
        timed = click.option(
            "--for", "duration", metavar="TIME", callback=_duration, help="End by itself after 30m, 2h, 1d …"
        )
        options = (
            click.option("--zone", metavar="ZONE", help="Look for HOST in this zone alone."),
            click.option(
                "--reason", default="", metavar="TEXT", help="Why; shown in the status and the events."
            ),
            *(() if ends else (timed,)),
            order_options,
        )
        for option in reversed(options):
            command = option(command)
        return command

    return add


_WEIGHT = number(0, MAX_WEIGHT, whole=True, hint="it stands last: geodns weight mta1 5")
_hosts = click.argument("hosts", nargs=-1, required=True, metavar="HOST…")


@click.command()
@_hosts
@click.option(
    "--wait", "waits", is_flag=True, help="Wait until HOST may be rebooted, and print the progress."
)
@click.option("--timeout", metavar="TIME", help="End --wait after 30m, 2h … with status 3.")
@_ordering()
def drain(hosts: tuple[str, ...], *, waits: bool, timeout: str | None, **given: Any) -> None:
    """Deal HOST no more, until `undrain`.

    HOST is a name (mta1, mta1.out.example.com), an address, or a glob over the hosts of all zones ('mta*').

    When the command returns, no worker deals the host's addresses any longer. What DNS cannot do: resolvers
    and clients keep what they have for the TTL and some for longer, connections stay open, and mail that is
    queued on the host still leaves it.

    With --wait it returns when the last answer with the host has left all caches that keep to its TTL and,
    where the host tells its load, that was read after that and is 0: then it is safe to reboot. While that
    load is not known (its exporter is gone, or its last value too old) it goes on waiting, until --timeout.
    """
    if timeout is not None and not waits:
        raise UsageError("--timeout says how long to --wait: give both")
    seconds = None if timeout is None else seconds_asked(timeout, "leave it out", "--timeout")
    _order("drain", hosts, then=partial(wait, timeout=seconds) if waits else None, **given)


@click.command()
@_hosts
@_ordering(ends=True)
def undrain(hosts: tuple[str, ...], **given: Any) -> None:
    """Deal HOST again, as its health allows.

    It ends a drain and nothing else: what is quarantined or forced stays so until `clear`.
    """
    _order("undrain", hosts, **given)


@click.command()
@_hosts
@click.option(
    "--badness",
    type=number(0, 100),
    metavar="N",
    help="For programs: how bad it is, 0 to 100; the pool's max_out bounds it, and the worst go first.",
)
@_ordering()
def quarantine(hosts: tuple[str, ...], **given: Any) -> None:
    """Deal HOST no more because its mail may be refused, until `clear`.

    As `drain`, but for a host with a bad name rather than one under repair: where nobody else in a pool is
    left, quarantined hosts are dealt before drained ones. What DNS cannot do: mail that is queued on the host
    still leaves it from the same address, and clients keep their connections and what they have in caches.
    """
    _order("quarantine", hosts, **given)


@click.group()
def force() -> None:
    """Hold HOST up or down, whatever its probes find, until `clear`."""


@force.command()
@_hosts
@_ordering()
def up(hosts: tuple[str, ...], **given: Any) -> None:
    """Deal HOST even if its probes fail, until `clear`.

    For a host that works although the prober cannot see it. Its real state goes on being probed and shown.
    """
    _order("up", hosts, **given)


@force.command()
@_hosts
@_ordering()
def down(hosts: tuple[str, ...], **given: Any) -> None:
    """Never deal HOST, not even as the last resort, until `clear`.

    Where nobody else is left its pool answers with SERVFAIL. What DNS cannot do: clients keep their
    connections and what they have in caches, and queued mail still leaves the host.
    """
    _order("down", hosts, **given)


@click.command()
@_hosts
@click.argument("weight", type=_WEIGHT, metavar="N")
@_ordering()
def weight(hosts: tuple[str, ...], weight: int, **given: Any) -> None:
    """Give HOST the weight N in every pool, instead of the zone file's, until `clear`.

    0 is never dealt. What lowers weights (slow start, shedding, load …) applies to N as it does to the
    file's. A warning says so if the file is edited meanwhile.
    """
    _order("weight", hosts, weight=weight, **given)


@click.command()
@_hosts
@_ordering(ends=True)
def clear(hosts: tuple[str, ...], **given: Any) -> None:
    """End all overrides of HOST: drained, quarantined, forced up or down, and its weight."""
    _order("clear", hosts, **given)


def _order(
    verb: str,
    hosts: tuple[str, ...],
    *,
    zone: str | None,
    reason: str,
    author: str | None,
    server: str,
    token: str | None,
    duration: str | None = None,
    weight: int | None = None,
    badness: float | None = None,
    then: Callable[[Server, Answers], None] | None = None,
    **dialog: bool,
) -> None:
    body: Json = {"verb": verb, "hosts": list(hosts), "reason": reason}
    more = {"zone": zone, "for": duration, "weight": weight, "badness": badness}
    body |= {key: value for key, value in more.items() if value is not None}
    servers = Server(server, token, author)
    after = None if then is None else partial(then, servers)
    give(servers, PATH, body, describe=describe_order, then=after, **dialog)
