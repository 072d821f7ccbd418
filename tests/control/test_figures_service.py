"""Figures that were read a moment ago are not read again, whoever asks."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from geodns.control import figures_service
from geodns.control.figures_service import SHARE, FiguresService
from geodns.errors import StoreError


class Reader:
    """Reads in a time of the test's own.

    Attributes:
        asked: the zones, and the seconds of the span.

    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, float]] = []
        self.takes = 2.0
        self.now = 1000.0
        self.fails = False
        clock = SimpleNamespace(time=time.time, monotonic=lambda: self.now)
        monkeypatch.setattr(figures_service, "time", clock)
        self.recent = FiguresService(self.read)

    async def read(self, zone: str, start: float, end: float) -> str:
        self.asked.append((zone, round(end - start)))
        await asyncio.sleep(0)
        self.now += self.takes
        if self.fails:
            raise StoreError("the disk is gone")
        return f"{zone} {len(self.asked)}"


def test_they_are_good_for_a_multiple_of_what_reading_took(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(monkeypatch)

    async def test() -> None:
        assert await reader.recent.of("a", 3600) == "a 1"
        reader.now += 2.0 * SHARE - 0.1
        assert await reader.recent.of("a", 3600) == "a 1"
        assert await reader.recent.of("a", 86400) == "a 2", "another span"
        reader.now += 0.2
        assert await reader.recent.of("a", 3600) == "a 3"
        assert reader.asked == [("a", 3600), ("a", 86400), ("a", 3600)]

    asyncio.run(test())


def test_those_who_ask_at_once_share_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(monkeypatch)

    async def test() -> None:
        found = await asyncio.gather(
            *(reader.recent.of("a", 60) for _ in range(9)), reader.recent.of("b", 60)
        )
        assert len(set(found[:9])) == 1
        assert reader.asked == [("a", 60), ("b", 60)]

    asyncio.run(test())


def test_whoever_goes_away_leaves_it_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(monkeypatch)

    async def test() -> None:
        asking = asyncio.create_task(reader.recent.of("a", 60))
        await asyncio.sleep(0)
        asking.cancel()
        assert await reader.recent.of("a", 60) == "a 1"
        assert len(reader.asked) == 1

    asyncio.run(test())


def test_a_failure_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(monkeypatch)
    reader.fails = True

    async def test() -> None:
        with pytest.raises(StoreError):
            await reader.recent.of("a", 60)
        reader.fails = False
        assert await reader.recent.of("a", 60) == "a 2"

    asyncio.run(test())
