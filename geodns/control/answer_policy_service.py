"""How answers are given, kept up to date: cookie secrets, rate limits and the query log while running."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web

from geodns.config.settings import Settings, policy_of
from geodns.control import query_log_service
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.control.query_log_service import QueryLogService
from geodns.responder.answer_policy import Policy, QueryLog
from geodns.responder.rate_limit import Action, Limited
from geodns.serve.frames import QueryLogBatch
from geodns.storage import cookie_secrets
from geodns.storage.cookie_secrets import CookieFile
from geodns.storage.event_log import EventLog

LOOK_EVERY = 1.0
"""Seconds between two looks at what may have changed."""

_SECRETS, _QUERY_LOG = "cookie_secrets", "query_log"
"""What the keeper's notes are called."""

Carry = Callable[[Policy], Awaitable[tuple[str, ...]]]
"""Brings a policy to the workers, and returns those that have not taken it in time."""


class AnswerPolicyService:
    """What the control process knows of a policy's parts.

    Args:
        settings: the server's own.
        carry: called when the policy has become another.
        keeper: keeps what must be known when the control process is started again.
        events: tells what has changed.
        again: whether it is: the server runs already, and goes on as it did.

    """

    def __init__(
        self, settings: Settings, carry: Carry, keeper: Persistence, events: EventLog, *, again: bool
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
        self._log = QueryLogService(
            self._last_log() if again else settings.query_log,
            self._changed,
            lambda text: events.tell("forced", text, level=logging.INFO, data={"verb": "querylog"}),
        )
        self._note()
        keeper.write()

    def _last_secrets(self) -> tuple[bytes, ...]:
        with contextlib.suppress(ValueError):
            return cookie_secrets.parse((self._keeper.note(_SECRETS) or "").encode())
        return ()

    def _last_log(self) -> QueryLog | None:
        text = self._keeper.note(_QUERY_LOG)
        if text is not None:
            with contextlib.suppress(ValueError):
                return query_log_service.from_text(text)
        return self._settings.query_log

    def _note(self) -> None:
        """Have what is in force now be known to the next control process."""
        self._keeper.keep_note(_SECRETS, cookie_secrets.text_of(self._cookies.secrets))
        self._keeper.keep_note(_QUERY_LOG, query_log_service.to_text(self._log.wanted))

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

    def logged(self, message: QueryLogBatch, metrics: Metrics) -> None:
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


log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds from one line to the next; the warning goes as long after the last limited answer."""
NAMED = 3
"""Networks that are named: those that were limited most."""
MOST = 1_000
"""Networks that are remembered."""


class FloodWatch:
    """Gathers what all workers have limited.

    Args:
        tell: called with each line.

    """

    def __init__(self, tell: Callable[[str], object] = log.warning) -> None:
        self._tell = tell
        self._actions: Counter[Action] = Counter()
        self._networks: Counter[str] = Counter()
        self._told: float | None = None
        self._last: float | None = None
        self._shown = ""

    def note(self, limited: Limited, now: float) -> None:
        """Take what a worker has counted.

        Args:
            limited: by that worker.
            now: seconds of a clock that only goes forward.

        """
        self._last = now
        self._actions.update(limited.actions)
        self._networks.update(limited.networks)
        if len(self._networks) > MOST:
            self._networks = Counter(dict(self._networks.most_common(MOST // 2)))

    def tell(self, now: float) -> None:
        """Tell what was limited since the last line, at most once a minute."""
        if not self._actions or (self._told is not None and now - self._told < EVERY):
            return
        since = "" if self._told is None or now - self._told > 2 * EVERY else " in the last minute"
        self._shown = f"{self._sums()}{since}"
        self._told = now
        self._tell(f"answers are rate limited: {self._shown}")
        self._actions.clear()
        self._networks.clear()

    def warnings(self, now: float) -> list[str]:
        """Return what an operator should know now."""
        if self._last is None or now - self._last >= EVERY or not (self._actions or self._shown):
            return []
        return [f"answers are rate limited: {self._sums() if self._actions else self._shown}"]

    def _sums(self) -> str:
        actions = ", ".join(f"{self._actions[one]} {one}" for one in Action if self._actions[one])
        most = ", ".join(f"{network} ({number})" for network, number in self._networks.most_common(NAMED))
        return f"{actions}; most to {most}"
