"""``geodns drain`` and ``geodns undrain``: take a host out of all answers, and give it back."""

import click

from geodns.commands.client import Server, server_option, token_option
from geodns.control import find_host
from geodns.status import Json


@click.command()
@click.argument("host")
@click.option("--reason", default="", metavar="TEXT", help="Why; shown in the status and the log.")
@click.option("--for", "duration", metavar="TIME", help="End by itself after 30m, 2h, 1d …")
@server_option
@token_option
def drain(host: str, reason: str, duration: str | None, server: str, token: str | None) -> None:
    """Deal HOST no more, until `undrain`.

    When the command returns, no worker deals the host's addresses any longer. What DNS cannot do: resolvers
    keep what they have for up to the TTL, connections stay open, and mail that is queued on the host still
    leaves it.
    """
    _order(
        Server(server, token), host, "drain", {"reason": reason, **({"for": duration} if duration else {})}
    )


@click.command()
@click.argument("host")
@click.option("--reason", default="", metavar="TEXT", help="Why; shown in the log.")
@server_option
@token_option
def undrain(host: str, reason: str, server: str, token: str | None) -> None:
    """Deal HOST again, as its health allows."""
    _order(Server(server, token), host, "undrain", {"reason": reason})


def _order(server: Server, host: str, verb: str, body: Json) -> None:
    status = server.get("/status")
    zone, name = find_host(host, {zone: list(hosts) for zone, hosts in status["hosts"].items()})
    code, shown = server.post(f"/api/v1/hosts/{zone}/{name}/{verb}", body)
    state = f"{shown['state']} ({shown['forced']})" if shown["forced"] else shown["state"]
    click.echo(f"{name}.{zone}: {state}, {_where(server, zone, name)}")
    if code == 202:
        click.echo(
            f"still pending: {', '.join(shown['pending'])} (it may deal the host a moment longer)", err=True
        )
        raise click.exceptions.Exit(1)


def _where(server: Server, zone: str, name: str) -> str:
    """Say which pools deal the host now, and from when on no cache has it."""
    pools = server.get("/status")["pools"][zone]
    dealt = [
        pool
        for pool, shown in pools.items()
        if any(name in family["share"] for family in shown["families"].values())
    ]
    if dealt:
        return f"dealt by {', '.join(dealt)}"
    # Not the TTL of now: what was dealt before may have had a longer one.
    ttl = max((shown["max_ttl"] for shown in pools.values()), default=0)
    return f"dealt no more; caches may hold it for {ttl} s"
