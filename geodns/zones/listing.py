"""Keeps the last list of a source of hosts, and says why it gives none now.

A source that fails, or that gives nothing, keeps its last list: an empty answer is more often an accident
than an order. Times are seconds since the epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from geodns.model.base import Address
from geodns.model.hosts import DnsSource, Host
from geodns.model.limits import MAX_TIME
from geodns.zonefile.names import is_host_label

SOONEST, SELDOMEST = 5.0, 300.0
"""Bounds of the seconds from one look-up to the next, whatever the answer's TTL is."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds until a look-up that failed is tried again: doubled each time."""

Members = Mapping[str, tuple[Host, ...]]
"""The hosts of a source, by file; of a look-up under ""."""

_MEMBERS = TypeAdapter(dict[str, tuple[Host, ...]])
_TIME = TypeAdapter(Annotated[float, Field(ge=0, le=MAX_TIME, strict=True)] | None)
"""None: some file of the source has had an error from the beginning."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The last list of a source, and how it does now.

    Attributes:
        at: when it gave the list; None when it never did.
        error: why it gives none now; None while it does.
        since: since when it gives none.

    """

    members: Members
    at: float | None = None
    error: str | None = None
    since: float | None = None

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, by the names of their files."""
        return tuple(host for _, hosts in sorted(self.members.items()) for host in hosts)

    def gave(self, members: Members, now: float) -> "Listing":
        return Listing(dict(members), now)

    def failed(self, error: str, now: float) -> "Listing":
        return replace(self, error=error, since=now if self.since is None else self.since)

    def describe_failure(self, title: str) -> str:
        """Return a sentence about a source that fails."""
        kept = len(self.hosts)
        what = f"its last list is kept ({counted(kept)})" if kept else "it has never given a host"
        return f"{title}: {self.error}: {what}"

    def text(self) -> str:
        """Return the list as text to keep; a failure is left out, since it will show anew."""
        members = _MEMBERS.dump_python(dict(self.members), mode="json", exclude_unset=True)
        return json.dumps({"at": self.at, "members": members})


def counted(hosts: int) -> str:
    """Return a number of hosts with its noun."""
    return f"{hosts:,} host{'' if hosts == 1 else 's'}"


NEVER = Listing({})
"""The listing of a source that has given none yet."""


def read_listing(text: str) -> Listing:
    """Return a listing that `Listing.text` wrote; NEVER where it cannot be read any more."""
    try:
        kept: Any = json.loads(text)
        read = Listing(_MEMBERS.validate_python(kept["members"]), _TIME.validate_python(kept["at"]))
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        return NEVER
    return read if all(is_host_label(host.name) and host.addresses for host in read.hosts) else NEVER


def hosts_of(source: DnsSource, addresses: tuple[Address, ...]) -> tuple[Host, ...]:
    """Return a host for each address of a look-up, always in the same order."""
    ordered = sorted(addresses, key=lambda address: (address.version, int(address)))
    weight = {"weight": source.weight} if "weight" in source.model_fields_set else {}
    return tuple(Host(name=source.host_label(address), addresses=(address,), **weight) for address in ordered)


def lookup_pause(source: DnsSource, ttl: float | None, failures: int) -> float:
    """Return the seconds from one look-up to the next.

    Args:
        source: its `interval` wins over the TTL.
        ttl: of the answer; None when there was none.
        failures: in a row, until now.

    """
    regular = source.interval
    if failures:
        retry = min(FIRST_RETRY * float(2 ** min(failures - 1, 10)), LAST_RETRY)
        return retry if regular is None else min(retry, regular)
    if regular is not None:
        return regular
    return min(max(SOONEST, ttl or 0.0), SELDOMEST)
