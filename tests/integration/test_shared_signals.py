"""Counts of mail of servers that share through a real Redis: sums, a batch sent twice, a Redis that goes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from geodns.control import shared_signal_service
from geodns.control.signal_sharing import AwayError
from geodns.model.shared import SharedSettings
from geodns.storage.signal_file import Taken
from tests.control.test_shared_signal_service import post, signal, total
from tests.integration.redises import RedisServer, needs_redis, redis_server
from tests.servicing import Rig
from tests.sharing import until

pytestmark = needs_redis


@contextlib.asynccontextmanager
async def server(folder: Path, redis: RedisServer, node: str) -> AsyncIterator[Rig]:
    """Run the services of a server, but for what probes and answers."""
    (folder / node).mkdir(exist_ok=True)
    rig = Rig(folder / node, node=node, shared=SharedSettings(url=redis.url, group="out", secret=b"secret"))
    rig.serve()
    shared = rig.services.shared
    assert shared is not None
    await shared.begin()
    try:
        await until(lambda: shared.connected)
        yield rig
    finally:
        await shared.close()
        rig.close()


def test_counts_of_several_servers_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_signal_service, "TELL_EVERY", 0.05)

    async def go(redis: RedisServer) -> None:
        async with server(tmp_path, redis, "ns1") as one, server(tmp_path, redis, "ns2") as two:
            assert await post(one, "a", signal(number=5)) == Taken(1)
            assert await post(two, "b", signal(number=7)) == Taken(1)
            await until(lambda: total(one) == total(two) == 12)
            shared = one.services.shared
            assert shared is not None
            while (claim := await shared.link.claim_batch("a")).accepted is None:  # type: ignore[attr-defined] # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert (claim.node, claim.accepted) == ("ns1", 1)
            assert await post(two, "a", signal(number=5)) == Taken(1, duplicate=True)
            # Without Redis nothing is taken; it comes back empty, and gets all again.
            redis.kill()
            await until(lambda: one.services.shared and not one.services.shared.connected)
            with pytest.raises(AwayError):
                await post(one, "c", signal(number=9))
            redis.start()
            await until(lambda: one.services.shared and one.services.shared.connected)
            assert await post(one, "c", signal(number=9)) == Taken(1)
            await until(lambda: total(one) == total(two) == 21)
            async with server(tmp_path, redis, "ns3") as late:
                await until(lambda: total(late) == 21)
                shared = late.services.shared
                assert shared is not None
                await until(lambda: shared.view().signals.keys() == {"ns1", "ns2", "ns3"})
                assert {node: of.today for node, of in shared.view().signals.items()} == {
                    "ns1": 14,
                    "ns2": 7,
                    "ns3": 0,
                }
                assert not shared.view().bad

    with redis_server(tmp_path) as redis:
        asyncio.run(go(redis))
