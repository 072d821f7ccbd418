"""Holds the addresses that servers share, and merges their votes on each as they come. Pure.

Whatever is not evidence changes nothing: where a server is lost or abstains, and the votes that are left say
otherwise than what is held, our own vote begins anew from what is held, and the others' older votes that
differ from it do not count until they say something newer.
"""

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from geodns.health.quorum_address import NOBODY, SharedAddress, Void
from geodns.health.quorum_circle import Circle, Roll, heard_in, mode_of
from geodns.health.quorum_lasting import LASTING, Lasting
from geodns.health.quorum_merge import (
    BALLOT,
    BOTH,
    DOWN,
    HELD,
    SAID,
    UNKNOWN,
    VOTE,
    VOTES,
    agreeing,
    alone,
    decide,
)
from geodns.health.quorum_peers import Doubles, Hearing, Peer
from geodns.health.quorum_publish import OwnVotes
from geodns.health.quorum_recheck import Rechecks
from geodns.health.quorum_standing import NoteKind, QuorumMode, QuorumNote

FROZEN_FOR = 10.0
"""Seconds for which nothing changes after the connection is lost."""
START_WAIT = 2.0
"""Seconds after the start for which the stored state holds while the others are not heard."""
PAUSE = 2.0
"""Seconds without a call from which we did not run."""
SLICE = 500
"""Addresses merged at once, in some milliseconds; the rest follows with the next calls."""
LOOKED_AT = 10
"""Addresses that are looked at in the time in which one is merged."""

MOST_NOTES = 1_000
"""Notes between two looks at them."""


class Sweep(NamedTuple):
    """Addresses to merge anew after an event, too many to do so at once.

    Attributes:
        keys: those that are left.
        circles: whose addresses are meant, with what the event shows of them; None: all, and nothing.
        peer: the server whose votes are the evidence, where they differ from what is held.

    """

    keys: set[str]
    circles: Mapping[Circle, int] | None
    peer: Peer | None = None

    def evidence(self, address: SharedAddress) -> int | None:
        """Return what is evident of an address; None: it is not meant."""
        if self.peer is None:
            return UNKNOWN if self.circles is None else self.circles.get(address.circle)
        ballot = max(self.peer.ballot(address.key), 0)
        if ballot == agreeing(address.state):
            return None
        return ballot & VOTE | ballot >> 2 & VOTE


