"""Links a server to its group through Redis or Valkey: heartbeats, votes, orders, sums and claims."""

import asyncio
import hashlib
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import JsonValue

from geodns.model.shared import AddressVote, Heartbeat, SharedOrder, SharedSettings
from geodns.storage import shared_scripts
from geodns.storage.shared_books import number_of, place_in_log
from geodns.storage.shared_client import Clients, Troubles, told
from geodns.storage.shared_link import Claim, LinkDownError, LinkState, Put, SharedEvents
from geodns.storage.shared_messages import BadValueError, BadValues, Beat, Messages
from geodns.storage.shared_reading import SharedReader
from geodns.storage.shared_scripts import NODES
from geodns.storage.shared_writing import (
    FIRST_WAIT,
    FULL,
    LAST_WAIT,
    MOVED,
    TAKEN,
    TOO_MANY,
    UNFIT,
    Script,
    SharedWriter,
)
from geodns.storage.shared_zones import OwnZones

log = logging.getLogger(__name__)

CALL_WAIT = 2.0
"""Seconds that a call of the owner takes at most."""
CALLS = 4
"""Calls of the owner that run at a time."""
CANCEL_AGAIN = 0.05
KNOWN = NODES - NODES // 10
"""Other servers that are asked for first; the rest of those that are heard are newcomers."""
BEHIND_AFTER = 2.0
"""Seconds that the log may stand still here while it grows where it is written."""
TWIN_LASTS = 10.0
"""Seconds from the last sign of a second server under our node till it counts as gone."""
T = TypeVar("T")
_TWIN = "another live server says that it is {node}: give each its own node; neither votes"
_BEHIND = "the log is read from another server than the one that is written to"


