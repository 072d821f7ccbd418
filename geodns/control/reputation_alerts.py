"""Writes the alerts of reputation: lists that fail, causes that hit many hosts, what stands against one."""

import logging
from collections.abc import Iterator

from geodns.control.alert_service import Alert
from geodns.signals.listings import Listings
from geodns.signals.reputation import Standings


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
    for key, one in sorted(standings.known.items(), key=str):
        if one.ended is None and key.cause not in standings.common:
            yield Alert(
                ("reputation", zone, key),
                f"host {key.host}.{zone}: {key.cause}: {one.why}",
                event="",  # the review tells it
                hosts=((zone, key.host),),
            )
