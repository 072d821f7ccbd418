"""The control process, run whole in the test's loop with real files, store, HTTP and link: start and end."""

import asyncio
import logging
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from geodns import daemon
from geodns.config.settings import Settings
from geodns.control.wall_clock import WallClock
from geodns.daemon import control
from geodns.errors import StoreError
from geodns.health.outcome import ProbeResult
from geodns.model.checks import Target
from geodns.model.state import Forced, ForcedState, HealthState, RetiredHost, Verdict
from geodns.serve.plan import ControlContext
from geodns.storage.reading_log import MOST_DEATHS, ReadingLog
from geodns.storage.state_file import FILE_NAME, StateFile
from geodns.zonefile.reader import ParsedZone, read_zone
from geodns.zones import folder
from tests.controlling import NAME, TEXT, Control, Running, ready, until
from tests.sample_zones import host

MTA1 = (NAME, "mta1")
ALL = ("mta1", "mta2", "mta3")
WITHOUT_1 = TEXT.replace("mta1: 192.0.2.11, ", "")


__all__ = ["ready"]


# --- the start ------------------------------------------------------------------------------------------


def test_it_probes_the_hosts_then_answers_and_says_so(
    ready: Control, capfd: pytest.CaptureFixture[str]
) -> None:
    ready.finds = {"192.0.2.11": ProbeResult.FAILURE}

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert len(running.supervisor.numbers) == 1, "nothing was answered before the first round"
        http = running.daemon._context.http.getsockname()[1]
        assert capfd.readouterr().out == (
            f"ready: dns 127.0.0.1:5300 http 127.0.0.1:{http} zones 1 backend python\n"
        )
        status = await running.get("/status")
        assert (status["ready"], status["warnings"]) == (True, [])
        assert status["hosts"][NAME]["mta1"]["checks"][0]["detail"] == "failure at 192.0.2.11"
        assert await running.get("/readyz") == "ready\n"

    ready.run(test)
    assert ready.status == 0


def test_while_the_first_probes_run_it_lives_and_is_not_ready(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "FIRST_ROUND", 0.5)

    async def never(target: Target) -> None:
        del target
        await asyncio.sleep(3600)

    ready.probing = never

    async def test(running: Running) -> None:
        await until(lambda: running.daemon.services.verdicts._monitor.verdicts)
        assert await running.get("/healthz") == "alive\n"
        assert await running.get("/readyz") == "starting: the first probes are not done\n"
        await running.dealt(*ALL)

    ready.run(test, wait=False)


def test_an_end_while_starting_waits_for_nothing(ready: Control) -> None:
    async def never(target: Target) -> None:
        del target
        await asyncio.sleep(3600)

    ready.probing = never

    async def test(running: Running) -> None:
        await until(lambda: running.daemon.services.verdicts._monitor.verdicts)
        running.signal(signal.SIGTERM)
        await asyncio.wait({running.ended}, timeout=daemon.FIRST_ROUND - 1)
        assert running.ended.done()
        assert running.supervisor.numbers == []

    ready.run(test, wait=False)
    assert ready.status == 0


