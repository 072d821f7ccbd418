"""``geodns reload``: have a running server read its zone files anew, also what would wait."""

from collections.abc import Mapping

import click

from geodns.commands.client import Server, server_option, token_option
from geodns.errors import GeodnsError


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
    answers = source.post_all("/api/v1/reload", {"yes": yes})
    good = True
    for url, answer in answers.items():
        if isinstance(answer, GeodnsError):
            if len(answers) == 1:
                raise answer
            click.echo(f"{answer}: run this again with --server {url}", err=True)
            good = False
            continue
        good = (
            _tell(Server(url, token), answer.body["waiting"], f"{url}: " if len(answers) > 1 else "") and good
        )
    if not good:
        raise click.exceptions.Exit(1)


def _tell(source: Server, waiting: Mapping[str, list[str]], prefix: str) -> bool:
    """Say what has become of a server's files; return whether it serves them as they are."""
    for zone, why in waiting.items():
        text = f"{zone} waits: {'; '.join(why)}: `geodns reload --yes` serves it all the same"
        click.echo(prefix + text, err=True)
    zones = source.get("/status")["zones"]
    refused = [about["error"] for about in zones.values() if about["error"]]
    for error in refused:
        click.echo(prefix + error, err=True)
    if waiting or refused:
        return False
    click.echo(f"{prefix}zones are served as their files say: {len(zones)}")
    return True
