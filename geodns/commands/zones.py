"""One zone of a folder of zone files, for the commands that work without a running server."""

from pathlib import Path

from geodns.errors import BadNameError, GeodnsError, UsageError
from geodns.model import Zone
from geodns.zonefile import read_zone, zone_files
from geodns.zonefile.names import zone_name


def zone_in(folder: Path, name: str) -> Zone:
    """Return a zone.

    Args:
        folder: of the zone files.
        name: of the zone, with or without the final dot.

    Raises:
        UsageError: it is no name.
        GeodnsError: it is not there, or its file has errors.

    """
    try:
        wanted = zone_name(name.removesuffix("."))
    except BadNameError as error:
        raise UsageError(str(error)) from error
    there = []
    for path in zone_files([folder]):
        try:
            there.append(zone_name(path.stem))
        except BadNameError:
            continue
        if there[-1] != wanted:
            continue
        parsed = read_zone(path)
        if parsed.zone is None:
            raise GeodnsError("\n".join(str(problem) for problem in parsed.problems if not problem.warning))
        return parsed.zone
    raise GeodnsError(f"no zone {wanted} in {folder}: there is {', '.join(there) or 'none'}")
