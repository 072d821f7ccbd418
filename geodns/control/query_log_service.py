"""Switches the query log on and off while running, and writes its lines."""

import logging
import time
from collections.abc import Sequence

from geodns.control.query_log_text import describe
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import Noted
from geodns.storage.event_log import EventLog
from geodns.wire.names import name_from_wire

log = logging.getLogger("geodns.querylog")

MAX_LINES = 2_500
"""Lines a second, of all workers together: writing them takes time from probes and orders."""


class QueryLogService:
    """The query log of all workers.

    Attributes:
        wanted: queries to log; None: none.
        written: lines since it was switched on.
        dropped: queries without a line, because there were too many.

    """

    def __init__(self, wanted: QueryLog | None, events: EventLog) -> None:
        self.wanted = wanted
        self.written = 0
        self.dropped = 0
        self._events = events
        self._second = float("-inf")
        self._room = MAX_LINES

    def write(
        self, noted: Sequence[Noted], dropped: int, secrets: Sequence[bytes], now: float
    ) -> tuple[int, int]:
        """Write the lines of a worker's queries; return how many were written and how many dropped.

        Args:
            noted: the queries.
            dropped: how many the worker has dropped.
            secrets: to judge cookies by.
            now: seconds of the monotonic clock.

        """
        if now >= self._second + 1:
            self._second, self._room = now, MAX_LINES
        taken = noted[: self._room]
        self._room -= len(taken)
        dropped += len(noted) - len(taken)
        for one in taken:
            text, fields = describe(one, secrets)
            record = log.makeRecord(
                log.name, logging.INFO, __file__, 0, "%s", (text,), None, extra=dict(fields)
            )
            # The time of the query, not of the line.
            record.created, record.msecs = one.at, one.at % 1 * 1000
            log.handle(record)
        self.written += len(taken)
        self.dropped += dropped
        return len(taken), dropped

    def end_expired(self, now: float) -> bool:
        """Switch it off if its time is over (by the monotonic clock); return whether it was."""
        if self.wanted is None or self.wanted.until is None or now < self.wanted.until:
            return False
        self.wanted = None
        self._report(f"the query log is off: its time is over ({self._sums()})")
        return True

    def switch(self, wanted: QueryLog | None, who: str) -> None:
        """Log other queries from now on; None: none."""
        if wanted is None and self.wanted is not None:
            self._report(f"the query log is off, by {who} ({self._sums()})")
        elif wanted is not None:
            self._report(f"the query log is on, by {who}: {_describe(wanted)}")
            self.written = self.dropped = 0
        self.wanted = wanted

    def _report(self, text: str) -> None:
        self._events.tell("forced", text, level=logging.INFO, data={"verb": "querylog"})

    def _sums(self) -> str:
        return f"{self.written} queries written, {self.dropped} dropped"


def _describe(wanted: QueryLog) -> str:
    zones = ", ".join(name_from_wire(name).removesuffix(".") for name in wanted.zones) or "all zones"
    clients = ", ".join(map(str, wanted.clients)) or "all clients"
    left = "no end" if wanted.until is None else f"for {wanted.until - time.monotonic():.0f} s"
    return f"{zones}, {clients}, {100 * wanted.sample:g}% of the queries, {left}"