def test_stored_states_are_taken_and_answering_starts_at_once(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.finds = {"192.0.2.11": ProbeResult.FAILURE}

    async def nothing(running: Running) -> None:
        await running.dealt("mta2", "mta3")

    ready.run(nothing)

    async def never(target: Target) -> None:
        del target
        await asyncio.sleep(3600)

    monkeypatch.setattr(daemon, "FIRST_ROUND", 60.0)
    ready.probing = never
    began = time.monotonic()

    async def test(running: Running) -> None:
        assert time.monotonic() - began < daemon.FIRST_ROUND
        assert running.supervisor.dealt() == {"mta2", "mta3"}

    ready.run(test)


def test_what_was_forced_holds_over_a_restart_but_not_past_its_time(ready: Control) -> None:
    store, _ = StateFile.open(ready.state, time.time())
    now = time.time()
    store.save_forced((NAME, "mta1"), ForcedState(Forced.DRAINED, "", "ann", now - 60))
    store.save_forced((NAME, "mta2"), ForcedState(Forced.DRAINED, "", "ann", now - 60, now - 30))
    store.save_forced((NAME, "mta3"), ForcedState(Forced.DRAINED, "", "ann", now - 60, now + 3600))
    store.close()

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta2"}
        await until(lambda: (NAME, "mta2") not in running.store.load_forced())

    ready.run(test)


def test_a_clock_that_is_set_while_the_first_probes_run_ends_nothing(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = StateFile.open(ready.state, time.time())
    store.save_forced(MTA1, ForcedState(Forced.DRAINED, "", "ann", time.time(), time.time() + 3600))
    store.close()
    real, ahead = time.time, [0.0]

    def wall() -> float:
        return real() + ahead[0]

    async def probing(_: Target) -> None:
        await asyncio.sleep(0)
        ahead[0] = 86400.0

    monkeypatch.setattr("time.time", wall)
    monkeypatch.setattr(daemon, "WallClock", lambda noted: WallClock(noted, wall))
    ready.probing = probing

    async def test(running: Running) -> None:
        assert ahead[0]
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert MTA1 in running.store.load_forced()

    ready.run(test)


def test_a_full_disk_stops_no_start_and_what_was_forced_holds(ready: Control) -> None:
    store, _ = StateFile.open(ready.state, time.time())
    store.save_forced((NAME, "mta1"), ForcedState(Forced.DRAINED, "", "ann", time.time() - 60))
    store.close()
    ready.number = 3
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert any("geodns.db: " in one for one in (await running.get("/status"))["warnings"])
        code, shown = await running.order("drain", "mta2", yes=True)
        assert (code, shown["kept"]) == (200, False)
        assert running.supervisor.dealt() == {"mta3"}
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await until(lambda: running.daemon.services.persistence.trouble is None)
        assert set(running.store.load_forced()) == {(NAME, "mta1"), (NAME, "mta2")}
        assert running.store.offline is None

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        ready.run(test)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_second_control_process_is_silent_and_goes_on_with_the_numbers(
    ready: Control, capfd: pytest.CaptureFixture[str]
) -> None:
    ready.number = 41

    async def test(running: Running) -> None:
        assert running.supervisor.numbers == [42]

    ready.run(test)
    assert capfd.readouterr().out == ""


NOWHERE = ControlContext(None, None, (), (), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        pytest.param(Path.exists, "no zones in ", id="no zones"),
        pytest.param(
            lambda zones: (zones / "a.example.yaml").write_text("hosts: 5"), "a.example.yaml:1:", id="bad"
        ),
        pytest.param(lambda zones: zones.rmdir(), "cannot be read", id="no folder"),
    ],
)
def test_with_nothing_to_serve_it_says_why_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prepare: Callable[[Path], Any], said: str
) -> None:
    zones = tmp_path / "zones"
    zones.mkdir()
    prepare(zones)
    assert control(Settings(zones=zones, state=tmp_path / "state"), NOWHERE) == 1
    error = capsys.readouterr().err
    assert error.startswith("geodns: ")
    assert said in error
    assert "Traceback" not in error


def test_a_state_that_cannot_be_used_is_said_and_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise StoreError("geodns.db: the disk does not read")

    monkeypatch.setattr(StateFile, "load_serials", broken)
    assert control(Settings(zones=tmp_path, state=tmp_path / "state"), NOWHERE) == 1
    assert capsys.readouterr().err == "geodns: geodns.db: the disk does not read\n"


def test_a_file_that_kills_control_is_refused_and_its_zone_is_served_as_before(ready: Control) -> None:
    async def nothing(running: Running) -> None:
        del running

    ready.run(nothing)
    ready.file.write_text(TEXT.replace("mta3: 192.0.2.13", "mta3: 192.0.2.13, mta4: 192.0.2.14"))
    for _ in range(MOST_DEATHS):
        assert ReadingLog(ready.state / "reading").begin(ready.file)
    ready.number = 2

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == set(ALL)
        shown = await running.get("/status")
        assert "control died reading it" in shown["zones"][NAME]["error"]
        os.utime(ready.file)
        await until(lambda: "mta4" in running.supervisor.dealt())
        assert (await running.get("/status"))["zones"][NAME]["error"] is None

    ready.run(test)


