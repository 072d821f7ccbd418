"""Response-rate limiting: how many answers of a kind a network of clients may get, from all workers together.

Whoever forges the address of a victim makes a name server send it answers. So each kind of answer goes to
each network a limited number of times a second. What is over it is dropped, or answered by so little that a
real client comes again over TCP.

A limit is kept as the time when the next answer is due at the permitted rate (the generic cell rate
algorithm): one number for each kind and network, in memory that all workers share. Networks and kinds are
hashed into two rows of such cells, and only who is over the limit in both is limited: a forger has to hit
both of a victim's cells. There is no lock. Two workers that write a cell at the same moment lose a count, but
a time is never set back; only answers that pass write at all, so the loss is small and no flood makes it
larger.
"""

import mmap
import random
import secrets
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_network
from typing import NamedTuple

from geodns.responder.answer_policy import RateLimit
from geodns.wire.cookies import CookieStatus
from geodns.wire.networks import Networks, packed

CELLS = 65_536
"""Cells in each of the two rows; a power of two."""
_MASK = CELLS - 1
_BITS = CELLS.bit_length() - 1
CELLS_SIZE = 2 * CELLS * 8
"""Bytes of all cells."""

REMEMBERED = 16_384
"""Pairs of address and kind, at most; then they start anew: forged addresses must not fill memory."""
MAX_COUNTED = 1_000
"""Networks that are counted between two reports, at most."""
MAX_REPORTED = 10
"""Networks in a report: those that were limited most."""


class Action(StrEnum):
    """The fate of an answer over the limit."""

    DROPPED = "dropped"
    TRUNCATED = "truncated"
    BADCOOKIE = "badcookie"


class Limited(NamedTuple):
    """Counts of limited answers.

    Attributes:
        networks: as text; only those that were limited most.

    """

    actions: Mapping[Action, int]
    networks: Mapping[str, int]


# --- kinds of answers ----------------------------------------------------------------------------------

ERROR = b"!"
"""Errors, whatever the question."""
OTHER_VERSION = b"v"
"""BADVERS."""
NO_QUESTION = b"?"
"""Answers to a query for a cookie alone."""


def positive(owner: bytes, qtype: int) -> bytes:
    """Return the kind of an answer with data; all names below a wildcard, the owner, are one kind."""
    return b"+%c%c%b" % (qtype >> 8, qtype & 0xFF, owner)


def empty(owner: bytes) -> bytes:
    """Return the kind of an answer without data: by the name without that type, or by the zone cut."""
    return b"0" + owner


def denied(origin: bytes) -> bytes:
    """Return the kind of "no such name": by the zone."""
    return b"-" + origin


# --- limits --------------------------------------------------------------------------------------------


class Cells(NamedTuple):
    """The cells that all workers share.

    Attributes:
        times: two rows of seconds of the monotonic clock, which all processes share.
        secret: goes into every hash: Python's own are keyed too, but not under PYTHONHASHSEED=0.

    """

    times: "memoryview[float]"
    secret: bytes

    @classmethod
    def shared(cls, descriptor: int = -1, secret: bytes = b"") -> "Cells":
        """Return cells for processes that are forked later; untouched they take no memory.

        Args:
            descriptor: of a file of `CELLS_SIZE` bytes in which they are; -1: in no file.
            secret: with which that file's cells are found; empty: a new one.

        """
        times = memoryview(mmap.mmap(descriptor, CELLS_SIZE)).cast("d")
        return cls(times, secret or secrets.token_bytes(16))


class Limiter:
    """A worker's view of the limits, and its counts.

    Attributes:
        action: what happened to the last answer over the limit.

    """

    def __init__(self, limit: RateLimit, cells: Cells, rng: random.Random, *, require_cookie: bool) -> None:
        self._times = cells.times
        self._step = 1 / limit.per_second
        # A second less one step, and a little more for rounding.
        self._ahead = 1 - 0.99 * self._step
        self._slip = limit.slip
        self._prefixes = {4: limit.ipv4_prefix, 16: limit.ipv6_prefix}
        self._masks = {
            size: (cells.secret + bytes((size,)), prefix // 8, 0xFF00 >> prefix % 8 & 0xFF)
            for size, prefix in self._prefixes.items()
        }
        """By bytes of an address: what a hashed network begins with, its whole bytes, the next one's mask."""
        self._exempt = Networks(limit.exempt)
        self._rng = rng
        self._require_cookie = require_cookie
        self._pairs: dict[tuple[str, bytes], tuple[int, int, bytes]] = {}
        self._refused = b""
        self._actions: dict[Action, int] = {}
        self._most: dict[bytes, int] = {}
        self.action: Action | None = None

    def allows(self, address: str, kind: bytes, now: float) -> bool:
        """Say whether a client may have an answer of a kind, and if so count it as given."""
        pair = self._pairs.get((address, kind))
        if pair is None:
            pair = self._pair(address, kind)
        first, second, network = pair
        if not network:
            return True
        times = self._times
        due = min(times[first], times[second])
        if due > now + self._ahead:
            self._refused = network
            return False
        due = (due if due > now else now) + self._step  # noqa: FURB136 - calling `max` costs more
        # Read again: another worker may have written meanwhile, and must not be set back.
        times[first] = max(times[first], due)
        times[second] = max(times[second], due)
        return True

    def limited_action(self, cookie_status: CookieStatus) -> Action:
        """Choose what happens to the answer that `allows` refused last, and count it."""
        action = Action.DROPPED
        # At random: by turns, of two floods one might always slip through.
        if self._slip and (self._slip == 1 or self._rng.random() * self._slip < 1):
            # Whoever forges addresses can send a cookie too, and must not get more answers for it.
            asks = self._require_cookie and cookie_status in {CookieStatus.CLIENT_ONLY, CookieStatus.STALE}
            action = Action.BADCOOKIE if asks else Action.TRUNCATED
        self.action = action
        self._actions[action] = self._actions.get(action, 0) + 1
        network = self._refused
        if network in self._most or len(self._most) < MAX_COUNTED:
            self._most[network] = self._most.get(network, 0) + 1
        return action

    def take(self) -> Limited | None:
        """Return the counts since the last call; None: nothing was limited."""
        if not self._actions:
            return None
        most = sorted(self._most.items(), key=lambda item: -item[1])[:MAX_REPORTED]
        found = Limited(self._actions, {self._shown(network): number for network, number in most})
        self._actions, self._most = {}, {}
        return found

    def _pair(self, address: str, kind: bytes) -> tuple[int, int, bytes]:
        """Return the two cells of a kind and a client's network, and the network; empty: it is exempt."""
        if len(self._pairs) >= REMEMBERED:
            self._pairs = {}
        full = packed(address)
        start, whole, mask = self._masks[len(full)]
        network = start + full[:whole]
        if mask:
            network += bytes((full[whole] & mask,))
        if self._exempt and self._exempt.have(full):
            network = b""
        hashed = hash((network, kind))
        pair = hashed & _MASK, hashed >> _BITS & _MASK | CELLS, network
        self._pairs[address, kind] = pair
        return pair

    def _shown(self, network: bytes) -> str:
        size, prefix = next(
            (size, prefix)
            for size, prefix in self._prefixes.items()
            if network.startswith(self._masks[size][0])
        )
        address = network[len(self._masks[size][0]) :].ljust(size, b"\0")
        return str(ip_network((address, prefix)))
