"""`geodns events`: lines, pages, filters; and following over servers that go away."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from geodns.api.app import make_app
from geodns.cli import events as events_
from geodns.cli.client import HttpReply, Server, UnreachableError
from geodns.cli.events import events, line
from geodns.errors import GeodnsError, ServerError
from geodns.storage.event_log import EventLog
from tests.answering import Answering, answering
from tests.servicing import FakeServices


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def event(number: int, text: str = "host mta1.z: up → down (refused)", at: float | None = None) -> Any:
    moment = datetime.fromtimestamp(at or time.time()).astimezone()
    return {"id": number, "at": moment.isoformat(timespec="milliseconds"), "kind": "state", "text": text}


def run(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(events, arguments)
    if isinstance(result.exception, GeodnsError):
        raise result.exception
    return result.exit_code, result.output.splitlines()


def test_a_line_has_the_time_and_another_days_date() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d host mta1\.z: up → down \(refused\)", line(event(1)))
    shown = line(event(1, at=time.time() - 2 * 86400))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d host .*", shown)


def test_without_since_it_asks_for_the_last(fake: Answering) -> None:
    fake.give("GET /api/v1/events", {"events": [event(3, "a"), event(4, "b")], "last": 9})
    status, (first, second) = run("--server", fake.url, "--kind", "state", "--kind", "forced", "--zone", "z")
    assert status == 0
    assert (first[8:], second[8:]) == (" a", " b")
    assert fake.asked[0][1] == "/api/v1/events?limit=50&kind=state,forced&zone=z"


def test_with_since_it_turns_the_pages(fake: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_, "PAGE", 2)
    fake.give(
        "GET /api/v1/events",
        {"events": [event(3, "a"), event(4, "b")], "last": 4},
        {"events": [event(5, "c")], "last": 9},
    )
    status, lines = run("--server", fake.url, "--since", "1h", "--host", "mta1", "--json")
    assert status == 0
    assert [json.loads(one)["text"] for one in lines] == ["a", "b", "c"]
    first, second = (path for _, path, _, _ in fake.asked)
    since = first.partition("since=")[2]
    assert first.startswith("/api/v1/events?after=0&limit=2&host=mta1&since=20")
    assert second == f"/api/v1/events?after=4&limit=2&host=mta1&since={since}"


def test_a_since_that_is_none_is_one_error(fake: Answering) -> None:
    with pytest.raises(GeodnsError, match="write a duration, as 30m"):
        run("--server", fake.url, "--since", "yesterday")
    assert not fake.asked


def test_an_unknown_kind_is_wrong_usage(fake: Answering) -> None:
    status, lines = run("--server", fake.url, "--kind", "stat")
    assert status == 2
    assert "'stat' is not one of" in lines[-1]


# --- several servers --------------------------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[Answering]:
    with answering() as found:
        yield found


def test_events_of_several_servers_are_one_list_in_the_order_of_time(
    fake: Answering, other: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_, "SHOWN", 3)
    now = time.time()
    mine = [event(number, f"mine {number}", now + number) for number in (1, 3, 5)]
    fake.give("GET /api/v1/events", {"events": mine, "last": 5})
    other.give("GET /api/v1/events", {"events": [event(9, "theirs", now + 4)], "last": 9})
    places = [one.url.removeprefix("http://") for one in (fake, other)]
    status, lines = run("--server", f"{fake.url},{other.url}")
    assert status == 0
    assert [(one.split()[0], *one.split()[2:]) for one in lines] == [
        (places[0], "mine", "3"),
        (places[1], "theirs"),
        (places[0], "mine", "5"),
    ]
    status, lines = run("--server", f"{fake.url},{other.url}", "--since", "1h", "--json")
    shown = [json.loads(one) for one in lines]
    assert [(one["server"], one["id"]) for one in shown] == [
        (fake.url, 1), (fake.url, 3), (other.url, 9), (fake.url, 5)
    ]  # fmt: skip


def test_what_happened_is_shown_of_those_that_are_there(fake: Answering) -> None:
    fake.give("GET /api/v1/events", {"events": [event(1, "so it was")], "last": 1})
    result = CliRunner().invoke(events, ["--server", f"http://127.0.0.1:1,{fake.url}"])
    assert result.exit_code == 1
    assert result.stdout.endswith(" so it was\n")
    assert result.stderr.startswith("geodns: http://127.0.0.1:1: nobody listens there")


def test_a_server_that_comes_back_is_followed_as_well(
    fake: Answering, other: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_, "AGAIN", (0.01, 0.02))
    fake.give("GET /api/v1/events", {"events": [], "last": 0})
    fake.give("GET /api/v1/events/stream", {"error": "wait"}, status=503)
    stream = f"data: {json.dumps(event(8, 'then'))}\n\n".encode()
    other.gives["GET /api/v1/events/stream"] = [(200, stream), (403, {"error": "no"})]
    # It is away when the command begins, and there when it is asked again.
    asked = iter([UnreachableError("http://other: away"), None])

    async def first(self: Server, path: str, query: dict[str, str]) -> HttpReply:
        if self.url == other.url:
            trouble = next(asked, None)
            if trouble is not None:
                raise trouble
            return HttpReply(200, {"events": [], "last": 7})
        return await really(self, path, query)

    really = Server.first
    monkeypatch.setattr(Server, "first", first)
    result = CliRunner().invoke(events, ["--server", f"{fake.url},{other.url}", "-f"])
    place = other.url.removeprefix("http://")
    assert [one.split()[0] for one in result.stdout.splitlines()] == [place]
    said = [one for one in result.stderr.splitlines() if "other" in one or other.url in one]
    assert said[:2] == ["geodns: http://other: away", f"geodns: {other.url}: the server is back"]
    assert str(result.exception) == "no"
    positions = [headers["Last-Event-ID"] for _, path, headers, _ in other.asked if "stream" in path]
    assert positions == ["7", "8"]


# --- following ------------------------------------------------------------------------------------------


@asynccontextmanager
async def listening(events: EventLog, port: int = 0) -> AsyncIterator[int]:
    fake = FakeServices()
    app = make_app(fake.services(events=events), ())
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        yield runner.addresses[0][1]
    finally:
        events.end()
        await runner.cleanup()
        fake.close()


def test_it_goes_on_without_a_gap_when_the_server_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_, "AGAIN", (0.02, 0.05))
    said: list[str] = []
    seen: list[str] = []

    async def test() -> None:
        first = EventLog(tmp_path)
        await first.open()
        async with listening(first) as port:
            server = Server(f"http://127.0.0.1:{port}")

            async def watch() -> None:
                async for one in events_.follow(server, 0, {"kind": "server"}, said.append):
                    seen.append(one["text"])  # noqa: PERF401 - one by one, as they come

            task = asyncio.create_task(watch())
            first.tell("server", "one")
            first.tell("state", "not asked for")
            while seen != ["one"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            first.tell("server", "the last word")
        await first.close()
        second = EventLog(tmp_path)
        await second.open()
        second.tell("server", "before it listens")
        while not said:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with listening(second, port):
            second.tell("server", "after")
            while len(seen) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await second.close()

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())
    assert seen == ["one", "the last word", "before it listens", "after"]
    assert said == ["the server is gone (it ended the stream): trying again", "the server is back"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        pytest.param(401, {"error": "no token"}, "no token", id="no token"),
        pytest.param(404, b"<html>", "status 404", id="an older server"),
    ],
)
def test_a_refusal_ends_it(fake: Answering, status: int, body: object, says: str) -> None:
    fake.give("GET /api/v1/events", {"events": [], "last": 0})
    fake.give("GET /api/v1/events/stream", body, status=status)
    with pytest.raises(ServerError, match=says):
        run("--server", fake.url, "--follow")


def test_a_busy_server_is_asked_again(fake: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_, "AGAIN", (0.01, 0.02))
    fake.give("GET /api/v1/events", {"events": [event(7, "before")], "last": 7})
    stream = f"retry: 1000\n\nid: 8\nevent: event\ndata: {json.dumps(event(8, 'then'))}\n\n".encode()
    fake.gives["GET /api/v1/events/stream"] = [
        (503, {"error": "too many"}),
        (200, stream),
        (403, {"error": "no"}),
    ]
    result = CliRunner().invoke(events, ["--server", fake.url, "-f"])
    assert [one[8:] for one in result.stdout.splitlines()] == [" before", " then"]
    assert result.stderr == (
        "geodns: the server is gone (too many): trying again\n"
        "geodns: the server is back\n"
        "geodns: the server is gone (it ended the stream): trying again\n"
    )
    assert str(result.exception) == "no"
    positions = [headers["Last-Event-ID"] for _, path, headers, _ in fake.asked if "stream" in path]
    assert positions == ["7", "7", "8"]
    assert fake.asked[0][1] == "/api/v1/events?limit=10"
