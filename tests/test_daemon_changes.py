"""The control process, run whole in the test's loop: edits, verdicts and orders, alone and together."""

import asyncio
import logging
import signal
import threading
import time
from typing import Any

import pytest

from geodns import daemon
from geodns.compiler.compile import compile_zones as real
from geodns.control import verdict_service
from geodns.control.worker_service import WorkerService
from geodns.errors import StoreError
from geodns.health.outcome import ProbeResult
from geodns.responder.worker_state import Counts
from geodns.serve.frames import WorkerExited, WorkerStarted
from geodns.storage.state_file import StateFile
from tests.controlling import NAME, TEXT, Control, Running, ready, until

__all__ = ["ready"]

MTA1 = (NAME, "mta1")
ALL = ("mta1", "mta2", "mta3")
WITHOUT_1 = TEXT.replace("mta1: 192.0.2.11, ", "")


# --- zones ----------------------------------------------------------------------------------------------


def test_an_edit_is_served_and_a_host_taken_out_is_retired(ready: Control) -> None:
    async def test(running: Running) -> None:
        serial = (await running.get("/status"))["zones"][NAME]["serial"]
        ready.file.write_text(WITHOUT_1)
        await running.dealt("mta2", "mta3")
        await until(lambda: MTA1 in running.store.load_retired())
        status = await running.get("/status")
        assert status["zones"][NAME]["serial"] == serial + 1
        assert "mta1" not in status["hosts"][NAME]

    ready.run(test)


def test_a_bad_edit_changes_nothing_and_is_an_event(ready: Control) -> None:
    async def test(running: Running) -> None:
        ready.file.write_text("hosts: 5\n")
        await until(lambda: running.daemon.services.zones._folder.refused)
        status = await running.get("/status")
        assert status["zones"][NAME]["error"]
        assert any("the zone it had is served" in one for one in status["warnings"])
        await running.scrape(lambda text: 'geodns_zone_load_errors_total{zone="out.example.com"} 1.0' in text)
        assert running.supervisor.dealt() == set(ALL)
        assert await running.get("/readyz") == "ready\n"

    ready.run(test)


