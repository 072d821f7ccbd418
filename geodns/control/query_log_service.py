"""The query log where operators are: switched on and off while running, and written."""

import logging
import time
from collections.abc import Sequence

from geodns.control.query_log_text import describe
from geodns.responder.answer_policy import QueryLog
from geodns.responder.query_log import Noted
from geodns.storage.event_log import EventLog
from geodns.wire.names import name_from_wire

log = logging.getLogger("geodns.querylog")

MOST = 2_500
"""Lines a second, from all workers together: each costs what a probe's turn might need."""


class QueryLogService:
    """Which queries are logged, and their lines.

    Attributes:
        wanted: which queries are logged now; None: none.
        written: lines since it was switched on.
        dropped: lines that there were too many of.

    """

    def __init__(self, wanted: QueryLog | None, events: EventLog) -> None:
        self.wanted = wanted
        self.written = 0
        self.dropped = 0
        self._events = events
        self._second = float("-inf")
        self._room = MOST

    def write(
        self, noted: Sequence[Noted], dropped: int, secrets: Sequence[bytes], now: float
    ) -> tuple[int, int]:
        """Write what a worker has noted; return how many lines that were, and how many there are not.

        Args:
            noted: the queries.
            dropped: how many more there would have been.
            secrets: by which cookies are judged.
            now: seconds of the monotonic clock.

        """
        if now >= self._second + 1:
            self._second, self._room = now, MOST
        taken = noted[: self._room]
        self._room -= len(taken)
        dropped += len(noted) - len(taken)
        for one in taken:
            text, fields = describe(one, secrets)
            record = log.makeRecord(
                log.name, logging.INFO, __file__, 0, "%s", (text,), None, extra=dict(fields)
            )
            # The time when it was asked, not when it was written.
            record.created, record.msecs = one.at, one.at % 1 * 1000
            log.handle(record)
        self.written += len(taken)
        self.dropped += dropped
        return len(taken), dropped

    def expired(self, now: float) -> bool:
        """Switch off what is over; say whether anything was.

        Args:
            now: seconds of the monotonic clock.

        """
        if self.wanted is None or self.wanted.until is None or now < self.wanted.until:
            return False
        self.wanted = None
        self._tell(f"the query log is off: its time is over ({self._sums()})")
        return True

    def switch(self, wanted: QueryLog | None, who: str) -> None:
        """Note that other queries are to be logged from now on, and tell who said so."""
        if wanted is None and self.wanted is not None:
            self._tell(f"the query log is off, by {who} ({self._sums()})")
        elif wanted is not None:
            self._tell(f"the query log is on, by {who}: {_told(wanted)}")
            self.written = self.dropped = 0
        self.wanted = wanted

    def _tell(self, text: str) -> None:
        self._events.tell("forced", text, level=logging.INFO, data={"verb": "querylog"})

    def _sums(self) -> str:
        return f"{self.written} queries written, {self.dropped} dropped"


def _told(wanted: QueryLog) -> str:
    """Say which queries are logged."""
    zones = ", ".join(name_from_wire(name).removesuffix(".") for name in wanted.zones) or "all zones"
    clients = ", ".join(map(str, wanted.clients)) or "all clients"
    left = "no end" if wanted.until is None else f"for {wanted.until - time.monotonic():.0f} s"
    return f"{zones}, {clients}, {100 * wanted.sample:g}% of the queries, {left}"
