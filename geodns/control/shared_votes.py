"""Tells other servers our votes over HTTP, and reads theirs: strict, bounded and signed. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from geodns.errors import UsageError
from geodns.model.base import Frozen
from geodns.model.shared import CURSOR, AddressVote
from geodns.storage.shared_messages import (
    MAX_FIELD,
    MAX_FIELDS,
    MAX_VALUE,
    BadValueError,
    BadValues,
    Beat,
    Messages,
    field_name,
)

MAX_BODY = 16 * 2**20
"""Bytes of all that a server says at once."""

_Text = Annotated[str, Field(max_length=MAX_VALUE)]
_Key = Annotated[str, Field(max_length=MAX_FIELD)]


class SealedVotes(Frozen):
    """What a server says to another that asks for its votes; heartbeat and votes are as in the store.

    Attributes:
        since: what came before is not in it; None: these are all its votes.
        next: to ask for what comes after.
        votes: by address.
        gone: addresses that it no longer has.

    """

    model_config = ConfigDict(extra="ignore", strict=True)

    node: str = Field(min_length=1, max_length=63)
    group: str = Field(max_length=32)
    since: str | None = Field(pattern=f"^{CURSOR}$")
    next: str = Field(pattern=f"^{CURSOR}$")
    beat: _Text
    votes: Annotated[dict[_Key, _Text], Field(max_length=MAX_FIELDS)]
    gone: Annotated[tuple[_Key, ...], Field(max_length=MAX_FIELDS, strict=False)]


class HeardVotes(NamedTuple):
    """What another server said.

    Attributes:
        beat: it lives.
        epoch: of the votes.
        votes: those that could be read.
        gone: addresses that it no longer has.
        whole: whether `votes` are all that it has.
        next: to ask for what comes after.

    """

    beat: Beat
    epoch: int
    votes: Mapping[str, AddressVote]
    gone: tuple[str, ...]
    whole: bool
    next: str


class VoteSlice(NamedTuple):
    """Some of our votes, not sealed yet; None: an address that we no longer have."""

    epoch: int
    since: str | None
    next: str
    votes: Mapping[str, AddressVote | None]


class VoteLedger:
    """Our votes as published, so that whoever asks gets only what changed since he asked last.

    Each publishing has a number. Ends are kept until there are too many; who asks from before that gets all.
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._number = 0
        self._floor = 0
        self._votes: dict[str, tuple[int, AddressVote]] = {}
        self._gone: dict[str, int] = {}

    def publish(self, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        """Take changes of our votes; another epoch begins with none."""
        if epoch != self._epoch:
            self._epoch, self._floor = epoch, self._number
            self._votes.clear()
            self._gone.clear()
        if not changes:
            return
        self._number += 1
        for key, vote in changes.items():
            if vote is not None:
                self._votes[key] = self._number, vote
                self._gone.pop(key, None)
            elif self._votes.pop(key, None) is not None:
                self._gone[key] = self._number
        if len(self._gone) > MAX_FIELDS:
            self._gone.clear()
            self._floor = self._number

    def since(self, cursor: str | None, epoch: int) -> VoteSlice:
        """Return what changed since a place; all, where that is not known, too old, or of another epoch.

        Args:
            cursor: the place, as `VoteSlice.next` of an earlier answer.
            epoch: of our votes now.

        """
        if epoch != self._epoch:
            self.publish(epoch, {})
        place = None if cursor is None else tuple(map(int, cursor.split(".")))
        known = place is not None and place[0] == epoch and self._floor <= place[1] <= self._number
        after = place[1] if place is not None and known else -1
        votes: dict[str, AddressVote | None] = {}
        if after < self._number:
            votes.update((key, vote) for key, (number, vote) in self._votes.items() if number > after)
            if known:
                votes.update((key, None) for key, number in self._gone.items() if number > after)
        return VoteSlice(epoch, cursor if known else None, f"{epoch}.{self._number}", votes)


def cursor_of(text: str | None) -> str | None:
    """Return the place that a question names; one that is none is not known, and gets all.

    Raises:
        UsageError: it is no text that an answer could have had.

    """
    if not text:
        return None
    if re.fullmatch(CURSOR, text) is None:
        raise UsageError("`since` is no place in the votes: write `next` of the answer before, or nothing")
    return text


def sealed_votes(messages: Messages, group: str, beat: Beat, part: VoteSlice) -> SealedVotes:
    """Seal votes as they are in the store; takes a tenth of a second for 10,000.

    Raises:
        BadValueError: the heartbeat is too long.

    """
    node = beat.heartbeat.node
    key = messages.key("votes", node)
    votes = {
        name: messages.seal_vote(key, name.encode(), messages.vote_body(part.epoch, vote)).decode()
        for name, vote in part.votes.items()
        if vote is not None and _readable(name)
    }
    gone = tuple(name for name, vote in part.votes.items() if vote is None)
    return SealedVotes(
        node=node,
        group=group,
        since=part.since,
        next=part.next,
        beat=messages.seal_beat(beat).decode(),
        votes=votes,
        gone=gone,
    )


def _readable(name: str) -> bool:
    try:
        return bool(field_name(name.encode()))
    except BadValueError:
        return False


def heard_votes(messages: Messages, group: str, node: str, body: bytes, bad: BadValues) -> HeardVotes:
    """Read what another server said; a vote that cannot be read is left out and counted.

    Args:
        messages: of the group.
        group: its name.
        node: who was asked.
        body: the answer.
        bad: counts what is skipped.

    Raises:
        BadValueError: the answer is of no use; the text says why.

    """
    try:
        said = SealedVotes.model_validate_json(body)
    except (ValidationError, RecursionError):
        raise BadValueError(NO_VOTES) from None
    if said.group != group:
        raise BadValueError(OTHER_GROUP)
    if said.node != node:
        raise BadValueError(OTHER_NODE)
    beat = messages.open_beat(node, said.beat.encode("utf-8", "replace"))
    key = messages.key("votes", node)
    votes: dict[str, AddressVote] = {}
    for name, text in said.votes.items():
        field = name.encode("utf-8", "replace")
        try:
            name_read = field_name(field)
            epoch, vote = messages.open_vote(key, field, text.encode("utf-8", "replace"))
        except BadValueError as error:
            bad.note(key, field, error)
            continue
        if epoch == beat.heartbeat.epoch:  # else of before a restart, and of no use
            votes[name_read] = vote
    return HeardVotes(beat, beat.heartbeat.epoch, votes, said.gone, said.since is None, said.next)


NO_VOTES = "no votes of a geodns of this version"
OTHER_GROUP = "votes of another group"
OTHER_NODE = "votes of another server than the one asked"
