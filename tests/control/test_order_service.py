"""Orders carried out by a whole control process: served, reported, kept over a restart, ended in time."""

import asyncio
import signal
import time
from typing import Any

import pytest

from geodns.control import wall_clock
from geodns.model.state import ForcedWeight
from geodns.storage.state_file import StateFile
from tests.controlling import NAME, TEXT, Control, Running, ready, until

__all__ = ["ready"]

MTA1 = (NAME, "mta1")
ALL = {"mta1", "mta2", "mta3"}


async def order(running: Running, verb: str, *hosts: str, **more: Any) -> tuple[int, Any]:
    return await running.post("/api/v1/orders", {"verb": verb, "hosts": list(hosts), **more})


async def forced_events(running: Running) -> list[Any]:
    found: list[Any] = (await running.get("/api/v1/events?kind=forced"))["events"]
    return found


def test_one_order_for_many_hosts_is_one_table_and_one_event_each(ready: Control) -> None:
    async def test(running: Running) -> None:
        tables = len(running.supervisor.numbers)
        code, shown = await order(running, "drain", "mta1", "192.0.2.12", reason="move", yes=True)
        assert code == 200
        assert len(running.supervisor.numbers) == tables + 1
        assert running.supervisor.dealt() == {"mta3"}
        assert [host["forced"] for host in shown["hosts"][NAME].values()] == ["drained", "drained"]
        main = shown["pools"][NAME]["main"]
        assert main["before"]["live"] == ["mta1", "mta2", "mta3"]
        assert main["after"]["shares"]["A"] == {"mta3": 1}
        assert shown["dealt_by"] == {NAME: {"mta1": [], "mta2": []}}
        assert shown["cached_s"] == {NAME: {"mta1": 30, "mta2": 30}}
        events = await forced_events(running)
        assert [event["host"] for event in events] == ["mta1", "mta2"]
        assert events[0]["text"] == f"host mta1.{NAME}: drained by api@127.0.0.1 (move)"
        assert events[0]["data"] == {
            "before": {"forced": None, "weight": None},
            "after": {"forced": "drained", "weight": None},
        }

    ready.run(test)


def test_what_takes_much_of_a_pool_asks_first_with_what_is_out_counted_in(ready: Control) -> None:
    async def test(running: Running) -> None:
        code, shown = await order(running, "drain", "mta1", "mta2")
        assert (code, shown["confirm"]) == (409, True)
        assert "pool main of out.example.com would have " in shown["error"]
        assert "of its weight out (mta1, mta2)" in shown["error"]
        assert (await order(running, "drain", "mta1"))[0] == 200, "one may always go"
        code, shown = await order(running, "weight", "mta2", weight=0)
        assert (code, "of its weight out (mta1, mta2)" in shown["error"]) == (409, True)
        assert (await order(running, "quarantine", "mta2", badness=50))[0] == 200, "max_out bounds that"
        assert (await order(running, "undrain", "mta1"))[0] == 200

    ready.run(test)


def test_a_drain_names_the_fixed_records_that_still_point_there_and_counts_their_ttl(ready: Control) -> None:
    ready.file.write_text(TEXT.replace("records: {", "records: {smtp: {ttl: 300, A: 192.0.2.11}, "))

    async def test(running: Running) -> None:
        _, shown = await order(running, "drain", "mta1", "mta2", yes=True)
        (note,) = shown["notes"]
        assert note.startswith(f"fixed records still point at mta1.{NAME}, ")
        assert note.endswith(f"smtp.{NAME}. A (TTL 300 s)")
        assert shown["cached_s"] == {NAME: {"mta1": 300, "mta2": 30}}
        _, shown = await order(running, "undrain", "mta1")
        assert shown["notes"] == []

    ready.run(test)


def test_trying_an_order_changes_nothing_and_shows_what_it_would(ready: Control) -> None:
    async def test(running: Running) -> None:
        tables = list(running.supervisor.numbers)
        code, tried = await order(running, "weight", "mta1", weight=9, dry_run=True)
        assert (code, tried["dry_run"]) == (200, True)
        assert running.supervisor.numbers == tables
        assert (running.store.load_forced_weights(), await forced_events(running)) == ({}, [])
        code, done = await order(running, "weight", "mta1", weight=9)
        assert done["pools"] == tried["pools"]
        family = (await running.get("/status"))["pools"][NAME]["main"]["families"]["A"]
        assert family["share"] == done["pools"][NAME]["main"]["after"]["shares"]["A"]

    ready.run(test)


def test_the_last_live_host_of_a_pool_goes_only_with_a_yes(ready: Control) -> None:
    async def test(running: Running) -> None:
        code, shown = await order(running, "quarantine", "mta*")
        assert (code, shown["confirm"]) == (409, True)
        assert "pool main of out.example.com would have no live host (last resort: quar" in shown["error"]
        assert (await running.order("drain"))[0] == 200
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        code, shown = await order(running, "quarantine", "mta*", yes=True)
        assert code == 200
        assert len(shown["notes"]) == 1
        assert (await running.get("/status"))["pools"][NAME]["main"]["last_resort"] == "quarantined"

    ready.run(test)


