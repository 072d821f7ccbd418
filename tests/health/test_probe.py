import asyncio
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from geodns.health import probe as probe_
from geodns.health.clock import TranscriptLine
from geodns.health.outcome import MAX_DETAIL, ProbeOutcome, ProbeResult
from geodns.health.probe import own_name, probe
from tests.health.servers import (
    GOOD,
    Handler,
    closed_port,
    full_port,
    reset,
    script,
    server_context,
    serving,
    silent,
    target,
)

IMPATIENT: dict[str, Any] = {
    "connect_timeout": 5.0,
    "greeting_timeout": 0.3,
    "step_timeout": 0.3,
    "timeout": 8.0,
}
PATIENT: dict[str, Any] = {
    "connect_timeout": 10.0,
    "greeting_timeout": 10.0,
    "step_timeout": 10.0,
    "timeout": 20.0,
}


def run(work: Coroutine[Any, Any, ProbeOutcome]) -> ProbeOutcome:
    return asyncio.run(work)


async def probed(handler: Handler, **check: Any) -> ProbeOutcome:
    async with serving(handler) as port:
        return await probe(target(port, **check), ehlo="probe.example.com")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet a byte at a time."""
    for byte in b"220 mta1 slow\r\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
    await script(b"", *GOOD[1:])(reader, writer)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader
    for _ in range(160):
        writer.write(b"x" * 65536)
        await writer.drain()


async def teaser(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Punish who talks before the greeting is whole, as postscreen does."""
    writer.write(b"220-mta1 ESMTP\r\n")
    try:
        async with asyncio.timeout(0.3):
            early = await reader.read(1)
    except TimeoutError:
        await script(b"220 mta1 ESMTP\r\n", *GOOD[1:])(reader, writer)
    else:
        writer.write(b"521 5.5.1 Protocol error\r\n" if early else b"")


@pytest.mark.parametrize(
    ("handler", "limits", "kind", "detail"),
    [
        pytest.param(script(*GOOD), PATIENT, ProbeResult.OK, "220 mta1 ESMTP", id="good"),
        pytest.param(teaser, PATIENT, ProbeResult.OK, "220 mta1 ESMTP mta1 ESMTP", id="early-talker-trap"),
        pytest.param(drip, PATIENT, ProbeResult.OK, "220 mta1 slow", id="slow-but-in-time"),
        pytest.param(
            drip, IMPATIENT, ProbeResult.FAILURE, "timed out while waiting for the greeting", id="too-slow"
        ),
        pytest.param(
            silent, IMPATIENT, ProbeResult.FAILURE, "timed out while waiting for the greeting", id="silent"
        ),
        pytest.param(
            script(GOOD[0]),
            PATIENT | {"step_timeout": 0.3},
            ProbeResult.FAILURE,
            "timed out while waiting for the reply to EHLO",
            id="stuck",
        ),
        pytest.param(
            silent,
            PATIENT | {"timeout": 0.3},
            ProbeResult.FAILURE,
            "timed out while waiting for the gr",
            id="in-all",
        ),
        pytest.param(flood, PATIENT, ProbeResult.FAILURE, "banner too long", id="10-mb-banner"),
        pytest.param(reset, PATIENT, ProbeResult.FAILURE, "connection reset by peer while", id="reset"),
        pytest.param(
            script("220 mta1\r\n".encode("utf-16")), PATIENT, ProbeResult.FAILURE, "not SMTP: b'", id="utf-16"
        ),
        pytest.param(
            script(b"421 4.3.2 busy\r\n"), PATIENT, ProbeResult.SHEDDING, "421 4.3.2 busy", id="421"
        ),
        pytest.param(
            script(b"554 5.7.1 no\r\n", b"221 Bye\r\n"),
            PATIENT,
            ProbeResult.FAILURE,
            "554 5.7.1 no",
            id="554",
        ),
        pytest.param(
            script(GOOD[0], b"450 later\r\n", b"221 Bye\r\n"),
            PATIENT,
            ProbeResult.SHEDDING,
            "EHLO: 450",
            id="450-ehlo",
        ),
        pytest.param(
            script(*GOOD[:2]),
            PATIENT | {"step_timeout": 0.5},
            ProbeResult.OK,
            "220 mta1 ESMTP",
            id="no-reply-to-quit",
        ),
    ],
)
def test_probing(handler: Handler, limits: dict[str, float], kind: ProbeResult, detail: str) -> None:
    outcome = run(probed(handler, **limits))
    assert (outcome.kind, outcome.detail[: len(detail)]) == (kind, detail)
    assert outcome.detail.isprintable()
    assert len(outcome.detail) <= MAX_DETAIL
    assert outcome.rtt is not None
    assert 0 < outcome.rtt < 20


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(silent, id="accepts-and-never-greets"),
        pytest.param(drip, id="half-a-greeting"),
        pytest.param(script(GOOD[0]), id="greets-and-hangs"),
        pytest.param(reset, id="reset"),
        pytest.param(script(b"554 5.7.1 no\r\n", b"221 Bye\r\n"), id="554"),
        pytest.param(script(b"250 what\r\n"), id="not-a-greeting"),
        pytest.param(script(*GOOD), id="good"),
    ],
)
def test_a_host_that_was_reached_is_not_silent(handler: Handler) -> None:
    assert not run(probed(handler, **IMPATIENT)).silent


