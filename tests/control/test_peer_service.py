"""How a server asks the others: who is this one, who is away, what is taken over; over real sockets."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from geodns.config.settings import Settings
from geodns.config.tokens import token_of
from geodns.control import known_peers, peer_service, peers
from geodns.control.order_service import OrderService
from geodns.control.peer_service import ANSWER, PATH, PeerService
from geodns.model.shared import SharedOrder
from geodns.model.state import HealthState, Verdict
from geodns.signals.http_client import MAX_BODY
from tests.sample_zones import NAME
from tests.servicing import Rig

SOON = 30.0
"""Seconds that a test may take on a busy machine."""
VERSION = {"counter": 2, "id": "0" * 32}
DRAINED = {
    "forced": "drained",
    "reason": "disk",
    "author": "ops",
    "since": 1.0,
    "until": None,
    "badness": None,
}
ORDER = {"zone": NAME, "host": "mta1", "kind": "state", "version": VERSION, "node": "ns2", "at": 1.0}
STATE = {"geodns_state": 1, "node": "ns2", "orders": [ORDER | {"content": DRAINED}]}


class FakeOrders:
    """Holds what is taken; its digest is the others' afterwards.

    Attributes:
        taken: the keys of orders, by who told them.
        offset: of the own clock.

    """

    def __init__(self) -> None:
        self.taken: list[tuple[str, list[tuple[str, str, str]]]] = []
        self.offset = 0.0

    def digest(self) -> str:
        return "some" if self.taken else "none"

    def set_clock_offset(self, seconds: float) -> None:
        self.offset = seconds

    async def shared_changed(
        self, orders: Sequence[SharedOrder], source: str, *, whole: bool = False
    ) -> None:
        del whole
        await asyncio.sleep(0)
        self.taken.append((source, [one.key for one in orders]))


class FakePeer:
    """A name server that says what a test wants.

    Attributes:
        report: what it says of itself; `clock` and `orders` are beside this server's.
        answers: statuses or bodies instead, by path.
        asked: paths with their queries.
        tokens: that were shown.
        pause: seconds before each answer.

    """

    def __init__(self, **report: Any) -> None:
        self.report: dict[str, Any] = {"node": "ns2", "started": 5.0} | report
        self.own: dict[str, Any] = {}
        self.answers: dict[str, int | bytes] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.pause = self.ahead = 0.0
        self.states: dict[str, dict[str, str]] = {}
        self.url = ""

    async def page(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        self.tokens.add(request.headers.get("Authorization"))
        await asyncio.sleep(self.pause)
        answer = self.answers.get(request.path)
        if isinstance(answer, int):
            return web.Response(status=answer)
        if answer is not None:
            return web.Response(body=answer)
        match request.path:
            case "/api/v1/peer":
                return web.json_response(self.own | {"clock": time.time() + self.ahead} | self.report)
            case "/api/v1/peer/states":
                return web.json_response({"states": self.states})
            case "/api/v1/state":
                return web.json_response(STATE)
        return web.Response(status=404)


class Lab:
    """A server under test and the others.

    Attributes:
        rig: its services, of which all but the peers are as ever.
        orders: what it takes.

    """

    def __init__(self, rig: Rig, service: PeerService, orders: FakeOrders, others: list[FakePeer]) -> None:
        self.rig = rig
        self.service = service
        self.orders = orders
        self.others = others
        said = json.loads(service.report().model_dump_json())
        for one in others:
            one.own = said

    async def look(self, later: float = 0.0) -> None:
        """Ask once, and compare as so many seconds later."""
        await self.service.look()
        self.service.compare(time.monotonic() + later)

    def texts(self) -> list[str]:
        return [one.text for one in self.service.alerts()]


Test = Callable[[Lab], Awaitable[None]]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    one = Rig(tmp_path)
    one.serve()
    one.all_are_up()
    yield one
    one.close()


@asynccontextmanager
async def listening(other: FakePeer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", other.page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        other.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield other.url
    finally:
        await runner.cleanup()


def run(rig: Rig, test: Test, *others: FakePeer, **settings: Any) -> None:
    """Run a test with other servers, and a URL at which nobody is where `gone` is set."""

    async def all_of_it() -> None:
        async with asyncio.timeout(SOON):
            await _with(rig, test, list(others), [], settings)

    asyncio.run(all_of_it())


async def _with(
    rig: Rig, test: Test, others: list[FakePeer], urls: list[str], settings: dict[str, Any]
) -> None:
    if len(urls) < len(others):
        async with listening(others[len(urls)]) as url:
            await _with(rig, test, others, [*urls, url], settings)
        return
    extra = settings.pop("extra", ())
    known = Settings(zones=rig.file.parent, node="ns1", servers=(*urls, *extra), **settings)
    orders, services = FakeOrders(), rig.services
    service = PeerService(
        known, services.cluster, services.zones, services.watchdog, cast(OrderService, orders)
    )
    try:
        await test(Lab(rig, service, orders, others))
    finally:
        await service.close()


# --- who is who -----------------------------------------------------------------------------------------


def test_a_server_alone_asks_nobody(rig: Rig) -> None:
    async def test(lab: Lab) -> None:
        await lab.service.begin()
        await lab.service.watch()  # ends at once
        assert lab.service.views() == []
        assert lab.texts() == []
        assert "peers" not in json.dumps(lab.rig.services.peers.views())

    run(rig, test)


def test_a_server_that_finds_itself_alone_asks_no_more(rig: Rig) -> None:
    itself = [FakePeer(), FakePeer()]

    async def test(lab: Lab) -> None:
        for one in itself:
            one.report = {}
        await lab.service.watch()
        assert lab.service.views() == []
        assert [one.asked for one in itself] == [[PATH]] * 2

    run(rig, test, *itself)


def test_who_there_should_be(rig: Rig) -> None:
    """Each finds itself by its node; who has not told his is counted."""
    itself, other, silent = FakePeer(), FakePeer(), FakePeer()

    async def test(lab: Lab) -> None:
        itself.report = {}
        other.report = {"node": "ns2"}
        silent.answers[PATH] = 503
        assert lab.service.roll() == (set(), 2), "nobody was asked yet"
        await lab.service.look()
        assert lab.service.roll() == ({"ns1", "ns2"}, 1)

    run(rig, test, itself, other, silent)


def test_a_list_of_this_server_alone_names_nobody(rig: Rig) -> None:
    itself = FakePeer()

    async def test(lab: Lab) -> None:
        itself.report = {}
        assert lab.service.roll() == (None, 0)
        await lab.service.look()
        assert lab.service.roll() == (None, 0)

    run(rig, test, itself)


def test_another_is_shown_by_its_name_once_and_this_one_not(rig: Rig) -> None:
    itself, first, second = FakePeer(), FakePeer(version="9.9"), FakePeer(version="9.9")

    async def test(lab: Lab) -> None:
        itself.report = {}
        await lab.look()
        (one,) = lab.service.views()
        assert (one.name, one.version, one.error) == ("ns2", "9.9", None)
        assert one.url in {first.url, second.url}
        assert one.zones.keys() == {NAME}
        assert one.offset == pytest.approx(0, abs=2)
        assert lab.texts() == []

    run(rig, test, itself, first, second)


def test_a_second_server_of_our_name_is_a_warning(rig: Rig) -> None:
    async def test(lab: Lab) -> None:
        lab.others[0].report = {"started": 5.0}
        await lab.look()
        assert [one.name for one in lab.service.views()] == [lab.others[0].url]
        (text,) = lab.texts()
        assert text == (
            f"{lab.others[0].url} is another server that also calls itself ns1: give each a `node` of its own"
        )
        assert lab.others[0].asked == [PATH]

    run(rig, test, FakePeer())


def test_two_others_of_one_name_are_a_warning(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_peers, "SILENT", 0.0)

    async def test(lab: Lab) -> None:
        await lab.look()
        (text,) = lab.texts()
        assert text.endswith("are two servers with one name: give each a `node` of its own")

    run(rig, test, FakePeer(), FakePeer(started=6.0))


# --- who is away ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(503, "status 503 Service Unavailable", id="503"),
        pytest.param(401, "(have all servers the same `read_token`, or `token`?)", id="another-token"),
        pytest.param(404, "Not Found (is it a geodns of an earlier version?)", id="earlier"),
        pytest.param(b"<html>", "does not speak as a geodns of this version does", id="no-json"),
        pytest.param(b'{"node": "ns2"}', "(version: Field required)", id="half"),
        pytest.param(b"[" * 100_000, "does not speak as a geodns", id="deep"),
        pytest.param(b" " * (MAX_BODY + 1), "the answer is longer than 1 MiB", id="long"),
    ],
)
def test_a_server_that_gives_no_report(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: int | bytes, expected: str
) -> None:
    monkeypatch.setattr(known_peers, "SILENT", 0.0)

    async def test(lab: Lab) -> None:
        lab.others[0].answers[PATH] = answer
        await lab.look()
        (one,) = lab.service.views()
        assert one.name == lab.others[0].url
        assert expected in (one.error or "")
        assert expected in lab.texts()[0]

    run(rig, test, FakePeer())


def test_one_that_dies_is_told_after_a_while_and_keeps_its_name(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(lab: Lab) -> None:
        await lab.look()
        lab.others[0].answers[PATH] = 503
        await lab.look()
        assert lab.texts() == []
        assert [(one.name, bool(one.error), bool(one.seen)) for one in lab.service.views()] == [
            ("ns2", True, True)
        ]
        monkeypatch.setattr(known_peers, "SILENT", 0.0)
        assert lab.texts()[0].startswith(f"server ns2 ({lab.others[0].url}) has not answered since ")
        del lab.others[0].answers[PATH]
        await lab.look()
        assert lab.texts() == []

    run(rig, test, FakePeer())


# --- what is taken over ---------------------------------------------------------------------------------


def test_a_start_takes_orders_from_whoever_answers(rig: Rig) -> None:
    broken = FakePeer()
    broken.answers["/api/v1/state"] = b"[[["

    async def test(lab: Lab) -> None:
        await lab.service.begin()
        assert lab.orders.taken == [(lab.others[0].url, [(NAME, "mta1", "state")])]

    run(rig, test, FakePeer(), broken, extra=("http://127.0.0.1:1",))


def test_a_start_waits_for_nobody_longer_than_2_s(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_service, "ANSWER", 0.2)
    slow = FakePeer()
    slow.pause = 5.0

    async def test(lab: Lab) -> None:
        begun = time.monotonic()
        await lab.service.begin()
        assert time.monotonic() - begun < slow.pause
        assert [source for source, _ in lab.orders.taken] == [lab.others[0].url]

    assert ANSWER == 2.0
    run(rig, test, FakePeer(), slow)


def test_orders_that_differ_are_taken_over_once(rig: Rig) -> None:
    async def test(lab: Lab) -> None:
        lab.others[0].report["orders"] = "more"
        for _ in range(3):  # they stay different: asking again and again brings nothing
            await lab.look()
        assert [source for source, _ in lab.orders.taken] == ["ns2"]
        lab.others[0].report["orders"] = "even more"
        await lab.look()
        assert len(lab.orders.taken) == 2

    run(rig, test, FakePeer())


def test_orders_that_are_alike_are_not_asked_for(rig: Rig) -> None:
    async def test(lab: Lab) -> None:
        await lab.look()
        assert lab.others[0].asked == [PATH]

    run(rig, test, FakePeer())


def test_a_fault_with_one_server_leaves_the_others(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(lab: Lab) -> None:
        async def broken(*_: object, **__: object) -> None:
            await asyncio.sleep(0)
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(lab.orders, "shared_changed", broken)
        lab.others[0].report["orders"] = "more"
        await lab.look(peers.FILES_FOLLOW + 1)
        assert [one.name for one in lab.service.views() if one.error is None] == ["ns2", "ns3"]
        assert lab.texts()[0].startswith("ns1 and ns2 hold different orders")

    run(rig, test, FakePeer(), FakePeer(node="ns3"))


# --- where they differ ----------------------------------------------------------------------------------


def test_hosts_that_are_down_here_alone(rig: Rig) -> None:
    cluster = rig.services.cluster
    target = next(one for one in cluster.targets if (NAME, "mta1") in cluster.hosts_of(one))
    cluster.apply_verdicts({target: Verdict(HealthState.DOWN)}, time.time())

    async def test(lab: Lab) -> None:
        other = lab.others[0]
        other.report["verdicts"] = {NAME: "all up"}
        other.states = {NAME: {"mta1": "up", "mta2": "up"}}
        await lab.look()
        assert other.asked == [PATH, f"{peer_service.STATES_PATH}?zones={NAME}"]
        lab.service.compare(time.monotonic() + peers.FILES_FOLLOW + 1)
        assert lab.texts() == []
        lab.service.compare(time.monotonic() + peers.PROBES_FOLLOW + 1)
        (text,) = lab.texts()
        assert text.startswith(f"host mta1.{NAME} is up at ns2 and down at ns1, since ")
        (alert,) = lab.service.alerts()
        assert alert.resolved == f"ns1 and ns2 agree again: verdicts of {NAME}"
        assert alert.still_there()
        other.answers[PATH] = 503
        await lab.look()
        assert not alert.still_there()  # nobody knows: no event that they agree

    run(rig, test, FakePeer())


def test_two_urls_of_one_server_are_one_warning(rig: Rig) -> None:
    async def test(lab: Lab) -> None:
        zones = {NAME: {"digest": "f" * 32, "serial": 1}}
        keys = set()
        for one in lab.others:
            one.report["zones"] = zones
        for first, second in (lab.others, lab.others[::-1]):
            first.pause, second.pause = 0.0, 0.05  # now one answers last, now the other
            await lab.look(peers.FILES_FOLLOW + 1)
            (alert,) = lab.service.alerts()
            assert f"zone {NAME} differs at ns1" in alert.text
            keys.add(alert.key)
        assert len(keys) == 1

    run(rig, test, FakePeer(), FakePeer())


def test_a_clock_that_is_off(rig: Rig) -> None:
    async def test(lab: Lab) -> None:
        for one in lab.others:
            one.ahead = 60.0
        await lab.look(peers.FILES_FOLLOW + 1)
        assert len(lab.texts()) == 2
        assert lab.texts()[0].startswith(
            "the clock of ns2 is 60 s ahead of that of ns1: let NTP set both, since"
        )
        assert lab.orders.offset == lab.service.known.clock_ahead == pytest.approx(-60, abs=2)

    run(rig, test, FakePeer(), FakePeer(node="ns3"))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"token": "write"}, "Bearer write", id="one-for-all"),
        pytest.param({"token": "write", "read_token": "read"}, "Bearer read", id="the-one-that-may-least"),
    ],
)
def test_the_token_that_is_shown(rig: Rig, tokens: dict[str, str], expected: str | None) -> None:
    async def test(lab: Lab) -> None:
        await lab.look()
        assert lab.others[0].tokens == {expected}

    scopes = {"token": "control", "read_token": "read"}
    given: dict[str, Any] = {key: (token_of(one, cast(Any, scopes[key])),) for key, one in tokens.items()}
    run(rig, test, FakePeer(), **given)


def test_nothing_that_a_server_says_ends_the_watch(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_service, "EVERY", 0.01)
    rounds: list[int] = []

    async def test(lab: Lab) -> None:
        async def broken() -> None:
            await asyncio.sleep(0)
            rounds.append(1)
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(lab.service, "look", broken)
        task = asyncio.ensure_future(lab.service.watch())
        while len(rounds) < 3:  # noqa: ASYNC110 - bounded by SOON
            await asyncio.sleep(0.01)
        task.cancel()

    run(rig, test, FakePeer())
