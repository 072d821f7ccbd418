"""Response-rate limiting: how many answers of a kind a network of clients may get, from all workers together.

Whoever forges the address of a victim makes a name server send it answers. So each kind of answer goes to
each network a limited number of times a second. What is over it is dropped, or answered by so little that a
real client comes again over TCP.

A limit is kept as the time when the next answer would be due at the permitted rate (the generic cell rate
algorithm): one number for each kind and network, in memory that all workers share. Networks and kinds are
hashed into two rows of such cells, and over the limit is who is so in both: a forger would have to hit both
of a victim's cells. Nobody locks them. Two workers that write one at the same moment lose a count, and a
time is never set back; only answers that pass write at all, so what can be lost is little, and no flood makes
it more.
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
_SIZE = 8

REMEMBERED = 16_384
"""Addresses of which something is known, at most; then that starts anew: forged ones must not fill memory."""
MOST = 1_000
"""Networks that are counted one by one between two reports."""
TOLD = 10
"""Networks in a report: those that were limited most."""


class Action(StrEnum):
    """What becomes of an answer that is over the limit."""

    DROPPED = "dropped"
    TRUNCATED = "truncated"
    BADCOOKIE = "badcookie"


class Limited(NamedTuple):
    """How many answers were limited.

    Attributes:
        actions: by what became of them.
        networks: by network, as text; only those that were limited most.

    """

    actions: Mapping[Action, int]
    networks: Mapping[str, int]


# --- kinds of answers ----------------------------------------------------------------------------------

ERROR = b"!"
"""What errors count as, whatever the question."""
OTHER_VERSION = b"v"
"""What BADVERS counts as."""
NO_QUESTION = b"?"
"""What answers to whoever wants only a cookie count as."""


def positive(owner: bytes, qtype: int) -> bytes:
    """Return what an answer with data counts as.

    Args:
        owner: of the RRset that answered, on the wire; of a wildcard's its own, so that random names below it
            are one kind.
        qtype: the type asked for.

    """
    return b"+%c%c%b" % (qtype >> 8, qtype & 0xFF, owner)


def empty(owner: bytes) -> bytes:
    """Return what an answer without data counts as: by the name that has no such type, or by the zone cut."""
    return b"0" + owner


def denied(origin: bytes) -> bytes:
    """Return what "no such name" counts as: by the zone."""
    return b"-" + origin


# --- limits --------------------------------------------------------------------------------------------


class Cells(NamedTuple):
    """What all workers share.

    Attributes:
        times: two rows of seconds of the machine's monotonic clock, which is one for all processes.
        secret: goes into every hash: Python's own are keyed too, but not under PYTHONHASHSEED=0.

    """

    times: "memoryview[float]"
    secret: bytes

    @classmethod
    def shared(cls) -> "Cells":
        """Return cells that processes share which are forked later; untouched they take no memory."""
        return cls(memoryview(mmap.mmap(-1, 2 * CELLS * _SIZE)).cast("d"), secrets.token_bytes(16))


class Limiter:
    """A worker's view of the limits, and what it has counted.

    Attributes:
        action: what became of the last answer that was over the limit.

    """

    def __init__(self, limit: RateLimit, cells: Cells, rng: random.Random, *, require_cookie: bool) -> None:
        """Begin.

        Args:
            limit: how much is too much.
            cells: shared by all workers.
            rng: chooses which answers slip through: by turns, two floods might each get always the same.
            require_cookie: whether clients that could have a cookie of ours are told to use it.

        """
        self._times = cells.times
        self._step = 1 / limit.per_second
        # A step less than a second, but for what rounding may cost.
        self._ahead = 1 - 0.99 * self._step
        self._slip = limit.slip
        self._prefixes = {4: limit.ipv4_prefix, 16: limit.ipv6_prefix}
        self._shapes = {
            size: (cells.secret + bytes((size,)), prefix // 8, 0xFF00 >> prefix % 8 & 0xFF)
            for size, prefix in self._prefixes.items()
        }
        """By bytes of an address: what a network begins with, its whole bytes, the mask of the one behind."""
        self._exempt = Networks(limit.exempt)
        self._rng = rng
        self._require_cookie = require_cookie
        self._pairs: dict[tuple[str, bytes], tuple[int, int, bytes]] = {}
        self._refused = b""
        self._actions: dict[Action, int] = {}
        self._most: dict[bytes, int] = {}
        self.action: Action | None = None

    def allows(self, address: str, kind: bytes, now: float) -> bool:
        """Say whether a client may have an answer, and take it into account.

        Args:
            address: the client's.
            kind: of the answer, see above.
            now: seconds of the monotonic clock.

        """
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
        # Read again: another worker may have gone on meanwhile, and must not be set back to what it was then.
        times[first] = max(times[first], due)
        times[second] = max(times[second], due)
        return True

    def limited_action(self, cookie_status: CookieStatus) -> Action:
        """Say what becomes of the answer that `allows` has refused last, and count it.

        Args:
            cookie_status: what the client's cookie says.

        """
        action = Action.DROPPED
        if self._slip and (self._slip == 1 or self._rng.random() * self._slip < 1):
            # Whoever forges addresses can send a cookie, too: it must not get more answers than without.
            asks = self._require_cookie and cookie_status in {CookieStatus.CLIENT_ONLY, CookieStatus.STALE}
            action = Action.BADCOOKIE if asks else Action.TRUNCATED
        self.action = action
        self._actions[action] = self._actions.get(action, 0) + 1
        network = self._refused
        if network in self._most or len(self._most) < MOST:
            self._most[network] = self._most.get(network, 0) + 1
        return action

    def take(self) -> Limited | None:
        """Return what was counted since the last call; None for nothing."""
        if not self._actions:
            return None
        most = sorted(self._most.items(), key=lambda item: -item[1])[:TOLD]
        found = Limited(self._actions, {self._shown(network): number for network, number in most})
        self._actions, self._most = {}, {}
        return found

    def _pair(self, address: str, kind: bytes) -> tuple[int, int, bytes]:
        """Return the two cells of a kind and a client's network, and what the network is hashed by.

        For those that are exempt that is empty.
        """
        if len(self._pairs) >= REMEMBERED:
            self._pairs = {}
        full = packed(address)
        start, whole, mask = self._shapes[len(full)]
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
            if network.startswith(self._shapes[size][0])
        )
        address = network[len(self._shapes[size][0]) :].ljust(size, b"\0")
        return str(ip_network((address, prefix)))
