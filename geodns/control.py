"""What operators force on hosts: which host is meant, and what becomes of it."""

from collections.abc import Iterable, Mapping

from geodns.errors import AmbiguousError, NotFoundError
from geodns.live import Forced, HostKey
from geodns.model import Zone
from geodns.store import ForcedState


def find_host(text: str, zones: Mapping[str, Iterable[str]]) -> HostKey:
    """Return the host that an operator means.

    Args:
        text: ``mta1``, or its whole name ``mta1.out.example.com`` with or without the final dot.
        zones: the names of the hosts of each zone.

    Raises:
        NotFoundError: no zone has it.
        AmbiguousError: the short form, and several zones have it.

    """
    wanted = text.lower().rstrip(".")
    known = [(zone, host) for zone, hosts in zones.items() for host in hosts]
    whole = [key for key in known if f"{key[1]}.{key[0]}" == wanted]
    found = whole or [key for key in known if key[1] == wanted]
    if not found:
        raise NotFoundError(f"no host {text}: `geodns status` lists them")
    if len(found) > 1:
        names = ", ".join(f"{host}.{zone}" for zone, host in found)
        raise AmbiguousError(f"{text} is in several zones: write one of {names}")
    return found[0]


def require_host(zones: Mapping[str, Zone], zone: str, host: str) -> HostKey:
    """Return the key of a host that is named in full.

    Raises:
        NotFoundError: there is no such zone or host.

    """
    found = zones.get(zone.lower().rstrip("."))
    if found is None:
        raise NotFoundError(f"no zone {zone} is served; there are {', '.join(zones) or 'none'}")
    if host.lower() not in found.host_by_name:
        raise NotFoundError(
            f"zone {zone} has no host {host}; it has {', '.join(found.host_by_name) or 'none'}"
        )
    return found.name, host.lower()


def forced_state(forced: Forced, reason: str, author: str, now: float, seconds: float | None) -> ForcedState:
    """Return what is imposed on a host.

    Args:
        forced: what.
        reason: in the operator's words.
        author: who asks.
        now: seconds since the epoch.
        seconds: how long it holds; None until somebody ends it.

    """
    return ForcedState(forced, reason, author, now, None if seconds is None else now + seconds)
