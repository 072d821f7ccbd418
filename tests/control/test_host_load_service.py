"""Loads in a running control process: pushed, polled, gone stale; their weights and events."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Any

import pytest
from aiohttp import web

from geodns import daemon
from geodns.health.outcome import ProbeResult
from tests.controlling import NAME, TEXT, Control, Running, ready, until

__all__ = ["ready"]

MTA1 = (NAME, "mta1")


def zone(load: str, host: str = "mta1") -> str:
    return TEXT.replace(
        f"{host}: 192.0.2.1{host[-1]}", f"{host}: {{address: 192.0.2.1{host[-1]}, load: {load}}}"
    )


async def shown(running: Running, host: str = "mta1") -> Any:
    return (await running.get("/status"))["hosts"][NAME][host]


def share_of(running: Running, host: str) -> float:
    """The host's part of what is dealt at the zone's name."""
    choice = running.daemon.services.cluster.compiled.choices[NAME, "main"]
    weights = {entry.host: entry.effective for entry in choice.mx.dealt}
    return float(weights[host] / sum(weights.values()))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "RISE_EVERY", 0.05)
    monkeypatch.setattr("geodns.control.alert_service.LOOK_EVERY", 0.05)


@pytest.mark.usefixtures("quick")
def test_a_pushed_load_lowers_the_weight_until_it_is_stale(
    ready: Control, caplog: pytest.LogCaptureFixture
) -> None:
    ready.file.write_text(zone("{full: 2000, stale: 1s}"))

    async def test(running: Running) -> None:
        assert (await shown(running))["load"] == {
            "value": None,
            "full": 2000,
            "at": None,
            "stale": False,
            "error": None,
        }
        number = running.supervisor.numbers[-1]
        code, answer = await running.order("load", value=3000)
        assert (code, answer["load"]["value"], answer["weight"]) == (200, 3000, 1)
        async with asyncio.timeout(20):
            while running.daemon.services.cluster.loads.factors.get(MTA1, 1) > 0.1:
                await running.order("load", value=3000)
                await asyncio.sleep(0.05)
        status = await running.get("/status")
        assert status["hosts"][NAME]["mta1"]["factors"] == {"load": 0.1}
        assert status["hosts"][NAME]["mta1"]["state"] == "up"
        assert status["warnings"] == []
        assert share_of(running, "mta1") == pytest.approx(0.1 / 2.1)
        assert running.supervisor.dealt() == {"mta1", "mta2", "mta3"}
        assert running.supervisor.numbers[-1] - number <= 9, "one Table for each step at most"
        metrics = await running.get("/metrics")
        assert f'geodns_host_load_ratio{{host="mta1",zone="{NAME}"}} 1.5' in metrics
        # Nobody pushes any more.
        await until(lambda: running.daemon.services.cluster.loads.factors == {})
        await until(lambda: "nothing has been pushed" in caplog.text)
        status = await running.get("/status")
        warning = f"load of mta1.{NAME}: nothing has been pushed for 1 s: its plain weight is used"
        assert status["warnings"] == [warning]
        assert status["hosts"][NAME]["mta1"]["load"]["stale"] is True
        await until(lambda: "nothing has been pushed" in caplog.text)
        assert f'geodns_host_load_stale{{host="mta1",zone="{NAME}"}} 1.0' in await running.get("/metrics")
        await running.order("drain")
        assert (await running.get("/status"))["warnings"] == [], "who is out anyway needs no warning"
        await running.order("undrain")
        code, _ = await running.order("load", value=1)
        assert code == 200
        assert (await running.get("/status"))["warnings"] == []
        await until(lambda: "it is known again" in caplog.text)
        assert caplog.text.count("nothing has been pushed") == 1
        events = (await running.get("/api/v1/events?kind=load"))["events"]
        reported = sorted((one["host"], one["data"]["stale"]) for one in events)
        assert reported == [("mta1", False), ("mta1", True)]

    with caplog.at_level(logging.INFO):
        ready.run(test)


def test_who_may_push_what(ready: Control) -> None:
    ready.token = "secret"
    ready.file.write_text(
        zone("{full: 9}").replace("mta2: 192.0.2.12", _asked("http://127.0.0.1:9/", "mta2"))
    )

    async def test(running: Running) -> None:
        path = f"/api/v1/hosts/{NAME}/mta1/load"
        code, answer = await running.order("load", value=1)
        assert (code, "Authorization: Bearer TOKEN" in answer["error"]) == (401, True)
        running._session.headers["Authorization"] = "Bearer secret"
        assert (await running.order("load", value=1))[0] == 200
        code, answer = await running.order("load", value="x")
        assert (code, answer) == (400, {"error": "`value`: 'x' is no number: write one"})
        code, answer = await running.order("load", "mta2", value=1)
        assert code == 400
        assert answer["error"].startswith(f"the load of mta2.{NAME} is read from its URL: to push it, leave")
        code, answer = await running.order("load", "mta3", value=1)
        assert code == 400
        assert answer["error"].startswith(f"the zone file says nothing of the load of mta3.{NAME}: write")
        assert "`load: {full: 2000}`" in answer["error"]
        assert (await running.order("load", "mta4", value=1))[0] == 404
        async with running._session.get(path) as response:
            assert response.status == 405
        async with running._session.post(path, data=b"[" * 70_000) as response:
            assert response.status == 413
            assert "error" in json.loads(await response.text())
        assert (await shown(running))["load"]["value"] == 1

    ready.run(test)


def _asked(url: str, host: str) -> str:
    return (
        f"{host}: {{address: 192.0.2.1{host[-1]}, load: {{url: '{url}', metric: 'q{{a=\"b\"}}', full: 100, "
        "interval: 100ms, timeout: 100ms, stale: 1s}}"
    )


class Exporter:
    """What a host's exporter says; None: nothing, for it is dead."""

    queue: float | None = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/metrics", self._page)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        finally:
            await runner.cleanup()

    async def _page(self, request: web.Request) -> web.Response:
        del request
        if self.queue is None:
            return web.Response(status=500)
        return web.Response(text=f'# TYPE q gauge\nq{{a="b"}} {self.queue}\nq{{a="c"}} 1e9\n')


