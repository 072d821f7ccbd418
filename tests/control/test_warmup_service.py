"""Warm-ups in a control process: dealt within ceilings, paced, held, ordered, kept over restarts."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geodns.compiler.choice import shares
from geodns.control import warmup_service
from geodns.control.warmup_service import KEEP_EVERY, WarmupOrder, WarmupResult
from geodns.errors import NotFoundError, StoreError, UsageError
from geodns.model.mail import MailEvent, MailTally
from geodns.model.state import Forced, ForcedState, HostKey
from geodns.model.warmup import SECONDS
from geodns.signals.warmup import WarmupVerb
from tests.controlling import Control, Running, ready
from tests.sample_zones import NAME
from tests.servicing import Rig

__all__ = ["ready"]

ZONE = """\
ns: {ns1: 192.0.2.53}
ttl: 5
hosts:
  mta1: 192.0.2.11
  mta2: 192.0.2.12
  new: {address: 192.0.2.13, warmup: {plan: [1000, 2000, 4000], start: 2026-12-01}}
pools: {main: {hosts: "*", check: none, volume: 100000}}
records: {"@": {pool: main, MX: {pool: main, preference: 10}}}
"""
NEW = (NAME, "new")
START = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


class Counts:
    """Counts that a test sets: messages of a UTC day, all delivered."""

    def __init__(self) -> None:
        self.sent: dict[HostKey, int] = {}
        self.last: float | None = None
        self.delivered = 1.0

    def by_provider(self, host: HostKey, start: float, end: float) -> dict[str, MailTally]:
        raise AssertionError((host, start, end))

    def total(self, host: HostKey, start: float, end: float) -> MailTally:
        assert start < end
        first = self.sent.get(host, 0)
        return MailTally(first, {MailEvent.DELIVERED: int(first * self.delivered)})

    def heard(self, host: HostKey) -> float | None:
        del host
        return self.last


class Clock:
    """A clock that the test moves; the service is looked at every five seconds where it matters."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = ZONE) -> None:
        self.now = START
        self.unset = 1000.0
        monkeypatch.setattr(warmup_service, "time", SimpleNamespace(time=lambda: self.now))
        monkeypatch.setattr(warmup_service, "since_boot", lambda: self.unset)
        folder.mkdir(exist_ok=True)
        self.rig = Rig(folder, text)
        self.counts = Counts()
        self.service = self.rig.services.warmup
        self.service._counts = self.counts
        self.rig.serve()

    def go(self, seconds: float, *, heard: bool = False) -> None:
        self.now += seconds
        self.unset += seconds
        if heard:
            self.counts.last = self.now
        self.service.look()
        self.service.look()  # what was dealt until now, and what is from now on

    def share(self) -> float:
        choice = self.rig.services.cluster.compiled.choices[NAME, "main"]
        return float(shares(choice.of("A").dealt).get("new", 0))

    @property
    def new(self) -> warmup_service.WarmingHost:
        return self.service.hosts[NEW]


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    one = Clock(tmp_path / "one", monkeypatch)
    yield one
    one.rig.close()


