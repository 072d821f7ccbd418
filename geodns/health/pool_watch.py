"""How many hosts of a pool fail at once: the part of `suspicion` that counts hosts.

Time is an argument, in seconds of any clock that does not go back.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from geodns.model.checks import Target
from geodns.model.state import HostKey
from geodns.model.zone import Zone

MIN_HOSTS = 4
"""A pool with fewer is never suspected: two hosts may well fail together. Nor do fewer hosts than half of
this and one make a crowd, however few are left."""

PoolKey = tuple[str, str]
"""Zone name and pool name."""


class GuardStage(StrEnum):
    """How a pool is looked at; `suspicion` draws the way round."""

    NORMAL = "normal"
    HOLDING = "holding"
    COUNTING = "counting"


class FailureWindow:
    """The hosts of one pool, and whether so many fail at once that the prober is suspect.

    Args:
        hosts: their names.
        failing: those that fail already; they count neither as good nor as new failures.
        window: seconds within which failures count as one event.
        hold: seconds that verdicts are held, at most.

    Attributes:
        stage: how the pool is looked at.
        since: when it ceased to be calm.
        fresh: hosts that began to fail, and when: within the window, or since the suspicion arose.

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
        """Take note of how a host does; return how the pool is looked at now."""
        if not failing:
            self._good.add(host)
            self.fresh.pop(host, None)
        elif host in self._good:
            self._good.remove(host)
            self.fresh[host] = now
        return self.look(now)

    def settle(self, host: str, *, counts: bool) -> None:
        """Count a host among the good ones, or among neither; that is no news."""
        self.fresh.pop(host, None)
        if counts:
            self._good.add(host)
        else:
            self._good.discard(host)

    def go_on(self, earlier: "FailureWindow", hosts: Collection[str]) -> None:
        """Go on where the watch over a pool was before an edit, over those of its hosts that it still has."""
        self.fresh = {
            host: when for host, when in earlier.fresh.items() if host in hosts and host not in self._good
        }
        if self.fresh:
            self.stage, self.since = earlier.stage, earlier.since

    def look(self, now: float) -> GuardStage:
        """Return how the pool is looked at, now that it is so late."""
        if self.stage is GuardStage.NORMAL:
            while self.fresh and (first := next(iter(self.fresh))) and self.fresh[first] < now - self._window:
                del self.fresh[first]
            crowd = self._total >= MIN_HOSTS and len(self.fresh) > MIN_HOSTS // 2
            if crowd and len(self.fresh) > len(self._good):
                self.stage, self.since = GuardStage.HOLDING, now
        elif len(self._good) > len(self.fresh):
            self.stage = GuardStage.NORMAL
            self.fresh.clear()
        if self.end is not None and now >= self.end:
            self.stage = GuardStage.COUNTING
        return self.stage


@dataclass(frozen=True)
class WatchedPool:
    """A pool as it is watched.

    Attributes:
        hosts: for each host and each of its addresses, what is probed. A host fails when none of its
            addresses has `need` targets that did not fail last.
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
    jury = zone.check_policy_of(pool)
    members = [member.host for member in pool.members if member.weight]
    if jury is None or len(members) < MIN_HOSTS:
        return None
    checks = {check.name for check in jury.checks}
    hosts = {
        host: tuple(
            tuple(target for target in targets if target.check.name in checks)
            for targets in zone.targets_by_host[host].values()
        )
        for host in members
    }
    return WatchedPool(hosts, jury.need, max(check.interval for check in jury.checks), pool.hold)


class PoolWatch:
    """A watched pool at work: which of its hosts fail, going by the last word of each target.

    Args:
        key: the pool.
        watched: what is watched.
        bad: the targets that failed last.
        aside: hosts that do not count: an operator has imposed something on them, and may work on them.

    Attributes:
        watch: how the pool is looked at.
        seen: the same, as it was when last acted upon.
        targets: everything that is probed for it.

    """

    __slots__ = ("_aside", "key", "seen", "targets", "watch", "watched")

    def __init__(
        self, key: PoolKey, watched: WatchedPool, bad: Collection[Target], aside: Collection[HostKey] = ()
    ) -> None:
        self.key = key
        self.watched = watched
        self._aside = {host for zone, host in aside if zone == key[0]}
        failing = [host for host in watched.hosts if host in self._aside or _fails(watched, host, bad)]
        self.watch = FailureWindow(watched.hosts.keys(), failing, watched.window, watched.hold)
        self.seen = GuardStage.NORMAL
        self.targets = frozenset(
            target for addresses in watched.hosts.values() for some in addresses for target in some
        )

    def go_on(self, earlier: "PoolWatch") -> None:
        """Go on from the same pool before an edit: a host that joins ends no hold, nor one that leaves."""
        self.watch.go_on(earlier.watch, self.watched.hosts)
        self.seen = self.watch.stage

    def note(self, host: str, bad: Collection[Target], now: float) -> None:
        """Take note that the last word of one of a host's targets is another one."""
        if host not in self._aside:
            self.watch.note(host, failing=_fails(self.watched, host, bad), now=now)

    def ignore(self, host: str, bad: Collection[Target], *, aside: bool) -> None:
        """Let a host of the pool count no longer, or again."""
        (self._aside.add if aside else self._aside.discard)(host)
        self.watch.settle(host, counts=not aside and not _fails(self.watched, host, bad))

    def fresh(self) -> frozenset[Target]:
        """What is probed of the hosts that began to fail."""
        hosts = self.watched.hosts
        return frozenset(target for host in self.watch.fresh for some in hosts[host] for target in some)


def _fails(watched: WatchedPool, host: str, bad: Collection[Target]) -> bool:
    return not any(sum(target not in bad for target in some) >= watched.need for some in watched.hosts[host])
