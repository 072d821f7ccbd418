"""One server that merges votes, for tests: the others say what a test has them say."""

from geodns.health.outcome import ProbeResult
from geodns.health.quorum import Quorum
from geodns.health.quorum_standing import (
    MergedState,
    NoteKind,
    QuorumMode,
)
from geodns.health.state_machine import advance
from geodns.model.checks import Check
from geodns.model.shared import AddressVote, Vote
from geodns.model.state import NOTHING_KNOWN, HealthState, Verdict
from tests.health.quorum_network import CHECK, DOWN, FAILURE, OK, UNKNOWN, UP, beat, mode_of, target

VOTES = {"u": UP, "d": DOWN, "?": UNKNOWN, "-": UNKNOWN}


class One:
    """One server under test, ns1; the others are what a test says."""

    def __init__(
        self, known: int = 3, stored: str = "", check: Check = CHECK, *, connect: bool = True
    ) -> None:
        self.now = 0.0
        self.check = check
        self.quorum = Quorum("ns1", 5, self.now)
        self.quorum.set_known([f"ns{number}" for number in range(1, known + 1)])
        states = {"a": MergedState(VOTES[stored])} if stored else {}
        self.quorum.set_targets({"a": target(check)}, self.now, states)
        self.own = NOTHING_KNOWN if not stored else Verdict(HealthState(VOTES[stored]))
        self.seqs: dict[str, int] = {}
        self.rechecks: list[str] = []
        self.notes: list[NoteKind] = []
        self.published: dict[str, AddressVote] = {}
        if connect:
            self.quorum.connected(True, self.now)

    def beat(self, *nodes: str) -> None:
        for node in nodes:
            self.quorum.heard(beat(node, seq=self.seqs.get(node, 0), at=self.now), self.now)

    def vote(self, node: str, vote: str, *, held: str = "?", level: int = 0, backs: str = "") -> None:
        self.seqs[node] = seq = self.seqs.get(node, 0) + 1
        said = {
            "a": AddressVote(vote=VOTES[vote], held=VOTES[held], level=level, seq=seq, backs=backs),
        }
        self.quorum.voted(node, 1, said, self.now, whole=seq)

    def probe(self, *kinds: ProbeResult) -> None:
        for kind in kinds:
            self.own = advance(self.own, kind, self.check)
            self.quorum.probed("a", kind, self.own, self.now)

    def say(self, votes: str, held: str = "") -> None:
        """Have the servers vote, ourselves last; - stands for one without the address."""
        for number, vote in list(enumerate(votes, 1))[1:]:
            self.beat(f"ns{number}")
            if vote == "-":
                self.quorum.voted(f"ns{number}", 1, {}, self.now, whole=0)
            else:
                self.vote(f"ns{number}", vote, held=held[number - 1] if held else "?")
        if votes[0] != "?":
            self.probe(
                *[OK if votes[0] == "u" else FAILURE] * (3 if self.own.state != NOTHING_KNOWN.state else 1)
            )

    def wait(self, seconds: float, *nodes: str) -> None:
        """Let time pass while these servers are heard."""
        for _ in range(round(seconds * 2)):
            self.now += 0.5
            self.beat(*nodes)
            self.quorum.tick(self.now)
            self.take()

    def take(self) -> None:
        news = self.quorum.take(self.now)
        self.rechecks += news.rechecks
        self.notes += [note.kind for note in news.notes]
        self.published |= news.publish

    @property
    def state(self) -> MergedState:
        self.take()
        return self.quorum.merged("a")

    @property
    def merged(self) -> Vote:
        return self.state.vote

    @property
    def mode(self) -> QuorumMode:
        return mode_of(self.quorum, "a")

    @property
    def nodes(self) -> list[str]:
        return list(self.quorum.nodes)


def own_vote(one: One) -> Vote:
    one.take()
    return one.published["a"].vote
