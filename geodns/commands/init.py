"""`geodns init`: writes the shortest zone file."""

from pathlib import Path

import click

from geodns.errors import BadNameError, GeodnsError, UsageError
from geodns.zonefile import zone_files
from geodns.zonefile.names import zone_name
from geodns.zonefile.template import PLACEHOLDER, shortest_zone


@click.command()
@click.argument("name")
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS…")
@click.option(
    "--zones", type=click.Path(path_type=Path), default="zones", show_default=True, help="The folder."
)
@click.option(
    "--ns",
    "servers",
    multiple=True,
    metavar="NAME=ADDRESS",
    help="A name server in the zone, as ns1=198.51.100.1; one outside is its name alone, as ns2.example.net. "
    "May be given several times.",
)
def init(name: str, addresses: tuple[str, ...], zones: Path, servers: tuple[str, ...]) -> None:
    """Write the zone file of NAME, which deals mail hosts at each ADDRESS."""
    try:
        zone = zone_name(name.removesuffix("."))
    except BadNameError as error:
        raise UsageError(str(error)) from error
    text = shortest_zone(zone, addresses, servers)
    path = zones / f"{zone}.yaml"
    try:
        zones.mkdir(parents=True, exist_ok=True)
        taken = [file for file in zone_files([zones]) if file.stem.lower() == zone]
        if taken:
            raise GeodnsError(f"{taken[0]} exists: edit it, or take it away first")
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise GeodnsError(f"{path}: {error.strerror}") from error
    click.echo(f"{path} written. Next:")
    steps = [
        f"put the public address of this server in the place of {PLACEHOLDER} (`ns`)" if not servers else "",
        f"geodns check {zones}",
        f"geodns serve --zones {zones}, and then: dig -p 5300 @127.0.0.1 {zone}",
        f"delegate {zone} in its parent zone to the servers under `ns`, with their addresses as glue",
    ]
    for number, step in enumerate(filter(None, steps), 1):
        click.echo(f"  {number}. {step}")
