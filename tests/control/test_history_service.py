"""The history of hosts as it is recorded: minutes written, read back after a restart, a disk that fails."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from geodns.api.history import columns
from geodns.control.history_service import RECENT, HistoryService
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.model.state import HealthState, HostKey, HostSince
from geodns.storage.history_file import HOUR, MINUTE, HistoryFile
from tests.sample_zones import NAME, zone

HOST: HostKey = ("a.example", "mta1")


def service(folder: Path) -> HistoryService:
    world = SimpleNamespace(subscribe=id, hosts_of=lambda _: (HOST,))
    return HistoryService(folder, cast(Any, world), cast(Any, world), cast(Any, world))


def probed(one: HistoryService, seconds: float | None) -> None:
    one._on_probe(cast(Any, None), ProbeOutcome(ProbeResult.OK, "", seconds))


def read(one: HistoryService, since: float = 0.0, step: int = MINUTE) -> dict[str, Any]:
    return dict(columns(one.steps(HOST[0], since, step), step))


def latencies(one: HistoryService) -> list[float]:
    """The mean of each of the last minutes, in seconds."""
    return [
        by_zone[HOST[0]][HOST[1]].rtt / by_zone[HOST[0]][HOST[1]].probes for _, by_zone in one.last_minutes()
    ]


def test_a_time_out_is_counted_and_is_no_latency(tmp_path: Path) -> None:
    now = time.time() // MINUTE * MINUTE - 3 * MINUTE
    one = service(tmp_path)
    one.close_minute(now)
    probed(one, 0.5)
    late = ProbeOutcome(ProbeResult.FAILURE, "timed out while waiting for the greeting", 10.0)
    one._on_probe(cast(Any, None), late)
    one.close_minute(now + 60)
    one.write(now + 60)
    columns = read(one)[HOST[1]]
    assert (columns["rtt_ms"], columns["timeouts"]) == ([500.0], [1])


def test_of_a_host_that_nobody_checks_it_knows_no_time_up(tmp_path: Path) -> None:
    now = time.time() // MINUTE * MINUTE - 3 * MINUTE
    one = service(tmp_path)
    served = zone(
        "hosts: {seen: 192.0.2.1, idle: 192.0.2.2}\n"
        "pools: {a: {hosts: [seen]}, b: {hosts: [idle], check: none}}"
    )
    up = HostSince(HealthState.UP, now)
    one._cluster = cast(
        Any,
        SimpleNamespace(
            zones={NAME: served}, since={(NAME, "seen"): up, (NAME, "idle"): up, ("x", "gone"): up}
        ),
    )
    one.close_minute(now)
    one.look()
    one.close_minute(now + 60)
    one.write(now + 60)
    shown = columns(one.steps(NAME, 0, MINUTE), MINUTE)
    assert {name: columns["up"] for name, columns in shown.items()} == {"seen": [1.0]}


def test_a_minute_is_closed_when_it_is_over_and_survives(tmp_path: Path) -> None:
    now = time.time() // MINUTE * MINUTE - 3 * MINUTE
    one = service(tmp_path)
    assert not one.close_minute(now)
    probed(one, 0.25)
    probed(one, None)
    assert not one.close_minute(now + 59)
    assert one.close_minute(now + 60)
    one.write(now + 60)
    assert latencies(one) == [0.25]
    probed(one, 0.75)
    asyncio.run(one.close())
    again = service(tmp_path)
    again._restore_memory(now + 120)
    assert latencies(again) == [0.25, 0.75]
    assert read(again)["mta1"]["rtt_ms"] == [250.0, 750.0]
    assert read(again, since=now + 1)["mta1"]["at"] == [int(now) + 60]


def test_a_restart_within_a_minute_adds_to_it(tmp_path: Path) -> None:
    now = time.time() // MINUTE * MINUTE - MINUTE
    for seconds in (0.25, 0.75):
        one = service(tmp_path)
        one.close_minute(now + 1)
        probed(one, seconds)
        asyncio.run(one.close())
    assert read(service(tmp_path))["mta1"]["rtt_ms"] == [500.0]


def test_added_up_points_begin_with_a_whole_step(tmp_path: Path) -> None:
    hour = time.time() // HOUR * HOUR - HOUR
    one = service(tmp_path)
    for number in range(12):
        one.close_minute(hour + number * MINUTE)
        probed(one, number / 100)
    one.close_minute(hour + 12 * MINUTE)
    one.write(hour + 12 * MINUTE)
    shown = read(one, hour + 5 * MINUTE, 10 * MINUTE)["mta1"]
    assert (shown["at"], shown["rtt_ms"]) == ([hour, hour + 600], [45.0, 105.0])
    assert read(one, hour, HOUR)["mta1"]["rtt_ms"] == [55.0], "of an hour that is not over"
    one.write(hour + HOUR)
    assert read(one, hour, HOUR)["mta1"]["rtt_ms"] == [55.0], "and of one that is"


def test_a_disk_that_fails_is_an_alert_and_what_waited_is_written_later(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.write_text("no folder")
    now = time.time() // MINUTE * MINUTE - 5 * MINUTE
    one = service(folder)
    one.close_minute(now)
    for minute in (1, 2):
        probed(one, 0.5)
        one.close_minute(now + minute * MINUTE)
        one.write(now)
    (alert,) = one.alerts()
    assert alert.text.startswith("the history of hosts is not written: ")
    assert read(one) == {}
    folder.unlink()
    one.write(now)
    assert list(one.alerts()) == []
    assert len(read(one)["mta1"]["at"]) == 2


def test_a_damaged_file_is_set_aside_and_history_begins_anew(tmp_path: Path) -> None:
    (tmp_path / HistoryFile.FILE_NAME).write_text("no database, but long enough to be looked at" * 20)
    one = service(tmp_path)
    one.close_minute(MINUTE)
    probed(one, 0.5)
    one.close_minute(2 * MINUTE)
    one.write(time.time())
    assert one.trouble is None
    assert list(tmp_path.glob("history.db.corrupt-*"))


def test_memory_is_bounded(tmp_path: Path) -> None:
    one = service(tmp_path)
    for minute in range(1, 3 * RECENT):
        probed(one, 0.5)
        one.close_minute(minute * MINUTE)
    assert len(one.last_minutes()) == RECENT