@pytest.mark.parametrize(
    ("hosts", "more", "code"),
    [
        pytest.param(["mta9"], {}, 404, id="nobody"),
        pytest.param([f"mta1.{NAME}", "mta9"], {}, 404, id="one of two"),
        pytest.param(["mta1"], {"zone": "x.example"}, 404, id="no such zone"),
        pytest.param(["mta1"], {}, 400, id="ambiguous"),
    ],
)
def test_an_order_for_nobody_changes_nothing(
    ready: Control, hosts: list[str], more: dict[str, Any], code: int
) -> None:
    (ready.zones / "in.example.net.yaml").write_text(TEXT.replace("192.0.2.1", "192.0.2.2"))

    async def test(running: Running) -> None:
        found, shown = await order(running, "drain", *hosts, **more)
        assert (found, list(shown)) == (code, ["error"])
        assert running.daemon.services.cluster.forced == {}

    ready.run(test)


def test_what_is_forced_holds_over_a_restart(ready: Control) -> None:
    async def first(running: Running) -> None:
        await order(running, "weight", "mta1", weight=7, reason="slow", **{"for": "1h"}, yes=True)
        await order(running, "weight", "mta2", weight=0, yes=True)
        await order(running, "quarantine", "mta3", reason="listed", yes=True)

    async def second(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta1"}
        hosts = (await running.get("/status"))["hosts"][NAME]
        assert (hosts["mta1"]["weight"], hosts["mta1"]["forced_weight"]["reason"]) == (7, "slow")
        assert hosts["mta1"]["forced_weight"]["until"] is not None
        assert (hosts["mta2"]["effective_weight"], hosts["mta3"]["forced"]) == (0, "quarantined")
        await order(running, "clear", "mta*")
        assert running.supervisor.dealt() == ALL

    async def third(running: Running) -> None:
        assert running.supervisor.dealt() == ALL

    ready.run(first)
    ready.run(second)
    ready.run(third)


def test_a_weight_for_a_time_ends_by_itself_and_leaves_the_drain_beside_it(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta2", yes=True)
        await order(running, "weight", "mta1", weight=0, **{"for": "300ms"}, yes=True)
        await running.dealt("mta1", "mta3")
        await until(lambda: running.store.load_forced_weights() == {})
        last = (await forced_events(running))[-1]
        text = f"host mta1.{NAME}: weight no longer forced to 0 by geodns (its time is over)"
        assert (last["text"], last["author"]) == (text, "geodns")

    ready.run(test)


def test_a_weight_whose_time_was_over_while_nobody_served_does_not_come_back(ready: Control) -> None:
    store, _ = StateFile.open(ready.state, 0.0)
    store.save_forced_weight(MTA1, ForcedWeight(0, "", "ann", 1.0, 2.0))
    store.close()

    async def test(running: Running) -> None:
        assert running.supervisor.dealt() == ALL
        await until(lambda: running.store.load_forced_weights() == {})

    ready.run(test)


def test_a_clock_that_is_set_ends_no_order_until_it_is_steady(
    ready: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall_clock, "STEADY", 2.0)

    async def test(running: Running) -> None:
        await order(running, "drain", "mta1", **{"for": "2h"})
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 86400)
        monkeypatch.setattr(running.daemon.services.clock, "_wall", time.time)
        await until(lambda: not running.daemon.services.clock.steady)
        await asyncio.sleep(0.5)
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        _, shown = await order(running, "weight", "mta3", weight=3, **{"for": "1h"})
        assert any("the clock was set a moment ago" in one for one in shown["notes"])
        assert any("the clock was set ahead" in one for one in (await running.get("/status"))["warnings"])
        monkeypatch.setattr(time, "time", real)
        monkeypatch.setattr(running.daemon.services.clock, "_wall", real)
        await asyncio.sleep(0.3)
        await until(lambda: running.daemon.services.clock.steady)
        await asyncio.sleep(0.3)
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        assert (await running.get("/status"))["warnings"] == []
        texts = [one["text"] for one in (await running.get("/api/v1/events?kind=watch"))["events"]]
        assert any("the clock was set ahead by 86,4" in one for one in texts)

    ready.run(test)


def test_undrain_ends_a_drain_alone_and_says_what_ends_the_rest(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1", yes=True)
        await order(running, "quarantine", "mta2", reason="listed", yes=True)
        code, shown = await order(running, "undrain", "mta*")
        assert code == 200
        assert running.supervisor.dealt() == {"mta1", "mta3"}
        (left,) = shown["left"]
        assert left.startswith(f"mta2.{NAME} is not drained but quarantined by api@127.0.0.1 (listed)")
        assert f"`geodns clear mta2.{NAME}`" in left
        assert shown["notes"] == [f"mta3.{NAME} was not drained"]
        code, one = await running.order("undrain", "mta2")
        assert (code, one["forced"], one["left"]) == (200, "quarantined", [left])

    ready.run(test)


def test_a_forced_weight_that_hides_an_edit_is_a_warning_until_one_of_them_goes(ready: Control) -> None:
    heavy = TEXT.replace("mta1: 192.0.2.11", "mta1: {address: 192.0.2.11, weight: 40}")

    async def test(running: Running) -> None:
        await order(running, "weight", "mta1", weight=5, reason="slow")
        assert (await running.get("/status"))["warnings"] == []
        ready.file.write_text(heavy)
        running.signal(signal.SIGHUP)
        await until(lambda: running.store.load_forced_weights()[MTA1].edited is not None)
        status = await running.get("/status")
        (warning,) = status["warnings"]
        assert warning.startswith(
            f"host mta1.{NAME}: its weight forced to 5 by api@127.0.0.1 (slow) hides an "
        )
        forced = status["hosts"][NAME]["mta1"]["forced_weight"]
        assert (forced["file_weight"], forced["hides"][:20]) == (40, "the file has said 40")
        assert [event["text"] for event in await forced_events(running)][-1] == warning

    async def later(running: Running) -> None:
        (warning,) = (await running.get("/status"))["warnings"]
        assert "hides an edit" in warning
        assert len([one for one in await forced_events(running) if "hides" in one["text"]]) == 1
        await order(running, "clear", "mta1")
        status = await running.get("/status")
        assert (status["warnings"], status["hosts"][NAME]["mta1"]["weight"]) == ([], 40)

    ready.run(test)
    ready.run(later)


def test_what_is_exported_is_imported_all_at_once(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1", reason="disk", **{"for": "1h"})
        await order(running, "weight", "mta2", weight=3)
        exported = await running.get("/api/v1/state")
        assert (exported["node"], len(exported["forced"]), len(exported["weights"])) == ("ns1", 1, 1)
        await order(running, "clear", "mta*")
        tables = len(running.supervisor.numbers)
        extra = exported["forced"] + [exported["forced"][0] | {"host": "mta9"}]
        code, tried = await running.post("/api/v1/state?dry_run=true", exported | {"forced": extra})
        assert (code, len(running.supervisor.numbers)) == (200, tables)
        code, done = await running.post("/api/v1/state", exported | {"forced": extra})
        assert (code, len(running.supervisor.numbers)) == (200, tables + 1)
        assert done["pools"] == tried["pools"]
        assert done["unknown"] == [f"mta9.{NAME}: no such host is served here"]
        assert len(done["imposed"]) == 2
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        again = await running.get("/api/v1/state")
        assert (again["forced"], again["weights"]) == (exported["forced"], exported["weights"])
        assert set(running.store.load_forced_weights()) == {(NAME, "mta2")}

    ready.run(test)


def test_an_import_with_one_error_forces_nothing(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1")
        exported = await running.get("/api/v1/state")
        await order(running, "clear", "mta1")
        wrong = exported | {"forced": [*exported["forced"], {"zone": NAME}]}
        code, shown = await running.post("/api/v1/state", wrong)
        assert (code, "`forced[1].host`: missing" in shown["error"]) == (400, True)
        assert running.supervisor.dealt() == ALL

    ready.run(test)


def test_an_import_that_leaves_a_pool_dead_asks_too(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta*", yes=True)
        exported = await running.get("/api/v1/state")
        await order(running, "clear", "mta*")
        assert (await running.post("/api/v1/state", exported))[0] == 409
        assert running.supervisor.dealt() == ALL
        assert (await running.post("/api/v1/state?yes=true", exported))[0] == 200
        assert (await running.post("/api/v1/state?yes=maybe", exported))[0] == 400

    ready.run(test)


def test_a_large_state_is_taken(ready: Control) -> None:
    async def test(running: Running) -> None:
        entry = {"zone": "x.example", "host": "h", "forced": "drained", "since": "2026-11-25T03:00:00Z"}
        body = {"geodns_state": 1, "forced": [entry | {"reason": "x" * 400}] * 1000}
        code, shown = await running.post("/api/v1/state", body)
        assert (code, len(shown["unknown"])) == (200, 1000)

    ready.run(test)


def test_orders_of_all_kinds_that_come_together_leave_disk_and_workers_of_one_mind(ready: Control) -> None:
    async def test(running: Running) -> None:
        verbs = [("weight", {"weight": 0}), ("drain", {}), ("clear", {}), ("undrain", {})] * 3
        for _ in range(3):
            await asyncio.gather(*(order(running, verb, "mta1", **more) for verb, more in verbs))
            cluster = running.daemon.services.cluster
            assert (MTA1 in running.store.load_forced()) == (MTA1 in cluster.forced)
            assert (MTA1 in running.store.load_forced_weights()) == (MTA1 in cluster.weights)
            out = MTA1 in cluster.forced or MTA1 in cluster.weights
            assert ("mta1" not in running.supervisor.dealt()) == out

    ready.run(test)
