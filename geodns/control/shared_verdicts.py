"""Serves what the servers of a group find together: own verdicts go to the votes, merged ones come back.

Time is a function that is given; what follows is worked out when `look` is called.
"""

import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from geodns.control.cluster import Cluster
from geodns.control.shared_targets import SharedTargets
from geodns.control.shared_view import Lone
from geodns.control.verdict_service import VerdictService
from geodns.errors import printable
from geodns.health.outcome import ProbeResult
from geodns.health.quorum import Quorum
from geodns.health.quorum_standing import AddressStanding, QuorumNote, merged_state, merged_verdict
from geodns.model.checks import Target
from geodns.model.shared import MAX_WHY, AddressVote, Vote
from geodns.model.state import Verdict

log = logging.getLogger(__name__)

AT_ONCE = 1_000
"""Targets whose verdicts are worked out at once; the rest follows."""
MOST_WHYS = 2_000
"""Reasons of one server that are remembered."""
MOST_ALONE = 20


class SharedVerdicts:
    """What `VerdictService` asks before it believes a verdict.

    Attributes:
        targets: that are shared.

    """

    def __init__(
        self,
        quorum: Quorum,
        verdicts: VerdictService,
        cluster: Cluster,
        clock: Callable[[], float],
        wake: Callable[[], None],
        publish: Callable[[Mapping[str, AddressVote | None]], None],
        on_note: Callable[[QuorumNote], None],
        *,
        own_only: bool,
    ) -> None:
        """Share nothing yet.

        Args:
            quorum: merges the votes.
            verdicts: of this server; gets what is to be served.
            cluster: says whose the addresses are.
            clock: monotonic seconds.
            wake: has `look` called soon.
            publish: gets changes of own votes.
            on_note: gets what operators should know.
            own_only: whether own verdicts are served, whatever the others say.

        """
        self._quorum = quorum
        self._verdicts = verdicts
        self._cluster = cluster
        self._clock = clock
        self._wake = wake
        self._publish = publish
        self._on_note = on_note
        self._own_only = own_only
        self.targets = SharedTargets()
        self._held: AbstractSet[Target] = frozenset()
        self._changed: dict[Target, None] = {}
        """Targets of which something else may be to be served."""
        self._served: dict[Target, Verdict] = {}
        self._whys: dict[str, tuple[int, dict[str, str]]] = {}
        """By server: its epoch, and why it says down, by key."""

    # --- our own verdicts -------------------------------------------------------------------------------

    def follow(self, targets: Mapping[Target, AbstractSet[str]], stored: Mapping[Target, Verdict]) -> None:
        """Share these targets, each with the zones that have it; `stored` is what was served of new ones."""
        self.targets = SharedTargets(targets)
        known = {
            key: merged_state(stored[first])
            for key in self.targets.targets
            if (first := self.targets[key][0]) in stored
        }
        # What was given to be served counts, also where the cluster does not have it yet.
        self._served = {
            target: one
            for target in targets
            if (one := self._served.get(target) or stored.get(target)) is not None
        }
        self._quorum.set_targets(self.targets.targets, self._clock(), known)
        self._hold(again=True)
        self._changed = dict.fromkeys(targets)
        self._wake()

    def probed(self, target: Target, kind: ProbeResult, before: Verdict, after: Verdict) -> None:
        """Take the end of an own probe, and the own verdict before and after it."""
        if before != after:
            self._changed[target] = None
        if self.targets.counts(target):
            self._hold()
            self._quorum.probed(target.shared_key, kind, after, self._clock())
        if self._changed or self._quorum.busy:  # of most probes nothing follows
            self._wake()

    def judged(self, verdicts: Mapping[Target, Verdict]) -> None:
        """Take own verdicts that changed without a probe of theirs, or a pool's `hold` that did."""
        self._hold()
        self._changed.update(dict.fromkeys(verdicts))
        own = {target.shared_key: one for target, one in verdicts.items() if self.targets.counts(target)}
        self._quorum.judged(own, self._clock())
        self._wake()

    def _hold(self, *, again: bool = False) -> None:
        held = self._verdicts.held
        if again or held is not self._held:
            self._held = held
            keys = {target.shared_key for target in held if self.targets.counts(target)}
            self._quorum.holding(keys, self._clock())

    # --- what follows -----------------------------------------------------------------------------------

    def look(self) -> None:
        """Serve, publish and probe what follows from all that was taken."""
        news = self._quorum.take(self._clock())
        self._changed.update(dict.fromkeys(self.targets.all(news.merged)))
        self._believe()
        if news.publish or news.gone:
            same: dict[tuple[int, str], AddressVote] = {}
            changes: dict[str, AddressVote | None] = {
                key: self._with_reason(key, vote, same) for key, vote in news.publish.items()
            }
            self._publish({**dict.fromkeys(news.gone), **changes})
        if news.rechecks:
            self._verdicts.probe_now(self.targets.first(news.rechecks))
        for note in news.notes:
            self._on_note(note)
        if self._quorum.busy or self._changed:
            self._wake()

    def _believe(self) -> None:
        found: dict[Target, Verdict] = {}
        while self._changed and len(found) < AT_ONCE:
            target, _ = self._changed.popitem()
            key = target.shared_key
            if key not in self.targets:
                continue
            verdict = self._verdicts.own(target)
            if not self._own_only:
                verdict = merged_verdict(verdict, self._quorum.merged(key))
            if self._served.get(target) != verdict:
                self._served[target] = found[target] = verdict
        if found:
            self._verdicts.believe(found)

    def _with_reason(
        self, key: str, vote: AddressVote, same: dict[tuple[int, str], AddressVote]
    ) -> AddressVote:
        """Add to a vote why; the same votes for the same reason become one."""
        if vote.vote is not Vote.DOWN:
            return vote
        last = self._verdicts.last(self.targets[key][0])
        why = "" if last is None else printable(last[0].detail)[:MAX_WHY]
        found = same.get((id(vote), why))
        if found is None:
            found = same[id(vote), why] = vote.model_copy(update={"why": why})
        return found

    # --- the others -------------------------------------------------------------------------------------

    def voted(
        self, node: str, epoch: int, changes: Mapping[str, AddressVote | None], *, whole: int | None = None
    ) -> None:
        """Take another server's votes; None: it has none on this address any more.

        Where they are all that it has, `whole` is its seq when they were read.
        """
        whys = self._whys_of(node, epoch)
        for key, vote in changes.items():
            if vote is not None and vote.why and len(whys) < MOST_WHYS:
                whys[key] = vote.why
            else:
                whys.pop(key, None)
        votes = {key: vote for key, vote in changes.items() if vote is not None}
        gone = [key for key, vote in changes.items() if vote is None]
        self._quorum.voted(node, epoch, votes, self._clock(), gone=gone, whole=whole)
        self._wake()

    def _whys_of(self, node: str, epoch: int) -> dict[str, str]:
        """Return the reasons of a server; a new epoch ends all before it, and those of servers gone."""
        of, whys = self._whys.get(node, (-1, {}))
        if of != epoch:
            told = self._quorum.counts
            self._whys = {name: one for name, one in self._whys.items() if name in told and name != node}
            self._whys[node] = epoch, (whys := {})
        return whys

    # --- reading ----------------------------------------------------------------------------------------

    def standing(self, target: Target) -> AddressStanding | None:
        """Say how a target's address stands among the servers."""
        return self._quorum.standing(target.shared_key)

    def remark(self, target: Target) -> str:
        """Say who is alone with what he says of a target, or that the votes are even; empty: neither."""
        standing = self.standing(target)
        if standing is None:
            return ""
        if standing.alone is not None:
            node = standing.alone
            why = self._why(node, target)
            return f"{node} alone says {standing.votes[node].vote}" + (f": {why}" if why else "")
        if standing.tied:
            said = {
                vote: " and ".join(node for node, one in sorted(standing.votes.items()) if one.vote is vote)
                for vote in (Vote.UP, Vote.DOWN)
            }
            return f"{said[Vote.UP]} says up, {said[Vote.DOWN]} down: it stays {standing.merged.vote}"
        return ""

    def reason(self, target: Target) -> str:
        """Say who made a verdict that is not this server's own; empty: it is."""
        standing = self.standing(target)
        if standing is None or self._own_only:
            return ""
        own = merged_state(self._verdicts.own(target)).vote
        merged = standing.merged.vote
        if own is merged or merged is Vote.UNKNOWN:
            return ""
        said = (
            f"{node} says {merged}" + (f" ({why})" if (why := self._why(node, target)) else "")
            for node, one in sorted(standing.votes.items())
            if one.vote is merged
        )
        return ", ".join(said)

    def _why(self, node: str, target: Target) -> str:
        if node != self._quorum.node:
            return self._whys.get(node, (0, {}))[1].get(target.shared_key, "")
        last = self._verdicts.last(target)
        return "" if last is None else printable(last[0].detail)[:MAX_WHY]

    def _lone(self, key: str, node: str) -> Lone | None:
        standing = self._quorum.standing(key)
        if standing is None or node not in standing.votes or key not in self.targets:
            return None
        targets = self.targets[key]
        hosts = {host for target in targets for host in self._cluster.hosts_of(target)}
        first = targets[0]
        return Lone(
            node,
            str(standing.votes[node].vote),
            f"[{first.address}]:{first.port}",
            first.check.name,
            tuple(sorted(hosts)),
            self._why(node, first),
        )

    def alone(self) -> tuple[Lone, ...]:
        """Return where one server alone has said otherwise for a while, the first of these."""
        alone = self._quorum.alone
        found = (self._lone(key, alone[key]) for key in sorted(alone)[:MOST_ALONE])
        return tuple(one for one in found if one is not None)
