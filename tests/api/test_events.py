"""Events over real HTTP on loopback: lists, and streams that end, resume and are bounded."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr
from yarl import URL

from geodns.api import events as events_
from geodns.api.app import make_app
from geodns.api.events import event_json
from geodns.api.responses import RefusedError
from geodns.config.tokens import Token
from geodns.storage.event_file import Event
from geodns.storage.event_log import EventLog
from tests.servicing import FakeServices

STREAM = "/api/v1/events/stream"
Talk = Callable[[EventLog, aiohttp.ClientSession], Awaitable[None]]


TOKEN = Token(scope="control", secret=SecretStr("s3cret"))


def serve(directory: Path, talk: Talk, tokens: tuple[Token, ...] = ()) -> None:
    """Run an HTTP side with events while `talk` talks to it."""

    async def run() -> None:
        events = EventLog(directory)
        await events.open()
        fake = FakeServices()
        app = make_app(fake.services(events=events), tokens)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0]
            async with asyncio.timeout(20), aiohttp.ClientSession(f"http://{host}:{port}") as session:
                await talk(events, session)
        finally:
            events.end()
            await runner.cleanup()
            await events.close()
            fake.close()

    asyncio.run(run())


async def frame(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The next frame of a stream: its fields; a comment's name is empty."""
    found: dict[str, str] = {}
    while line := (await response.content.readline()).decode().rstrip("\n"):
        name, _, value = line.partition(":")
        found[name] = value.removeprefix(" ")
    return found


async def event(response: aiohttp.ClientResponse) -> Any:
    while "data" not in (found := await frame(response)):
        assert found, "the stream has ended"
    shown = json.loads(found["data"])
    assert (found["id"], found["event"]) == (str(shown["id"]), "event")
    return shown


def test_an_event_as_json() -> None:
    data = {"before": "up", "checks": [{"detail": "→"}]}
    event = Event(1, 1_795_417_200.0, "state", "z", None, None, "ann", "søndag", "→ ”text”", data)
    assert event_json(event) == {
        "id": 1,
        "at": "2026-11-23T07:00:00.000Z",
        "kind": "state",
        "zone": "z",
        "host": None,
        "pool": None,
        "author": "ann",
        "reason": "søndag",
        "text": "→ ”text”",
        "data": data,
    }


def test_a_list_of_what_has_happened(tmp_path: Path) -> None:
    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        async def get(query: str = "") -> tuple[str, int]:
            async with session.get(f"/api/v1/events{query}") as response:
                assert response.status == 200
                shown = await response.json()
                return "".join(one["text"] for one in shown["events"]), shown["last"]

        assert await get() == ("", 0)
        told = [
            events.tell("state", "a", zone="z1", host="h"),
            events.tell("forced", "b", zone="z2", host="h"),
            events.tell("server", "c"),
        ]
        first, second, last = (one.id for one in told)
        assert await get() == ("abc", last)
        assert await get("?limit=2") == ("bc", last)
        assert await get("?after=0&limit=2") == ("ab", second)
        assert await get(f"?after={second}&limit=2") == ("c", last)
        assert await get(f"?after={last}") == ("", last)
        assert await get(f"?after={last + 1_000_000}") == ("", last)
        assert await get(f"?after={first}&kind=state") == ("", last)
        assert await get("?kind=state,server&since=1h") == ("ac", last)
        assert await get("?kind=state&kind=forced") == ("ab", last)
        assert await get("?host=H.Z2.") == ("b", last)
        assert await get("?zone=z1") == ("a", last)
        assert await get("?since=2099-01-01T00:00:00Z") == ("", last)

    serve(tmp_path, talk)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        pytest.param("/api/v1/events?since=yesterday", "write a duration", id="since"),
        pytest.param("/api/v1/events?kind=stat", "write some of state, forced", id="kind"),
        pytest.param("/api/v1/events?limit=0", "`limit` is 1 to 1000", id="limit"),
        pytest.param("/api/v1/events?limit=ten", "no whole number", id="limit no number"),
        pytest.param("/api/v1/events?after=-1", "no whole number", id="after"),
        pytest.param(f"{STREAM}?kind=x", "`kind` 'x' is none", id="stream kind"),
    ],
)
def test_what_is_asked_wrongly(tmp_path: Path, path: str, says: str) -> None:
    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        del events
        async with session.get(path) as response:
            assert response.status == 400
            assert says in (await response.json())["error"]

    serve(tmp_path, talk)


@pytest.mark.parametrize("name", ["%ff", "%ed%a0%80", "%00", "x" * 3000])
def test_names_of_any_bytes_are_names_of_nothing(tmp_path: Path, name: str) -> None:
    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        told = events.tell("server", "x")
        for query in (f"zone={name}", f"host={name}", f"after=0&zone={name}"):
            async with session.get(URL(f"/api/v1/events?{query}", encoded=True)) as response:
                assert (response.status, await response.json()) == (200, {"events": [], "last": told.id})

    serve(tmp_path, talk)


