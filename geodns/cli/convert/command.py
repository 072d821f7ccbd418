"""``geodns import`` and ``export``: zones from and for other programs."""

from datetime import UTC, datetime
from pathlib import Path

import click

from geodns.cli.convert.bind import read_bind
from geodns.cli.convert.draft import at_source, zone_file
from geodns.cli.convert.gdnsd import read_gdnsd, zones_of
from geodns.cli.convert.master import master_file
from geodns.cli.convert.octodns import read_octodns
from geodns.cli.zonefiles import zone_in
from geodns.errors import BadNameError, GeodnsError, UsageError
from geodns.model.serial import next_serial
from geodns.zonefile.names import zone_name
from geodns.zonefile.reader import parse_zone

_READERS = {"bind": read_bind, "octodns": read_octodns, "gdnsd": read_gdnsd}


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice([*_READERS]),
    help="What FILE is; default: octodns for .yaml and .yml, gdnsd below its configuration, else bind.",
)
@click.option("--origin", metavar="NAME", help="The zone's name; default: what FILE and its name say.")
@click.option(
    "--out", metavar="DIR", default="-", show_default=True, help="The folder to write to; - is the terminal."
)
def import_zone(file: Path, kind: str | None, origin: str | None, out: str) -> None:
    """Turn FILE into a zone file of geodns.

    FILE is a zone file as BIND and NSD read it ($INCLUDE is searched beside it), a zone in octoDNS's YAML, or
    one of gdnsd, whose `config` is in the folder above; gdnsd's whole folder gives all its zones.
    What has no counterpart is told, and stands in the new file as a comment. Exit status 1 when the
    result would not be served.
    """
    whole = file.is_dir()
    if whole and (origin is not None or out == "-"):
        raise UsageError(f"{file} is a folder: give --out DIR, and no --origin")
    if whole and kind not in {None, "gdnsd"}:
        raise UsageError(f"{file} is a folder: only gdnsd's can be read as a whole")
    try:
        name = None if origin is None else zone_name(origin.removesuffix(".")) + "."
    except BadNameError as error:
        raise UsageError(str(error)) from error
    failed = 0
    for one in zones_of(file) if whole else [file]:
        try:
            _import(one, "gdnsd" if whole else kind or _kind_of(one), name, out)
        except GeodnsError as error:
            if not whole:
                raise
            failed += 1
            click.echo(error, err=True)
    if failed:
        raise GeodnsError(f"{failed} of {file}'s zones could not be taken")


def _kind_of(file: Path) -> str:
    if file.suffix in {".yaml", ".yml"}:
        return "octodns"
    folder = file.resolve().parent
    return "gdnsd" if folder.name == "zones" and (folder.parent / "config").is_file() else "bind"


def _import(file: Path, kind: str, origin: str | None, out: str) -> None:
    draft = _READERS[kind](file, origin)
    for remark in draft.remarks:
        click.echo(remark, err=True)
    text = zone_file(draft)
    name = draft.origin[:-1]
    path = Path(out) / f"{name}.yaml"
    parsed = parse_zone(name, text.encode(), str(path) if out != "-" else f"{name}.yaml as printed")
    for problem in at_source(draft, parsed.problems):
        click.echo(problem, err=True)
    if parsed.zone is None:
        raise GeodnsError(f"{file} would not be served: nothing is written")
    if out == "-":
        click.echo(text, nl=False)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError as error:
        raise GeodnsError(f"{path} exists: take it away first") from error
    except OSError as error:
        raise GeodnsError(f"{path}: {error.strerror}") from error
    click.echo(f"{path} written", err=True)


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
