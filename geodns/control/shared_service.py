"""Shares verdicts with the other servers of a group: publishes votes, hears theirs, and serves what follows.

Imported only where the setting `shared` is there. Redis is never waited for: the link to it writes and reads
on its own, and what it tells is taken in the loop in small pieces.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any

from pydantic import JsonValue

from geodns.config.settings import Settings
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.control.persistence import Persistence
from geodns.control.shared_alerts import shared_alerts
from geodns.control.shared_hearing import SharedHearing
from geodns.control.shared_heartbeat import HELD, PLACE, OwnHeartbeats, as_merged
from geodns.control.shared_memory import ServerMemory
from geodns.control.shared_notes import GroupNotes
from geodns.control.shared_parts import LinkMaker, OrdersOfGroup, SharedConnection, SumsOfGroup
from geodns.control.shared_verdicts import SharedVerdicts
from geodns.control.shared_view import CountsOfServer, NoVotesError, SharedView
from geodns.control.shared_votes import SealedVotes, cursor_of
from geodns.control.shared_votes_service import Ask, VotesByHttp
from geodns.control.verdict_service import VerdictService
from geodns.health.quorum import Quorum
from geodns.health.quorum_standing import (
    NoteKind,
    QuorumMode,
    QuorumNote,
    TwoDefinitions,
)
from geodns.model.shared import AddressVote, Heartbeat, SharedOrder, SharedSettings
from geodns.model.shared_url import parse_url
from geodns.storage.event_log import EventLog
from geodns.storage.shared_link import LinkState
from geodns.storage.shared_messages import BadValueError

log = logging.getLogger(__name__)

BEAT_EVERY = 1.0
BEAT_JITTER = 0.2
"""The part of it by which a heartbeat comes earlier or later."""
TICK_EVERY = 0.5
SOON = 0.01
"""Seconds in which what comes together is taken together."""
START_WAIT = 2.0
"""Seconds that a start waits for what the group holds, at most."""
BEATS_WAIT = 0.5
"""Seconds of them that it waits for the others' heartbeats, once all else was read."""
BAD_FOR = 600.0
"""Seconds for which a value that was skipped is an alert."""
DEFINITIONS_EVERY = 30.0
NOTE = "shared epoch"
_WORST = (QuorumMode.OWN, QuorumMode.FROZEN, QuorumMode.QUORUM)


