"""``geodns check``, ``init`` and ``schema``: zone files; and one zone of a folder, for other commands."""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from geodns.cli.convert.draft import PLACEHOLDER
from geodns.cli.listener_check import listener_problems
from geodns.cli.options import config_of, server_option, token_option
from geodns.config.report import Report
from geodns.config.settings import NOT_MINE, settings_in
from geodns.control.edit_guard import gone_names, large_losses, owners, some
from geodns.errors import BadNameError, GeodnsError, Problem, ServerError, StartError, UsageError, printable
from geodns.model.hosts import DnsSource, HostSource
from geodns.model.state import TAKEN_OUT, HealthState
from geodns.model.zone import Zone
from geodns.serve import privileges
from geodns.storage.cookie_secrets import CookieFile
from geodns.zonefile.names import is_within, zone_name
from geodns.zonefile.reader import ParsedZone, parse_zone, read_zone, read_zones, zone_files
from geodns.zonefile.reference import zone_reference
from geodns.zonefile.schema import zone_schema
from geodns.zonefile.sources import SourcedHost, SourceResult, in_files, trusted_hosts
from geodns.zones.diff import summary, zone_diff

if TYPE_CHECKING:
    from geodns.cli.client import Server

MAX_SHOWN = 1_000
"""Problems that `check` prints."""


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]…", type=click.Path(path_type=Path))
@click.option("--diff", is_flag=True, help="Ask the running server what it serves, and say what changes.")
@server_option
@token_option
@click.pass_context
def check(
    context: click.Context, paths: tuple[Path, ...], *, diff: bool, server: str, token: str | None
) -> None:
    """Print what is wrong with zone files, and with the settings in geodns.yaml.

    PATH is a zone file or a folder of them (default: `zones` of geodns.yaml, or ./zones). Each problem is
    one line, file:line:column: what is wrong: what to write instead. The exit status is 1 if there is any
    but warnings.
    """
    config = config_of(context)
    bad, given = _check_settings(config)
    folder = given.get("zones", Path("zones") if config is None else config.parent / "zones")
    paths = paths or (folder,)
    files = zone_files(paths)
    shown = ", ".join(map(str, paths))
    if not files or (paths == (folder,) and not folder.exists()):
        raise GeodnsError(f"no zone file in {shown}: write one with `geodns init NAME ADDRESS…`")
    parsed = read_zones(files)
    zones = list(_by_path(parsed).values())
    problems = [problem for file in parsed.values() for problem in file.problems]
    problems += _without_places(config, given, zones)
    if paths == (folder,):
        served = {path.stem.lower(): file.zone for path, file in parsed.items()}
        served |= {zone.name: zone for zone in zones}
        problems += listener_problems(str(config), given.get("routes_listen", ()), served)
    _print_problems(problems)
    if diff:
        from geodns.cli.client import Server  # noqa: PLC0415 - an HTTP client takes long to load

        whole = any(path.is_dir() for path in paths)
        for line in changes(Server(server, token), _by_path(parsed), whole=whole):
            click.echo(printable(line))
    if bad or len(zones) < len(files) or any(not one.warning for one in problems):
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


def _without_places(
    config: Path | None, given: Mapping[str, Any], zones: Iterable[Zone]
) -> Iterator[Problem]:
    """Warn of zones whose rules name places, where the settings have no file that says where clients are."""
    for zone in () if config is None or given.get("geoip") else zones:
        if any(rule.by_place for rule in zone.pool_rules):
            what = (
                f"rules of {zone.name} name countries, continents or networks' owners, and `geoip` is not set"
            )
            instead = "they match nobody: write `geoip: [/var/lib/GeoIP/country.mmdb]`"
            yield Problem(str(config), 0, 0, what, instead, warning=True)


def _print_problems(problems: list[Problem]) -> None:
    """Print problems in their order; where they are too many, errors first: no warning takes their place."""
    if len(problems) > MAX_SHOWN:
        problems = sorted(problems, key=lambda problem: problem.warning)
    for problem in problems[:MAX_SHOWN]:
        click.echo(problem)
    if len(problems) > MAX_SHOWN:
        more = sum(problem.times for problem in problems[MAX_SHOWN:])
        click.echo(f"and {more:,} more: mend these first, or check fewer files at once")


