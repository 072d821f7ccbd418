"""Counts the look-ups that named hosts, until control has surely counted them."""

from collections import Counter, deque
from collections.abc import Mapping

from geodns.responder.route_table import Allowance

COUNTED = 150.0
"""Seconds after which control has counted what it was told, and written it, and knows it whatever dies."""

LookedUpKey = tuple[str, str, str]
"""Zone, host and provider."""


class RecentLookUps:
    """Look-ups of this worker; times are of the monotonic clock."""

    def __init__(self) -> None:
        self._untold: Counter[LookedUpKey] = Counter()
        self._capped: Counter[LookedUpKey] = Counter()
        """Those of hosts that may not get all."""
        self._told: deque[tuple[float, Mapping[LookedUpKey, int]]] = deque()

    def add(self, zone: str, host: str, provider: str, *, capped: bool) -> None:
        """Count one; `capped`: of a host that may not get all of the provider's mail."""
        self._untold[zone, host, provider] += 1
        if capped:
            self._capped[zone, host, provider] += 1

    def tell(self, now: float) -> dict[LookedUpKey, int]:
        """Return those that control was not told of; it is told now."""
        told = dict(self._untold)
        self._untold.clear()
        if self._capped:
            self._told.append((now, dict(self._capped)))
            self._capped.clear()
        self._forget(now)
        return told

    def without(
        self, allowances: Mapping[tuple[str, str], Allowance], now: float
    ) -> dict[tuple[str, str], Allowance]:
        """Return what is left of allowances that may not know of the last look-ups."""
        self._forget(now)
        recent = Counter(self._capped)
        for _, told in self._told:
            recent.update(told)
        return {
            (zone, host): one._replace(
                left={name: max(0, number - recent[zone, host, name]) for name, number in one.left.items()}
            )
            for (zone, host), one in allowances.items()
        }

    def _forget(self, now: float) -> None:
        while self._told and now - self._told[0][0] > COUNTED:
            self._told.popleft()
