"""Orders of programs in a group: one server gives them, the others take them over."""

import asyncio
import time
from datetime import UTC, datetime
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import JsonValue

from geodns.control import shared_program_service, shared_signal_service
from geodns.control.program_orders import Effect, order_id
from geodns.control.reputation_service import ReputationService
from geodns.control.warmup_service import WarmupOrder
from geodns.model.state import REPUTATION, Forced
from geodns.signals.reputation import Standings
from geodns.signals.warmup import WarmupVerb
from tests.sample_zones import NAME
from tests.sharing import Group, Member, group, until

__all__ = ["group"]
HOST = (NAME, "mta1")
QUARTER = Fraction(1, 4)
TODAY = datetime.now(UTC).date()
WARMING = f"""\
ns: {{ns1: 192.0.2.53}}
checks: {{smtp: {{interval: 1h, fast_interval: 1h, rise: 1, fall: 1}}}}
hosts:
  mta1: {{address: 192.0.2.11, warmup: {{plan: [1000, 2000, 4000], start: {TODAY}}}}}
  mta2: 192.0.2.12
  mta3: 192.0.2.13
pools: {{main: {{hosts: "*", check: smtp, volume: 100000}}}}
records: {{"@": {{pool: main}}}}
"""
JUDGED = """\
ns: {ns1: 192.0.2.53}
checks: {smtp: {interval: 1h, fast_interval: 1h, rise: 1, fall: 1}}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12, mta3: 192.0.2.13}
pools: {main: {hosts: "*", check: smtp, max_out: 1, answers: 1}}
records: {"@": {pool: main}}
reputation: {mode: act}
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_signal_service, "TELL_EVERY", 0.02)
    monkeypatch.setattr(shared_program_service, "TELL_EVERY", 0.0)


def day(member: Member) -> int:
    member.services.warmup.look()
    return member.services.warmup.hosts[HOST].stage.day


def test_one_server_moves_days_and_the_others_take_its_stage(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2", text=WARMING) as (one, two):
            assert [day(one), day(two)] == [1, 1]
            # An order at any server holds on all, and who moves days goes on from it.
            await two.services.warmup.carry(HOST, WarmupOrder(WarmupVerb.SKIP_TO, "why", "anna", 3))
            await until(lambda: day(one) == 3)
            assert day(two) == 3
            await one.services.warmup.carry(HOST, WarmupOrder(WarmupVerb.HOLD, "blocked", "anna"))
            await until(lambda: (day(two), two.services.warmup.hosts[HOST].stage.held) == (3, "blocked"))
            # What the others find is not asked.
            two.services.warmup._stages[HOST] = two.services.warmup.hosts[HOST].stage
            first = one.services.warmup.hosts[HOST].stage
            await until(lambda: (day(two), two.services.warmup.hosts[HOST].stage.day)[1] == first.day)
            # Cut off, it goes on from there by itself.
            two.link.cut()
            assert day(two) == 3
            await two.services.warmup.carry(HOST, WarmupOrder(WarmupVerb.RESTART, "", "anna"))
            assert day(two) == 1
            assert day(one) == 3

    asyncio.run(go())


def test_one_server_quarantines_and_another_ends_it(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"mta1": ("blocks", SimpleNamespace(badness=50.0, why="blocked"))}
    monkeypatch.setattr(Standings, "quarantines", lambda _: found)

    async def go() -> None:
        async with group.of("ns1", "ns2", text=JUDGED) as (one, two):
            await two.services.reputation._review_now()
            assert not two.services.cluster.forced
            await one.services.reputation._review_now()
            await until(lambda: HOST in two.services.cluster.forced)
            forced = two.services.cluster.forced[HOST]
            assert (forced.forced, forced.author) == (Forced.QUARANTINED, REPUTATION)
            # ns1 goes: ns2 gives the orders from now on, and ends what is over.
            await one.shared.close()
            one.link.cut()
            await until(lambda: not two.shared.nodes)
            found.clear()
            await two.services.reputation._review_now()
            assert HOST not in two.services.cluster.forced
            assert any(order.content is None for order in group.store.orders.values())
            assert not two.services.reputation.ignored  # nobody has ended it by hand
            assert not one.services.reputation.ignored

    asyncio.run(go())


def judged(monkeypatch: pytest.MonkeyPatch, effect: Effect) -> Standings:
    """Return standings that do this to mta1."""
    found = Standings({})
    one = Fraction(1)
    monkeypatch.setattr(found, "factor", lambda host, _: effect.factor if host == "mta1" else one)
    monkeypatch.setattr(found, "barred", lambda host: dict(effect.bars) if host == "mta1" else {})
    return found


def test_factors_and_bars_are_those_of_one_server(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    until_ = time.time() + 3600
    monkeypatch.setattr(ReputationService, "_review", _nothing)

    async def go() -> None:
        async with group.of("ns1", "ns2", text=JUDGED) as (one, two):
            first, second = one.services.reputation, two.services.reputation
            own = Effect(QUARTER, {"google": until_})
            first.standings[NAME] = judged(monkeypatch, own)
            second.standings[NAME] = judged(monkeypatch, Effect(Fraction(1, 2), {}))
            await second._review_now()  # ns1 has said nothing yet
            assert two.services.cluster.reputation == {HOST: Fraction(1, 2)}
            await first._review_now()
            await until(lambda: second.barred(HOST))
            await second._review_now()
            assert one.services.cluster.reputation == two.services.cluster.reputation == {HOST: QUARTER}
            assert second.barred(HOST).keys() == {"google"}
            # What is over at ns1 is over everywhere.
            first.standings[NAME] = Standings({})
            await first._review_now()
            await until(lambda: not second.barred(HOST))
            await second._review_now()
            assert one.services.cluster.reputation == two.services.cluster.reputation == {}
            # Without Redis each goes by its own.
            two.link.cut()
            await second._review_now()
            assert two.services.cluster.reputation == {HOST: Fraction(1, 2)}

    asyncio.run(go())


async def _nothing(*_: Any) -> None:
    await asyncio.sleep(0)


def test_two_that_act_alone_make_the_same_order() -> None:
    name = order_id("blocks", HOST, 7200.0, 3)
    assert len(name) == 32
    assert name == order_id("blocks", HOST, 10799.9, 3)
    others = {
        order_id("listed", HOST, 7200.0, 3),
        order_id("blocks", (NAME, "mta2"), 7200.0, 3),
        order_id("blocks", HOST, 10800.0, 3),
        order_id("blocks", HOST, 7200.0, 4),
    }
    assert name not in others
    assert len(others) == 4


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("warmup/1", 7),
        ("warmup/1", {NAME: {"mta1": {"day": 3}}}),
        ("warmup/x", {}),
        ("reputation/1", {NAME: {"mta1": {"factor": 10_001}}}),
        ("reputation/1", {NAME: {"mta1": {"factor": 1, "bars": {"google": "now"}}}}),
        ("ordered/1/x", {"at": 1e99}),
        ("ordered/1/x", []),
    ],
)
def test_what_makes_no_sense_moves_nothing(group: Group, field: str, content: JsonValue) -> None:
    async def go() -> None:
        async with group.of("ns2", text=WARMING) as (one,):
            one.link.events.on_sums("ns1", {field: content})
            assert day(one) == 1
            assert one.services.cluster.reputation == {}

    asyncio.run(go())
