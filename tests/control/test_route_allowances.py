"""What hosts that warm up may still be dealt of a provider's mail: never more than their caps."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.schemas_warmup import WarmupJson
from geodns.api.warmup import warmups
from geodns.control import route_allowance_service
from geodns.control.route_allowance_service import LASTS, RouteAllowanceService, RouteRoom
from geodns.control.route_allowances import ProviderRoom, rooms
from geodns.control.signal_intake import Batch, Signal
from geodns.control.warmup_service import WarmingHost
from geodns.model.mail import MailEvent
from geodns.model.warmup import ProviderCap, Warmup, WarmupStage
from geodns.responder.route_deals import Dealer
from geodns.responder.route_table import Allowance, CompiledRule, RouteTarget
from geodns.serve.control_link import Worker
from geodns.serve.frames import RouteCounts, WorkerStarted
from geodns.serve.recent_look_ups import RecentLookUps
from geodns.signals.warmup import Ceiling, Sending
from tests.controlling import until
from tests.sample_zones import NAME
from tests.servicing import Rig

HOST = (NAME, "mta1")
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
NOW = NOON.timestamp()
CAPS = (ProviderCap(provider="google", amount=50, percent=True), ProviderCap(provider="yahoo", amount=100))


def warming(
    cap: int = 1000, caps: tuple[ProviderCap, ...] = CAPS, now: datetime = NOON, **changes: Any
) -> WarmingHost:
    """A host on the first of two days."""
    plan = Warmup(plan=(cap, cap), start=now.date(), provider_caps=caps)
    stage = replace(WarmupStage(now.date(), 1, now.date(), begun=True), **changes)
    seen = Sending(100_000, Fraction(1), 5, heard=now.timestamp() - 3600)
    return WarmingHost(
        plan, stage, seen, Ceiling(Fraction(1, 10)), 0, True, Fraction(1, 10), None, False, True
    )


def left(one: WarmingHost, servers: int = 1, **sent: int) -> dict[str, int]:
    return {provider: room.left for provider, room in rooms(one, sent, servers).items()}


def test_a_cap_is_of_the_day_and_of_a_server() -> None:
    assert rooms(warming(), {"google": 40}, 1) == {
        "google": ProviderRoom(500, 40, 460),
        "yahoo": ProviderRoom(100, 0, 100),
    }
    assert left(warming(), 3) == {"google": 166, "yahoo": 33}
    assert left(warming(), 3, google=160, yahoo=90) == {"google": 6, "yahoo": 0}


def test_look_ups_whose_mail_may_be_on_its_way_are_not_left() -> None:
    def after(recent: dict[str, int], servers: int = 1, **sent: int) -> dict[str, int]:
        return {name: room.left for name, room in rooms(warming(), sent, servers, recent).items()}

    assert after({"google": 460}, google=40) == {"google": 0, "yahoo": 100}
    assert after({"google": 100, "yahoo": 30, "": 9000}, google=40) == {"google": 360, "yahoo": 70}
    assert after({"google": 100}, 2, google=40) == {"google": 110, "yahoo": 50}
    assert after({"google": 150}, other=800) == {"google": 50, "yahoo": 50}, "all together, too"


def test_all_mail_together_stays_within_the_day() -> None:
    assert left(warming(), other=700) == {"google": 300, "yahoo": 100}
    assert left(warming(), other=950, google=10) == {"google": 40, "yahoo": 40}
    assert left(warming(), other=2000) == {"google": 0, "yahoo": 0}


def test_who_has_not_begun_gets_nothing_who_is_held_its_day_and_who_is_done_has_no_cap() -> None:
    assert left(warming(day=0)) == {"google": 0, "yahoo": 0}
    assert left(warming(held="new lists", author="ops")) == left(warming())
    assert left(warming(day=3)) == {}
    assert left(warming(caps=())) == {}


@given(
    st.integers(0, 10**6),
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from(["google", "yahoo", "other"]), st.integers(0, 500)), max_size=30),
    st.lists(st.integers(0, 300), max_size=30),
)
def test_servers_together_never_deal_more_than_a_cap(
    cap: int, servers: int, reports: list[tuple[str, int]], asks: list[int]
) -> None:
    """What they deal is sent and reported before the next allowance: then nothing is over."""
    sent = {"google": 0, "yahoo": 0, "other": 0}
    one = warming(cap)
    rule = CompiledRule(1, "", (), (), (), (), (), (), None, "pool", True, 25)
    capped = {"google": frozenset({"mta1"}), "yahoo": frozenset({"mta1"})}
    target = RouteTarget(NAME, "pool", "main", {"mta1": 1}, ("mta1",), capped=capped)
    dealers = [Dealer(Random(seed)) for seed in range(servers)]
    for (provider, number), ask in zip(reports, asks, strict=False):
        dealt = 0
        for dealer in dealers:
            dealer.allow({HOST: Allowance(left(one, servers, **sent), 10.0)})
            if provider != "other":
                for _ in range(ask):
                    route = dealer.route(rule, target, provider, 5.0)
                    dealt += route is not None and bool(route.host)
        before = sent[provider]
        sent[provider] += dealt
        assert dealt == 0 or sent[provider] <= one.plan.provider_caps[provider == "yahoo"].of(cap), before
        sent["other"] += number if provider == "other" else 0


@given(
    st.integers(0, 2000),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100), st.booleans()), max_size=40),
)
def test_mail_that_is_sent_later_goes_over_no_cap(cap: int, rounds: list[tuple[int, int, bool]]) -> None:
    """Each round looks up, sends some of what was looked up, and reports what was sent."""
    one, dealer, recent = warming(cap), Dealer(Random(14)), RecentLookUps()
    rule = CompiledRule(1, "", (), (), (), (), (), (), None, "pool", True, 25)
    target = RouteTarget(NAME, "pool", "main", {"mta1": 1}, ("mta1",), capped={"google": frozenset({"mta1"})})
    looked_up = counted = sent = 0
    for asked, delivered, told in rounds:
        allowances = {
            HOST: Allowance(
                {"google": rooms(one, {"google": sent}, 1, {"google": counted})["google"].left}, 9.0
            )
        }
        dealer.allow(recent.without(allowances, 5.0))
        for _ in range(asked):
            route = dealer.route(rule, target, "google", 5.0)
            if route is not None and route.host:
                looked_up += 1
                recent.add(*HOST, "google", capped=True)
        if told:  # a report of mail may come before that of look-ups
            counted += sum(recent.tell(5.0).values())
        sent = min(looked_up, sent + delivered)
        assert looked_up <= one.plan.provider_caps[0].of(cap)


# --- the service ------------------------------------------------------------------------------------------


class Desk:
    """The services of a rig in which mta1 warms up, with a routes worker that hears what it is told."""

    def __init__(self, rig: Rig, clock: SimpleNamespace) -> None:
        rig.serve()
        rig.workers["routes"] = Worker(1)
        self.rig = rig
        self.clock = clock
        self.service: RouteAllowanceService = rig.services.allowances
        self.warm(warming(now=datetime.now(UTC)))

    def warm(self, one: WarmingHost) -> None:
        self.rig.services.warmup.hosts[HOST] = one

    async def report(self, event: MailEvent = MailEvent.DELIVERED, **more: Any) -> None:
        one = Signal(0, None, "mta1", None, event, "google", 250, "", "", None, 1, None, None, 1)
        await self._take(Batch(f"{time.monotonic_ns()}", (one._replace(**more),)))

    async def alive(self) -> None:
        await self._take(Batch("", (), alive=("mta1",)))

    async def _take(self, batch: Batch) -> None:
        await self.rig.services.signals.take(lambda: batch)
        await asyncio.sleep(0)
        await until(lambda: self.service._telling is None)

    def told(self) -> dict[Any, Allowance]:
        """What the worker was told since this was asked last."""
        found = {host: one for news in self.rig.told for host, one in news.allowances.items()}
        self.rig.told.clear()
        return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path)
    yield found
    found.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(ahead=0.0, up=1000.0)
    fake = SimpleNamespace(time=lambda: time.time() + found.ahead, monotonic=lambda: found.up)
    monkeypatch.setattr(route_allowance_service, "time", fake)
    return found


def run(rig: Rig, clock: SimpleNamespace, test: Callable[[Desk], Awaitable[None]]) -> None:
    async def beside() -> None:
        desk = Desk(rig, clock)
        await test(desk)
        await desk.service.close()

    asyncio.run(beside())


def looked_up(number: int, provider: str = "google") -> RouteCounts:
    return RouteCounts("routes", {}, {(*HOST, provider): number}, (), 0.0, 0.0)


def test_a_report_that_counts_mail_says_what_is_left(rig: Rig, clock: SimpleNamespace) -> None:
    async def test(desk: Desk) -> None:
        await desk.report(number=30)
        assert desk.told() == {HOST: Allowance({"google": 470, "yahoo": 100}, 1000 + LASTS)}
        desk.service._on_message(looked_up(7))
        desk.service._on_message(looked_up(2))
        desk.service._on_message(looked_up(5, "aol"))
        assert desk.service.of(HOST) == {"google": RouteRoom(30, 470, 9), "yahoo": RouteRoom(0, 100, 0)}
        clock.up += LASTS
        assert desk.service.of(HOST)["google"] == RouteRoom(30, 0, 9)
        clock.up -= LASTS
        clock.up += 60
        await desk.report(MailEvent.DEFERRED, number=5)
        assert desk.told() == {HOST: Allowance({"google": 465, "yahoo": 100}, 1060 + LASTS)}
        assert desk.service.of(HOST)["google"].looked_up == 0

    run(rig, clock, test)


def test_mail_that_may_be_on_its_way_counts_beside_what_was_sent(rig: Rig, clock: SimpleNamespace) -> None:
    """Over restarts too: the counts of look-ups are those that are kept."""

    async def test(desk: Desk) -> None:
        counts = desk.rig.services.routes
        counts.take(looked_up(300), time.time())
        counts.take(looked_up(99, "aol"), time.time())
        counts.take(RouteCounts("routes", {}, {(NAME, "mta2", "google"): 50}, (), 0.0, 0.0), time.time())
        await desk.report(number=30)
        assert desk.told() == {HOST: Allowance({"google": 170, "yahoo": 100}, 1000 + LASTS)}
        counts.take(looked_up(170), time.time())
        await desk.report(number=30)
        assert desk.told() == {HOST: Allowance({"google": 0, "yahoo": 100}, 1000 + LASTS)}

    run(rig, clock, test)


@pytest.mark.parametrize("how", ["heartbeat", "retry", "opened"])
def test_a_report_that_counts_no_first_attempt_lets_the_last_one_hold_on(
    rig: Rig, clock: SimpleNamespace, how: str
) -> None:
    async def report(desk: Desk) -> None:
        if how == "heartbeat":
            await desk.alive()
        elif how == "retry":
            await desk.report(MailEvent.RETRIED, attempt=2)
        else:
            await desk.report(MailEvent.OPENED)

    async def test(desk: Desk) -> None:
        await report(desk)
        assert desk.told() == {}, "what an earlier process was allowed is not known"
        await desk.report(number=30)
        desk.told()
        clock.up += 600
        await report(desk)
        assert desk.told() == {HOST: Allowance({}, 1600 + LASTS)}
        clock.ahead += 86400
        await report(desk)
        assert desk.told() == {}, "a new day begins with its first mail"
        clock.ahead -= 86400
        desk.service._on_message(WorkerStarted("routes", 7, 1))
        await report(desk)
        assert desk.told() == {}

    run(rig, clock, test)


def test_the_status_shows_the_caps_of_providers(rig: Rig, clock: SimpleNamespace) -> None:
    async def test(desk: Desk) -> None:
        def shown() -> WarmupJson:
            return warmups(desk.rig.services)["zones"][NAME]["hosts"]["mta1"]

        assert shown()["providers"]["google"] == {"cap": 500, "sent": 0, "left": 0, "looked_up": 0}
        await desk.report(number=30)
        desk.service._on_message(looked_up(7))
        assert shown()["providers"] == {
            "google": {"cap": 500, "sent": 30, "left": 470, "looked_up": 7},
            "yahoo": {"cap": 100, "sent": 0, "left": 100, "looked_up": 0},
        }
        for over in (warming(caps=()), warming(day=3)):
            desk.warm(over)
            assert "providers" not in shown()

    run(rig, clock, test)


def test_nobody_is_told_of_hosts_that_have_no_such_caps(rig: Rig, clock: SimpleNamespace) -> None:
    async def test(desk: Desk) -> None:
        await desk.report(host="mta2")
        desk.warm(warming(caps=(), now=datetime.now(UTC)))
        await desk.report()
        assert desk.told() == {}
        del desk.rig.workers["routes"]
        desk.warm(warming(now=datetime.now(UTC)))
        await desk.report()
        assert desk.told() == {}

    run(rig, clock, test)


def test_what_is_left_of_other_providers_stays_with_the_dealer() -> None:
    dealer = Dealer(Random(14))
    rule = CompiledRule(1, "", (), (), (), (), (), (), None, "pool", True, 25)
    target = RouteTarget(NAME, "pool", "main", {"mta1": 1}, ("mta1",), capped={"google": frozenset({"mta1"})})

    def hosts(times: int, now: float) -> int:
        routes = [dealer.route(rule, target, "google", now) for _ in range(times)]
        return sum(bool(one and one.host) for one in routes)

    assert hosts(3, 0.0) == 0
    dealer.allow({HOST: Allowance({"google": 3}, 10.0)})
    assert hosts(2, 0.0) == 2
    assert hosts(1, 11.0) == 0
    dealer.allow({HOST: Allowance({}, 20.0)})
    assert hosts(5, 11.0) == 1
