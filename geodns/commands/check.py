"""`geodns check`: every problem of every zone file."""

from pathlib import Path

import click

from geodns.errors import GeodnsError
from geodns.model import DnsSource
from geodns.zonefile import read_zones, zone_files


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(path_type=Path))
@click.pass_context
def check(context: click.Context, paths: tuple[Path, ...]) -> None:
    """Print what is wrong with zone files.

    PATH is a zone file or a folder of them (default: zones). Each problem is one line,
    file:line:column: what is wrong: what to write instead. The exit status is 1 if there is any
    but warnings.
    """
    paths = paths or (Path("zones"),)
    files = zone_files(paths)
    shown = ", ".join(map(str, paths))
    if not files or (paths == (Path("zones"),) and not paths[0].exists()):
        raise GeodnsError(f"no zone file in {shown}: write one with `geodns init NAME ADDRESS…`")
    parsed = read_zones(files).values()
    for file in parsed:
        for problem in file.problems:
            click.echo(problem)
    zones = [file.zone for file in parsed if file.zone is not None]
    if len(zones) < len(files) or any(not one.warning for file in parsed for one in file.problems):
        context.exit(1)
    names = sum(
        len({item.owner for item in zone.records} | {item.owner for item in zone.rules}) for zone in zones
    )
    hosts, pools = sum(len(zone.hosts) for zone in zones), sum(len(zone.pools) for zone in zones)
    for zone in zones:
        for source in zone.sources:
            if isinstance(source, DnsSource):
                click.echo(f"{zone.name}: {source.title} is looked up while the server runs, not here")
    click.echo(f"zones {len(zones)}, hosts {hosts}, pools {pools}, names {names}")
