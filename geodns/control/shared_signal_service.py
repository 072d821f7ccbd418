"""Shares counts of mail with the other servers of a group: claims batches, tells own sums, takes others'.

Each server owns the sums of what it accepted, and what it tells is read from its own file. Others' sums are
kept there too, so that a server that dies does not take its counts along.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

from pydantic import JsonValue

from geodns.control.shared_view import CountsOfServer
from geodns.control.signal_intake import Batch, Judged
from geodns.control.signal_service import SignalService
from geodns.control.signal_sharing import AwayError
from geodns.errors import StoreError
from geodns.model.state import HostKey
from geodns.signals.mail_window import DAY, FIVE, Mark, begin_of
from geodns.storage.shared_link import Claim, LinkDownError, LinkState
from geodns.storage.shared_sums import (
    SHARED,
    Marks,
    bucket_of,
    ended,
    field_of,
    heard_field,
    heard_json,
    is_shared,
    read_heard,
    read_sums,
    step_of,
    steps_for,
    sums_json,
)
from geodns.storage.signal_file import SignalChange, SignalFile, Taken
from geodns.storage.signal_rows import Counts

log = logging.getLogger(__name__)

TELL_EVERY = 5.0
"""Seconds in which what is counted is told together."""
HEARD_EVERY = 60.0
"""Seconds from one telling of when hosts were heard, and looking for what is too old, to the next."""
TRY_EVERY = 2.0
AT_ONCE = 20
"""Fields of other servers that are taken at a time."""
MOST_WAITING = 200_000
"""Fields of other servers that wait for the disk."""

Slot = tuple[int, int]
"""A step, and its begin."""


class SumLink(Protocol):
    """The link to the group's store, as far as signals go over it."""

    @property
    def state(self) -> LinkState: ...
    async def claim_batch(self, batch: str) -> Claim: ...
    async def settle_batch(self, batch: str, accepted: int | None) -> None: ...


class _Found(NamedTuple):
    """What fields of other servers come to."""

    changes: list[SignalChange]
    marks: list[tuple[str, int, Mapping[HostKey, Marks]]]
    heard: dict[HostKey, float]