class SharedService:
    """The server's part in its group; owns the link and the merging of votes.

    Attributes:
        node: this server's.
        verdicts: shares and serves verdicts.
        epoch: of this server's votes.

    """

    def __init__(
        self,
        settings: Settings,
        shared: SharedSettings,
        cluster: Cluster,
        verdicts: VerdictService,
        persistence: Persistence,
        events: EventLog,
        make_link: LinkMaker,
    ) -> None:
        """Prepare; nothing runs and nothing is connected before `begin`.

        Raises:
            MissingLibraryError: the library that speaks to Redis is not installed.

        """
        self.node = settings.node
        self._shared = shared
        self._judge = verdicts
        self._persistence = persistence
        self._notes = GroupNotes(events, shared.group)
        self._orders: OrdersOfGroup | None = None
        self._roll: Callable[[], tuple[Collection[str] | None, int]] = lambda: (None, 0)
        self._tells_time: Callable[[bool], None] = lambda _: None
        self.epoch = _number(persistence.note(NOTE)) + 1
        self._confirmed = False
        """Whether Redis has told the highest epoch that it knows of us."""
        self._kept = -1
        """The epoch that was given to be written down, so that no later start uses it again."""
        self._quorum = Quorum(self.node, self.epoch, time.monotonic(), agree=shared.agree)
        self._heartbeats = OwnHeartbeats(self._quorum, cluster)
        self._http = VotesByHttp(shared, self.node, self)
        self._hearing = SharedHearing(self._quorum, lambda: self._http.heard)
        self._memory = ServerMemory(persistence)
        for node, zones, ago in self._memory.read(time.time()):
            self._quorum.remember(node, zones, ago, time.monotonic())
        self._link = make_link(shared, self.node, self)
        self.verdicts = SharedVerdicts(
            self._quorum,
            verdicts,
            cluster,
            time.monotonic,
            self._soon,
            self._publish,
            self._take_note,
            own_only=shared.agree == "own",
        )
        self._unsigned = shared.secret is None and not parse_url(shared.url).near
        self._due: asyncio.TimerHandle | None = None
        self._running: list[asyncio.Task[None]] = []
        self._beaten = asyncio.Event()
        """Set once another server was heard."""
        self._definitions: tuple[TwoDefinitions, ...] = ()
        self._defined = 0.0
        self._bad: tuple[int, float] = (0, float("-inf"))
        """How many values were skipped, and when the last one was."""
        self._sums: list[SumsOfGroup] = []
        self._counts: Callable[[], Mapping[str, CountsOfServer]] = dict
        self._leader: Callable[[], str] = lambda: self.node
        self._works: list[Callable[[], Coroutine[Any, Any, None]]] = []
        verdicts.agree_by(self.verdicts)

    # --- wiring -----------------------------------------------------------------------------------------

    def share_orders_by(self, orders: OrdersOfGroup) -> None:
        self._orders = orders

    def know_by(self, roll: Callable[[], tuple[Collection[str] | None, int]]) -> None:
        """Ask this which servers there should be: nodes (None: nobody says), and how many have told none."""
        self._roll = roll

    def on_time(self, subscriber: Callable[[bool], None]) -> None:
        """Tell a subscriber whether overrides end by Redis' clock: one clock at a time, or ends jump."""
        self._tells_time = subscriber

    def share_sums_by(self, sums: SumsOfGroup) -> None:
        self._sums.append(sums)

    def show_sums(
        self, counts: Callable[[], Mapping[str, CountsOfServer]], leader: Callable[[], str]
    ) -> None:
        """Show whose counts of mail are in the totals, and whose programs give orders."""
        self._counts, self._leader = counts, leader

    def ask_by(self, servers: Callable[[], Mapping[str, Ask]]) -> None:
        """Ask these servers, by node, for their votes while Redis does not bring them."""
        self._http.ask_by(servers)

    def run_too(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something along with the link."""
        self._works.append(work)

    def publish_sums(self, changes: Mapping[str, JsonValue]) -> bool:
        """Write own sums soon; return False while it is not known yet with which epoch."""
        if self._confirmed and changes:
            self._link.publish_sums(self.epoch, changes)
        return self._confirmed

    @property
    def link(self) -> SharedConnection:
        return self._link

    @property
    def nodes(self) -> tuple[str, ...]:
        """The other servers that are heard through Redis: those that take orders from there."""
        return tuple(node for node in self._quorum.nodes if not self._http.is_away(node))

    @property
    def told(self) -> Collection[str]:
        """The other servers that were heard within a day."""
        return self._quorum.counts.keys()

    @property
    def connected(self) -> bool:
        return self._link.state.connected

    # --- running ----------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Connect, and wait a moment for what the group holds."""
        self._running = [
            asyncio.get_running_loop().create_task(work)
            for work in (
                self._link.run(),
                self._beat_for_ever(),
                self._tick_for_ever(),
                self._http.ask_for_ever(lambda: self.connected),
                *(() if self._orders is None else (self._orders.run(),)),
                *(work() for work in self._works),
            )
        ]
        for task in self._running:
            task.add_done_callback(_report_end)
        if await self._link.first_read(START_WAIT - BEATS_WAIT):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEATS_WAIT):
                    if self._orders is not None:
                        await self._orders.taken()
                    await self._beaten.wait()
        elif not self._confirmed:
            self._raise_epoch(max(self.epoch, self._link.state.epoch_there + 1))
        self.verdicts.look()

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._due is not None:
            self._due.cancel()

    async def _beat_for_ever(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(BEAT_EVERY * random.uniform(1 - BEAT_JITTER, 1 + BEAT_JITTER))  # noqa: S311 - it spreads

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_EVERY)
            now = time.monotonic()
            self._quorum.set_known(*self._roll())
            self._hear(now)
            self._quorum.tick(now)
            self._memory.keep(self._quorum.last_heard(now), now, time.time())
            if now - self._defined >= DEFINITIONS_EVERY:
                self._defined, self._definitions = now, self._quorum.definitions()
            state = self._link.state
            if (bad := sum(self._skipped().values())) != self._bad[0]:
                self._bad = bad, now
            tells_time = state.connected and state.clock_offset is not None
            self._tells_time(tells_time)
            if self._orders is not None and tells_time and state.clock_offset is not None:
                self._orders.set_clock_offset(state.clock_offset)  # else the peers' median holds
            self.verdicts.look()

    def _hear(self, now: float) -> None:
        self._hearing.settle(store=self._link.state.connected, now=now)

    def beat(self) -> None:
        """Send a heartbeat now, unless it is not known yet which epoch our votes have."""
        if not self._confirmed:
            return
        now, quorum = time.monotonic(), self._quorum
        if self._link.state.twin:  # the link does not tell what the other one says, only that it is there
            other = self._heartbeats.make(self._orders, time.time()).model_copy(
                update={"epoch": self.epoch + 1}
            )
            quorum.heard(other, now)
        self._link.beat(self._heartbeats.make(self._orders, time.time()))

    async def votes(self, since: str | None) -> SealedVotes:
        """Return our votes since a place in them, for another server.

        Raises:
            NoVotesError: not now.
            UsageError: `since` is no such place.

        """
        cursor = cursor_of(since)
        if self._quorum.publishes:
            self.verdicts.look()
        kept = self._kept == self.epoch and self._persistence.note_unkept(NOTE) is None
        if not kept or self._quorum.publishes:
            raise NoVotesError("the votes of this server are not settled yet: ask again in a second")
        try:
            return await self._http.answer(self._heartbeats.make(self._orders, time.time()), cursor)
        except BadValueError as error:
            raise NoVotesError(f"the votes of this server cannot be told: {error}") from error

    # --- what follows -----------------------------------------------------------------------------------

    def _soon(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(SOON, self._look)

    def _look(self) -> None:
        self._due = None
        self.verdicts.look()

    def _publish(self, changes: Mapping[str, AddressVote | None]) -> None:
        self._http.ledger.publish(self.epoch, changes)
        if self._confirmed:
            self._link.publish_votes(self.epoch, changes)

    def _take_note(self, note: QuorumNote) -> None:
        if note.kind is NoteKind.REREAD:
            self._http.reread(note.node)  # the link finds by itself what it has missed
        self._notes.take(note)

    # --- what the link tells ----------------------------------------------------------------------------

    def on_beat(self, heartbeat: Heartbeat, clock_offset: float) -> None:
        """Take another server's heartbeat."""
        del clock_offset  # shown by the peers' page; clocks never decide
        self._http.in_store(heartbeat.node)
        self._quorum.heard(as_merged(heartbeat), time.monotonic())
        if self._orders is not None:
            digests = heartbeat.digests
            self._orders.heard(heartbeat.node, digests.get(HELD), digests.get(PLACE))
        self._beaten.set()
        self._soon()

    def on_beat_by_http(self, heartbeat: Heartbeat) -> None:
        """Take another server's heartbeat; what it says of orders was not asked of Redis."""
        now = time.monotonic()
        self._hear(now)
        self._quorum.heard(as_merged(heartbeat), now)
        self._soon()

    def on_votes(
        self, node: str, epoch: int, changes: Mapping[str, AddressVote | None], *, whole: int | None = None
    ) -> None:
        """Take another server's votes."""
        self.verdicts.voted(node, epoch, changes, whole=whole)

    def on_orders(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        """Take orders that are in the store."""
        if self._orders is not None:
            self._orders.changed(orders, revisions, whole=whole)

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        """Hand other servers' sums on."""
        for one in self._sums:
            one.on_sums(node, changes)

    def on_state(self, state: LinkState) -> None:
        """Take that the link works, or does not."""
        if state.connected and not self._confirmed:
            self._confirmed = True
            self._raise_epoch(max(self.epoch, state.epoch_there + 1))
            self._quorum.republish()  # those of before went to who asked by HTTP
            self.beat()
        elif self._confirmed and state.epoch_there > self.epoch and not state.twin:
            self._raise_epoch(state.epoch_there + 1)
        # A new epoch may have ended what was the matter, and told so by now.
        self._hear(time.monotonic())
        self._soon()

    def _raise_epoch(self, epoch: int) -> None:
        """Let our votes have another epoch, and be written with it."""
        if epoch != self.epoch:
            self.epoch = self._quorum.epoch = epoch
            # At once, and without votes: the older epoch's are refused, which itself ends the connection.
            self._publish({})
            self._quorum.republish()
        self._persistence.keep_note(NOTE, str(epoch))
        self._running.append(asyncio.get_running_loop().create_task(self._keep_epoch(epoch)))

    async def _keep_epoch(self, epoch: int) -> None:
        await self._persistence.written()
        self._kept = epoch

    # --- reading ----------------------------------------------------------------------------------------

    def view(self) -> SharedView:
        """Return how things stand."""
        state, quorum = self._link.state, self._quorum
        modes = quorum.modes
        # Who knows of no other server has the votes of all; where nobody can be heard that says nothing.
        mode = next((mode for mode in _WORST if mode in modes), QuorumMode.QUORUM)
        if mode is QuorumMode.QUORUM and not self._hearing.yes:
            mode = QuorumMode.OWN
        return SharedView(
            connected=state.connected,
            since=time.time() - (time.monotonic() - state.since),
            why=state.why,
            group=self._shared.group,
            agree=self._shared.agree,
            store=state.server,
            heard=tuple(sorted({self.node, *quorum.nodes})),
            known=quorum.known,
            mode=str(mode),
            alone=self.verdicts.alone(),
            alone_count=len(quorum.alone),
            tied=len(quorum.tied),
            votes=quorum.counts,
            lags=dict(self._link.lags),
            bad=self._skipped(),
            signals=self._counts(),
            programs=self._leader(),
            pending=() if self._orders is None else self._orders.awaited,
            http=self._http.asked,
        )

    def _skipped(self) -> dict[str, int]:
        found = dict(self._link.state.bad)
        for reason, count in dict(self._http.bad.counts).items():  # a thread counts them
            found[reason] = found.get(reason, 0) + count
        return found

    def alerts(self) -> Iterator[Alert]:
        state, view = self._link.state, self.view()
        if time.monotonic() - self._bad[1] > BAD_FOR:
            view = view._replace(bad={})
        yield from shared_alerts(
            view,
            self.node,
            away=0.0 if state.connected else time.monotonic() - state.since,
            doubled=sorted({*self._notes.doubled, *([self.node] if state.twin else ())}),
            definitions=self._definitions,
            unsigned=self._unsigned,
            last_bad=state.last_bad or self._http.bad.last,
            clock=state.clock_offset or 0.0,
        )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 16 else 0


def _report_end(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("what is shared with other servers ends here: %s", error, exc_info=error)
