"""Probes a web server: one GET, judged by status, headers and body; follows no redirect."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp
from yarl import URL

from geodns import __version__
from geodns.health import tls
from geodns.health.clock import ProbeClock
from geodns.health.connect import source_of
from geodns.health.outcome import Encryption, ProbeOutcome, ProbeResult, mismatch, one_line
from geodns.model.checks import Check, Target

MAX_BODY = 65536
"""Bytes of the body that are read, and only where the check expects a text in it."""
SHOWN = 2000
"""Bytes of the body in the transcript."""


def judge(
    check: Check, status: int, phrase: str, headers: dict[str, str], body: str
) -> tuple[ProbeResult, str]:
    """Judge a response by what its check wants.

    Args:
        check: the status, headers and text that are wanted.
        status: the response's code.
        phrase: the reason phrase behind it.
        headers: by their names in small letters.
        body: the first `MAX_BODY` bytes.

    """
    what = f"{status} {phrase}".strip()
    if not any(first <= status <= last for first, last in check.status):
        wanted = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in check.status)
        return ProbeResult.FAILURE, one_line(f"status {what}, not {wanted}")
    for name, pattern in check.header:
        value = headers.get(name)
        if value is None:
            return ProbeResult.FAILURE, one_line(f"no header {name}: {what}")
        fault = mismatch(pattern, value, f"header {name}", value)
        if fault is not None:
            return fault[0], one_line(fault[1])
    fault = None if check.expect is None else mismatch(check.expect, body, "the body", what)
    if fault is not None:
        return fault[0], one_line(fault[1])
    return ProbeResult.OK, one_line(what)


async def ask(target: Target, clock: ProbeClock) -> ProbeOutcome:
    """Ask a web server once; raises OSError where the connection fails, or TimeoutError."""
    check = target.check
    if check.implicit_tls:
        # aiohttp connects and makes the handshake as one step.
        clock.allow(check.connect_timeout + check.step_timeout)
    seen: list[ssl.SSLObject] = []
    try:
        with tls.handshakes(seen), _sockets(clock) as made:
            kind, detail = await _get(target, clock, made)
    except aiohttp.ClientConnectorCertificateError as error:
        return _refused(tls.refused_by(error.certificate_error), clock)
    except aiohttp.ClientConnectorSSLError as error:
        return ProbeOutcome(
            ProbeResult.FAILURE, one_line(f"TLS is broken: {error.os_error}"), clock.elapsed()
        )
    except aiohttp.ClientOSError as error:
        raise _system_error(error) from None
    except aiohttp.ServerDisconnectedError:
        return ProbeOutcome(
            ProbeResult.FAILURE, "connection closed while waiting for the response", clock.elapsed()
        )
    except aiohttp.ClientResponseError as error:
        return ProbeOutcome(ProbeResult.FAILURE, one_line(f"not HTTP: {error.message}"), clock.elapsed())
    except aiohttp.ClientPayloadError as error:
        return ProbeOutcome(ProbeResult.FAILURE, one_line(f"the body is broken: {error}"), clock.elapsed())
    found = tls.encryption_of(seen[-1], tls.name_for(target)) if seen else None
    if found is not None:
        clock.note("*", tls.describe(found).encode())
        fault = tls.too_old(check, found, time.time())
        if fault is not None:
            kind, detail = ProbeResult.FAILURE, one_line(fault)
    outcome = ProbeOutcome(kind, detail, clock.elapsed(), steps=tuple(clock.steps), tls=found)
    return tls.with_remark(outcome)


def _refused(shown: Encryption, clock: ProbeClock) -> ProbeOutcome:
    ours = tls.by_our_fault(shown)
    if ours is not None:
        return ProbeOutcome(ProbeResult.UNKNOWN, tls.NO_AUTHORITY, clock.elapsed(), tls=ours)
    detail = one_line(f"TLS is broken: {tls.complaint(shown)}")
    return ProbeOutcome(ProbeResult.FAILURE, detail, clock.elapsed(), tls=shown)


def _system_error(error: aiohttp.ClientOSError) -> OSError:
    """Return what aiohttp was told; it takes OpenSSL's number for errno where TLS breaks later."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    return error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error


@contextmanager
def _sockets(clock: ProbeClock) -> Iterator[aiohttp.SocketFactoryType]:
    """Make sockets that end here: a server that never takes leave of TLS would keep them for 30 seconds.

    aiohttp tells of a connection only once its TLS stands, and may have closed its socket by then: a
    duplicate tells whether the host took it.
    """
    sockets: list[socket.socket] = []

    def made(place: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = place
        sock = socket.socket(family, kind, protocol)
        sockets.append(sock.dup())
        return sock

    try:
        yield made
    finally:
        for sock in sockets:
            with sock, suppress(OSError):  # it never was connected, or has ended
                sock.getpeername()
                clock.reached = True
                sock.shutdown(socket.SHUT_RDWR)


async def _get(target: Target, clock: ProbeClock, made: aiohttp.SocketFactoryType) -> tuple[ProbeResult, str]:
    check = target.check
    address = f"[{target.address}]" if target.address.version == 6 else str(target.address)
    host = check.host or check.sni
    headers = {"User-Agent": f"geodns/{__version__}", "Accept-Encoding": "identity"}
    source = source_of(target)
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1,
                force_close=True,
                local_addr=None if source is None else (source, 0),
                socket_factory=made,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trace_configs=[_tracing(check, clock)],
        ) as session,
        session.get(
            URL(
                f"{'https' if check.implicit_tls else 'http'}://{address}:{target.port}{check.path}",
                encoded=True,
            ),
            headers=headers if host is None else headers | {"Host": host},
            allow_redirects=False,
            ssl=tls.context(verify=check.verifies) if check.implicit_tls else True,
            server_hostname=tls.name_for(target) if check.implicit_tls else None,
        ) as response,
    ):
        phrase = response.reason or ""
        lines = [f"HTTP/1.1 {response.status} {phrase}".rstrip()]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        clock.note("<", "\n".join([*lines, ""]).encode("utf-8", "replace"))
        body = await _body(response) if check.expect is not None else b""
        if body:
            clock.note("<", body[:SHOWN] + b"\n")
        clock.done("response")
        fields = {name.lower(): value for name, value in response.headers.items()}
        return judge(check, response.status, phrase, fields, body.decode("utf-8", "replace"))


def _tracing(check: Check, clock: ProbeClock) -> aiohttp.TraceConfig:
    async def connected(*_: object) -> None:
        clock.done("connect")
        clock.note("*", b"connected")
        clock.note(">", f"GET {check.path} HTTP/1.1".encode())
        clock.allow(check.step_timeout)

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_end.append(connected)
    return tracing


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) < MAX_BODY and (piece := await response.content.read(MAX_BODY)):
        body += piece
    return body[:MAX_BODY]
