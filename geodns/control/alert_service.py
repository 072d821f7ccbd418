"""Alerts: conditions that last; an event when one begins, worsens or ends.

Each service says what is wrong in its own field (`alerts`); this is the one list of all of it, for the status
and for the events.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from geodns.model.state import HostKey, PoolKey
from geodns.storage.event_log import EventLog

LOOK_EVERY = 1.0
"""Seconds."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that an operator should know for as long as it lasts.

    Attributes:
        key: what it is about; two looks that find the same key find the same alert.
        text: for the status.
        kind: of its events, one of `event_log.KINDS`.
        event: the text of its event, where that differs; empty where its beginning is told elsewhere.
        over: the text of the event that ends it; empty where none does.
        still_there: asked when it ends: what has left the zone has not got better, and nothing is told.
        grade: how bad it is: an alert with another grade is told again.
        level: of the event's line in the log.
        zone: which it is about.
        pool: likewise.
        hosts: likewise; an event names its host if there is one alone.
        data: of the event that begins it.
        resolved_data: of the event that ends it.
        shown: whether the status shows it.

    """

    key: Hashable
    text: str
    kind: str = "watch"
    event: str | None = None
    resolved: str = ""
    still_there: Callable[[], bool] = field(default=_always, compare=False)
    grade: str = ""
    level: int = logging.WARNING
    zone: str | None = None
    pool: PoolKey | None = None
    hosts: tuple[HostKey, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    resolved_data: Mapping[str, Any] = field(default_factory=dict)
    shown: bool = True

    @property
    def event_text(self) -> str:
        """The text of the event that begins it; empty where none does."""
        return self.text if self.event is None else self.event


class Alerting(Protocol):
    """A part of the server that knows what is wrong in its field."""

    def alerts(self) -> Iterable[Alert]:
        """Return what is wrong now."""


class Alerts:
    """The list of what is wrong; tells how it changes.

    Args:
        events: told.
        parts: asked what is wrong, in the order in which the status shows it.

    """

    def __init__(self, events: EventLog, parts: Iterable[Alerting]) -> None:
        self._events = events
        self._parts = tuple(parts)
        self._reported: Mapping[Hashable, Alert] = {}

    def now(self) -> dict[Hashable, Alert]:
        """Return what is wrong now, by what it is about."""
        found = {one.key: one for part in self._parts for one in part.alerts()}
        if self._events.trouble is not None:
            text = self._events.trouble
            found["events"] = Alert("events", text, grade=text, level=logging.ERROR)
        return found

    def warnings(self) -> list[str]:
        """Return what is wrong now, as the status shows it."""
        return [one.text for one in self.now().values() if one.shown]

    async def watch(self) -> None:
        """Look again and again; never return."""
        while True:
            self.report()
            await asyncio.sleep(LOOK_EVERY)

    def report(self) -> None:
        """Tell what has begun, got another grade or ended since the last time."""
        before, self._reported = self._reported, self.now()
        for key, one in self._reported.items():
            known = before.get(key)
            if known is None or known.grade != one.grade:
                self._emit(one, one.event_text, one.level, one.data)
        for key in before.keys() - self._reported.keys():
            if before[key].still_there():
                ended = before[key]
                self._emit(ended, ended.resolved, logging.INFO, ended.resolved_data)

    def _emit(self, one: Alert, text: str, level: int, data: Mapping[str, Any]) -> None:
        if not text:
            return
        host = one.hosts[0] if len(one.hosts) == 1 else None
        zone = one.pool[0] if one.pool is not None else host[0] if host is not None else one.zone
        self._events.tell(
            one.kind,
            text,
            level=level,
            zone=zone,
            host=None if host is None else host[1],
            pool=None if one.pool is None else one.pool[1],
            data=data,
        )