@pytest.mark.usefixtures("quick")
def test_a_polled_load_lowers_the_weight_and_an_edit_is_followed(ready: Control) -> None:
    exporter = Exporter()

    async def test(running: Running) -> None:
        loads = running.daemon.services.cluster.loads
        async with exporter.running() as url:
            busy = TEXT.replace("mta2: 192.0.2.12", _asked(url, "mta2"))
            ready.file.write_text(busy)
            await until(lambda: loads.known and loads.known[NAME, "mta2"].value == 0)
            assert loads.factors == {}
            exporter.queue = 5000
            await until(lambda: loads.factors.get((NAME, "mta2")) == Fraction(1, 10))
            one = await shown(running, "mta2")
            assert (one["factors"], one["load"]["value"], one["load"]["error"]) == ({"load": 0.1}, 5000, None)
            exporter.queue = None
            await until(lambda: loads.factors == {})
            one = await shown(running, "mta2")
            assert one["load"]["error"] == "status 500 Internal Server Error"
            (warning,) = (await running.get("/status"))["warnings"]
            told = "status 500 Internal Server Error: its plain weight is used"
            assert warning == f"load of mta2.{NAME}: {told}"
            ready.finds["192.0.2.12"] = ProbeResult.FAILURE
            await running.dealt("mta1", "mta3")
            assert (await running.get("/status"))["warnings"] == [], "that it is down says all"
            ready.finds.clear()
            exporter.queue = 5000
            await until(lambda: (NAME, "mta2") in loads.factors)
            ready.file.write_text(TEXT)
            await until(lambda: loads.known == {})
            assert not running.daemon.services.loads._sources._tasks
            assert (await shown(running, "mta2"))["factors"] == {}
            ready.file.write_text(busy)
            await until(lambda: loads.known and loads.known[NAME, "mta2"].value == 5000)

    ready.run(test)
    assert ready.status == 0
