"""Finds what the listeners of routes in the settings name and no zone file has."""

import difflib
from collections.abc import Iterable, Mapping

from geodns.config.report import Report, first_names, quoted
from geodns.config.route_keys import RoutesListen
from geodns.errors import Problem
from geodns.model.zone import Zone


def listener_problems(
    config: str, listeners: Iterable[RoutesListen], zones: Mapping[str, Zone | None]
) -> tuple[Problem, ...]:
    """Return what is wrong with listeners beside these zones, all that are served.

    Args:
        config: the file of the settings.
        listeners: of the settings.
        zones: by name; None: its file has errors, so that nobody knows what it has.

    """
    report = Report(config)
    for one in listeners:
        zone = _zone_of(one, zones, report)
        host = one.self_host
        if host is not None and zone is not None and host not in zone.host_by_name and not zone.sources:
            what = f"routes_listen {one}: `self` is {quoted(host)}, and zone {zone.name} has no such host"
            report.error(None, what, _near(host, zone.host_by_name))
    return report.problems()


def _zone_of(one: RoutesListen, zones: Mapping[str, Zone | None], report: Report) -> Zone | None:
    """Return the zone that a listener answers for; None: nobody knows, or it may be several."""
    where = f"routes_listen {one}: "
    if one.zone is not None:
        zone = zones.get(one.zone)
        if one.zone not in zones:
            report.error(None, f"{where}no zone is called {quoted(one.zone)}", _near(one.zone, zones))
        elif zone is not None and not zone.routes:
            report.warn(None, f"{where}zone {zone.name} has no routes", "write `routes` into its file")
        return zone
    routed = [zone for zone in zones.values() if zone is not None and zone.routes]
    sure = None not in zones.values()
    if sure and not routed:
        report.warn(None, f"{where}no zone has routes", "write `routes` into a zone file")
    elif len(routed) > 1:
        what = (
            f"{where}{len(routed)} zones have routes, and no `zone` says which: maps get none, so mail waits"
        )
        names = first_names([zone.name for zone in routed])
        report.warn(None, what, f"write a listener for each, with `zone`: {names}")
    return routed[0] if sure and len(routed) == 1 else None


def _near(word: str, known: Iterable[str]) -> str:
    names = [*known]
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {quoted(close[0])}?" if close else f"there is {first_names(names) or 'none'}"
