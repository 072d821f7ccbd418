"""Keeps what each other server has said, and which of them are heard. Pure.

A server is heard until it has been silent for `SILENT` seconds of a clock that runs only while our own
connection does, and while we run. Its votes count with its heartbeat's epoch alone.
"""

import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from geodns.health.quorum_merge import BALLOT, ballot_of
from geodns.model.shared import AddressVote, Heartbeat

SILENT = 5.0
KNOWN_FOR = 86400.0
"""Seconds after which a server that nobody lists is forgotten."""
DOUBLED_FOR = 10.0
"""Seconds from the last sign of a second server of one node until its votes count again."""
DOUBLED_FROM = 1.0
"""Seconds between two signs of one, so that messages that come late are none."""
MAX_VOTES = 20_000
"""Addresses of one server."""
MAX_PEERS = 100
ABSENT = -1
"""No ballot: the server does not have that address."""

_WRAP = 2**64


class VoteDigest:
    """The digest of a server's votes, kept with each change: it finds lost messages, not forged ones."""

    __slots__ = ("_sum",)

    def __init__(self) -> None:
        self._sum = 0

    def add(self, key: str, packed: int, backs: str) -> None:
        self._sum = (self._sum + self._of(key, packed, backs)) % _WRAP

    def remove(self, key: str, packed: int, backs: str) -> None:
        self._sum = (self._sum - self._of(key, packed, backs)) % _WRAP

    def __str__(self) -> str:
        return f"{self._sum:016x}"

    @staticmethod
    def _of(key: str, packed: int, backs: str) -> int:
        return zlib.crc32(f"{packed} {backs} {key}".encode(errors="replace"))


@dataclass(slots=True)
class Doubles:
    """Tells whether two live servers have one node, from heartbeats of an epoch that is not the newest."""

    first: float | None = None
    last: float = 0.0
    sent: float = 0.0
    until: float = 0.0

    def note(self, beat: Heartbeat, now: float) -> None:
        """Take a heartbeat that is not of the server's own newest epoch."""
        if self.first is None or now - self.last > DOUBLED_FOR:
            self.first, self.last, self.sent = now, now, beat.at
        elif beat.at != self.sent:
            self.last, self.sent = now, beat.at
            if now - self.first >= DOUBLED_FROM:
                self.until = now + DOUBLED_FOR

    def now(self, now: float) -> bool:
        return now < self.until


@dataclass(slots=True)
class Peer:
    """Another server.

    Attributes:
        votes: by key: the seq above 8 bits of ballot.
        backs: the server whose vote made a vote, where there is one.
        votes_epoch: of the votes.
        votes_seq: the highest seq that has come.
        whole: whether all its votes of that epoch were read, so that it has no other addresses.
        heard_at: in seconds of the listening clock.
        seen: by our monotonic clock.

    """

    node: str
    epoch: int = -1
    zones: frozenset[str] = frozenset()
    votes: dict[str, int] = field(default_factory=dict)
    backs: dict[str, str] = field(default_factory=dict)
    votes_epoch: int = -1
    votes_seq: int = -1
    whole: bool = False
    digest: VoteDigest = field(default_factory=VoteDigest)
    beat_seq: int = -1
    heard_at: float = 0.0
    seen: float = 0.0
    alive: bool = False
    doubled: bool = False
    doubles: Doubles = field(default_factory=Doubles)

    def ballot(self, key: str) -> int:
        """Return its ballot on an address: 0, an abstention, where its votes do not count."""
        if self.votes_epoch != self.epoch:
            return 0
        packed = self.votes.get(key)
        if packed is None:
            return ABSENT if self.whole else 0
        return 0 if self.doubled else packed & BALLOT

    def take(
        self,
        epoch: int,
        votes: Mapping[str, AddressVote],
        gone: Collection[str],
        whole: int | None,
        interned: Mapping[str, str],
    ) -> Iterator[str]:
        """Take its votes; return the addresses on which they changed."""
        if epoch < self.votes_epoch:
            return
        if epoch > self.votes_epoch:
            yield from self.votes
            self.votes, self.backs, self.digest = {}, {}, VoteDigest()
            self.votes_epoch, self.votes_seq, self.whole = epoch, -1, False
        same: dict[int, int] = {}  # one object for all addresses of which the same is said
        for key, vote in votes.items():
            before = self.votes.get(key)
            self.votes_seq = max(self.votes_seq, vote.seq)
            if before is None and len(self.votes) >= MAX_VOTES:
                continue
            if before is not None and vote.seq <= before >> 8:
                continue
            self._forget(key)
            packed = vote.seq << 8 | ballot_of(vote)
            packed = same.setdefault(packed, packed)
            self.votes[interned.get(key, key)] = packed
            if vote.backs:
                self.backs[interned.get(key, key)] = vote.backs
            self.digest.add(key, packed, vote.backs)
            yield key
        missing = set(gone)
        if whole is not None:
            self.whole = True
            self.votes_seq = max(self.votes_seq, whole)
            missing.update(k for k, packed in self.votes.items() if k not in votes and packed >> 8 <= whole)
        for key in missing:
            if self._forget(key):
                yield key

    def _forget(self, key: str) -> bool:
        packed = self.votes.pop(key, None)
        if packed is None:
            return False
        self.digest.remove(key, packed, self.backs.pop(key, ""))
        return True

    def completed(self, beat: Heartbeat) -> bool:
        """Take from a heartbeat that all its votes have come; tell whether that was not known."""
        if self.whole or (self.votes_epoch, self.votes_seq) != (beat.epoch, beat.seq):
            return False
        self.whole = beat.digests.get("votes") == str(self.digest)
        return self.whole

    def missed(self, beat: Heartbeat) -> bool:
        """Tell from a heartbeat that is not taken yet whether votes were lost on the way."""
        said = beat.digests.get("votes")
        if said is None or self.votes_epoch > beat.epoch:
            return False
        if self.votes_epoch < beat.epoch:
            return self.epoch == beat.epoch and self.beat_seq > 0
        if self.votes_seq == beat.seq:
            return said != str(self.digest)
        return self.epoch == beat.epoch and self.beat_seq > self.votes_seq