@pytest.mark.parametrize("kind", ["smtp", "smtps", "lmtp", "http", "https", "agent"])
def test_only_a_host_that_accepts_no_connection_is_silent(kind: str) -> None:
    """One that accepts and hangs proves that the way to it works, whatever is spoken there."""
    accepted = run(probed(silent, type=kind, **IMPATIENT))
    with full_port() as port:
        unanswered = run(probe(target(port, type=kind, **IMPATIENT | {"connect_timeout": 0.3}), ehlo=None))
    assert [one.kind for one in (accepted, unanswered)] == [ProbeResult.FAILURE] * 2
    assert (accepted.silent, unanswered.silent) == (False, True)
    assert unanswered.detail == "timed out while connecting"


def test_refused() -> None:
    with closed_port() as port:
        outcome = run(probe(target(port), ehlo=None))
    assert (outcome.kind, outcome.detail) == (ProbeResult.FAILURE, "connection refused")
    assert not outcome.silent, "a refusal comes from the host"


def test_closed_at_once() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.close()

    outcome = run(probed(close, **PATIENT))
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.detail == "connection closed while waiting for the greeting"


def test_every_conversation_ends_with_quit_and_its_reply() -> None:
    async def main() -> list[list[bytes]]:
        heard: list[list[bytes]] = []
        ended: asyncio.Queue[None] = asyncio.Queue()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            mine: list[bytes] = []
            heard.append(mine)
            writer.write(b"220 mta1\r\n" if len(heard) == 1 else b"554 no\r\n")
            while line := await reader.readline():
                mine.append(line)
                writer.write(b"221 Bye\r\n" if line == b"QUIT\r\n" else b"250 mta1\r\n")
            mine.append(b"closed")
            ended.put_nowait(None)

        async with serving(listen) as port:
            for _ in range(2):
                await probe(target(port, ehlo="own.example.com"), ehlo="probe.example.com")
                await ended.get()
        return heard

    ehlo = b"EHLO own.example.com\r\n"
    assert asyncio.run(main()) == [[ehlo, b"QUIT\r\n", b"closed"], [b"QUIT\r\n", b"closed"]]


