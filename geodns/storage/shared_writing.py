"""Writes what a server says to its group into Redis, and again where the store lost it; the last word wins.

What waits is bounded by the number of addresses, hosts and sums: a slow store makes none of it longer.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from geodns.model.shared import AddressVote, Heartbeat, SharedOrder
from geodns.storage.shared_books import MAX_NUMBER, Book, number_of
from geodns.storage.shared_client import RuleRefusalError, Troubles
from geodns.storage.shared_messages import (
    MAX_FIELD,
    MAX_FIELDS,
    WITHDRAWN,
    BadValueError,
    BadValues,
    Beat,
    Messages,
    order_field,
)
from geodns.storage.shared_scripts import SUMS_LIFE, VOTES_LIFE

Script = Callable[..., Awaitable[Any]]

BATCH = 200
"""Changes of one writing."""
BATCH_BYTES = 48 << 10
BATCH_EVERY = 0.02
"""Seconds from one writing to the next, so that a group that fills an empty store leaves it room."""
JITTER = 2.0
"""Seconds within which servers begin to fill a store that lost what they said."""
ORDERS = 250
"""Orders that are put at once: sealing them holds the loop up for some milliseconds."""
ORDERS_BYTES = 256 << 10
FIRST_WAIT, LAST_WAIT = 0.1, 2.0
BEAT_KEPT = 2.0
"""Seconds that a heartbeat may wait; then it says nothing of now."""
TOO_MANY = f"the group has {MAX_FIELDS} orders, and no more are taken: end some"
TOO_MANY_ZONES = (
    "this server has {:,} zones, which are too many to share (some 100,000 are not): it judges alone"
)


OLDER, TAKEN, MOVED, FULL, UNFIT = range(5)
"""What becomes of an order: the script `put` returns all but the last."""


class PutOrder(NamedTuple):
    """What became of an order.

    Attributes:
        status: `TAKEN`, or why not.
        there: what is in the store; None: nothing, or nothing that can be read.
        revision: of the zone's orders.

    """

    status: int
    there: SharedOrder | None
    revision: bytes


class SharedWriter:
    """Keeps what this server says, and writes it.

    Attributes:
        votes: what was written of one's own votes.
        sums: the same of the sums.
        epoch_there: the highest epoch that the store has of this node.

    """

    def __init__(self, messages: Messages, node: str, troubles: Troubles, bad: BadValues, token: str) -> None:
        self._messages = messages
        self._node = node
        self.troubles = troubles
        self.bad = bad
        self.token = token
        self._scripts: Mapping[str, Script] = {}
        self._wake = asyncio.Event()
        self.epoch = 0
        self.epoch_there = 0
        self.number = 0
        self._beats = 0
        self._beat: tuple[float, Heartbeat] | None = None
        self._votes: dict[str, bytes] = {}
        """As they are written, but for the signature; one object where the same is said of many."""
        self._seq = 0
        """The number of the last vote of this epoch."""
        self.known: Collection[str] = ()
        """Other servers that have been heard, and that a heartbeat asks for first."""
        self._sums: dict[str, JsonValue] = {}
        self.votes, self.sums = Book(), Book()
        # Names in the order in which they wait.
        self._votes_wait: dict[str, None] = {}
        self._sums_wait: dict[str, None] = {}
        self._lost: set[str] = set()
        self._lost_at = 0.0
        self._orders_wait: dict[bytes, SharedOrder] = {}

    @property
    def beats_taken(self) -> bool:
        """Whether a heartbeat of this process was there before the last one."""
        return self._beats > 1

    # ----- what is to be written

    def beat(self, heartbeat: Heartbeat) -> None:
        self._beat = (time.monotonic(), heartbeat)
        self._wake.set()

    def publish_votes(self, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        self._begin(epoch)
        bodies: dict[int, bytes] = {}
        for name, vote in changes.items():
            if not name or len(name.encode()) > MAX_FIELD or not name.isprintable():
                continue  # nobody would read it
            if vote is None:
                self._votes.pop(name, None)
            else:
                body = bodies.get(id(vote))
                if body is None:
                    body = bodies[id(vote)] = self._messages.vote_body(epoch, vote)
                self._votes[name] = body
                self._seq = max(self._seq, vote.seq)
            self._votes_wait[name] = None
        self._wake.set()

    def publish_sums(self, epoch: int, changes: Mapping[str, JsonValue]) -> None:
        self._begin(epoch)
        for name, content in changes.items():
            if content is None:
                self._sums.pop(name, None)
            else:
                self._sums[name] = content
            self._sums_wait[name] = None
        self._wake.set()

    def offer_orders(self, orders: Iterable[SharedOrder]) -> None:
        for order in orders:
            field = order_field(order)
            waiting = self._orders_wait.get(field)
            if waiting is None or waiting.version.rank < order.version.rank:
                self._orders_wait[field] = order
        self._wake.set()

    def _begin(self, epoch: int) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        self._seq = 0
        self._votes.clear()
        self._votes_wait.clear()
        self._lost.clear()
        self.votes = Book(epoch)
        self.troubles.note("votes", "")  # it was of the votes that nobody will write any more

    # ----- what the store has of it

    def check_votes(self, there: Book) -> None:
        """Have written again what the store lost of one's own votes, and deleted what it has in excess."""
        self.saw_epoch(there.epoch)
        if not self.epoch or there.epoch > self.epoch:
            return
        lost = self.votes.differing(there)
        if there.epoch == self.epoch:
            excess = there.fields.keys() - self.votes.fields.keys()
            self._votes_wait.update({name: None for name in map(_text, excess) if name not in self._votes})
        self._have_again(_text(field) for field in lost)

    def check_sums(self, there: Book) -> None:
        """Do the same for sums; what the store has in excess may be what this server has not read yet."""
        for field in self.sums.differing(there):
            self._sums_wait[_text(field)] = None
        self._wake.set()

    def _have_again(self, names: Iterable[str]) -> None:
        if not self._lost:
            self._lost_at = time.monotonic() + random.uniform(0, JITTER)  # noqa: S311 # no secret
        self._lost.update(names)
        if self._lost:
            self._wake.set()

    def saw_epoch(self, epoch: int) -> None:
        if epoch <= MAX_NUMBER:
            self.epoch_there = max(self.epoch_there, epoch)

    # ----- writing

    async def run(self, scripts: Mapping[str, Script], on_beat: Callable[[list[Any]], None]) -> None:
        """Write till cancelled, or till the connection breaks.

        Args:
            scripts: those of `shared_scripts`, by name.
            on_beat: is given what the script of the heartbeat returned.

        """
        self._scripts = scripts
        wait = FIRST_WAIT
        while True:
            self._wake.clear()
            if self._lost and time.monotonic() >= self._lost_at:
                self._votes_wait.update(dict.fromkeys(self._lost))
                self._lost.clear()
            before = dict(self.troubles.found)
            if await self._step(on_beat):
                wait = FIRST_WAIT
                if not (self._votes_wait or self._sums_wait or self._orders_wait):
                    await self._rest()
                else:
                    await asyncio.sleep(BATCH_EVERY)
            else:
                if self.troubles.found != before:
                    wait = FIRST_WAIT
                await asyncio.sleep(random.uniform(0, wait))  # noqa: S311 # no secret
                wait = min(2 * wait, LAST_WAIT)

    async def _rest(self) -> None:
        """Wait till there is something to write."""
        limit = max(0.0, self._lost_at - time.monotonic()) if self._lost else None
        try:
            async with asyncio.timeout(limit):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _step(self, on_beat: Callable[[list[Any]], None]) -> bool:
        """Write a little of each; return whether Redis took it.

        No heartbeat while the votes cannot be written: the others would go on with votes of before.
        """
        good = True
        if self._votes_wait:
            good = await self.troubles.attempt("votes", self._write_votes())
        if self._beat is not None and (good or not self._beats):
            good = await self.troubles.attempt("heartbeat", self._write_beat(on_beat)) and good
        if self._orders_wait:
            good = await self.troubles.attempt("orders", self._write_orders()) and good
        if self._sums_wait:
            good = await self.troubles.attempt("sums", self._write_sums()) and good
        return good

    async def _write_beat(self, on_beat: Callable[[list[Any]], None]) -> None:
        assert self._beat
        at, heartbeat = self._beat
        if time.monotonic() - at > BEAT_KEPT:
            self._beat = None
            return
        self._beats += 1
        key = self._messages.key
        try:
            value = self._messages.seal_beat(Beat(heartbeat, self.token, self._beats))
        except BadValueError as error:
            raise RuleRefusalError(TOO_MANY_ZONES.format(len(heartbeat.zones))) from error
        reply = await self._scripts["beat"](
            keys=[key("mark"), key("node", self._node), key("votes", self._node), key("nodes")],
            args=[
                *(self._node, self.token, value, self._messages.prefix + b"node:", self.token),
                *(random.randrange(2**31), *self.known),  # noqa: S311 # no secret
            ],
        )
        if self._beat is not None and self._beat[0] == at:
            self._beat = None
        on_beat(reply)

    async def _write_votes(self) -> None:
        key = self._messages.key("votes", self._node)
        sent: list[tuple[str, bytes | None, bytes]] = []
        size = 0
        for name in self._votes_wait:
            body, field = self._votes.get(name), name.encode()
            raw = (
                self._messages.seal_withdrawal(key, field, self.epoch, self._seq)
                if body is None
                else self._messages.seal_vote(key, field, body)
            )
            size += len(name) + len(raw)
            sent.append((name, body, raw))
            if len(sent) == BATCH or size > BATCH_BYTES:
                break
        epoch = self.epoch
        if not await self._write("votes", [(name.encode(), raw) for name, _, raw in sent]):
            return
        if epoch != self.epoch:
            return
        for name, body, raw in sent:
            _enter(self.votes, name.encode(), raw)
            if self._votes.get(name) == body:
                self._votes_wait.pop(name, None)

    async def _write_sums(self) -> None:
        key = self._messages.key("sums", self._node)
        sent: list[tuple[str, JsonValue, bytes]] = []
        size = 0
        for name in tuple(self._sums_wait):
            content = self._sums.get(name)
            raw = b""
            if content is not None:
                try:
                    raw = self._messages.seal_sum(key, name.encode(), self.epoch, self.number + 1, content)
                except BadValueError as error:
                    self.bad.note(key, name.encode(), error)
                    del self._sums_wait[name]
                    continue
            size += len(name) + len(raw)
            sent.append((name, content, raw))
            if len(sent) == BATCH or size > BATCH_BYTES:
                break
        if not sent or not await self._write("sums", [(name.encode(), raw) for name, _, raw in sent]):
            return
        for name, content, raw in sent:
            _enter(self.sums, name.encode(), raw)
            if self._sums.get(name) is content:
                self._sums_wait.pop(name, None)

    async def _write(self, kind: str, values: Iterable[tuple[bytes, bytes]]) -> bool:
        """Write into one of the node's hashes and into the log; return whether it was taken."""
        self.number += 1
        key = self._messages.key
        votes = kind == "votes"
        taken, epoch, number = await self._scripts["write"](
            keys=[key("mark"), key("log"), key(kind, self._node)],
            args=[
                *(kind, self._node, self.epoch, self.number, VOTES_LIFE if votes else SUMS_LIFE),
                *(int(votes), int(votes)),
                *(part for value in values for part in value),
            ],
        )
        if not taken:
            # Another process wrote as this node: go on above its number; the owner raises the epoch.
            self.saw_epoch(number_of(epoch))
            self.number = max(self.number, number_of(number))
            if self.epoch_there > self.epoch:
                raise RuleRefusalError(f"the store has a later epoch of {self._node}")
        return bool(taken)

    async def _write_orders(self) -> None:
        offered = list(itertools.islice(self._orders_wait.values(), ORDERS))
        refused = False
        for order, put in zip(offered, await self.put(offered), strict=False):
            field = order_field(order)
            if self._orders_wait.get(field) is order:
                del self._orders_wait[field]
            refused = refused or put.status == FULL
        if refused:
            raise RuleRefusalError(TOO_MANY)

    async def put(
        self, orders: Sequence[SharedOrder], expected: Mapping[str, str] | None = None
    ) -> list[PutOrder]:
        """Put orders in one step: all or nothing where a revision is expected, else those that are later.

        Return what became of the first of them: as many as are put at once.

        Args:
            orders: at least one.
            expected: the revisions of zones that are to be as they were; None: put each that can be.

        """
        key = self._messages.key
        unreadable: dict[bytes, bytes] = {}
        values = self._sealed(orders)
        zones = list(dict.fromkeys(order.zone for order, _ in values))
        place = {zone: number for number, zone in enumerate(zones, 1)}
        wanted = expected or {}
        while any(value for _, value in values):
            revisions, found = await self._scripts["put"](
                keys=[key("mark"), key("log"), key("orders"), *(key("rev", zone) for zone in zones)],
                args=[
                    *(MAX_FIELDS, int(expected is not None), len(zones)),
                    *(part for zone in zones for part in (int(zone in wanted), wanted.get(zone, ""))),
                    *(
                        part
                        for order, value in values
                        if value
                        for part in (
                            *(place[order.zone], order_field(order), order.version.counter),
                            *(order.version.id, value, unreadable.get(order_field(order), b"")),
                        )
                    ),
                ],
            )
            answers = iter(found)
            puts, again = [], False
            for order, value in values:
                status, raw = next(answers) if value else (UNFIT, b"")
                there = order if status == TAKEN else None
                field = order_field(order)
                try:
                    there = self._messages.open_order(field, raw) if raw else there
                except BadValueError as error:
                    if status == OLDER and unreadable.get(field) != raw:
                        # What nobody can read must not stand in the way.
                        self.bad.note(key("orders"), field, error)
                        unreadable[field] = raw
                        again = True
                puts.append(PutOrder(status, there, revisions[place[order.zone] - 1]))
            if not again:
                return puts
        return [PutOrder(UNFIT, None, b"") for _ in values]

    def _sealed(self, orders: Sequence[SharedOrder]) -> list[tuple[SharedOrder, bytes]]:
        """Return the first orders with their values; empty: one cannot be shared, which is noted."""
        found: list[tuple[SharedOrder, bytes]] = []
        size = 0
        for order in orders[:ORDERS]:
            try:
                value = self._messages.seal_order(order)
            except BadValueError as error:
                self.bad.note(self._messages.key("orders"), order_field(order), error)
                value = b""
            size += len(value)
            if found and size > ORDERS_BYTES:
                break
            found.append((order, value))
        return found

    async def forget(self, key: bytes, fields_and_values: list[bytes]) -> None:
        """Delete fields that still have these values."""
        for start in range(0, len(fields_and_values), BATCH):
            await self._scripts["forget"](keys=[key], args=fields_and_values[start : start + BATCH])


def _enter(book: Book, field: bytes, raw: bytes) -> None:
    if raw and not raw.startswith(WITHDRAWN):
        book.put(field, raw)
    else:
        book.drop(field)


def _text(field: bytes) -> str:
    return field.decode("utf-8", "replace")
