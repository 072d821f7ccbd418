"""Takes signals of what became of mail, keeps them in signals.db, and says what is known of each host's mail.

Reading and writing have threads of their own, for orders and probes must not wait for them. A batch is
acknowledged once it is on disk. The last month is in memory too (`signals.mail_window`), since rules ask for
it again and again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.figures_service import FiguresService
from geodns.control.metrics import Metrics
from geodns.control.signal_figures import Figures, MailStep, ZoneFigures, figures_of, steps_of
from geodns.control.signal_intake import (
    PER_HOST,
    Batch,
    HostIndex,
    Judged,
    ProviderPlaces,
    judge,
)
from geodns.control.signal_sharing import BusyError, SignalSharing
from geodns.control.wall_clock import WallClock, since_boot
from geodns.errors import Problem, StoreError, printable
from geodns.model.mail import About, MailKey, MailTally
from geodns.model.state import HostKey
from geodns.signals.mail_window import (
    FIVE,
    HOUR,
    KEPT,
    STEPS,
    HourOfMail,
    MailWindow,
    Mark,
    begin_of,
)
from geodns.signals.replies import Replies
from geodns.signals.reply_shapes import Shapes
from geodns.signals.text_rules import TextRules
from geodns.storage.event_log import EventLog
from geodns.storage.signal_file import MAX_AT, SignalChange, SignalFile, Taken
from geodns.storage.sqlite_errors import DamagedError

log = logging.getLogger(__name__)

UNDER_WAY = 32
"""Batches that may come in or wait for the disk at once; clients of others are told to come again."""
TEND_EVERY = 60.0
"""Seconds from one look at what is too old to the next."""
TRY_EVERY = 2.0
"""Seconds from one try to the next while the file cannot be written."""

T = TypeVar("T")
OnReport = Callable[[frozenset[HostKey], frozenset[HostKey]], None]
"""Called with the hosts that a batch speaks of, and with those of which it counts first attempts."""


class SignalService:
    """The signals of all hosts; it is a `MailCounts`.

    Args:
        replies: says whom a reply speaks of.
        problems: of the operator's own patterns of replies, which are left out then.

    Attributes:
        trouble: why signals cannot be kept; None: they can.
        size: bytes of the file.
        recent: what `figures` said a moment ago.

    """

    def __init__(
        self,
        directory: Path,
        cluster: Cluster,
        events: EventLog,
        metrics: Metrics,
        clock: WallClock,
        replies: Replies,
        problems: Sequence[Problem] = (),
    ) -> None:
        self.trouble: str | None = None
        self.size = 0
        self._directory = directory
        self._cluster = cluster
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self._replies = replies
        self._problems = problems
        self._window = MailWindow()
        self._heard: dict[HostKey, float] = {}
        """By the clock that nobody sets."""
        self._places = ProviderPlaces()
        """Of the thread that takes batches."""
        self._subscribers: list[OnReport] = []
        self._full: list[HostKey] = []
        self._shapes = Shapes()
        self._index: tuple[object, HostIndex, TextRules] | None = None
        self._file: SignalFile | None = None
        self._desk = ThreadPoolExecutor(1, "signals")
        self._reader = ThreadPoolExecutor(1, "signal-figures")
        self.recent: FiguresService[ZoneFigures] = FiguresService(self.figures)
        self._under_way = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sharing: SignalSharing | None = None

    def alerts(self) -> Iterator[Alert]:
        if self.trouble is not None:
            yield Alert("signals", self.trouble, grade=self.trouble, level=logging.ERROR)
        if self._problems:
            more = f" and {len(self._problems) - 1} more" if len(self._problems) > 1 else ""
            text = f"{self._problems[0]}{more}: no pattern of the file is used"
            yield Alert("reply patterns", text, grade=text)
        if self._full:
            full = [f"{host}.{zone}" for zone, host in self._full]
            more = f" and {len(full) - 3} more" if len(full) > 3 else ""
            text = (
                f"mail signals name more than {PER_HOST} providers a day for {', '.join(full[:3])}{more}: "
                "the rarer ones count as other"
            )
            yield Alert("signal providers", text, grade="".join(full[:3]))

    def subscribe(self, on_report: OnReport) -> None:
        """Have a function called after each batch; see `OnReport`."""
        self._subscribers.append(on_report)

    # --- taking -----------------------------------------------------------------------------------------

    @contextmanager
    def room(self) -> Iterator[None]:
        """Hold a place for a batch that comes in and is taken; raise BusyError where none can be taken."""
        self._clock.look()
        if not self._clock.steady:
            # Signals would be taken for old or for ones of the future, and rejected for good.
            raise BusyError("this server's clock was set a moment ago: send the batch again in a minute")
        if not self._cluster.sources:
            raise BusyError("no zone is served yet, so no host is known: send the batch again in a moment")
        if self._under_way >= UNDER_WAY:
            raise BusyError(f"{UNDER_WAY} batches are under way: send the batch again in a moment")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def take(self, read: Callable[[], Batch]) -> tuple[Taken, tuple[str, ...]]:
        """Take a batch, once; return what became of it, and what is said to be alive and not known.

        Args:
            read: reads what a client has sent, in a thread.

        Raises:
            StoreError: it could not be kept, and counts nowhere.
            UsageError: of `read`.

        """
        loop = self._loop = asyncio.get_running_loop()
        now = time.time()
        work: asyncio.Future[tuple[Taken, tuple[str, ...]]]
        if self._sharing is None:
            work = loop.run_in_executor(self._desk, self._take, read, *self._known(), loop, now)
        else:
            work = loop.create_task(self._sharing.take(read, now))
        return await asyncio.shield(work)  # whoever goes away meanwhile has sent it all the same

    async def keep(self, batch: Batch, now: float) -> tuple[Taken, tuple[str, ...]]:
        """Take a batch whose claim is ours."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._desk, self._take, lambda: batch, *self._known(), loop, now)

    # --- several servers --------------------------------------------------------------------------------

    def share_by(self, sharing: SignalSharing) -> None:
        """Have batches claimed, and what they come to told to the other servers."""
        self._sharing = sharing

    async def at_desk(self, work: Callable[[], T]) -> T:
        """Do something in the thread that takes batches."""
        return await asyncio.get_running_loop().run_in_executor(self._desk, work)

    async def with_file(self, work: Callable[[SignalFile], T]) -> T:
        """Do something with the file, in the thread that takes batches; raise StoreError if that fails."""
        loop = self._loop = asyncio.get_running_loop()
        now = time.time()

        def with_file() -> T:
            with self._disk(now) as file:
                return work(file)

        return await loop.run_in_executor(self._desk, with_file)

    @property
    def steady(self) -> bool:
        """Whether the clock can be believed."""
        return self._clock.steady

    def add(self, changes: Iterable[SignalChange]) -> None:
        """Count what other servers have counted; it is on disk."""
        for one in changes:
            if one.at + one.step > time.time() - KEPT[one.step]:
                self._window.add(one.host, one.step, one.at, one.counts)

    def add_marks(self, at: int, marks: Mapping[HostKey, Mapping[Mark, int]]) -> None:
        """Count refusals whose text a rule looks for, that other servers were told of."""
        for host, some in marks.items():
            self._window.mark(host, at, some)

    def hear(self, heard: Mapping[HostKey, float]) -> None:
        """Take when other servers heard of hosts, in seconds since the epoch."""
        now, back = time.time(), time.time() - since_boot()
        for host, at in heard.items():
            self._heard[host] = max(min(at, now) - back, self._heard.get(host, float("-inf")))

    def _known(self) -> tuple[HostIndex, TextRules]:
        sources = self._cluster.sources
        if self._index is None or self._index[0] is not sources:
            zones = self._cluster.zones
            self._index = sources, HostIndex(zones), TextRules(zones)
        return self._index[1:]

    def _take(
        self,
        read: Callable[[], Batch],
        hosts: HostIndex,
        texts: TextRules,
        loop: asyncio.AbstractEventLoop,
        now: float,
    ) -> tuple[Taken, tuple[str, ...]]:
        """Read, judge and keep a batch; in the thread for that."""
        batch = read()
        if not batch.signals and not batch.rejected:  # a heartbeat: nothing could count twice
            judged = judge(batch, hosts, texts, self._places, self._about, now)
            taken = Taken(0)
        else:
            with self._disk(now) as file:
                known = file.taken(batch.id)
                if known is not None:
                    loop.call_soon_threadsafe(self._metrics.count_signal_batch, "duplicate")
                    return known, ()
                judged = judge(batch, hosts, texts, self._places, self._about, now)
                taken = Taken(judged.accepted, judged.rejected)
                file.take(batch.id, taken, judged.fives, now)
        for text, number in judged.unknown.items():
            self._shapes.add(printable(text), number)
        loop.call_soon_threadsafe(self._took, taken, judged, self._places.full(now))
        return taken, judged.strangers

    def _about(self, code: int, enhanced: str, text: str, provider: str) -> About:
        return self._replies.classify(code, enhanced, text, provider).about

    def _took(self, taken: Taken, judged: Judged, full: list[HostKey]) -> None:
        """Count a batch in memory, on the loop."""
        for (host, at), five in judged.fives.items():
            self._count(host, at, five.counts)
        for (host, at), marks in judged.marked.items():
            self._window.mark(host, at, marks)
        self._heard.update(dict.fromkeys(judged.hosts, since_boot()))
        self._full = full
        counted = frozenset(
            host for (host, _), five in judged.fives.items() if any(kind.first for _, _, kind in five.counts)
        )
        for on_report in self._subscribers:
            on_report(judged.hosts, counted)
        if self._sharing is not None:
            self._sharing.counted(judged)
        if taken.accepted or taken.rejected:
            self._metrics.count_signal_batch("taken")
            self._metrics.count_signals(judged.fives, len(taken.rejected))

    def _count(self, host: HostKey, at: int, counts: Mapping[MailKey, int]) -> None:
        now = time.time()
        for step in STEPS:
            begin = begin_of(step, at)
            if begin + step > now - KEPT[step]:
                self._window.add(host, step, begin, counts)

    # --- the disk ---------------------------------------------------------------------------------------

    @contextmanager
    def _disk(self, now: float) -> Iterator[SignalFile]:
        """Open the file for a block in the thread that takes batches, and note what is wrong with it."""
        try:
            if self._file is None:
                self._file = self._opened(now)
            yield self._file
        except StoreError as error:
            self.trouble = f"signals of mail are refused: {error}"
            if isinstance(error, DamagedError) and self._file is not None:
                self._file.close()
                self._file = None  # opened again, it is set aside
            raise
        self.trouble = None

    def _opened(self, now: float) -> SignalFile:
        file, warnings = SignalFile.open(self._directory, now)
        for warning in warnings:
            self._events.tell("watch", warning)
        window, last = MailWindow(), file.heard()
        for step, kept in KEPT.items():
            for host, at, counts in file.all_counts(step, now - kept - step, MAX_AT):
                window.add(host, step, at, counts)
                if step == FIVE:  # a kill loses when hosts were heard of last, but no count
                    last[host] = max(float(at + FIVE), last.get(host, 0.0))
                if step == HOUR:
                    self._places.note(host, {provider for _, provider, _ in counts}, at)
        back = time.time() - since_boot()
        heard = {host: min(at, now) - back for host, at in last.items()}
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._restored, window, heard)
        self.size = file.size()
        return file

    def _restored(self, window: MailWindow, heard: Mapping[HostKey, float]) -> None:
        # Batches after it come by the same way, so nothing is in it that was counted here.
        self._window = window
        self._heard = {**heard, **self._heard}

    async def begin(self, seconds: float) -> None:
        """Read what is kept, so that nobody goes by counts that are not there yet; wait so long at most."""
        self._loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._tended(time.time(), prune=False)), seconds)

    async def watch(self) -> None:
        """Drop for ever what is too old; open the file again where that failed."""
        self._loop = asyncio.get_running_loop()
        due = float("-inf")
        while True:
            if self.trouble is not None or since_boot() >= due:
                due = since_boot() + TEND_EVERY
                self._clock.look()
                now, steady = time.time(), self._clock.steady
                await self._tended(now, prune=steady)
                if steady:
                    self._window.prune(now)
            await asyncio.sleep(TRY_EVERY)

    async def _tended(self, now: float, *, prune: bool) -> None:
        heard = {host: self.heard(host) for host in list(self._heard)}
        known = {host: at for host, at in heard.items() if at is not None}
        with suppress(StoreError):  # it is an alert
            await asyncio.get_running_loop().run_in_executor(self._desk, self._tend, known, now, prune)

    def _tend(self, heard: Mapping[HostKey, float], now: float, prune: bool) -> None:
        with self._disk(now) as file:
            file.save_heard(heard)
            if prune:  # not by a clock that was just set: what is kept may not be old at all
                file.prune(now)
            self.size = file.size()

    async def close(self) -> None:
        """Let what is being written be written, and end."""
        await self._tended(time.time(), prune=False)
        self.end()

    def end(self) -> None:
        """Let go of the file."""
        for pool in (self._desk, self._reader):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._file is not None:
            self._file.close()

    # --- what is known ----------------------------------------------------------------------------------

    def by_provider(self, host: HostKey, start: float, end: float) -> Mapping[str, MailTally]:
        return self._window.by_provider(host, start, end)

    def total(self, host: HostKey, start: float, end: float) -> MailTally:
        return self._window.total(host, start, end)

    def firsts(self, host: HostKey, start: float, end: float) -> dict[str, int]:
        """Return the first attempts to each provider, of those told late, too; times as for `total`."""
        return self._window.firsts(host, start, end)

    def hours(self, host: HostKey, now: float) -> list[HourOfMail]:
        """Return the last 24 hours of the clock, the one of now last."""
        return self._window.hours(host, now)

    def heard(self, host: HostKey) -> float | None:
        at = self._heard.get(host)
        return None if at is None else time.time() - max(0.0, since_boot() - at)

    def unknown_replies(self) -> list[tuple[str, int]]:
        """Return the commonest shapes of replies that nobody understands, since the start."""
        return self._shapes.commonest()

    async def figures(self, zone: str, start: float, end: float) -> ZoneFigures:
        """Return what is known of a zone's mail, by host and provider, of what was told late, too.

        It reads the disk, in a thread of its own: up to 90 days. Times are taken in whole steps, as for
        `MailCounts`; delays in whole hours, or in days where it is more than two.

        Raises:
            StoreError: the file cannot be read.

        """
        read = partial(self._figures, zone, start, end)
        return await asyncio.get_running_loop().run_in_executor(self._reader, read)

    def _figures(self, zone: str, start: float, end: float) -> dict[str, dict[str, Figures]]:
        return {} if self._file is None else figures_of(self._file, zone, start, end, time.time())

    async def steps(
        self, zone: str, hosts: Collection[str], spans: Sequence[tuple[int, int, int]]
    ) -> list[MailStep]:
        """Read the mail of hosts by step, of what was told late, too; in a thread of its own.

        Args:
            zone: that the hosts are in.
            hosts: their names.
            spans: steps (of `COUNTS_KEPT`), and begin and end of several; in seconds since the epoch.

        Raises:
            StoreError: the file cannot be read, or not yet.

        """
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._steps, zone, hosts, spans)

    def _steps(
        self, zone: str, hosts: Collection[str], spans: Sequence[tuple[int, int, int]]
    ) -> list[MailStep]:
        if self._file is None:
            raise StoreError("signals of mail are not read yet")
        return steps_of(self._file, zone, hosts, spans)
