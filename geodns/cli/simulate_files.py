"""Simulates what zone files would deal, without a server: all hosts are up but those said to be down."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from geodns.api.schemas_simulate import SimulationJson
from geodns.api.simulate import shown
from geodns.compiler.answers import Source
from geodns.compiler.live_set import LiveSet
from geodns.config.report import Report
from geodns.config.settings import settings_in
from geodns.control.geoip_service import named_by, networks_of
from geodns.control.simulation import compile_scenario, zone_for
from geodns.control.simulation_plan import SimulationWish, plan_simulation, run_simulation
from geodns.control.simulation_state import ceilings_at, found_down
from geodns.errors import GeodnsError, SettingsError
from geodns.model.hosts import DnsSource
from geodns.model.views import NO_NETWORKS, GeoNetworks
from geodns.model.zone import Zone
from geodns.zonefile.reader import read_zones, zone_files
from geodns.zones.geoip import GeoipError, GeoipSearch, open_file
from geodns.zones.geoip_frames import GeoipReport

_SERIAL = 1
"""Nobody sees it."""


def simulate_files(folder: Path, config: Path | None, wish: SimulationWish, now: float) -> SimulationJson:
    """Return what would be dealt from the zone files of a folder, as a server would give it.

    Says on stderr what is not looked at: files with errors, and hosts that only a running server finds.

    Args:
        folder: or a single zone file.
        config: geodns.yaml, for its GeoIP files; None: there are none.
        wish: what to deal.
        now: seconds since the epoch.

    Raises:
        GeodnsError: no zone file is good, or a GeoIP file or the settings cannot be read.
        UsageError: see `plan_simulation` and `run_simulation`.

    """
    zones = _read(folder, wish.name)
    plan = plan_simulation(wish, {zone.name: Source(zone, _SERIAL) for zone in zones})
    for zone in plan.zones.values():
        for source in zone.sources:
            if isinstance(source, DnsSource):
                _note(f"{zone.name}: {source.title} is looked up while the server runs, not here")
    geo = _geo(config, plan.zones.values())
    live = LiveSet(
        found_down(plan.zones, plan.down),
        weights=plan.weights,
        ceilings=ceilings_at(plan.zones.values(), now),
    )
    return shown(run_simulation(plan, compile_scenario(plan.sources, live, geo, now)))


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _read(folder: Path, name: str | None) -> Sequence[Zone]:
    """Return the zones whose files are good; raise GeodnsError where that of the name is not."""
    files = zone_files([folder])
    if not folder.exists() or not files:
        raise GeodnsError(f"no zone file in {folder}: write one with `geodns init NAME ADDRESS…`")
    parsed = read_zones(files)
    zones = [one.zone for one in parsed.values() if one.zone is not None]
    bad = {path: one for path, one in parsed.items() if one.zone is None}
    if bad and (
        not zones or (name is not None and zone_for({zone.name: zone for zone in zones}, name) is None)
    ):
        problems = [problem for one in bad.values() for problem in one.problems if not problem.warning]
        raise GeodnsError("\n".join(map(str, problems)))
    for path in bad:
        _note(f"{path} has errors, and nothing is dealt from it: `geodns check` prints them")
    return zones


def _geo(config: Path | None, zones: Iterable[Zone]) -> GeoNetworks:
    """Return the networks of what the zones' rules name, by the GeoIP files of the settings."""
    names = named_by(
        rule for zone in zones for one in zone.rules for tier in one.tiers for rule in tier.rules
    )
    if not names:
        return NO_NETWORKS
    paths: Sequence[Path] = ()
    if config is not None:
        report = Report(str(config))
        paths = settings_in(config, report, foreign=True).get("geoip", ())
        errors = [str(problem) for problem in report.problems() if not problem.warning]
        if errors:
            raise SettingsError("\n".join(errors))
    if not paths:
        _note("rules name places, and geodns.yaml has no `geoip` files: no client meets them")
        return NO_NETWORKS
    search = GeoipSearch(names)
    for path in paths:
        try:
            search.add(open_file(path))
        except GeoipError as error:
            raise GeodnsError(f"{path} {error}") from error
    return networks_of(GeoipReport((), search.kinds, search.ranges()))
