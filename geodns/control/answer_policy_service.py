"""How answers are given, kept up to date: cookie secrets, rate limits and the query log while running."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from geodns import cookiefile, logswitch
from geodns.cookiefile import CookieFile
from geodns.events import Events
from geodns.floodwatch import FloodWatch
from geodns.keeper import Keeper
from geodns.logswitch import LogSwitch
from geodns.metrics import Metrics
from geodns.policy import Policy
from geodns.querylog import QueryLog
from geodns.ratelimit import Limited
from geodns.serve.frames import Logged
from geodns.settings import Settings, policy_of

LOOK_EVERY = 1.0
"""Seconds between two looks at what may have changed."""

_SECRETS, _QUERY_LOG = "cookie_secrets", "query_log"
"""What the keeper's notes are called."""

Carry = Callable[[Policy], Awaitable[tuple[str, ...]]]
"""Brings a policy to the workers, and returns those that have not taken it in time."""


class Policing:
    """What the control process knows of a policy's parts.

    Args:
        settings: the server's own.
        carry: called when the policy has become another.
        keeper: keeps what must be known when the control process is started again.
        events: tells what has changed.
        again: whether it is: the server runs already, and goes on as it did.

    """

    def __init__(
        self, settings: Settings, carry: Carry, keeper: Keeper, events: Events, *, again: bool
    ) -> None:
        """Begin.

        Raises:
            StartError: the server is being started, and the file of the cookie secrets cannot be used.

        """
        self._settings = settings
        self._carry = carry
        self._keeper = keeper
        self._events = events
        file = settings.cookie_secret_file
        self._cookies = CookieFile(
            file or settings.state / "cookie-secret",
            make=file is None,
            last=self._last_secrets() if again else None,
        )
        self._flood = FloodWatch(lambda text: events.tell("watch", text))
        self._log = LogSwitch(
            self._last_log() if again else settings.query_log,
            self._changed,
            lambda text: events.tell("forced", text, level=logging.INFO, data={"verb": "querylog"}),
        )
        self._note()
        keeper.write()

    def _last_secrets(self) -> tuple[bytes, ...]:
        with contextlib.suppress(ValueError):
            return cookiefile.parse((self._keeper.note(_SECRETS) or "").encode())
        return ()

    def _last_log(self) -> QueryLog | None:
        text = self._keeper.note(_QUERY_LOG)
        if text is not None:
            with contextlib.suppress(ValueError):
                return logswitch.from_text(text)
        return self._settings.query_log

    def _note(self) -> None:
        """Have what is in force now be known to the next control process."""
        self._keeper.keep_note(_SECRETS, cookiefile.text_of(self._cookies.secrets))
        self._keeper.keep_note(_QUERY_LOG, logswitch.to_text(self._log.wanted))

    @property
    def policy(self) -> Policy:
        """The one to answer by now."""
        return policy_of(self._settings, self._cookies.secrets, self._log.wanted)

    def routes(self) -> list[web.RouteDef]:
        """Return what the HTTP side answers for them."""
        return self._log.routes()

    def warnings(self) -> list[str]:
        """Return what an operator should know."""
        trouble = [self._cookies.warning] if self._cookies.warning else []
        return [*trouble, *self._flood.warnings(time.monotonic())]

    def limited(self, limited: Limited) -> None:
        """Take note of answers that were over the rate limit."""
        self._flood.note(limited, time.monotonic())

    def logged(self, message: Logged, metrics: Metrics) -> None:
        """Write what a worker has noted."""
        secrets = self._cookies.secrets
        metrics.logged(*self._log.write(message.noted, message.dropped, secrets, time.monotonic()))

    async def watch(self) -> None:
        """Look again and again at what may have changed; never return."""
        told = None
        while True:
            await asyncio.sleep(LOOK_EVERY)
            others = await asyncio.to_thread(self._cookies.poll)
            if others:
                self._events.tell("reload", "the cookie secrets are others now", level=logging.INFO)
            if self._log.expired(time.monotonic()) or others:
                await self._changed()
            warning = self._cookies.warning
            if warning not in {None, told}:
                self._events.tell("refused", warning, level=logging.ERROR)
            told = warning
            self._flood.tell(time.monotonic())

    async def _changed(self) -> tuple[str, ...]:
        self._note()
        pending, _ = await asyncio.gather(self._carry(self.policy), asyncio.to_thread(self._keeper.write))
        return pending
