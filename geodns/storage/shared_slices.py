"""Reads hashes of Redis slice by slice, and does not have sent again what is as it was read last."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from geodns.storage.shared_books import MANY
from geodns.storage.shared_client import Client
from geodns.storage.shared_messages import MAX_FIELDS, BadValueError, BadValues
from geodns.storage.shared_writing import Script

SLICE = 100
"""Fields of a slice; the loop goes on between two that are sent."""
COMPARED = 20
"""Slices that Redis compares in one step, which takes it about a millisecond."""
MOST_HASHES = 400
"""Hashes whose slices are remembered."""
TRIES = 3
"""Readings of a hash till it is read as a whole because of changes that came between."""


class Slice(NamedTuple):
    """A slice as it was read last.

    Attributes:
        start: the cursor that it begins at.
        end: the one after it.
        digest: as Redis makes it.
        fields: how many.
        all: the digests of its fields, put together as by a `Book`.

    """

    start: bytes
    end: bytes
    digest: bytes
    fields: int
    all: int


class SlicedHashes:
    """Hashes that are read again and again, and what of them Redis need not send."""

    def __init__(self, bad: BadValues) -> None:
        self._bad = bad
        self._known: dict[bytes, list[Slice]] = {}

    def forget(self, key: bytes) -> None:
        """Have all of a hash sent again."""
        self._known.pop(key, None)

    async def read(
        self,
        script: Script,
        client: Client,
        key: bytes,
        take: Callable[[Mapping[bytes, bytes]], int],
        agreed: Callable[[], int],
        *,
        count: int = SLICE,
        between: Callable[[], Awaitable[None]] | None = None,
    ) -> set[bytes] | None:
        """Give to `take` what has changed in a hash since it was read last, or all of it.

        Args:
            script: `shared_scripts.SCAN`.
            client: for it.
            key: of the hash.
            take: gets fields with their values; returns their digests, put together.
            agreed: returns the same of all fields that the caller knows of.
            count: fields of a slice.
            between: what is done between two slices, where a large hash may take long.

        Returns:
            the names of all fields, if the caller knows others than these or others' values, or if nothing
            was known; None: what the caller knows is there, or there are too many fields.

        """
        for left in reversed(range(TRIES)):
            if not left:
                self._known.pop(key, None)
            before = agreed()
            found = await self._pass(script, client, key, take, count, between)
            if found is None:
                return None
            seen, whole, together = found
            if whole:
                return seen
            if together == agreed():
                return None
            if agreed() == before:  # no change that came between: it is the hash
                self._known.pop(key, None)
        return None

    async def _pass(
        self,
        script: Script,
        client: Client,
        key: bytes,
        take: Callable[[Mapping[bytes, bytes]], int],
        count: int,
        between: Callable[[], Awaitable[None]] | None,
    ) -> tuple[set[bytes], bool, int] | None:
        """Go through a hash once; return the fields that were sent, whether all were, and all digests."""
        known = self._known.get(key, [])
        starts = {one.start: at for at, one in enumerate(known)}
        read: list[Slice] = []
        seen: set[bytes] = set()
        whole, cursor = True, b"0"
        while True:
            at = starts.get(cursor, len(known))
            ahead = known[at : at + COMPARED]
            same, end, digest, fields = await script(
                keys=[key], args=[cursor, count, *(one.digest for one in ahead)], client=client
            )
            read += ahead[:same]
            whole = whole and not same
            if digest:
                together = 0
                items = [
                    (field, raw)
                    for field, raw in zip(fields[::2], fields[1::2], strict=True)
                    if field[:1] != b"#"
                ]
                for first in range(0, len(items), count):
                    together ^= take(dict(items[first : first + count]))
                    await asyncio.sleep(0)
                seen.update(field for field, _ in items)
                read.append(Slice(read[-1].end if read else b"0", end, digest, len(items), together))
            if sum(one.fields for one in read) > MAX_FIELDS:
                self._known.pop(key, None)
                self._bad.note(key, b"", BadValueError(MANY))
                return None
            cursor = end
            if cursor == b"0":
                break
            if between is not None:
                await between()
        if len(self._known) >= MOST_HASHES:
            self._known.clear()
        self._known[key] = read
        together = 0
        for one in read:
            together ^= one.all
        return seen, whole, together
