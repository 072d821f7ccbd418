"""Merges the servers' votes on each address into the verdict that all of them serve. Pure."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Literal

from geodns.health.outcome import ProbeResult
from geodns.health.quorum_standing import (
    EMPTY,
    MergedState,
    QuorumMode,
    QuorumNews,
    QuorumTarget,
    Standing,
    TwoDefinitions,
)
from geodns.model.shared import AddressVote, Heartbeat
from geodns.model.state import Verdict


class Quorum:
    """What one server knows of the others' votes, and what follows.

    Times are seconds of this machine's monotonic clock. Keys are `Target.shared_key`. Nothing is returned but
    by `take`: call `tick` every half second or so, and `take` after what may have changed something.
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
        raise NotImplementedError

    def set_known(self, nodes: Collection[str] | None, unnamed: int = 0) -> None:
        """Say which servers there should be.

        Args:
            nodes: those of `servers`, as far as they have told their node; None: all heard within a day.
            unnamed: how many of `servers` have not told it yet.

        """
        raise NotImplementedError

    def set_targets(
        self, targets: Mapping[str, QuorumTarget], now: float, stored: Mapping[str, MergedState] = EMPTY
    ) -> None:
        """Share these addresses and no others; those that are shared already go on undisturbed.

        Args:
            targets: all of them.
            now: the time.
            stored: what was served of new ones before a restart; no vote until they are probed.

        """
        raise NotImplementedError

    def probed(self, key: str, kind: ProbeResult, own: Verdict, now: float) -> None:
        """Take the end of an own probe; `own` is the monitor's verdict after it."""
        raise NotImplementedError

    def holding(self, keys: Collection[str], now: float) -> None:
        """Abstain on these addresses, which a pool's `hold` holds, and on no others."""
        raise NotImplementedError

    def judged(self, verdicts: Mapping[str, Verdict], now: float) -> None:
        """Take own verdicts that change without a probe of theirs, as by the end of a pool's `hold`."""
        raise NotImplementedError

    def heard(self, beat: Heartbeat, now: float) -> None:
        """Take a heartbeat, also one under our own node."""
        raise NotImplementedError

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

        Args:
            node: whose.
            epoch: of the votes.
            votes: the new ones.
            now: the time.
            gone: addresses that it no longer has.
            whole: where `votes` are all that it has: its seq when they were read.

        """
        raise NotImplementedError

    def connected(self, yes: bool, now: float) -> None:
        """Take the state of the own connection."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Take the time."""
        raise NotImplementedError

    def take(self, now: float) -> QuorumNews:
        """Return what has changed since the last call, and begin anew."""
        raise NotImplementedError

    def republish(self, keys: Collection[str] | None = None) -> None:
        """Give own votes to `take` again, with the seq that they had: they did not arrive, or were lost."""
        raise NotImplementedError

    # --- reading ----------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """Of the last own vote, for the heartbeat."""
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """Of the own votes as published, for the heartbeat's ``votes``."""
        raise NotImplementedError

    @property
    def nodes(self) -> tuple[str, ...]:
        """The other servers that are heard, for the heartbeat."""
        raise NotImplementedError

    @property
    def doubled(self) -> bool:
        """Whether another live server has our node, so that neither votes."""
        raise NotImplementedError

    @property
    def alone(self) -> Mapping[str, str]:
        """The addresses of which one server alone says otherwise than all the others, and that server."""
        return MappingProxyType({})

    @property
    def tied(self) -> Collection[str]:
        """The addresses whose votes have been even for a while."""
        return ()

    def mode(self, key: str) -> QuorumMode:
        raise NotImplementedError

    def merged(self, key: str) -> MergedState:
        """Return what is held of an address; it must be one of the targets."""
        raise NotImplementedError

    def standing(self, key: str) -> Standing | None:
        """Say how an address stands among the servers; None: it is no target."""
        raise NotImplementedError

    def definitions(self) -> tuple[TwoDefinitions, ...]:
        """Return the checks that servers heard have defined otherwise than we."""
        raise NotImplementedError
