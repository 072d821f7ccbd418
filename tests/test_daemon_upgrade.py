"""The control process in an upgrade: it finishes what it is at, refuses orders, hands in its counters."""

import asyncio
import json

import pytest

from geodns import __version__
from geodns.serve.frames import UpgradeBegins, UpgradeEnded
from geodns.storage.event_file import EventFilter
from tests.controlling import SOON, Control, Running, ready, until
from tests.sample_zones import NAME

__all__ = ["ready"]

DRAIN = f"/api/v1/hosts/{NAME}/mta1/drain"
ALL = ("mta1", "mta2", "mta3")


def probes(metrics: str) -> float:
    (line,) = [
        one
        for one in metrics.splitlines()
        if one.startswith('geodns_probes_total{check="smtp",outcome="ok"}')
    ]
    return float(line.split()[-1])


def test_an_order_under_way_is_finished_others_wait_and_counters_go_on(ready: Control) -> None:
    counted: list[float] = []

    async def before(running: Running) -> None:
        await running.dealt(*ALL)
        running.supervisor.mute.add("udp0")  # so that the order takes a while
        order = asyncio.ensure_future(running.order("drain"))
        await running.dealt("mta2", "mta3")
        async with running._session.get("/api/v1/events/stream") as stream:
            counted.append(probes(await running.get("/metrics")))
            running.supervisor.say(UpgradeBegins())
            await until(lambda: running.daemon._leaving)
            status, headers, text = await running.asked("POST", DRAIN, {})
            assert (status, headers["Retry-After"]) == (503, "2")
            assert "is being upgraded" in text
            status, headers, _ = await running.asked("GET", "/status")
            assert (status, headers["Connection"]) == (200, "close")
            assert not running.ended.done()
            assert (await order)[0] == 202
            said = (await asyncio.wait_for(stream.read(), SOON)).decode()
        assert "the control process ends for an upgrade" in said
        *_, last, end = said.split("\n\n")
        assert end == ""
        assert sorted(line.partition(":")[0] for line in last.splitlines()) == ["id", "retry"]
        await asyncio.wait_for(running.ended, SOON)
        assert running.supervisor.carried is not None
        ready.carried = running.supervisor.carried

    ready.run(before)
    assert ready.status == 0
    ready.number = 1

    async def after(running: Running) -> None:
        await running.dealt("mta2", "mta3")
        assert probes(await running.get("/metrics")) >= counted[0]
        running.supervisor.say(UpgradeEnded("1.0"))
        await running.scrape(lambda text: 'geodns_upgrades_total{outcome="upgraded"} 1.0' in text)
        last = (await running.get("/status"))["last_upgrade"]
        assert (last["outcome"], last["before"]) == ("upgraded", "1.0")
        events = await running.daemon.services.events.newest(50, EventFilter())
        assert f"the server was upgraded from version 1.0 to {__version__}" in [one.text for one in events]

    ready.run(after)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_failed_upgrade_is_told_and_one_that_went_back_is_an_alert(ready: Control, replaced: bool) -> None:
    async def test(running: Running) -> None:
        await running.dealt(*ALL)
        running.supervisor.say(UpgradeEnded(__version__, "it has no zones", "rehearsal", replaced))
        await until(lambda: running.daemon.services.upgrades.last)
        await until(lambda: bool(running.daemon.services.alerts.warnings()) is replaced)
        shown = await running.get("/status")
        assert shown["last_upgrade"]["outcome"] == ("went_back" if replaced else "refused")
        assert shown["last_upgrade"]["why"] == "it has no zones"
        note = json.loads(running.daemon.services.persistence.note("version") or "")
        assert note["version"] == __version__

    ready.run(test)
    ready.number = 1

    async def again(running: Running) -> None:
        shown = await running.get("/status")
        assert shown["last_upgrade"]["step"] == "rehearsal", "another control process knows it"

    ready.run(again)
    ready.number = 0

    async def started(running: Running) -> None:
        assert "last_upgrade" not in await running.get("/status"), "whoever started it knows"

    ready.run(started)
