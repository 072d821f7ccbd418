"""`geodns check`: every problem of every zone file, and what it would change."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from pydantic import ValidationError

from geodns.commands.client import Server, server_option, token_option
from geodns.errors import GeodnsError, ServerError
from geodns.model import DnsSource, HostSource, Zone
from geodns.zonediff import summary, zone_diff
from geodns.zonefile import ParsedZone, read_zone, read_zones, zone_files
from geodns.zonefile.hostsfrom import Finding, Found, in_files


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(path_type=Path))
@click.option("--diff", is_flag=True, help="Ask the running server what it serves, and say what changes.")
@server_option
@token_option
@click.pass_context
def check(
    context: click.Context, paths: tuple[Path, ...], *, diff: bool, server: str, token: str | None
) -> None:
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
    parsed = read_zones(files)
    for file in parsed.values():
        for problem in file.problems:
            click.echo(problem)
    zones = list(_by_path(parsed).values())
    if diff:
        whole = any(path.is_dir() for path in paths)
        for line in changes(Server(server, token), _by_path(parsed), whole=whole):
            click.echo(line)
    if len(zones) < len(files) or any(not one.warning for file in parsed.values() for one in file.problems):
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


def _by_path(parsed: Mapping[Path, ParsedZone]) -> dict[Path, Zone]:
    return {path: file.zone for path, file in parsed.items() if file.zone is not None}


def changes(server: Server, zones: Mapping[Path, Zone], *, whole: bool) -> Iterator[str]:
    """Return what a running server would serve otherwise, a line each.

    Args:
        server: that is asked.
        zones: as they would be, by their files.
        whole: whether these are all.

    Raises:
        ServerError: it does not answer, or has not this version's words.

    """
    digests = {name: shown["digest"] for name, shown in server.get("/api/v1/zones")["zones"].items()}
    quiet = True
    for path, zone in zones.items():
        if zone.name not in digests:
            quiet = False
            yield f"{zone.name}: new: {summary(zone)}"
        elif digests[zone.name] != zone.digest:
            served = _served(server, zone.name)
            for line in zone_diff(served, _as_found(path, zone, served)):
                quiet = False
                yield f"{zone.name}: {line}"
    gone = digests.keys() - {zone.name for zone in zones.values()} if whole else ()
    for name in sorted(gone):
        quiet = False
        yield f"{name}: is served, and has no file here that is good"
    if quiet:
        yield "nothing changes"


def _as_found(path: Path, zone: Zone, served: Zone) -> Zone:
    """Return a zone with the hosts that the server has looked up, which nobody looks up here."""
    if not any(isinstance(source, DnsSource) for source in zone.sources):
        return zone
    beside = in_files(path.parent)

    def find(name: str, source: HostSource) -> Finding:
        if not isinstance(source, DnsSource):
            return beside(name, source)
        of_it = (one for one in served.origins if one.source == source.title)
        return Finding(tuple(Found(served.host_by_name[one.host], one.source) for one in of_it))

    return read_zone(path, find).zone or zone


def _served(server: Server, name: str) -> Zone:
    try:
        return Zone.model_validate(server.get(f"/api/v1/zones/{name}")["zone"])
    except (ValidationError, KeyError) as error:
        raise ServerError(
            f"what the server says of zone {name} cannot be read: it is of another version, ask with its own"
        ) from error
