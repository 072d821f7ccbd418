"""Spreads the probes that votes ask for: at most `RATE` a second, each once a `fast_interval`. Pure."""

from collections.abc import Mapping
from itertools import islice

from geodns.health.quorum_address import SharedAddress

RATE = 50


class Rechecks:
    """The addresses that wait to be probed once more."""

    def __init__(self, now: float) -> None:
        self._waiting: dict[str, None] = {}
        self._left = float(RATE)
        self._filled = now

    def add(self, key: str) -> None:
        self._waiting.setdefault(key)

    def drop(self, key: str) -> None:
        self._waiting.pop(key, None)

    def take(self, addresses: Mapping[str, SharedAddress], now: float) -> tuple[str, ...]:
        """Return those to probe now."""
        self._left = min(RATE, self._left + (now - self._filled) * RATE)
        self._filled = now
        found = []
        for key in list(islice(self._waiting, 2 * RATE)):
            if self._left < 1:
                break
            address = addresses[key]
            del self._waiting[key]
            if now - address.rechecked_at < address.target.check.fast_interval:
                self._waiting[key] = None  # behind the others
                continue
            self._left -= 1
            address.rechecked_at = now
            found.append(key)
        return tuple(found)
