"""The duties of every worker process, whatever its transport: follow the Table, report counts, end."""

import gc
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from geodns.responder.rate_limit import Cells
from geodns.responder.route_table import RouteNews
from geodns.responder.table import Nodes, Table
from geodns.responder.table_changes import TableDelta, TableReplica, outdated
from geodns.responder.worker_state import WorkerState
from geodns.serve.frames import (
    CountsReport,
    Message,
    QueryLogBatch,
    Stream,
    TableApplied,
    WorkerHeartbeat,
    pack_message,
    unpack_change,
)

log = logging.getLogger(__name__)

BUDGET = 0.001
"""Seconds that queries wait for a change at most, but for the time of its last slice."""

REPORT = 1.0
"""Seconds between two reports of counts."""

PULSE = 0.2
"""Seconds within which a worker sees that it shall end."""

HEARTBEAT = 5.0
"""Seconds of silence after which a worker says that it lives."""

SEEN_AGAIN = 3600.0
"""Seconds after which a name that is asked for is reported again."""

LAST_WORDS = 1.0
"""Seconds that an ending worker tries to hand in its counts."""

LEAVE = signal.SIGUSR1
"""Tells a worker that another one has taken its place: it answers its clients out, and may take its time.
SIGTERM tells it that the server ends."""

AGAIN = -1
"""A generation that no word shows: there is more to take."""


class TableFollower:
    """A worker's link to the supervisor: the Table that comes down, acks and counts that go up.

    Attributes:
        name: of the worker.
        behind: whether part of a change, or of the stream, is still to be taken.
        word: generation word; when it has moved since `catch_up`, there is something to take.
        ending: set by SIGTERM and `LEAVE`.
        on_news: called with what control tells between two Tables.

    """

    def __init__(
        self,
        name: str,
        transport: str,
        stream: Stream,
        word: memoryview,
        born: tuple[Table, int],
        supervisor: int,
        cells: Cells | None = None,
    ) -> None:
        """Begin with the Table that came with the fork, and acknowledge it.

        Args:
            name: of the worker.
            transport: ``udp``, ``tcp`` or ``routes``.
            stream: to the supervisor.
            word: shared memory, see above.
            born: the Table that came with the fork, and its number.
            supervisor: its pid.
            cells: shared memory in which all workers together limit answers.

        """
        self.table, number = born
        self.state = WorkerState(random.Random(), cells)  # noqa: S311 - spreads the places in rotations, keeps no secret
        self.state.epoch = time.time() - time.monotonic()
        self.stream = stream
        self.word = word
        self.behind = False
        self.ending = False
        self.on_news: Callable[[RouteNews], None] = lambda _: None
        self.name = name
        self._due = 0.0
        self._said = 0.0
        self._anew = time.monotonic() + SEEN_AGAIN
        self._transport = transport
        self._replica = TableReplica(self.table)
        self._open = False
        self._outdated: list[Nodes] = []
        self._going = False
        self._supervisor = supervisor
        self.tell(TableApplied(name, number))

    def catch_up(self, budget: float = BUDGET) -> int:
        """Take the changes that have come.

        Args:
            budget: seconds after which no further slice is taken; one is taken in any case.

        Returns:
            The generation up to which everything is taken; `AGAIN` when there is more to take now.

        Raises:
            SystemExit: the supervisor is gone.

        """
        seen: int = self.word[0]
        end = time.monotonic() + budget
        while True:
            payload = self.stream.take()
            if payload is None:
                if self.stream.fill():
                    continue
                if self.stream.ended:
                    raise SystemExit(0)
                if not self._outdated:
                    self.behind = self._open or self.stream.partial
                    return seen
                if not self._outdated[-1].free():
                    self._outdated.pop()
            else:
                self._take(unpack_change(payload))
            if time.monotonic() >= end:
                self.behind = True
                return AGAIN

    def _take(self, change: TableDelta | RouteNews) -> None:
        if isinstance(change, RouteNews):
            self.on_news(change)
            return
        number = self._replica.take(change)
        self._open = number is None
        if number is not None:
            self._outdated += outdated(self.table, self._replica.table)
            self.table = self._replica.table
            if self._going:
                self.ask_to_go()
            self.tell(TableApplied(self.name, number))

    def ask_to_go(self) -> None:
        """Tell clients that ask how long a connection may be idle: no longer (RFC 7828 section 3.4)."""
        self._going = True
        self.table = replace(self.table, policy=replace(self.table.policy, idle=0.0))

    def pulse(self, now: float) -> float:
        """Do the periodic duties, between queries: end, or report counts.

        Args:
            now: seconds of `time.monotonic`.

        Returns:
            When to call it again at the latest.

        Raises:
            SystemExit: the worker shall end, or the supervisor is gone.

        """
        if self.ending or os.getppid() != self._supervisor:
            raise SystemExit(0)
        self._log()
        if now >= self._due:
            self._due = now + REPORT
            self.state.epoch = time.time() - now
            if now >= self._anew:
                self._anew = now + SEEN_AGAIN
                self.state.start_anew()
            if self.stream.backlog:  # while the supervisor does not read, counts add up here
                self.stream.flush()
            else:
                self._count()
                if now - self._said >= HEARTBEAT:
                    self.tell(WorkerHeartbeat(self.name))
        return now + PULSE

    def finish(self) -> None:
        """Hand in the last counts."""
        self._log()
        self._count()
        end = time.monotonic() + LAST_WORDS
        while self.stream.backlog and time.monotonic() < end:
            time.sleep(0.01)
            self.stream.flush()

    def _count(self) -> None:
        counts = self.state.take_counts()
        if counts:
            self.tell(CountsReport(self.name, self._transport, counts))

    def _log(self) -> None:
        """Hand on the query log's notes; while the supervisor takes none, the recorder fills and drops."""
        recorder = self.state.recorder
        if recorder is not None and not self.stream.backlog:
            noted, dropped = recorder.take()
            if noted:
                self.tell(QueryLogBatch(self.name, noted, dropped))

    def tell(self, message: Message) -> None:
        """Send control a message."""
        self._said = time.monotonic()
        self.stream.put(pack_message(message))


def work(follower: TableFollower, serve: Callable[[], None]) -> int:
    """Serve until SIGTERM, `LEAVE` or the supervisor's end; `serve` raises SystemExit then."""

    def end(_number: int, _frame: FrameType | None) -> None:
        follower.ending = True

    for number in (signal.SIGTERM, LEAVE):
        signal.signal(number, end)
    gc.enable()
    gc.freeze()  # what was inherited is never garbage
    try:
        serve()
    except SystemExit:
        log.debug("worker ends")
    follower.finish()
    return 0
