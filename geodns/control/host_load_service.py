"""Takes the loads of hosts, polled from their URLs or pushed, into the cluster."""

import random
import time
from collections.abc import Iterator
from functools import partial

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.metrics import Metrics
from geodns.errors import UsageError
from geodns.model.hosts import Load
from geodns.model.state import Forced, HealthState, HostKey
from geodns.signals.host_load_poller import LoadSources

_NOT_DEALT = frozenset({Forced.DRAINED, Forced.QUARANTINED, Forced.DOWN})


class HostLoadService:
    """Keeps the cluster's loads up to date; owns the poller."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics
        rng = random.Random()  # noqa: S311 - spreads polls
        self._sources = LoadSources(self._on_load, self._on_failure, rng)
        self._hosts: dict[Load, list[HostKey]] = {}

    def follow(self) -> None:
        """Poll the URLs of the zones that are served now."""
        self._hosts = {}
        for host, known in self._cluster.loads.known.items():
            self._hosts.setdefault(known.load, []).append(host)
        self._sources.follow(self._hosts.keys())

    async def close(self) -> None:
        await self._sources.close()

    def _on_load(self, load: Load, value: float) -> None:
        for host in self._hosts.get(load, ()):
            self._take(host, value)

    def _on_failure(self, load: Load, error: str) -> None:
        for host in self._hosts.get(load, ()):
            self._cluster.loads.failed(host, error)
            self._metrics.count_load_reading("failure")

    def _take(self, host: HostKey, value: float) -> None:
        self._cluster.loads.took(host, value, time.monotonic(), time.time())
        self._metrics.count_load_reading("ok")

    def expect_push(self, host: HostKey) -> None:
        """Raise UsageError where a host's load is not pushed: the file has no `load`, or one with a URL."""
        known = self._cluster.loads.known.get(host)
        if known is None:
            raise UsageError(
                f"the zone file says nothing of the load of {host[1]}.{host[0]}: write under the host "
                "`load: {full: 2000}`, with the value at which it has as much as it can bear"
            )
        if known.load.url is not None:
            raise UsageError(
                f"the load of {host[1]}.{host[0]} is read from its URL: to push it, leave nothing but "
                "`full`, `floor` and `stale` under `load` in the zone file"
            )

    def push(self, host: HostKey, value: float) -> None:
        """Take a pushed load; raise as `expect_push` does."""
        self.expect_push(host)
        self._take(host, value)

    def alerts(self) -> Iterator[Alert]:
        """Return the hosts whose load is stale; the status leaves out those that are not dealt anyway."""
        for host, one in sorted(self._cluster.loads.known.items()):
            if one.stale:
                name = f"load of {host[1]}.{host[0]}"
                yield Alert(
                    ("load", host),
                    f"{name}: {one.trouble}: its plain weight is used",
                    kind="load",
                    resolved=f"{name}: it is known again",
                    still_there=partial(self._has_load, host),
                    hosts=(host,),
                    data={"stale": True},
                    resolved_data={"stale": False},
                    shown=not self._is_out(host),
                )

    def _has_load(self, host: HostKey) -> bool:
        """Tell whether a load is known; a host whose `load` was just rewritten has told nothing yet."""
        known = self._cluster.loads.known.get(host)
        return known is not None and known.value is not None and not known.stale

    def _is_out(self, host: HostKey) -> bool:
        forced = self._cluster.forced.get(host)
        if forced is not None:
            return forced.forced in _NOT_DEALT
        return self._cluster.state_of(host) is HealthState.DOWN
