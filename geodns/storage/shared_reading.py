"""Reads what the servers of a group wrote into Redis: everything after connecting, then what changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from geodns.model.shared import TOMBSTONE_KEPT, AddressVote, SharedOrder
from geodns.storage.shared_books import MANY, Book, Names, digest_of, number_of, place_in_log, text_fields
from geodns.storage.shared_client import BLOCK, Client
from geodns.storage.shared_link import SharedEvents
from geodns.storage.shared_messages import (
    WITHDRAWN,
    BadValueError,
    BadValues,
    Messages,
    field_name,
    order_field,
)
from geodns.storage.shared_scripts import NODES
from geodns.storage.shared_slices import SLICE, SlicedHashes
from geodns.storage.shared_writing import Script, SharedWriter
from geodns.storage.shared_zones import OthersZones, OwnZones, is_part

READ_EVERY = 30.0
"""Seconds from one reading of everything to the next."""
REREAD_AFTER = 2.0
"""Seconds between two readings of a hash that differs from what its owner says of it, or cannot be read."""
LARGE_SLICE = 25
"""Fields of a slice where values may be large."""
MOST_BOOKS = 4 * NODES
"""Hashes that are followed."""
MOST_NAMED = 250
"""Sums that an entry of the log may name."""
ENTRIES = 20
"""Entries of the log that are taken at a time."""
TRUNCATED = "another epoch than its server's"
REPLAYED = "older than what its server said last"


class SharedReader:
    """Reads, and tells what changed.

    Attributes:
        place: in the log, as the ID of the last entry taken.
        lags: milliseconds from another server's last vote to here.
        orders: what is in the store, by field.
        busy: whether it reads something else than the log's end.
        zones: those of servers that have too many for a heartbeat.

    """

    def __init__(
        self,
        messages: Messages,
        node: str,
        events: SharedEvents,
        writer: SharedWriter,
        own_zones: OwnZones | None = None,
    ) -> None:
        self._messages = messages
        self._node = node
        self._events = events
        self._writer = writer
        self._bad: BadValues = writer.bad
        self._own_zones = own_zones or OwnZones()
        self.zones = OthersZones()
        self._names = Names()
        self._slices = SlicedHashes(writer.bad)
        self._books: dict[bytes, Book] = {}
        self._order_book = Book()
        self.orders: dict[bytes, SharedOrder] = {}
        self.place = b"0-0"
        self.lags: dict[str, float] = {}
        self.clock_offset: float | None = None
        self.epochs: dict[str, int] = {}
        """Of the other servers' heartbeats."""
        self._said: dict[str, str] = {}
        """Digests of all their votes, of the same."""
        self._scripts: Mapping[str, Script] = {}
        self._due: dict[bytes, float] = {}
        self._differs: dict[bytes, int] = {}
        self._unread: set[bytes] = set()
        self._all_due = 0.0
        self.busy = False

    # ----- what others say of what they hold

    def compare(self, node: str, epoch: int, digests: Mapping[str, str]) -> None:
        """Have read again what a heartbeat says to be otherwise, if it does so twice."""
        if len(self.epochs) >= 2 * NODES:
            self.epochs.clear()
            self._said.clear()
        self.epochs[node] = epoch
        self._said[node] = digests.get("votes", "")
        for kind, name in (("votes", node), ("sums", node), ("orders", "")):
            key = self._messages.key(kind, name)
            book = self._order_book if kind == "orders" else self._books.get(key, Book())
            if digests.get(kind, book.digest) == book.digest:
                self._differs.pop(key, None)
                continue
            self._differs[key] = self._differs.get(key, 0) + 1
            if self._differs[key] >= 2 and key not in self._due:
                self._due[key] = time.monotonic()

    def order_digest(self) -> str:
        return self._order_book.digest

    def reread(self) -> None:
        """Have everything read again, from the log's end of then."""
        self._all_due = 0.0

    # ----- reading

    async def run(self, client: Client, scripts: Mapping[str, Script], on_read: Callable[[], None]) -> None:
        """Read till cancelled, or till the connection breaks.

        Args:
            client: for the log and the rest.
            scripts: those of `shared_scripts`, by name.
            on_read: called after each reading of everything.

        """
        self._scripts = scripts
        self.reread()
        self.busy = True
        while True:
            now = time.monotonic()
            if now >= self._all_due:
                self._all_due = now + READ_EVERY
                await self._read_all(client)
                on_read()
            for key in [key for key, at in self._due.items() if at <= now]:
                await self._read_again(client, key)
            self.busy = False
            await self._follow(client, int(BLOCK * 1000))

    async def _follow(self, client: Client, block: int | None = None) -> None:
        """Take what the log tells since, and wait so many milliseconds for it."""
        replies = await client.xread({self._messages.key("log"): self.place}, count=ENTRIES, block=block)
        entries = replies.items() if isinstance(replies, dict) else replies
        self.busy = True
        for _, taken in entries:
            await self._take_entries(client, taken)

    async def _read_all(self, client: Client) -> None:
        """Read where the log ends, then what it led to: what comes after is told by the log."""
        key = self._messages.key
        self.place = await self._scripts["end"](keys=[key("log")], client=client)
        nodes = {self._node, *self.epochs}
        for raw in await client.zrange(key("nodes"), -NODES, -1):
            try:
                nodes.add(field_name(raw))
            except BadValueError as error:
                self._bad.note(key("nodes"), raw, error)
        for node in sorted(nodes):
            await self._part(self._read_votes(client, node), key("votes", node))
            await self._part(self._read_sums(client, node), key("sums", node))
        await self._part(self._read_orders(client), key("orders"))

    async def _read_again(self, client: Client, key: bytes) -> None:
        """Read one hash again, and not again at once."""
        self._due[key] = time.monotonic() + REREAD_AFTER
        kind, _, name = key.removeprefix(self._messages.prefix).decode().partition(":")
        if not self._differs.pop(key, 0) and key not in self._unread:
            del self._due[key]
            return
        self._unread.discard(key)
        read: dict[str, Callable[[], Awaitable[None]]] = {
            "votes": lambda: self._read_votes(client, name),
            "sums": lambda: self._read_sums(client, name),
            "orders": lambda: self._read_orders(client),
        }
        await self._part(read[kind](), key)

    async def _part(self, reading: Awaitable[None], key: bytes) -> None:
        """Read a part; where Redis refuses it alone, as for its type, go on with the others."""
        if not await self._writer.troubles.attempt(f"reading {key.decode()}", reading):
            self._unread.add(key)
            self._due[key] = time.monotonic() + REREAD_AFTER

    async def _differing(
        self,
        client: Client,
        key: bytes,
        take: Callable[[Mapping[bytes, bytes]], int],
        agreed: Callable[[], int],
        *,
        count: int = SLICE,
        follow: bool = False,
    ) -> set[bytes] | None:
        """Read a hash as `SlicedHashes.read` does.

        With `follow` the log goes on between: a change must not wait till a large hash is read.
        """
        between = (lambda: self._follow(client)) if follow else None
        return await self._slices.read(
            self._scripts["scan"], client, key, take, agreed, count=count, between=between
        )

    async def _head(self, client: Client, key: bytes) -> tuple[int, int]:
        head = self._scripts["fields"](keys=[key], args=["#epoch", "#seq"], client=client)
        epoch, number = await head
        return number_of(epoch), number_of(number)

    def _book(self, key: bytes, node: str, epoch: int) -> Book | None:
        """Return the book of a server's hash; None: what is there is older than what is known."""
        book = self._books.get(key)
        if book is not None and epoch < book.epoch and epoch != self.epochs.get(node):
            return None
        if book is None or epoch != book.epoch:
            self._make_room()
            book = self._books[key] = Book(epoch)
        return book

    def _make_room(self) -> None:
        """Forget who only the log names, where there are too many: what it says of that is not signed."""
        if len(self._books) >= MOST_BOOKS:
            key = self._messages.key
            heard = {key(kind, node) for node in self.epochs for kind in ("votes", "sums")}
            self._books = {key: book for key, book in self._books.items() if key in heard}

    # ----- votes

    async def _read_votes(self, client: Client, node: str) -> None:
        key = self._messages.key("votes", node)
        epoch, number = await self._head(client, key)
        if node == self._node:
            self._writer.saw_epoch(epoch)
            there = Book(epoch, number)
            seen = await self._differing(
                client, key, lambda fields: _note(there, fields), lambda: self._writer.votes.all
            )
            if seen is not None:
                self._writer.check_votes(there.only(seen))
            return
        if not epoch:
            return  # none there: what is known ends by its heartbeat
        book = self._book(key, node, epoch)
        if book is None:
            return

        def take(fields: Mapping[bytes, bytes]) -> int:
            return self._take_votes(key, node, book, fields)[1]

        seen = await self._differing(client, key, take, lambda: book.all, follow=True)
        if seen is None:
            return
        book.number = number
        # What is missing is not signed, and a store may lose it: the server itself says whether that is all.
        gone = book.fields.keys() - seen
        if gone and self.epochs.get(node) == epoch and self._said[node] == book.without(gone):
            for field in gone:
                book.withdraw(field, book.seq(field))
            self._events.on_votes(node, epoch, {field_name(field): None for field in gone})

    def _take_votes(
        self, key: bytes, node: str, book: Book, fields: Mapping[bytes, bytes]
    ) -> tuple[bool, int]:
        """Tell what changed; return whether anything did, and the digest of all."""
        changes: dict[str, AddressVote | None] = {}
        together = 0
        for field, raw in fields.items():
            # All books share one object for a field: ten servers have votes on the same addresses.
            one = self._names.known(field)
            digest = digest_of(one, raw)
            together ^= digest
            if book.digest_of(one) == digest:
                continue
            try:
                name = field_name(one)
                if raw.startswith(WITHDRAWN):
                    if self._withdraws(key, book, one, raw):
                        changes[name] = None
                    continue
                epoch, vote = self._messages.open_vote(key, field, raw)
                _refuse(epoch != book.epoch, TRUNCATED)
                _refuse(vote.seq <= book.withdrawn.get(one, -1) or vote.seq < book.seq(one), REPLAYED)
                _refuse(book.full(one), MANY)
                # What cannot be read takes no place, and nothing away.
                book.enter(one, digest, vote.seq)
                changes[name] = vote
            except BadValueError as error:
                self._bad.note(key, field, error)
        if changes:
            self._events.on_votes(node, book.epoch, changes)
        return bool(changes), together

    def _withdraws(self, key: bytes, book: Book, field: bytes, raw: bytes) -> bool:
        """Take the end of a vote, and return whether there was one."""
        epoch, seq = self._messages.open_withdrawal(key, field, raw)
        _refuse(epoch != book.epoch, TRUNCATED)
        _refuse(seq < book.seq(field), REPLAYED)
        return book.withdraw(field, seq)

    # ----- orders

    async def _read_orders(self, client: Client) -> None:
        key = self._messages.key("orders")
        book = Book()
        orders: dict[bytes, SharedOrder] = {}
        old: list[bytes] = []
        before = time.time() - (self.clock_offset or 0.0) - TOMBSTONE_KEPT

        def take(fields: Mapping[bytes, bytes]) -> int:
            for field, raw in fields.items():
                book.put(field, raw)
                changed = self._order_book.digest_of(field) != book.digest_of(field)
                order = None if changed else self.orders.get(field)
                if order is None and (order := self._open_order(field, raw, tell=changed)) is None:
                    continue
                orders[field] = order
                if order.content is None and order.at < before:
                    old.extend((field, raw))
            return 0

        self._slices.forget(key)  # all of them are told
        await self._differing(client, key, take, lambda: 0, count=LARGE_SLICE)
        self._order_book, self.orders = book, orders
        revisions = await self._revisions(client, {order.zone for order in orders.values()})
        self._events.on_orders(tuple(orders.values()), revisions, whole=True)
        if old:
            await self._writer.forget(key, old)

    def _open_order(self, field: bytes, raw: bytes, *, tell: bool = True) -> SharedOrder | None:
        try:
            return self._messages.open_order(field, raw)
        except BadValueError as error:
            if tell:
                self._bad.note(self._messages.key("orders"), field, error)
            return None

    async def _revisions(self, client: Client, zones: Iterable[str]) -> dict[str, str]:
        names = sorted(zones)
        found: dict[str, str] = {}
        for start in range(0, len(names), SLICE):
            some = names[start : start + SLICE]
            keys = [self._messages.key("rev", zone) for zone in some]
            values = await self._scripts["revisions"](keys=keys, client=client)
            found.update(
                (zone, value.decode("ascii", "replace"))
                for zone, value in zip(some, values, strict=True)
                if value
            )
        return found

    # ----- sums

    async def _read_sums(self, client: Client, node: str) -> None:
        key = self._messages.key("sums", node)
        epoch, number = await self._head(client, key)
        book = self._books.setdefault(key, Book())
        book.epoch, book.number = epoch, number
        there = Book(epoch, number)

        def take(fields: Mapping[bytes, bytes]) -> int:
            self._take_sums(key, node, fields)
            return _note(there, fields)

        own = self._writer.sums if node == self._node else book
        seen = await self._differing(client, key, take, lambda: own.all, count=LARGE_SLICE)
        if seen is None:
            return
        for field in book.fields.keys() - seen:
            book.drop(field)
        if node == self._node:
            self._writer.check_sums(there.only(seen))

    def _take_sums(self, key: bytes, node: str, fields: Mapping[bytes, bytes | None]) -> None:
        self._make_room()
        book = self._books.setdefault(key, Book())
        changes: dict[str, JsonValue] = {}
        for field, raw in fields.items():
            if raw is None:
                book.drop(field)
                continue
            digest = digest_of(field, raw)
            if book.digest_of(field) == digest:
                continue
            try:
                name = field_name(field)
                content = self._messages.open_sum(key, field, raw)
                _refuse(book.full(field), MANY)
                book.enter(field, digest)
                if not is_part(name):
                    changes[name] = content
                elif node == self._node:
                    self._own_zones.there([name])
                else:
                    self.zones.take(node, name, content)
            except BadValueError as error:
                self._bad.note(key, field, error)
        if changes:
            self._events.on_sums(node, changes)

    # ----- the log

    async def _take_entries(self, client: Client, entries: Iterable[tuple[bytes, Any]]) -> None:
        for place, entry in entries:
            self.place = place
            if not entry:
                continue
            try:
                await self._take_entry(client, place, dict(entry))
            except BadValueError as error:
                self._bad.note(self._messages.key("log"), place, error)
            await asyncio.sleep(0)

    async def _take_entry(self, client: Client, place: bytes, entry: dict[bytes, bytes]) -> None:
        (kind,) = text_fields(entry, b"kind")
        del entry[b"kind"]
        if kind == b"order":
            # The place in the log of the last order is the revision of its zone.
            self._take_orders(entry, place.decode("ascii"))
            return
        if kind not in {b"votes", b"sums"}:
            return  # a later version's
        raw_node, epoch, number = text_fields(entry, b"node", b"epoch", b"number")
        for name in (b"node", b"epoch", b"number"):
            del entry[name]
        node = field_name(raw_node)
        key = self._messages.key(kind.decode("ascii"), node)
        if node == self._node:
            return
        if kind == b"sums":
            names = list(entry)
            for start in range(0, min(len(names), MOST_NAMED), LARGE_SLICE):
                some = names[start : start + LARGE_SLICE]
                values = await self._scripts["fields"](keys=[key], args=some, client=client)
                self._take_sums(key, node, dict(zip(some, values, strict=True)))
            return
        book = self._book(key, node, number_of(epoch))
        if book is None or number_of(number) <= book.number:
            return
        book.number = number_of(number)
        told, _ = self._take_votes(key, node, book, entry)
        if told and self.clock_offset is not None and (node in self.lags or len(self.lags) < NODES):
            now = (time.time() - self.clock_offset) * 1000
            self.lags[node] = max(0.0, now - place_in_log(place)[0])

    def _take_orders(self, entry: Mapping[bytes, bytes], revision: str) -> None:
        found: list[SharedOrder] = []
        for field, raw in entry.items():
            order = self._open_order(field, raw)
            if order is None:
                continue
            known = self.orders.get(order_field(order))
            if known is not None and known.version.rank > order.version.rank:
                continue  # read already
            if self._order_book.full(field):  # those before it in the entry are told all the same
                self._bad.note(self._messages.key("orders"), field, BadValueError(MANY))
                continue
            self._order_book.put(field, raw)
            self.orders[field] = order
            found.append(order)
        if found:
            self._events.on_orders(found, {order.zone: revision for order in found}, whole=False)


def _refuse(is_so: bool, reason: str) -> None:
    if is_so:
        raise BadValueError(reason)


def _note(book: Book, fields: Mapping[bytes, bytes]) -> int:
    """Enter fields, and return their digests put together."""
    together = 0
    for field, raw in fields.items():
        digest = digest_of(field, raw)
        together ^= digest
        book.note(field, digest)
    return together
