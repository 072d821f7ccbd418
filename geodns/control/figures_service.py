"""Keeps figures of mail for a while, since reading a week of a large zone takes seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

SHARE = 50
"""Figures are good for this many times as long as it took to read them: readers take 2 % of a core."""

T = TypeVar("T")


class _Known(NamedTuple, Generic[T]):
    figures: T
    until: float
    """By the monotonic clock."""


class FiguresService(Generic[T]):
    """The figures of zones over spans that end now; each is read by one at a time, whoever asks.

    Args:
        read: reads the figures of a zone from a time to another, in seconds since the epoch.

    """

    def __init__(self, read: Callable[[str, float, float], Awaitable[T]]) -> None:
        self._read = read
        self._known: dict[tuple[str, float], _Known[T]] = {}
        self._reading: dict[tuple[str, float], asyncio.Task[T]] = {}

    async def of(self, zone: str, seconds: float) -> T:
        """Return the figures of a zone's last seconds; they may be a little old. Raises what reading does."""
        key = zone, seconds
        known = self._known.get(key)
        if known is not None and time.monotonic() < known.until:
            return known.figures
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._read_now(zone, seconds))
            task.add_done_callback(lambda _: self._reading.pop(key, None))
        return await asyncio.shield(task)  # whoever goes away meanwhile leaves it to the next

    async def _read_now(self, zone: str, seconds: float) -> T:
        begun, now = time.monotonic(), time.time()
        figures = await self._read(zone, now - seconds, now)
        ended = time.monotonic()
        self._known = {key: one for key, one in self._known.items() if one.until > ended}
        self._known[zone, seconds] = _Known(figures, ended + SHARE * (ended - begun))
        return figures
