"""Signals over HTTP: what is taken, what is rejected by itself, what is refused whole, and by which token."""

import asyncio
import gzip
import io
import json
import re
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from geodns.api.app import make_app
from geodns.api.signals import MAX_BODY, MAX_SIGNALS, SignalBody, read
from geodns.compiler.compile import Compiled
from geodns.config.times import timestamp
from geodns.config.tokens import Token, token_of
from geodns.control.wall_clock import WallClock
from geodns.errors import StoreError, UsageError
from geodns.model.mail import About, MailEvent
from geodns.signals.replies import Replies
from tests.sample_zones import NAME
from tests.servicing import FakeServices

PATH = "/api/v1/signals"
HOSTS = 'hosts: {mta1: 192.0.2.11, mta2: {address: 192.0.2.12, egress: [203.0.113.12, "2001:db8::12"]}}'
DELIVERED = {"host": "mta1", "event": "delivered", "provider": "google", "count": 5}


class Client(NamedTuple):
    """A client of the HTTP side, and the services behind it."""

    http: "TestClient[web.Request, web.Application]"
    fake: FakeServices

    async def post(self, body: Any, token: str | None = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = headers if token is None else headers | {"Authorization": f"Bearer {token}"}
        async with self.http.post(PATH, data=io.BytesIO(data), headers=shown) as response:
            return response.status, await response.json()

    async def signal(self, **signal: Any) -> tuple[int, Any]:
        """Post one signal in a batch of its own."""
        return await self.post({"batch": f"{time.monotonic_ns()}", "signals": [signal]})

    def events(self, host: str = "mta1") -> dict[str, int]:
        now = time.time()
        total = self.fake.rig.services.signals.total((NAME, host), now - 86400, now + 1)
        return {str(event): number for event, number in total.events.items()}

    def metric(self, name: str, **labels: str) -> float | None:
        return self.fake.rig.metric(name, **labels)


@pytest.fixture
def fake() -> Iterator[FakeServices]:
    made = FakeServices(HOSTS)
    yield made
    made.close()


def run(
    fake: FakeServices, test: Callable[[Client], Awaitable[None]], tokens: tuple[Token, ...] = ()
) -> None:
    async def beside() -> None:
        app = make_app(fake.services(), tokens)
        async with TestClient[web.Request, web.Application](TestServer(app, host="127.0.0.1")) as client:
            try:
                await test(Client(client, fake))
            finally:
                await fake.rig.services.signals.close()

    asyncio.run(beside())


def test_a_batch_is_counted_once(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        body = {"batch": "mta1-7", "signals": [DELIVERED, {**DELIVERED, "event": "elsewhere"}]}
        status, first = await client.post(body)
        assert (status, first["accepted"], first["duplicate"]) == (200, 1, False)
        assert [one["index"] for one in first["rejected"]] == [1]
        assert first["rejected"][0]["error"].startswith("`event`: 'elsewhere': write 'delivered', 'deferred'")
        assert client.events() == {"delivered": 5}
        for again in (
            body,
            {"batch": "mta1-7", "signals": []},
            {"batch": "mta1-7", "signals": [DELIVERED] * 9},
        ):
            status, answer = await client.post(again)
            # One without signals is a heartbeat, which counts nothing anyway.
            expected = {**first, "duplicate": True} if again["signals"] else {"accepted": 0, "rejected": []}
            assert (status, {**answer, **expected}) == (200, answer)
        assert client.events() == {"delivered": 5}
        labels = {"zone": NAME, "event": "delivered", "about": ""}
        assert client.metric("geodns_mail_signals_total", **labels) == 5
        assert client.metric("geodns_mail_signals_rejected_total") == 1
        assert client.metric("geodns_mail_signal_batches_total", outcome="duplicate") == 2

    run(fake, test)


def ago(seconds: float) -> str:
    return timestamp(time.time() - seconds)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        pytest.param({"count": -1}, "`count`: -1: write at least 1", id="negative count"),
        pytest.param({"count": 1.5}, "`count`: 1.5 is no whole number", id="half a count"),
        pytest.param({"count": 10**12}, "`count`: 1000000000000: write at most", id="huge count"),
        pytest.param({"host": "mta9"}, "no host 'mta9' is served", id="unknown host"),
        pytest.param({"zone": "else.example"}, "no zone 'else.example' is served", id="unknown zone"),
        pytest.param({"host": None}, "whose mail was it? write `host` or `egress`", id="nobody's"),
        pytest.param(
            {"host": None, "egress": "192.0.2.12"}, "no host with egress 192.0.2.12", id="unknown egress"
        ),
        pytest.param({"host": None, "egress": "mta1"}, "egress: 'mta1' is no address", id="no address"),
        pytest.param({"at": ago(-9 * 86400)}, "`at` is 77", id="nine days ahead"),
        pytest.param({"queued": ago(-9 * 86400)}, "`queued` is 77", id="comes in within nine days"),
        pytest.param({"at": ago(100 * 86400)}, "`at` is more than 89 days ago", id="last year"),
        pytest.param({"at": "yesterday"}, "`at`: 'yesterday' is no time: write it as", id="no time"),
        pytest.param({"queued": True}, "`queued`: true is no time: write it as", id="no time at all"),
        pytest.param({"at": 1795478390000}, "`at`: 1795478390000 is no time", id="milliseconds"),
        pytest.param({"at": -5}, "`at`: -5 is no time", id="before 1970"),
        pytest.param({"provider": "Google!"}, "`provider`: ", id="no provider"),
        pytest.param({"dsn": "5.x"}, "`dsn`: '5.x': write an enhanced code", id="no code"),
        pytest.param({"delay_s": -1}, "`delay_s`: -1: write at least 0", id="negative delay"),
        pytest.param({"event": "deferred", "attempt": 2}, "write retried", id="deferred twice"),
        pytest.param({"colour": "red"}, "`colour`: not known here", id="unknown key"),
    ],
)
def test_a_wrong_signal_is_rejected_alone(fake: FakeServices, signal: dict[str, Any], expected: str) -> None:
    async def test(client: Client) -> None:
        wrong = {key: value for key, value in (DELIVERED | signal).items() if value is not None}
        status, answer = await client.post({"batch": "1", "signals": [DELIVERED, wrong, DELIVERED]})
        assert (status, answer["accepted"]) == (200, 2)
        ((place, error),) = [(one["index"], one["error"]) for one in answer["rejected"]]
        assert place == 1
        assert expected in error
        assert client.events() == {"delivered": 10}

    run(fake, test)


