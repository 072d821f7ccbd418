"""Values that the servers' common verdict is made of, and that tell others of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from geodns.model.checks import Check
from geodns.model.shared import MAX_HALVINGS, SHED_OUT, AddressVote, Vote
from geodns.model.state import HealthState, Verdict


class QuorumTarget(NamedTuple):
    """An address as the servers share it.

    Attributes:
        zones: whose hosts have it; the servers of these zones are asked.
        check: gives rise, fall, intervals and time limits.

    """

    zones: frozenset[str]
    check: Check


class MergedState(NamedTuple):
    """What the servers hold of an address together.

    Attributes:
        vote: unknown: nobody has said anything yet, which counts as fit.
        level: halvings of the weight by shedding; `SHED_OUT`: nothing is left.

    """

    vote: Vote
    level: int = 0


NOTHING_MERGED = MergedState(Vote.UNKNOWN)


class QuorumMode(StrEnum):
    """Whose verdict a server serves.

    ``quorum``: the majority's; ``frozen``: the last one, while the connection is lost for a short while;
    ``own``: its own, as too few are heard or the settings say so.
    """

    QUORUM = "quorum"
    FROZEN = "frozen"
    OWN = "own"


class NoteKind(StrEnum):
    """What a note tells of.

    ``heard``, ``lost``: a server; ``mode``: another one holds; ``doubled``, ``undoubled``: two live servers
    have one node, so that neither votes, or no longer; ``alone``, ``joined``: a server is alone with its
    opinion of an address, or no longer; ``tied``, ``untied``: the votes on an address have been even for a
    while, or are no longer; ``reread``: what is known of a server's votes differs from what it says they are.
    """

    HEARD = "heard"
    LOST = "lost"
    MODE = "mode"
    DOUBLED = "doubled"
    UNDOUBLED = "undoubled"
    ALONE = "alone"
    JOINED = "joined"
    TIED = "tied"
    UNTIED = "untied"
    REREAD = "reread"


class QuorumNote(NamedTuple):
    """Something that operators, or the link to the others, should know.

    Attributes:
        node: the server; empty where the note is about none.
        key: the address; empty likewise.
        vote: what the server says, if the note is about its opinion.
        mode: with ``mode``.
        zones: with ``mode``: where it holds.

    """

    kind: NoteKind
    node: str = ""
    key: str = ""
    vote: Vote = Vote.UNKNOWN
    mode: QuorumMode | None = None
    zones: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class QuorumNews:
    """What has changed since it was taken last.

    Attributes:
        merged: what to serve from now on.
        publish: own votes that the others do not have yet; nothing while there is no connection.
        gone: addresses that are no longer probed here: the others should forget our vote.
        rechecks: addresses to probe once more now.

    """

    merged: Mapping[str, MergedState] = field(default_factory=dict)
    publish: Mapping[str, AddressVote] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    rechecks: tuple[str, ...] = ()
    notes: tuple[QuorumNote, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.merged or self.publish or self.gone or self.rechecks or self.notes)


class VoteShown(NamedTuple):
    """A server's vote as it counts here.

    Attributes:
        held: the merged state that it says it holds.
        backs: the server whose vote made this one.
        counts: False: it is older than the loss of a server, or two servers have that node.

    """

    vote: Vote
    level: int
    held: Vote
    backs: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True)
class AddressStanding:
    """How an address stands among the servers.

    Attributes:
        votes: of each server heard that has the address, ourselves among them.
        heard: the nodes of its zones that are heard, ourselves among them.
        known: how many of these there should be.
        alone: the server that alone says otherwise than all the others; None: there is none.
        tied: whether the votes are even.
        seeded: whether our own vote began anew from the merged state, as after the loss of a server.

    """

    mode: QuorumMode
    merged: MergedState
    votes: Mapping[str, VoteShown]
    heard: frozenset[str]
    known: int
    alone: str | None = None
    tied: bool = False
    seeded: bool = False


class TwoDefinitions(NamedTuple):
    """A check that another server has defined otherwise for the same address, port and type.

    Attributes:
        mine: our key.
        theirs: the other server's.

    """

    node: str
    mine: str
    theirs: str


EMPTY: Mapping[str, MergedState] = MappingProxyType({})

_STATES = {Vote.UP: HealthState.UP, Vote.DOWN: HealthState.DOWN, Vote.UNKNOWN: HealthState.UNKNOWN}


def merged_verdict(own: Verdict, merged: MergedState) -> Verdict:
    """Return the verdict to serve: the state and the shedding are shared, all else stays one's own.

    Slow answers and an agent's share are of one's own probes: they only shift weights, and a host's agent
    tells all servers the same.
    """
    state = _STATES[merged.vote]
    return replace(
        own,
        state=state,
        level=min(merged.level, MAX_HALVINGS),
        shed_out=merged.level == SHED_OUT,
        degraded=own.degraded and state is not HealthState.DOWN,
    )


def merged_state(verdict: Verdict) -> MergedState:
    """Return what a verdict says that is shared, as of one from the state folder."""
    level = SHED_OUT if verdict.shed_out else min(verdict.level, MAX_HALVINGS)
    if verdict.state is HealthState.DOWN:
        return MergedState(Vote.DOWN)
    if verdict.state is HealthState.UNKNOWN and not level:
        return NOTHING_MERGED
    return MergedState(Vote.UP, level)