@pytest.mark.parametrize(
    ("greeting", "reply", "code", "least", "most"),
    [(0.3, 0.0, b"250", 0.0, 0.2), (0.0, 0.3, b"250", 0.3, 2.0), (0.0, 0.3, b"550", None, None)],
    ids=["a-slow-greeting-is-none", "a-slow-ehlo", "a-refused-ehlo-is-none"],
)
def test_the_time_from_ehlo_to_its_250(
    greeting: float, reply: float, code: bytes, least: float | None, most: float | None
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(greeting)
        writer.write(b"220 mta1\r\n")
        await reader.readline()
        await asyncio.sleep(reply)
        writer.write(code + b" mta1\r\n")
        await reader.readline()
        writer.write(b"221 Bye\r\n" if code == b"250" else b"550 nor HELO\r\n")

    outcome = run(probed(handler))
    if least is None or most is None:
        assert outcome.ehlo_rtt is None
    else:
        assert outcome.ehlo_rtt is not None
        assert least <= outcome.ehlo_rtt <= most


@pytest.mark.parametrize(
    ("host", "literal"), [("127.0.0.1", b"[127.0.0.1]"), ("::1", b"[IPv6:::1]")], ids=["v4", "v6"]
)
def test_without_a_name_the_prober_gives_its_own_address(host: str, literal: bytes) -> None:
    async def main() -> list[TranscriptLine]:
        said: list[TranscriptLine] = []
        async with serving(script(*GOOD), host) as port:
            await probe(target(port, host), ehlo=None, transcript=said.append)
        return said

    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no {host}: enable IPv6 on its loopback interface")
    said = asyncio.run(main())
    assert [(one.who, one.data) for one in said] == [
        ("*", b"connected"),
        ("<", GOOD[0]),
        (">", b"EHLO " + literal + b"\r\n"),
        ("<", GOOD[1]),
        (">", b"QUIT\r\n"),
        ("<", GOOD[2]),
    ]
    assert [one.at for one in said] == sorted(one.at for one in said)


# --- TCP ------------------------------------------------------------------------------------------------


def test_tcp_asks_for_a_connection_only() -> None:
    outcome = run(probed(silent, type="tcp"))
    assert (outcome.kind, outcome.detail) == (ProbeResult.OK, "connected")


def test_tcp_refused() -> None:
    with closed_port() as port:
        assert run(probe(target(port, type="tcp"), ehlo=None)).kind is ProbeResult.FAILURE


# --- our own trouble ------------------------------------------------------------------------------------


def test_tls_that_breaks_after_its_handshake_is_the_hosts_trouble(tmp_path: Path) -> None:
    context = server_context(tmp_path)

    async def noisy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context)
        writer.transport._ssl_protocol._transport.write(b"this is no TLS record")  # type: ignore[attr-defined]
        await reader.read()

    for kind, awaited in (("smtps", "greeting"), ("https", "response")):
        outcome = run(probed(noisy, type=kind, **PATIENT))
        assert outcome.kind is ProbeResult.FAILURE
        assert outcome.detail == f"TLS broke (WRONG_VERSION_NUMBER) while waiting for the {awaited}"


def test_a_fault_in_the_prober_is_no_fault_of_the_host(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(probe_, "connect", fail)
    outcome = run(probe(target(9), ehlo=None))
    assert outcome.kind is ProbeResult.UNKNOWN
    assert "a bug" in outcome.detail
    assert "127.0.0.1" in caplog.text


def test_a_prober_that_was_held_up_blames_nobody() -> None:
    async def main() -> ProbeOutcome:
        async with serving(silent) as port:
            work = asyncio.create_task(probe(target(port, **IMPATIENT), ehlo=None))
            await asyncio.sleep(0.1)
            time.sleep(2.5)  # noqa: ASYNC251 - this is what holds it up
            return await work

    assert run(main()).kind is ProbeResult.UNKNOWN


def test_a_cancelled_probe_leaves_nothing_behind() -> None:
    async def main() -> bool:
        closed = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220-\r\n")
            await reader.read()
            closed.set()

        async with serving(wait) as port:
            work = asyncio.create_task(probe(target(port, **PATIENT), ehlo=None))
            await asyncio.sleep(0.2)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            async with asyncio.timeout(10):
                await closed.wait()
        return closed.is_set()

    assert asyncio.run(main())


# --- STARTTLS -------------------------------------------------------------------------------------------

OFFERED = b"250-mta1\r\n250 STARTTLS\r\n"


def test_starttls_with_a_handshake(tmp_path: Path) -> None:
    context = server_context(tmp_path)

    async def secure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD[0])
        await reader.readline()
        writer.write(OFFERED)
        assert await reader.readline() == b"STARTTLS\r\n"
        writer.write(b"220 go\r\n")
        await writer.drain()
        await writer.start_tls(context)
        assert await reader.readline() == b"EHLO probe.example.com\r\n"
        writer.write(b"250-mta1\r\n250 SIZE\r\n")
        assert await reader.readline() == b"QUIT\r\n"
        writer.write(b"221 Bye\r\n")
        await reader.read()

    outcome = run(probed(secure, starttls="offered", **PATIENT))
    assert (outcome.kind, outcome.detail) == (ProbeResult.OK, "220 mta1 ESMTP")


