"""Finds the hosts that an edit of a zone brings, and those that leave and answer for a while."""

from collections.abc import Mapping

from geodns.compiler.answers import Source
from geodns.model.base import Address
from geodns.model.state import HostKey, RetiredHost
from geodns.model.zone import Zone


def newcomers(before: Mapping[str, Source], after: Mapping[str, Source]) -> frozenset[HostKey]:
    """Return the hosts that are new, or have new addresses, in zones that were served before."""
    return frozenset(
        (name, host.name)
        for name, source in after.items()
        if name in before and before[name] is not source
        for host in source.zone.hosts
        if set(host.addresses) - _addresses(before[name].zone, host.name)
    )


def _addresses(zone: Zone, host: str) -> set[Address]:
    known = zone.host_by_name.get(host)
    return set(known.addresses) if known else set()


def retire(
    before: Zone, after: Zone, retired: Mapping[HostKey, RetiredHost], now: float
) -> dict[HostKey, RetiredHost]:
    """Return the hosts of a zone that are retired after an edit.

    Args:
        before: the zone that was served.
        after: the one that will be.
        retired: hosts of all zones.
        now: seconds since the epoch.

    """
    names = after.host_by_name.keys()
    old = {
        key: host
        for key, host in retired.items()
        if key[0] == after.name and key[1] not in names and host.until > now
    }
    gone = [host for host in before.hosts if host.name not in names]
    return old | {(after.name, host.name): RetiredHost(host, now + after.retire) for host in gone}
