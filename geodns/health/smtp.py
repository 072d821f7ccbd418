"""The SMTP dialogue of a probe without sockets and clocks: bytes in, events out.

::

    GREETING ─220─► EHLO ─250─► (STARTTLS ─220─► HANDSHAKE ─► EHLO_TLS ─250─►) QUIT ─221─► OVER
        └─ anything else is judged ─► QUIT; what is no SMTP, 421 and lost connections ─► OVER

Nothing is sent before the final line of a reply: servers punish those who talk early. A reply is judged by
the code of its final line. RFC 5321 section 4.2 demands the same code on every line; where a server breaks
that (postscreen's ``220-`` teaser before a 421 or 550) the final line is its verdict, as for the clients of
section 4.2.1, which "search for a line beginning with the reply code followed by <SP> or <CRLF>".
How the bytes are cut into chunks makes no difference to what is found.
"""

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from geodns.health.outcome import MAX_DETAIL, Kind, one_line

MAX_LINE = 4096
"""Bytes of a reply line; RFC 5321 section 4.5.3.1.5 has 512, real banners are longer."""
MAX_REPLY = 65536
"""Bytes of a whole reply."""
MAX_LINES = 1000
"""Lines of a whole reply."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\x00]*))?")


class Phase(Enum):
    """What the dialogue waits for; the value says it to the operator."""

    GREETING = "the greeting"
    EHLO = "the reply to EHLO"
    STARTTLS = "the reply to STARTTLS"
    HANDSHAKE = "the TLS handshake"
    EHLO_TLS = "the reply to EHLO after STARTTLS"
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
class Judged:
    """The verdict, given once.

    Attributes:
        kind: the judgement; never ``unknown``.
        detail: one printable line.

    """

    kind: Kind
    detail: str


@dataclass(frozen=True, slots=True)
class StartTls:
    """Make the TLS handshake, then call `tls_started` or `tls_failed`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection."""


Event = Send | Greeted | Judged | StartTls | Close


def address_literal(address: IPv4Address | IPv6Address) -> str:
    """Return how a client without a domain name calls itself (RFC 5321 sections 4.1.3 and 4.1.4)."""
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


class Dialogue:
    """One conversation with a mail server.

    Attributes:
        phase: what it waits for.

    """

    __slots__ = ("_buffer", "_ehlo", "_greeting", "_judged", "_lines", "_size", "_starttls", "phase")

    def __init__(self, ehlo: str, *, starttls: bool = False) -> None:
        """Begin, connected.

        Args:
            ehlo: the name to give; a domain name or an address literal.
            starttls: whether STARTTLS must be offered and its handshake must work.

        """
        self.phase = Phase.GREETING
        self._ehlo = f"EHLO {ehlo}\r\n".encode("ascii", "replace")
        self._starttls = starttls
        self._buffer = b""
        self._lines: list[bytes] = []
        self._size = 0
        self._greeting = ""
        self._judged = False

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes that the server sent."""
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
            # Plain text after the 220 would be taken for the server's encrypted words (CVE-2011-0411).
            if self._buffer:
                events += self._end(Kind.FAILURE, "STARTTLS is broken: plain text after its reply")
        elif len(self._buffer) >= MAX_LINE:
            events += self._end(Kind.FAILURE, self._too_long())
        return events

    def tls_started(self) -> list[Event]:
        """Go on, encrypted (RFC 3207 section 4.2: begin anew with EHLO)."""
        if self.phase is not Phase.HANDSHAKE:
            return []
        self.phase = Phase.EHLO_TLS
        return [Send(self._ehlo)]

    def tls_failed(self, why: str) -> list[Event]:
        """End: no handshake came about."""
        return self._end(Kind.FAILURE, f"STARTTLS is broken: {why}")

    def lost(self, why: str) -> list[Event]:
        """End: the server closed the connection, reset it, or took too long.

        Args:
            why: what happened, as in "timed out".

        """
        seen = b"".join([*self._lines, self._buffer])
        after = f" after {seen[:80]!r}" if seen else ""
        return self._end(Kind.FAILURE, f"{why} while waiting for {self.phase.value}{after}")

    def _line(self, line: bytes) -> list[Event]:
        self._lines.append(line)
        self._size += len(line)
        found = _LINE.fullmatch(line.rstrip(b"\r\n"))
        if found is None:
            return self._end(Kind.FAILURE, f"not SMTP: {line[:80]!r}")
        if self._size > MAX_REPLY or len(self._lines) > MAX_LINES:
            return self._end(Kind.FAILURE, self._too_long())
        if found[2] == b"-":
            return []
        lines, self._lines, self._size = self._lines, [], 0
        return self._reply(int(found[1]), lines)

    def _too_long(self) -> str:
        return "banner too long" if self.phase is Phase.GREETING else f"{self.phase.value} is too long"

    def _reply(self, code: int, lines: list[bytes]) -> list[Event]:
        match self.phase:
            case Phase.GREETING:
                return [Greeted(), *self._on_greeting(code, _text(code, lines))]
            case Phase.EHLO:
                return self._on_ehlo(code, lines)
            case Phase.STARTTLS:
                return self._on_starttls(code, _text(code, lines))
            case Phase.EHLO_TLS:
                return self._on_ehlo_tls(code, _text(code, lines))
            case _:
                return self._close()

    def _on_greeting(self, code: int, text: str) -> list[Event]:
        if code == 220:
            self._greeting = text
            self.phase = Phase.EHLO
            return [Send(self._ehlo)]
        if code == 421:
            return self._end(Kind.SHEDDING, text)  # section 3.8: the server closes without a QUIT
        if 400 <= code <= 499:
            return self._judge(Kind.SHEDDING, text)
        return self._judge(Kind.FAILURE, _refusal(code, text))

    def _on_ehlo(self, code: int, lines: list[bytes]) -> list[Event]:
        if code != 250:
            return self._refused("EHLO", code, _text(code, lines))
        if not self._starttls:
            return self._judge(Kind.OK, self._greeting)
        if not any(line[4:].strip().upper() == b"STARTTLS" for line in lines[1:]):
            return self._judge(Kind.FAILURE, "STARTTLS is not offered")
        self.phase = Phase.STARTTLS
        return [Send(b"STARTTLS\r\n")]

    def _on_starttls(self, code: int, text: str) -> list[Event]:
        if code == 220:
            self.phase = Phase.HANDSHAKE
            return [StartTls()]
        if code == 421:
            return self._end(Kind.DEFERRED, f"STARTTLS: {text}")
        # 454 too: "TLS not available" is what a server says whose certificate cannot be read.
        return self._judge(Kind.FAILURE, f"STARTTLS is broken: {text}")

    def _on_ehlo_tls(self, code: int, text: str) -> list[Event]:
        if code != 250:
            return self._refused("EHLO after STARTTLS", code, text)
        return self._judge(Kind.OK, self._greeting)

    def _refused(self, command: str, code: int, text: str) -> list[Event]:
        if code == 421:
            return self._end(Kind.DEFERRED, f"{command}: {text}")
        if 400 <= code <= 499:
            return self._judge(Kind.DEFERRED, f"{command}: {text}")
        return self._judge(Kind.FAILURE, f"{command}: {_refusal(code, text)}")

    def _judge(self, kind: Kind, detail: str) -> list[Event]:
        """Give the verdict and take leave."""
        self._judged = True
        self.phase = Phase.QUIT
        return [Judged(kind, one_line(detail)), Send(b"QUIT\r\n")]

    def _end(self, kind: Kind, detail: str) -> list[Event]:
        """Close; this is the verdict unless there was one."""
        if self.phase is Phase.OVER:
            return []
        verdict: list[Event] = [] if self._judged else [Judged(kind, one_line(detail))]
        return [*verdict, *self._close()]

    def _close(self) -> list[Event]:
        self.phase = Phase.OVER
        self._buffer = b""
        self._lines = []
        return [Close()]


def _text(code: int, lines: list[bytes]) -> str:
    """Return a reply as one line: its code, and the texts of its first lines."""
    texts = (line[4:].strip().decode("utf-8", "replace") for line in lines[:10])
    return " ".join([str(code), *filter(None, texts)])


_BLOCKED = "(is the prober blocked?)"
_ROOM = MAX_DETAIL - len(_BLOCKED) - 30
"""For the text before it, when a command's name stands in front."""


def _refusal(code: int, text: str) -> str:
    """Return the text of a refusal; a 5xx often means the prober, not the host."""
    if code < 500:
        return f"unexpected {text}"
    return f"{one_line(text, _ROOM)} {_BLOCKED}"
