"""The SMTP dialogue of a probe without sockets and clocks: bytes in, events out.

::

    GREETING ─220─► EHLO ─250─► (STARTTLS ─220─► HANDSHAKE ─► EHLO_TLS ─250─►)
                                (MAIL ─250─► RCPT ─250─► RSET ─►) QUIT ─221─► OVER
        └─ anything else is judged ─► QUIT; what is no SMTP, 421 and lost connections ─► OVER

After a 5xx to the first EHLO comes one HELO (RFC 5321 section 3.2), whose 250 offers no keywords.
With TLS from the start (port 465) a HANDSHAKE comes before the GREETING. LMTP (RFC 2033) says LHLO.

Nothing is sent before the final line of a reply: servers punish those who talk early. A reply is judged by
the code of its final line. RFC 5321 section 4.2 demands the same code on every line; where a server breaks
that (postscreen's ``220-`` teaser before a 421 or 550) the final line is its verdict, as for the clients of
section 4.2.1, which "search for a line beginning with the reply code followed by <SP> or <CRLF>".
Where the chunks of bytes end makes no difference.
"""

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from geodns.health.outcome import ProbeResult, mismatch, one_line
from geodns.health.refusals import describe_refusal

MAX_LINE = 4096
"""Bytes of a reply line; RFC 5321 section 4.5.3.1.5 has 512, real banners are longer."""
MAX_REPLY = 65536
"""Bytes of a whole reply."""
MAX_LINES = 1000
"""Lines of a whole reply."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\x00]*))?")


class Phase(Enum):
    """The reply that the dialogue waits for, in the operator's words."""

    GREETING = "the greeting"
    EHLO = "the reply to EHLO"
    HELO = "the reply to HELO"
    STARTTLS = "the reply to STARTTLS"
    HANDSHAKE = "the TLS handshake"
    EHLO_TLS = "the reply to EHLO after STARTTLS"
    MAIL = "the reply to MAIL FROM"
    RCPT = "the reply to RCPT TO"
    RSET = "the reply to RSET"
    QUIT = "the reply to QUIT"
    OVER = "nothing"


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Greeted:
    """The whole greeting is there."""


@dataclass(frozen=True, slots=True)
class Replied:
    """The whole reply to a command is there.

    Attributes:
        command: its first word; EHLO for LHLO too.
        good: whether the reply is a 2xx.

    """

    command: str
    good: bool = True


@dataclass(frozen=True, slots=True)
class SmtpVerdict:
    """The verdict, given once.

    Attributes:
        kind: ``unknown`` only where looking for the expected text takes too long, or where the prober's TLS
            has trouble of its own.
        detail: one printable line.

    """

    kind: ProbeResult
    detail: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Make the TLS handshake, then call `tls_started` or `tls_failed`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""


Event = Send | Greeted | Replied | SmtpVerdict | StartTls | Close

_COMMANDS = {
    Phase.EHLO: "EHLO",
    Phase.HELO: "HELO",
    Phase.STARTTLS: "STARTTLS",
    Phase.EHLO_TLS: "EHLO",
    Phase.MAIL: "MAIL",
    Phase.RCPT: "RCPT",
}
"""The command whose reply a phase waits for, while the host may still fail."""

