"""Servers that lose Redis and hear each other's votes by HTTP until it is back."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from geodns.control import shared_alerts, shared_service, shared_votes_service
from geodns.control.shared_service import NOTE
from geodns.control.shared_view import NoVotesError
from geodns.control.shared_votes import SealedVotes
from geodns.errors import UsageError
from geodns.health import quorum
from geodns.model.state import HealthState
from geodns.signals.http_client import UnreadError
from tests.sharing import FAILURE, OK, Group, Member, group, until

__all__ = ["group"]
UP, DOWN = HealthState.UP, HealthState.DOWN
THREE = ("ns1", "ns2", "ns3")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_votes_service, "EVERY", 0.05)
    monkeypatch.setattr(shared_votes_service, "SILENT_IN_STORE", 1.0)
    monkeypatch.setattr(shared_service, "TICK_EVERY", 0.05)
    monkeypatch.setattr(shared_alerts, "AWAY", 0.0)
    monkeypatch.setattr(quorum, "FROZEN_FOR", 0.3)


def ask(member: Member) -> Callable[[str, int], Awaitable[bytes]]:
    """Return what gets the votes of a server, as over HTTP."""

    async def answer(path: str, most: int) -> bytes:
        del most
        try:
            said = await member.shared.votes(path.partition("since=")[2])
        except NoVotesError as error:
            raise UnreadError(f"status 503: {error}") from error
        return said.model_dump_json().encode()

    return answer


def listed(*members: Member) -> None:
    """Have these servers know each other by `servers`."""
    asked = {one.shared.node: ask(one) for one in members}
    for one in members:
        one.shared.ask_by(lambda: asked)
        one.shared.know_by(lambda: (set(asked), 0))


def by_http(member: Member) -> bool:
    view = member.shared.view()
    heard = {node for node, why in view.http.items() if not why}
    return not view.connected and view.mode == "quorum" and {member.shared.node, *heard} == set(view.heard)


def changes(member: Member) -> list[str]:
    return [one.text for one in member.services.events._memory if "→" in one.text]


def test_from_redis_to_http_and_back_no_host_flips(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as members:
            listed(*members)
            before = [changes(one) for one in members]
            for one in members:
                one.link.cut()
            for one in members:
                await until(lambda: by_http(one) and len(one.shared.view().heard) == 3)  # noqa: B023
            first, second, third = members
            told = "votes come from the peers by HTTP while Redis is away: ns2, ns3"
            await until(lambda: any(told in text for text in first.alerts()))
            await until(lambda: first.shared.nodes == ())

            third.probe("mta1", FAILURE)
            said = "ns3 alone says down: connection refused"
            await until(lambda: first.shared.verdicts.remark(first.target()) == said)
            await until(lambda: first.target() in first.monitor.asked)
            assert [changes(one) for one in members] == before, "one server of three takes nobody out"

            second.probe("mta1", FAILURE)
            for one in members:
                await until(lambda: one.state() is DOWN)  # noqa: B023
            for one in (second, third):
                one.probe("mta1", OK)
            for one in members:
                await until(lambda: one.state() is UP)  # noqa: B023

            before, heard_before = [changes(one) for one in members], first.shared._quorum.nodes
            for one in members:
                one.link.connect()
                assert one.shared._quorum.modes == {"quorum"}, "Redis coming back is no event"
            for one in members:
                await until(lambda: len(one.shared.nodes) == 2)  # noqa: B023
                await until(lambda: one.shared.view().http == {})  # noqa: B023
            assert [changes(one) for one in members] == before
            assert first.shared._quorum.nodes == heard_before
            assert told not in str(first.alerts())

    asyncio.run(go())


def test_who_hears_nobody_by_http_either_serves_what_it_sees(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as (first, *others):
            listed(first, *others)
            for one in (first, *others):
                one.link.cut()
            await until(lambda: by_http(first))
            first.shared._http.ask_by(dict)
            await until(lambda: first.shared.view().mode == "own")
            assert first.state() is UP
            await until(lambda: any("judges by what it knows itself" in text for text in first.alerts()))
            first.probe("mta1", FAILURE)
            await until(lambda: first.state() is DOWN)
            assert others[0].state() is UP

    asyncio.run(go())


def test_orders_and_programs_do_not_wait_for_who_is_heard_by_http_alone(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as (first, second, third):
            listed(first, second, third)
            first.link.cut()
            await until(lambda: second.shared.nodes == ("ns3",) and third.shared.nodes == ("ns2",))
            await until(lambda: second.shared.view().http == {"ns1": ""})
            assert set(second.shared.view().heard) == set(THREE)
            assert second.shared.view().programs == third.shared.view().programs == "ns2"
            await until(lambda: by_http(first))
            for one in (first, second):  # its vote counts at those with Redis
                one.probe("mta1", FAILURE)
            await until(lambda: third.state() is DOWN)
            first.link.connect()
            await until(lambda: second.shared.nodes == ("ns1", "ns3"))

    asyncio.run(go())


def test_a_start_without_redis_uses_an_epoch_of_its_own_and_keeps_it_first(group: Group) -> None:
    async def go() -> None:
        group.link_state = {"why": "connection refused"}
        one, other = group.member("ns1"), group.member("ns2")
        listed(one, other)
        try:
            for each in (one, other):
                each.serve()
                each.services.verdicts.follow()
            with pytest.raises(NoVotesError):
                await one.shared.votes(None)
            with pytest.raises(UsageError):
                await one.shared.votes("1.x")
            await asyncio.gather(one.shared.begin(), other.shared.begin())
            for each in (one, other):
                each.probe_all()
            said = await _votes(one)
            assert one.services.persistence.note(NOTE) == "1" == said.next.partition(".")[0]
            assert len(said.votes) == 3
            for each in (one, other):
                await until(lambda: by_http(each) and len(each.shared.view().heard) == 2)  # noqa: B023
            # Redis knows of a later start, as after the state folder was lost.
            one.link.set(epoch_there=7)
            one.link.connect()
            key = one.target().shared_key
            await until(lambda: group.store.votes["ns1"][1].get(key))
            assert group.store.votes["ns1"][0] == 8
            assert (await _votes(one)).next.startswith("8.")
        finally:
            await group.close()

    asyncio.run(go())


async def _votes(one: Member) -> SealedVotes:
    async with asyncio.timeout(20):
        while True:
            try:
                return await one.shared.votes(None)
            except NoVotesError:
                await asyncio.sleep(0.01)