def _check_settings(config: Path | None) -> tuple[bool, Mapping[str, Any]]:
    """Print what is wrong with the settings; return whether anything is, and what could be read."""
    if config is None:
        return False, {}
    report = Report(str(config))
    given = settings_in(config, report, foreign=True)
    _check_start(given, report)
    _check_geoip(given.get("geoip", ()), report)
    problems = [*report.problems()]
    if "reply_patterns" in given:
        from geodns.signals.reply_additions import read_additions  # noqa: PLC0415 - few have any

        problems += read_additions(given["reply_patterns"])[1]
    for problem in problems:
        click.echo(problem)
    return any(not one.warning for one in problems), given


def _check_start(given: Mapping[str, Any], report: Report) -> None:
    """Report what else of the settings would stop a start here: files and accounts."""
    tls, cookies = given.get("http_tls"), given.get("cookie_secret_file")
    if tls is not None and _may_read(tls.cert, report) and (not tls.key or _may_read(tls.key, report)):
        from geodns.api.site import certificate_context  # noqa: PLC0415 - as above

        _would_start(partial(certificate_context, tls), report.error)
    if cookies is not None and _may_read(cookies, report):
        _would_start(partial(CookieFile, cookies, make=False), report.error)
    user, group = given.get("user"), given.get("group")
    if user is None:
        _would_start(partial(privileges.find, user, group), report.error)
    elif os.geteuid() == 0:  # others cannot become it; and it may be another machine's
        _would_start(partial(privileges.find, user, group), report.warn)


def _check_geoip(paths: Iterable[Path], report: Report) -> None:
    for path in paths:
        if _may_read(path, report):
            from geodns.zones.geoip import GeoipError, open_file  # noqa: PLC0415 - few have any

            try:
                open_file(path)
            except GeoipError as error:
                report.error(None, f"{path} {error}")


def _may_read(path: Path, report: Report) -> bool:
    try:
        path.open("rb").close()
    except PermissionError:
        report.warn(None, f"{path} was not looked at: {NOT_MINE}")
        return False
    except OSError:  # whoever uses it says so
        return True
    return True


def _would_start(step: Callable[[], object], tell: Callable[[None, str], None]) -> None:
    try:
        step()
    except StartError as error:
        tell(None, str(error))


def _by_path(parsed: Mapping[Path, ParsedZone]) -> dict[Path, Zone]:
    return {path: file.zone for path, file in parsed.items() if file.zone is not None}


def changes(server: "Server", zones: Mapping[Path, Zone], *, whole: bool) -> Iterator[str]:
    """Yield what zone files would change of what a running server serves, a line each.

    Args:
        server: that is asked.
        zones: by their files.
        whole: whether these are all the zones that it would serve.

    Raises:
        ServerError: it does not answer, or its zones are of another version.

    """
    digests = {name: shown["digest"] for name, shown in server.get("/api/v1/zones")["zones"].items()}
    quiet = True
    for path, zone in zones.items():
        if zone.name not in digests:
            quiet = False
            yield f"{zone.name}: new: {summary(zone)}"
        elif digests[zone.name] != zone.digest:
            served = _served(server, zone.name)
            edited = _with_looked_up(path, zone, served)
            for line in [*zone_diff(served, edited), *waits(served, edited, _out(server, zone.name))]:
                quiet = False
                yield f"{zone.name}: {line}"
    gone = digests.keys() - {zone.name for zone in zones.values()} if whole else ()
    for name in sorted(gone):
        quiet = False
        yield f"{name}: is served, and has no file here that is good"
    if quiet:
        yield "nothing changes"


def waits(served: Zone, edited: Zone, out: Collection[str] = ()) -> Iterator[str]:
    """Say why an edit would wait for a yes; which names were asked for the server alone knows.

    `out` are the hosts that are down or taken out by hand already.
    """
    wait = "this edit will wait for `geodns reload --yes`"
    for why in large_losses(served, edited, {}, 0.0, out, trusted_hosts(served, edited)):
        yield f"{wait}: {why}"
    gone = gone_names(served, edited, owners(served))
    if gone:
        yield f"{wait} if one of these names was asked for within a day: {some(gone)}"


