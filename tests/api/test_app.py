"""The HTTP side over real sockets on loopback: who may write, what is answered, and how errors look."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from geodns.api.app import MAX_BODY, make_app
from geodns.api.explain import Asking
from geodns.config.tokens import token_of
from geodns.control.cluster import Cluster
from geodns.control.orders import OrderRequest, OrderResult, Verb
from geodns.errors import StoreError
from geodns.model.limits import MAX_REASON
from geodns.model.zone import Zone
from tests.sample_zones import NAME, zone
from tests.servicing import FakeServices

DRAIN = f"/api/v1/hosts/{NAME}/mta1/drain"
UNDRAIN = f"/api/v1/hosts/{NAME}/mta1/undrain"
TOKEN = "s3cret"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


Client = TestClient[Any, Any]
Talk = Callable[[Client], Awaitable[None]]


def serve(fake: FakeServices, talk: Talk, token: str | None = None, **others: Any) -> None:
    """Run a server on loopback while `talk` talks to it."""

    async def run() -> None:
        tokens = () if token is None else (token_of(token, "control"),)
        app = make_app(fake.services(**others), tokens)
        async with TestClient(TestServer(app, host="127.0.0.1")) as client:
            await talk(client)

    try:
        asyncio.run(run())
    finally:
        fake.close()


def ask(
    method: str,
    path: str,
    fake: FakeServices | None = None,
    token: str | None = None,
    **options: Any,
) -> tuple[int, Any, Any]:
    """Ask once; return the status, the body (JSON where it is) and the headers."""
    found: list[tuple[int, Any, Any]] = []

    async def talk(client: Client) -> None:
        async with client.request(method, path, allow_redirects=False, **options) as response:
            text = await response.text()
            body = json.loads(text) if response.content_type == "application/json" and text else text
            found.append((response.status, body, response.headers))

    serve(fake or FakeServices(), talk, token)
    return found[0]


# --- zones ----------------------------------------------------------------------------------------------


def test_zones_are_given_as_they_were_read() -> None:
    one = zone("hosts: {mta1: 192.0.2.11}")
    status, shown, _ = ask("GET", "/api/v1/zones")
    assert (status, shown) == (200, {"zones": {NAME: {"digest": one.digest, "hosts": 1, "pools": 1}}})
    status, shown, _ = ask("GET", f"/api/v1/zones/{NAME.upper()}.")
    assert status == 200
    assert (shown["name"], shown["digest"]) == (NAME, one.digest)
    assert Zone.model_validate(shown["zone"]) == one
    status, shown, _ = ask("GET", "/api/v1/zones/nowhere.example")
    assert (status, shown["error"]) == (404, f"no zone nowhere.example is served; there are {NAME}")


# --- reading --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        pytest.param("/status", 200, {"node": "ns1", "ready": True}, id="status"),
        pytest.param("/healthz", 200, "alive\n", id="healthz"),
        pytest.param("/readyz", 200, "ready\n", id="readyz"),
        pytest.param(
            f"/api/v1/explain?name={NAME}&type=mx", 200, {"name": f"{NAME}.", "type": "MX"}, id="explain"
        ),
        pytest.param(
            f"/api/v1/hosts/{NAME}/MTA1", 200, {"state": "up", "forced": None, "weight": 1}, id="host"
        ),
    ],
)
def test_what_can_be_read_without_a_token(path: str, status: int, body: Any) -> None:
    found, shown, headers = ask("GET", path, token=TOKEN)
    assert found == status
    assert shown == body if isinstance(body, str) else body.items() <= shown.items()
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/", "/assets/page.js"])
def test_the_page_needs_no_token_and_has_a_policy_of_its_own(path: str) -> None:
    status, _, headers = ask("GET", path, token=TOKEN)
    assert status == 200
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_metrics_come_in_the_text_format() -> None:
    _, shown, headers = ask("GET", "/metrics", token=TOKEN)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert f'geodns_zone_serial{{zone="{NAME}"}} ' in shown


def test_an_explanation_is_for_whoever_would_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def noted(_: Cluster, name: str, rtype: str, asking: Asking, *__: Any) -> dict[str, Any]:
        asked.append((name, rtype, asking.client, str(asking.network)))
        return {}

    monkeypatch.setattr("geodns.api.explain.explain", noted)
    ask("GET", f"/api/v1/explain?name={NAME}")
    ask("GET", f"/api/v1/explain?name={NAME}&type=mx&client=192.0.2.7&ecs=192.0.2.0/24")
    assert asked == [(NAME, "A", None, "None"), (NAME, "MX", "192.0.2.7", "192.0.2.0/24")]


@pytest.mark.parametrize("path", ["/status", "/metrics", f"/api/v1/explain?name={NAME}"])
@pytest.mark.parametrize(("takes", "packed"), [("gzip, br", True), ("identity", False)])
def test_what_is_long_comes_packed_to_those_who_take_that(path: str, takes: str, packed: bool) -> None:
    async def talk(client: Client) -> None:
        async with client.get(path, headers={"Accept-Encoding": "identity"}) as response:
            plain = await response.read()
        async with client.get(path, headers={"Accept-Encoding": takes}) as response:
            assert (response.status, await response.read()) == (200, plain)
            assert response.headers.get("Content-Encoding") == ("gzip" if packed else None)
            assert response.headers["Vary"] == "Accept-Encoding"

    serve(FakeServices(), talk)


def test_a_server_that_cannot_answer_lives_and_is_not_ready() -> None:
    fake = FakeServices(alive=False)
    assert ask("GET", "/readyz", fake)[:2] == (503, "no worker is alive\n")
    assert ask("GET", "/healthz", fake)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        pytest.param("GET", "/nothing", 404, "GET /nothing: Not Found", id="no such path"),
        pytest.param("POST", "/status", 405, "POST /status: Method Not Allowed", id="method"),
        pytest.param("GET", "/api/v1/explain", 400, "say which name", id="explain without a name"),
        pytest.param("GET", "/api/v1/explain?name=x.example", 404, "x.example. is in no zone", id="no zone"),
        pytest.param("GET", f"/api/v1/explain?name={NAME}&client=x", 400, "client 'x' is no", id="no client"),
        pytest.param("GET", f"/api/v1/explain?name={NAME}&ecs=1/33", 400, "ecs: ", id="no network"),
        pytest.param("GET", f"/api/v1/explain?name={64 * 'a'}.{NAME}", 400, "63", id="no name"),
        pytest.param("GET", f"/api/v1/hosts/{NAME}/mta9", 404, "has no host mta9", id="no such host"),
        pytest.param(
            "POST", "/api/v1/hosts/x.example/mta1/drain", 404, "no zone x.example", id="drain nowhere"
        ),
        pytest.param("POST", f"/api/v1/hosts/{NAME}/mta9/drain", 404, "has no host mta9", id="drain nobody"),
        pytest.param("GET", DRAIN, 405, "Method Not Allowed", id="reading what is written"),
    ],
)
def test_errors_are_json_with_the_usual_headers(method: str, path: str, status: int, error: str) -> None:
    found, shown, headers = ask(method, path)
    assert found == status
    assert shown.keys() == {"error"}
    assert error in shown["error"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/explain?name=x.example"),
        ("GET", "/api/v1/zones/x.example"),
        ("GET", f"/api/v1/hosts/{NAME}/mta9"),
        ("POST", f"/api/v1/hosts/{NAME}/mta9/drain"),
    ],
)
def test_a_server_that_starts_denies_nothing(method: str, path: str) -> None:
    fake = FakeServices()
    fake.rig.services.watchdog.ready = False
    status, shown, _ = ask(method, path, fake)
    assert status == 503
    assert "the server is starting" in shown["error"]
    assert ask("GET", "/nothing", fake)[0] == 404


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        pytest.param(StoreError("the disk is full"), "the disk is full", id="foreseen"),
        pytest.param(KeyError("secret detail"), "its log says more", id="a fault"),
    ],
)
def test_a_failure_of_the_servers_own_is_json_too(
    failure: Exception, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeServices()
    fake.failure = failure
    status, shown, _ = ask("GET", "/status", fake)
    assert status == 500
    assert error in shown["error"]
    assert "secret detail" not in shown["error"]
    assert ("secret detail" in caplog.text) is isinstance(failure, KeyError)


# --- orders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        pytest.param(DRAIN, None, (Verb.DRAIN, "", None), id="no body"),
        pytest.param(DRAIN, b"  ", (Verb.DRAIN, "", None), id="blank body"),
        pytest.param(DRAIN, {}, (Verb.DRAIN, "", None), id="empty object"),
        pytest.param(
            DRAIN,
            {"reason": "disk, søndag", "for": "2h"},
            (Verb.DRAIN, "disk, søndag", 7200.0),
            id="both",
        ),
        pytest.param(DRAIN, {"for": 90}, (Verb.DRAIN, "", 90.0), id="a number of seconds"),
        pytest.param(DRAIN, {"for": None}, (Verb.DRAIN, "", None), id="for null"),
        pytest.param(
            DRAIN, {"reason": "x" * MAX_REASON}, (Verb.DRAIN, "x" * MAX_REASON, None), id="longest reason"
        ),
        pytest.param(UNDRAIN, {"reason": "done"}, (Verb.UNDRAIN, "done", None), id="undrain"),
        pytest.param(DRAIN.replace("mta1", "MTA1"), None, (Verb.DRAIN, "", None), id="letter case"),
    ],
)
def test_an_order_is_carried_out_and_answered_with_the_host(path: str, body: Any, expected: Any) -> None:
    fake = FakeServices()
    options = {"data": body} if isinstance(body, bytes) else {} if body is None else {"json": body}
    status, shown, _ = ask("POST", path, fake, **options)
    assert (status, shown["state"], "pending" in shown) == (200, "up", False)
    (wish,) = fake.wishes
    assert (wish.hosts, wish.zone) == ((f"mta1.{NAME}",), NAME)
    assert (wish.order.verb, wish.order.reason, wish.order.seconds) == expected
    assert wish.order.author == "api@127.0.0.1"


def test_workers_that_have_not_taken_it_are_named() -> None:
    status, shown, _ = ask("POST", DRAIN, FakeServices(pending=("udp1", "tcp")))
    assert (status, shown["pending"], shown["forced"]) == (202, ["udp1", "tcp"], "drained")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        pytest.param(b"reason=x", 400, "the body: no JSON", id="no JSON"),
        pytest.param(b"\xff\xfe\x00", 400, "no JSON", id="no text"),
        pytest.param(b'{"reason": "\xff"}', 400, "no JSON", id="no UTF-8"),
        pytest.param(b"[" * 60_000, 400, "no JSON", id="nested without end"),
        pytest.param(b"[]", 400, "the body: a list of 0 is no object: write", id="a list"),
        pytest.param(b'"x"', 400, "the body: 'x' is no object: write", id="a text"),
        pytest.param(b'{"until": "2h"}', 400, "`until`: not known here", id="unknown field"),
        pytest.param(b'{"reason": 5}', 400, "`reason`: 5 is no text", id="reason is no text"),
        pytest.param(b'{"reason": "a\\nb"}', 400, "write one line", id="reason of two lines"),
        pytest.param(b'{"reason": "\\ud800"}', 400, "the body: no JSON", id="half a surrogate"),
        pytest.param(
            json.dumps({"reason": "x" * (MAX_REASON + 1)}).encode(), 400, "at most 500", id="reason too long"
        ),
        pytest.param(b'{"for": "soon"}', 400, "is no duration: write", id="no duration"),
        pytest.param(b'{"for": ""}', 400, "is no duration: write", id="empty duration"),
        pytest.param(b'{"for": 0}', 400, "is no duration: write", id="no time at all"),
        pytest.param(b'{"for": -5}', 400, "is no duration: write", id="negative"),
        pytest.param(b'{"for": true}', 400, "is no duration: write", id="a truth"),
        pytest.param(b'{"for": ["2h"]}', 400, "is no duration: write", id="a list of durations"),
        pytest.param(b'{"for": "99999999d"}', 400, "over ten years", id="for ever"),
        pytest.param(b" " * (MAX_BODY + 1), 413, "Too Large", id="too much"),
    ],
)
def test_a_wrong_order_is_refused_and_not_carried_out(body: bytes, status: int, error: str) -> None:
    fake = FakeServices()
    found, shown, _ = ask("POST", DRAIN, fake, data=body)
    assert found == status
    assert error in shown["error"]
    assert fake.wishes == []


def test_the_body_is_read_as_json_whatever_its_type_is_called() -> None:
    fake = FakeServices()
    headers = {"Content-Type": "text/plain; charset=no-such-thing"}
    assert ask("POST", DRAIN, fake, data=b'{"for": "1m"}', headers=headers)[0] == 200
    assert fake.wishes[0].order.seconds == 60


@pytest.mark.parametrize(
    ("shown", "author"),
    [
        pytest.param("ann", "ann@127.0.0.1", id="plain"),
        pytest.param("a" * 150, "a" * 100 + "@127.0.0.1", id="cut"),
        pytest.param("a\tb", "a\\tb@127.0.0.1", id="unprintable"),
    ],
)
def test_who_orders_is_noted(shown: str, author: str) -> None:
    fake = FakeServices()
    ask("POST", DRAIN, fake, headers={"X-Geodns-Author": shown})
    assert fake.wishes[0].order.author == author


# --- who may write --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        pytest.param(None, {}, 200, id="this machine, no token asked"),
        pytest.param(None, {"Host": "localhost:8053"}, 200, id="by the name localhost"),
        pytest.param(None, {"Host": "[::1]:8053"}, 200, id="by IPv6"),
        pytest.param(None, {"Host": "evil.example:8053"}, 403, id="a name pointed here (DNS rebinding)"),
        pytest.param(None, {"Host": "127.0.0.1.evil.example"}, 403, id="a name that looks like an address"),
        pytest.param(None, {"Host": "192.0.2.1:8053"}, 403, id="an address that is not loopback"),
        pytest.param(None, {"Origin": "http://evil.example"}, 403, id="a page in a browser"),
        pytest.param(None, {"Origin": "http://127.0.0.1:1"}, 403, id="a page of another port"),
        pytest.param(None, {"Host": "[::1]:80", "Origin": "http://[::1]"}, 200, id="our own page"),
        pytest.param(None, {"Host": "127.0.0.1", "Origin": "https://127.0.0.1"}, 403, id="TLS, and not"),
        pytest.param(None, {"Host": "evil.test", "Origin": "http://evil.test"}, 403, id="a rebound page"),
        pytest.param(None, {"Origin": "null"}, 403, id="a page of no origin"),
        pytest.param(TOKEN, BEARER, 200, id="the token"),
        pytest.param(TOKEN, {"Authorization": f"bearer {TOKEN}"}, 200, id="the scheme in small letters"),
        pytest.param(TOKEN, {**BEARER, "Host": "ns1.example"}, 200, id="the token, by any name"),
        pytest.param(TOKEN, {}, 401, id="no token shown"),
        pytest.param(TOKEN, {"Authorization": "Bearer wrong"}, 401, id="a wrong token"),
        pytest.param(TOKEN, {"Authorization": "Bearer s3crett"}, 401, id="a longer token"),
        pytest.param(TOKEN, {"Authorization": "Bearer "}, 401, id="an empty token"),
        pytest.param(TOKEN, {"Authorization": "Basic dXNlcjpz"}, 401, id="another scheme"),
        pytest.param(TOKEN, {"Authorization": "Bearer \u00ff"}, 401, id="no ASCII"),
    ],
)
def test_who_may_write(token: str | None, headers: dict[str, str], status: int) -> None:
    fake = FakeServices()
    found, shown, answered = ask("POST", DRAIN, fake, token, headers=headers)
    assert found == status
    assert len(fake.wishes) == (status == 200)
    assert ("error" in shown) == (status != 200)
    assert answered.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_whoever_may_not_write_learns_nothing_of_what_there_is(method: str) -> None:
    assert ask(method, "/nothing", token=TOKEN)[0] == 401


async def _raw(client: Client, packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(packet)
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(65536), 5)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"Host: 127.0.0.1:99999\r\n", id="port out of range"),
        pytest.param(b"Host: a b/c\r\n", id="spaces"),
        pytest.param(b"", id="no host"),
        pytest.param(b"Host: 127.0.0.1\r\nX-Geodns-Author: \xff\r\nOrigin: \xff\r\n", id="bytes"),
    ],
)
def test_a_broken_head_never_writes(head: bytes) -> None:
    fake = FakeServices()

    async def talk(client: Client) -> None:
        packet = f"POST {DRAIN} HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n".encode() + head
        answer = await _raw(client, packet + b"\r\n")
        assert re.match(rb"HTTP/1\.[01] 4", answer), answer
        async with client.get("/healthz") as response:
            assert response.status == 200

    serve(fake, talk)
    assert fake.wishes == []


def test_a_token_of_any_bytes_is_a_wrong_token() -> None:
    async def talk(client: Client) -> None:
        head = f"POST {DRAIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n"
        assert b" 401 " in await _raw(client, head.encode() + b"Authorization: Bearer \xff\xfe\r\n\r\n")

    serve(FakeServices(), talk, TOKEN)


def test_an_author_of_any_bytes_can_be_kept() -> None:
    fake = FakeServices()

    async def talk(client: Client) -> None:
        head = f"POST {DRAIN} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n"
        assert b" 200 " in await _raw(client, head.encode() + b"X-Geodns-Author: \xff\xfe\r\n\r\n")

    serve(fake, talk)
    assert fake.wishes[0].order.author.encode().endswith(b"@127.0.0.1")


def test_reading_and_an_order_go_on_beside_each_other() -> None:
    fake = FakeServices()
    held = asyncio.Event()

    async def carry(wish: OrderRequest) -> OrderResult:
        del wish
        await held.wait()
        return OrderResult((), {})

    fake.carry = carry  # type: ignore[method-assign]

    async def talk(client: Client) -> None:
        order = asyncio.ensure_future(client.post(DRAIN))
        async with client.get("/healthz", timeout=aiohttp.ClientTimeout(total=5)) as response:
            assert response.status == 200
        assert not order.done()
        held.set()
        async with await order as response:
            assert response.status == 200

    serve(fake, talk)
