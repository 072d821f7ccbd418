"""Signals over several servers: totals are sums, a batch counts once, and nothing gets lost."""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import JsonValue, TypeAdapter

from geodns.api.app import make_app
from geodns.api.schemas_status import StatusJson
from geodns.api.status import status
from geodns.control import shared_signal_service
from geodns.control.signal_intake import Batch, Signal
from geodns.control.signal_sharing import AwayError
from geodns.model.mail import MailEvent
from geodns.storage.signal_file import DAY, SignalFile, Taken
from tests.sample_zones import NAME
from tests.servicing import Rig
from tests.sharing import FakeLink, Group, group, until

__all__ = ["group"]
HOST = (NAME, "mta1")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_signal_service, "TELL_EVERY", 0.02)


def signal(event: MailEvent = MailEvent.DELIVERED, **more: Any) -> Signal:
    return Signal(0, None, "mta1", None, event, "google", 0, "", "", None, 1, None, None, 1)._replace(**more)


async def post(member: Rig, name: str, *signals: Signal) -> Taken:
    signals_ = member.services.signals
    with signals_.room():
        taken, _ = await signals_.take(lambda: Batch(name, signals or (signal(),)))
    return taken


def total(member: Rig) -> int:
    now = time.time()
    return member.services.signals.total(HOST, now - 2 * 86400, now + 1).first


async def sees(member: Rig, number: int) -> None:
    await until(lambda: total(member) == number)