def test_of_very_many_problems_the_log_has_the_first_hundred(
    ready: Control, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(running: Running) -> None:
        lines = "".join(f"  h{number}: {{XX{number}: y}}\n" for number in range(5_000))
        ready.file.write_text(f"ns: {{ns1: 192.0.2.53}}\nhosts: {{mta1: 192.0.2.11}}\nrecords:\n{lines}")
        await until(lambda: "more problems in " in caplog.text)
        assert (await running.get("/status"))["zones"][NAME]["error"]

    ready.run(test)
    about = [record for record in caplog.records if f"{NAME}.yaml:" in record.getMessage()]
    assert len(about) == 102, "the event, a hundred lines and the count"
    assert "4,900 more problems in " in caplog.text


def test_sighup_reads_at_once(ready: Control) -> None:
    async def test(running: Running) -> None:
        ready.file.write_text(WITHOUT_1)
        other = ready.zones / "in.example.net.yaml"
        other.write_text(TEXT)
        running.signal(signal.SIGHUP)
        await running.dealt("mta2", "mta3")
        await until(lambda: "in.example.net" in running.daemon.services.cluster.sources)
        other.unlink()
        running.signal(signal.SIGHUP)
        await until(lambda: "in.example.net" not in running.daemon.services.cluster.sources)
        await until(lambda: "in.example.net" not in running.store.load_zones())

    ready.run(test)


def test_a_reload_while_an_edit_is_read_waits_for_its_turn(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[int] = []
    inside = 0

    def compile_zones(*arguments: Any) -> Any:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        time.sleep(0.2)
        found = real(*arguments)
        inside -= 1
        return found

    async def test(running: Running) -> None:
        monkeypatch.setattr("geodns.control.zone_service.compile_zones", compile_zones)
        for text in (WITHOUT_1, TEXT, WITHOUT_1):
            ready.file.write_text(text)
            running.signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
        await running.dealt("mta2", "mta3")

    ready.run(test)
    assert set(at_once) == {1}


def test_an_order_and_a_verdict_that_come_while_an_edit_is_compiled_hold(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def compile_zones(*arguments: Any) -> Any:
        found = real(*arguments)
        begun.set()
        go_on.wait(30)
        return found

    async def test(running: Running) -> None:
        monkeypatch.setattr("geodns.control.zone_service.compile_zones", compile_zones)
        ready.file.write_text(TEXT.replace("mta3: 192.0.2.13", "mta3: 192.0.2.13, mta4: 192.0.2.14"))
        running.signal(signal.SIGHUP)
        await until(begun.is_set)
        assert (await running.order("drain"))[0] == 200
        assert running.supervisor.dealt() == {"mta2", "mta3"}, "the order did not wait for the edit"
        ready.finds["192.0.2.12"] = ProbeResult.FAILURE
        await running.dealt("mta3")
        go_on.set()
        await running.dealt("mta3", "mta4")

    ready.run(test)


def test_a_host_that_is_new_waits_for_its_first_good_probe(ready: Control) -> None:
    ready.finds = {"192.0.2.14": ProbeResult.FAILURE}

    async def test(running: Running) -> None:
        ready.file.write_text(TEXT.replace("mta3: 192.0.2.13", "mta3: 192.0.2.13, mta4: 192.0.2.14"))
        running.signal(signal.SIGHUP)
        await until(lambda: "mta4" in running.daemon.services.cluster.zone(NAME).host_by_name)
        await asyncio.sleep(0.1)
        assert running.supervisor.dealt() == set(ALL)
        ready.finds.clear()
        await running.dealt(*ALL, "mta4")

    ready.run(test)


def test_a_retired_host_is_let_go_when_its_time_is_over(ready: Control) -> None:
    ready.file.write_text("retire: 300ms\n" + TEXT)

    async def test(running: Running) -> None:
        ready.file.write_text("retire: 300ms\n" + WITHOUT_1)
        await running.dealt("mta2", "mta3")
        (table,) = running.supervisor.table.zones.values()
        mta1 = b"\x04mta1" + table.origin
        assert mta1 in table.nodes
        await until(lambda: all(mta1 not in one.nodes for one in running.supervisor.table.zones.values()))
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        await until(lambda: running.store.load_retired() == {})

    ready.run(test)


# --- events ---------------------------------------------------------------------------------------------


def test_changes_are_events_with_their_causes(ready: Control) -> None:
    async def test(running: Running) -> None:
        ready.finds["192.0.2.11"] = ProbeResult.FAILURE
        await running.dealt("mta2", "mta3")
        await running.order("drain", "mta2", reason="disk swap", yes=True)
        ready.file.write_text("ttl: thirty\n" + TEXT)
        running.signal(signal.SIGHUP)
        await until(lambda: running.daemon.services.zones._folder.refused)
        await until(lambda: any(one.kind == "refused" for one in running.daemon.services.events._memory))
        ready.file.write_text(TEXT)
        running.signal(signal.SIGHUP)
        await until(lambda: not running.daemon.services.zones._folder.refused)
        await until(lambda: running.daemon.services.events._memory[-1].kind == "reload")
        ready.file.write_text("ttl: 40\n" + TEXT)
        running.signal(signal.SIGHUP)
        await until(lambda: '"ttl":40' in running.store.load_zones()[NAME].text)

    ready.run(test)
    events: list[Any] = []

    async def after(running: Running) -> None:
        events.extend((await running.get("/api/v1/events?limit=1000"))["events"])

    ready.run(after)
    assert sorted({one["id"] for one in events}) == [one["id"] for one in events]
    by_kind: dict[str, list[Any]] = {}
    for one in events:
        by_kind.setdefault(one["kind"], []).append(one)
    (down,) = (one for one in by_kind["state"] if one["data"]["after"] == "down")
    assert (down["zone"], down["host"], down["reason"]) == (NAME, "mta1", "failure at 192.0.2.11")
    assert down["text"] == f"host mta1.{NAME}: up → down (failure at 192.0.2.11)"
    assert down["data"]["checks"] == [
        {
            "check": "smtp",
            "address": "[192.0.2.11]:25",
            "outcome": "failure",
            "detail": "failure at 192.0.2.11",
        }
    ]
    (drained,) = by_kind["forced"]
    assert (drained["host"], drained["reason"]) == ("mta2", "disk swap")
    assert drained["author"].endswith("@127.0.0.1")
    (refused,) = by_kind["refused"]
    assert refused["zone"] == NAME
    assert ":1:6: 'thirty' is no duration" in refused["text"]
    assert [(one["text"], one["data"].get("lines")) for one in by_kind["reload"]] == [
        (f"zone {NAME} is served: hosts 3, pools 1, names 5 ({ready.file})", None),
        (f"zone {NAME}: its file has no errors any more, and says what is served", None),
        (f"zone {NAME}: ttl 30 → 40 ({ready.file})", ["ttl 30 → 40"]),
    ]
    assert [one["text"].split(":")[0] for one in by_kind["server"]] == [
        "the server is started",
        "the server stops",
        "the server is started",
    ]


def test_deaths_of_workers_are_events_but_for_those_at_the_end(ready: Control) -> None:
    async def test(running: Running) -> None:
        def reported() -> list[str]:
            return [one.text for one in running.daemon.services.events._memory if one.kind == "worker"]

        running.supervisor.say(WorkerExited("udp0"))
        running.supervisor.say(WorkerStarted("udp0", 10, 1))
        running.supervisor.say(WorkerExited("udp0", "(pid 10) was killed by SIGKILL"))
        running.supervisor.say(WorkerStarted("udp0", 11, 2))
        await until(lambda: len(reported()) == 2)
        assert reported() == ["worker udp0 (pid 10) was killed by SIGKILL", "worker udp0 is back (pid 11)"]

    ready.run(test)


# --- verdicts -------------------------------------------------------------------------------------------


def test_verdicts_are_served_at_once_and_then_together(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = 3600.0
    monkeypatch.setattr(verdict_service, "RECOMPILE_EVERY", pause)

    async def test(running: Running) -> None:
        service = running.daemon.services.verdicts
        monkeypatch.setattr(service, "_recompiled", -pause)  # as if the first round were long ago
        ready.finds["192.0.2.11"] = ProbeResult.FAILURE
        await running.dealt("mta2", "mta3")
        ready.finds["192.0.2.12"] = ProbeResult.FAILURE
        await until(lambda: service._unserved)
        ready.finds["192.0.2.11"] = ProbeResult.OK
        await until(lambda: len(service._unserved) == 2)
        assert (await running.order("drain", "mta3", yes=True))[0] == 200
        assert running.supervisor.dealt() == {"mta2"}, "an order waits for no verdicts"
        assert service._due is not None
        assert service._due.when() == pytest.approx(service._recompiled + pause, abs=pause / 2)
        number = running.supervisor.numbers[-1]
        service._due.cancel()
        service._take_verdicts()  # as if it were due
        await running.dealt("mta1")
        assert running.supervisor.numbers[-1] == number + 1, "what came together is one Table"

    ready.run(test)


def test_a_prober_that_is_cut_off_takes_nobody_down_for_a_while(
    ready: Control, caplog: pytest.LogCaptureFixture
) -> None:
    hosts = [f"mx{number}" for number in range(1, 7)]
    ready.file.write_text(
        "ns: {ns1: 192.0.2.53}\n"
        "checks: {smtp: {interval: 400ms, fast_interval: 100ms, rise: 1, fall: 9, slowstart: 1h}}\n"
        'hosts: {"mx[1-6]": {address: "192.0.2.[1-6]"}}\n'
        'pools: {main: {hosts: "*", check: smtp, hold: 1s}}\n'
        'records: {"@": {A: {pool: main}}}\n'
    )

    suspect = f'geodns_prober_suspect{{pool="main",zone="{NAME}"}}'

    async def test(running: Running) -> None:
        ready.finds |= {f"192.0.2.{number}": ProbeResult.FAILURE for number in range(1, 6)}
        await running.scrape(lambda shown: f"{suspect} 1.0" in shown)
        assert (await running.get("/status"))["pools"][NAME]["main"]["prober_suspect"] is True
        await running.dealt(*hosts)
        await running.dealt("mx6")
        ready.finds.clear()
        await running.dealt(*hosts)
        await running.scrape(lambda shown: f"{suspect} 0.0" in shown)
        shown = (await running.get("/status"))["hosts"][NAME]
        assert [shown[host]["factors"] for host in hosts] == [{}] * 6, "else mx6 alone would bear the load"

    with caplog.at_level(logging.INFO):
        ready.run(test)
    assert "of its 6 hosts fell silent at once" in caplog.text
    assert "of its 6 hosts are silent still" in caplog.text
    assert "most of its hosts are reached again, its verdicts are no longer in doubt" in caplog.text


@pytest.mark.parametrize(("verb", "body"), [("drain", {}), ("weight", {"weight": 0})])
def test_an_edit_waits_where_another_host_is_out_by_an_order(
    ready: Control, verb: str, body: dict[str, Any]
) -> None:
    async def test(running: Running) -> None:
        assert (await running.order(verb, "mta2", **body))[0] == 200
        ready.file.write_text(WITHOUT_1)
        await until(lambda: NAME in running.daemon.services.zones.waiting)
        assert running.supervisor.dealt() == {"mta1", "mta3"}

    ready.run(test)


def test_a_yes_to_a_reload_is_to_the_edit_that_was_shown(ready: Control) -> None:
    async def test(running: Running) -> None:
        assert (await running.order("drain", "mta2"))[0] == 200
        ready.file.write_text(WITHOUT_1)
        _, shown = await running.post("/api/v1/reload", {})
        assert list(shown["waiting"]) == [NAME]
        first = shown["digest"]
        ready.file.write_text(WITHOUT_1.replace("192.0.2.13", "192.0.2.33"))
        code, refused = await running.post("/api/v1/reload", {"yes": first})
        assert (code, f"the yes was to {first}" in refused["error"]) == (409, True)
        assert running.supervisor.dealt() == {"mta1", "mta3"}
        _, shown = await running.post("/api/v1/reload", {})
        assert shown["digest"] != first
        code, shown = await running.post("/api/v1/reload", {"yes": shown["digest"]})
        assert (code, shown["waiting"], "digest" in shown) == (200, {}, False)
        assert running.supervisor.dealt() == {"mta3"}
        assert (await running.post("/api/v1/reload", {"yes": "DIGEST"}))[0] == 400

    ready.run(test)


def test_a_host_that_comes_back_rises_and_goes_on_so_after_a_restart(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "RISE_EVERY", 0.05)
    ready.file.write_text(TEXT.replace("fall: 1", "fall: 1, slowstart: 60s"))

    async def factors(running: Running) -> Any:
        return (await running.get("/status"))["hosts"][NAME]["mta1"]["factors"]

    async def test(running: Running) -> None:
        assert await factors(running) == {}
        ready.finds["192.0.2.11"] = ProbeResult.FAILURE
        await running.dealt("mta2", "mta3")
        ready.finds.clear()
        await running.dealt(*ALL)
        assert await factors(running) == {"slowstart": 0.05}
        # As if half a minute had passed.
        running.daemon.services.cluster.slow_start.since[MTA1] -= 30
        await until(lambda: running.daemon.services.cluster.slow_start.shares[MTA1] == 0.5)
        assert await factors(running) == {"slowstart": 0.5}

    async def after(running: Running) -> None:
        assert (await factors(running))["slowstart"] in {0.5, 0.55, 0.6}

    ready.run(test)
    ready.run(after)


def test_a_slow_host_is_an_event_and_has_less_weight(
    ready: Control, caplog: pytest.LogCaptureFixture
) -> None:
    ready.file.write_text(TEXT.replace("fall: 1", "fall: 1, slow: 500ms, degraded_weight: 20%"))

    async def test(running: Running) -> None:
        async def weight() -> float:
            return float((await running.get("/status"))["hosts"][NAME]["mta1"]["effective_weight"])

        assert await weight() == 1
        ready.ehlo["192.0.2.11"] = 0.6
        await running.scrape(
            lambda shown: 'effective_weight{host="mta1",zone="out.example.com"} 0.2' in shown
        )
        ready.ehlo.clear()
        await running.scrape(
            lambda shown: 'effective_weight{host="mta1",zone="out.example.com"} 1.0' in shown
        )

    ready.run(test)
    assert "check smtp of [192.0.2.11]:25: it answers slowly (EHLO)" in caplog.text
    assert "it no longer answers slowly" in caplog.text


def test_a_result_that_changes_nothing_publishes_nothing(ready: Control) -> None:
    async def test(running: Running) -> None:
        probes = 'geodns_probes_total{check="smtp",outcome="ok"}'
        await running.scrape(lambda shown: float(shown.partition(probes)[2].split()[0]) >= 12)
        assert len(running.supervisor.numbers) == 1

    ready.run(test)


def test_a_change_of_state_is_logged_with_its_cause_counted_and_kept(
    ready: Control, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(running: Running) -> None:
        ready.finds["192.0.2.11"] = ProbeResult.FAILURE
        await running.dealt("mta2", "mta3")
        transitions = 'geodns_host_transitions_total{host="mta1",to="down",zone="out.example.com"} 1.0'
        assert transitions in await running.get("/metrics")
        await until(lambda: running.store.load_host_states().get(MTA1, None) is not None)
        status = await running.get("/status")
        assert status["hosts"][NAME]["mta1"]["state"] == "down"
        assert status["pools"][NAME]["main"]["live"] == ["mta2", "mta3"]

    with caplog.at_level(logging.WARNING):
        ready.run(test)
    assert "host mta1.out.example.com: up → down (failure at 192.0.2.11)" in caplog.text


# --- orders ---------------------------------------------------------------------------------------------


def test_when_a_drain_returns_no_worker_deals_the_host_and_the_disk_knows(ready: Control) -> None:
    async def test(running: Running) -> None:
        code, shown = await running.order("drain", reason="disk")
        assert (code, shown["forced"], shown["reason"]) == (200, "drained", "disk")
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert running.store.load_forced()[MTA1].reason == "disk"
        code, shown = await running.order("undrain")
        assert (code, shown["forced"]) == (200, None)
        assert running.supervisor.dealt() == set(ALL)
        assert running.store.load_forced() == {}

    ready.run(test)


def test_a_worker_that_does_not_say_so_is_pending(ready: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerService.deliver, "__defaults__", (0.2,))

    async def test(running: Running) -> None:
        running.supervisor.mute = {"tcp"}
        code, shown = await running.order("drain")
        assert (code, shown["pending"], shown["forced"]) == (202, ["tcp"], "drained")
        assert running.supervisor.dealt() == {"mta2", "mta3"}

    ready.run(test)


def test_a_drain_for_a_time_ends_by_itself(ready: Control) -> None:
    async def test(running: Running) -> None:
        assert (await running.order("drain", **{"for": "300ms"}))[0] == 200
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        await running.dealt(*ALL)
        await until(lambda: running.store.load_forced() == {})

    ready.run(test)


def test_a_later_order_is_not_ended_by_the_time_of_an_earlier_one(ready: Control) -> None:
    async def test(running: Running) -> None:
        await running.order("drain", **{"for": "300ms"})
        await running.order("drain", **{"for": "1h"})
        await asyncio.sleep(0.7)
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert running.store.load_forced()[MTA1].until is not None

    ready.run(test)


def test_orders_that_come_together_leave_disk_and_workers_of_one_mind(ready: Control) -> None:
    async def test(running: Running) -> None:
        for _ in range(5):
            await asyncio.gather(
                *(running.order(verb) for verb in ("drain", "undrain", "drain", "undrain") * 3)
            )
            assert (MTA1 in running.store.load_forced()) == (MTA1 in running.daemon.services.cluster.forced)
            assert ("mta1" in running.supervisor.dealt()) == (
                MTA1 not in running.daemon.services.cluster.forced
            )

    ready.run(test)


def test_an_order_is_carried_out_although_the_disk_fails_and_is_kept_once_it_does_not(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = True
    real = StateFile._write

    def write(self: StateFile, *arguments: Any, **options: Any) -> None:
        if full:
            raise StoreError("geodns.db: the disk is full: free some space")
        real(self, *arguments, **options)

    async def test(running: Running) -> None:
        nonlocal full
        monkeypatch.setattr(StateFile, "_write", write)
        code, shown = await running.order("drain")
        assert (code, shown["kept"]) == (200, False)
        assert "in force, but not kept (geodns.db: the disk is full" in shown["notes"][0]
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        code, shown = await running.post("/api/v1/orders", {"verb": "weight", "hosts": ["mta2"], "weight": 1})
        assert (code, shown["kept"]) == (200, False)
        assert any("the disk is full" in one for one in (await running.get("/status"))["warnings"])
        assert not running.ended.done()
        full = False
        await until(lambda: MTA1 in running.store.load_forced())
        await until(lambda: running.daemon.services.persistence.trouble is None)
        assert (await running.get("/status"))["warnings"] == []
        assert set(running.store.load_forced_weights()) == {(NAME, "mta2")}
        code, shown = await running.post("/api/v1/orders", {"verb": "drain", "hosts": ["mta3"], "yes": True})
        assert (code, shown["kept"], shown["notes"]) == (200, True, [])

    ready.run(test)


def test_a_disk_that_is_slow_does_not_hold_an_order_back(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    real = StateFile.save_forced

    def save(self: StateFile, *arguments: Any) -> None:
        slow.wait(30)
        real(self, *arguments)

    async def test(running: Running) -> None:
        monkeypatch.setattr(StateFile, "save_forced", save)
        order = asyncio.ensure_future(running.order("drain"))
        await running.dealt("mta2", "mta3")
        assert not order.done(), "the answer says that it is on disk too"
        slow.set()
        assert (await order)[0] == 200

    ready.run(test)


def test_an_order_for_a_host_that_an_edit_takes_meanwhile_is_an_error_and_no_fault(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()
    real = StateFile.save_forced

    def save(self: StateFile, *arguments: Any) -> None:
        slow.wait(30)
        real(self, *arguments)

    async def test(running: Running) -> None:
        monkeypatch.setattr(StateFile, "save_forced", save)
        order = asyncio.ensure_future(running.order("drain"))
        await running.dealt("mta2", "mta3")
        ready.file.write_text(WITHOUT_1)
        running.signal(signal.SIGHUP)
        await until(lambda: "mta1" not in running.daemon.services.cluster.zone(NAME).host_by_name)
        slow.set()
        code, shown = await order
        assert code == 404
        assert "mta1" in shown["error"]

    ready.run(test)


@pytest.mark.parametrize("token", [None, "s3cret"])
def test_the_token_of_the_settings_is_asked_for(ready: Control, token: str | None) -> None:
    ready.token = token

    async def test(running: Running) -> None:
        assert (await running.order("drain"))[0] == (200 if token is None else 401)

    ready.run(test)


# --- workers --------------------------------------------------------------------------------------------


def test_what_workers_count_is_shown_also_of_the_table_before(ready: Control) -> None:
    async def test(running: Running) -> None:
        (key,) = (key for key in running.supervisor.table.rotations if key.type == "A")
        before = running.supervisor.table.rotations[key]
        await running.order("drain")
        after = running.supervisor.table.rotations[key]
        running.supervisor.count(Counts({(NAME, 1, 0): 5}, {(before.uid, 0, 0): 2, (after.uid, 0, 0): 3}))
        shown = 'geodns_queries_total{rcode="NOERROR",transport="udp",type="A",zone="out.example.com"} 5.0'
        scraped = await running.scrape(lambda found: shown in found)
        counted = [
            float(line.rpartition(" ")[2])
            for line in scraped.splitlines()
            if line.startswith("geodns_answers_total{")
        ]
        assert sum(counted) == 2 * len(before.parts[0].sets[0]) + 3 * len(after.parts[0].sets[0])

    ready.run(test)


def test_without_a_worker_it_is_not_ready(ready: Control) -> None:
    async def test(running: Running) -> None:
        for worker in running.supervisor.WORKERS:
            running.supervisor.die(worker)
        await until(lambda: running.daemon.services.watchdog.unready() == "no worker is alive")
        assert await running.get("/readyz") == "no worker is alive\n"

    ready.run(test)
