"""``geodns querylog``: have a running server log its queries, or some of them, for a while."""

import click

from geodns.commands.client import Server, server_option, token_option
from geodns.errors import GeodnsError
from geodns.shown import Json

PATH = "/api/v1/querylog"


@click.group(invoke_without_command=True)
@server_option
@token_option
@click.pass_context
def querylog(context: click.Context, /, server: str, token: str | None) -> None:
    """Show whether a running server logs queries; `on` and `off` change that.

    The lines go where the server's own log goes.
    """
    context.obj = server, token
    if context.invoked_subcommand is None:
        click.echo(told(Server(server, token).get(PATH)))


# Who names the server behind the word means the same as who names it before.
_server_again = click.option("--server", metavar="URL", help="The HTTP side of the running server.")
_token_again = click.option("--token", metavar="TOKEN", help="What the server asks of writers.")


@querylog.command()
@click.option(
    "--zone", "zones", multiple=True, metavar="ZONE", help="At or below this name; may be repeated."
)
@click.option("--client", "clients", multiple=True, metavar="NET", help="From here; may be repeated.")
@click.option("--sample", metavar="PART", help="Only a part of them, by chance: 1%, 1/100, 0.01.")
@click.option("--for", "duration", metavar="TIME", help="End by itself after 30s, 2h … or unlimited [10m].")
@_server_again
@_token_again
@click.pass_context
def on(
    context: click.Context,
    /,
    zones: tuple[str, ...],
    clients: tuple[str, ...],
    sample: str | None,
    duration: str | None,
    server: str | None,
    token: str | None,
) -> None:
    """Log queries from now on, instead of those that are logged now."""
    body: Json = {"on": True, "zones": zones, "clients": clients}
    body |= {} if sample is None else {"sample": sample}
    body |= {} if duration is None else {"for": duration}
    _switch(context, body, server, token)


@querylog.command()
@_server_again
@_token_again
@click.pass_context
def off(context: click.Context, /, server: str | None, token: str | None) -> None:
    """Log no queries any more."""
    _switch(context, {"on": False}, server, token)


def _switch(context: click.Context, body: Json, server: str | None, token: str | None) -> None:
    before: tuple[str, str | None] = context.obj
    answers = Server(server or before[0], token or before[1]).post_all(PATH, body)
    good = True
    for url, answer in answers.items():
        if isinstance(answer, GeodnsError):
            if len(answers) == 1:
                raise answer
            click.echo(f"{answer}: run this again with --server {url}", err=True)
            good = False
            continue
        click.echo(f"{url}: {told(answer.body)}" if len(answers) > 1 else told(answer.body))
        if answer.status == 202:
            pending = ", ".join(answer.body["pending"])
            click.echo(f"still pending: {pending} (it will follow in a moment)", err=True)
            good = False
    if not good:
        raise click.exceptions.Exit(1)


def told(shown: Json) -> str:
    """Say what the server shows."""
    sums = f"{shown['written']} written, {shown['dropped']} dropped"
    if not shown["on"]:
        return f"the query log is off ({sums})" if shown["written"] else "the query log is off"
    parts = [
        ", ".join(shown["zones"]) or "all zones",
        ", ".join(shown["clients"]) or "all clients",
        "every query" if shown["sample"] == 1 else f"{100 * shown['sample']:g}% of the queries",
        "until it is switched off" if shown["until"] is None else f"until {shown['until']}",
    ]
    return f"the query log is on: {'; '.join(parts)} ({sums})"
