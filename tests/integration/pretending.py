"""A server that says what it is told to, for what a real one says seldom."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from geodns.api import site as site_


class Pretended:
    """The page, a status and the answers to orders.

    Attributes:
        status: what it shows.
        answers: to orders: a status and a body each; the last one stays.
        orders: the bodies of those that came.
        also: what it shows at other paths.
        http: where it is.

    """

    def __init__(self, status: dict[str, Any]) -> None:
        self.status = status
        self.answers: list[tuple[int, dict[str, Any]]] = [(200, {})]
        self.orders: list[dict[str, Any]] = []
        self.also: dict[str, dict[str, Any]] = {}
        self.http = ""

    def routes(self) -> list[web.RouteDef]:
        return [
            *site_.routes(),
            web.get("/status", self._status),
            web.post("/api/v1/hosts/{zone}/{host}/{verb}", self._order),
            web.get("/api/v1/{path:.*}", self._other),
        ]

    async def _status(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self.status)

    async def _other(self, request: web.Request) -> web.Response:
        found = self.also.get(request.path)
        return web.json_response(found or {"error": "nothing here"}, status=404 if found is None else 200)

    async def _order(self, request: web.Request) -> web.Response:
        self.orders.append(await request.json())
        status, body = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        return web.json_response(body, status=status)


@contextlib.contextmanager
def pretending(status: dict[str, Any]) -> Iterator[Pretended]:
    """Run it on loopback, in a thread of its own."""
    one, loop = Pretended(status), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.add_routes(one.routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        one.http = f"http://{host}:{port}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    try:
        yield one
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
