"""``geodns route``: where a message leaves by the routes of a zone, rule by rule."""

import json
from collections.abc import Iterator

import click

from geodns.cli.client import Json, Server
from geodns.cli.options import server_option, token_option

PATH = "/api/v1/route"


def _bytes(text: str) -> int:
    from geodns.model.routes import size_of  # noqa: PLC0415 - what reads zone files takes long to load

    size = size_of(text)
    if size is None:
        raise click.BadParameter(f"{text!r} is no size: write bytes, or a unit, as 12000 or 5MB")
    return int(size)


@click.command()
@click.argument("zone", metavar="[ZONE]", required=False)
@click.option("--recipient", metavar="ADDRESS", help="To whom it goes.")
@click.option("--sender", metavar="ADDRESS", help="Who sends it; <> is the sender of bounces.")
@click.option("--class", "mail_class", metavar="CLASS", help="What the MTA calls it, as bulk.")
@click.option("--client", metavar="IP", help="Who hands it in.")
@click.option("--sasl", metavar="USER", help="The user name that it was handed in with.")
@click.option("--size", metavar="SIZE", type=_bytes, help="How large it is, as 12000 or 5MB.")
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the server gives.")
@server_option
@token_option
def route(
    zone: str | None,
    recipient: str | None,
    sender: str | None,
    mail_class: str | None,
    client: str | None,
    sasl: str | None,
    size: int | None,
    *,
    as_json: bool,
    server: str,
    token: str | None,
) -> None:
    """Say where a message leaves by the routes of ZONE (the only zone with `routes` unless given), and why.

    What is not told is not known: a rule that asks for it does not fit. Nothing takes a turn in a rotation,
    so that `deal: host` shows the name here, of which the MTA gets a host. Exit status 1 where no rule fits,
    and where the recipient's domain is local.
    """
    told = {
        "zone": zone,
        "recipient": recipient,
        "sender": sender,
        "class": mail_class,
        "client": client,
        "sasl": sasl,
        "size": None if size is None else str(size),
    }
    asked = {key: value for key, value in told.items() if value is not None}
    shown = Server(server, token).get(PATH, **asked)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(lines(shown)))
    if shown["rule"] is None:
        raise click.exceptions.Exit(1)


def lines(shown: Json) -> Iterator[str]:
    """Yield the server's answer in words."""
    provider = f", provider {shown['provider']}" if shown["provider"] else ""
    yield f"zone {shown['zone']}{provider}"
    for one in shown["why"]:
        head = "" if one["rule"] is None else f"rule {one['rule']} does not fit: "
        yield f"  {head}{one['missed']}"
    if shown["rule"] is None:
        yield "no rule says where it leaves: the MTA sends it its own way"
        return
    yield f"  rule {shown['rule']} fits: it leaves by {shown['name']}"
    yield shown["transport"] or "no host but the one that asks: the MTA sends it its own way"
    pool, live = shown["pool"], ", ".join(shown["live"])
    if pool is not None:
        yield (f"pool {pool} deals {live}" if live else f"pool {pool}: nobody is live")
