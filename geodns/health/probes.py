"""One probe: connect to a target, hold the dialogue against the clock, say what was found.

`probe` is the only thing here that others call; it holds the sockets, `smtp` decides.
"""

import asyncio
import errno
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from functools import cache
from ipaddress import ip_address
from typing import Literal, NamedTuple

from geodns.errors import BadNameError
from geodns.health.outcome import Kind, Outcome, one_line
from geodns.health.smtp import (
    Close,
    Dialogue,
    Event,
    Greeted,
    Judged,
    Phase,
    Send,
    StartTls,
    address_literal,
)
from geodns.model import Check, Target
from geodns.names import labels_of

log = logging.getLogger(__name__)

FAREWELL = 2.0
"""Seconds to wait for the reply to QUIT: the verdict stands already and should not wait long."""

STALLED = 1.0
"""Seconds that a time limit may be noticed too late before the fault is ours: the process was suspended or
overloaded, so the host's answer may lie unread."""

_OURS = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EMFILE,
        errno.ENFILE,
        errno.EACCES,
        errno.EPERM,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EAFNOSUPPORT,
    }
)
"""What says nothing of the host. EHOSTUNREACH is not among them: it is what the kernel reports when nobody
answers ARP, so it is how a host in the same network looks that is switched off."""


class Said(NamedTuple):
    """An entry of a transcript.

    Attributes:
        at: seconds since the probe began.
        who: ``<`` the server, ``>`` the prober, ``*`` a remark.
        data: the bytes as they came, which need not be whole lines.

    """

    at: float
    who: Literal["<", ">", "*"]
    data: bytes


OWN_NAME_TIME = 2.0
"""Seconds that a resolver may take to say this machine's name."""

Transcript = Callable[[Said], None]


def own_name() -> str | None:
    """Return this machine's full domain name; None if it has none, or the resolver is too slow to say it."""
    name = socket.gethostname()
    name = (name if "." in name else _ask_for_name(name)).rstrip(".").lower()
    try:
        labels = labels_of(name)
    except BadNameError:
        return None
    whole = (
        len(labels) > 1 and not labels[-1].isdigit() and labels[0] != b"localhost" and labels[-1] != b"arpa"
    )
    return name if whole else None


def _ask_for_name(name: str) -> str:
    found: list[str] = []
    # A thread that the end of the process need not wait for.
    asking = threading.Thread(target=lambda: found.append(socket.getfqdn(name)), daemon=True)
    asking.start()
    asking.join(OWN_NAME_TIME)
    return found[0] if found else name


async def probe(target: Target, *, ehlo: str | None, transcript: Transcript | None = None) -> Outcome:
    """Probe a target once; every fault is an outcome.

    Args:
        target: what to probe, and how.
        ehlo: the name to give unless the check has one; None means the address of the own end, as a literal.
        transcript: is told everything that is said.

    """
    clock = _Clock(target.check, transcript)
    try:
        return await _probe(target, ehlo, clock)
    except Exception as error:
        log.exception("the probe of %s failed by a fault of its own", target.key)
        return Outcome(Kind.UNKNOWN, one_line(f"a fault of the prober: {error!r}"))


class _Clock:
    """The time limits of one probe, as one timer that is moved, and its transcript."""

    def __init__(self, check: Check, transcript: Transcript | None) -> None:
        self._now = asyncio.get_running_loop().time
        self._transcript = transcript
        self.started = self._now()
        self.end = self.started + check.timeout
        self.limit = asyncio.timeout_at(min(self.end, self.started + check.connect_timeout))

    def elapsed(self) -> float:
        return self._now() - self.started

    def allow(self, seconds: float) -> None:
        """Move the limit: so long from now, but never past the whole probe's."""
        if not self.limit.expired():
            self.limit.reschedule(min(self.end, self._now() + seconds))

    def left(self) -> float:
        when = self.limit.when()
        assert when is not None
        return max(0.001, when - self._now())

    def stalled(self) -> bool:
        """Tell whether the limit that has passed is noticed so late that it means nothing."""
        when = self.limit.when()
        return when is not None and self._now() - when > STALLED

    def note(self, who: Literal["<", ">", "*"], data: bytes) -> None:
        if self._transcript is not None:
            self._transcript(Said(self.elapsed(), who, data))


async def _probe(target: Target, ehlo: str | None, clock: _Clock) -> Outcome:
    talk: _Conversation | None = None
    try:
        async with clock.limit:
            sock = await _connect(target)
            clock.note("*", b"connected")
            if target.check.type == "tcp":
                sock.close()
                return Outcome(Kind.OK, "connected", clock.elapsed())
            name = target.check.ehlo or ehlo or _own_literal(sock)
            dialogue = Dialogue(name, starttls=target.check.starttls == "offered")
            talk = _Conversation(dialogue, target.check, clock)
            await asyncio.get_running_loop().create_connection(lambda: talk, sock=sock)
            await talk.turn
            if talk.wants_tls:
                await talk.encrypt()
                await talk.turn
    except OSError as error:
        return _failed(error, talk, clock)
    finally:
        if talk is not None:
            talk.abort()
    assert talk.outcome is not None
    return talk.outcome