def test_signals_that_are_no_objects_are_rejected_alone(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        status, answer = await client.post({"batch": "1", "signals": [None, 7, [], "x", DELIVERED]})
        assert (status, answer["accepted"]) == (200, 1)
        assert [one["index"] for one in answer["rejected"]] == [0, 1, 2, 3]

    run(fake, test)


def test_who_sent_it_may_be_said_in_several_ways(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        for whose in (
            {"host": "mta2"},
            {"host": f"MTA2.{NAME}."},
            {"egress": "203.0.113.12"},
            {"egress": "2001:DB8:0::12", "zone": NAME},
            {"host": "mta2", "egress": "198.51.100.1"},  # a source the zone file does not know
        ):
            assert (await client.signal(event="bounced", **whose))[1]["accepted"] == 1
        assert client.events("mta2") == {"bounced": 5}

    run(fake, test)


def test_what_is_told_late_is_in_totals_and_in_no_rate(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        now = time.time()
        for at in (now - 3500, now - 7000, now + 250):
            assert (await client.signal(**DELIVERED, at=at))[1]["accepted"] == 1
        await client.signal(**DELIVERED, at=timestamp(now), queued=timestamp(now - 40 * 3600))
        signals = client.fake.rig.services.signals
        span = now - 3 * 3600, now + 300
        assert signals.total((NAME, "mta1"), *span).events == {MailEvent.DELIVERED: 15}
        assert signals.by_provider((NAME, "mta1"), *span)["google"].first == 10
        assert signals.by_provider((NAME, "mta1"), now - 10 * 86400, now)["google"].first >= 10

    run(fake, test)


def test_a_heartbeat_says_who_is_read(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        signals = client.fake.rig.services.signals
        assert signals.heard((NAME, "mta1")) is None
        body = {"batch": "h", "alive": ["mta1", "203.0.113.12", "mta9"]}
        for _ in range(2):
            status, answer = await client.post(body)
            expected = {"accepted": 0, "rejected": [], "duplicate": False, "strangers": ["mta9"]}
            assert (status, answer) == (200, expected)
        for host in ("mta1", "mta2"):
            heard = signals.heard((NAME, host))
            assert heard is not None
            assert abs(time.time() - heard) < 10

    run(fake, test)


def bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), 1)


@pytest.mark.parametrize(
    ("body", "headers", "status", "expected"),
    [
        pytest.param(b"", {}, 400, "`batch`: missing", id="empty"),
        pytest.param(b"{", {}, 400, "no JSON", id="half"),
        pytest.param(b"\xff\xfe{}", {}, 400, "no JSON", id="not UTF-8"),
        pytest.param(b'{"batch": "1", "signals": [{"text": "\xe9"}]}', {}, 400, "no JSON", id="Latin-1"),
        pytest.param(b"[" * 100_000, {}, 400, "no JSON", id="deep"),
        pytest.param({"batch": "1", "signals": {}}, {}, 400, "`signals`: an object is no list", id="no list"),
        pytest.param({"batch": "1", "more": 1}, {}, 400, "`more`: not known here", id="unknown key"),
        pytest.param({"batch": "", "signals": []}, {}, 400, "`batch`: '': write 1 or more", id="no id"),
        pytest.param(
            {"batch": "1", "signals": [1] * (MAX_SIGNALS + 1)}, {}, 400, "`signals`: a list of", id="too many"
        ),
        pytest.param(b" " * (MAX_BODY + 1), {}, 413, "Entity Too Large", id="5 MB"),
        pytest.param(b" " * (10 << 20), {}, 413, "Entity Too Large", id="10 MB"),
        pytest.param(bomb(100 << 20), {"Content-Encoding": "gzip"}, 413, "Entity Too Large", id="gzip bomb"),
    ],
)
def test_a_wrong_body_is_refused_whole(
    fake: FakeServices, body: Any, headers: dict[str, str], status: int, expected: str
) -> None:
    async def test(client: Client) -> None:
        tracemalloc.start()
        given, answer = await client.post(body, **headers)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert given == status
        assert expected in answer["error"]
        assert most < 64 << 20
        assert (await client.post({"batch": "after", "signals": [DELIVERED]}))[1]["accepted"] == 1
        assert client.events() == {"delivered": 5}

    run(fake, test)


def test_a_packed_batch_is_taken(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        body = gzip.compress(json.dumps({"batch": "1", "signals": [DELIVERED] * 1000}).encode())
        assert (await client.post(body, **{"Content-Encoding": "gzip"}))[1]["accepted"] == 1000
        assert client.events() == {"delivered": 5000}

    run(fake, test)


TOKENS = tuple(token_of(scope * 2, scope) for scope in ("read", "control", "signals"))


@pytest.mark.parametrize(
    ("tokens", "shown", "expected"),
    [
        pytest.param((), None, 200, id="none is asked for, from this machine"),
        pytest.param(TOKENS, "signalssignals", 200, id="its own"),
        pytest.param(TOKENS, "controlcontrol", 200, id="a writer's"),
        pytest.param(TOKENS, "readread", 403, id="a reader's"),
        pytest.param(TOKENS, "wrong", 401, id="wrong"),
        pytest.param(TOKENS, None, 401, id="none"),
        pytest.param(TOKENS[:2], "controlcontrol", 200, id="a writer's alone"),
        pytest.param(TOKENS[:2], None, 401, id="none, where writers need one"),
    ],
)
def test_tokens(fake: FakeServices, tokens: tuple[Token, ...], shown: str | None, expected: int) -> None:
    async def test(client: Client) -> None:
        status, _ = await client.post({"batch": "1", "signals": [DELIVERED]}, shown)
        assert status == expected
        assert client.events() == ({"delivered": 5} if expected == 200 else {})

    run(fake, test, tokens)


@pytest.mark.parametrize("others", [(), TOKENS[:2]], ids=["no other token", "other tokens"])
def test_its_token_is_good_for_nothing_else(fake: FakeServices, others: tuple[Token, ...]) -> None:
    async def test(client: Client) -> None:
        headers = {"Authorization": "Bearer signalssignals"}
        for method, path in (
            ("GET", "/status"),
            ("GET", PATH),
            ("POST", f"/api/v1/hosts/{NAME}/mta1/drain"),
            ("POST", "/api/v1/reload"),
        ):
            async with client.http.request(method, path, headers=headers) as response:
                assert response.status == 403
                assert "for signals and nothing else" in (await response.json())["error"]

    run(fake, test, (*others, TOKENS[2]))


def test_a_disk_that_fails_acknowledges_nothing(fake: FakeServices, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(client: Client) -> None:
        signals = client.fake.rig.services.signals
        assert (await client.post({"batch": "1", "signals": [DELIVERED]}))[0] == 200

        def full(*_: object) -> None:
            raise StoreError("signals.db: the disk is full: free some space")

        with monkeypatch.context() as broken:
            broken.setattr("geodns.storage.signal_file.SignalFile.take", full)
            status, answer = await client.post({"batch": "2", "signals": [DELIVERED]})
            assert (status, answer["error"]) == (503, "signals.db: the disk is full: free some space")
            assert [one.text for one in signals.alerts()] == [
                f"signals of mail are refused: {answer['error']}"
            ]
        assert client.events() == {"delivered": 5}
        assert (await client.post({"batch": "2", "signals": [DELIVERED]}))[1]["duplicate"] is False
        assert client.events() == {"delivered": 10}
        assert list(signals.alerts()) == []

    run(fake, test)


def test_nothing_is_taken_while_the_clock_cannot_be_believed(fake: FakeServices) -> None:
    """A day ahead, what happens now would be old; a day back, it would be of the future, and rejected."""
    wall, unset = 1000.0, 0.0
    clock = WallClock(None, lambda: wall, lambda: unset)
    fake.rig.services.signals._clock = clock

    async def test(client: Client) -> None:
        nonlocal wall, unset
        assert (await client.signal(**DELIVERED))[0] == 200
        for day in (86400.0, -86400.0):
            wall += day
            clock.look()
            status, answer = await client.signal(**DELIVERED)
            assert (status, "clock was set" in answer["error"]) == (503, True)
        wall, unset = wall + 61, unset + 61
        clock.look()
        assert (await client.signal(**DELIVERED))[0] == 200
        assert client.events() == {"delivered": 10}

    run(fake, test)


def test_a_million_providers_take_bounded_room(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        for batch in range(3):
            rows = [
                {"host": "mta1", "event": "delivered", "provider": f"p{batch}-{number}"}
                for number in range(MAX_SIGNALS)
            ]
            assert (await client.post({"batch": f"{batch}", "signals": rows}))[1]["accepted"] == MAX_SIGNALS
        await client.signal(**DELIVERED)
        signals = client.fake.rig.services.signals
        now = time.time()
        found = signals.by_provider((NAME, "mta1"), now - 3600, now)
        assert len(found) == 102
        assert found["google"].first == 5
        assert found["other"].first == 3 * MAX_SIGNALS - 100
        assert [one.text for one in signals.alerts()] == [
            f"mail signals name more than 100 providers a day for mta1.{NAME}: the rarer ones count as other"
        ]

    run(fake, test)


def test_nothing_is_taken_before_hosts_are_known(fake: FakeServices) -> None:
    """A batch that comes while a server starts must not be lost: all its hosts would be unknown."""
    cluster = fake.rig.services.cluster
    cluster.compiled = Compiled()

    async def test(client: Client) -> None:
        status, answer = await client.signal(**DELIVERED)
        assert (status, answer["error"][:21]) == (503, "no zone is served yet")

    run(fake, test)


def test_more_batches_than_may_wait_are_told_to_come_again(fake: FakeServices) -> None:
    async def test(client: Client) -> None:
        answers = await asyncio.gather(
            *(client.post({"batch": f"{one}", "signals": [DELIVERED] * 2000}) for one in range(80))
        )
        statuses = [status for status, _ in answers]
        assert set(statuses) == {200, 503}
        assert client.events() == {"delivered": statuses.count(200) * 10_000}

    run(fake, test)


def test_codes_are_found_where_they_stand() -> None:
    def codes(**row: str) -> tuple[int, str]:
        batch = read(json.dumps({"batch": "1", "signals": [DELIVERED | row]}).encode())
        return batch.signals[0].code, batch.signals[0].enhanced

    assert (
        codes(dsn="550 5.7.1") == codes(text="550 5.7.1 no") == codes(text="550-5.7.1 no") == (550, "5.7.1")
    )
    assert codes(dsn="5.7.1", text="550 no") == (0, "5.7.1")
    assert codes(dsn="421") == codes(text="421 later") == (421, "")
    assert codes() == codes(text="connection timed out") == (0, "")


def test_the_example_of_the_manual_is_a_batch() -> None:
    text = (Path(__file__).parents[2] / "docs/reputation.md").read_text()
    batch = read(text.partition("```text\n")[2].partition("```")[0].encode())
    assert (len(batch.signals), batch.rejected, batch.alive) == (2, [], ["mta1", "mta2"])
    assert Replies().classify(*batch.signals[1][6:9], "yahoo").about is About.IP
    table = text.partition("| Key of a signal |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    keys = {key for line in rows for key in re.findall("`([a-z_]+)`", line.split("|")[1])}
    assert keys | {"zone"} == set(SignalBody.model_fields)


def test_a_batch_without_an_id_is_none() -> None:
    with pytest.raises(UsageError, match=r"`batch`: missing: write \{\"batch\": "):
        read(b'{"signals": []}')
