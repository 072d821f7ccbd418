"""Finds what of our votes the other servers do not have yet: only changes are published. Pure."""

from collections.abc import Collection, Mapping

from geodns.health.quorum_address import SharedAddress
from geodns.health.quorum_merge import BALLOT, VOTE, VOTES
from geodns.health.quorum_peers import VoteDigest
from geodns.model.shared import AddressVote

AT_ONCE = 1_000
"""Votes that are published at once; the rest follows."""


class OwnVotes:
    """Our votes as published.

    Attributes:
        seq: of the last one.
        digest: of all.

    """

    def __init__(self) -> None:
        self.seq = 0
        self.digest = VoteDigest()
        self._changed: dict[str, None] = {}
        self._again: dict[str, None] = {}
        self._gone: dict[str, None] = {}

    @property
    def more(self) -> bool:
        """Whether `take` may have more to give."""
        return bool(self._changed or self._again)

    def change(self, key: str) -> None:
        """Note that our vote may have changed."""
        self._changed[key] = None

    def repeat(self, keys: Collection[str]) -> None:
        """Publish again what was published."""
        self._again.update(dict.fromkeys(keys))

    def forget(self, address: SharedAddress) -> None:
        """Take an address out."""
        if address.said >= 0:
            self.digest.remove(address.key, address.said, address.said_backs)
            self._gone[address.key] = None
        self._changed.pop(address.key, None)
        self._again.pop(address.key, None)

    def take(
        self, addresses: Mapping[str, SharedAddress], *, silent: bool
    ) -> tuple[dict[str, AddressVote], tuple[str, ...]]:
        """Return the votes to publish, and the addresses that we no longer have.

        Args:
            addresses: ours.
            silent: whether we do not vote.

        """
        if not (self._changed or self._again or self._gone):
            return {}, ()
        found: dict[str, AddressVote] = {}
        # Most that is said at once is the same, and then one object.
        same: dict[tuple[int, str], AddressVote] = {}
        numbers: dict[int, int] = {}
        seq = self.seq + 1
        while self._changed and len(found) < AT_ONCE:
            key, _ = self._changed.popitem()
            address = addresses[key]
            ballot = 0 if silent else address.ballot()
            backs = address.backs if ballot & VOTE else ""
            if address.said >= 0 and address.said & BALLOT == ballot and address.said_backs == backs:
                continue
            if address.said >= 0:
                self.digest.remove(key, address.said, address.said_backs)
            said = seq << 8 | ballot
            address.said, address.said_backs = numbers.setdefault(said, said), backs
            self.digest.add(key, address.said, backs)
            self.seq = seq
            found[key] = _vote_of(address, same)
            self._again.pop(key, None)
        while self._again and len(found) < AT_ONCE:
            address = addresses[self._again.popitem()[0]]
            if address.said >= 0:
                found[address.key] = _vote_of(address, same)
        gone = tuple(key for key in self._gone if key not in addresses)
        self._gone = {}
        return found, gone


def _vote_of(address: SharedAddress, same: dict[tuple[int, str], AddressVote]) -> AddressVote:
    said = address.said, address.said_backs
    vote = same.get(said)
    if vote is None:
        ballot = address.said & BALLOT
        vote = same[said] = AddressVote(
            vote=VOTES[ballot & VOTE],
            level=ballot >> 4,
            held=VOTES[ballot >> 2 & VOTE],
            seq=address.said >> 8,
            backs=address.said_backs,
        )
    return vote