def _failed(error: OSError, talk: "_Conversation | None", clock: _Clock) -> Outcome:
    """Judge a connection that did not come about, or a dialogue that ran out of time."""
    if talk is not None and talk.outcome is not None:
        return talk.outcome
    if error.errno in _OURS:
        return Outcome(Kind.UNKNOWN, f"trouble of the prober's own: {_reason(error)}")
    if isinstance(error, TimeoutError) and error.errno is None and clock.stalled():
        return Outcome(Kind.UNKNOWN, "the prober was held up and missed its time limits")
    why = "timed out" if isinstance(error, TimeoutError) else _reason(error)
    if talk is None:
        detail = f"{why} while connecting" if isinstance(error, TimeoutError) else why
        return Outcome(Kind.FAILURE, detail, clock.elapsed())
    talk.lost(why)
    assert talk.outcome is not None
    return talk.outcome


def _reason(error: Exception | None) -> str:
    """Return what happened in the system's words, without asyncio's."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOTCONN:  # it was connected, and reset before we looked
        number = errno.ECONNRESET
    return os.strerror(number).lower() if number else "connection closed"


async def _connect(target: Target) -> socket.socket:
    family = socket.AF_INET if target.address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (str(target.address), target.port))
        if sock.getsockname() == sock.getpeername():
            # Whoever connects to a free port of his own machine may meet himself (RFC 9293 section 3.5).
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")  # noqa: TRY301 - closed below
    except BaseException:
        sock.close()
        raise
    return sock


def _own_literal(sock: socket.socket) -> str:
    address, _, _ = sock.getsockname()[0].partition("%")
    return address_literal(ip_address(address))


class _Conversation(asyncio.Protocol):
    """Carries bytes between a connection and its dialogue.

    Attributes:
        turn: done when the dialogue is over, or when it is this machine's turn to begin TLS.
        wants_tls: which of the two.
        outcome: the verdict, as soon as there is one.

    """

    def __init__(self, dialogue: Dialogue, check: Check, clock: _Clock) -> None:
        self._dialogue = dialogue
        self._check = check
        self._clock = clock
        self._greeted: float | None = None
        self._ehlo: float | None = None
        self._ehlo_rtt: float | None = None
        self._transport: asyncio.Transport | None = None
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wants_tls = False
        self.outcome: Outcome | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._clock.allow(self._check.greeting_timeout)

    def data_received(self, data: bytes) -> None:
        self._clock.note("<", data)
        self._follow(self._dialogue.receive(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost(_reason(exc))

    def lost(self, why: str) -> None:
        self._follow(self._dialogue.lost(why))

    def abort(self) -> None:
        """Close without waiting for anything; nothing unsent is of use to the server."""
        if self._transport is not None:
            self._transport.abort()

    async def encrypt(self) -> None:
        """Make the TLS handshake; every certificate will do, as for a mail server that encrypts if it can."""
        self.wants_tls = False
        self.turn = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        if self._dialogue.phase is Phase.OVER:
            self.turn.set_result(None)
            return
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, self, _context(), ssl_handshake_timeout=self._clock.left() + 1
            )
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else _reason(error)
            self._follow(self._dialogue.tls_failed(reason or str(error)))
            return
        assert transport is not None
        self._transport = transport
        self._clock.note("*", str(transport.get_extra_info("cipher")).encode())
        self._follow(self._dialogue.tls_started())

    def _follow(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(data):
                    assert self._transport is not None
                    self._time_ehlo()
                    self._clock.note(">", data)
                    self._clock.allow(
                        min(FAREWELL, self._check.step_timeout)
                        if self._dialogue.phase is Phase.QUIT
                        else self._check.step_timeout
                    )
                    self._transport.write(data)
                case Greeted():
                    self._greeted = self._clock.elapsed()
                case Judged(kind, detail):
                    elapsed = self._clock.elapsed() if self._greeted is None else self._greeted
                    if kind is Kind.OK:
                        self._time_ehlo()
                    self.outcome = Outcome(kind, detail, elapsed, self._ehlo_rtt)
                case StartTls():
                    self.wants_tls = True
                    self._clock.allow(self._check.step_timeout)
                    self._done()
                case Close():
                    self.abort()
                    self._done()

    def _time_ehlo(self) -> None:
        """Take the time when the first EHLO is sent, and when its 250 has been read."""
        if self._dialogue.phase is Phase.EHLO:
            self._ehlo = self._clock.elapsed()
        elif self._ehlo is not None and self._ehlo_rtt is None:
            self._ehlo_rtt = self._clock.elapsed() - self._ehlo

    def _done(self) -> None:
        if not self.turn.done():
            self.turn.set_result(None)


@cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
