"""What operators hear of rate limits: a line a minute however many answers are limited, and a warning."""

import logging
from collections import Counter
from collections.abc import Callable

from geodns.ratelimit import Action, Limited

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds from one line to the next; the warning goes as long after the last limited answer."""
NAMED = 3
"""Networks that are named: those that were limited most."""
MOST = 1_000
"""Networks that are remembered."""


class FloodWatch:
    """Gathers what all workers have limited.

    Args:
        tell: called with each line.

    """

    def __init__(self, tell: Callable[[str], object] = log.warning) -> None:
        self._tell = tell
        self._actions: Counter[Action] = Counter()
        self._networks: Counter[str] = Counter()
        self._told: float | None = None
        self._last: float | None = None
        self._shown = ""

    def note(self, limited: Limited, now: float) -> None:
        """Take what a worker has counted.

        Args:
            limited: by that worker.
            now: seconds of a clock that only goes forward.

        """
        self._last = now
        self._actions.update(limited.actions)
        self._networks.update(limited.networks)
        if len(self._networks) > MOST:
            self._networks = Counter(dict(self._networks.most_common(MOST // 2)))

    def tell(self, now: float) -> None:
        """Tell what was limited since the last line, at most once a minute."""
        if not self._actions or (self._told is not None and now - self._told < EVERY):
            return
        since = "" if self._told is None or now - self._told > 2 * EVERY else " in the last minute"
        self._shown = f"{self._sums()}{since}"
        self._told = now
        self._tell(f"answers are rate limited: {self._shown}")
        self._actions.clear()
        self._networks.clear()

    def warnings(self, now: float) -> list[str]:
        """Return what an operator should know now."""
        if self._last is None or now - self._last >= EVERY or not (self._actions or self._shown):
            return []
        return [f"answers are rate limited: {self._sums() if self._actions else self._shown}"]

    def _sums(self) -> str:
        actions = ", ".join(f"{self._actions[one]} {one}" for one in Action if self._actions[one])
        most = ", ".join(f"{network} ({number})" for network, number in self._networks.most_common(NAMED))
        return f"{actions}; most to {most}"