@pytest.mark.parametrize(
    ("handler", "limits", "detail"),
    [
        pytest.param(script(*GOOD), PATIENT, "STARTTLS is not offered", id="missing"),
        pytest.param(
            script(GOOD[0], OFFERED, b"454 no certificate\r\n", b"221\r\n"),
            PATIENT,
            "STARTTLS is broken: 454",
            id="454",
        ),
        pytest.param(
            script(GOOD[0], OFFERED, b"220 go\r\n250 injected\r\n"),
            PATIENT,
            "STARTTLS is broken: plain",
            id="injected",
        ),
        pytest.param(
            script(GOOD[0], OFFERED, b"220 go\r\n"),
            PATIENT | {"step_timeout": 0.5},
            "timed out while waiting for the TLS",
            id="hangs",
        ),
    ],
)
def test_starttls_missing_or_broken(handler: Handler, limits: dict[str, float], detail: str) -> None:
    outcome = run(probed(handler, starttls="offered", **limits))
    assert (outcome.kind, outcome.detail[: len(detail)]) == (ProbeResult.FAILURE, detail)


@pytest.mark.parametrize("reply", [b"this is no TLS\r\n" * 10, b""], ids=["garbage", "closed"])
def test_starttls_answered_by_something_else(reply: bytes) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GOOD[0])
        await reader.readline()
        writer.write(OFFERED)
        await reader.readline()
        writer.write(b"220 go\r\n")
        await reader.read(1)
        writer.write(reply)
        await writer.drain()

    outcome = run(probed(broken, starttls="offered", **PATIENT))
    assert outcome.kind is ProbeResult.FAILURE
    assert outcome.detail.startswith("STARTTLS is broken: ")


# --- real servers, many servers, names ------------------------------------------------------------------


class _Loopback(Controller):
    """A mail server in a thread, on a port that the system chose."""

    def __init__(self, sock: socket.socket, **kwargs: Any) -> None:
        super().__init__(Sink(), hostname="127.0.0.1", port=sock.getsockname()[1], **kwargs)
        self._sock = sock

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._sock)


@pytest.mark.parametrize("starttls", ["ignore", "offered"])
def test_a_real_server(starttls: str, tmp_path: Path) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    server = _Loopback(sock, tls_context=server_context(tmp_path))
    server.start()
    try:
        port = sock.getsockname()[1]
        outcome = run(probe(target(port, starttls=starttls, **PATIENT), ehlo="probe.example.com"))
    finally:
        server.stop()
    assert outcome.kind is ProbeResult.OK
    assert outcome.detail.startswith("220 ")
    assert SMTP.__name__ in outcome.detail


def test_500_silent_hosts_leave_the_loop_responsive() -> None:
    async def main() -> tuple[float, set[ProbeResult]]:
        longest = 0.0
        async with serving(silent) as port:
            limits = IMPATIENT | {"greeting_timeout": 1.5}
            work = [asyncio.create_task(probe(target(port, **limits), ehlo=None)) for _ in range(500)]
            while not all(one.done() for one in work):
                # Of the processor: what else keeps the machine busy is not the loop's.
                before = time.thread_time()
                await asyncio.sleep(0.02)
                longest = max(longest, time.thread_time() - before)
            return longest, {one.result().kind for one in work}

    longest, kinds = asyncio.run(main())
    assert kinds <= {ProbeResult.FAILURE, ProbeResult.UNKNOWN}
    assert longest < 1


@pytest.mark.parametrize(
    ("hostname", "resolved", "expected"),
    [
        pytest.param("ns1.example.com", "", "ns1.example.com", id="whole"),
        pytest.param("NS1", "ns1.example.com.", "ns1.example.com", id="resolved"),
        pytest.param("ns1", "ns1", None, id="short"),
        pytest.param("box", "localhost.localdomain", None, id="localhost"),
        pytest.param("box", "1.0.0.127.in-addr.arpa", None, id="reverse"),
        pytest.param("box", "10.0.0.1", None, id="address"),
        pytest.param("böx.example", "", None, id="not-ascii"),
    ],
)
def test_own_name(
    hostname: str, resolved: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    monkeypatch.setattr(socket, "getfqdn", lambda _: resolved)
    assert own_name() == expected
