"""How answers are given, kept up to date: cookie secrets, rate limits and the query log while running."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from geodns.cookiefile import CookieFile
from geodns.floodwatch import FloodWatch
from geodns.logswitch import LogSwitch
from geodns.metrics import Metrics
from geodns.policy import Policy
from geodns.ratelimit import Limited
from geodns.serve.frames import Logged
from geodns.settings import Settings, policy_of

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at what may have changed."""

Carry = Callable[[Policy], Awaitable[tuple[str, ...]]]
"""Brings a policy to the workers, and returns those that have not taken it in time."""


class Policing:
    """What the control process knows of a policy's parts.

    Args:
        settings: the server's own.
        carry: called when the policy has become another.

    """

    def __init__(self, settings: Settings, carry: Carry) -> None:
        """Begin.

        Raises:
            StartError: the file of the cookie secrets cannot be used.

        """
        self._settings = settings
        self._carry = carry
        file = settings.cookie_secret_file
        self._cookies = CookieFile(file or settings.state / "cookie-secret", make=file is None)
        self._flood = FloodWatch()
        self._log = LogSwitch(settings.query_log, self._changed)

    @property
    def policy(self) -> Policy:
        """The one to answer by now."""
        return policy_of(self._settings, self._cookies.secrets, self._log.wanted)

    def routes(self) -> list[web.RouteDef]:
        """Return what the HTTP side answers for them."""
        return self._log.routes()

    def warnings(self) -> list[str]:
        """Return what an operator should know."""
        trouble = [self._cookies.trouble] if self._cookies.trouble else []
        return [*trouble, *self._flood.warnings(time.monotonic())]

    def limited(self, limited: Limited) -> None:
        """Take note of answers that were over the rate limit."""
        self._flood.note(limited, time.monotonic())

    def logged(self, message: Logged, metrics: Metrics) -> None:
        """Write what a worker has noted."""
        written = self._log.write(message.noted, message.dropped, self._cookies.secrets)
        metrics.logged(written, message.dropped)

    async def watch(self) -> None:
        """Look again and again at what may have changed; never return."""
        told = None
        while True:
            await asyncio.sleep(LOOK_EVERY)
            others = await asyncio.to_thread(self._cookies.poll)
            if others:
                log.info("the cookie secrets are others now")
            if self._log.expired(time.monotonic()) or others:
                await self._changed()
            if self._cookies.trouble not in {None, told}:
                log.error("%s", self._cookies.trouble)
            told = self._cookies.trouble
            self._flood.tell(time.monotonic())

    async def _changed(self) -> tuple[str, ...]:
        return await self._carry(self.policy)
