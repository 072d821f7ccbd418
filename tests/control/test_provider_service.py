"""Who runs recipients' mail: what the routes worker is told, bounds, outages, restarts."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest

from geodns.control import provider_service
from geodns.control.provider_book import KEPT, RETRY
from geodns.control.provider_service import ProviderService
from geodns.model.hosts import Endpoint
from geodns.model.providers import LookedUp
from geodns.responder.route_table import KnownProvider
from geodns.serve.control_link import Worker
from geodns.serve.frames import ProviderAsked, WorkerStarted
from geodns.signals.mail_exchanges import MailExchanges, MxError, MxResolver
from tests.controlling import until
from tests.servicing import Rig
from tests.signals.mail_resolver import mail_resolver

GOOGLE = MailExchanges(("aspmx.l.google.com.",), 3600)


class Resolver(MxResolver):
    """A resolver that says what a test wants, once it may.

    Attributes:
        says: by domain; others have no mail servers.
        fails: whether it answers nothing.
        asked: domains, in their order.
        most: that it was asked for at a time.

    """

    def __init__(self) -> None:
        super().__init__()
        self.says: dict[str, MailExchanges] = {}
        self.fails = False
        self.asked: list[str] = []
        self.may = asyncio.Event()
        self.may.set()
        self.now = self.most = 0

    async def exchanges(self, domain: str) -> MailExchanges:
        self.asked.append(domain)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.may.wait()
        finally:
            self.now -= 1
        if self.fails:
            raise MxError("the resolver answers SERVFAIL")
        return self.says.get(domain, MailExchanges((), 60))


class Desk:
    """The service of a rig, with a resolver of the test's and a routes worker that hears what it is told."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        rig.workers["routes"] = Worker(1)
        self.resolver = Resolver()
        services = rig.services
        self.service = ProviderService(
            self.resolver, services.workers, services.persistence, services.clock, services.metrics
        )

    def ask(self, *domains: str) -> None:
        for domain in domains:
            self.service._on_message(ProviderAsked("routes", domain))

    def told(self, domain: str) -> KnownProvider | None:
        """What the worker was told last."""
        found = [one.providers[domain] for one in self.rig.told if domain in one.providers]
        return found[-1] if found else None

    async def hears(self, domain: str) -> KnownProvider:
        await until(lambda: self.told(domain))
        found = self.told(domain)
        assert found is not None
        return found

    async def settled(self) -> None:
        service = self.service
        await until(lambda: service._retelling is None or service._retelling.done())
        await until(lambda: not service.waiting and service._telling is None)

    def count(self, result: str) -> float | None:
        return self.rig.metric("geodns_provider_lookups_total", result=result)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    found = Rig(tmp_path)
    yield found
    found.close()


def run(rig: Rig, test: Callable[[Desk], Awaitable[None]]) -> None:
    async def beside() -> None:
        desk = Desk(rig)
        try:
            await test(desk)
        finally:
            await desk.service.close()

    asyncio.run(beside())


def test_the_worker_is_told_what_it_asks_for(rig: Rig) -> None:
    async def test(desk: Desk) -> None:
        desk.resolver.says["a.example"] = GOOGLE
        began = time.time()
        desk.ask("a.example", "b.example", "gmail.com", "no domain", "x" * 1000)
        google, nobody = await desk.hears("a.example"), await desk.hears("b.example")
        assert (google.provider, nobody.provider) == ("google", "")
        assert 3600 <= google.fresh - began < 3700
        assert KEPT <= google.until - began < KEPT + 100
        assert (await desk.hears("gmail.com")).provider == "google"
        assert (await desk.hears("no domain")).provider == ""
        await desk.settled()
        assert desk.resolver.asked == ["a.example", "b.example"]
        assert desk.told("x" * 1000) is None
        assert (desk.count("found"), desk.count("nobody"), desk.count("failed")) == (1, 1, 0)
        desk.rig.told.clear()
        desk.ask("a.example")
        assert await desk.hears("a.example") == google
        assert len(desk.resolver.asked) == 2, "it is still fresh"

    run(rig, test)


