"""The HTTP application."""

import time
from collections.abc import Callable, Iterable

from aiohttp import web

from geodns.api import hosts, openapi, site, status, zones
from geodns.api.access import ACCESS, Access, guard
from geodns.api.responses import BACKEND, CARRY, KEPT, METRICS, Backend, Carry, ResponseCache
from geodns.config.tokens import Token

MAX_BODY = 64 * 1024
"""Bytes of a request."""


def make_app(
    backend: Backend,
    metrics: Callable[[], bytes],
    carry: Carry,
    tokens: tuple[Token, ...],
    more: Iterable[web.RouteDef] = (),
) -> web.Application:
    """Return the application.

    Args:
        backend: the running server, to be read.
        metrics: gives them in Prometheus' text format.
        carry: carries an order out.
        tokens: what clients must show; see `Access`.
        more: routes that other parts have; they raise UsageError for what is asked wrongly.

    """
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app[BACKEND] = backend
    app[METRICS] = metrics
    app[CARRY] = carry
    app[KEPT] = ResponseCache(time.monotonic, time.thread_time)
    app[ACCESS] = Access(tokens, time.monotonic)
    rooms = (site, status, zones, openapi, hosts)
    app.add_routes([*(route for room in rooms for route in room.routes()), *more])
    return app
