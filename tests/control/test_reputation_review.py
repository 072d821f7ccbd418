"""A review of many hosts lets other work go on, and reads no host's mail twice."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from geodns.model.state import HostKey
from tests.servicing import Rig
from tests.signals.test_reputation import Mail

HOSTS = 30
ZONE = (
    "ns: {ns1: 192.0.2.253}\n"
    f"hosts: {{{', '.join(f'm{n}: 192.0.2.{n}' for n in range(1, HOSTS + 1))}}}\n"
    "pools: {main: {hosts: 'm*', check: none}}\n"
    "records: {'@': {pool: main}}\n"
    "reputation: {mode: observe}\n"
)


class Asked(Mail):
    """Counts that note who asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, float]] = []

    def by_provider(self, host: HostKey, start: float, end: float) -> Any:
        self.asked.append((host[1], end - start))
        return super().by_provider(host, start, end)


@pytest.fixture
def rig(tmp_path: Path) -> Any:
    rig = Rig(tmp_path, ZONE)
    rig.serve()
    yield rig
    rig.close()


def test_others_get_their_turn_between_two_hosts(rig: Rig) -> None:
    mail = Asked()
    rig.services.reputation._counts = mail
    most, before = 0, 0

    async def others() -> None:
        nonlocal most, before
        while True:
            most, before = max(most, len(mail.asked) - before), len(mail.asked)
            await asyncio.sleep(0)

    async def test() -> None:
        task = asyncio.create_task(others())
        await rig.services.reputation._review_now()
        task.cancel()

    asyncio.run(test())
    assert sorted(mail.asked) == sorted((f"m{n}", s) for n in range(1, HOSTS + 1) for s in (3600.0, 86400.0))
    assert most <= 2, "hosts read at one go, by the hour and by the day"
