"""Keeps the answer policy of the workers up to date: cookie secrets, rate limits and the query log."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator

from geodns.config.settings import Settings, policy_of
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.metrics import Metrics
from geodns.control.persistence import Persistence
from geodns.control.query_log_service import QueryLogService
from geodns.control.query_log_text import from_text, to_text
from geodns.control.worker_service import WorkerService
from geodns.responder.answer_policy import QueryLog
from geodns.responder.rate_limit import Action, Limited
from geodns.serve.frames import CountsReport, Message, QueryLogBatch
from geodns.storage import cookie_secrets
from geodns.storage.cookie_secrets import CookieFile
from geodns.storage.event_log import EventLog

LOOK_EVERY = 1.0
"""Seconds."""
FLOOD_EVERY = 60.0
"""Seconds between two events of a flood; the warning stays as long after the last limited answer."""
NETWORKS_NAMED = 3
"""Networks in a warning: those that were limited most."""
NETWORKS_KEPT = 1_000
"""Networks in memory."""

_SECRETS, _QUERY_LOG = "cookie_secrets", "query_log"
"""Names of persistence's notes."""


class AnswerPolicyService:
    """Sets the policy of the cluster, and changes it with the cookie secrets and the query log."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        workers: WorkerService,
        persistence: Persistence,
        events: EventLog,
        metrics: Metrics,
        *,
        again: bool,
    ) -> None:
        """Begin with the settings or, when the control process is started `again`, with the last policy.

        Raises:
            StartError: the server starts, and the file of the cookie secrets cannot be used.

        """
        self._settings = settings
        self._cluster = cluster
        self._workers = workers
        self._persistence = persistence
        self._events = events
        self._metrics = metrics
        file = settings.cookie_secret_file
        self._cookies = CookieFile(
            file or settings.state / "cookie-secret",
            make=file is None,
            last=self._last_secrets() if again else None,
        )
        self._flood = FloodWatch()
        self.query_log = QueryLogService(self._last_log() if again else settings.query_log, events)
        self._set_policy()
        persistence.write()
        workers.subscribe(self._on_message)

    def _last_secrets(self) -> tuple[bytes, ...]:
        with contextlib.suppress(ValueError):
            return cookie_secrets.parse((self._persistence.note(_SECRETS) or "").encode())
        return ()

    def _last_log(self) -> QueryLog | None:
        text = self._persistence.note(_QUERY_LOG)
        if text is not None:
            with contextlib.suppress(ValueError):
                return from_text(text)
        return self._settings.query_log

    def _set_policy(self) -> None:
        """Answer by the secrets and query log of now, and note them for the next control process."""
        secrets, wanted = self._cookies.secrets, self.query_log.wanted
        self._persistence.keep_note(_SECRETS, cookie_secrets.text_of(secrets))
        self._persistence.keep_note(_QUERY_LOG, to_text(wanted))
        self._cluster.set_policy(policy_of(self._settings, secrets, wanted))

    def alerts(self) -> Iterator[Alert]:
        warning = self._cookies.warning
        if warning is not None:
            yield Alert("cookies", warning, kind="refused", grade=warning, level=logging.ERROR)
        yield from self._flood.alerts(time.monotonic())

    def _on_message(self, message: Message) -> None:
        match message:
            case CountsReport(counts=counts) if counts.limited is not None:
                self._flood.note(counts.limited, time.monotonic())
            case QueryLogBatch(noted=noted, dropped=dropped):
                written = self.query_log.write(noted, dropped, self._cookies.secrets, time.monotonic())
                self._metrics.count_logged(*written)
            case _:
                pass

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._flood.advance(time.monotonic())
            others = await asyncio.to_thread(self._cookies.poll)
            if others:
                self._events.tell("reload", "the cookie secrets are others now", level=logging.INFO)
            if self.query_log.end_expired(time.monotonic()) or others:
                await self._change()

    async def switch_query_log(self, wanted: QueryLog | None, who: str) -> tuple[tuple[str, ...], str | None]:
        """Log these queries from now on (None: none).

        Return the workers that are late to know, and why it is not on disk (None: it is). `who` stands in
        the event.
        """
        self.query_log.switch(wanted, who)
        return await self._change(), self._persistence.note_unkept(_QUERY_LOG)

    async def _change(self) -> tuple[str, ...]:
        self._set_policy()
        write = self._persistence.written()
        if not self._cluster.sources:  # the first Table will bring it
            await write
            return ()
        pending, _ = await asyncio.gather(self._workers.deliver(), write)
        return pending


class FloodWatch:
    """Sums up the answers that workers have limited, and warns of them."""

    def __init__(self) -> None:
        self._actions: Counter[Action] = Counter()
        self._networks: Counter[str] = Counter()
        self._event_at: float | None = None
        self._last: float | None = None
        self._shown = ""

    def note(self, limited: Limited, now: float) -> None:
        """Add a worker's counts; the time is monotonic, in seconds."""
        self._last = now
        self._actions.update(limited.actions)
        self._networks.update(limited.networks)
        if len(self._networks) > NETWORKS_KEPT:
            self._networks = Counter(dict(self._networks.most_common(NETWORKS_KEPT // 2)))

    def advance(self, now: float) -> None:
        """Sum up what came since the last event, once a minute."""
        if self._last is None or now - self._last >= FLOOD_EVERY:
            self._shown = ""
        if self._actions and (self._event_at is None or now - self._event_at >= FLOOD_EVERY):
            recent = self._event_at is not None and now - self._event_at <= 2 * FLOOD_EVERY
            since = " in the last minute" if recent else ""
            self._shown = f"{self._sums()}{since}"
            self._event_at = now
            self._actions.clear()
            self._networks.clear()

    def alerts(self, now: float) -> Iterator[Alert]:
        """Return the warning while a flood lasts; its grade changes, and makes an event, with each sum."""
        if self._last is None or now - self._last >= FLOOD_EVERY or not (self._actions or self._shown):
            return
        shown = self._sums() if self._actions else self._shown
        yield Alert(
            "flood",
            f"answers are rate limited: {shown}",
            event=f"answers are rate limited: {self._shown}" if self._shown else "",
            grade=f"{self._event_at}" if self._shown else "",
        )

    def _sums(self) -> str:
        actions = ", ".join(f"{self._actions[one]} {one}" for one in Action if self._actions[one])
        networks = self._networks.most_common(NETWORKS_NAMED)
        most = ", ".join(f"{network} ({number})" for network, number in networks)
        return f"{actions}; most to {most}"
