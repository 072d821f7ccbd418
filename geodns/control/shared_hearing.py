"""Tells the quorum whether this server hears the others: through Redis, or by HTTP while that is away.

There is no clock in it. To the quorum both ways are one connection, so that Redis coming back is no event.
"""

from collections.abc import Callable, Collection

from geodns.health.quorum import Quorum


class SharedHearing:
    """Whether the others are heard, and how.

    Args:
        quorum: is told.
        by_http: the servers that are heard by HTTP.

    Attributes:
        yes: whether they are.

    """

    def __init__(self, quorum: Quorum, by_http: Callable[[], Collection[str]]) -> None:
        self.yes = False
        self._quorum = quorum
        self._by_http = by_http
        self._store = False

    def settle(self, *, store: bool, now: float) -> None:
        """Find whether they are heard; call it before each heartbeat by HTTP, and each tick of the quorum.

        The loss of Redis is one of the others too, for as long as the quorum freezes what it holds: HTTP
        takes over after that, once it brings half of the servers, and holds for as long as it brings one.

        Args:
            store: whether Redis is there.
            now: by the monotonic clock.

        """
        lost, self._store = self._store and not store, store
        if store:
            yes = True
        elif lost or self._quorum.frozen(now):
            yes = self.yes and not lost
        else:
            others = len(self._by_http())
            yes = others > 0 and (self.yes or 2 * (1 + others) >= self._quorum.known)
        self.yes = yes
        self._quorum.connected(yes, now)