def test_a_domain_that_many_ask_for_is_looked_up_once(rig: Rig) -> None:
    async def test(desk: Desk) -> None:
        desk.resolver.may.clear()
        desk.resolver.says["a.example"] = GOOGLE
        desk.ask(*["a.example"] * 100)
        waiting = [asyncio.create_task(desk.service.provider_of("A.example.", 60)) for _ in range(3)]
        await until(lambda: desk.service._done)
        assert desk.service.waiting == 1
        desk.resolver.may.set()
        assert await asyncio.gather(*waiting) == ["google"] * 3
        assert desk.resolver.asked == ["a.example"]

    run(rig, test)


def test_who_cannot_wait_is_told_later(rig: Rig) -> None:
    async def test(desk: Desk) -> None:
        desk.resolver.may.clear()
        desk.resolver.says["a.example"] = GOOGLE
        assert await desk.service.provider_of("a.example", 0) is None
        desk.resolver.may.set()
        await desk.settled()
        assert await desk.service.provider_of("a.example", 0) == "google"
        assert await desk.service.provider_of("hotmail.com", 0) == "microsoft"
        assert await desk.service.provider_of("[192.0.2.1]", 0) == ""

    run(rig, test)


def test_crowds_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_service, "WAITING", 40)
    monkeypatch.setattr(provider_service, "TOGETHER", 5)

    async def test(desk: Desk) -> None:
        desk.resolver.may.clear()
        desk.ask(*(f"x{number}.example" for number in range(100)))
        assert desk.service.waiting == 45
        assert desk.count("dropped") == 55
        dropped = await desk.hears("x99.example")
        assert not dropped.learned
        assert dropped.until < time.time() + 10
        desk.resolver.may.set()
        await desk.settled()
        assert desk.resolver.most == 5
        assert len(desk.resolver.asked) == 45
        desk.ask("x99.example")
        await desk.settled()
        assert desk.resolver.asked[-1] == "x99.example"

    run(rig, test)


