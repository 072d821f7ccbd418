"""Orders that several servers agree on, in a whole control process: versions, ids, ends, who loses."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

import pytest

from geodns.control import order_service
from geodns.control.order_json import order_json, order_of, orders_of_state
from geodns.control.order_service import OrderService
from geodns.control.order_sharing import Offered
from geodns.control.order_versions import STATE, WEIGHT, content_of
from geodns.model.shared import OrderVersion, SharedOrder
from geodns.model.state import Forced, ForcedState, ForcedWeight
from geodns.storage.state_file import FILE_NAME, StateFile
from tests.control.test_order_service import ALL, MTA1, forced_events, order
from tests.controlling import NAME, Control, Running, ready, until

__all__ = ["ready"]

ID = "0123456789abcdef" * 2
KEY = (*MTA1, STATE)

GAVE_WAY = (
    f"host mta1.{NAME}: the drain by api@127.0.0.1 gave way to the force up by bob through ns2: "
    "neither server knew of the other's order"
)


def service(running: Running) -> OrderService:
    return running.daemon.services.orders


def other(counter: int = 1, host: str = "mta1", id: str = ID, **more: Any) -> SharedOrder:  # noqa: A002
    """A drain that another server has taken, unless `more` says otherwise."""
    drained = ForcedState(Forced.DRAINED, "disk", "ann", time.time())
    kept = {"zone": NAME, "host": host, "kind": STATE, "node": "ns2", "at": time.time()}
    kept |= {"content": content_of(drained)} | more
    return SharedOrder(version=OrderVersion(counter=counter, id=id), **kept)


def ended(counter: int, **more: Any) -> SharedOrder:
    return other(counter, content=None, more={"by": "bob", "why": "done"}, **more)


def test_each_order_has_a_higher_version_and_an_end_is_one_too(ready: Control) -> None:
    async def test(running: Running) -> None:
        told: list[SharedOrder] = []
        service(running).on_change(told.extend)
        _, shown = await order(running, "drain", "mta1", id=ID)
        assert shown["id"] == ID
        assert (shown["shared"], shown["peers"], list(shown["revision"])) == (False, [], [NAME])
        _, after = await order(running, "undrain", "mta1", reason="done")
        assert after["revision"] != shown["revision"]
        await order(running, "weight", "mta1", weight=3)
        assert [(one.kind, one.version.counter, one.content is None) for one in told] == [
            (STATE, 1, False),
            (STATE, 2, True),
            (WEIGHT, 1, False),
        ]
        assert {one.node for one in told} == {"ns1"}
        assert told[1].more == {"by": "api@127.0.0.1", "why": "done"}
        held = {key: one.order for key, one in running.store.load_orders().items()}
        assert held == service(running).held == {one.key: one for one in told[1:]}
        state = await running.get("/api/v1/state")
        assert orders_of_state(state) == (sorted(held.values(), key=lambda one: one.key), 0)
        assert state["revision"] == dict(service(running).revisions())

    async def later(running: Running) -> None:
        await order(running, "drain", "mta1")
        assert service(running).held[KEY].version.counter == 3

    ready.run(test)
    ready.run(later)


def test_the_same_id_again_is_the_same_order(ready: Control) -> None:
    async def test(running: Running) -> None:
        twice = await asyncio.gather(*(order(running, "drain", "mta1", id=ID) for _ in range(2)))
        again = await order(running, "drain", "mta1", id=ID)
        assert again[0] == twice[0][0] == twice[1][0] == 200
        assert again[1]["pools"] == twice[0][1]["pools"] == twice[1][1]["pools"]
        assert len(await forced_events(running)) == 1
        assert service(running).held[KEY].version.counter == 1
        code, shown = await order(running, "drain", "mta2", id=ID)
        assert (code, "another order has it" in shown["error"]) == (400, True)
        assert (await order(running, "drain", "mta1", id="x"))[0] == 400

    ready.run(test)


def test_what_was_not_done_for_want_of_a_yes_is_done_with_one_by_the_same_id(ready: Control) -> None:
    async def test(running: Running) -> None:
        assert (await order(running, "drain", "mta*", id=ID))[0] == 409
        assert (await order(running, "drain", "mta*", id=ID, yes=True))[0] == 200

    ready.run(test)


def test_what_another_server_has_told_already_is_not_done_again(ready: Control) -> None:
    async def test(running: Running) -> None:
        await service(running).shared_changed([other(7)], "ns2")
        await order(running, "undrain", "mta1")
        code, shown = await order(running, "drain", "mta1", id=ID)
        assert (code, shown["hosts"][NAME]["mta1"]["forced"]) == (200, None)
        assert running.supervisor.dealt() == ALL

    ready.run(test)


def test_a_yes_holds_for_the_orders_that_it_was_given_by(ready: Control) -> None:
    async def test(running: Running) -> None:
        _, tried = await order(running, "drain", "mta1", dry_run=True)
        assert tried["id"] is None
        await order(running, "drain", "mta2")
        code, shown = await order(running, "drain", "mta1", yes=True, revision=tried["revision"])
        assert (code, "weight out (mta1, mta2)" in shown["why"]) == (409, True)
        code, shown = await running.order("drain", yes=True, revision={NAME: "0"})
        assert code == 409
        again = {"yes": True, "revision": shown["revision"]}
        assert (await order(running, "drain", "mta1", **again))[0] == 200, "what was refused says by which"

    ready.run(test)


# --- others' orders -------------------------------------------------------------------------------------


def test_orders_of_others_hold_here_without_a_yes_and_are_told(ready: Control) -> None:
    async def test(running: Running) -> None:
        weight = ForcedWeight(0, "slow", "bob", time.time())
        heavy = other(host="mta2", kind=WEIGHT, content=content_of(weight))
        later = other(host="mta3", kind="color", content={"color": "red"}, more={"x": [1]})
        theirs = [other(), heavy, later]
        taken = await service(running).shared_changed(theirs, "ns3", whole=True)
        assert (len(taken.taken), taken.newer, taken.kept, taken.pending) == (3, (), True, ())
        assert running.supervisor.dealt() == {"mta3"}
        assert [one["text"] for one in await forced_events(running)] == [
            f"host mta1.{NAME}: drained by ann (disk) through ns2",
            f"host mta2.{NAME}: weight forced to 0 by bob (slow) through ns2",
        ]
        again = await service(running).shared_changed(theirs, "ns3")
        assert (again.taken, len(await forced_events(running))) == ((), 2)
        code, _ = await order(running, "drain", "mta3")
        assert code == 409, "the guards count what is out by others' orders"
        assert order_of(order_json(later)) == later
        await service(running).shared_changed([ended(2)], "ns3")
        assert running.supervisor.dealt() == {"mta1", "mta3"}
        assert (await forced_events(running))[-1]["text"].endswith(
            "no longer drained by bob (done) through ns2"
        )

    async def after_a_restart(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta1", "mta3"}
        assert service(running).held[NAME, "mta3", "color"].more == {"x": [1]}
        taken = await service(running).shared_changed([other()], "ns2")
        assert taken.taken == (), "what was ended does not come back"
        assert [one.version.counter for one in taken.newer] == [2]

    ready.run(test)
    ready.run(after_a_restart)


def test_who_loses_is_told_and_what_is_newer_here_is_given_back(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1", reason="disk", id="a" * 32)
        await order(running, "drain", "mta2", id="a" * 31 + "b", yes=True)
        up = content_of(ForcedState(Forced.UP, "it works", "bob", 1.0))
        theirs = [other(id="f" * 32, content=up), other(host="mta2", id="0" * 32)]
        taken = await service(running).shared_changed(theirs, "ns2")
        assert [one.host for one in taken.newer] == ["mta2"]
        texts = [one["text"] for one in await forced_events(running)]
        assert texts[2:] == [
            f"host mta1.{NAME}: forced up by bob (it works) through ns2",
            GAVE_WAY,
        ]
        whole = await service(running).shared_changed([], "ns2", whole=True)
        assert len(whole.newer) == 2

    ready.run(test)


def test_an_order_for_a_host_that_is_not_here_is_kept(ready: Control) -> None:
    async def test(running: Running) -> None:
        taken = await service(running).shared_changed([other(host="mta9")], "ns2")
        assert (set(taken.unserved), taken.kept) == ({(NAME, "mta9")}, True)
        assert (NAME, "mta9", STATE) in running.store.load_orders()

    ready.run(test)


def test_what_makes_no_sense_or_is_of_a_later_version_changes_nothing(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1")
        wrong = [other(host="mta\n"), other(2**53), other(at=-1.0)]
        assert (await service(running).shared_changed(wrong, "ns2")).taken == ()
        lame = other(5, content={"forced": "lame", "since": 1.0, "more": {"x": 1}})
        assert (await service(running).shared_changed([lame], "ns2")).taken == (lame,)
        assert running.supervisor.dealt() == {"mta2", "mta3"}, "nobody is dealt for what is not understood"
        await order(running, "undrain", "mta1")
        assert service(running).held[KEY].version.counter == 6

    ready.run(test)


def test_each_server_ends_an_order_itself_and_says_it_to_nobody(ready: Control) -> None:
    async def test(running: Running) -> None:
        told: list[SharedOrder] = []
        service(running).on_change(told.extend)
        timed = ForcedState(Forced.DRAINED, "", "ann", time.time(), time.time() + 0.3)
        over = ForcedState(Forced.DRAINED, "", "ann", 1.0, 2.0)
        both = [other(content=content_of(timed)), other(host="mta2", content=content_of(over))]
        await service(running).shared_changed(both, "ns2")
        assert running.supervisor.dealt() == {"mta2", "mta3"}
        await running.dealt("mta1", "mta2", "mta3")
        assert (told, {one.version.counter for one in service(running).held.values()}) == ([], {1})
        await until(lambda: running.store.load_orders()[KEY].over)

    async def later(running: Running) -> None:
        assert service(running).held[KEY].version.counter == 1
        assert running.supervisor.dealt() == ALL

    ready.run(test)
    ready.run(later)


def test_the_others_clock_says_when_an_order_ends_where_the_own_is_far_off(ready: Control) -> None:
    async def test(running: Running) -> None:
        ahead = time.time() - 3600  # what it is at the others
        timed = ForcedState(Forced.DRAINED, "", "ann", ahead - 60, ahead + 60)
        await service(running).shared_changed([other(content=content_of(timed))], "ns2")
        assert running.supervisor.dealt() == ALL, "its time is over by the own clock"
        service(running).set_clock_offset(3600.0)
        await running.dealt("mta2", "mta3")
        assert service(running).held[KEY].version.counter == 1
        service(running).set_clock_offset(3600.0 - 61)
        await running.dealt("mta1", "mta2", "mta3")
        await order(running, "drain", "mta2", **{"for": "1h"})
        (until_,) = [one.until for one in running.store.load_forced().values()]
        assert until_ == pytest.approx(ahead + 61 + 3600, abs=30)

    ready.run(test)


def test_orders_are_forgotten_after_a_year(ready: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_service, "PRUNE_EVERY", 0.0)

    async def test(running: Running) -> None:
        await order(running, "drain", "mta1")
        old = ended(5, at=time.time() - 366 * 86400)
        assert (await service(running).shared_changed([old], "ns2")).taken == (old,), "a drain is known here"
        assert running.supervisor.dealt() == ALL
        await until(lambda: service(running).held == {})
        await order(running, "drain", "mta2")
        await until(lambda: [key[1] for key in running.store.load_orders()] == ["mta2"])
        assert (await service(running).shared_changed([old], "ns2")).taken == ()

    ready.run(test)


def test_an_import_takes_versions_and_ends_along(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1", id=ID)
        before = await running.get("/api/v1/state")
        await order(running, "undrain", "mta1")
        await order(running, "drain", "mta2")
        after = await running.get("/api/v1/state")
        held = dict(service(running).held)
        assert (await running.post("/api/v1/state", after))[0] == 200
        assert dict(service(running).held) == held, "nothing was new"
        assert (await running.post("/api/v1/state?yes=true", before))[0] == 200
        assert running.supervisor.dealt() == {"mta3"}
        assert service(running).held[KEY].version.counter == 3, "an import is an order: it wins everywhere"
        code, shown = await running.post("/api/v1/state", {"geodns_state": 1, "orders": [{"zone": 5}]})
        assert (code, shown["unknown"]) == (200, ["1 orders that make no sense here"])
        text = {"geodns_state": 1, "forced": before["forced"]}
        assert (await running.post("/api/v1/state", text))[0] == 200, "from before orders had versions"
        assert service(running).held[KEY].version.counter == 4

    ready.run(test)


def test_an_import_on_a_new_server_has_the_versions_of_the_old_one(ready: Control) -> None:
    theirs = [other(5), ended(7, host="mta2"), other(3, host="mta3", kind="color", content={"x": 1})]
    body: dict[str, Any] = {
        "geodns_state": 1,
        "forced": [
            {
                "zone": NAME,
                "host": "mta1",
                "forced": "drained",
                "reason": "disk",
                "author": "ann",
                "since": "2026-11-23T06:59:00Z",
            }
        ],
        "orders": [order_json(one) for one in theirs],
    }

    async def test(running: Running) -> None:
        await order(running, "drain", "mta2")
        code, shown = await running.post("/api/v1/state?yes=true", body)
        assert (code, running.supervisor.dealt()) == (200, {"mta2", "mta3"})
        assert shown["imposed"][0].startswith(f"mta1.{NAME}: drained by ann (disk)")
        assert dict(service(running).held) == {one.key: one for one in theirs}
        body["forced"][0]["forced"] = "up"
        assert (await running.post("/api/v1/state", body))[0] == 200, "somebody has edited it"
        assert running.supervisor.dealt() == ALL
        assert service(running).held[KEY].version.counter == 6

    ready.run(test)


def test_overrides_from_before_the_upgrade_have_the_same_version_everywhere(ready: Control) -> None:
    drained = ForcedState(Forced.DRAINED, "disk", "ann", 5.0)
    store, _ = StateFile.open(ready.state, 0.0)
    store.save_forced(MTA1, drained)
    store.close()

    async def test(running: Running) -> None:
        held = service(running).held[KEY]
        state = await running.get("/api/v1/state")
        del state["orders"]
        assert orders_of_state(state) == ([held], 0), "as another server makes it of what an earlier one says"
        assert held.version.counter == 1
        await until(lambda: KEY in running.store.load_orders())

    ready.run(test)


def test_an_override_that_the_disk_has_lost_holds_by_its_order(ready: Control) -> None:
    async def test(running: Running) -> None:
        await order(running, "drain", "mta1")
        await order(running, "weight", "mta2", weight=0, yes=True)

    async def later(running: Running) -> None:
        assert running.supervisor.dealt() == {"mta3"}
        assert {one.version.counter for one in service(running).held.values()} == {1}
        await until(lambda: set(running.store.load_forced()) == {MTA1})
        assert running.store.load_forced_weights()[NAME, "mta2"].weight == 0

    ready.run(test)
    with sqlite3.connect(ready.state / FILE_NAME) as database:
        database.execute("UPDATE forced SET forced = 'nonsense'")
        database.execute("UPDATE forced_weight SET weight = -5")
    database.close()
    ready.run(later)


# --- the way to the others ------------------------------------------------------------------------------


class Sharing:
    """Others that say what a test says."""

    def __init__(self, orders: OrderService) -> None:
        self.orders = orders
        self.offered: list[Sequence[SharedOrder]] = []
        self.later: list[SharedOrder] = []
        self.unasked: tuple[str, ...] = ()
        self.late: tuple[str, ...] = ()
        orders.share_by(self)

    async def offer(self, orders: Sequence[SharedOrder]) -> Offered:
        self.offered.append(orders)
        later, self.later = self.later, []
        await self.orders.shared_changed(later, "ns2")
        return Offered(bool(later), self.unasked)

    async def confirmed(self, place: str) -> tuple[str, ...]:
        del place
        assert all((one.key, one) in self.orders.held.items() for one in self.offered[-1]), "in force first"
        return self.late


def test_an_order_is_offered_first_and_answered_with_who_has_not_confirmed_it(ready: Control) -> None:
    async def test(running: Running) -> None:
        sharing = Sharing(service(running))
        code, shown = await order(running, "drain", "mta1")
        assert (code, shown["shared"], shown["peers"]) == (200, True, [])
        sharing.unasked = sharing.late = ("ns3",)
        code, shown = await order(running, "undrain", "mta1")
        assert (code, shown["peers"], shown["unasked"]) == (202, ["ns3"], ["ns3"])
        assert shown["notes"] == ["not checked against ns3: a later order there may take its place"]
        code, one = await running.order("drain")
        assert (code, one["peers"], one["shared"]) == (202, ["ns3"], True)

    ready.run(test)


def test_where_the_others_know_of_later_orders_the_dangers_are_worked_out_anew(ready: Control) -> None:
    async def test(running: Running) -> None:
        sharing = Sharing(service(running))
        sharing.later = [other(host="mta2")]
        code, shown = await order(running, "drain", "mta1", yes=True)
        assert code == 409, "the yes was to nothing of that kind"
        assert "weight out (mta1, mta2)" in shown["why"]
        sharing.later = [other(9, content=content_of(ForcedState(Forced.UP, "", "", 1.0)))]
        code, shown = await order(running, "undrain", "mta2")
        assert (code, len(sharing.offered)) == (200, 3)
        assert sharing.offered[-1][0].version.counter == 2

    ready.run(test)
