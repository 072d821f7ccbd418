"""``geodns reload`` and ``geodns querylog``: orders to the servers themselves."""

from collections.abc import Callable, Mapping
from functools import partial

import click

from geodns.cli.client import HttpReply, Json, Server
from geodns.cli.options import server_option, token_option
from geodns.cli.order_courier import Answers
from geodns.cli.order_dialog import UNKEPT

RELOAD = "/api/v1/reload"
QUERY_LOG = "/api/v1/querylog"
ALL = "all"
"""A yes to all that is shown to wait."""


def order_all(servers: Server, path: str, body: Json, show: Callable[[str, str, HttpReply], bool]) -> None:
    """Order something of every server; exit with status 1 unless all have done it, 4 unless all keep it.

    Args:
        servers: whom to give the order to.
        path: of the order.
        body: of the order.
        show: prints an answer, given the server's URL and how its lines begin; whether it has done it.

    Raises:
        GeodnsError: there is one server only, and it did not take the order.

    """
    _report(servers.post_all(path, body), show)


def _report(answers: Answers, show: Callable[[str, str, HttpReply], bool]) -> None:
    good = kept = True
    for url, answer in answers.items():
        if isinstance(answer, HttpReply):
            prefix = f"{url}: " if len(answers) > 1 else ""
            good = show(url, prefix, answer) and good
            if not answer.body.get("kept", True):
                kept = False
                why = "`geodns status` says why"
                click.echo(
                    f"{prefix}note: in force, but not kept ({why}): a restart forgets it so far", err=True
                )
        elif len(answers) == 1:
            raise answer
        else:
            click.echo(f"{answer}: run this again with --server {url}", err=True)
            good = False
    if not good or not kept:
        raise click.exceptions.Exit(UNKEPT if good else 1)


@click.command()
@click.option(
    "--yes",
    is_flag=False,
    flag_value=ALL,
    metavar="[DIGEST]",
    help="Also serve edits that would take much away; with the DIGEST that was shown, those alone.",
)
@server_option
@token_option
def reload(*, yes: str | None, server: str, token: str | None) -> None:
    """Read the zone files anew.

    Edits are read by themselves. One that would take more than 30 % of a pool's weight away, or a name that
    was asked for within a day, waits for --yes: until then the zone is served as it was. Exit status 1 when
    something waits, or a file is refused.

    What --yes serves is what waits at that moment: a server whose files are edited meanwhile refuses it.
    """
    servers = Server(server, token)
    answers = servers.post_all(RELOAD, {"yes": yes if yes and yes != ALL else False})
    if yes == ALL:
        waiting = {
            url: {"yes": answer.body.get("digest", True)}  # a server before digests says none
            for url, answer in answers.items()
            if isinstance(answer, HttpReply) and answer.body["waiting"]
        }
        answers |= servers.post_each(RELOAD, waiting) if waiting else {}
    _report(answers, partial(_show_zones, token))


def _show_zones(token: str | None, url: str, prefix: str, answer: HttpReply) -> bool:
    """Say what has become of a server's files; return whether it serves them as they are."""
    waiting: Mapping[str, list[str]] = answer.body["waiting"]
    yes = f"--yes {answer.body['digest']}" if answer.body.get("digest") else "--yes"
    for zone, why in waiting.items():
        text = f"{zone} waits: {'; '.join(why)}: `geodns reload {yes}` serves it all the same"
        click.echo(prefix + text, err=True)
    zones = Server(url, token).get("/status")["zones"]
    refused = [about["error"] for about in zones.values() if about["error"]]
    for error in refused:
        click.echo(prefix + error, err=True)
    if waiting or refused:
        return False
    click.echo(f"{prefix}zones are served as their files say: {len(zones)}")
    return True


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
        click.echo(_describe_log(Server(server, token).get(QUERY_LOG)))


# The server may be named behind `on` and `off` as well as before them.
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
    order_all(Server(server or before[0], token or before[1]), QUERY_LOG, body, _show_log)


def _show_log(_url: str, prefix: str, answer: HttpReply) -> bool:
    click.echo(prefix + _describe_log(answer.body))
    if answer.status == 202:
        pending = ", ".join(answer.body["pending"])
        click.echo(f"still pending: {pending} (it will follow in a moment)", err=True)
    return answer.status != 202


def _describe_log(shown: Json) -> str:
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
