import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from geodns.health import tls
from geodns.health.clock import TranscriptLine
from geodns.health.http import MAX_BODY, judge
from geodns.health.outcome import ProbeOutcome, ProbeResult
from geodns.health.probe import probe
from geodns.model.checks import Check, Target
from tests.health.certificates import NAME, authority, server
from tests.health.servers import Handler, closed_port, reset, script, serving, silent, target

OK, FAILURE = ProbeResult.OK, ProbeResult.FAILURE
Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def page(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/":
            return web.Response(text="all is well: queue 17", headers={"X-Health": "green"})
        case "/host":
            return web.Response(text=f"host={request.headers['Host']}")
        case "/moved":
            return web.Response(status=302, headers={"Location": "/"})
        case "/large":
            return web.Response(body=b"x" * (MAX_BODY * 4) + b"end")
        case "/empty":
            return web.Response(status=204)
        case _:
            return web.Response(status=503, reason="Out of Order")


async def asked(
    context: ssl.SSLContext | None = None, said: list[TranscriptLine] | None = None, **check: Any
) -> ProbeOutcome:
    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        one = Check(name="web", type="http" if context is None else "https", **check)
        there = target(port).address
        transcript = None if said is None else said.append
        return await probe(
            Target(check=one, address=there, port=port, host=NAME), ehlo=None, transcript=transcript
        )
    finally:
        await runner.cleanup()


ANSWERS: dict[str, tuple[dict[str, Any], ProbeResult, str]] = {
    "all is well": ({}, OK, "200 OK"),
    "a redirect is not followed": ({"path": "/moved"}, OK, "302 Found"),
    "a redirect is not wanted": (
        {"path": "/moved", "status": ((200, 299),)},
        FAILURE,
        "status 302 Found, not 200-299",
    ),
    "503": ({"path": "/bad"}, FAILURE, "status 503 Out of Order, not 200-399"),
    "503 is wanted": ({"path": "/bad", "status": ((200, 200), (503, 503))}, OK, "503 Out of Order"),
    "none of two": ({"status": ((201, 201), (500, 599))}, FAILURE, "status 200 OK, not 201, 500-599"),
    "the body": ({"expect": r"queue \d+$"}, OK, "200 OK"),
    "another body": ({"expect": "badly"}, FAILURE, "the body does not match 'badly': 200 OK"),
    "no body": ({"path": "/empty", "expect": "."}, FAILURE, "the body does not match '.': 204 No Content"),
    "the end of too large a body": ({"path": "/large", "expect": "end"}, FAILURE, "the body does not match"),
    "a header": ({"header": (("x-health", "^green$"),)}, OK, "200 OK"),
    "another header": (
        {"header": (("x-health", "red"),)},
        FAILURE,
        "header x-health does not match 'red': green",
    ),
    "no header": ({"header": (("x-load", "."),)}, FAILURE, "no header x-load: 200 OK"),
    "the host": ({"path": "/host", "host": "a.example", "expect": "^host=a.example$"}, OK, "200 OK"),
    "its own address is the host": ({"path": "/host", "expect": r"^host=127\.0\.0\.1:\d+$"}, OK, "200 OK"),
    "a path with a query": ({"path": "/?a=%20b"}, OK, "200 OK"),
    "another source": ({"source": ("127.0.0.9",)}, OK, "200 OK"),
}


@pytest.mark.parametrize(
    ("check", "headers", "body"),
    [
        ({"expect": r"^(a|aa)+$"}, {}, "a" * 900 + "!"),
        ({"header": (("x-queue", r"^(a|aa)+$"),)}, {"x-queue": "a" * 900 + "!"}, ""),
    ],
    ids=["body", "header"],
)
def test_what_takes_too_long_to_look_for_is_no_fault_of_the_hosts(
    check: dict[str, Any], headers: dict[str, str], body: str
) -> None:
    kind, detail = judge(Check(name="web", type="http", **check), 200, "OK", headers, body)
    assert kind is ProbeResult.UNKNOWN
    assert detail.startswith("it takes too long to look for '^(a|aa)+$' in ")


@pytest.mark.parametrize(("check", "kind", "detail"), ANSWERS.values(), ids=ANSWERS.keys())
def test_answers(check: dict[str, Any], kind: ProbeResult, detail: str) -> None:
    outcome = asyncio.run(asked(**check))
    assert outcome.kind is kind
    assert outcome.detail.startswith(detail)
    assert [name for name, _ in outcome.steps] == ["connect", "response"]


@pytest.mark.parametrize(
    ("handler", "detail"),
    [
        pytest.param(silent, "timed out while waiting for the response", id="silent"),
        pytest.param(reset, "connection", id="reset"),
        pytest.param(script(b"220 mta1 ESMTP\r\n"), "not HTTP: ", id="smtp"),
        pytest.param(script(b"\x15\x03\x01\x00\x02\x02\x0a"), "", id="tls"),
        pytest.param(
            script(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall"),
            "timed out while waiting for the response",
            id="half-a-body",
        ),
    ],
)
def test_what_is_no_answer(handler: Handler, detail: str) -> None:
    async def main() -> ProbeOutcome:
        async with serving(handler) as port:
            one = target(port, type="http", expect="x", step_timeout=0.3)
            return await probe(one, ehlo=None)

    outcome = asyncio.run(main())
    assert outcome.kind is FAILURE
    assert outcome.detail.startswith(detail)
    assert outcome.detail.isprintable()


def test_a_source_that_this_machine_does_not_have_is_its_own_trouble() -> None:
    outcome = asyncio.run(asked(source=("192.0.2.99",)))
    assert outcome.kind is ProbeResult.UNKNOWN
    assert outcome.detail == "trouble of the prober's own: cannot assign requested address"


def test_nobody_there() -> None:
    with closed_port() as port:
        outcome = asyncio.run(probe(target(port, type="http"), ehlo=None))
    assert (outcome.kind, outcome.detail) == (FAILURE, "connection refused")


def test_a_certificate_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = authority()
    context = server(tmp_path, signer, days=5)
    names: list[str | None] = []
    context.sni_callback = lambda _connection, name, _context: names.append(name)
    loose = asyncio.run(asked(context))
    assert names == [NAME]
    assert (loose.kind, loose.detail) == (OK, "200 OK")
    assert loose.certificate is not None
    assert (loose.certificate.subject, loose.certificate.problem) == (NAME, None)
    strict = asyncio.run(asked(context, verify="required"))
    assert strict.kind is FAILURE
    assert strict.detail.startswith(f"TLS is broken: certificate unknown issuer: {NAME}, issued by Test")
    monkeypatch.setenv("SSL_CERT_FILE", str(signer.trusted_in(tmp_path)))
    tls.context.cache_clear()
    try:
        assert asyncio.run(asked(context, verify="required")).kind is OK
        old = asyncio.run(asked(context, verify="required", cert_critical=6 * 86400.0))
        assert old.detail.startswith("certificate expires in 5.0 days")
        by_host = asyncio.run(asked(context, verify="required", host=NAME))
        assert by_host.kind is OK
        wrong = asyncio.run(asked(context, verify="required", sni="other.example"))
        assert wrong.detail.startswith("TLS is broken: certificate wrong name: ")
    finally:
        tls.context.cache_clear()


def test_who_trusts_nobody_blames_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = server(tmp_path, authority())
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    tls.context.cache_clear()
    try:
        outcome = asyncio.run(asked(context, verify="required"))
    finally:
        tls.context.cache_clear()
    assert (outcome.kind, outcome.detail) == (ProbeResult.UNKNOWN, tls.NO_AUTHORITY)


def test_https_on_a_port_without_tls() -> None:
    async def main() -> ProbeOutcome:
        async with serving(script(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
            return await probe(target(port, type="https"), ehlo=None)

    outcome = asyncio.run(main())
    assert outcome.kind is FAILURE
    assert outcome.detail.startswith("TLS is broken: ")


def test_a_server_that_never_takes_leave_of_tls_keeps_no_connection(tmp_path: Path) -> None:
    context = server(tmp_path, authority())

    def serve(listener: socket.socket) -> bytes:
        """Answer, then read to the end of the connection below TLS."""
        connection, _ = listener.accept()
        with connection, connection.dup() as below:
            below.settimeout(5.0)
            with context.wrap_socket(connection, server_side=True) as encrypted:
                encrypted.recv(4096)
                encrypted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall")
                while piece := below.recv(4096):
                    assert piece
                return piece

    async def main() -> ProbeOutcome:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            served = asyncio.create_task(asyncio.to_thread(serve, listener))
            outcome = await probe(target(listener.getsockname()[1], type="https"), ehlo=None)
            assert await served == b""
        return outcome

    assert asyncio.run(main()).kind is OK


def test_the_transcript() -> None:
    said: list[TranscriptLine] = []
    asyncio.run(asked(said=said, expect="queue"))
    assert [one.who for one in said] == ["*", ">", "<", "<"]
    assert said[1].data == b"GET / HTTP/1.1"
    assert said[2].data.startswith(b"HTTP/1.1 200 OK\nX-Health: green\n")


def test_a_value_with_escapes_is_one_printable_line() -> None:
    check = Check(name="a", type="http", header=(("x", "y"),))
    assert judge(check, 200, "OK", {"x": "\x1b[2J" * 200}, "")[1].isprintable()