class SharedLink:
    """The link; everything is for the one loop.

    Nothing here waits for Redis but the methods that say so, and these are bounded by two seconds.
    """

    def __init__(self, settings: SharedSettings, node: str, events: SharedEvents) -> None:
        """Prepare a link; nothing is connected yet.

        Raises:
            MissingLibraryError: redis-py is not installed.
            ValueError: the URL is none.

        """
        self._node = node
        self._events = events
        self._clients = Clients(settings.url, settings.password)
        self._messages = Messages(settings.group, settings.secret)
        self._bad = BadValues()
        self._troubles = Troubles(self._clients.place, self._tell)
        token = secrets.token_hex(8)
        self._writer = SharedWriter(self._messages, node, self._troubles, self._bad, token)
        self._zones = OwnZones()
        self._reader = SharedReader(self._messages, node, events, self._writer, self._zones)
        self._scripts: dict[str, Script] = {
            name: self._clients.calls.register_script(text)
            for name, text in (
                ("begin", shared_scripts.BEGIN),
                ("beat", shared_scripts.BEAT),
                ("write", shared_scripts.WRITE),
                ("put", shared_scripts.PUT),
                ("scan", shared_scripts.SCAN),
                ("fields", shared_scripts.FIELDS),
                ("end", shared_scripts.END_OF_LOG),
                ("revisions", shared_scripts.REVISIONS),
                ("forget", shared_scripts.FORGET),
                ("claim", shared_scripts.CLAIM),
                ("settle", shared_scripts.SETTLE),
            )
        }
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._room = asyncio.Semaphore(CALLS)
        self._read_once = asyncio.Event()
        self._told = LinkState(since=time.monotonic())
        self._reached = False
        self._away = "not connected yet"
        self._server = ""
        self._mark = b""
        self._behind: tuple[tuple[int, int], float] | None = None
        self._written = (0, 0)
        self._twin_seen = float("-inf")
        self._beats: dict[str, tuple[str, int]] = {}

    # ----- what is known of the link

    @property
    def state(self) -> LinkState:
        return replace(
            self._told,
            server=self._server,
            clock_offset=self._reader.clock_offset,
            bad=dict(self._bad.counts),
            last_bad=self._bad.last,
        )

    @property
    def lags(self) -> Mapping[str, float]:
        """Milliseconds from another server's last votes to here, by node."""
        return self._reader.lags

    def _tell(self) -> None:
        """Work out the state, and tell it where it is another."""
        found = self._troubles.found
        twin = time.monotonic() - self._twin_seen < TWIN_LASTS
        connected = self._reached and not found.keys() & {"votes", "heartbeat"}
        sentences = [
            *([] if self._reached else [self._away]),
            *([_TWIN.format(node=self._node)] if twin else []),
        ]
        state = LinkState(
            connected=connected,
            since=self._told.since if connected == self._told.connected else time.monotonic(),
            why="; ".join(dict.fromkeys([*sentences, *(found.values() if self._reached else ())])),
            twin=twin,
            epoch_there=self._writer.epoch_there,
        )
        if state != self._told:
            self._told = state
            self._events.on_state(self.state)

    # ----- connecting

    async def run(self) -> None:
        """Connect, read, write and connect again till cancelled; raises nothing else."""
        wait = FIRST_WAIT
        try:
            while True:
                begun = time.monotonic()
                session = asyncio.create_task(self._session())
                try:
                    await asyncio.wait((session,))
                finally:
                    await _end(session, *self._tasks)
                try:
                    session.result()
                except Exception as error:
                    self._away = told(error, self._clients.place)
                    if not isinstance(error, LinkDownError | OSError) and not _is_of_redis(error):
                        log.exception("shared: %s", self._away)
                self._reached = False
                self._troubles.found.clear()
                self._tell()
                await self._clients.disconnect()
                if time.monotonic() - begun > 2 * LAST_WAIT:
                    wait = FIRST_WAIT
                await asyncio.sleep(random.uniform(0, wait))  # noqa: S311 # no secret
                wait = min(2 * wait, LAST_WAIT)
        finally:
            self._reached, self._away = False, "closed"
            await self._clients.close()

    async def _session(self) -> None:
        """Read and write till the connection breaks, which raises."""
        self._server = await self._clients.hello()
        key = self._messages.key
        mark, last, before, epoch, number = await self._scripts["begin"](
            keys=[key("mark"), key("node", self._node), key("votes", self._node)],
            args=[secrets.token_hex(8)],
        )
        self._mark = mark
        self._behind = None
        self._written = place_in_log(last)
        log.debug("shared: %s, mark %s, log at %s", self._server, mark, last)
        self._writer.saw_epoch(number_of(epoch))
        self._writer.number = max(self._writer.number, number_of(number))
        if before:
            try:
                self._writer.saw_epoch(self._messages.open_beat(self._node, before).heartbeat.epoch)
            except BadValueError as error:
                self._bad.note(key("node", self._node), b"", error)
        tasks = self._tasks = (
            asyncio.create_task(self._reader.run(self._clients.log, self._scripts, self._was_read)),
            asyncio.create_task(self._writer.run(self._scripts, self._beat_answered)),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(*tasks)
        for task in done:
            task.result()

    async def first_read(self, seconds: float) -> bool:
        """Wait till everything in the store was told once; return whether it was."""
        try:
            async with asyncio.timeout(seconds):
                await self._read_once.wait()
        except TimeoutError:
            return False
        return True

    def _was_read(self) -> None:
        self._read_once.set()
        self._reach()

    def _reach(self) -> None:
        self._reached = True
        self._tell()

    # ----- heartbeats

    def beat(self, heartbeat: Heartbeat) -> None:
        """Send this soon in place of an earlier one that still waits; `digests` are filled in here."""
        digests = {
            "votes": self._writer.votes.digest,
            "sums": self._writer.sums.digest,
            "orders": self._reader.order_digest(),
        }
        heartbeat, parts = self._zones.split(heartbeat)
        if parts:
            self._writer.publish_sums(heartbeat.epoch, parts)
        self._writer.beat(heartbeat.model_copy(update={"digests": {**heartbeat.digests, **digests}}))
        if self._told.twin or self._reached:
            self._tell()

    def _beat_answered(self, reply: list[Any]) -> None:
        """Take what the script of the heartbeat returned: the others', and what the store is now."""
        now, mark, last, other, *beats = reply
        self._reader.clock_offset = time.time() - now / 1000
        if other:
            self._see_other(other)
        if mark != self._mark:
            self._mark = mark
            self._reader.reread()  # emptied, or another database
        self._check_log(last)
        for raw_node, at, raw in zip(beats[::3], beats[1::3], beats[2::3], strict=True):
            self._hear(raw_node, float(at) / 1000, raw)
        self._reach()

    def _check_log(self, last: bytes) -> None:
        """See that the log is read where it is written."""
        read, written = place_in_log(self._reader.place), place_in_log(last)
        if written < self._written:
            self._reader.reread()  # it began anew
        self._written = written
        if read >= written or self._reader.busy:
            self._behind = None
        elif self._behind is None or self._behind[0] != read:
            self._behind = read, time.monotonic()
        elif time.monotonic() - self._behind[1] > BEHIND_AFTER:
            raise LinkDownError(_BEHIND)

    def _see_other(self, raw: bytes) -> None:
        """Another process wrote our heartbeat: one's own before a restart, or a second server."""
        try:
            beat = self._messages.open_beat(self._node, raw)
        except BadValueError as error:
            self._bad.note(self._messages.key("node", self._node), b"", error)
            return
        self._writer.saw_epoch(beat.heartbeat.epoch)
        if self._writer.beats_taken:
            self._twin_seen = time.monotonic()
            self._tell()

    def _hear(self, raw_node: bytes, at: float, raw: bytes) -> None:
        try:
            node = raw_node.decode()
            beat = self._messages.open_beat(node, raw)
        except UnicodeDecodeError:
            return
        except BadValueError as error:
            self._bad.note(self._messages.key("node"), raw_node, error)
            return
        token, number = self._beats.get(node, ("", 0))
        if beat.token == token and beat.number <= number:
            return  # said before
        self._know(node, beat)
        self._reader.compare(node, beat.heartbeat.epoch, beat.heartbeat.digests)
        self._events.on_beat(self._reader.zones.join(beat.heartbeat), beat.heartbeat.at - at)

    def _know(self, node: str, beat: Beat) -> None:
        """Remember who said something last, those longest silent the shortest."""
        self._beats.pop(node, None)
        self._beats[node] = (beat.token, beat.number)
        if len(self._beats) > KNOWN:
            del self._beats[next(iter(self._beats))]
        self._writer.known = self._beats.keys()

    # ----- votes, sums, orders, claims

    def publish_votes(self, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        """Write changes of one's own votes soon, the last of each address; None: no vote any more.

        The link keeps them and writes them again where the store lost them. A new epoch deletes all of the
        older one, here and in the store.
        """
        self._writer.publish_votes(epoch, changes)

    def publish_sums(self, epoch: int, changes: Mapping[str, JsonValue]) -> None:
        """Write changes of one's own sums soon, the last of each field; None deletes a field."""
        self._writer.publish_sums(epoch, changes)

    async def put_orders(
        self, orders: Sequence[SharedOrder], expected: Mapping[str, str] | None = None
    ) -> list[Put]:
        """Put orders whose versions are higher than what is there; up to 250 at once are one change.

        With `expected`, what is put at once is put as a whole or not at all, and nothing follows what was
        refused: the answer is shorter then, and ends with it.

        Args:
            orders: they.
            expected: revisions of the zones' orders that their dangers were worked out by; None: any.

        Raises:
            LinkDownError: the store cannot be asked: what was put is not known; the same again is safe.

        """
        done: list[Put] = []
        wanted = None if expected is None else dict(expected)
        while len(done) < len(orders):
            rest = orders[len(done) :]
            puts = await self._call(self._writer.put(rest, wanted))
            if any(one.status == UNFIT for one in puts):
                raise LinkDownError(f"an order cannot be shared: {self._bad.last}")
            if any(one.status == FULL for one in puts):
                raise LinkDownError(TOO_MANY)
            done += (
                Put(one.status == TAKEN, one.there, text, moved=one.status == MOVED)
                for one in puts
                for text in (one.revision.decode("ascii", "replace"),)
            )
            if wanted is None:
                continue
            if not all(one.accepted for one in done):
                break
            # Once the first of a zone is in, the others follow it.
            wanted = {
                zone: at for zone, at in wanted.items() if zone not in {one.zone for one in rest[: len(puts)]}
            }
        return done

    def offer_orders(self, orders: Iterable[SharedOrder]) -> None:
        """Put orders soon where the store has none, or an older version; what wins comes by `on_orders`."""
        self._writer.offer_orders(orders)

    async def claim_batch(self, batch: str) -> Claim:
        """Claim a batch of signals, or learn who has it.

        Raises:
            LinkDownError: the store cannot be asked, and nothing may be counted.

        """
        key = self._claim_key(batch)
        fresh, raw = await self._call(
            self._scripts["claim"](keys=[key], args=[self._messages.seal_claim(key, self._node)])
        )
        try:
            node, accepted = self._messages.open_claim(key, raw)
        except BadValueError as error:
            self._bad.note(key, b"", error)
            return Claim("", fresh=False)
        return Claim(node, bool(fresh), accepted)

    async def settle_batch(self, batch: str, accepted: int | None) -> None:
        """Say for a week that a batch of one's own claim is counted; None: release it, it is not.

        Raises:
            LinkDownError: the store cannot be asked.

        """
        key = self._claim_key(batch)
        done = b"" if accepted is None else self._messages.seal_claim(key, self._node, accepted)
        await self._call(
            self._scripts["settle"](keys=[key], args=[self._messages.seal_claim(key, self._node), done])
        )

    def _claim_key(self, batch: str) -> bytes:
        name = hashlib.blake2b(batch.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return self._messages.key("claims", name)

    async def _call(self, work: Awaitable[T]) -> T:
        """Ask Redis something for the owner, in time."""
        try:
            async with asyncio.timeout(CALL_WAIT), self._room:
                return await work
        except (BadValueError, LinkDownError):
            raise
        except Exception as error:
            raise LinkDownError(told(error, self._clients.place)) from error

    def reread(self) -> None:
        """Have everything read again soon."""
        self._reader.reread()


async def _end(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks till they end: before Python 3.12, `wait_for` may lose a cancelling."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # whoever wants it has it


def _is_of_redis(error: BaseException) -> bool:
    return any(kind.__name__ == "RedisError" for kind in type(error).__mro__)
