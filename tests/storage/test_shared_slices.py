"""Hashes that are read again: what is sent, and what the reader learns of what is missing or was lost."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from geodns.storage.shared_books import Book, digest_of
from geodns.storage.shared_messages import BadValues
from geodns.storage.shared_slices import SlicedHashes

KEY = b"votes:ns2"
COUNT = 10


class Hash:
    """A hash in Redis that counts the fields it sends; the slices are those of sorted names."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self.fields = dict(fields)
        self.sent = 0

    async def scan(self, keys: list[bytes], args: list[Any], client: Any) -> Sequence[Any]:
        del keys, client
        cursor, count, *known = args
        names = sorted(self.fields)
        same = 0
        while True:
            start = int(cursor)
            some = [part for name in names[start : start + count] for part in (name, self.fields[name])]
            cursor = b"%d" % (start + count) if start + count < len(names) else b"0"
            digest = hashlib.sha1(b"\n".join(some), usedforsecurity=False).hexdigest().encode()
            if same >= len(known) or known[same] != digest:
                self.sent += len(some) // 2
                return same, cursor, digest, some
            same += 1
            if cursor == b"0" or same == len(known):
                return same, cursor, b"", []


class Reader:
    """Keeps a book of what it was given, as those who read votes do."""

    def __init__(self, there: Hash) -> None:
        self.there = there
        self.book = Book()
        self.slices = SlicedHashes(BadValues())

    def take(self, fields: Mapping[bytes, bytes]) -> int:
        together = 0
        for field, raw in fields.items():
            self.book.put(field, raw)
            together ^= digest_of(field, raw)
        return together

    def read(self) -> int:
        """Read the hash; return how many fields were sent."""
        before = self.there.sent
        seen = asyncio.run(
            self.slices.read(self.there.scan, None, KEY, self.take, lambda: self.book.all, count=COUNT)
        )
        if seen is not None:
            self.book.only(seen)
        assert self.book.fields == {name: digest_of(name, raw) for name, raw in self.there.fields.items()}
        return self.there.sent - before


def reader(fields: int = 500) -> Reader:
    return Reader(Hash({b"address %04d" % number: b"up" for number in range(fields)}))


def test_what_has_not_changed_is_not_sent_again() -> None:
    one = reader()
    assert one.read() == 500
    assert one.read() == 0


def test_only_the_slice_of_a_change_is_sent() -> None:
    one = reader()
    one.read()
    one.there.fields[b"address 0123"] = b"down"
    assert one.read() == COUNT


def test_a_field_that_is_gone_is_found() -> None:
    one = reader()
    one.read()
    del one.there.fields[b"address 0123"]
    one.read()  # which compares the book with the hash
    assert one.read() == 0


def test_what_the_log_told_and_the_store_lost_is_found() -> None:
    one = reader()
    one.read()
    one.take({b"address 0123": b"down", b"another": b"up"})
    one.read()


def test_an_emptied_hash_is_found() -> None:
    one = reader()
    one.read()
    one.there.fields.clear()
    assert one.read() == 0


def test_changes_that_come_between_end_with_a_whole_reading() -> None:
    one = reader()
    one.read()

    async def change() -> None:
        number = one.there.sent % 500
        one.there.fields[b"address %04d" % number] = b"down"
        one.take({b"address %04d" % ((number + 7) % 500): b"another"})

    seen = asyncio.run(
        one.slices.read(
            one.there.scan, None, KEY, one.take, lambda: one.book.all, count=COUNT, between=change
        )
    )
    assert seen is None or len(seen) == 500
    one.read()
