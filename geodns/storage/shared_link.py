"""Says what a link to the group's store gives and tells: its state, answers, and the calls to its owner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pydantic import JsonValue

from geodns.errors import GeodnsError
from geodns.model.shared import AddressVote, Heartbeat, SharedOrder


class LinkDownError(GeodnsError):
    """The store cannot be asked now; the text is one clear sentence."""


class MissingLibraryError(GeodnsError):
    """The library that speaks to Redis is not installed."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What is known of the link.

    Attributes:
        connected: whether a heartbeat, or before the first the reading, came through last.
        since: monotonic seconds of the last change of `connected`.
        why: what is the matter, in one sentence; empty where nothing is. While connected: of a part.
        server: what answers, as ``Redis 7.0.15``.
        clock_offset: seconds that this server's wall clock is ahead of Redis'; None while not known.
        twin: whether a second live server says that it is our node: neither may vote.
        epoch_there: the highest epoch that the store has of our node; ours must be higher at start, and where
            it is higher than ours later, the votes are refused.
        bad: values skipped, by reason.
        last_bad: the last one skipped, printable and bounded: key, field and reason.

    """

    connected: bool = False
    since: float = 0.0
    why: str = "not connected yet"
    server: str = ""
    clock_offset: float | None = None
    twin: bool = False
    epoch_there: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    last_bad: str = ""


class Put(NamedTuple):
    """What became of an order.

    Attributes:
        accepted: whether it is in the store now; also true of the same version a second time.
        there: the order that is in the store now; None: none, or one that cannot be read.
        revision: of the zone's orders after the call; empty: none was ever put.
        moved: it was refused because the revision is another than expected: work out the dangers anew.

    """

    accepted: bool
    there: SharedOrder | None
    revision: str
    moved: bool = False


class Claim(NamedTuple):
    """Who claimed a batch.

    Attributes:
        node: who did, at any time of the last week; empty where that cannot be read.
        fresh: it was this call.
        accepted: signals of it that are counted; None: they are not yet, as far as is known.

    """

    node: str
    fresh: bool
    accepted: int | None = None


class SharedEvents(Protocol):
    """What the owner of a link is told, in the loop; none of these may wait or raise."""

    def on_beat(self, heartbeat: Heartbeat, clock_offset: float) -> None:
        """Another server lives: called once for each heartbeat, never twice for the same one.

        Args:
            heartbeat: what it says.
            clock_offset: seconds that its wall clock is ahead of Redis'.

        """

    def on_votes(self, node: str, epoch: int, changes: Mapping[str, AddressVote | None]) -> None:
        """Another server's votes changed; None: it has none on this address any more.

        A vanished store takes no vote back: heartbeats end by themselves. After a change of its epoch what it
        said before is void, and everything is told anew.
        """

    def on_orders(self, orders: Sequence[SharedOrder], revisions: Mapping[str, str], *, whole: bool) -> None:
        """Orders are in the store, one's own too.

        Args:
            orders: those that changed; all that are in the store where `whole`. Whoever has newer ones, or
                ones that are missing there, gives them to `offer_orders`, as where the store was emptied.
            revisions: of the zones concerned, by zone.
            whole: after each connecting, and every 30 s.

        """

    def on_sums(self, node: str, changes: Mapping[str, JsonValue]) -> None:
        """A server's sums changed, by field. Those of one's own node come too, after connecting.

        A vanished store takes no sum back.
        """

    def on_state(self, state: LinkState) -> None:
        """`connected`, `why`, `twin` or `epoch_there` changed."""