EXPECT_WITHIN = 1000
"""Characters of the greeting that are searched for an expected text."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """Requirements of a check beyond a greeting and EHLO.

    Attributes:
        tls: ``starttls``, ``implicit`` (before the greeting) or None.
        expect: a regular expression for the greeting's text, whose lines are joined by line feeds.
        require: EHLO keywords that must be offered, in capital letters, before TLS or in it.
        envelope: sender and recipient that must be accepted, for a mail that is not sent.
        shed_rcpt: whether a 4xx to the recipient is shedding: it may be about the recipient alone.

    """

    lmtp: bool = False
    tls: Literal["starttls", "implicit"] | None = None
    expect: str | None = None
    require: tuple[str, ...] = ()
    envelope: tuple[str, str] | None = None
    shed_rcpt: bool = False


NOTHING_REQUIRED = Requirements()


def address_literal(address: IPv4Address | IPv6Address) -> str:
    """Return the EHLO name of a client without a domain name (RFC 5321 sections 4.1.3 and 4.1.4)."""
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


class Dialogue:
    """One conversation with a mail server.

    Attributes:
        keywords: those of the last reply to EHLO, a line each.

    """

    __slots__ = (
        "_buffer",
        "_ehlo",
        "_ehlo_refusal",
        "_fault",
        "_greeting",
        "_helo",
        "_judged",
        "_lines",
        "_offered",
        "_required",
        "_size",
        "_verb",
        "keywords",
        "phase",
    )

    def __init__(self, ehlo: str, required: Requirements = NOTHING_REQUIRED) -> None:
        """Begin, connected; with TLS from the start, make its handshake now.

        Args:
            ehlo: a domain name or an address literal.
            required: what the host must do.

        """
        self.phase = Phase.HANDSHAKE if required.tls == "implicit" else Phase.GREETING
        self.keywords: tuple[str, ...] = ()
        self._verb = "LHLO" if required.lmtp else "EHLO"
        self._ehlo = f"{self._verb} {ehlo}\r\n".encode("ascii", "replace")
        self._helo = f"HELO {ehlo}\r\n".encode("ascii", "replace")
        self._ehlo_refusal: tuple[int, str] | None = None
        self._required = required
        self._offered: set[str] = set()
        self._fault: str | None = None
        self._buffer = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._greeting = ""
        self._judged = False

    def receive(self, data: bytes) -> list[Event]:
        if self.phase is Phase.OVER:
            return []
        buffer = self._buffer + data
        start = 0
        events: list[Event] = []
        while self.phase is not Phase.HANDSHAKE:
            end = buffer.find(b"\n", start, start + MAX_LINE)
            if end < 0:
                break
            events += self._line(buffer[start : end + 1])
            if events and isinstance(events[-1], Close):
                return events
            start = end + 1
        self._buffer = buffer[start:]
        if self.phase is Phase.HANDSHAKE:
            # Plain text after the 220 would pass for encrypted replies of the server (CVE-2011-0411).
            if self._buffer:
                events += self._end(ProbeResult.FAILURE, self._plain())
        elif len(self._buffer) >= MAX_LINE:
            events += self._end(ProbeResult.FAILURE, self._too_long())
        return events

    def tls_started(self, fault: str | None = None) -> list[Event]:
        """Go on, encrypted (RFC 3207 section 4.2: begin anew with EHLO).

        Args:
            fault: what is wrong with the certificate: the host fails, and the dialogue still ends with QUIT.

        """
        if self.phase is not Phase.HANDSHAKE:
            return []
        if self._required.tls == "implicit":
            self._fault = fault  # for after the greeting: nothing is sent before it
            self.phase = Phase.GREETING
            return []
        if fault is not None:
            return self._judge(ProbeResult.FAILURE, fault)
        self.phase = Phase.EHLO_TLS
        return [Send(self._ehlo)]

    def tls_failed(self, why: str) -> list[Event]:
        """End: the handshake failed."""
        what = "TLS" if self._required.tls == "implicit" else "STARTTLS"
        return self._end(ProbeResult.FAILURE, f"{what} is broken: {why}")

    def tls_unknown(self, why: str) -> list[Event]:
        """End: the handshake failed, and not by the server's fault."""
        return self._end(ProbeResult.UNKNOWN, why)

    def _plain(self) -> str:
        if self._required.tls == "implicit":
            return f"TLS is broken: the server speaks first, and plain text: {self._buffer[:80]!r}"
        return "STARTTLS is broken: plain text after its reply"

    def lost(self, why: str) -> list[Event]:
        """End: the server closed the connection, reset it, or took too long.

        Args:
            why: what happened, as in "timed out".

        """
        if self.phase is Phase.HELO and self._ehlo_refusal is not None:
            refusal = f"{self._verb}: {self._described(*self._ehlo_refusal)}"
            return self._end(ProbeResult.FAILURE, refusal)
        seen = b"".join([*self._lines, self._buffer])
        after = f" after {seen[:80]!r}" if seen else ""
        return self._end(ProbeResult.FAILURE, f"{why} while waiting for {self._awaited()}{after}")

    def _awaited(self) -> str:
        return self.phase.value.replace("EHLO", self._verb)

    def _line(self, line: bytes) -> list[Event]:
        self._lines.append(line)
        self._size += len(line)
        found = _LINE.fullmatch(line.rstrip(b"\r\n"))
        if found is None:
            return self._end(ProbeResult.FAILURE, f"not SMTP: {line[:80]!r}")
        if self._size > MAX_REPLY or len(self._lines) > MAX_LINES:
            return self._end(ProbeResult.FAILURE, self._too_long())
        if found[2] == b"-":
            return []
        lines, self._lines, self._size = self._lines, [], 0
        return self._reply(int(found[1]), lines)

    def _too_long(self) -> str:
        return "banner too long" if self.phase is Phase.GREETING else f"{self._awaited()} is too long"

    def _reply(self, code: int, lines: list[bytes]) -> list[Event]:
        text = one_text(code, lines)
        if self.phase is Phase.GREETING:
            return [Greeted(), *self._on_greeting(code, text, lines)]
        command = _COMMANDS.get(self.phase)
        if command is None:
            return self._close() if self.phase is Phase.QUIT else self._on_rset()
        return [Replied(command, good=200 <= code <= 299), *self._on_command(code, text, lines)]

    def _on_command(self, code: int, text: str, lines: list[bytes]) -> list[Event]:
        match self.phase:
            case Phase.EHLO | Phase.HELO | Phase.EHLO_TLS:
                return self._on_ehlo(code, text, lines)
            case Phase.STARTTLS:
                return self._on_starttls(code, text)
            case Phase.MAIL:
                return self._on_mail(code, text)
            case _:
                return self._on_rcpt(code, text)

    def _on_greeting(self, code: int, text: str, lines: list[bytes]) -> list[Event]:
        if code == 421:
            return self._end(ProbeResult.SHEDDING, text)  # section 3.8: the server closes without a QUIT
        if 400 <= code <= 499:
            return self._judge(ProbeResult.SHEDDING, text)
        if code != 220:
            return self._judge(ProbeResult.FAILURE, self._described(code, text))
        if self._fault is not None:
            return self._judge(ProbeResult.FAILURE, self._fault)
        expect = self._required.expect
        if expect is not None:
            fault = mismatch(expect, plain_text(lines)[:EXPECT_WITHIN], "the greeting", text)
            if fault is not None:
                return self._judge(*fault)
        self._greeting = text
        self.phase = Phase.EHLO
        return [Send(self._ehlo)]

    def _on_ehlo(self, code: int, text: str, lines: list[bytes]) -> list[Event]:
        after = " after STARTTLS" if self.phase is Phase.EHLO_TLS else ""
        if self.phase is Phase.EHLO and 500 <= code <= 599 and not self._required.lmtp:
            self._ehlo_refusal = code, text
            self.phase = Phase.HELO
            return [Send(self._helo)]
        if code != 250:
            if self._ehlo_refusal is not None and code >= 500:
                code, text = self._ehlo_refusal  # says more: HELO is what the host likes better
            verb = "HELO" if self.phase is Phase.HELO and code < 500 else self._verb
            return self._refused(f"{verb}{after}", code, text)
        return self._on_welcome(lines)

    def _on_welcome(self, lines: list[bytes]) -> list[Event]:
        """Look at what a 250 to EHLO or HELO offers."""
        offered = [] if self.phase is Phase.HELO else lines[1:]
        self.keywords = tuple(filter(None, (one_line(decoded(line)) for line in offered)))
        words = {one.split()[0].partition("=")[0].upper() for one in self.keywords if one.split()}
        self._offered |= words
        if self.phase is not Phase.EHLO_TLS and self._required.tls == "starttls":
            if not any(one.upper() == "STARTTLS" for one in self.keywords):
                return self._judge(ProbeResult.FAILURE, "STARTTLS is not offered")
            self.phase = Phase.STARTTLS
            return [Send(b"STARTTLS\r\n")]
        missing = [word for word in self._required.require if word not in self._offered]
        if missing:
            verb = "are" if len(missing) > 1 else "is"
            return self._judge(ProbeResult.FAILURE, f"{', '.join(missing)} {verb} not offered")
        if self._required.envelope is None:
            return self._judge(ProbeResult.OK, self._greeting)
        self.phase = Phase.MAIL
        return [Send(f"MAIL FROM:<{self._required.envelope[0]}>\r\n".encode("ascii", "replace"))]

    def _on_mail(self, code: int, text: str) -> list[Event]:
        if code != 250 or self._required.envelope is None:
            return self._refused("MAIL FROM", code, text)
        self.phase = Phase.RCPT
        return [Send(f"RCPT TO:<{self._required.envelope[1]}>\r\n".encode("ascii", "replace"))]

    def _on_rcpt(self, code: int, text: str) -> list[Event]:
        if code not in {250, 251}:  # 251: taken, and forwarded (section 3.4)
            return self._refused("RCPT TO", code, text)
        # The verdict stands; RSET before QUIT shows in the server's log that no mail was lost.
        self._judged = True
        self.phase = Phase.RSET
        return [SmtpVerdict(ProbeResult.OK, one_line(self._greeting)), Send(b"RSET\r\n")]

    def _on_rset(self) -> list[Event]:
        self.phase = Phase.QUIT
        return [Send(b"QUIT\r\n")]

    def _on_starttls(self, code: int, text: str) -> list[Event]:
        if code == 220:
            self.phase = Phase.HANDSHAKE
            return [StartTls()]
        if code == 421:
            return self._end(ProbeResult.SHEDDING, f"STARTTLS: {text}")
        # 454 too: "TLS not available" is what a server says whose certificate cannot be read.
        return self._judge(ProbeResult.FAILURE, f"STARTTLS is broken: {text}")

    def _refused(self, command: str, code: int, text: str) -> list[Event]:
        kept = self.phase is Phase.RCPT and not self._required.shed_rcpt
        busy = ProbeResult.DEFERRED if kept else ProbeResult.SHEDDING
        detail = f"{command}: {self._described(code, text)}"
        if code == 421:
            return self._end(busy, detail)
        return self._judge(busy if 400 <= code <= 499 else ProbeResult.FAILURE, detail)

    def _described(self, code: int, text: str) -> str:
        return describe_refusal(code, text, encrypts=self._required.tls is not None)

    def _judge(self, kind: ProbeResult, detail: str) -> list[Event]:
        """Give the verdict and send QUIT."""
        self._judged = True
        self.phase = Phase.QUIT
        return [SmtpVerdict(kind, one_line(detail)), Send(b"QUIT\r\n")]

    def _end(self, kind: ProbeResult, detail: str) -> list[Event]:
        """Close; this is the verdict unless there was one."""
        if self.phase is Phase.OVER:
            return []
        verdict: list[Event] = [] if self._judged else [SmtpVerdict(kind, one_line(detail))]
        return [*verdict, *self._close()]

    def _close(self) -> list[Event]:
        self.phase = Phase.OVER
        self._buffer = b""
        self._lines = []
        return [Close()]


# --- texts of replies -----------------------------------------------------------------------------------


def decoded(line: bytes) -> str:
    """Return the text of a reply's line, without its code."""
    return line[4:].strip().decode("utf-8", "replace")


def one_text(code: int, lines: list[bytes]) -> str:
    """Return a reply as one line: its code, and the texts of its first lines."""
    return " ".join([str(code), *filter(None, map(decoded, lines[:10]))])


def plain_text(lines: list[bytes]) -> str:
    """Return a reply's text without its codes."""
    return "\n".join(map(decoded, lines))
