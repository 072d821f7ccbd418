"""Decides what several servers hold of an address, from their votes. Pure.

Each server that has the address gives a ballot: its vote, its shedding level and the state that it holds.

- A strict majority of the votes decides.
- Where three servers or more are heard, or known, one vote never decides alone while another server is heard,
  even if the rest abstain.
- A tie, or too few votes, takes what most of the servers heard hold; if that is even too: up.
- The level is the low median of those who say up: who says down has none, and one alone does not decide it.

A ballot is one number, for there are many of them: the level in bits 4 to 7, then two bits each of the state
held and of the vote. A state is one likewise: the level above two bits of vote.
"""

from collections.abc import Sequence

from geodns.health.quorum_standing import MergedState
from geodns.model.shared import SHED_OUT, AddressVote, Vote

VOTES = (Vote.UNKNOWN, Vote.UP, Vote.DOWN)
CODES = {vote: code for code, vote in enumerate(VOTES)}
UNKNOWN, UP, DOWN = range(3)
BOTH = UP | DOWN
"""What evidence may show, as bits: that an address is up, is down, or either."""

BALLOT = 0xFF
VOTE = 0b11
HELD = 0b1100
SAID = BALLOT & ~HELD
"""Vote and level."""

FEW = 2
"""Servers up to which one that is heard alone, or with another who abstains, may decide."""

STATES = tuple(MergedState(VOTES[code & VOTE], code >> 2) if code & VOTE < 3 else None for code in range(64))


def state_of(code: int) -> MergedState:
    """Return a state from its number."""
    found = STATES[code]
    assert found is not None
    return found


def code_of(state: MergedState) -> int:
    """Return the number of a state."""
    return min(state.level, SHED_OUT) << 2 | CODES[state.vote]


def ballot_of(vote: AddressVote) -> int:
    """Return the ballot of a vote."""
    return vote.level << 4 | CODES[vote.held] << 2 | CODES[vote.vote]


def agreeing(state: int) -> int:
    """Return the ballot of a server that both says and holds a state."""
    vote = state & VOTE
    return state >> 2 << 4 | vote << 2 | vote


def decide(ballots: Sequence[int], known: int, before: int) -> tuple[int, bool]:
    """Return the state that the servers hold from now on, and whether their votes are tied.

    Args:
        ballots: of the servers heard that have the address, oneself among them.
        known: how many servers there should be.
        before: the state that is held now, for its level where nobody says up.

    """
    ups = downs = 0
    for ballot in ballots:
        vote = ballot & VOTE
        if vote == UP:
            ups += 1
        elif vote == DOWN:
            downs += 1
    votes, heard = ups + downs, len(ballots)
    tied = ups == downs and votes > 0
    lone = votes == 1 and (heard > FEW or (heard == FEW and known > FEW))
    if ups == downs or lone:
        vote = _held_by_most(ballots, otherwise=UP if tied else UNKNOWN)
    else:
        vote = UP if ups > downs else DOWN
    if vote != UP:
        return vote, tied
    return _level(() if lone else ballots, before) << 2 | UP, tied


def _held_by_most(ballots: Sequence[int], otherwise: int) -> int:
    """Return what most servers hold; up if that is even; `otherwise` if none holds anything."""
    ups = sum(ballot & HELD == UP << 2 for ballot in ballots)
    downs = sum(ballot & HELD == DOWN << 2 for ballot in ballots)
    if not ups and not downs:
        return otherwise
    return UP if ups >= downs else DOWN


def _level(ballots: Sequence[int], before: int) -> int:
    levels = sorted(ballot >> 4 for ballot in ballots if ballot & VOTE == UP)
    if levels:
        return levels[(len(levels) - 1) // 2]
    return before >> 2 if before & VOTE == UP else 0


def alone(ballots: Sequence[int]) -> int | None:
    """Return the place of the one server that says otherwise than all the others, who are two or more."""
    votes = [ballot & VOTE for ballot in ballots]
    for vote, other in ((UP, DOWN), (DOWN, UP)):
        if votes.count(vote) == 1 and votes.count(other) >= FEW:
            return votes.index(vote)
    return None
