"""The HTTP application."""

import asyncio
import socket
import time

from aiohttp import web

from geodns.api import (
    events,
    experiments,
    explain,
    history,
    hosts,
    openapi,
    peer,
    query_log,
    reputation,
    route,
    signals,
    simulate,
    site,
    state,
    status,
    warmup,
    zones,
)
from geodns.api.access import ACCESS, Access, guard
from geodns.api.connections import bound
from geodns.api.events import FOLLOWERS
from geodns.api.gauges import HttpGauges
from geodns.api.nuisances import NUISANCES, Nuisances
from geodns.api.order_gate import GATE, OrderGate
from geodns.api.responses import CACHE, SERVICES, ResponseCache
from geodns.api.simulate import SIMULATING
from geodns.config.tokens import Token
from geodns.control.services import Services

MAX_BODY = 64 * 1024
"""Bytes of a request."""


def make_app(services: Services, tokens: tuple[Token, ...]) -> web.Application:
    """Return the application.

    Args:
        services: asked and told by its handlers.
        tokens: what clients must show; see `Access`.

    """
    app = web.Application(middlewares=[guard, bound], client_max_size=MAX_BODY)
    app[SERVICES] = services
    app[CACHE] = ResponseCache(time.monotonic, time.thread_time)
    app[NUISANCES] = Nuisances(time.monotonic)
    names = (services.node, socket.gethostname())
    app[ACCESS] = Access(tokens, time.monotonic, app[NUISANCES], names)
    app[FOLLOWERS] = {}
    app[GATE] = OrderGate()
    app[SIMULATING] = asyncio.Lock()
    services.metrics.registry.register(HttpGauges(app))
    rooms = (
        site,
        status,
        hosts,
        warmup,
        zones,
        explain,
        simulate,
        events,
        history,
        state,
        signals,
        query_log,
        reputation,
        experiments,
        route,
        peer,
        openapi,
    )
    app.add_routes([route for room in rooms for route in room.routes()])
    return app
