"""Tells events to the log, to the clients that follow, and to the file of events.

Only what says so waits for the disk, and no trouble with the disk stops anything.
"""

import asyncio
import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from geodns.errors import StoreError, printable
from geodns.storage.event_file import PRUNE_EVERY, Event, EventFile, EventFilter

log = logging.getLogger(__name__)

KINDS = (
    "state",
    "forced",
    "reload",
    "refused",
    "prober",
    "worker",
    "server",
    "load",
    "source",
    "certificate",
    "waiting",
    "warmup",
    "watch",
    "reputation",
    "views",
    "experiment",
    "peer",
)
"""Host states; orders and their ends; edits; files with errors; trouble of the prober's own; processes that
die and come back; start and stop; load; hosts from sources; certificates; edits that wait; warm-ups; the
watchdog; block lists and rules of reputation; rules by hours that begin or end; epochs of experiments; other
name servers that are away or differ."""

IN_MEMORY = 1_000
"""Events in memory, whatever the disk does."""
UNWRITTEN = 10_000
"""Events that may wait for the disk; beyond that the oldest are lost."""
WRITE_EVERY = 0.5
"""Seconds from one write to the next."""
MAX_TEXT = 2_000
"""Characters of an event's line."""


class EventLog:
    """The events of this server.

    `tell` may be called from any thread, and before `open`; everything else is for the one loop.

    Attributes:
        trouble: why events are not on disk; None while they are.
        ending: whether the clients that follow must go.

    """

    def __init__(self, directory: Path) -> None:
        self.trouble: str | None = None
        self.ending = False
        self._directory = directory
        self._file: EventFile | None = None
        self._memory: deque[Event] = deque()
        """The last ones, all that are not written yet among them."""
        self._forgotten = 0
        """The id of the last event that has left memory."""
        self._last = 0
        self._written = 0
        self._since_pruned = PRUNE_EVERY
        self._turn = threading.Lock()
        self._disk = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # --- telling ----------------------------------------------------------------------------------------

    def tell(
        self,
        kind: str,
        text: str,
        *,
        level: int = logging.WARNING,
        zone: str | None = None,
        host: str | None = None,
        pool: str | None = None,
        author: str | None = None,
        reason: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Make an event, and write it to the log; does not block.

        Args:
            kind: one of `KINDS`.
            text: one line, for the log too.
            level: of the line in the log.
            zone: what it is about.
            host: likewise, by its short name.
            pool: likewise.
            author: who ordered it.
            reason: the author's words, or a host's.
            data: more, small and as JSON has it; fields of the line where the log is JSON.

        """
        about = {"zone": zone, "host": host, "pool": pool, "author": author, "reason": reason}
        fields = {name: value for name, value in about.items() if value is not None} | dict(data or {})
        log.log(level, "%s", text, extra=fields)
        now = time.time()
        text, reason = _line(text), None if reason is None else _line(reason)
        with self._turn:
            # Microseconds, where the clock has not gone back: no id is given twice, even if a process was
            # killed before it could write its last events.
            self._last = max(self._last + 1, int(now * 1_000_000))
            event = Event(self._last, now, kind, zone, host, pool, author, reason, text, dict(data or {}))
            self._memory.append(event)
            self._trim()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ring)
        return event

    def _trim(self) -> None:
        while len(self._memory) > IN_MEMORY and (
            self._memory[0].id <= self._written or len(self._memory) > UNWRITTEN
        ):
            self._forgotten = self._memory.popleft().id

    def _ring(self) -> None:
        """Wake all that `wait`."""
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()

    # --- the disk ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to write events, and find those of before a restart; a disk that fails is no error here."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.write)
        self._task = asyncio.create_task(self._keep(), name="events to the disk")

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY)
            if self._written < self._last or self.trouble is not None:
                await asyncio.to_thread(self.write)

    async def close(self) -> None:
        """Write what is left, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._loop = None
        await asyncio.to_thread(self.write)
        if self.trouble is not None:
            log.error("%s", self.trouble)
        if self._file is not None:
            self._file.close()

    def write(self) -> None:
        """Write what is not on disk yet; blocks. After a failure the next call tries again."""
        with self._disk:
            try:
                file = self._opened()
                with self._turn:
                    waiting = [one for one in self._memory if one.id > self._written]
                if waiting:
                    file.append(waiting)
                    self._since_pruned += len(waiting)
                    self._written = waiting[-1].id
                    if self._since_pruned >= PRUNE_EVERY:
                        file.prune(waiting[-1].at)
                        self._since_pruned = 0
            except StoreError as error:
                self.trouble = f"{error}: what happens now is not in the events after a restart"
            else:
                self.trouble = None

    def _opened(self) -> EventFile:
        if self._file is None:
            file, warnings = EventFile.open(self._directory, time.time())
            for warning in warnings:
                log.warning("%s", warning)
            last = file.last_id()
            with self._turn:
                self._last = max(self._last, last)
                self._forgotten = max(self._forgotten, last)
            self._file = file
        return self._file

    # --- reading ----------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The id of the last event."""
        return self._last

    async def after(self, position: int, limit: int, wanted: EventFilter) -> list[Event]:
        """Return the first events after an id, oldest first."""
        found = self._remembered(position, wanted)
        if position < self._forgotten and self._file is not None:
            kept = await asyncio.to_thread(self._look, lambda file: file.after(position, limit, wanted))
            found = _joined(kept, found)
        return found[:limit]

    async def newest(self, limit: int, wanted: EventFilter) -> list[Event]:
        """Return the last events, oldest first."""
        found = self._remembered(0, wanted)
        if len(found) < limit and self._file is not None:
            kept = await asyncio.to_thread(self._look, lambda file: file.newest(limit, wanted))
            found = _joined(kept, found)
        return found[-limit:]

    def _remembered(self, position: int, wanted: EventFilter) -> list[Event]:
        """Return events in memory after an id; searched from the end, for most readers want the last few."""
        with self._turn:
            late = list(itertools.takewhile(lambda one: one.id > position, reversed(self._memory)))
        return [one for one in reversed(late) if wanted.fits(one)]

    def _look(self, look: Callable[[EventFile], list[Event]]) -> list[Event]:
        """Read the file; where that fails, its events are left out."""
        try:
            return [] if self._file is None else look(self._file)
        except StoreError as error:
            log.warning("the events before are not shown: %s", error)
            return []

    async def wait(self, position: int, timeout: float) -> None:  # noqa: ASYNC109 - it is no error
        """Wait until there is an event after an id, the log ends, or seconds have passed."""
        bell = self._bell
        if self._last > position or self.ending:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await bell.wait()

    def end(self) -> None:
        """Let the clients that follow go, once they have all events."""
        self.ending = True
        self._ring()


def _line(text: str) -> str:
    """Return a text as a line: what hosts say may have any length, and escape codes for terminals."""
    return printable(text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…")


def _joined(kept: Iterable[Event], remembered: Iterable[Event]) -> list[Event]:
    return sorted({one.id: one for one in (*kept, *remembered)}.values(), key=lambda one: one.id)