class SharedSignals:
    """The way of signals to the other servers and back.

    Args:
        signals: takes batches, and others' counts.
        link: to the group's store.
        node: this server's.
        publish: writes fields of own sums soon; returns False while they cannot have an epoch yet.

    Attributes:
        bad: fields of other servers that were skipped.

    """

    def __init__(
        self,
        signals: SignalService,
        link: SumLink,
        node: str,
        publish: Callable[[Mapping[str, JsonValue]], bool],
    ) -> None:
        self.bad = 0
        self._signals = signals
        self._link = link
        self._node = node
        self._publish = publish
        self._under_way: Counter[str] = Counter()
        self._open: dict[str, None] = {}
        """Claims of ours that are to be settled."""
        self._ended = asyncio.Event()
        """Set once there is one more."""
        self._due: dict[Slot, set[int] | None] = {}
        """Buckets to tell, by step; None: all."""
        self._since: float | None = None
        """Until when steps that ended were told; None: nothing was told since the start."""
        self._there: set[str] = set()
        """Fields of own sums in the store."""
        self._marks: dict[int, dict[HostKey, Counter[Mark]]] = {}
        """Own ones, by the begin of five minutes."""
        self._peer_marks: dict[tuple[str, int], dict[HostKey, Marks]] = {}
        """As others told them last, by node and begin."""
        self._heard: dict[HostKey, float] = {}
        self._heard_at = float("-inf")
        self._inbox: dict[tuple[str, str], JsonValue] = {}
        self._news = asyncio.Event()
        self._told: dict[str, float] = {}
        self._today: dict[str, Counter[int]] = {}
        """First attempts by node and day."""
        signals.share_by(self)

    async def run(self) -> None:
        """Tell, settle and take for ever."""
        await self._begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_for_ever())
            group.create_task(self._settle_for_ever())
            while True:
                await self._tell()
                await asyncio.sleep(TELL_EVERY)

    async def _begin(self) -> None:
        """Read what a start must know."""
        today = begin_of(DAY, time.time())

        def read(file: SignalFile) -> tuple[list[str], dict[str, list[Counts]]]:
            totals: dict[str, list[Counts]] = {self._node: list(_own((DAY, today), file).values())}
            for node, counts in file.peer_totals(DAY, today).items():
                totals[node] = list(counts.values())
            return file.claims(), totals

        while True:
            try:
                claims, totals = await self._signals.with_file(read)
            except StoreError:  # it is an alert
                await asyncio.sleep(TRY_EVERY)
                continue
            break
        self._open = {**dict.fromkeys(one for one in claims if not self._under_way[one]), **self._open}
        self._today.clear()  # batches that came meanwhile are on disk
        for node, counts in totals.items():
            for some in counts:
                self._count_today(node, today, some)

    def _count_today(self, node: str, day: int, counts: Counts) -> None:
        days = self._today.setdefault(node, Counter())
        days[day] += sum(number for (_, _, kind), number in counts.items() if kind.first)
        for old in [one for one in days if one < day - DAY]:
            del days[old]

    # --- taking a batch ---------------------------------------------------------------------------------

    async def take(self, read: Callable[[], Batch], now: float) -> tuple[Taken, tuple[str, ...]]:
        """Take a batch once in the whole group; see `SignalSharing`."""
        batch = await self._signals.at_desk(read)
        if not batch.signals and not batch.rejected:  # a heartbeat: nothing could count twice
            return await self._signals.keep(batch, now)
        with self._claiming(batch.id):
            known = await self._signals.with_file(partial(_note, batch.id, self._link.state.connected))
            if known is not None:
                return known, ()
            if not self._link.state.connected:
                raise AwayError(_away(self._link.state.why))
            try:
                claim = await self._link.claim_batch(batch.id)
            except LinkDownError as error:
                raise AwayError(_away(str(error))) from error
            if claim.accepted is not None:
                return Taken(claim.accepted, duplicate=True), ()
            if claim.node not in {"", self._node}:  # what cannot be read must not lose anything
                raise AwayError(f"{claim.node} is counting this batch: send it again in a moment")
            return await self._signals.keep(batch, now)

    @contextmanager
    def _claiming(self, batch: str) -> Iterator[None]:
        self._open.pop(batch, None)
        self._under_way[batch] += 1
        try:
            yield
        finally:
            self._under_way[batch] -= 1
            if not self._under_way[batch]:
                del self._under_way[batch]
                self._open[batch] = None
                self._ended.set()

    async def _settle_for_ever(self) -> None:
        while True:
            self._ended.clear()
            await self._settle()
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_EVERY):
                    await self._ended.wait()

    async def _settle(self) -> None:
        """Say of our claims that they are counted, or release them: so that the sender's retry counts."""
        for batch in tuple(self._open):
            if batch in self._under_way or not self._link.state.connected:
                continue
            self._open.pop(batch, None)
            try:
                known = await self._signals.with_file(lambda file: file.taken(batch))  # noqa: B023 - awaited
                await self._link.settle_batch(batch, None if known is None else known.accepted)
                await self._signals.with_file(lambda file: file.end_claim(batch))  # noqa: B023 - likewise
            except (LinkDownError, StoreError):
                self._open.setdefault(batch)
                return

    # --- telling ----------------------------------------------------------------------------------------

    def counted(self, judged: Judged) -> None:
        """Tell the others soon what has just been counted here."""
        now = time.time()
        for (host, at), five in judged.fives.items():
            for slot in steps_for(at, now):
                buckets = self._due.setdefault(slot, set())
                if buckets is not None:
                    buckets.add(bucket_of(host))
            self._count_today(self._node, begin_of(DAY, at), five.counts)
        for (host, at), marks in judged.marked.items():
            self._marks.setdefault(at, {}).setdefault(host, Counter()).update(marks)
        self._heard.update(dict.fromkeys(judged.hosts, now))

    async def _tell(self) -> None:
        """Tell what was counted, and what is over."""
        if not self._signals.steady or not self._publish({}):
            return
        now = time.time()
        fresh = _all(now) if self._since is None else ended(self._since, now)
        self._due.update(dict.fromkeys(fresh))
        self._since = now
        while self._due:
            slot, buckets = next(iter(self._due.items()))
            del self._due[slot]
            found = self._marks.get(slot[1], {}) if slot[0] == FIVE else {}
            marks = {host: dict(some) for host, some in found.items()}  # for another thread
            try:
                counts = await self._signals.with_file(partial(_own, slot))
                values = await self._signals.at_desk(partial(_values, slot, buckets, counts, marks))
            except StoreError:
                more = self._due.get(slot, set())
                self._due[slot] = None if buckets is None or more is None else buckets | more
                return
            self._there |= values.keys()
            self._publish(values)
        if not 0 <= now - self._heard_at < HEARD_EVERY:
            self._heard_at = now
            self._forget(now)
            by: dict[int, dict[HostKey, float]] = {}
            for host, at in self._heard.items():
                by.setdefault(bucket_of(host), {})[host] = at
            if by:
                self._publish({heard_field(bucket): heard_json(some) for bucket, some in by.items()})

    def _forget(self, now: float) -> None:
        """Take away what the longer steps tell."""
        gone = {field for field in self._there if (slot := step_of(field)) and not is_shared(*slot, now)}
        if gone:
            self._there -= gone
            self._publish(dict.fromkeys(gone))
        kept = now - SHARED[FIVE] - FIVE
        self._marks = {at: some for at, some in self._marks.items() if at > kept}
        self._peer_marks = {key: some for key, some in self._peer_marks.items() if key[1] > kept}
        self._heard = {host: at for host, at in self._heard.items() if at > now - DAY}

    # --- taking others' ---------------------------------------------------------------------------------

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        """Take sums that are in the store, soon."""
        if node == self._node:
            self._there |= changes.keys()
            return
        self._told[node] = time.time()
        for field, content in changes.items():
            if len(self._inbox) < MOST_WAITING or (node, field) in self._inbox:
                self._inbox[node, field] = content
        self._news.set()

    async def _take_for_ever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._inbox:
                some = [(key, self._inbox.pop(key)) for key in tuple(self._inbox)[:AT_ONCE]]
                try:
                    self._add(await self._signals.with_file(partial(self._read, some)))
                except StoreError:
                    self._inbox = {**dict(some), **self._inbox}
                    await asyncio.sleep(TRY_EVERY)

    def _read(
        self, fields: Iterable[tuple[tuple[str, str], JsonValue]], file: SignalFile
    ) -> list[tuple[str, _Found]]:
        """Keep what fields of other servers say; in the thread that takes batches."""
        now = time.time()
        found = []
        for (node, field), content in fields:
            changes: list[SignalChange] = []
            marks: list[tuple[str, int, Mapping[HostKey, Marks]]] = []
            heard: dict[HostKey, float] = {}
            try:
                if field.startswith("heard/"):
                    heard = read_heard(content)
                elif (sums := read_sums(field, content, now)) is not None:
                    changes = file.take_peer(node, sums.step, sums.at, sums.counts, now)
                    if sums.marks:
                        marks.append((node, sums.at, sums.marks))
            except ValueError:
                self.bad += 1
                continue
            found.append((node, _Found(changes, marks, heard)))
        return found

    def _add(self, found: Iterable[tuple[str, _Found]]) -> None:
        for node, one in found:
            self._signals.add(one.changes)
            for change in one.changes:
                if change.step == DAY:
                    self._count_today(node, change.at, change.counts)
            for _, at, marks in one.marks:
                known = self._peer_marks.setdefault((node, at), {})
                for host, some in marks.items():
                    before = known.get(host, {})
                    more = {mark: number - before.get(mark, 0) for mark, number in some.items()}
                    self._signals.add_marks(at, {host: more})
                    known[host] = some
            self._signals.hear(one.heard)

    # --- what is known ----------------------------------------------------------------------------------

    def counts(self) -> dict[str, CountsOfServer]:
        """Return whose counts are in the totals, by node."""
        today = begin_of(DAY, time.time())
        return {
            node: CountsOfServer(self._told.get(node), self._today.get(node, Counter())[today])
            for node in sorted({self._node, *self._today, *self._told})
        }