class QuorumMerging:
    """The addresses, the servers, and what follows from their votes; `Quorum` is its face.

    Args:
        node: this server's.
        epoch: of its votes.
        now: the time.
        own_only: whether one's own verdicts hold, whatever the others say.

    """

    def __init__(self, node: str, epoch: int, now: float, *, own_only: bool) -> None:
        self.node = node
        self.epoch = epoch
        self._own_only = own_only
        self._addresses: dict[str, SharedAddress] = {}
        self._keys: dict[str, str] = {}
        self._circles: dict[frozenset[str], Circle] = {}
        self._hearing = Hearing(now)
        self._roll = Roll()
        self._doubles = Doubles()
        self._doubled = False
        self._votes = OwnVotes()
        self._rechecks = Rechecks(now)
        self._now = now
        self._frozen_until = self._starts_until = now + START_WAIT
        self._phase: tuple[bool, bool, bool] | None = None
        self._event = 0
        self._pending: dict[str, int] = {}
        """Addresses to merge, and what their new evidence shows."""
        self._sweeps: list[Sweep] = []
        """Many more to merge, which nobody may put into `_pending` at once."""
        self._differs: set[str] = set()
        """Addresses on which not all say and hold the same."""
        self._changed: dict[str, None] = {}
        self._held: frozenset[str] = frozenset()
        self._timers: list[tuple[float, int, bool, SharedAddress]] = []
        self._timer = 0
        self._alone: Lasting[tuple[str, int]] = Lasting()
        self._tied: Lasting[bool] = Lasting()
        self._notes: list[QuorumNote] = []

    def _note(
        self,
        kind: NoteKind,
        *,
        node: str = "",
        key: str = "",
        vote: int = UNKNOWN,
        circle: Circle | None = None,
    ) -> None:
        mode, zones = (None, frozenset[str]()) if circle is None else (circle.mode, circle.zones)
        if len(self._notes) < MOST_NOTES:
            self._notes.append(QuorumNote(kind, node, key, VOTES[vote], mode, zones))

    # --- who is heard -----------------------------------------------------------------------------------

    def _review(self) -> None:
        """Count anew who is heard, and find whose verdict holds."""
        self._phase = connected, waits, starts = self._phase_now()
        if not connected and not waits:
            for peer in self._hearing.peers.values():
                peer.alive = False
        swept: dict[Circle, int] = {}
        for circle in self._circles.values():
            before, mode, known = circle.heard, circle.mode, circle.known
            circle.heard = heard_in(circle, self._hearing.peers.values())
            circle.known = self._roll.known(circle, self._hearing)
            found = mode_of(circle, connected=connected, waits=waits, starts=starts)
            circle.mode = QuorumMode.OWN if self._own_only else found
            new = [peer for peer in circle.heard if peer not in before]
            lost = len(circle.heard) - len(new) < len(before)
            if lost or (mode is not circle.mode and circle.mode is QuorumMode.OWN):
                self._event += 1
                circle.lost = self._event
                swept[circle] = UNKNOWN
            if new or (mode is not circle.mode and circle.mode is QuorumMode.QUORUM):
                self._event += 1
                circle.gained = self._event
                swept[circle] = BOTH
                for peer in new if mode is circle.mode else circle.heard:
                    self._queue_votes(peer)
            if known != circle.known:
                swept.setdefault(circle, UNKNOWN)
            if mode is not circle.mode:
                self._note(NoteKind.MODE, circle=circle)
        self._sweep_differing(swept)

    def _sweep_differing(self, circles: Mapping[Circle, int] | None = None) -> None:
        """Merge anew the addresses of which not all say the same: all, or of some circles with evidence."""
        if self._differs and (circles is None or circles):
            self._sweeps.append(Sweep(set(self._differs), circles))

    def _queue_votes(self, peer: Peer) -> None:
        """Merge anew what a server says other than what is held."""
        if peer.votes:
            self._sweeps.append(Sweep(set(peer.votes), None, peer))

    def _look_for_doubles(self) -> None:
        """Take note of nodes that two live servers have, or no longer."""
        for peer in self._hearing.peers.values():
            doubled = peer.doubles.now(self._now)
            if doubled != peer.doubled:
                peer.doubled = doubled
                self._note(NoteKind.DOUBLED if doubled else NoteKind.UNDOUBLED, node=peer.node)
                self._queue_votes(peer)
        doubled = self._doubles.now(self._now)
        if doubled != self._doubled:
            self._doubled = doubled
            self._note(NoteKind.DOUBLED if doubled else NoteKind.UNDOUBLED, node=self.node)
            for key in self._addresses:
                self._votes.change(key)
                self._queue(key, UNKNOWN if doubled else BOTH)

    # --- time -------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        gap = now - self._now
        self._now = max(now, self._now)
        if gap > PAUSE:
            self._hearing.skip(now)
            self._frozen_until += gap
            self._starts_until += gap

    def _phase_now(self) -> tuple[bool, bool, bool]:
        return self._hearing.connected, self._now < self._frozen_until, self._now < self._starts_until

    # --- timers -----------------------------------------------------------------------------------------

    def _await(self, when: float, address: SharedAddress, *, evidence: bool = False) -> None:
        """Look at an address again at some time: at its evidence, or at what has lasted until then."""
        self._timer += 1
        heapq.heappush(self._timers, (when, self._timer, evidence, address))

    def _ring(self) -> None:
        """Look at the addresses whose time has come."""
        while self._timers and self._timers[0][0] <= self._now:
            _, _, evidence, address = heapq.heappop(self._timers)
            if address.gone:
                continue
            if evidence:
                self._look_at_evidence(address)
            else:
                self._look_at_lasting(address)

    def _look_at_evidence(self, address: SharedAddress) -> None:
        end = address.probed_at + address.evidence_lasts
        if end > self._now:
            self._await(end, address, evidence=True)
            return
        address.timed = address.fresh = False
        self._queue(address.key, UNKNOWN)

    def _look_at_lasting(self, address: SharedAddress) -> None:
        key, now = address.key, self._now
        if address.voids is not None:
            left = {node: void for node, void in address.voids.items() if void.until > now}
            if len(left) < len(address.voids):
                address.voids = left or None
                self._queue(key, BOTH)
        if (found := self._alone.look(key, now)) is not None:
            self._note(NoteKind.ALONE, node=found[0], key=key, vote=found[1])
        if self._tied.look(key, now):
            self._note(NoteKind.TIED, key=key)

    # --- merging ----------------------------------------------------------------------------------------

    def _queue(self, key: str, evidence: int) -> None:
        """Merge an address soon; `evidence` is what a new vote on it says, as bits."""
        self._pending[key] = self._pending.get(key, 0) | evidence

    def _swept(self, address: SharedAddress) -> int:
        """Take an address from all sweeps; return what these say is evident of it."""
        evidence = UNKNOWN
        for sweep in self._sweeps:
            if address.key in sweep.keys:
                sweep.keys.remove(address.key)
                evidence |= sweep.evidence(address) or UNKNOWN
        return evidence

    def _work(self) -> None:
        """Merge some of the addresses that wait."""
        left = SLICE * LOOKED_AT
        while left > 0 and self._pending:
            key, evidence = self._pending.popitem()
            address = self._addresses[key]
            self._merge(address, evidence | self._swept(address))
            left -= LOOKED_AT
        while left > 0 and self._sweeps:
            sweep = self._sweeps[-1]
            if not sweep.keys:
                self._sweeps.pop()
                continue
            left -= 1
            key = sweep.keys.pop()
            found = self._addresses.get(key)
            if found is not None and (shown := sweep.evidence(found)) is not None:
                self._merge(found, shown | self._swept(found))
                left -= LOOKED_AT - 1

    def _ballot(self, address: SharedAddress) -> int:
        return 0 if self._doubled else address.ballot()

    def _touch(self, address: SharedAddress) -> None:
        """Take the losses and gains of servers since this address was looked at last."""
        circle, since = address.circle, address.event
        if since >= circle.lost and since >= circle.gained:
            return
        address.event = self._event
        if since < circle.gained:
            address.voids = None
        if since < circle.lost:
            self._seed(address)
            if circle.gained > circle.lost:
                address.voids = None

    def _seed(self, address: SharedAddress) -> None:
        """Begin anew from what is held: what was said before is no reason to leave it."""
        if self._own_only:
            return
        address.seed(address.state)
        address.voids = None
        if not address.state:
            return
        same = agreeing(address.state)
        until = self._now + address.patience
        voids = {}
        for peer in address.circle.heard:
            ballot = peer.ballot(address.key)
            if ballot <= 0:
                continue
            if (ballot & VOTE and (ballot ^ same) & SAID) or (ballot & HELD and (ballot ^ same) & HELD):
                voids[peer.node] = Void(ballot, until)
        if voids:
            address.voids = voids
            self._await(until, address)

    def _ballots(self, address: SharedAddress, own: int) -> tuple[list[int], list[str]]:
        """Return the ballots that count, and whose they are: our own first."""
        ballots, nodes, key = [own], [self.node], address.key
        for peer in address.circle.heard:
            ballot = peer.ballot(key)
            if ballot < 0:
                continue
            if address.voids is not None:
                ballot = address.counted(peer.node, ballot)
            if peer.backs and ballot & VOTE:
                asker = peer.backs.get(key)
                if asker is not None and not self._says(address, asker, ballot & VOTE):
                    ballot &= HELD
            ballots.append(ballot)
            nodes.append(peer.node)
        return ballots, nodes

    def _says(self, address: SharedAddress, node: str, vote: int) -> bool:
        """Tell whether a server says something of an address by its own finding."""
        if node == self.node:
            return address.backing is None and self._ballot(address) & VOTE == vote
        peer = self._hearing.peers.get(node)
        if peer is None or not peer.alive or address.key in peer.backs:
            return False
        ballot = peer.ballot(address.key)
        return ballot > 0 and address.counted(node, ballot) & VOTE == vote

    def _merge(self, address: SharedAddress, evidence: int) -> None:
        """Find what is held of an address from now on."""
        self._touch(address)
        before, mode, key = address.state, address.circle.mode, address.key
        if address.backing is not None and not self._says(address, address.backs, address.says & VOTE):
            address.stop_backing()
        own = self._ballot(address)
        ballots: list[int] = []
        nodes: list[str] = []
        tied = False
        if mode is QuorumMode.OWN:
            after = address.stands or before
        elif mode is QuorumMode.FROZEN:
            after = before or address.stands
        else:
            ballots, nodes = self._ballots(address, own)
            after, tied = decide(ballots, address.circle.known, before)
            after = after or before
            if before and after != before and not evidence & after & VOTE:
                self._seed(address)
                own = self._ballot(address)
                ballots, nodes = self._ballots(address, own)
                after, (_, tied) = before, decide(ballots, address.circle.known, before)
        address.state = after
        if after != before:
            self._changed[key] = None
            own = self._ballot(address)
            if ballots:
                ballots[0] = own
        if address.said < 0 or (own, address.backs) != (address.said & BALLOT, address.said_backs):
            self._votes.change(key)
        same = agreeing(after)
        if after and ballots and all(ballot == same for ballot in ballots):
            if key in self._differs:
                self._differs.discard(key)
                self._ask(address, ballots, nodes)
                self._disagree(address, None, tied=False)
            return
        self._differs.add(key)
        self._ask(address, ballots, nodes)
        place = alone(ballots) if ballots else None
        self._disagree(address, None if place is None else (nodes[place], ballots[place] & VOTE), tied=tied)

    def _ask(self, address: SharedAddress, ballots: list[int], nodes: list[str]) -> None:
        """Have an address probed once more where another server says that it has changed."""
        state, key = address.state & VOTE, address.key
        asked = frozenset(
            (node, ballot & VOTE)
            for node, ballot in zip(nodes[1:], ballots[1:], strict=True)
            if ballot & VOTE not in {UNKNOWN, state}
            and (state or ballot & VOTE == DOWN)
            and self._says(address, node, ballot & VOTE)
        )
        votes = {vote for _, vote in asked - address.asked} - {ballots[0] & VOTE if ballots else UNKNOWN}
        address.asked = asked or NOBODY
        if votes and not address.held:
            address.recheck = max(votes)
            self._rechecks.add(key)
        elif address.recheck and address.recheck not in {vote for _, vote in asked}:
            address.recheck = UNKNOWN
            self._rechecks.drop(key)

    def _disagree(self, address: SharedAddress, one: tuple[str, int] | None, *, tied: bool) -> None:
        """Note who is alone with what he says of an address, and whether the votes are even."""
        key, now = address.key, self._now
        new, over = self._alone.set(key, one, now)
        if over is not None:
            self._note(NoteKind.JOINED, node=over[0], key=key, vote=over[1])
        new_tie, untied = self._tied.set(key, tied or None, now)
        if untied:
            self._note(NoteKind.UNTIED, key=key)
        if new or new_tie:
            self._await(now + LASTING, address)
