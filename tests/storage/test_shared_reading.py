"""What a reader takes of a store that others may write to: nothing unsigned, old, or without bound."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from geodns.model.shared import AddressVote, OrderVersion, SharedOrder, Vote
from geodns.storage import shared_books
from geodns.storage.shared_books import MANY, Book, digest_of
from geodns.storage.shared_client import Troubles
from geodns.storage.shared_messages import FORGED, UNSIGNED, WITHDRAWN, BadValues, Messages, order_field
from geodns.storage.shared_reading import REPLAYED, TRUNCATED, SharedReader
from geodns.storage.shared_writing import SharedWriter

MESSAGES = Messages("out", b"of the group")
STRANGER = Messages("out", b"another secret")
KEY = MESSAGES.key("votes", "ns2")
A, B = b"a", b"b"
Hash = dict[bytes, bytes]


class DoneError(Exception):
    """The fake store has no more to give."""


class Told:
    """Takes what a reader tells."""

    def __init__(self) -> None:
        self.votes: dict[str, AddressVote | None] = {}
        self.sums: dict[str, Any] = {}
        self.orders: dict[tuple[str, str, str], SharedOrder] = {}

    def on_votes(self, node: str, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        del node, epoch
        self.votes.update(changes)

    def on_sums(self, node: str, changes: Mapping[str, Any]) -> None:
        del node
        self.sums.update(changes)

    def on_orders(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        del revisions, whole
        self.orders.update((order.key, order) for order in orders)


class World:
    """A reader, and a store in memory for it."""

    def __init__(self) -> None:
        self.told, self.bad = Told(), BadValues()
        writer = SharedWriter(MESSAGES, "ns1", Troubles(None, lambda: None), self.bad, "token")  # type: ignore[arg-type] # nothing fails here
        self.reader = SharedReader(MESSAGES, "ns1", self.told, writer)  # type: ignore[arg-type] # it never hears a beat
        self.hashes: dict[bytes, Hash] = {}
        self.entries: list[tuple[bytes, dict[bytes, bytes]]] = []
        self.number = 0

    def vote(self, field: bytes, seq: int, *, vote: Vote = Vote.DOWN, epoch: int = 1) -> bytes:
        body = MESSAGES.vote_body(epoch, AddressVote(vote=vote, held=Vote.UP, seq=seq))
        return MESSAGES.seal_vote(KEY, field, body)

    def end(self, field: bytes, seq: int, *, epoch: int = 1, messages: Messages = MESSAGES) -> bytes:
        return messages.seal_withdrawal(KEY, field, epoch, seq)

    def log(self, **values: bytes) -> None:
        """Let the log tell of votes of ns2."""
        self.number += 1
        entry = {b"kind": b"votes", b"node": b"ns2", b"epoch": b"1", b"number": b"%d" % self.number}
        entry |= {name.encode(): value for name, value in values.items()}
        self.add(entry)

    def add(self, entry: dict[bytes, bytes]) -> None:
        self.entries.append((b"1-%d" % len(self.entries), entry))

    def keep(self, **values: bytes) -> None:
        """Let the hash of ns2's votes hold these alone."""
        self.hashes[KEY] = {b"#epoch": b"1", b"#seq": b"%d" % self.number}
        self.hashes[KEY].update((name.encode(), value) for name, value in values.items())

    def say(self, *values: tuple[bytes, bytes]) -> None:
        """Let a heartbeat of ns2 say that its votes are these."""
        book = Book(1)
        for field, raw in values:
            book.put(field, raw)
        self.reader.compare("ns2", 1, {"votes": book.digest})

    def read(self) -> None:
        """Read everything, and then the log."""

        async def xread(places: object, **options: object) -> list[Any]:
            del places, options
            if not self.entries:
                raise DoneError
            taken, self.entries = self.entries, []
            return [(b"log", taken)]

        async def zrange(key: bytes, first: int, last: int) -> list[bytes]:
            del key, first, last
            return [b"ns2"]

        async def scan(*, keys: list[bytes], **more: object) -> list[Any]:
            del more
            flat = [part for pair in self.hashes.get(keys[0], {}).items() for part in pair]
            return [0, b"0", b"a digest", flat]

        async def fields(*, keys: list[bytes], args: list[Any], **more: object) -> list[bytes | None]:
            del more
            found = self.hashes.get(keys[0], {})
            return [found.get(one if isinstance(one, bytes) else one.encode()) for one in args]

        async def end(**more: object) -> bytes:
            del more
            return b"0-0"

        async def revisions(**more: object) -> list[bytes]:
            del more
            return []

        class Client:
            pass

        client: Any = Client()
        client.xread, client.zrange = xread, zrange
        scripts: dict[str, Any] = {"scan": scan, "fields": fields, "end": end, "revisions": revisions}
        with pytest.raises(DoneError):
            asyncio.run(self.reader.run(client, scripts, lambda: None))


@pytest.fixture
def world() -> World:
    return World()


