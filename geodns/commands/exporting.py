"""`geodns export`: a zone → the zone file that every name server reads."""

from datetime import UTC, datetime
from pathlib import Path

import click

from geodns.convert.master import master_file
from geodns.errors import BadNameError, GeodnsError, UsageError
from geodns.serial import next_serial
from geodns.zonefile import read_zone, zone_files
from geodns.zonefile.names import zone_name


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
    try:
        name = zone_name(zone.removesuffix("."))
    except BadNameError as error:
        raise UsageError(str(error)) from error
    for path in zone_files([zones]):
        try:
            if zone_name(path.stem) != name:
                continue
        except BadNameError:
            continue
        parsed = read_zone(path)
        if parsed.zone is None:
            raise GeodnsError("\n".join(str(problem) for problem in parsed.problems if not problem.warning))
        today = datetime.now(UTC).date()
        click.echo(master_file(parsed.zone, next_serial(None, today)), nl=False)
        return
    raise GeodnsError(f"no zone {name} in {zones}")
