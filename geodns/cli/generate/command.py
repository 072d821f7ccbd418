"""``geodns generate``: what to write into a mail server's files, so that it asks which pool to leave by."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from geodns.cli.generate.exim import exim
from geodns.cli.generate.haraka import haraka
from geodns.cli.generate.kumomta import kumomta
from geodns.cli.generate.plan import Asked, Plan, Section, plan_of
from geodns.cli.generate.postfix import QUEUE, postfix
from geodns.cli.options import config_of, config_option
from geodns.cli.zonefiles import zone_in
from geodns.config.report import Report
from geodns.config.route_keys import RoutesListen
from geodns.config.settings import settings_in
from geodns.errors import BadNameError, GeodnsError, SettingsError, UsageError
from geodns.zonefile.names import zone_name
from geodns.zonefile.reader import read_zones, zone_files

_ROUTES = 'write `routes: [{use: "@"}]`, say, into its file'
_WRITE = "write `routes_listen: 127.0.0.1:5310`"


@click.group()
def generate() -> None:
    """Print what to write into a mail server's files, so that it asks geodns which pool mail leaves by.

    The rules are under `routes` of the zone file, the headers under `classes`, and where geodns is asked is
    `routes_listen` of geodns.yaml.
    """


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for one in (
        config_option,
        click.option("--listen", metavar="ADDR:PORT|unix:PATH", help="Which of several `routes_listen`."),
        click.option(
            "--zones",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="The folder [`zones` of geodns.yaml, or ./zones].",
        ),
        click.argument("zone", required=False),
    ):
        command = one(command)
    return command


@generate.command("postfix")
@click.option("--map", "by_map", is_flag=True, help="Ask by socketmap: each recipient goes its own way.")
@click.option(
    "--queue-directory",
    "queue",
    type=click.Path(path_type=Path),
    default=QUEUE,
    show_default=True,
    metavar="DIR",
    help="Postfix's own: UNIX sockets are named below it.",
)
@_options
@click.pass_context
def for_postfix(
    context: click.Context,
    zone: str | None,
    zones: Path | None,
    listen: str | None,
    queue: Path,
    *,
    by_map: bool,
) -> None:
    """Print lines for Postfix.

    They belong into main.cf, master.cf and a table of headers.
    """
    plan = _plan(context, zone, zones, listen)
    if by_map and plan.asked.zone is None and not plan.alone:
        raise GeodnsError(
            "a map cannot say which zone it asks for, and several have routes: write `zone: "
            f"{plan.zone.name}` at the listener under `routes_listen`"
        )
    option = " --map" if by_map else ""
    _print(f"geodns generate postfix{option} {plan.zone.name}", postfix(plan, by_map=by_map, queue=queue))


@generate.command("exim")
@_options
@click.pass_context
def for_exim(context: click.Context, zone: str | None, zones: Path | None, listen: str | None) -> None:
    """Print routers for Exim."""
    _print_for(context, "exim", exim, zone, zones, listen)


@generate.command("haraka")
@_options
@click.pass_context
def for_haraka(context: click.Context, zone: str | None, zones: Path | None, listen: str | None) -> None:
    """Print a plugin for Haraka, and the lines that load it."""
    _print_for(context, "haraka", haraka, zone, zones, listen)


@generate.command("kumomta")
@_options
@click.pass_context
def for_kumomta(context: click.Context, zone: str | None, zones: Path | None, listen: str | None) -> None:
    """Print a module for KumoMTA's policy, and the lines that use it."""
    _print_for(context, "kumomta", kumomta, zone, zones, listen)


def _print_for(
    context: click.Context,
    server: str,
    make: Callable[[Plan], tuple[Section, ...]],
    zone: str | None,
    zones: Path | None,
    listen: str | None,
) -> None:
    plan = _plan(context, zone, zones, listen)
    _print(f"geodns generate {server} {plan.zone.name}", make(plan))


def _print(command: str, sections: Iterable[Section]) -> None:
    for number, one in enumerate(sections):
        made = "" if number else f"{one.mark} Made by `{command}`.\n"
        click.echo(f"{made}\n{one.mark} ==== {one.where} ====\n{one.text}", nl=False)


def _plan(context: click.Context, name: str | None, folder: Path | None, listen: str | None) -> Plan:
    config = config_of(context)
    given = _settings(config)
    folder = folder or given.get("zones", Path("zones") if config is None else config.parent / "zones")
    everywhere = [_place(one) for one in given.get("routes_listen", ())]
    routed = _routed(folder)
    asked = _asked(config, everywhere, _asked_name(name), listen)
    wanted = _asked_name(name) or asked.zone or _only(routed, folder)
    found = zone_in(folder, wanted)
    if not found.routes:
        raise GeodnsError(f"{found.name} has no routes: {_ROUTES}")
    if asked.zone not in {None, found.name}:
        raise UsageError(f"--listen {listen} is for {asked.zone}, not {found.name}")
    return plan_of(found, asked, alone=routed == [found.name])


def _place(listener: RoutesListen) -> Asked:
    where = listener.listen
    return Asked(where.absolute() if isinstance(where, Path) else where, listener.zone, listener.self_host)


def _settings(config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    report = Report(str(config))
    given = settings_in(config, report, foreign=True)
    if report.errors:
        raise SettingsError("\n".join(str(one) for one in report.problems() if not one.warning))
    return given


def _routed(folder: Path) -> list[str]:
    """Return the zones of a folder that have routes; where there are none, files with errors are told."""
    parsed = read_zones(zone_files([folder])).values()
    routed = [one.zone.name for one in parsed if one.zone is not None and one.zone.routes]
    wrong = [str(problem) for one in parsed if one.zone is None for problem in one.problems]
    if wrong and not routed:
        raise GeodnsError("\n".join(wrong))
    return routed


def _only(routed: list[str], folder: Path) -> str:
    if not routed:
        raise GeodnsError(f"no zone in {folder} has routes: {_ROUTES}")
    if len(routed) > 1:
        raise UsageError(f"{', '.join(routed)} in {folder} have routes: say which zone")
    return routed[0]


def _asked_name(name: str | None) -> str | None:
    try:
        return None if name is None else zone_name(name.removesuffix("."))
    except BadNameError as error:
        raise UsageError(str(error)) from error


def _asked(config: Path | None, everywhere: list[Asked], zone: str | None, listen: str | None) -> Asked:
    if not everywhere:
        raise GeodnsError(f"{config or 'geodns.yaml'} says nowhere to ask: {_WRITE}")
    there = ", ".join(str(one.address) for one in everywhere)
    if listen is not None:
        path = listen.removeprefix("unix:")
        for one in everywhere:
            if str(one.address) in {listen, str(Path(path).absolute())}:
                return one
        raise UsageError(f"--listen {listen}: `routes_listen` has {there}")
    for one in everywhere:
        if zone is None or one.zone in {None, zone}:
            return one
    raise GeodnsError(f"no listener under `routes_listen` is for {zone}: there is {there}")
