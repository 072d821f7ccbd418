"""Writes the alerts and events of reputation: lists that fail, causes that hit many, what stands against one.

One cause may meet every host of a zone within a minute: it is told in one line, not in hundreds.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from geodns.control.alert_service import Alert
from geodns.signals.listings import Listings
from geodns.signals.reputation import Cause, StandingKey, Standings

NAMED = 3
"""Hosts that a line names, at most."""


class Told(NamedTuple):
    """An event about some hosts."""

    hosts: Sequence[str]
    text: str
    level: int


def list_alerts(zone: str, listings: Listings) -> Iterator[Alert]:
    """Return the lists that cannot be believed, or not in whole."""
    for name, state in sorted(listings.lists.items()):
        if state.why:
            stays = "" if state.ok else ": its listings stay as they are"
            yield Alert(
                ("dnsbl", zone, name),
                f"zone {zone}: block list {name}: {state.why}{stays}",
                kind="reputation",
                resolved=f"zone {zone}: block list {name} answers as it should again",
                zone=zone,
            )


def standing_alerts(zone: str, standings: Standings) -> Iterator[Alert]:
    """Return the causes that hit too many hosts, and what stands against single ones."""
    for cause, hosts in sorted(standings.common.items(), key=str):
        names = ", ".join(sorted(hosts))
        yield Alert(
            ("reputation", zone, cause),
            f"zone {zone}: {cause} hits {len(hosts)} hosts at once ({names}), more than max_out: nobody is "
            "taken out for it: look for what they share",
            kind="reputation",
            resolved=f"zone {zone}: {cause} no longer hits many hosts at once",
            level=logging.ERROR,
            zone=zone,
        )
    rises: dict[Cause, dict[str, str]] = {}
    for key, one in sorted(standings.known.items(), key=str):
        if one.ended is not None or key.cause in standings.common:
            continue
        if one.action.kind == "alert":
            rises.setdefault(key.cause, {})[key.host] = one.why
        else:
            yield Alert(
                ("reputation", zone, key),
                f"host {key.host}.{zone}: {key.cause}: {one.why}",
                event="",  # `changes` tells it
                hosts=((zone, key.host),),
            )
    for cause, whys in rises.items():
        yield Alert(
            ("reputation", zone, cause, "alert"),
            _line(zone, cause, whys),
            event="",
            hosts=tuple((zone, host) for host in whys),
        )


def changes(
    zone: str, before: Mapping[StandingKey, str], standings: Standings, *, act: bool
) -> Iterator[Told]:
    """Tell what has begun against hosts and what is over, but for quarantines: their orders tell it.

    Args:
        zone: of the hosts.
        before: what stood before, each with the kind of its action.
        standings: those of now.
        act: whether it is done, or only would be.

    """
    begun: dict[tuple[Cause, str], dict[str, str]] = {}
    stand = {key: one for key, one in standings.known.items() if one.ended is None}
    for key, one in sorted(stand.items(), key=str):
        kind = one.action.kind
        if before.get(key) != kind and not (act and kind == "quarantine"):
            does = f"{one.action}" if act or kind == "alert" else f"would {one.action} (mode observe)"
            begun.setdefault((key.cause, does), {})[key.host] = one.why
    for (cause, does), whys in begun.items():
        yield Told(list(whys), f"{_line(zone, cause, whys)}: {does}", logging.WARNING)
    over: dict[Cause, list[str]] = {}
    for key in before.keys() - stand.keys():
        over.setdefault(key.cause, []).append(key.host)
    for cause, hosts in over.items():
        yield Told(hosts, f"{_named(zone, sorted(hosts))}: {cause}: over", logging.INFO)


def _line(zone: str, cause: Cause, whys: Mapping[str, str]) -> str:
    """Return a sentence about hosts and why; of several the first one's reason."""
    host, why = next(iter(whys.items()))
    return f"{_named(zone, list(whys))}: {cause}: {why if len(whys) == 1 else f'{host}: {why}'}"


def _named(zone: str, hosts: Sequence[str]) -> str:
    if len(hosts) == 1:
        return f"host {hosts[0]}.{zone}"
    more = f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else ""
    return f"hosts {', '.join(hosts[:NAMED])}{more} of {zone}"
