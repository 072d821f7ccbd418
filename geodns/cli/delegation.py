"""``geodns delegation``: the records that a zone's parent needs, and whether it has them."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from geodns.cli.parent_records import (
    TTL,
    Delegation,
    DelegationFinding,
    delegation_of,
    describe_name,
    findings,
    form_fields,
    master_lines,
    remarks,
)
from geodns.cli.zonefiles import zone_in
from geodns.config.server_keys import Listen
from geodns.errors import UsageError

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


@click.command()
@click.argument("zone")
@click.option(
    "--zones", type=click.Path(path_type=Path), default="zones", show_default=True, help="The folder."
)
@click.option("--verify", is_flag=True, help="Ask the parent's servers and the zone's own what they say.")
@click.option(
    "--resolver", metavar="ADDR:PORT", help="Where to look names up; default: where this machine does."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def delegation(zone: str, zones: Path, resolver: str | None, *, verify: bool, as_json: bool) -> None:
    """Print what to put at the parent of ZONE: its name servers, and their addresses as glue.

    With --verify, ask the parent's servers what they have, and the zone's own name servers whether they serve
    it; exit status 1 when something is missing or differs.
    """
    wanted = delegation_of(zone_in(zones, zone))
    where = _resolver(resolver)
    found = remarks(wanted)
    parent = wanted.parent
    if verify:
        from geodns.cli.parent_check import Inquiry  # noqa: PLC0415 - only who verifies needs a resolver

        inquiry = Inquiry(wanted, where)
        parent = inquiry.parent()
        found = [*findings(wanted, parent, inquiry.parents(parent), inquiry.servers()), *found]
    if as_json:
        click.echo(json.dumps(_json(wanted, parent, found, verified=verify), indent=2, ensure_ascii=False))
    else:
        _print(wanted, parent, found, verified=verify)
    if any(one.level == "error" for one in found):
        raise click.exceptions.Exit(1)


def _resolver(text: str | None) -> Listen | None:
    try:
        return None if text is None else Listen.parse(text if ":" in text else f"{text}:53")
    except ValueError as error:
        raise UsageError(f"--resolver: {': '.join(map(str, error.args))}") from error


def _json(
    wanted: Delegation, parent: str, found: list[DelegationFinding], *, verified: bool
) -> dict[str, object]:
    return {
        "zone": wanted.zone,
        "parent": parent,
        "ttl": TTL,
        "records": [entry._asdict() for entry in wanted.entries],
        "verified": verified,
        "findings": [one._asdict() for one in found],
    }


def _print(wanted: Delegation, parent: str, found: list[DelegationFinding], *, verified: bool) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    sure = "" if verified else " (as its name says: --verify finds out)"
    console.print(
        Text(f"{describe_name(wanted.zone)} is delegated in {describe_name(parent)}{sure}", style="bold")
    )
    console.print("\nas lines of its zone file:\n")
    for line in master_lines(wanted):
        console.print(Text(line))
    console.print("\nas a form asks for it:\n")
    table = Table(box=None, pad_edge=False)
    for column in ("type", "name", "value", "TTL"):
        table.add_column(column, overflow="fold")
    for row in form_fields(wanted, parent):
        table.add_row(*row)
    console.print(table)
    if found or verified:
        console.print()
    for one in found:
        console.print(Text(f"{one.level}: {one.text}", style=_COLOURS[one.level]))
    if verified and not any(one.level == "error" for one in found):
        console.print("the parent and the name servers say what they should")
