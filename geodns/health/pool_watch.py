"""Counts the hosts of one pool that fall silent at once.

No clock: time is an argument, in seconds of any clock that does not go back.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from geodns.model.checks import Target
from geodns.model.state import HostKey, PoolKey
from geodns.model.zone import Zone

MIN_HOSTS = 4
"""The smallest pool that is watched: two hosts may well fail together. Nor is it a mass failure when fewer
hosts are silent than half of this and one, however few are left."""


@dataclass(frozen=True)
class WatchedPool:
    """A pool as it is watched.

    Attributes:
        hosts: for each host and each of its addresses, what is probed. A host is silent when none of its
            addresses has `need` targets that were reached last, whatever they said.
        need: how many of an address's targets must be good.
        window: seconds within which failures count as one event.
        hold: seconds that verdicts are held, at most.

    """

    hosts: Mapping[str, tuple[tuple[Target, ...], ...]]
    need: int
    window: float
    hold: float


def watched_pools(zones: Iterable[Zone]) -> dict[PoolKey, WatchedPool]:
    """Return the pools of zones that are large enough to be watched."""
    return {
        (zone.name, pool.name): watched
        for zone in zones
        for pool in zone.pools
        if (watched := _watched(zone, pool.name)) is not None
    }


def _watched(zone: Zone, name: str) -> WatchedPool | None:
    pool = zone.pool_by_name[name]
    policy = zone.check_policy_of(pool)
    members = [member.host for member in pool.members if member.weight]
    if policy is None or len(members) < MIN_HOSTS:
        return None
    checks = {check.name for check in policy.checks}
    hosts = {
        host: tuple(
            tuple(target for target in targets if target.check.name in checks)
            for targets in zone.targets_by_host[host].values()
        )
        for host in members
    }
    return WatchedPool(hosts, policy.need, max(check.interval for check in policy.checks), pool.hold)


class GuardStage(StrEnum):
    """Failures of a pool count, are held, or count after a hold; `mass_failure` draws the way round."""

    NORMAL = "normal"
    HOLDING = "holding"
    COUNTING = "counting"


class PoolWatch:
    """A watched pool and which of its hosts are silent, going by the last result of each target.

    Args:
        key: the pool.
        watched: its hosts and bounds.
        bad: the targets that were silent last.
        ignored: hosts that do not count: an operator has forced them, and may work on them.

    Attributes:
        failures: how many hosts are silent at once.
        seen: the stage that was last acted upon.
        targets: everything that is probed for the pool.

    """

    __slots__ = ("_ignored", "failures", "key", "seen", "targets", "watched")

    def __init__(
        self, key: PoolKey, watched: WatchedPool, bad: Collection[Target], ignored: Collection[HostKey] = ()
    ) -> None:
        self.key = key
        self.watched = watched
        self._ignored = {host for zone, host in ignored if zone == key[0]}
        failing = [host for host in watched.hosts if host in self._ignored or _fails(watched, host, bad)]
        self.failures = FailureWindow(watched.hosts.keys(), failing, watched.window, watched.hold)
        self.seen = GuardStage.NORMAL
        self.targets = frozenset(
            target for addresses in watched.hosts.values() for some in addresses for target in some
        )

    def take_over(self, earlier: "PoolWatch") -> None:
        """Go on from the same pool before an edit: a host that joins or leaves ends no hold."""
        self.failures.take_over(earlier.failures, self.watched.hosts)
        self.seen = self.failures.stage

    def note(self, host: str, bad: Collection[Target], now: float) -> None:
        """Count a host again, one of whose targets has fallen silent or was reached again."""
        if host not in self._ignored:
            self.failures.note(host, failing=_fails(self.watched, host, bad), now=now)

    def ignore(self, host: str, bad: Collection[Target], *, ignored: bool) -> None:
        """Stop counting a host of the pool, or count it again."""
        (self._ignored.add if ignored else self._ignored.discard)(host)
        self.failures.settle(host, good=not ignored and not _fails(self.watched, host, bad))

    def failing_targets(self) -> frozenset[Target]:
        """Return what is probed of the hosts that fell silent."""
        hosts = self.watched.hosts
        return frozenset(target for host in self.failures.fresh for some in hosts[host] for target in some)


def _fails(watched: WatchedPool, host: str, bad: Collection[Target]) -> bool:
    return not any(sum(target not in bad for target in some) >= watched.need for some in watched.hosts[host])


class FailureWindow:
    """The hosts of one pool, and whether so many fail at once that the prober itself may be cut off.

    Args:
        hosts: their names.
        failing: those that fail already; they count neither as good nor as new failures.
        window: seconds within which failures count as one event.
        hold: seconds that verdicts are held, at most.

    Attributes:
        since: when the stage ceased to be normal.
        fresh: hosts that began to fail, and when: within the window, or since the stage ceased to be normal.

    """

    __slots__ = ("_good", "_hold", "_total", "_window", "fresh", "since", "stage")

    def __init__(self, hosts: Collection[str], failing: Collection[str], window: float, hold: float) -> None:
        self.stage = GuardStage.NORMAL
        self.since = 0.0
        self.fresh: dict[str, float] = {}
        self._total = len(hosts)
        self._good = set(hosts) - set(failing)
        self._window = window
        self._hold = hold

    @property
    def end(self) -> float | None:
        """When the failures will count; None when nothing is held."""
        return self.since + self._hold if self.stage is GuardStage.HOLDING else None

    def note(self, host: str, *, failing: bool, now: float) -> GuardStage:
        """Take whether a host fails; return the stage."""
        if not failing:
            self._good.add(host)
            self.fresh.pop(host, None)
        elif host in self._good:
            self._good.remove(host)
            self.fresh[host] = now
        return self.advance(now)

    def settle(self, host: str, *, good: bool) -> None:
        """Count a host as good, or not at all; it is no new failure."""
        self.fresh.pop(host, None)
        if good:
            self._good.add(host)
        else:
            self._good.discard(host)

    def take_over(self, earlier: "FailureWindow", hosts: Collection[str]) -> None:
        """Go on where the same pool was before an edit, over those of its hosts that it still has."""
        self.fresh = {
            host: when for host, when in earlier.fresh.items() if host in hosts and host not in self._good
        }
        if self.fresh:
            self.stage, self.since = earlier.stage, earlier.since

    def advance(self, now: float) -> GuardStage:
        """Take the time; return the stage."""
        if self.stage is GuardStage.NORMAL:
            while self.fresh and (first := next(iter(self.fresh))) and self.fresh[first] < now - self._window:
                del self.fresh[first]
            enough = self._total >= MIN_HOSTS and len(self.fresh) > MIN_HOSTS // 2
            if enough and len(self.fresh) > len(self._good):
                self.stage, self.since = GuardStage.HOLDING, now
        elif len(self._good) > len(self.fresh):
            self.stage = GuardStage.NORMAL
            self.fresh.clear()
        if self.end is not None and now >= self.end:
            self.stage = GuardStage.COUNTING
        return self.stage
