"""``geodns routes``: the rules by which messages leave, what each answered, and which never did."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from rich.table import Table

from geodns.cli.client import Json, Server
from geodns.cli.options import server_option, token_option
from geodns.cli.output import show
from geodns.cli.status_words import moment

PATH = "/api/v1/routes"
OUTCOMES = {
    "none": "no rule fitted",
    "local": "local recipients",
    "stopped": "a rule asks what the map does not tell",
    "later": "no host but the one that asked",
    "unserved": "asked of no zone with routes",
    "malformed": "malformed",
}
MOST_NAMED = 50
"""Rules that never matched and are named."""


@click.command()
@click.argument("zone", metavar="[ZONE]", required=False)
@click.option(
    "--since", default="1d", metavar="TIME", help="From then on: 30m, 1d, or 2026-11-25T03:00 [1d]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the JSON that the server gives.")
@server_option
@token_option
def routes(zone: str | None, since: str, *, as_json: bool, server: str, token: str | None) -> None:
    """Show the rules by which messages leave, what each answered, and which never did.

    Counts are look-ups: an MTA asks for a message several times. They are kept for 15 days, and belong to a
    rule wherever it stands; one that is edited begins anew.
    """
    asked = {"since": since} | ({} if zone is None else {"zone": zone})
    shown = Server(server, token).get(PATH, **asked)
    if as_json:
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if not shown["zones"]:
        click.echo("no zone has `routes`: write some in a zone's file")
    for name, one in shown["zones"].items():
        for part in _zone(name, one):
            show(part)
    if not shown["listen"]:
        click.echo("nobody answers MTAs: `routes_listen` of the server's settings is empty")
    for line in _others(shown["no_zone"]):
        click.echo(f"of no zone: {line}")


def _zone(zone: str, one: Json) -> Iterator[Any]:
    yield f"routes of {zone}, look-ups since {moment(one['since'])}"
    table = Table(box=None, pad_edge=False)
    for title in ("rule", "when", "use", "look-ups", "last"):
        table.add_column(title, justify="right" if title in {"rule", "look-ups"} else "left", overflow="fold")
    for rule in one["rules"]:
        table.add_row(
            str(rule["rule"]),
            conditions(rule["when"]),
            _use(rule, zone),
            f"{rule['matched']:,}",
            moment(rule["last"]) if rule["last"] else "-",
        )
    yield table
    if one["left"]:
        yield f"and {one['left']:,} rules more"
    yield from _others(one["unmatched"])
    if one["looked_up"]:
        yield f"hosts looked up: {'; '.join(_looked_up(one['looked_up']))}"
    yield from _never(one["rules"], one["since"])


def conditions(when: Mapping[str, str]) -> str:
    """Return a rule's conditions in a line."""
    return "; ".join(f"{name} {want}" for name, want in when.items()) or "every message"


def _use(rule: Json, zone: str) -> str:
    name = "@" if rule["use"] == zone else rule["use"].removesuffix(f".{zone}")
    port = "" if rule["port"] == 25 else f":{rule['port']}"
    return f"{name}{port}{', by host' if rule['deal'] == 'host' else ''}"


def _others(unmatched: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for outcome, numbers in unmatched.items():
        protocols = ", ".join(f"{name} {number:,}" for name, number in numbers.items())
        yield f"{OUTCOMES.get(outcome, outcome)}: {protocols}"


def _looked_up(hosts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for host, numbers in hosts.items():
        providers = ", ".join(f"{name or 'not known'} {number:,}" for name, number in numbers.items())
        yield f"{host} {sum(numbers.values()):,} ({providers})"


def _never(rules: Iterable[Json], since: str) -> Iterator[str]:
    """Name the rules that have answered nothing; of those that are newer than `since`, say how new."""
    unused = [rule for rule in rules if not rule["matched"]]
    named = ", ".join(
        str(rule["rule"])
        + (f" (there since {moment(rule['known'])})" if rule["known"] and rule["known"] > since else "")
        for rule in unused[:MOST_NAMED]
    )
    more = f" and {len(unused) - MOST_NAMED:,} more" if len(unused) > MOST_NAMED else ""
    if unused:
        yield f"never matched since {moment(since)}: rule{'s' if len(unused) > 1 else ''} {named}{more}"
    else:
        yield f"every rule has matched since {moment(since)}"
