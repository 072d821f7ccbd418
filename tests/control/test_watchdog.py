"""The watchdog: its alerts, that each is one event, and another when it is over."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.control import watchdog
from geodns.control.alert_service import Alerts
from geodns.control.watchdog import FREE, REMEMBER, SILENT, Lag, Vitals, Watchdog, server_alerts
from geodns.serve.control_link import Worker
from geodns.storage.event_log import EventLog


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(Vitals(), {}, id="all well"),
        pytest.param(Vitals(lateness=5.0, lag=1.0, free=FREE, silence={"tcp": 15.0}), {}, id="just well"),
        pytest.param(Vitals(lateness=7.4), {"probes": "probes are late by 7 s"}, id="late probes"),
        pytest.param(
            Vitals(silence={"udp0": 3.0, "tcp": 61.0}),
            {"worker tcp": "worker tcp has said nothing for 61 s: it may hang"},
            id="a silent worker",
        ),
        pytest.param(Vitals(lag=2.5), {"loop": "was busy with one thing for 2.5 s"}, id="a blocked loop"),
        pytest.param(
            Vitals(refused={"new.example": 60.0, "out.example.com": 7300.0}),
            {"zone out.example.com": "refused for 2 h"},
            id="an old refusal",
        ),
        pytest.param(Vitals(free=3 << 20), {"disk": "has 3 MiB left"}, id="a full disk"),
    ],
)
def test_what_is_an_alert(seen: Vitals, expected: dict[str, str]) -> None:
    found = {one.key[1]: one.text for one in server_alerts(seen) if isinstance(one.key, tuple)}
    assert found.keys() == expected.keys()
    assert all(expected[about] in found[about] for about in expected)


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 10)), max_size=50))
def test_the_worst_lag_is_the_largest_of_the_last_minute(steps: list[tuple[float, float]]) -> None:
    lag, now = Lag(), 0.0
    seen: list[tuple[float, float]] = []
    for wait, value in steps:
        now += wait
        lag.note(now, value)
        seen.append((now, value))
        assert lag.worst(now) == max(one for at, one in seen if at >= now - REMEMBER)


class Rig:
    """A watchdog, and what it looks at."""

    def __init__(self, folder: Path) -> None:
        self.lateness = 0.0
        self.workers = {"udp0": Worker(7, heard=100.0), "tcp": Worker(None, heard=0.0)}
        self.refused: set[str] = set()
        self.events = EventLog(folder)
        world = cast(Any, self)
        self.watch = Watchdog(world, world, world, world, folder)
        self._alerts = Alerts(self.events, [self.watch])

    def look(self, now: float) -> None:
        self.watch.look(now)
        self._alerts.report()

    @property
    def reported(self) -> list[tuple[str, bool]]:
        return [(one.text, not one.text.startswith("no longer")) for one in self.events._memory]

    def warnings(self) -> list[str]:
        return self._alerts.warnings()


def test_each_alert_is_an_event_once_and_when_it_is_over(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.look(100.0)
    assert rig.reported == []
    assert rig.warnings() == []
    rig.lateness = 9.0
    for now in (101.0, 102.0):
        rig.look(now)
    assert rig.reported == [("probes are late by 9 s: the prober is overloaded", True)]
    assert rig.warnings() == ["probes are late by 9 s: the prober is overloaded"]
    rig.lateness = 0.0
    rig.look(103.0)
    assert rig.reported[1:] == [("no longer: probes are late by 9 s: the prober is overloaded", False)]
    assert rig.warnings() == []


def test_workers_that_are_not_there_are_not_silent(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.look(100.0 + SILENT + 1)
    assert rig.watch.vitals.silence == {"udp0": SILENT + 1}
    assert [text for text, _ in rig.reported] == ["worker udp0 has said nothing for 16 s: it may hang"]


def test_a_refusal_counts_from_when_it_began_and_anew_after_a_good_file(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.workers = {}
    rig.refused = {"out.example.com"}
    rig.look(0.0)
    rig.look(3000.0)
    rig.refused = set()
    rig.look(3100.0)
    rig.refused = {"out.example.com"}
    rig.look(3200.0)
    assert rig.watch.vitals.refused == {"out.example.com": 0.0}
    rig.look(3200.0 + 3601)
    assert [text for text, _ in rig.reported if "zone" in text] == [
        "the file of zone out.example.com has been refused for 1 h: what is served is old"
    ]


def test_a_blocked_loop_is_measured_and_a_hanging_one_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(watchdog, "HANGS", 0.2)
    monkeypatch.setattr(watchdog, "BLOCKED", 0.1)
    rig = Rig(tmp_path)
    rig.workers = {}

    def block_for_long() -> None:
        # As a handler would that waits where it should not.
        end = time.monotonic() + 10
        while "block_for_long" not in caplog.text and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.1)

    async def run() -> None:
        task = asyncio.create_task(rig.watch.watch())
        await asyncio.sleep(0.2)
        block_for_long()
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    before = threading.active_count()
    asyncio.run(run())
    assert "the control process hangs: answers stay as they are" in caplog.text
    assert "block_for_long" in caplog.text
    assert any("busy with one thing" in one.text for one in rig.watch.alerts())
    assert isinstance(rig.watch.vitals.free, int)
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before
