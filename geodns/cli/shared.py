"""``geodns shared``: who is heard of the servers that judge together, and the rights they need at Redis."""

import json
import re
from collections.abc import Iterator

import click

from geodns.cli.client import HttpReply, Json, Server
from geodns.cli.options import server_option, token_option
from geodns.cli.status_words import moment
from geodns.errors import GeodnsError, UsageError

USER = re.compile("[A-Za-z0-9_.-]{1,64}")
_MODES = {
    "quorum": "what most servers see is served",
    "frozen": "the last common verdicts are served for a short while",
    "own": "each server serves what it sees itself",
}


@click.group()
def shared() -> None:
    """Show what servers share through Redis or Valkey, and the rights that this takes."""


@shared.command()
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the servers give.")
@server_option
@token_option
def status(*, as_json: bool, server: str, token: str | None) -> None:
    """Show who is heard at each server, whose verdicts are served, and who is alone with what he sees.

    Exit status 1 when a server cannot be asked, has no connection, or serves what it alone sees.
    """
    answers = Server(server, token).get_all("/status")
    if as_json:
        found = {
            url: one.body.get("shared") if isinstance(one, HttpReply) else {"error": str(one)}
            for url, one in answers.items()
        }
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for url, one in answers.items():
            for line in _lines(url, one):
                click.echo(line)
    if not all(isinstance(one, HttpReply) and _is_well(one.body) for one in answers.values()):
        raise click.exceptions.Exit(1)


def _is_well(body: Json) -> bool:
    one = body.get("shared")
    return one is None or (one["connected"] and (one["mode"] == "quorum" or one["agree"] == "own"))


def _lines(url: str, answer: HttpReply | GeodnsError) -> Iterator[str]:
    if isinstance(answer, GeodnsError):
        text = str(answer)
        yield text if text.startswith(url) else f"{url}: {text}"
        return
    node, one = answer.body["node"], answer.body.get("shared")
    if one is None:
        yield f"{node}: shares nothing: `shared` is not in its settings"
        return
    link = f"connected to {one['store']}" if one["connected"] else "not connected"
    yield f"{node}: group {one['group']}, {link} since {moment(one['since'])}"
    if one["why"]:
        yield f"  {one['why']}"
    yield f"  {_heard(one)}"
    yield f"  {_MODES.get(one['mode'], one['mode'])}"
    yield from _by_http(one.get("http", {}))
    for lone in one["alone"]:
        why = f": {lone['why']}" if lone["why"] else ""
        where = f"{', '.join(lone['hosts'])} ({lone['check']} {lone['address']})"
        yield f"  {lone['server']} alone says {lone['says']} of {where}{why}"
    if one["alone_count"] > len(one["alone"]):
        yield f"  and so of {one['alone_count'] - len(one['alone'])} addresses more"
    if one["tied"]:
        yield f"  evenly divided on addresses: {one['tied']}"
    if one.get("pending"):
        yield f"  orders given here are not yet confirmed by {', '.join(one['pending'])}"
    counted = ", ".join(f"{name} {of['today']:,}" for name, of in one.get("signals", {}).items())
    if counted:
        yield f"  counts of mail today: {counted}; programs' orders come from {one['programs']}"
    for reason, count in one["skipped"].items():
        yield f"  skipped values: {count:,} {reason}"


def _by_http(http: dict[str, str]) -> Iterator[str]:
    heard = ", ".join(node for node, why in http.items() if not why)
    if heard:
        yield f"  votes come by HTTP from {heard}, as Redis does not bring them"
    for node, why in http.items():
        if why:
            yield f"  {node} is not heard by HTTP: {why}"


def _heard(one: Json) -> str:
    if one["known"] > 1 or one["connected"]:
        return f"hears {len(one['heard'])} of {one['known']} servers: {', '.join(one['heard'])}"
    return "has heard of no other server"


@shared.command()
@click.argument("group", default="geodns")
@click.option("--user", default="geodns", show_default=True, metavar="NAME", help="Redis' name of the user.")
def acl(group: str, user: str) -> None:
    """Print the line that gives a user of Redis or Valkey the rights that GROUP needs, and no others.

    Type it into redis-cli, not into a shell, with a password in PASSWORD's place; ACL SAVE or CONFIG REWRITE
    keeps it over a restart. The user's name belongs into the settings: redis://geodns@HOST.
    """
    # The types of values take as long to load as all the rest of a command.
    from geodns.model.shared import GROUP  # noqa: PLC0415 - see above
    from geodns.storage.shared_scripts import acl as acl_line  # noqa: PLC0415 - see above

    if re.fullmatch(GROUP, group) is None:
        raise UsageError(f"{group!r} is no group: write 1 to 32 small letters, digits or dashes, as out")
    if USER.fullmatch(user) is None:
        raise UsageError(f"{user!r} is no user: write letters, digits, dots or dashes, as geodns")
    click.echo(acl_line(group, user))
