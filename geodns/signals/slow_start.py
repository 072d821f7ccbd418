"""Slow start: hosts that come back from down rise from a twentieth of their weight to all of it, in steps.

No clock: time is an argument, in seconds since the epoch, for a slow start goes on over a restart.
"""

from collections.abc import Callable, Collection, Mapping
from fractions import Fraction

from geodns.model.state import HostKey

STEPS = 20
"""A host begins with one of so many parts of its weight, and rises part by part."""
RISE_EVERY = 5.0
"""Seconds between two looks at who has risen: all of them are one recompilation."""


def share(elapsed: float, length: float) -> Fraction:
    """Return the part of its weight that a host has.

    Args:
        elapsed: seconds since it came back.
        length: seconds of the slow start; 0 means none.

    """
    if elapsed >= length:
        return Fraction(1)
    risen = int(elapsed / length * (STEPS - 1))
    return Fraction(1 + min(risen, STEPS - 2), STEPS)


class SlowStart:
    """The hosts that rise.

    Attributes:
        since: when each came back.
        shares: the part of its weight that each has, as of the last `rise`; never 1.

    """

    def __init__(self, since: Mapping[HostKey, float]) -> None:
        self.since = dict(since)
        self.shares: dict[HostKey, Fraction] = {}

    def begin(self, host: HostKey, length: float, now: float) -> None:
        """Let a host that has come back begin to rise."""
        if length > 0:
            self.since[host] = now
            self.shares[host] = share(0.0, length)

    def end(self, hosts: Collection[HostKey]) -> None:
        """Let go of hosts that are down or no more."""
        for host in hosts:
            self.since.pop(host, None)
            self.shares.pop(host, None)

    def rise(self, length: Callable[[HostKey], float], now: float) -> list[HostKey]:
        """Take note of the time; return the hosts whose part is another now.

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
