"""Takes what one server probes and what it hears of the others, and gives what all of them serve. Pure.

Shared are the state and the shedding of an address; slow answers and an agent's share stay one's own.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Literal

from geodns.health.outcome import ProbeResult
from geodns.health.quorum_address import AGREES, SharedAddress
from geodns.health.quorum_circle import Circle, Roll
from geodns.health.quorum_merge import (
    BOTH,
    HELD,
    SAID,
    UNKNOWN,
    VOTE,
    VOTES,
    alone,
    code_of,
    decide,
    state_of,
)
from geodns.health.quorum_merging import FROZEN_FOR, SLICE, QuorumMerging
from geodns.health.quorum_peers import KNOWN_FOR
from geodns.health.quorum_standing import (
    EMPTY,
    NOTHING_MERGED,
    AddressStanding,
    MergedState,
    NoteKind,
    QuorumMode,
    QuorumNews,
    QuorumTarget,
    TwoDefinitions,
    VoteShown,
)
from geodns.model.checks import shared_place
from geodns.model.shared import AddressVote, Heartbeat
from geodns.model.state import Verdict

MOST_DEFINITIONS = 100


class Quorum(QuorumMerging):
    """What one server knows of the others' votes, and what follows.

    Times are seconds of this machine's monotonic clock. Keys are `Target.shared_key`. Nothing is returned but
    by `take`: call `tick` every half second or so, and `take` after what may have changed something; votes
    and probes are merged only then, so that an address of which many speak at once is merged once.
    """

    def __init__(
        self, node: str, epoch: int, now: float, *, agree: Literal["quorum", "own"] = "quorum"
    ) -> None:
        """Begin without targets and without a connection.

        Args:
            node: this server's.
            epoch: of its votes from now on.
            now: the time.
            agree: own: serve one's own verdicts, whatever the others say; they get our votes all the same.

        """
        super().__init__(node, epoch, now, own_only=agree == "own")

    # --- what is asked ----------------------------------------------------------------------------------

    def set_known(self, nodes: Collection[str] | None, unnamed: int = 0) -> None:
        """Say which servers there should be.

        Args:
            nodes: those of `servers`, as far as they have told their node; None: all heard within a day.
            unnamed: how many of `servers` have not told it yet.

        """
        roll = Roll(None if nodes is None else frozenset(nodes) - {self.node}, unnamed)
        if roll != self._roll:  # who is heard is counted anew, which is much for many zones
            self._roll, self._phase = roll, None

    def remember(self, node: str, zones: Collection[str], ago: float, now: float) -> None:
        """Count a server as known that was heard so many seconds ago, before a restart."""
        if node != self.node and 0 <= ago <= KNOWN_FOR:
            self._hearing.remember(node, frozenset(zones), now - ago)
            self._phase = None

    def last_heard(self, now: float) -> dict[str, tuple[float, frozenset[str]]]:
        """Return for how many seconds each other server was not heard, and its zones."""
        return {
            node: (0.0 if peer.alive else now - peer.seen, peer.zones)
            for node, peer in self._hearing.peers.items()
            if peer.zones
        }

    def set_targets(
        self, targets: Mapping[str, QuorumTarget], now: float, stored: Mapping[str, MergedState] = EMPTY
    ) -> None:
        """Share these addresses and no others; those that are shared already go on undisturbed.

        Args:
            targets: all of them.
            now: the time.
            stored: what was served of new ones before a restart or an edit; no vote until they are probed.

        """
        self._advance(now)
        for key in [key for key in self._addresses if key not in targets]:
            self._remove(self._addresses.pop(key))
        for key, target in targets.items():
            address = self._addresses.get(key)
            if address is None:
                state = code_of(stored.get(key, NOTHING_MERGED))
                address = self._addresses[key] = SharedAddress(key, target, state, self._circle(target.zones))
                self._keys[key] = key
                address.event = self._event
                if not self._own_only:
                    address.seed(state)
                address.held = key in self._held
                self._queue(key, BOTH)
            elif address.target != target:
                address.target = target
                address.circle = self._circle(target.zones)
                self._queue(key, UNKNOWN)
            if address.said < 0:
                self._votes.change(key)
        used = {address.target.zones for address in self._addresses.values()}
        self._circles = {zones: circle for zones, circle in self._circles.items() if zones in used}
        self._review()
        self._work()

    def _circle(self, zones: frozenset[str]) -> Circle:
        return self._circles.setdefault(zones, Circle(zones))

    def _remove(self, address: SharedAddress) -> None:
        address.gone = True
        key = address.key
        del self._keys[key]
        self._votes.forget(address)
        self._rechecks.drop(key)
        self._pending.pop(key, None)
        for sweep in self._sweeps:
            sweep.keys.discard(key)
        self._differs.discard(key)
        self._changed.pop(key, None)
        self._disagree(address, None, tied=False)

    # --- our own probes ---------------------------------------------------------------------------------

    def probed(self, key: str, kind: ProbeResult, own: Verdict, now: float) -> None:
        """Take the end of an own probe; `own` is the monitor's verdict after it."""
        self._advance(now)
        address = self._addresses.get(key)
        if address is None:
            return
        self._touch(address)
        before = self._ballot(address)
        if kind is not ProbeResult.UNKNOWN:
            address.probed_at = now
            address.fresh = True
            if not address.timed:
                address.timed = True
                self._await(now + address.evidence_lasts, address, evidence=True)
        address.probed(kind, own)
        wanted = address.recheck
        if wanted and kind is not ProbeResult.UNKNOWN:
            address.recheck = UNKNOWN
            self._rechecks.drop(key)
            if kind is AGREES[wanted]:
                self._back(address, wanted)
        after = self._ballot(address)
        quiet = address.circle.mode is QuorumMode.QUORUM or address.stands == address.state
        if before != after or not quiet or not address.state:
            self._queue(key, after & VOTE)

    def _back(self, address: SharedAddress, vote: int) -> None:
        """Vote for a change as our probe agrees, if one who asks for it does so still."""
        if address.circle.mode is not QuorumMode.QUORUM or self._ballot(address) & VOTE == vote:
            return
        for node in sorted(node for node, asked in address.asked if asked == vote):
            if self._says(address, node, vote):
                address.back(node, vote)
                return

    def holding(self, keys: Collection[str], now: float) -> None:
        """Abstain on these addresses, which a pool's `hold` holds, and on no others."""
        self._advance(now)
        held = frozenset(keys)
        if held == self._held:
            return
        for key in held ^ self._held:
            if (address := self._addresses.get(key)) is not None:
                address.held = key in held
                self._queue(key, UNKNOWN if address.held else self._ballot(address) & VOTE)
        self._held = held
        self._work()

    def judged(self, verdicts: Mapping[str, Verdict], now: float) -> None:
        """Take own verdicts that change without a probe of theirs, as by the end of a pool's `hold`."""
        self._advance(now)
        for key, own in verdicts.items():
            if (address := self._addresses.get(key)) is not None:
                self._touch(address)
                address.follow(own)
                self._queue(key, self._ballot(address) & VOTE)
        self._work()

    # --- the others -------------------------------------------------------------------------------------

    def heard(self, beat: Heartbeat, now: float) -> None:
        """Take a heartbeat, also one under our own node."""
        self._advance(now)
        if beat.node == self.node:
            if beat.epoch != self.epoch or beat.seq > self._votes.seq:
                self._doubles.note(beat, now)
                self._look_for_doubles()
            return
        peer = self._hearing.note(beat, now)
        if peer is None:
            self._look_for_doubles()
            return
        if peer.missed(beat):
            self._note(NoteKind.REREAD, node=peer.node)
        new_epoch, new = peer.epoch != beat.epoch, not peer.alive or peer.zones != frozenset(beat.zones)
        if not peer.alive:
            self._note(NoteKind.HEARD, node=peer.node)
        self._hearing.hear(peer, beat, now)
        if peer.completed(beat):
            self._sweep_differing()
        if new_epoch:
            self._queue_votes(peer)
        if new:
            self._review()
        self._work(SLICE // 10)  # heartbeats come ten at a time

    def voted(
        self,
        node: str,
        epoch: int,
        votes: Mapping[str, AddressVote],
        now: float,
        *,
        gone: Collection[str] = (),
        whole: int | None = None,
    ) -> None:
        """Take another server's votes; late, repeated and lost messages do no harm.

        Give many of them a thousand at a time, with the loop running between, and then once more as a whole.

        Args:
            node: whose.
            epoch: of the votes.
            votes: the new ones.
            now: the time.
            gone: addresses that it no longer has.
            whole: where `votes` are all that it has: its seq when they were read.

        """
        self._advance(now)
        peer = self._hearing.peer(node)
        if node == self.node or peer is None:
            return
        if self._hearing.connected:
            for key in votes:  # what came before a loss must not seem newer than it
                if (address := self._addresses.get(key)) is not None:
                    self._touch(address)
        whole_before = peer.whole
        for key in list(peer.take(epoch, votes, gone, whole, self._keys)):
            if (address := self._addresses.get(key)) is not None:
                ballot = max(peer.ballot(key), 0)
                address.renew(node, ballot)
                self._queue(key, ballot & VOTE | ballot >> 2 & VOTE)
        if peer.whole != whole_before:
            self._sweep_differing()

    # --- time and connection ----------------------------------------------------------------------------

    def connected(self, yes: bool, now: float) -> None:
        """Take the state of the own connection."""
        self._advance(now)
        if yes == self._hearing.connected:
            return
        self._hearing.connect(now, yes=yes)
        if not yes:
            self._frozen_until = now + FROZEN_FOR
        self._review()
        self._work()

    def frozen(self, now: float) -> bool:
        """Tell whether it is so short a time since the loss of the connection that nothing may change yet."""
        self._advance(now)
        return self._now < self._frozen_until

    def tick(self, now: float) -> None:
        """Take the time."""
        self._advance(now)
        silent = self._hearing.silent(now)
        for peer in silent:
            peer.alive = False
            self._note(NoteKind.LOST, node=peer.node)
        forgotten = self._hearing.forget(now, self._roll.listed or ())
        if self._doubled or any(peer.doubled for peer in self._hearing.peers.values()):
            self._look_for_doubles()
        if silent or forgotten or self._phase != self._phase_now():
            self._review()
        self._ring()
        self._work()

    # --- what follows -----------------------------------------------------------------------------------

    def take(self, now: float) -> QuorumNews:
        """Return what has changed since the last call, and begin anew."""
        self._advance(now)
        self._work()
        merged = {}
        for key in self._changed:
            address = self._addresses[key]
            if address.state != address.served:
                address.served = address.state
                merged[key] = state_of(address.state)
        self._changed = {}
        # Also without a connection: who asks by another way is told what holds now.
        publish, gone = self._votes.take(self._addresses, silent=self._doubled)
        rechecks = self._rechecks.take(self._addresses, now)
        notes, self._notes = tuple(self._notes), []
        return QuorumNews(merged, publish, gone, rechecks, notes)

    def republish(self, keys: Collection[str] | None = None) -> None:
        """Give own votes to `take` again, with the seq that they had: they did not arrive, or were lost."""
        self._votes.repeat(
            self._addresses.keys() if keys is None else [key for key in keys if key in self._addresses]
        )

    # --- reading ----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether there is more to merge: call `take` again before long, as once the loop has run."""
        return bool(self._pending or self._sweeps or self._votes.more)

    @property
    def publishes(self) -> bool:
        """Whether `take` has own votes left to give."""
        return self._votes.more

    @property
    def seq(self) -> int:
        """Of the last own vote, for the heartbeat."""
        return self._votes.seq

    @property
    def digest(self) -> str:
        """Of the own votes as published, for the heartbeat's ``votes``."""
        return str(self._votes.digest)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The other servers that are heard, for the heartbeat."""
        return tuple(sorted(node for node, peer in self._hearing.peers.items() if peer.alive))

    @property
    def counts(self) -> dict[str, int]:
        """How many addresses each other server has told of, by node."""
        return {node: len(peer.votes) for node, peer in self._hearing.peers.items()}

    @property
    def doubled(self) -> bool:
        """Whether another live server has our node, so that neither votes."""
        return self._doubled

    @property
    def alone(self) -> Mapping[str, str]:
        """The addresses of which one server alone says otherwise for a while, and that server."""
        return {key: node for key, (node, _) in self._alone.lasting.items()}

    @property
    def tied(self) -> Collection[str]:
        """The addresses whose votes have been even for a while."""
        return self._tied.lasting.keys()

    @property
    def modes(self) -> frozenset[QuorumMode]:
        """Whose verdicts are served, of any zones."""
        return frozenset(circle.mode for circle in self._circles.values())

    @property
    def known(self) -> int:
        """How many servers there should be, of the zones that should have most."""
        return max((circle.known for circle in self._circles.values()), default=1)

    def merged(self, key: str) -> MergedState:
        """Return what is held of an address; it must be one of the targets."""
        return state_of(self._addresses[key].state)

    def standing(self, key: str) -> AddressStanding | None:
        """Say how an address stands among the servers; None: it is no target."""
        address = self._addresses.get(key)
        if address is None:
            return None
        circle = address.circle
        own = self._ballot(address)
        ballots, nodes = self._ballots(address, own)
        votes = {self.node: _shown(own, own, address.backs)}
        for peer in circle.heard:
            if (said := peer.votes.get(key)) is not None:
                counted = ballots[nodes.index(peer.node)] if peer.node in nodes else 0
                votes[peer.node] = _shown(said, counted, peer.backs.get(key, ""))
        place = alone(ballots)
        return AddressStanding(
            mode=circle.mode,
            merged=state_of(address.state),
            votes=MappingProxyType(votes),
            heard=frozenset({self.node, *(peer.node for peer in circle.heard)}),
            known=circle.known,
            alone=None if place is None else nodes[place],
            tied=decide(ballots, circle.known, address.state)[1],
            seeded=address.seeded,
        )

    def definitions(self) -> tuple[TwoDefinitions, ...]:
        """Return the checks that servers heard have defined otherwise than we."""
        found: list[TwoDefinitions] = []
        places: dict[str, list[str]] = {}
        for peer in self._hearing.peers.values():
            if not peer.alive:
                continue
            foreign = [key for key in peer.votes if key not in self._addresses]
            if foreign and not places:
                for key in self._addresses:
                    places.setdefault(shared_place(key), []).append(key)
            for theirs in foreign:
                mine = [key for key in places.get(shared_place(theirs), ()) if key not in peer.votes]
                found += [TwoDefinitions(peer.node, one, theirs) for one in mine]
                if len(found) >= MOST_DEFINITIONS:
                    return tuple(found[:MOST_DEFINITIONS])
        return tuple(found)


def _shown(said: int, counted: int, backs: str) -> VoteShown:
    return VoteShown(
        VOTES[said & VOTE],
        said >> 4 & 0xF,
        VOTES[said >> 2 & VOTE],
        backs,
        counts=not said & VOTE or counted & SAID & ~HELD == said & SAID & ~HELD,
    )
