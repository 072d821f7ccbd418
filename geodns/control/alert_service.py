"""Alerts: conditions that last; an event when one begins, worsens or ends.

Each service lists its own (`alerts`). `Alerts` puts them together, for the status and for events.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from geodns.model.state import HostKey, PoolKey
from geodns.storage.event_log import EventLog

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds."""


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that an operator should know for as long as it lasts.

    Attributes:
        key: identifies the alert from one look to the next.
        text: for the status.
        kind: of its events, one of `event_log.KINDS`.
        event: text of the event that begins it; None: `text`; empty: none, another part reports it.
        resolved: text of the event that ends it; empty: none.
        still_there: asked at the end: what has left the zone has not got better, so there is no event.
        grade: an alert whose grade changes is an event again.
        level: of the event that begins it, in the log.
        zone: that it is about; likewise `pool` and `hosts`. An event names a host only if there is just one.
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
        return self.text if self.event is None else self.event


class Alerting(Protocol):
    """A part of the server that has alerts."""

    def alerts(self) -> Iterable[Alert]: ...


class Alerts:
    """All alerts, in the order of the parts, and the events of their changes."""

    def __init__(self, events: EventLog, parts: Iterable[Alerting]) -> None:
        self._events = events
        self._last: dict[Alerting, tuple[Alert, ...]] = dict.fromkeys(parts, ())
        self._failing: set[Alerting] = set()
        self._reported: Mapping[Hashable, Alert] = {}

    def now(self) -> dict[Hashable, Alert]:
        found = {one.key: one for part in self._last for one in self._alerts_of(part)}
        if self._events.trouble is not None:
            text = self._events.trouble
            found["events"] = Alert("events", text, grade=text, level=logging.ERROR)
        return found

    def _alerts_of(self, part: Alerting) -> tuple[Alert, ...]:
        """Return a part's alerts, or its last ones while a fault of ours keeps it from saying."""
        try:
            self._last[part] = tuple(part.alerts())
        except Exception:
            if part not in self._failing:
                log.exception("the alerts of %s are those of a moment ago", type(part).__name__)
            self._failing.add(part)
        else:
            self._failing.discard(part)
        return self._last[part]

    def warnings(self) -> list[str]:
        return [one.text for one in self.now().values() if one.shown]

    async def watch(self) -> None:
        """Report for ever; what begins and ends between two looks is no event."""
        while True:
            self.report()
            await asyncio.sleep(LOOK_EVERY)

    def report(self) -> None:
        """Make an event of each alert that has begun, changed its grade or ended since the last call."""
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
