"""Where name servers disagree: hosts, what is imposed on them, pools and serials, side by side."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from geodns.commands.words import host_of
from geodns.shown import Json

MISSING = "-"
"""What a server shows of something that it does not have."""
NEAR = 0.02
"""So much may shares differ: weights move step by step, and not everywhere at once."""


class Difference(NamedTuple):
    """Something that is not the same everywhere.

    Attributes:
        what: the zone, host or pool, and what of it.
        says: what each server says of it, in their order.

    """

    what: str
    says: tuple[str, ...]


def differences(statuses: Mapping[str, Json]) -> list[Difference]:
    """Return where servers disagree.

    Args:
        statuses: what each shows as its status.

    """
    shown = list(statuses.values())
    return [
        *_differing(shown, "zones", lambda zone, _: f"{zone} serial", _serial),
        *_differing_deep(shown, "hosts", lambda zone, host: f"host {host}.{zone}", host_of),
        *_differing_deep(shown, "pools", lambda zone, pool: f"pool {pool} of {zone}", _dealing),
        *_shares(shown),
    ]


def _serial(about: Json) -> str:
    serial = "not served" if about["serial"] is None else str(about["serial"])
    return f"{serial}, file refused" if about["error"] else serial


def _dealing(pool: Json) -> str:
    using = ", ".join(pool["using"]) or "nobody"
    resort = f", last resort: {pool['last_resort']}" if pool["last_resort"] else ""
    return f"from {using}{resort}; live: {', '.join(pool['live']) or 'nobody'}"


def _differing(
    shown: list[Json], key: str, name: Callable[[str, str], str], say: Callable[[Json], str]
) -> Iterator[Difference]:
    for zone in dict.fromkeys(zone for status in shown for zone in status[key]):
        says = tuple(say(status[key][zone]) if zone in status[key] else MISSING for status in shown)
        if len(set(says)) > 1:
            yield Difference(name(zone, ""), says)


def _differing_deep(
    shown: list[Json], key: str, name: Callable[[str, str], str], say: Callable[[Json], str]
) -> Iterator[Difference]:
    for zone, one, found in _pairs(shown, key):
        says = tuple(MISSING if some is None else say(some) for some in found)
        if len(set(says)) > 1:
            yield Difference(name(zone, one), says)


def _pairs(shown: list[Json], key: str) -> Iterator[tuple[str, str, list[Json | None]]]:
    """Yield each host or pool of any server, with what each shows of it."""
    names = dict.fromkeys(
        (zone, one) for status in shown for zone, some in status[key].items() for one in some
    )
    for zone, one in names:
        yield zone, one, [status[key].get(zone, {}).get(one) for status in shown]


def _shares(shown: list[Json]) -> Iterator[Difference]:
    """Yield the pools that deal the same hosts in other parts."""
    for zone, pool, found in _pairs(shown, "pools"):
        known = [one for one in found if one is not None]
        if len(known) < len(found) or len({_dealing(one) for one in known}) > 1:
            continue  # that is told already, and other shares follow from it
        for family in ("A", "AAAA"):
            shares = [one["families"][family]["share"] for one in known]
            hosts = [
                host
                for host in dict.fromkeys(host for one in shares for host in one)
                if all(host in one for one in shares)
                and max(one[host] for one in shares) - min(one[host] for one in shares) > NEAR
            ]
            if hosts:
                says = tuple(", ".join(f"{host} {one[host]:.1%}" for host in hosts[:8]) for one in shares)
                yield Difference(f"{family} shares of pool {pool} of {zone}", says)
