"""`geodns export`: a zone → the zone file that every name server reads."""

from datetime import UTC, datetime
from pathlib import Path

import click

from geodns.commands.zones import zone_in
from geodns.convert.master import master_file
from geodns.serial import next_serial


@click.command("export")
@click.argument("zone")
@click.option(
    "--zones", type=click.Path(path_type=Path), default="zones", show_default=True, help="The folder."
)
def export_zone(zone: str, zones: Path) -> None:
    """Print ZONE as a zone file (RFC 1035).

    What is dealt stands there as the whole set of hosts that may be dealt, and a comment says so.
    A zone whose file has no serial gets today's first.
    """
    today = datetime.now(UTC).date()
    click.echo(master_file(zone_in(zones, zone), next_serial(None, today)), nl=False)