def test_a_vote_that_was_withdrawn_does_not_come_back(world: World) -> None:
    old = world.vote(A, 4)
    world.log(a=world.vote(A, 3), b=world.vote(B, 3))
    world.log(a=old)
    world.log(a=world.end(A, 6))
    world.read()
    assert world.told.votes["a"] is None
    world.log(a=old)
    world.read()
    world.keep(a=old, b=world.vote(B, 3))
    world.reader.reread()
    world.read()
    assert world.told.votes["a"] is None
    assert world.bad.counts == {REPLAYED: 2}
    world.log(a=world.vote(A, 7))
    world.read()
    assert world.told.votes["a"] is not None


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(b"", "not the JSON that geodns writes", id="nothing"),
        pytest.param(WITHDRAWN + b'{"e":1,"q":9}', UNSIGNED, id="unsigned"),
        pytest.param(STRANGER.seal_withdrawal(KEY, A, 1, 9), FORGED, id="another secret"),
        pytest.param(MESSAGES.seal_withdrawal(KEY, B, 1, 9), FORGED, id="another field's"),
        pytest.param(
            MESSAGES.seal_withdrawal(MESSAGES.key("votes", "ns3"), A, 1, 9), FORGED, id="another server's"
        ),
        pytest.param(MESSAGES.seal_withdrawal(KEY, A, 2, 9), TRUNCATED, id="another epoch's"),
        pytest.param(MESSAGES.seal_withdrawal(KEY, A, 1, 2), REPLAYED, id="an older one"),
    ],
)
def test_only_its_server_withdraws_a_vote(world: World, end: bytes, reason: str) -> None:
    world.log(a=world.vote(A, 3))
    world.log(a=end)
    world.read()
    assert world.told.votes["a"] is not None
    assert world.bad.counts == {reason: 1}


def test_an_older_vote_replaces_none(world: World) -> None:
    up = world.vote(A, 3, vote=Vote.UP)
    world.log(a=up)
    world.log(a=world.vote(A, 4))
    world.log(a=up)
    world.read()
    world.keep(a=up)
    world.reader.reread()
    world.read()
    now = world.told.votes["a"]
    assert now is not None
    assert now.seq == 4


def test_what_vanishes_from_the_store_is_gone_if_its_server_says_so(world: World) -> None:
    a, b = world.vote(A, 3), world.vote(B, 3)
    world.keep(a=a, b=b)
    world.read()
    world.keep(b=b)
    world.read()
    assert world.told.votes["a"] is not None, "somebody may have deleted it"
    world.say((A, a), (B, b))
    world.reader.reread()
    world.read()
    assert world.told.votes["a"] is not None
    world.say((B, b))
    world.reader.reread()
    world.read()
    assert world.told.votes["a"] is None
    world.keep(a=a, b=b)
    world.reader.reread()
    world.read()
    assert world.told.votes["a"] is None


@pytest.mark.parametrize("kind", [b"votes", b"sums"])
def test_what_the_log_names_is_bounded(world: World, kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Junk takes no place; what is signed takes no more than a hash may have."""
    monkeypatch.setattr(shared_books, "MAX_FIELDS", 3)
    head = {b"kind": kind, b"node": b"ns2", b"epoch": b"1"}
    key = MESSAGES.key(kind.decode(), "ns2")
    names = [b"n%d" % number for number in range(5)]
    for number, name in enumerate(names, 1):
        value = (
            world.vote(name, number)
            if kind == b"votes"
            else MESSAGES.seal_sum(key, name, 1, number, {"c": {}})
        )
        world.hashes.setdefault(key, {})[name] = value
        junk = {b"junk%d" % number: b'{"e":1}'}
        world.hashes[key] |= junk
        world.add(head | {b"number": b"%d" % number, name: value} | junk)
    world.hashes[KEY] = world.hashes.get(KEY, {})
    world.read()
    assert len(world.told.votes) + len(world.told.sums) == 3
    assert world.bad.counts[MANY]
    assert set(world.reader._books[key].fields) == set(names[:3])


def test_orders_of_the_log_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_books, "MAX_FIELDS", 3)
    for number in range(5):
        order = SharedOrder(
            zone="example.com",
            host=f"mx{number}",
            kind="state",
            version=OrderVersion(counter=1, id="a" * 32),
            node="ns2",
            at=1.0,
        )
        world.add({b"kind": b"order", order_field(order): MESSAGES.seal_order(order)})
    world.read()
    assert len(world.told.orders) == 3
    assert world.bad.counts == {MANY: 2}


def test_a_book_remembers_the_ends_of_so_many_votes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_books, "MAX_FIELDS", 2)
    book = Book(1)
    empty = book.digest
    for number, field in enumerate((A, B, b"c")):
        book.enter(field, digest_of(field, b"x"), number)
        assert book.withdraw(field, number)
    assert book.withdrawn == {B: 1, b"c": 2}
    assert book.digest == empty