def test_so_many_a_second_and_no_more(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(provider_service, "time", SimpleNamespace(time=time.time, monotonic=lambda: now))
    monkeypatch.setattr(provider_service, "A_SECOND", 20)

    async def test(desk: Desk) -> None:
        nonlocal now
        desk.ask(*(f"x{number}.example" for number in range(100)))
        for second in range(1, 6):
            await until(lambda: not desk.service._running)
            assert len(desk.resolver.asked) == 20 * second
            now += 1.0
            desk.service._go_on()
        await desk.settled()
        assert len(desk.resolver.asked) == 100

    run(rig, test)


def test_while_the_resolver_fails_the_last_answer_holds_and_it_is_an_alert(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
    monkeypatch.setattr(provider_service, "time", clock)

    async def test(desk: Desk) -> None:
        nonlocal now
        desk.resolver.says["a.example"] = GOOGLE
        desk.ask("a.example")
        learned = await desk.hears("a.example")
        desk.resolver.fails = True
        now += 4000
        for number in range(5):
            now += 20
            desk.ask("a.example", f"x{number}.example")
            await desk.settled()
        last = desk.told("a.example")
        assert last is not None
        assert (last.provider, last.until) == ("google", learned.until)
        assert desk.resolver.asked.count("a.example") < 6, "it is not asked for all the time"
        unknown = desk.told("x4.example")
        assert unknown == KnownProvider("", now + RETRY[0], now + RETRY[0])
        (alert,) = desk.service.alerts()
        for part in ("the resolver answers SERVFAIL", "`routes_resolver`", "7 days", "/etc/resolv.conf"):
            assert part in alert.text
        desk.resolver.fails = False
        now += 31
        desk.ask("x4.example")
        await desk.settled()
        assert list(desk.service.alerts()) == []

    run(rig, test)


def test_a_fault_of_ours_is_a_look_up_that_failed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: str) -> MailExchanges:
        await asyncio.sleep(0)
        raise ValueError("broken")

    async def test(desk: Desk) -> None:
        monkeypatch.setattr(desk.resolver, "exchanges", broken)
        desk.ask("a.example")
        assert not (await desk.hears("a.example")).learned
        assert "a fault of ours while looking up" in caplog.text
        assert desk.count("failed") == 1

    run(rig, test)


def test_what_was_known_outlasts_the_process_and_a_new_worker_is_told_all_of_it(rig: Rig) -> None:
    async def before(desk: Desk) -> None:
        desk.resolver.says["a.example"] = GOOGLE
        desk.ask("a.example", "b.example")
        await desk.settled()

    async def after(desk: Desk) -> None:
        assert desk.service.known == 2
        desk.rig.told.clear()
        desk.resolver.fails = True
        desk.service._on_message(WorkerStarted("udp0", 1, 0))
        assert desk.service._retelling is None
        desk.service._on_message(WorkerStarted("routes", 1, 0))
        await desk.settled()
        assert {domain for one in desk.rig.told for domain in one.providers} == {
            "a.example",
            "b.example",
        }
        assert (await desk.hears("a.example")).provider == "google"
        assert desk.resolver.asked == []

    run(rig, before)
    rig.services.persistence.write()
    assert rig.store.load_providers().keys() == {"a.example", "b.example"}
    run(rig, after)


def test_many_are_told_in_batches(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_service, "BATCH", 10)

    async def test(desk: Desk) -> None:
        domains = {f"x{number}.example" for number in range(35)}
        desk.ask(*domains)
        await desk.settled()
        desk.rig.told.clear()
        desk.service._on_message(WorkerStarted("routes", 1, 0))
        await desk.settled()
        assert [len(one.providers) for one in desk.rig.told] == [10, 10, 10, 5]
        assert {domain for one in desk.rig.told for domain in one.providers} == domains

    run(rig, test)


def test_a_server_without_a_routes_worker_tells_nobody(rig: Rig) -> None:
    async def test(desk: Desk) -> None:
        del desk.rig.workers["routes"]
        desk.resolver.says["a.example"] = GOOGLE
        assert await desk.service.provider_of("a.example", 60) == "google"
        assert desk.rig.told == []

    run(rig, test)


def test_only_what_has_changed_is_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[set[str], set[str]]] = []
    save = rig.store.save_providers

    def noted(known: dict[str, LookedUp], gone: set[str]) -> None:
        written.append((set(known), set(gone)))
        save(known, gone)

    monkeypatch.setattr(rig.store, "save_providers", noted)
    now = time.time()
    clock = SimpleNamespace(time=lambda: now, monotonic=time.monotonic)
    monkeypatch.setattr(provider_service, "time", clock)

    async def test(desk: Desk) -> None:
        nonlocal now
        for domains in (("a.example", "b.example"), ("c.example",), ()):
            desk.ask(*domains)
            await desk.settled()
            desk.service.keep()
            rig.services.persistence.write()
        now += KEPT + 1
        desk.service.keep()
        rig.services.persistence.write()

    run(rig, test)
    assert written == [
        ({"a.example", "b.example"}, set()),
        ({"c.example"}, set()),
        (set(), {"a.example", "b.example", "c.example"}),
    ]
    assert rig.store.load_providers() == {}


def test_a_real_resolver_is_asked(rig: Rig) -> None:
    async def test(desk: Desk) -> None:
        with mail_resolver() as server:
            server.domains["a.example"] = ["10 a-example.mail.protection.outlook.com."]
            desk.service._resolver = MxResolver(Endpoint(address=ip_address("127.0.0.1"), port=server.port))
            desk.ask("a.example")
            assert (await desk.hears("a.example")).provider == "microsoft"

    run(rig, test)
