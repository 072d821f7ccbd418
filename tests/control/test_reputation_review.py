"""Reviews of many hosts, many times: other work goes on, and nothing is ordered or told again and again."""

import asyncio
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import dns.resolver
import pytest

from geodns.api.explain import explain
from geodns.compiler.choice import shares
from geodns.control import block_list_service
from geodns.control.reputation_notes import notes_of
from geodns.control.wall_clock import WallClock
from geodns.model.state import HostKey
from tests.control.test_reputation_service import ZONE as SENDING
from tests.control.test_reputation_service import Judged
from tests.sample_zones import NAME
from tests.servicing import Rig
from tests.signals.test_reputation import Mail

HOSTS = 30
ZONE = (
    "ns: {ns1: 192.0.2.253}\n"
    f"hosts: {{{', '.join(f'm{n}: 192.0.2.{n}' for n in range(1, HOSTS + 1))}}}\n"
    "pools: {main: {hosts: 'm*', check: none}}\n"
    "records: {'@': {pool: main}}\n"
    "reputation: {mode: observe}\n"
)


class Asked(Mail):
    """Counts that note who asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, float]] = []

    def by_provider(self, host: HostKey, start: float, end: float) -> Any:
        self.asked.append((host[1], end - start))
        return super().by_provider(host, start, end)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, ZONE)
    rig.serve()
    yield rig
    rig.close()


def test_others_get_their_turn_between_two_hosts(rig: Rig) -> None:
    mail = Asked()
    rig.services.reputation._counts = mail
    most, before = 0, 0

    async def others() -> None:
        nonlocal most, before
        while True:
            most, before = max(most, len(mail.asked) - before), len(mail.asked)
            await asyncio.sleep(0)

    async def test() -> None:
        task = asyncio.create_task(others())
        await rig.services.reputation._review_now()
        task.cancel()

    asyncio.run(test())
    assert sorted(mail.asked) == sorted((f"m{n}", s) for n in range(1, HOSTS + 1) for s in (3600.0, 86400.0))
    assert most <= 2, "hosts read at one go, by the hour and by the day"


# --- again and again ----------------------------------------------------------------------------------------


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judged]:
    one = Judged(tmp_path, monkeypatch)
    yield one
    one.rig.close()


def told(judged: Judged) -> list[str]:
    return [one.text for one in judged.rig.services.events._memory if one.kind == "reputation"]


def orders(judged: Judged) -> list[str]:
    return [one.text for one in judged.rig.services.events._memory if one.kind == "forced"]


def test_a_rate_that_moves_a_little_is_no_new_order(judged: Judged) -> None:
    for host in ("m1", "m2", "m3", "m4"):
        judged.mail.sent(host, "yahoo", judged.now - 60, 1000, bounced=150 if host == "m1" else 0)
    judged.go()
    judged.mail.sent("m1", "yahoo", judged.now, 1000, bounced=150)
    for _ in range(30):
        judged.mail.sent("m1", "yahoo", judged.now, 7, bounced=2)
        judged.go()
    assert judged.ordered == {"m1": pytest.approx(15)}
    assert len(orders(judged)) == 1
    judged.mail.sent("m1", "yahoo", judged.now, 1000, bounced=400)
    judged.go()
    assert judged.ordered["m1"] == pytest.approx(100 * 610 / 2210), "far worse: it may go before another"
    assert len(orders(judged)) == 2


def test_an_order_names_the_cause_that_is_left(judged: Judged) -> None:
    judged.list_on("bl.test", 1)
    judged.list_on("other.test", 1)
    judged.go()
    judged.list_on("bl.test")
    judged.go()
    assert judged.rig.services.cluster.forced[NAME, "m1"].reason.startswith("other.test: 192.0.2.1 is on")


def test_what_is_ended_by_hand_is_not_given_again_for_another_list(judged: Judged) -> None:
    judged.list_on("bl.test", 1)
    judged.list_on("other.test", 1)
    judged.go()
    assert judged.ordered.keys() == {"m1"}
    judged.rig.services.cluster.force((NAME, "m1"), None)
    judged.go()
    judged.go()
    assert judged.ordered == {}
    assert sorted(one.rule or "" for one in judged.service.ignored) == ["bl.test", "other.test"]


def test_a_rise_of_the_whole_pool_is_told_in_one_line(judged: Judged) -> None:
    for host in ("m1", "m2", "m3", "m4"):
        judged.mail.sent(host, "yahoo", judged.now - 60, 2000, bounced=150)
    judged.go()
    line = (
        f"hosts m1, m2, m3 and 1 more of {NAME}: bounces over 5%: m1: 150 of 2000 messages were bounced "
        "within the day (7.50%; of the others 7.50%)"
    )
    assert [one.text for one in judged.service.alerts()] == [line]
    assert told(judged) == [f"{line}: alert"]
    judged.go(40 * 3600)
    assert list(judged.service.alerts()) == []
    assert told(judged)[1:] == [f"hosts m1, m2, m3 and 1 more of {NAME}: bounces over 5%: over"]


@pytest.mark.parametrize("steady", [True, False])
def test_an_order_is_on_disk_once_it_is_answered(
    steady: bool, judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WallClock, "steady", steady)
    asyncio.run(judged.service.ignore((NAME, "m1"), "bl.test", 3600, "ops", "known"))
    asyncio.run(judged.service.set_mode(NAME, "observe", 3600, "ops", "too keen"))
    kept = notes_of(judged.rig.store.load_notes()["reputation"])
    assert [(one.host, one.rule) for one in kept.ignored] == [((NAME, "m1"), "bl.test")]
    assert {zone: one.mode for zone, one in kept.modes.items()} == {NAME: "observe"}


@pytest.mark.parametrize("inside", ["m1, m2", "m1"])
def test_a_pool_that_receives_deals_a_host_whose_mail_is_refused(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = Judged(tmp_path, monkeypatch, SENDING.replace("hosts: [in1]", f"hosts: [{inside}]"))
    judged.all_send(m2=40)
    judged.list_on("bl.test", 1)
    judged.go()
    assert judged.ordered.keys() == {"m1"}
    assert judged.factors == {"m2": 0.75}
    cluster = judged.rig.services.cluster
    assert cluster.held_back == {}, "that it is alone where it receives keeps it from nothing"

    def dealt(pool: str) -> dict[str, Fraction]:
        return shares(cluster.compiled.choices[NAME, pool].of("A").dealt)

    assert dealt("main").keys() == {"m2", "m3", "m4"}
    assert dealt("main")["m2"] < dealt("main")["m3"]
    assert dealt("inbound") == {host: Fraction(1, inside.count("m")) for host in inside.split(", ")}
    (tier,) = explain(cluster, f"in.{NAME}", "A")["tiers"]
    assert [one["forced"] for one in tier["members"].values()] == [None] * inside.count("m")
    (tier,) = explain(cluster, NAME, "A")["tiers"]
    assert "quarantined" in {one["forced"] for one in tier["members"].values()}
    judged.rig.close()


# --- lists that cannot be asked -----------------------------------------------------------------------------


async def ask_once(judged: Judged) -> None:
    judged.service._lists.start(time.monotonic())
    await asyncio.gather(*judged.service._lists._running.values())


def test_without_a_resolver_the_lists_say_so(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", read)
    asyncio.run(ask_once(judged))
    why = "/etc/resolv.conf names no resolver: name one as `resolver`"
    assert {name: (one.ok, one.why) for name, one in judged.service.lists_of(NAME).items()} == {
        "bl.test": (False, why),
        "other.test": (False, why),
    }


def test_a_fault_of_ours_shows_at_the_list(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(*_: Any) -> None:
        raise RuntimeError("key.bl.test")

    monkeypatch.setattr(block_list_service, "ask", ask)
    asyncio.run(ask_once(judged))
    (one, _) = judged.service.lists_of(NAME).values()
    assert (one.ok, one.why) == (False, "a fault of geodns's own while asking it: the log says more")
