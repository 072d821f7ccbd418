"""How busy hosts are, kept up to date: what is asked, what is pushed, what is told of it."""

import logging
import random
import time
from collections.abc import Callable

from aiohttp import web

from geodns.api.bodies import LoadBody, read_body
from geodns.api.responses import host_key
from geodns.api.schemas import HostJson
from geodns.control.cluster import Cluster
from geodns.control.metrics import Metrics
from geodns.errors import UsageError
from geodns.model.hosts import Load
from geodns.model.state import Forced, HealthState, HostKey
from geodns.signals.host_load_poller import LoadSources
from geodns.storage.event_log import EventLog

_OUT = frozenset({Forced.DRAINED, Forced.QUARANTINED, Forced.DOWN})


class HostLoadService:
    """What the control process does about the loads of hosts.

    Args:
        cluster: what is served.
        metrics: counts what is read.
        events: tells whose load is not known, and whose is again.
        shown: returns a host's status.
        rng: spreads the questions.

    """

    def __init__(
        self,
        cluster: Cluster,
        metrics: Metrics,
        events: EventLog,
        shown: Callable[[HostKey], HostJson],
        rng: random.Random,
    ) -> None:
        self._cluster = cluster
        self._metrics = metrics
        self._events = events
        self._shown = shown
        self._sources = LoadSources(self._took, self._failed, rng)
        self._hosts: dict[Load, list[HostKey]] = {}
        self._stale: frozenset[HostKey] = frozenset()

    def follow(self) -> None:
        """Ask where the zones that are served now say."""
        self._hosts = {}
        for host, known in self._cluster.loads.known.items():
            self._hosts.setdefault(known.load, []).append(host)
        self._sources.follow(self._hosts.keys())

    async def close(self) -> None:
        """Ask no more."""
        await self._sources.close()

    def _took(self, load: Load, value: float) -> None:
        for host in self._hosts.get(load, ()):
            self._take(host, value)

    def _take(self, host: HostKey, value: float) -> None:
        self._cluster.loads.took(host, value, time.monotonic(), time.time())
        self._metrics.load_read("ok")

    def _failed(self, load: Load, error: str) -> None:
        for host in self._hosts.get(load, ()):
            self._cluster.loads.failed(host, error)
            self._metrics.load_read("failure")

    def tell(self) -> None:
        """Say once of which hosts the load is not known any more, and of which it is again."""
        known = self._cluster.loads.known
        stale = frozenset(host for host, one in known.items() if one.stale)
        for zone, host in sorted(stale - self._stale):
            why = known[zone, host].trouble
            text = f"load of {host}.{zone}: {why}: its plain weight is used"
            self._events.tell("load", text, zone=zone, host=host, data={"stale": True})
        for zone, host in sorted((self._stale - stale) & known.keys()):
            text = f"load of {host}.{zone}: it is known again"
            self._events.tell("load", text, level=logging.INFO, zone=zone, host=host, data={"stale": False})
        self._stale = stale

    def warnings(self) -> list[str]:
        """Return of which hosts the load is not known; those that are out anyway need none."""
        return [
            f"load of {host}.{zone}: {one.trouble}: its plain weight is used"
            for (zone, host), one in self._cluster.loads.known.items()
            if one.stale and not self._is_out((zone, host))
        ]

    def _is_out(self, host: HostKey) -> bool:
        forced = self._cluster.forced.get(host)
        if forced is not None:
            return forced.forced in _OUT
        return self._cluster.state_of(host) is HealthState.DOWN

    # --- what is pushed ---------------------------------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        """Return what the HTTP side answers for them."""
        return [web.post("/api/v1/hosts/{zone}/{host}/load", self._push)]

    async def _push(self, request: web.Request) -> web.Response:
        body = await request.read()  # first: a host may go while it comes
        host = host_key(request)
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
        self._take(host, read_body(body, LoadBody, '{"value": 412}').value)
        return web.json_response(self._shown(host))