class Hearing:
    """Knows the other servers, and who of them is heard.

    Attributes:
        peers: by node; ours is not among them.
        connected: whether the own connection works.

    """

    def __init__(self, now: float) -> None:
        self.peers: dict[str, Peer] = {}
        self.connected = False
        self._listened = 0.0
        self._since = now

    def connect(self, now: float, *, yes: bool) -> None:
        self._listened = self._clock(now)
        self._since = now
        self.connected = yes

    def skip(self, now: float) -> None:
        """Give everybody a new start: we did not run until now, and heard nobody for that."""
        self._since = now
        for peer in self.peers.values():
            peer.heard_at = self._listened

    def _clock(self, now: float) -> float:
        return self._listened + (now - self._since if self.connected else 0.0)

    def note(self, beat: Heartbeat, now: float) -> Peer | None:
        """Take another server's heartbeat; None: it is an old one, or there are too many servers."""
        peer = self.peer(beat.node)
        if peer is None or beat.epoch >= peer.epoch:
            return peer
        peer.doubles.note(beat, now)
        return None

    def peer(self, node: str) -> Peer | None:
        """Return a server, a new one if need be; None: there are too many."""
        if node not in self.peers and len(self.peers) < MAX_PEERS:
            self.peers[node] = Peer(node)
        return self.peers.get(node)

    def hear(self, peer: Peer, beat: Heartbeat, now: float) -> None:
        """Count a server as heard."""
        peer.epoch = beat.epoch
        peer.beat_seq = beat.seq
        peer.zones = frozenset(beat.zones)
        peer.heard_at = self._clock(now)
        peer.seen = now
        peer.alive = True

    def remember(self, node: str, zones: frozenset[str], seen: float) -> None:
        """Take a server as one that was heard before we started: known, but not heard."""
        if (peer := self.peer(node)) is not None and not peer.alive:
            peer.zones, peer.seen = zones, seen

    def silent(self, now: float) -> list[Peer]:
        """Return the servers that were heard until now."""
        clock = self._clock(now)
        return [peer for peer in self.peers.values() if peer.alive and clock - peer.heard_at > SILENT]

    def forget(self, now: float, listed: Collection[str]) -> bool:
        """Forget servers that were not heard for a day and that nobody lists; tell whether there were any."""
        old = [
            node
            for node, peer in self.peers.items()
            if now - peer.seen > KNOWN_FOR and not peer.alive and node not in listed
        ]
        for node in old:
            del self.peers[node]
        return bool(old)