def test_the_days_pass_by_the_calendar(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert clock.share() == 0, "until the service has looked"
    clock.go(0)
    assert clock.share() == pytest.approx(0.01, rel=0.03)
    clock.go(SECONDS / 2)
    assert clock.new.sent == pytest.approx(500, rel=0.03)
    assert not clock.new.counted
    clock.go(SECONDS / 2)
    assert (clock.new.stage.day, clock.new.sent) == (2, 0)
    assert 0.0194 < clock.share() <= 0.02
    clock.go(SECONDS)
    clock.go(SECONDS)
    assert (clock.new.stage.day, clock.new.plan.cap(4)) == (4, None)
    assert clock.share() == pytest.approx(1 / 3)
    assert f"host new.{NAME}: warm-up: day 2: 2,000 messages" in caplog.text
    assert f"host new.{NAME}: warm-up: its warm-up is over" in caplog.text


def test_what_was_sent_paces_the_cap(clock: Clock) -> None:
    clock.counts.sent[NEW] = 42
    clock.go(60, heard=True)
    assert clock.share() == 0
    assert clock.new.held == "42 sent, 42 by this hour: it waits until 01:00 UTC"
    assert list(clock.service.alerts()) == [], "that is as it should be"
    clock.go(3600, heard=True)
    assert clock.share() > 0


def test_silence_and_trouble_hold_the_day_and_are_alerts(clock: Clock) -> None:
    clock.go(0, heard=True)
    clock.go(1000)
    (alert,) = clock.service.alerts()
    assert "no signals for 16 min" in alert.text
    clock.go(SECONDS - 1000)
    assert clock.new.stage.day == 1
    clock.counts.delivered, clock.counts.sent[NEW] = 0.5, 1000
    clock.go(SECONDS, heard=True)
    assert clock.new.stage.day == 1
    clock.counts.sent[NEW] = 30
    clock.go(60, heard=True)
    (alert,) = clock.service.alerts()
    assert "50% of 30 first attempts delivered, under 90%" in alert.text


def test_a_measured_peak_counts_instead_of_four_times_the_mean(clock: Clock) -> None:
    clock.go(0)
    assert float(clock.new.seen.peak) == pytest.approx(4 * 100_000 / 86400)
    for host in ("mta1", "mta2", "new"):
        clock.counts.sent[NAME, host] = 3600
    clock.go(3600, heard=True)
    assert float(clock.new.seen.peak) == pytest.approx(4 * 100_000 / 86400), "not all of the day is counted"
    clock.go(5, heard=True)
    assert clock.new.seen.peak == 3
    clock.go(7200)
    assert clock.new.seen.peak > 3, "nobody counts any more"


def test_an_order_that_cannot_be_kept_is_in_force_and_says_so(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.go(0)

    def full(_: object) -> None:
        raise StoreError("no space left on device")

    monkeypatch.setattr(clock.rig.store, "save_warmups", full)
    result = asyncio.run(clock.service.carry(NEW, WarmupOrder(WarmupVerb.SKIP_TO, "", "ops", 2)))
    assert (result.kept, clock.new.stage.day) == (False, 2)


def test_all_pools_that_deal_a_host_share_its_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own, and one that falls back to that; one that receives is left alone."""
    text = ZONE.replace(
        "volume: 100000}}",
        "volume: 100000}, side: {hosts: [mta1], check: none, fallback: main, volume: 300000}, "
        "inward: {hosts: [mta1, new], check: none, mail: in}}",
    )
    clock = Clock(tmp_path / "pools", monkeypatch, text.replace("1000, 2000, 4000", "4000, 8000"))
    clock.go(0)
    assert (clock.new.seen.volume, clock.new.ceiling.share) == (400_000, Fraction(1, 100))
    assert float(shares(choices_of(clock)[NAME, "inward"].of("A").dealt)["new"]) == 0.5
    order = ForcedState(Forced.DRAINED, "", "", START)
    clock.rig.services.cluster.force((NAME, "mta1"), order)
    clock.go(5)
    for pool in ("main", "side"):
        assert shares(choices_of(clock)[NAME, pool].of("A").dealt)["new"] <= Fraction(1, 100)
    assert clock.new.seen.rate <= 4000, "all of it: the sum over the pools"
    clock.rig.close()


def choices_of(clock: Clock) -> Any:
    return clock.rig.services.cluster.compiled.choices


def test_orders_move_a_host_at_once_and_outlast_the_process(clock: Clock) -> None:
    clock.go(0)

    def order(verb: WarmupVerb, day: int | None = None) -> WarmupResult:
        return asyncio.run(clock.service.carry(NEW, WarmupOrder(verb, "new lists", "ops@here", day)))

    assert order(WarmupVerb.SKIP_TO, 3) == WarmupResult((), kept=True)
    assert clock.share() == pytest.approx(0.04, rel=0.03)
    order(WarmupVerb.HOLD)
    clock.go(SECONDS)
    assert (clock.new.stage.day, clock.new.held) == (3, "held by ops@here (new lists)")
    clock.go(KEEP_EVERY)
    clock.rig.services.persistence.write()
    assert clock.rig.store.load_warmups() == {NEW: clock.new.stage}

    again = warmup_service.WarmupService(
        clock.rig.services.cluster,
        clock.rig.services.workers,
        clock.rig.services.persistence,
        clock.rig.services.events,
        clock.rig.services.clock,
        clock.counts,
    )
    again.look()
    assert again.hosts[NEW].stage == clock.new.stage
    order(WarmupVerb.RESUME)
    clock.go(SECONDS)
    assert clock.new.stage.day == 4
    order(WarmupVerb.RESTART)
    assert (clock.new.stage.day, clock.new.stage.begun) == (1, False)
    with pytest.raises(UsageError, match="its plan has 3"):
        order(WarmupVerb.SKIP_TO, 4)
    with pytest.raises(UsageError, match="what skip-to needs, and no other"):
        order(WarmupVerb.HOLD, 2)
    with pytest.raises(NotFoundError, match="does not warm up"):
        asyncio.run(clock.service.carry((NAME, "mta1"), WarmupOrder(WarmupVerb.HOLD, "", "x")))


def test_the_plan_waits_at_day_1_while_dns_does_not_deal_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(tmp_path / "slow", monkeypatch, ZONE.replace("ttl: 5", "ttl: 300"))
    for _ in range(5):
        clock.go(SECONDS)
    assert (clock.new.stage.day, clock.share()) == (1, 0)
    (alert,) = clock.service.alerts()
    assert "dealt with `ttl: 54s` or less, or never" in alert.text
    clock.counts.sent[NEW] = 10
    clock.go(60, heard=True)
    clock.go(SECONDS, heard=True)
    assert clock.new.stage.day == 2, "mail leaves it another way"
    clock.rig.close()


def test_caps_of_providers_hold_until_the_plan_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ZONE.replace("[1000, 2000, 4000]", "[1000, 900000], caps: {google: 50%}").replace(
        "records: {", "routes: [{use: '@', deal: host}]\nrecords: {"
    )
    clock = Clock(tmp_path / "caps", monkeypatch, text)

    def capped() -> Any:
        return clock.rig.services.cluster.compiled.table.targets[NAME, NAME].capped

    for _ in range(2):
        clock.go(0)
        assert capped() == {"google": frozenset({"new"})}
        clock.go(SECONDS)
    assert (clock.new.stage.day, capped()) == (3, {})
    clock.rig.close()


def test_a_clock_that_jumps_ends_no_day(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    clock.go(60)
    steady = SimpleNamespace(steady=False)
    monkeypatch.setattr(clock.service, "_clock", steady)
    clock.now += SECONDS
    clock.go(1)
    assert clock.new.stage.day == 1
    clock.now -= SECONDS
    steady.steady = True
    clock.go(1)
    assert clock.new.stage.day == 1


def test_a_host_that_only_receives_is_nobodys_to_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(tmp_path / "in", monkeypatch, ZONE.replace("volume: 100000", "mail: in"))
    clock.go(0)
    assert clock.service.hosts == {}
    assert list(clock.service.alerts()) == []
    assert clock.share() == pytest.approx(1 / 3)
    clock.rig.close()


def test_zones_without_warm_ups_cost_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.serve()
    compiled = rig.services.cluster.compiled
    assert rig.services.warmup.look() is False
    assert rig.services.cluster.compiled is compiled
    assert rig.services.cluster.live().ceilings == {}
    rig.close()


def test_the_api(ready: Control) -> None:
    ready.file.write_text(ZONE.replace("2026-12-01", "2020-01-01"))

    async def test(running: Running) -> None:
        shown = (await running.get("/api/v1/warmup"))["zones"][NAME]["hosts"]["new"]
        assert {"plan": "own", "day": 1, "last": 3, "cap": 1000, "held": None, "ceiling": 0.01}.items() <= (
            shown.items()
        )
        assert [one["cap"] for one in shown["ahead"]] == [2000, 4000]
        host = (await running.get("/status"))["hosts"][NAME]["new"]
        assert 0.02 < host["factors"]["warmup"] <= 0.03
        code, answer = await running.order("warmup", "new", order="skip-to", day=2, reason="known IP")
        assert (code, answer["day"], answer["cap"]) == (200, 2, 2000)
        for body, says in (
            ({"order": "stop"}, "'stop': write 'hold', 'resume', 'restart' or 'skip-to'"),
            ({"order": "skip-to"}, "`day` is what skip-to needs"),
            ({"order": "skip-to", "day": 0}, "`day`: 0: write at least 1"),
        ):
            code, answer = await running.order("warmup", "new", **body)
            assert code == 400
            assert says in answer["error"]
        code, answer = await running.order("warmup", "mta1", order="hold")
        assert (code, "does not warm up" in answer["error"]) == (404, True)
        explained: Any = await running.get(f"/api/v1/explain?name={NAME}")
        assert (
            "warm-up, day 2 of 3, 2,000 messages, at most 2.00% of the answers"
            in (explained["tiers"][0]["members"]["new"]["why"])
        )

    ready.run(test)
