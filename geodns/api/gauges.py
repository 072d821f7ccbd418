"""Gauges of the HTTP side for Prometheus."""

from collections.abc import Iterable

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from geodns.api.connections import ROOM
from geodns.api.events import FOLLOWERS
from geodns.api.nuisances import NUISANCES
from geodns.api.responses import has_token


class HttpGauges(Collector):
    """The connections, followers and nuisances of an application."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    def describe(self) -> Iterable[Metric]:
        """Name nothing in advance: there may be no listener yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        room = self._app.get(ROOM)
        if room is not None:
            text = "Connections of the HTTP side; those at work have a whole request."
            connections = GaugeMetricFamily("geodns_http_connections", text, labels=["state"])
            at_work = room.number_at_work
            connections.add_metric(["at work"], at_work)
            connections.add_metric(["waiting"], room.number - at_work)
            yield connections
        following = [has_token(one) for one in self._app[FOLLOWERS].values()]
        followers = GaugeMetricFamily(
            "geodns_event_followers", "Clients that follow the events.", labels=["token"]
        )
        followers.add_metric(["yes"], sum(following))
        followers.add_metric(["no"], len(following) - sum(following))
        yield followers
        nuisances = CounterMetricFamily(
            "geodns_http_nuisances",
            "What clients of the HTTP side did wrong, or had no room for.",
            labels=["kind"],
        )
        for kind, number in self._app[NUISANCES].counts.items():
            nuisances.add_metric([kind], number)
        yield nuisances
