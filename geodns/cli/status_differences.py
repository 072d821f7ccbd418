"""Finds where running servers disagree, by the statuses that they show."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from geodns.cli.client import Json
from geodns.cli.status_words import host_of, pools_dealt

MISSING = "-"
"""Stands for what a server does not have."""
NEAR = 0.02
"""Shares may differ by so much: weights move step by step, and not everywhere at once."""


class Difference(NamedTuple):
    """A zone, host or pool that is not the same everywhere, and what each server says of it."""

    what: str
    says: tuple[str, ...]


def differences(statuses: Mapping[str, Json]) -> list[Difference]:
    """Return where servers disagree, by the statuses that they show."""
    shown = list(statuses.values())
    alike = len({one.get("version") for one in shown}) == 1
    zones = [{f"zone {zone}": about for zone, about in one["zones"].items()} for one in shown]
    hosts = [_flat(one["hosts"], "host {}.{}") for one in shown]
    pools = [_flat(one["pools"], "pool {} of {}") for one in shown]
    return [
        *_differing(zones, _content if alike else _served),
        *_differing(hosts, host_of),
        *_differing(pools, _dealing),
        *_differing_shares(pools),
    ]


def _flat(by_zone: Json, what: str) -> Json:
    return {what.format(name, zone): about for zone, some in by_zone.items() for name, about in some.items()}


def _served(about: Json) -> str:
    served = "not served" if about["serial"] is None else "served"
    return f"{served}, file refused" if about["error"] else served


def _content(about: Json) -> str:
    """Say what a server serves; each counts its own edits, so that serials of the same content differ."""
    digest = about.get("digest")
    return _served(about) + (f", content {digest[:8]}" if digest else "")


def serials(statuses: Mapping[str, Json]) -> Iterator[str]:
    """Say which serial each server has come to, where they differ."""
    for zone in dict.fromkeys(zone for one in statuses.values() for zone in one["zones"]):
        serials = {
            url: one["zones"][zone]["serial"]
            for url, one in statuses.items()
            if zone in one["zones"] and one["zones"][zone]["serial"] is not None
        }
        if len(set(serials.values())) > 1:
            said = ", ".join(f"{statuses[url].get('node', url)} {serial}" for url, serial in serials.items())
            yield f"serials of {zone} (each server counts its own edits): {said}"


def _dealing(pool: Json) -> str:
    return f"from {pools_dealt(pool)}; live: {', '.join(pool['live']) or 'nobody'}"


def _differing(shown: Sequence[Json], say: Callable[[Json], str]) -> Iterator[Difference]:
    """Yield what servers do not say the same of; each of them shows things by their names."""
    for what in dict.fromkeys(what for things in shown for what in things):
        says = tuple(say(things[what]) if what in things else MISSING for things in shown)
        if len(set(says)) > 1:
            yield Difference(what, says)


def _differing_shares(shown: Sequence[Json]) -> Iterator[Difference]:
    """Yield the pools of which all servers deal the same hosts, in other parts."""
    for what in dict.fromkeys(what for pools in shown for what in pools):
        known = [pools[what] for pools in shown if what in pools]
        if len(known) < len(shown) or len(set(map(_dealing, known))) > 1:
            continue  # that is a difference already, and other shares follow from it
        for family in ("A", "AAAA"):
            shares = [pool["families"][family]["share"] for pool in known]
            hosts = [
                host
                for host in dict.fromkeys(host for one in shares for host in one)
                if all(host in one for one in shares)
                and max(one[host] for one in shares) - min(one[host] for one in shares) > NEAR
            ]
            if hosts:
                says = tuple(", ".join(f"{host} {one[host]:.1%}" for host in hosts[:8]) for one in shares)
                yield Difference(f"{family} shares of {what}", says)