def test_a_total_is_the_sum_over_servers(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as members:
            for number, one in enumerate(members):
                await post(one, f"b{number}", signal(number=10**number), signal(MailEvent.DEFERRED))
            for one in members:
                await sees(one, 114)
                now = time.time()
                found = one.services.signals.by_provider(HOST, now - 3600, now + 1)["google"]
                assert found[MailEvent.DELIVERED] == 111
                assert found[MailEvent.DEFERRED] == 3
                figures = await one.services.signals.figures(NAME, now - 86400, now + 1)
                assert figures["mta1"]["google"].tally.first == 114
                assert one.services.signals.hours(HOST, now)[-1].first in {0, 114}
                assert one.services.signals.heard(HOST) is not None

    asyncio.run(go())


def test_a_batch_counts_once_wherever_it_is_sent(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        counted = asyncio.Event()
        settle = FakeLink.settle_batch

        async def settle_later(link: FakeLink, batch: str, accepted: int | None) -> None:
            await counted.wait()
            await settle(link, batch, accepted)

        async with group.of("ns1", "ns2") as (one, two):
            assert await post(one, "b") == Taken(1)
            await until(lambda: group.store.claims["b"] == ("ns1", 1))
            assert await post(one, "b") == Taken(1, duplicate=True)
            assert await post(two, "b") == Taken(1, duplicate=True)
            # Sent to both at once, one is told to come again until the other has counted.
            monkeypatch.setattr(FakeLink, "settle_batch", settle_later)
            results = await asyncio.gather(post(one, "c"), post(two, "c"), return_exceptions=True)
            assert {type(one) for one in results} == {Taken, AwayError}
            counted.set()
            await until(lambda: group.store.claims["c"][1] == 1)
            assert [await post(each, "c") for each in (one, two)] == 2 * [Taken(1, duplicate=True)]
            await sees(two, 2)
            await sees(one, 2)

    asyncio.run(go())


def test_without_redis_nothing_is_taken_and_nothing_lost(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (one, two):
            await post(one, "a")
            one.link.cut()
            with pytest.raises(AwayError, match="connection refused"):
                await post(one, "b")
            assert await post(one, "a") == Taken(1, duplicate=True)  # that is known all the same
            assert await post(two, "b") == Taken(1)
            one.link.connect()
            await until(lambda: group.store.claims["b"] == ("ns2", 1))
            assert await post(one, "b") == Taken(1, duplicate=True)
            await sees(one, 2)
            await sees(two, 2)

    asyncio.run(go())


def test_a_client_is_told_to_come_again_and_what_is_in_the_totals_is_shown(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (one, two):
            await post(two, "a", signal(number=7))
            await sees(one, 7)
            shown = status(one.services)
            TypeAdapter(StatusJson).validate_python(shown)
            signals = shown["shared"]["signals"]
            assert {node: of["today"] for node, of in signals.items()} == {"ns1": 0, "ns2": 7}
            assert signals["ns2"]["told"]
            assert shown["shared"]["programs"] == "ns1"
            one.link.cut()
            async with TestClient(TestServer(make_app(one.services, ()))) as client:
                body = {"batch": "b", "signals": [{"host": "mta1", "event": "delivered"}]}
                async with client.post("/api/v1/signals", json=body) as answer:
                    assert answer.status == 503
                    assert int(answer.headers["Retry-After"]) > 0
                    assert "another server" in (await answer.json())["error"]
                body = {"batch": "alive", "signals": [], "alive": ["mta1"]}
                async with client.post("/api/v1/signals", json=body) as answer:
                    assert answer.status == 200

    asyncio.run(go())


@pytest.mark.parametrize("counted", [True, False])
def test_a_claim_that_a_crash_left_open_is_finished_by_its_owner(
    group: Group, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (one, two):
            signals = one.services.signals

            async def crash(batch: Batch, now: float) -> Any:
                if counted:
                    await type(signals).keep(signals, batch, now)
                raise ConnectionError("the server dies")

            monkeypatch.setattr(signals, "keep", crash)
            monkeypatch.setattr(shared_signal_service.SharedSignals, "_settle", lambda _: asyncio.sleep(0))
            with pytest.raises(ConnectionError):
                await post(one, "b")
            await one.shared.close()
            assert group.store.claims["b"] == ("ns1", None)
            with pytest.raises(AwayError, match="ns1 is counting this batch"):
                await post(two, "b")
            monkeypatch.undo()
            monkeypatch.setattr(shared_signal_service, "TELL_EVERY", 0.02)
            again = shared_signal_service.SharedSignals(signals, one.link, "ns1", one.shared.publish_sums)
            one.shared.share_sums_by(again)
            work = asyncio.create_task(again.run())
            if counted:
                await until(lambda: group.store.claims.get("b") == ("ns1", 1))
            else:
                await until(lambda: "b" not in group.store.claims)
            assert await post(two, "b") == Taken(1, duplicate=counted)
            await sees(two, 1)
            await sees(one, 1)
            work.cancel()

    asyncio.run(go())


def test_a_server_that_dies_does_not_take_its_counts_along(group: Group) -> None:
    async def go() -> None:
        async with group.of("ns1", "ns2") as (one, two):
            await post(one, "a", signal(number=5))
            await post(two, "b", signal(number=7))
            await sees(two, 12)
            one.link.cut()
            group.store.sums.clear()
            await two.services.signals.close()
            file, _ = SignalFile.open(two.services.signals._directory, time.time())
            rows = file.all_counts(DAY, time.time() - 2 * DAY, time.time() + DAY)
            assert sum(number for _, _, counts in rows for number in counts.values()) == 12
            file.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("300/0/x", {"c": {}}),
        ("300/7/1", {"c": {}}),
        ("heard/1", ["x"]),
        ("heard/1", {"h": {NAME: {"mta1": "now"}}}),
        ("NOW", {"c": {NAME: {"mta1": {"": {"zz": {"google": 5}}}}}}),
        ("NOW", {"c": {NAME: {"mta1": {"": {"d-101": {"google": -5}}}}}}),
        ("NOW", {"c": {NAME: {"mta1": {"": {"d-101": {"google": 1.5}}}}}}),
        ("NOW", {"c": {NAME: {"mta1\n": {"": {"d-101": {"google": 1}}}}}}),
        ("NOW", 7),
        ("later/1", {"what": "ever"}),
    ],
)
def test_what_makes_no_sense_is_skipped(group: Group, field: str, content: JsonValue) -> None:
    async def go() -> None:
        async with group.of("ns1") as (one,):
            field_ = field.replace("NOW", f"300/{int(time.time()) // 300 * 300}/1")
            sums: Mapping[str, JsonValue] = {field_: content}
            one.link.events.on_sums("ns9", sums)
            good: JsonValue = {"c": {NAME: {"mta1": {"": {"d-101": {"google": 3}}}}}}
            one.link.events.on_sums("ns8", {f"300/{int(time.time()) // 300 * 300}/2": good})
            await sees(one, 3)

    asyncio.run(go())


async def sent(member: Rig, batch: str) -> bool:
    """Post a batch of a number of its own; return whether it was taken."""
    try:
        await post(member, batch, signal(number=int(batch)))
    except AwayError:
        await asyncio.sleep(0.001)
        return False
    return True


@pytest.mark.parametrize("seed", range(3))
def test_batches_that_are_sent_again_and_again_count_once(group: Group, seed: int) -> None:
    """Senders try any server till one takes a batch, and some do not hear that; links break meanwhile."""
    chance = random.Random(seed)

    async def go() -> None:
        async with group.of("ns1", "ns2", "ns3") as members:
            batches = [str(2**number) for number in range(12)]
            for _ in range(60):
                one = chance.choice(members)
                if chance.random() < 0.2:
                    (one.link.cut if one.link.state.connected else one.link.connect)()
                await sent(one, chance.choice(batches))
            for one in members:
                one.link.connect()
            for batch in batches:
                while not await sent(chance.choice(members), batch):
                    pass
            for one in members:
                await sees(one, 2**12 - 1)

    asyncio.run(go())
