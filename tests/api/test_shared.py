"""What the status shows of servers that judge together, and that it is as the description says."""

import asyncio

import pytest
from pydantic import TypeAdapter

from geodns.api.schemas_status import StatusJson
from geodns.api.status import status
from geodns.health import quorum_lasting, quorum_merging
from tests.sample_zones import NAME
from tests.sharing import FAILURE, Group, group, until

__all__ = ["group"]


def test_the_status_shows_who_is_heard_and_who_is_alone(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quorum_lasting, "LASTING", 0.0)
    monkeypatch.setattr(quorum_merging, "LASTING", 0.0)

    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as (first, _, third):
            third.probe("mta1", FAILURE)
            await until(lambda: first.shared.view().alone)
            shown = status(first.services)
            TypeAdapter(StatusJson).validate_python(shown)
            shared = shown["shared"]
            assert (shared["group"], shared["connected"], shared["mode"]) == ("out", True, "quorum")
            assert (shared["heard"], shared["known"]) == (["ns1", "ns2", "ns3"], 3)
            assert shared["alone"] == [
                {
                    "server": "ns3",
                    "says": "down",
                    "hosts": [f"mta1.{NAME}"],
                    "check": "smtp",
                    "address": "[192.0.2.11]:25",
                    "why": "connection refused",
                }
            ]
            assert (shared["alone_count"], shared["tied"], shared["skipped"]) == (1, 0, {})

    asyncio.run(go())
