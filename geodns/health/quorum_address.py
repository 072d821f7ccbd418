"""Keeps one address as a server shares it: its own vote, and what it holds as merged. Pure.

The own vote follows the monitor's verdict. After a loss it begins anew from the merged state, and changes
only by `fall` failures or `rise` successes seen since; once it says what the monitor says, it follows again.
"""

from typing import NamedTuple

from geodns.health.outcome import ProbeResult
from geodns.health.quorum_circle import Circle
from geodns.health.quorum_merge import DOWN, HELD, SAID, UNKNOWN, UP, VOTE, code_of, state_of
from geodns.health.quorum_standing import QuorumTarget, merged_state, merged_verdict
from geodns.health.state_machine import advance, withhold
from geodns.model.state import NOTHING_KNOWN, HealthState, Verdict

AGREES = {UP: ProbeResult.OK, DOWN: ProbeResult.FAILURE}
"""The result of a probe that agrees with a vote."""
NOBODY: frozenset[tuple[str, int]] = frozenset()
"""One object, as nobody has asked for most addresses."""
_STATES = {UP: HealthState.UP, DOWN: HealthState.DOWN}


class Void(NamedTuple):
    """A ballot from before a loss that does not count until its server says something newer.

    Attributes:
        until: from then on it counts in any case: its server has seen enough probes since.

    """

    ballot: int
    until: float


class SharedAddress:
    """An address that is shared.

    Attributes:
        own: the monitor's verdict.
        mine: the verdict that we vote by.
        seeded: whether that goes its own way.
        backing: the verdict that we vote by for another server's sake; it ends with that one's vote, or by
            `fall` failures or `rise` successes of ours.
        state: the merged state, as `quorum_merge` writes it.
        served: the merged state that was taken last.
        probed_at: when a probe of ours ended last that says anything.
        fresh: whether that is recent.
        held: whether a pool's `hold` holds it.
        said: the own ballot as published last, below its seq; -1: none.
        said_backs: and whom it backed.
        backs: the server whose vote made ours; empty: our own finding.
        recheck: the vote that the next probe is to agree with, or not.
        rechecked_at: when a recheck was asked for last.
        asked: the servers that have asked for one, and their votes.
        voids: the others' ballots that do not count.
        event: the last of its circle's losses and gains that was taken.
        code: the state that the verdict `coded` says.

    """

    __slots__ = (
        "asked",
        "backing",
        "backs",
        "circle",
        "code",
        "coded",
        "event",
        "fresh",
        "gone",
        "held",
        "key",
        "mine",
        "own",
        "probed_at",
        "recheck",
        "rechecked_at",
        "said",
        "said_backs",
        "seeded",
        "served",
        "state",
        "target",
        "timed",
        "voids",
    )

    def __init__(self, key: str, target: QuorumTarget, state: int, circle: Circle) -> None:
        self.key = key
        self.target = target
        self.circle = circle
        self.own = NOTHING_KNOWN
        self.mine = self.coded = NOTHING_KNOWN
        self.code = UNKNOWN
        self.seeded = False
        self.backing: Verdict | None = None
        self.state = self.served = state
        self.probed_at = 0.0
        self.fresh = False
        self.timed = False
        self.held = False
        self.said = -1
        self.said_backs = ""
        self.backs = ""
        self.recheck = UNKNOWN
        self.rechecked_at = float("-inf")
        self.asked = NOBODY
        self.voids: dict[str, Void] | None = None
        self.event = 0
        self.gone = False

    @property
    def evidence_lasts(self) -> float:
        """Seconds for which a probe is fresh evidence."""
        return 2 * self.target.check.interval + self.target.check.timeout

    @property
    def patience(self) -> float:
        """Seconds after which a server that says the same still has seen as many probes as a change takes."""
        check = self.target.check
        return max(check.rise, check.fall) * check.interval + check.timeout

    @property
    def stands(self) -> int:
        """The state that we would serve alone."""
        if self.mine is not self.coded:
            self.coded, self.code = self.mine, code_of(merged_state(self.mine))
        return self.code

    @property
    def says(self) -> int:
        """The state that we vote, fresh or not."""
        return self.stands if self.backing is None else code_of(merged_state(self.backing))

    def ballot(self) -> int:
        """Return the own ballot."""
        held = (self.state & VOTE) << 2
        if not self.fresh or self.held:
            return held
        says = self.says
        return says >> 2 << 4 | held | says & VOTE

    def seed(self, state: int) -> None:
        """Let the own vote begin anew from a state."""
        self.stop_backing()
        if not state & VOTE:
            self.mine, self.seeded = self.own, False
            return
        mine = self.mine
        if self.stands == state and not (mine.failures or mine.successes or mine.sheds):
            return
        self.mine, self.seeded = merged_verdict(NOTHING_KNOWN, state_of(state)), True
        self._follow()

    def follow(self, own: Verdict) -> None:
        """Take the monitor's verdict where no probe was made."""
        self.own = own
        if self.seeded:
            self._follow()
        else:
            self.mine = own

    def probed(self, kind: ProbeResult, own: Verdict) -> None:
        """Take a probe's result, and the monitor's verdict after it."""
        self.own = own
        if self.seeded:
            self.mine = self._after(self.mine, kind)
            self._follow()
        else:
            self.mine = own
        if self.backing is not None:
            after = self._after(self.backing, kind)
            agreed = after.state is self.backing.state and after.state is not self.mine.state
            self.backing = after if agreed else None
            self.backs = self.backs if agreed else ""

    def back(self, node: str, vote: int) -> None:
        """Vote for the change that another server asks for, as our probe agrees."""
        self.backing, self.backs = Verdict(_STATES[vote]), node

    def stop_backing(self) -> None:
        self.backing, self.backs = None, ""

    def _after(self, verdict: Verdict, kind: ProbeResult) -> Verdict:
        check = self.target.check
        if self.held and kind is ProbeResult.FAILURE and self.own.state is not HealthState.DOWN:
            return withhold(verdict, check)
        return advance(verdict, kind, check)

    def _follow(self) -> None:
        """Follow the monitor again once it says the same."""
        if _counted(self.mine) == _counted(self.own):
            self.mine, self.seeded = self.own, False

    def renew(self, node: str, ballot: int) -> None:
        """Let another server's vote count again, if it is another than the one that does not."""
        void = None if self.voids is None else self.voids.get(node)
        if self.voids is not None and void is not None and (ballot ^ void.ballot) & SAID:
            del self.voids[node]

    def counted(self, node: str, ballot: int) -> int:
        """Return as much of another server's ballot as counts."""
        void = None if self.voids is None else self.voids.get(node)
        if void is None:
            return ballot
        if ballot == void.ballot:
            return 0
        return ballot if (ballot ^ void.ballot) & SAID else ballot & HELD


def _counted(verdict: Verdict) -> tuple[HealthState, int, int, int, int, bool]:
    return (
        verdict.state,
        verdict.failures,
        verdict.successes,
        verdict.sheds,
        verdict.level,
        verdict.shed_out,
    )
