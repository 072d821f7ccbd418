"""Servers that share verdicts: what they serve, tell and ask, and how they begin."""

import asyncio
import subprocess
import sys
import time

import pytest

from geodns.control import verdict_service
from geodns.control.shared_memory import ServerMemory
from geodns.control.shared_service import NOTE
from geodns.health import quorum_lasting, quorum_merging
from geodns.health.quorum import Quorum
from geodns.health.quorum_standing import QuorumTarget
from geodns.model.shared import AddressVote, Vote
from geodns.model.state import HealthState, Verdict
from tests.sample_zones import NAME
from tests.sharing import FAILURE, OK, Group, group, until

__all__ = ["group"]
UP, DOWN = HealthState.UP, HealthState.DOWN
THREE = ("ns1", "ns2", "ns3")


def test_one_server_alone_takes_no_host_out(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as (first, second, third):
            target = first.target()
            third.probe("mta1", FAILURE)
            said = "ns3 alone says down: connection refused"
            await until(lambda: first.shared.verdicts.remark(target) == said)
            await until(lambda: third.shared.verdicts.remark(target) == said)
            assert {one.state() for one in (first, second, third)} == {UP}
            # The others look once more before they are believed.
            await until(lambda: first.monitor.asked == [target] and second.monitor.asked == [target])
            assert not third.monitor.asked

    asyncio.run(go())


def test_a_later_epoch_in_the_store_ends_no_votes_for_good(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, _):
            # The votes of the older epoch were refused, as after a second server under its node.
            first.link.set(connected=False, why="a later epoch", epoch_there=7)
            await until(lambda: group.store.votes["ns1"][0] == 8)
            first.link.connect()
            key = first.target().shared_key
            await until(lambda: group.store.votes["ns1"][1].get(key))
            assert group.store.votes["ns1"][0] == 8

    asyncio.run(go())


def test_two_of_three_take_a_host_out_of_all_and_bring_it_back(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as members:
            for one in members[1:]:
                one.probe("mta1", FAILURE)
            for one in members:
                await until(lambda: one.state() is DOWN)  # noqa: B023
            first = members[0]
            assert first.services.verdicts.own(first.target()).state is UP
            said = "ns2 says down (connection refused), ns3 says down (connection refused)"
            assert first.shared.verdicts.reason(first.target()) == said
            (event,) = [one for one in first.services.events._memory if "→ down" in one.text]
            assert event.text == f"host mta1.{NAME}: up → down ({said})"
            assert members[1].shared.verdicts.reason(first.target()) == ""
            for one in members[1:]:
                one.probe("mta1", OK)
            for one in members:
                await until(lambda: one.state() is UP)  # noqa: B023

    asyncio.run(go())


def test_who_agrees_with_himself_alone_serves_his_own_and_tells_the_others(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE, agree="own") as (first, second, third):
            third.probe("mta1", FAILURE)
            await until(lambda: third.state() is DOWN)
            key = first.target().shared_key
            await until(
                lambda: (
                    (standing := first.shared.verdicts.standing(first.target())) is not None
                    and standing.votes["ns3"].vote is Vote.DOWN
                )
            )
            assert {first.state(), second.state()} == {UP}
            assert group.store.votes["ns3"][1][key].why == "connection refused"
            assert first.shared.view().mode == "own"
            assert not any("fewer than half" in text for text in first.alerts())

    asyncio.run(go())


def test_who_was_not_asked_yet_answers_by_the_groups_state(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as members:
            for one in members:
                one.probe("mta1", FAILURE)
            await until(lambda: all(one.state() is DOWN for one in members))
            late = group.member("ns3")
            late.serve()
            late.services.cluster.verdicts[late.target()] = Verdict(UP)
            late.services.verdicts.follow()
            await late.shared.begin()
            await until(lambda: late.state() is DOWN)
            assert late.target() not in late.monitor.verdicts, "it has probed nothing"

    asyncio.run(go())


def test_without_the_group_the_stored_state_holds(group: Group) -> None:
    async def go() -> None:
        group.link_state = {"why": "connection refused"}
        one = group.member("ns1")
        try:
            one.serve()
            one.services.cluster.apply_verdicts({one.target(): Verdict(DOWN)}, 0.0)
            one.services.verdicts.follow()
            await one.shared.begin()
            await asyncio.sleep(0.05)
            assert one.state() is DOWN
            one.probe("mta1", OK)
            await until(lambda: one.state() is UP)  # nobody else is known
            view = one.shared.view()
            assert (view.why, view.mode, view.known) == ("connection refused", "own", 1)
        finally:
            await group.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("stored", "there", "epoch"), [(None, 0, 1), ("7", 3, 8), ("7", 8, 9), ("x", 41, 42)]
)
def test_an_epoch_is_higher_than_all_before(group: Group, stored: str | None, there: int, epoch: int) -> None:
    async def go() -> None:
        one = group.member("ns1")
        if stored is not None:
            one.services.persistence.keep_note(NOTE, stored)
        again = group.member("ns1")
        again.services.persistence._notes.update(one.services.persistence._notes)
        again.shared.epoch = again.shared._quorum.epoch = _first(stored)
        again.link.state = again.link.state.__class__(why="", epoch_there=there)
        try:
            await again.begin()
            again.probe_all()
            await until(lambda: again.link.beats and group.store.votes)
            assert again.link.beats[0].epoch == group.store.votes["ns1"][0] == epoch
            assert again.services.persistence.note(NOTE) == str(epoch)
        finally:
            await group.close()

    asyncio.run(go())


def _first(stored: str | None) -> int:
    return int(stored) + 1 if stored is not None and stored.isdigit() else 1


def test_what_is_the_matter_is_told(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum_lasting, "LASTING", 0.0)
    monkeypatch.setattr(quorum_merging, "LASTING", 0.0)

    async def go() -> None:
        async with group.of(*THREE) as (first, _, third):
            assert first.alerts() == []
            assert first.metric("geodns_shared_connected") == 1
            assert first.metric("geodns_shared_heard") == 3
            third.probe("mta1", FAILURE)
            text = f"ns3 alone says down of mta1.{NAME} (smtp [192.0.2.11]:25): connection refused"
            await until(lambda: text in first.alerts())
            assert first.metric("geodns_shared_disagreements") == 1
            third.probe("mta1", OK)
            await until(lambda: not first.alerts())
            first.link.set(
                bad={"not the JSON that geodns writes": 2}, last_bad="orders: x", why="skipped orders: x"
            )
            await until(lambda: first.alerts() == ["shared: 2 values were skipped, the last one orders: x"])
            assert (
                first.metric("geodns_shared_bad_values_total", reason="not the JSON that geodns writes") == 2
            )
            first.shared._bad = 2, float("-inf")
            assert first.alerts() == []
            first.link.cut()
            first.link.state = first.link.state.__class__(why="connection refused", since=-60.0)
            assert any("connection refused: this server judges" in one for one in first.alerts())

    asyncio.run(go())


def test_a_wrong_clock_is_a_warning_and_nothing_else(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as (first, second, third):
            third.link.set(clock_offset=7200.0)
            beat = third.link.beats[-1]
            later = beat.model_copy(update={"at": beat.at + 7200.0, "seq": third.shared._quorum.seq})
            for one in (first, second):
                one.shared.on_beat(later, 7200.0)
            text = "the clock of ns3 is 7,200 s ahead of that of Redis 7.0.15"
            assert any(text in one for one in third.alerts())
            assert [*first.alerts(), *second.alerts()] == []
            for one in (first, third):
                one.probe("mta1", FAILURE)
            for one in (first, second, third):
                await until(lambda: one.state() is DOWN)  # noqa: B023

    asyncio.run(go())


def test_reasons_end_with_the_epoch_and_with_their_server(group: Group) -> None:
    async def go() -> None:
        async with group.of(*THREE) as (first, *_):
            verdicts = first.shared.verdicts
            down = AddressVote(vote=Vote.DOWN, held=Vote.UP, seq=1, why="connection refused")
            for node in ("ns2", "ns4"):
                verdicts.voted(node, 7, {"a": down, "b": down})
            verdicts.voted("ns2", 7, {"b": None})
            assert verdicts._whys["ns2"] == (7, {"a": "connection refused"})
            assert len(verdicts._whys["ns4"][1]) == 2
            del first.shared._quorum._hearing.peers["ns4"]  # as after a day
            verdicts.voted("ns2", 8, {"b": down})
            assert verdicts._whys["ns2"] == (8, {"b": "connection refused"})
            assert "ns4" not in verdicts._whys

    asyncio.run(go())


def test_two_servers_of_one_node_do_not_vote(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (first, _):
            first.link.set(twin=True)
            await until(lambda: first.shared._quorum.doubled)
            assert any("two live servers say that they are ns1" in one for one in first.alerts())

    asyncio.run(go())


def test_nothing_of_it_is_loaded_without_the_setting() -> None:
    code = (
        "import sys, geodns.daemon\n"
        "print([name for name in sys.modules if name.startswith('redis') or 'quorum' in name\n"
        "       or name.endswith(('shared_service', 'shared_group', 'shared_redis', 'shared_verdicts'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_waits_to_be_served_while_files_are_read_is_not_forgotten(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with group.of("ns1") as (one,):
            monkeypatch.setattr(verdict_service, "RECOMPILE_EVERY", 0.2)
            one.probe("mta2", FAILURE)
            await until(lambda: one.state("mta2") is DOWN)
            one.probe("mta1", FAILURE)
            one.shared.verdicts.look()
            assert one.state() is UP, "it waits its turn"
            one.services.verdicts.follow()
            await until(lambda: one.state() is DOWN)
            one.probe("mta1", OK)
            await until(lambda: one.state() is UP)

    asyncio.run(go())


def test_overrides_end_by_one_clock_redis_while_it_tells_the_time_else_the_peers(group: Group) -> None:
    async def run() -> None:
        async with group.of("ns1", "ns2") as (first, _):
            peers = first.services.peers
            first.link.set(clock_offset=None)
            await until(lambda: peers.keeps_time)
            first.link.set(clock_offset=3600.0)
            await until(lambda: not peers.keeps_time)
            await peers.look()
            assert first.services.orders.now() == pytest.approx(time.time() - 3600, abs=60)
            first.link.cut()
            await until(lambda: peers.keeps_time)
            await peers.look()
            assert first.services.orders.now() == pytest.approx(time.time(), abs=60)

    asyncio.run(run())


def test_servers_are_known_after_a_restart_as_before(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as (first, *_):
            persistence, wall = first.services.persistence, time.time()
            await until(lambda: len(list(ServerMemory(persistence).read(wall))) == 2)
            for later, known in ((3600, 3), (90_000, 1)):
                quorum = Quorum("ns1", 1, 0.0)
                for node, zones, ago in ServerMemory(persistence).read(wall + later):
                    quorum.remember(node, zones, ago, 0.0)
                target = QuorumTarget(frozenset({NAME}), first.target().check)
                quorum.set_targets({"a": target}, 0.0)
                assert (quorum.known, quorum.nodes) == (known, ())
            persistence.keep_note("shared servers", '{"ns2": 7}')
            assert not list(ServerMemory(persistence).read(wall)), "a hand may have written anything"

    asyncio.run(go())
