"""Lets orders in until an upgrade begins, and knows when those under way have ended."""

import asyncio
import contextlib
from collections.abc import Iterator

from aiohttp import web

from geodns.api.responses import RefusedError

AGAIN = 2
"""Seconds after which a refused client shall try again."""


class OrderGate:
    """The gate that all requests that change something go through; requests that only read may always pass.

    Attributes:
        closed: whether another control process is to answer from now on.

    """

    def __init__(self) -> None:
        self.closed = False
        self._under_way = 0
        self._empty = asyncio.Event()

    @contextlib.contextmanager
    def passed(self) -> Iterator[None]:
        """Count an order for as long as the block runs; raise RefusedError (503) once the gate is closed."""
        if self.closed:
            raise RefusedError(503, "the server is being upgraded: try again in some seconds", AGAIN)
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._empty.set()

    async def close(self, within: float) -> None:
        """Let no further order in, and wait for the end of those under way, at most so many seconds."""
        self.closed = True
        if self._under_way:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), within)


GATE: web.AppKey[OrderGate] = web.AppKey("gate")
