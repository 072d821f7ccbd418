"""Carries bytes between a connection and the SMTP dialogue, and makes its TLS handshake."""

import asyncio
import socket
import ssl
import time
from ipaddress import ip_address
from typing import Literal

from geodns.health import tls
from geodns.health.clock import ProbeClock
from geodns.health.connect import reason
from geodns.health.outcome import Encryption, ProbeOutcome, ProbeResult
from geodns.health.smtp import (
    Close,
    Dialogue,
    Event,
    Greeted,
    Phase,
    Replied,
    Requirements,
    Send,
    SmtpVerdict,
    StartTls,
    address_literal,
)
from geodns.model.checks import Check, Target

FAREWELL = 2.0
"""Seconds to wait for the reply to QUIT: the verdict stands by then."""


def dialogue_of(check: Check, ehlo: str) -> Dialogue:
    """Return the dialogue of a check of one of the mail types."""
    encryption: Literal["starttls", "implicit"] = "implicit" if check.implicit_tls else "starttls"
    required = Requirements(
        lmtp=check.type == "lmtp",
        tls=encryption if check.encrypts else None,
        expect=check.expect,
        require=check.require,
        envelope=None if check.rcpt_to is None else (check.mail_from, check.rcpt_to),
        shed_rcpt=check.rcpt_4xx == "shed",
    )
    return Dialogue(ehlo, required)


def own_literal(sock: socket.socket) -> str:
    """Return this end's address, as the EHLO name of a client without a domain name."""
    address, _, _ = sock.getsockname()[0].partition("%")
    return address_literal(ip_address(address))


class SmtpConversation(asyncio.Protocol):
    """A connection and its dialogue.

    Attributes:
        turn: done when the dialogue is over, or when the TLS handshake is to begin.
        wants_tls: which of the two.
        outcome: None until there is a verdict.

    """

    def __init__(self, dialogue: Dialogue, target: Target, clock: ProbeClock) -> None:
        self._dialogue = dialogue
        self._target = target
        self._check = target.check
        self._clock = clock
        self._greeted: float | None = None
        self._ehlo_rtt: float | None = None
        self._transport: asyncio.Transport | None = None
        self._tls: Encryption | None = None
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wants_tls = False
        self.outcome: ProbeOutcome | None = None

    async def hold(self, sock: socket.socket) -> ProbeOutcome:
        """Hold the whole conversation; raises OSError, of which `lost` makes an outcome."""
        await asyncio.get_running_loop().create_connection(lambda: self, sock=sock)
        if self._check.implicit_tls:
            await self._encrypt()
        await self.turn
        if self.wants_tls:
            await self._encrypt()
            await self.turn
        assert self.outcome is not None
        return self.outcome

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        implicit = self._check.implicit_tls
        self._clock.allow(self._check.step_timeout if implicit else self._check.greeting_timeout)

    def data_received(self, data: bytes) -> None:
        self._clock.note("<", data)
        self._follow(self._dialogue.receive(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost(reason(exc))

    def lost(self, why: str) -> None:
        """Judge a connection that ended, or that ran out of time."""
        self._follow(self._dialogue.lost(why))

    def abort(self) -> None:
        """Close without waiting for anything; nothing unsent is of use to the server."""
        if self._transport is not None:
            self._transport.abort()

    async def _encrypt(self) -> None:
        self.wants_tls = False
        self.turn = asyncio.get_running_loop().create_future()
        assert self._transport is not None
        if self._dialogue.phase is Phase.OVER:
            self.turn.set_result(None)
            return
        self._clock.begin()
        verifies = self._check.verifies
        name = tls.name_for(self._target)
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                tls.context(verify=verifies),
                server_hostname=name,
                ssl_handshake_timeout=self._clock.left() + 1,
            )
        except ssl.SSLCertVerificationError as error:
            self._refused(tls.refused_by(error))
            return
        except OSError as error:
            why = error.reason if isinstance(error, ssl.SSLError) else reason(error)
            self._follow(self._dialogue.tls_failed(why or str(error)))
            return
        assert transport is not None
        self._transport = transport
        self._clock.done("TLS")
        self._tls = tls.encryption_of(transport.get_extra_info("ssl_object"), name)
        self._clock.note("*", tls.describe(self._tls).encode())
        if self._check.implicit_tls:
            self._clock.allow(self._check.greeting_timeout)
        self._follow(self._dialogue.tls_started(tls.too_old(self._check, self._tls, time.time())))

    def _refused(self, shown: Encryption) -> None:
        self._tls = tls.by_our_fault(shown)
        if self._tls is not None:
            self._follow(self._dialogue.tls_unknown(tls.NO_AUTHORITY))
        else:
            self._tls = shown
            self._follow(self._dialogue.tls_failed(tls.complaint(shown)))

    def _follow(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(data):
                    self._send(data)
                case Greeted():
                    self._greeted = self._clock.elapsed()
                    self._clock.done("greeting")
                case Replied(command, good):
                    self._clock.done(command)
                    if command in {"EHLO", "HELO"} and good and self._ehlo_rtt is None:
                        self._ehlo_rtt = self._clock.steps[-1][1]
                case SmtpVerdict(kind, detail):
                    self.outcome = self._judged(kind, detail)
                case StartTls():
                    self.wants_tls = True
                    self._clock.allow(self._check.step_timeout)
                    self._done()
                case Close():
                    self.abort()
                    self._done()

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self._clock.note(">", data)
        judged = self._dialogue.phase in {Phase.RSET, Phase.QUIT}
        step = self._check.step_timeout
        self._clock.allow(min(FAREWELL, step) if judged else step)
        self._clock.begin()
        self._transport.write(data)

    def _judged(self, kind: ProbeResult, detail: str) -> ProbeOutcome:
        outcome = ProbeOutcome(
            kind,
            detail,
            self._clock.elapsed() if self._greeted is None else self._greeted,
            self._ehlo_rtt,
            steps=tuple(self._clock.steps),
            tls=self._tls,
            keywords=self._dialogue.keywords,
        )
        return tls.with_remark(outcome)

    def _done(self) -> None:
        if not self.turn.done():
            self.turn.set_result(None)
