"""Raises the weight of hosts that come back from down, in steps from a twentieth to all of it.

No clock: time is an argument, in seconds since the epoch, for a slow start goes on over a restart.
"""

from collections.abc import Callable, Collection, Mapping
from fractions import Fraction

from geodns.model.state import HostKey

STEPS = 20
"""Parts of the weight; a host begins with one and rises part by part."""
RISE_EVERY = 5.0
"""Seconds between two calls of `rise`: all hosts that have risen are one recompilation."""


def share(elapsed: float, length: float) -> Fraction:
    """Return the part of its weight that a host has so many seconds after it came back; `length` 0 is all."""
    if elapsed >= length:
        return Fraction(1)
    risen = int(elapsed / length * (STEPS - 1))
    return Fraction(1 + min(risen, STEPS - 2), STEPS)


class SlowStart:
    """The hosts in their slow start.

    Attributes:
        since: when each came back.
        shares: of their weights, as of the last `rise`; never 1.

    """

    def __init__(self, since: Mapping[HostKey, float]) -> None:
        self.since = dict(since)
        self.shares: dict[HostKey, Fraction] = {}

    def begin(self, host: HostKey, length: float, now: float) -> None:
        if length > 0:
            self.since[host] = now
            self.shares[host] = share(0.0, length)

    def end(self, hosts: Collection[HostKey]) -> None:
        """Forget hosts that are down or gone."""
        for host in hosts:
            self.since.pop(host, None)
            self.shares.pop(host, None)

    def rise(self, length: Callable[[HostKey], float], now: float) -> list[HostKey]:
        """Take the time; return the hosts whose share changed.

        Args:
            length: returns the seconds that a host's slow start takes.
            now: seconds since the epoch.

        """
        changed = []
        for host, noted in list(self.since.items()):
            since = self.since[host] = min(noted, now)  # a clock set back must not keep it low for long
            part = share(now - since, length(host))
            if part != self.shares.get(host):
                changed.append(host)
                self.shares[host] = part
            if part == 1:
                self.end([host])
        return changed