def _out(server: "Server", zone: str) -> list[str]:
    """Return the hosts of a zone that are down or taken out by hand."""
    found = []
    for name, host in server.get("/status")["hosts"].get(zone, {}).items():
        forced = None if host.get("held_back") else host["forced"]
        rests = host["forced_weight"] is not None and host["forced_weight"]["weight"] == 0
        if rests or forced in TAKEN_OUT or (forced is None and host["state"] == HealthState.DOWN):
            found.append(name)
    return found


def _with_looked_up(path: Path, zone: Zone, served: Zone) -> Zone:
    """Add the hosts that the server has looked up, which nobody looks up here."""
    if not any(isinstance(source, DnsSource) for source in zone.sources):
        return zone
    beside = in_files(path.parent)

    def find(name: str, source: HostSource) -> SourceResult:
        if not isinstance(source, DnsSource):
            return beside(name, source)
        of_it = (one for one in served.origins if one.source == source.title)
        return SourceResult(tuple(SourcedHost(served.host_by_name[one.host], one.source) for one in of_it))

    return read_zone(path, find).zone or zone


def _served(server: "Server", name: str) -> Zone:
    try:
        return Zone.model_validate(server.get(f"/api/v1/zones/{name}")["zone"])
    except (ValidationError, KeyError) as error:
        raise ServerError(
            f"what the server says of zone {name} cannot be read: it is of another version, ask with its own"
        ) from error


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


@click.command()
@click.option("--markdown", is_flag=True, help="Print a reference of every key for readers instead.")
def schema(*, markdown: bool) -> None:
    """Print the JSON Schema of the zone file, for editors.

    With yaml-language-server, write it to a file and begin each zone file with
    `# yaml-language-server: $schema=FILE`.
    """
    if markdown:
        click.echo(zone_reference(), nl=False)
    else:
        click.echo(json.dumps(zone_schema(), indent=2, ensure_ascii=False))


def zone_in(folder: Path, name: str) -> Zone:
    """Read one zone of a folder; its name is with or without the final dot.

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


def shortest_zone(name: str, addresses: Sequence[str], servers: Sequence[str]) -> str:
    """Return the text of a zone file that deals hosts mta1, mta2 and so on at some addresses.

    Args:
        name: of the zone.
        addresses: of the hosts.
        servers: name servers, as ``ns1=192.0.2.53`` or ``ns2.example.net.``; without any, ns1 at a
            made-up address.

    Raises:
        UsageError: what the file would say is wrong.

    """
    lines = [
        "# A zone of geodns. `geodns check` tells what is wrong with it, `geodns schema` every key.",
        "",
        "ns:                                     # the name servers: this program's own addresses",
        *_ns_lines(servers),
        "",
        "hosts:                                  # the mail hosts that are dealt, while they take mail",
        *(f"  mta{number}: {json.dumps(address)}" for number, address in enumerate(addresses, 1)),
        "",
        "records:",
        '  "@": {MX: {pool: main, preference: 10}}     # mail to the zone itself goes to the same hosts',
        "",
    ]
    text = "\n".join(lines)
    parsed = parse_zone(name, text.encode(), "")
    if parsed.zone is None:
        errors = [problem for problem in parsed.problems if not problem.warning]
        raise UsageError("; ".join(f"{problem.what}: {problem.instead}" for problem in errors))
    for server in parsed.zone.ns:
        if not server.addresses and is_within(server.name, parsed.zone.origin):
            raise UsageError(f"{server.name} is in the zone and has no address: write it as ns1=192.0.2.53")
    return text


def _ns_lines(servers: Sequence[str]) -> list[str]:
    if not servers:
        return [
            f"  ns1: {PLACEHOLDER}                       # CHANGE THIS to the public address of this server"
        ]
    addresses: dict[str, list[str]] = {}
    for server in servers:
        name, equals, address = server.partition("=")
        addresses.setdefault(name, []).extend([address] if equals else [])
    return [f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in addresses.items()]