def test_a_stream_gives_what_comes_and_resumes_where_it_was(tmp_path: Path) -> None:
    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        events.tell("server", "before")
        async with session.get(STREAM) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert await frame(response) == {"retry": str(events_.RETRY)}
            told = events.tell("state", "zwölf → 1", zone="z", data={"before": "up"})
            assert await event(response) == event_json(told)
        events.tell("server", "while away")
        async with session.get(STREAM, headers={"Last-Event-ID": str(told.id)}) as response:
            assert (await event(response))["text"] == "while away"
            events.tell("server", "then")
            assert (await event(response))["text"] == "then"
        async with session.get(f"{STREAM}?after=0&kind=state") as response:
            assert await event(response) == event_json(told)

    serve(tmp_path, talk)


def test_a_stream_has_a_comment_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_, "COMMENT_EVERY", 0.1)
    monkeypatch.setattr(events_, "LOOK_EVERY", 0.05)

    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        del events
        async with session.get(STREAM) as response:
            await frame(response)
            assert await frame(response) == {"": "still here"}
            assert await frame(response) == {"": "still here"}

    serve(tmp_path, talk)


def test_streams_end_when_the_server_does_with_all_that_was_told(tmp_path: Path) -> None:
    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        async with session.get(STREAM) as response:
            await frame(response)
            for number in range(250):
                events.tell("server", str(number))
            events.end()
            text = (await response.content.read()).decode()
            assert text.count("data: ") == 250

    serve(tmp_path, talk)


def test_only_so_many_may_follow_and_who_leaves_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_, "STREAMS", 2)
    monkeypatch.setattr(events_, "LOOK_EVERY", 0.05)

    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        del events
        async with session.get(STREAM) as first, session.get(STREAM) as second:
            assert (first.status, second.status) == (200, 200)
            async with session.get(STREAM) as third:
                assert third.status == 503
                assert "try again later" in (await third.json())["error"]
            first.close()
            status = 503
            while status == 503:
                await asyncio.sleep(0.02)
                async with session.get(STREAM) as third:
                    status = third.status
            assert status == 200

    serve(tmp_path, talk)


def test_a_client_that_has_all_places_gives_one_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_, "STREAMS", 3)

    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        del events
        deaf = [await session.get(STREAM) for _ in range(3)]
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(session._base_url, connector=connector) as other,
            other.get(STREAM) as response,
        ):
            assert response.status == 200
        with pytest.raises(aiohttp.ClientError):  # the oldest
            await deaf[0].content.read()
        for one in deaf:
            one.close()
        monkeypatch.setattr(events_, "PER_CLIENT", 0)
        async with session.get(STREAM) as response:
            assert response.status == 503

    serve(tmp_path, talk)


def test_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    def asked(address: str) -> web.Request:
        return cast("web.Request", SimpleNamespace(remote=address, get=lambda _: None))

    followers = {web.StreamResponse(): asked(f"2001:db8::{number:x}") for number in range(events_.PER_CLIENT)}
    with pytest.raises(RefusedError, match="of this address"):
        events_._make_room(followers, asked("2001:db8::ffff"))
    events_._make_room(followers, asked("2001:db8:0:1::1"))


def test_who_shows_a_token_has_the_place_of_one_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_, "STREAMS", 2)
    bearer = {"Authorization": f"Bearer {TOKEN.secret.get_secret_value()}"}

    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        del events

        async def follow(headers: dict[str, str]) -> aiohttp.ClientResponse:
            return await session.get(STREAM, headers=headers)

        async def counted() -> list[str]:
            async with session.get("/metrics") as response:
                lines = (await response.text()).splitlines()
            return [line for line in lines if line.startswith("geodns_event_followers")]

        strangers = [await follow({}) for _ in range(2)]
        known = [await follow(bearer) for _ in range(2)]
        assert [one.status for one in known] == [200, 200]
        for one in strangers:
            with pytest.raises(aiohttp.ClientError):
                await one.content.read()
        assert await counted() == [
            'geodns_event_followers{token="yes"} 2.0',
            'geodns_event_followers{token="no"} 0.0',
        ]
        for headers in ({}, bearer):
            assert (await follow(headers)).status == 503
        for one in known:
            one.close()

    serve(tmp_path, talk, (TOKEN,))


@pytest.mark.parametrize("known", [False, True])
def test_a_token_has_a_place_beside_strangers_of_the_same_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    monkeypatch.setattr(events_, "PER_CLIENT", 1)

    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        del events
        stranger = await session.get(STREAM)
        bearer = {"Authorization": f"Bearer {TOKEN.secret.get_secret_value()}"} if known else {}
        async with session.get(STREAM, headers=bearer) as response:
            assert response.status == (200 if known else 503)
        stranger.close()

    serve(tmp_path, talk, (TOKEN,))


def test_who_takes_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_, "PATIENCE", 0.2)

    async def talk(events: EventLog, session: aiohttp.ClientSession) -> None:
        base = session._base_url
        assert base is not None
        assert base.host is not None
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((base.host, base.port))
            deaf.sendall(f"GET {STREAM}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            for number in range(9_000):  # more than both ends' buffers hold
                events.tell("server", f"{number} {'x' * 1_500}")
            monkeypatch.setattr(events_, "STREAMS", 1)
            statuses: list[int] = []
            while not statuses or statuses[-1] == 503:
                await asyncio.sleep(0.05)
                async with session.get(STREAM) as response:
                    statuses.append(response.status)
            assert statuses[0] == 503, "it was there"
            assert statuses[-1] == 200, "and is no more"

    serve(tmp_path, talk)
