"""``geodns reload``: have a running server read its zone files anew, also what would wait."""

import click

from geodns.commands.client import Server, server_option, token_option


@click.command()
@click.option("--yes", is_flag=True, help="Also serve edits that would take much away.")
@server_option
@token_option
def reload(*, yes: bool, server: str, token: str | None) -> None:
    """Read the zone files anew.

    Edits are read by themselves. One that would take more than 30 % of a pool's hosts away, or a name that
    was asked for within a day, waits for --yes: until then the zone is served as it was. Exit status 1 when
    something waits, or a file is refused.
    """
    source = Server(server, token)
    _, shown = source.post("/api/v1/reload", {"yes": yes})
    for zone, why in shown["waiting"].items():
        click.echo(f"{zone} waits: {'; '.join(why)}: `geodns reload --yes` serves it all the same", err=True)
    zones = source.get("/status")["zones"]
    refused = [about["error"] for about in zones.values() if about["error"]]
    for error in refused:
        click.echo(error, err=True)
    if shown["waiting"] or refused:
        raise click.exceptions.Exit(1)
    click.echo(f"zones are served as their files say: {len(zones)}")
