"""The query log in a worker: which queries it notes until the next pulse takes them."""

import random
from typing import NamedTuple

from geodns.responder.answer_policy import QueryLog
from geodns.wire.message import HEADER, MAX_QUESTION, name_asked
from geodns.wire.names import parents
from geodns.wire.networks import Networks, packed

MAX_NOTED = 500
"""Queries noted between two pulses (`serve.worker.PULSE`), at most; the others are counted."""

MAX_PACKET = 4096
"""Bytes of a query that are kept: all that one has over UDP."""

MAX_ANSWER = HEADER + MAX_QUESTION + 11
"""Bytes of an answer that are kept: up to where the upper bits of an RCODE may stand."""

REMEMBERED = 4_096
"""Addresses for which is remembered whether they are wanted."""


class Noted(NamedTuple):
    """A query and the start of its answer.

    Attributes:
        at: seconds since the epoch.
        client: address, port, and ``udp`` or ``tcp``.
        answer: its start; empty when there is none.
        size: the whole answer's bytes.
        limited: the rate limit's action; empty: none.

    """

    at: float
    client: tuple[str, int, str]
    packet: bytes
    answer: bytes
    size: int
    limited: str


class Recorder:
    """A worker's notes, until they are taken; `rng` chooses the sample."""

    def __init__(self, wanted: QueryLog, rng: random.Random) -> None:
        self._sample = wanted.sample
        self._until = wanted.until
        self._zones = frozenset(wanted.zones)
        self._networks = Networks(wanted.clients)
        self._rng = rng
        self._clients: dict[str, bool] = {}
        self._noted: list[Noted] = []
        self._dropped = 0

    def note(
        self,
        packet: bytes,
        client: tuple[str, int, str],
        answer: bytes | None,
        limited: str,
        now: float,
        epoch: float,
    ) -> None:
        """Note a query if it is wanted.

        Args:
            packet: the query.
            client: address, port and transport.
            answer: None: dropped.
            limited: the rate limit's action; empty: none.
            now: seconds of the monotonic clock.
            epoch: is added to `now` for seconds since the epoch.

        """
        if self._sample < 1 and self._rng.random() >= self._sample:
            return
        if self._until is not None and now >= self._until:  # also when nobody is there to switch it off
            return
        if self._networks and not self._is_wanted(client[0]):
            return
        if self._zones and not self._is_in_zones(packet):
            return
        if len(self._noted) >= MAX_NOTED:
            self._dropped += 1
            return
        start = answer or b""
        self._noted.append(
            Noted(now + epoch, client, packet[:MAX_PACKET], start[:MAX_ANSWER], len(start), str(limited))
        )

    def take(self) -> tuple[tuple[Noted, ...], int]:
        """Return the notes since the last call, and how many queries had no room."""
        found = tuple(self._noted), self._dropped
        self._noted, self._dropped = [], 0
        return found

    def _is_wanted(self, address: str) -> bool:
        known = self._clients.get(address)
        if known is None:
            if len(self._clients) >= REMEMBERED:
                self._clients = {}
            # A TCP client that is gone before it was accepted has no address.
            known = self._clients[address] = bool(address) and self._networks.have(packed(address))
        return known

    def _is_in_zones(self, packet: bytes) -> bool:
        name = name_asked(packet)
        if name is None:
            return False
        return name in self._zones or any(parent in self._zones for parent in parents(name))
