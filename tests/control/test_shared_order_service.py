"""Orders that servers of a group share: in force on all, confirmed, and never lost with the connection."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import pytest

from geodns.control import shared_order_service
from geodns.control.order_sharing import SharedTaken
from geodns.control.orders import Order, OrderRequest, OrderResult, Verb
from geodns.health import quorum_peers
from geodns.model.shared import SharedOrder
from geodns.model.state import Forced
from geodns.storage.shared_link import Put
from tests.sample_zones import NAME
from tests.sharing import Group, Member, group, until

__all__ = ["group"]


def offers_nothing(orders: Iterable[SharedOrder]) -> None:
    """Keep orders from the others, as a link does to which they make no sense."""


async def order(one: Member, verb: Verb, host: str = "mta1", *, yes: bool = True) -> OrderResult:
    wish = OrderRequest(Order(verb, reason="disk", author="ann"), (host,), NAME, dry_run=False, yes=yes)
    return await one.services.orders.carry(wish)


def forced(one: Member, host: str = "mta1") -> Forced | None:
    state = one.services.cluster.forced.get((NAME, host))
    return None if state is None else state.forced


def test_an_order_holds_on_all_before_it_is_answered(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as members:
            done = await order(members[0], Verb.DRAIN)
            assert (done.refused, done.peers, done.unasked) == ("", (), ())
            assert {forced(one) for one in members} == {Forced.DRAINED}
            done = await order(members[2], Verb.UNDRAIN)
            assert done.peers == ()
            assert {forced(one) for one in members} == {None}

    asyncio.run(go())


def test_who_has_not_taken_an_order_is_named(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_order_service, "CONFIRM_WAIT", 0.2)

    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as (first, second, third):
            third.link.deaf = True
            done = await order(first, Verb.DRAIN)
            assert done.peers == ("ns3",)
            assert (forced(second), forced(third)) == (Forced.DRAINED, None)
            third.link.deaf = False
            third.link.reread()
            await until(lambda: forced(third) is Forced.DRAINED)

    asyncio.run(go())


def test_only_the_servers_that_are_heard_are_waited_for_and_only_for_this_order(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server is gone, another holds an order that nobody else can have."""
    monkeypatch.setattr(shared_order_service, "CONFIRM_WAIT", 1e6)

    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as (first, second, third):
            await order(first, Verb.DRAIN, "mta2")
            (one,) = group.store.orders.values()
            monkeypatch.setattr(second.link, "offer_orders", offers_nothing)
            more = one.model_copy(update={"host": "mx9"})
            await second.services.orders.shared_changed([more], "ns9")
            assert first.services.orders.digest() != second.services.orders.digest()
            assert (await order(first, Verb.DRAIN, "mta1")).peers == ()
            assert forced(second) is Forced.DRAINED

            await third.shared.close()
            monkeypatch.setattr(quorum_peers, "SILENT", 0.3)
            await until(lambda: first.shared.nodes == ("ns2",))
            done = await order(first, Verb.UNDRAIN, "mta1")
            assert (done.peers, forced(second)) == (("ns3",), None)
            assert first.shared.view().pending == ("ns3",)
            assert (
                "orders given here are not confirmed by ns3: it takes them as soon as it can be reached"
                in (first.alerts())
            )
            first.shared.on_beat(third.link.beats[-1].model_copy(update={"digests": {"place": "9"}}), 0.0)
            assert first.shared.view().pending == ()

    asyncio.run(go())


def test_an_order_for_many_hosts_is_one_change(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, second):
            wish = OrderRequest(
                Order(Verb.DRAIN, reason="disk", author="ann"), ("mta1", "mta2"), NAME, yes=True
            )
            assert (await first.services.orders.carry(wish)).peers == ()
            assert {forced(second, host) for host in ("mta1", "mta2")} == {Forced.DRAINED}

    asyncio.run(go())


def test_orders_are_taken_without_the_connection_and_offered_when_it_is_back(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, second):
            first.link.cut()
            done = await order(first, Verb.DRAIN)
            assert (forced(first), done.unasked, done.peers) == (Forced.DRAINED, ("ns2",), ())
            assert any("not checked against ns2" in note for note in done.notes)
            assert forced(second) is None
            first.link.connect()
            await until(lambda: forced(second) is Forced.DRAINED)

    asyncio.run(go())


def test_an_order_is_planned_anew_where_others_came_first(group: Group) -> None:
    """Each drains a third, which together is too much: the second is asked for a yes."""

    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, second):
            second.link.deaf = True
            await order(first, Verb.DRAIN, "mta2")
            assert forced(second, "mta2") is None
            second.link.deaf = False
            done = await order(second, Verb.DRAIN, "mta1", yes=False)
            assert "67% of its weight out (mta1, mta2)" in done.refused
            assert forced(second, "mta2") is Forced.DRAINED
            assert forced(first, "mta1") is None

    asyncio.run(go())


def test_an_emptied_store_gets_the_orders_again(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, second):
            await order(first, Verb.DRAIN)
            held = dict(group.store.orders)
            group.store.orders.clear()
            group.store.revisions.clear()
            second.link.reread()
            await until(lambda: group.store.orders == held)

    asyncio.run(go())


def test_who_was_away_has_the_orders_before_it_answers(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, _):
            await order(first, Verb.DRAIN)
            late = group.member("ns3")
            await late.begin()
            assert forced(late) is Forced.DRAINED

    asyncio.run(go())


def test_what_is_in_of_an_order_that_is_planned_anew_holds_here_as_at_the_others(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is for two hosts; after the first is in, another server's order for the second comes in."""
    monkeypatch.setattr(shared_order_service, "CONFIRM_WAIT", 0.01)

    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, second):
            put = first.link.put_orders

            async def racing(
                orders: Sequence[SharedOrder], expected: Mapping[str, str] | None = None
            ) -> list[Put]:
                """Let the second server's order come between the halves of this one."""
                monkeypatch.setattr(first.link, "put_orders", put)
                done = await put(orders[:1], expected)
                for host in (orders[1].host, orders[1].host, "mta3"):  # twice: its version is the higher one
                    await order(second, Verb.QUARANTINE, host)
                return done + await put(orders[1:])

            monkeypatch.setattr(first.link, "put_orders", racing)
            wish = OrderRequest(
                Order(Verb.DRAIN, reason="disk", author="ann"),
                ("mta1", "mta2"),
                NAME,
                yes=True,
                revision={NAME: first.services.orders.revisions().get(NAME, "0" * 16)},
            )
            await first.services.orders.carry(wish)
            await until(lambda: first.services.orders.digest() == second.services.orders.digest())
            assert forced(first) is forced(second)

    asyncio.run(go())


def test_orders_that_come_in_one_by_one_are_taken_together(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, second):
            taken: list[int] = []
            take = second.services.orders.shared_changed

            async def counted(
                orders: Iterable[SharedOrder], source: str, *, whole: bool = False
            ) -> SharedTaken:
                orders = list(orders)
                taken.append(len(orders))
                return await take(orders, source, whole=whole)

            await order(first, Verb.DRAIN)
            monkeypatch.setattr(second.services.orders, "shared_changed", counted)
            (one,) = group.store.orders.values()
            for number in range(50):
                group.store.put(one.model_copy(update={"host": f"mx{number}"}))
            await until(lambda: len(second.services.orders.held) == 51)
            assert sum(taken) == 50
            assert len(taken) <= 2
            assert group.store.revisions[NAME] == "51"

    asyncio.run(go())