def test_a_server_that_is_told_to_end_blames_no_file_that_it_reads(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, released = threading.Event(), threading.Event()

    def slowly(*given: Any) -> ParsedZone:
        begun.set()
        released.wait()
        return read_zone(*given)

    monkeypatch.setattr(folder, "read_zone", slowly)
    note = ready.state / "reading"

    async def test(running: Running) -> None:
        try:
            await until(begun.is_set)
            assert NAME in note.read_text()
            running.signal(signal.SIGTERM)
            await until(lambda: NAME not in note.read_text().splitlines()[0])  # it may be killed from here on
        finally:
            released.set()

    ready.run(test, wait=False)


def test_a_bad_file_takes_no_zone_away_that_was_served_before_a_restart(ready: Control) -> None:
    async def nothing(running: Running) -> None:
        del running

    ready.run(nothing)
    ready.file.write_text("hosts: 5\n")

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == set(ALL)
        status = await running.get("/status")
        assert status["zones"][NAME]["error"]
        assert status["ready"] is True

    ready.run(test)


def test_a_host_taken_out_while_the_server_was_off_answers_for_its_own_name(ready: Control) -> None:
    async def nothing(running: Running) -> None:
        del running

    ready.run(nothing)
    ready.file.write_text(WITHOUT_1)

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert MTA1 in running.daemon.services.cluster.retired
        (table,) = running.supervisor.table.zones.values()
        assert b"\x04mta1" + table.origin in table.nodes
        await until(lambda: MTA1 in running.store.load_retired())

    ready.run(test)


# --- the end --------------------------------------------------------------------------------------------


def test_sigterm_ends_it_cleanly_and_keeps_the_verdicts(ready: Control) -> None:
    async def test(running: Running) -> None:
        ready.finds["192.0.2.11"] = ProbeResult.FAILURE
        await until(
            lambda: running.daemon.services.verdicts._unserved or running.supervisor.dealt() != set(ALL)
        )
        running.signal(signal.SIGTERM)
        assert await asyncio.wait_for(asyncio.shield(running.ended), 20) == 0
        kept = running.store.load_verdicts(3600, time.time())
        assert sorted(verdict.state for verdict in kept.values()) == [
            HealthState.DOWN,
            HealthState.UP,
            HealthState.UP,
        ]

    ready.run(test)


def test_without_a_supervisor_it_ends(ready: Control, caplog: pytest.LogCaptureFixture) -> None:
    async def test(running: Running) -> None:
        await running.supervisor.hang_up()
        assert await asyncio.wait_for(asyncio.shield(running.ended), 20) == 0

    with caplog.at_level(logging.ERROR):
        ready.run(test)
    assert "the supervisor is gone" in caplog.text


@pytest.mark.parametrize(
    ("where", "name"),
    [
        pytest.param("zones._folder", "poll", id="watching the folder"),
        pytest.param("orders", "end_expired", id="keeping time"),
        pytest.param("cluster", "apply_verdicts", id="taking verdicts"),
    ],
)
def test_a_task_that_dies_ends_the_process_so_that_another_one_begins(
    ready: Control,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    name: str,
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a fault of ours")

    async def test(running: Running) -> None:
        monkeypatch.setattr(attrgetter(where)(running.daemon.services), name, broken)
        ready.finds["192.0.2.11"] = ProbeResult.FAILURE
        await asyncio.wait_for(asyncio.shield(running.ended), 20)

    ready.run(test)
    assert "the control process ends: a fault of ours" in caplog.text


def test_a_client_that_never_finishes_asking_does_not_hold_up_the_end(ready: Control) -> None:
    async def test(running: Running) -> None:
        host, port = running.daemon._context.http.getsockname()
        _, writer = await asyncio.open_connection(host, port)
        writer.write(f"POST /api/v1/hosts/{NAME}/mta1/drain HTTP/1.1\r\nHost: {host}\r\n".encode())
        writer.write(b"Content-Length: 9\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.2)
        began = time.monotonic()
        running.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.shield(running.ended), 20)
        assert time.monotonic() - began < 4.5, "the supervisor would have killed it"
        writer.close()

    ready.run(test)


def test_verdicts_of_the_store_are_of_its_targets_only(ready: Control) -> None:
    store, _ = StateFile.open(ready.state, time.time())
    store.save_verdicts({"smtp [192.0.2.99]:25 aa": Verdict(HealthState.DOWN)}, time.time())
    store.save_retired({(NAME, "old"): RetiredHost(host("old", "192.0.2.99"), time.time() + 60)})
    store.close()

    async def test(running: Running) -> None:
        assert len(running.daemon.services.cluster.verdicts) == 3
        (table,) = running.supervisor.table.zones.values()
        assert b"\x03old" + table.origin in table.nodes
        assert (ready.state / FILE_NAME).exists()

    ready.run(test)


def test_trouble_with_the_disk_at_the_very_end_is_told(
    ready: Control, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StoreError("geodns.db: the disk is full")

    async def test(running: Running) -> None:
        monkeypatch.setattr(StateFile, "_write", full)
        running.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.shield(running.ended), 20)

    ready.run(test)
    assert "geodns.db: the disk is full: what changes now is forgotten at a restart" in caplog.text