def _note(batch: str, claim: bool, file: SignalFile) -> Taken | None:
    """Return what became of a batch that was taken here before; else note that it will be claimed."""
    known = file.taken(batch)
    if known is None and claim:
        file.note_claim(batch)
    return known


def _own(slot: Slot, file: SignalFile) -> dict[HostKey, Counts]:
    return {host: counts for host, _, counts in file.counts(slot[0], slot[1], slot[1] + 1)}


def _values(
    slot: Slot,
    buckets: set[int] | None,
    counts: Mapping[HostKey, Counts],
    marks: Mapping[HostKey, Marks],
) -> dict[str, JsonValue]:
    """Return the fields of a step's buckets; None: of all."""
    by: dict[int, dict[HostKey, Counts]] = {}
    for host, some in counts.items():
        bucket = bucket_of(host)
        if buckets is None or bucket in buckets:
            by.setdefault(bucket, {})[host] = some
    return {
        field_of(*slot, bucket): sums_json(some, {host: marks[host] for host in some if host in marks})
        for bucket, some in by.items()
    }


def _all(now: float) -> Iterator[Slot]:
    """Return all steps that are told now."""
    for step, kept in SHARED.items():
        for at in range(begin_of(step, now - kept - step), int(now) + 1, step):
            if is_shared(step, at, now):
                yield step, at


def _away(why: str) -> str:
    return f"it cannot be known whether another server has counted this batch ({why}): send it again later"
