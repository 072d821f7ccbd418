"""What a server says to its group where not all of it can be said."""

import asyncio
from typing import Any

from geodns.model.shared import Heartbeat, ZoneContent
from geodns.model.shared_url import parse_url
from geodns.storage.shared_client import Troubles
from geodns.storage.shared_messages import BadValues, Messages
from geodns.storage.shared_writing import SharedWriter


def beat(zones: int) -> Heartbeat:
    content = ZoneContent(digest="0" * 16, serial=2026113001)
    names = (f"out{number}.example.com" for number in range(zones))
    return Heartbeat(node="ns1", epoch=1, seq=0, version="1.0", at=1.0, zones=dict.fromkeys(names, content))


def test_a_heartbeat_that_nobody_would_read_is_told_and_not_written() -> None:
    written: list[bytes] = []

    async def script(keys: list[bytes], args: list[Any]) -> list[Any]:
        assert len(keys) == 4
        written.append(args[2])
        return []

    async def go() -> None:
        troubles = Troubles(parse_url("redis://192.0.2.60"), lambda: None)
        writer = SharedWriter(Messages("out", b"secret"), "ns1", troubles, BadValues(), "0" * 16)
        writer._scripts = {"beat": script}
        writer.beat(beat(1_200))
        assert not await writer._step(lambda _: None)
        assert "1,200 zones, which are too many" in troubles.found["heartbeat"]
        assert not written
        writer.beat(beat(800))
        assert await writer._step(lambda _: None)
        assert (troubles.found, len(written)) == ({}, 1)

    asyncio.run(go())
