"""Says what one probe found: the result for the state machine, and a line for the operator."""

from dataclasses import dataclass
from enum import StrEnum

from geodns.config.regex import SLOWLY, found

MAX_DETAIL = 200
"""Characters."""


class ProbeResult(StrEnum):
    """The result of a probe, for the state machine.

    ``shedding``: a 4xx to the greeting, EHLO or MAIL, or a 421 to STARTTLS: the host has enough to do.
    ``deferred``: a 4xx to RCPT, which may be about the recipient alone and changes nothing; nor does
    ``unknown``: trouble of the prober's own, or an agent's text without a known word.
    """

    OK = "ok"
    SHEDDING = "shedding"
    DEFERRED = "deferred"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A host's certificate.

    Attributes:
        subject: its common name, or the whole name; the names it is good for where it has no subject.
        issuer: its common name, or the whole name.
        not_before: seconds since the epoch.
        not_after: likewise, the earliest of its chain; 0 where the certificate could not be read.
        problem: ``expired``, ``not yet valid``, ``wrong name``, ``self-signed``, ``unknown issuer`` or
            another complaint about its chain; None when nothing was found. The chain is judged only where the
            check verifies it.
        ends_with: the authority in its chain that expires first, whose date `not_after` is; None: its own.

    """

    subject: str
    issuer: str
    not_before: float
    not_after: float
    problem: str | None = None
    ends_with: str | None = None

    def days_left(self, now: float) -> float:
        """Return the days until it expires; negative once it has."""
        return (self.not_after - now) / 86400


@dataclass(frozen=True, slots=True)
class Encryption:
    """The TLS of a connection.

    Attributes:
        version: as ``TLSv1.3``; None where the handshake failed.
        cipher: its name in OpenSSL; None likewise.
        certificate: None where none was seen or it cannot be read.
        old: whether a client that insists on today's version and ciphers would refuse it.

    """

    version: str | None
    cipher: str | None
    certificate: Certificate | None
    old: bool = False


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """The outcome of one probe.

    Attributes:
        detail: one line of at most 200 printable characters: the greeting, or what went wrong.
        rtt: seconds from the start of the connection to the greeting (TCP: to the connection), or to the
            end of the probe where there was none; None when the probe never got as far as the host.
        ehlo_rtt: seconds from the first EHLO (or HELO) to its 250; None when it did not come so far.
        steps: what was waited for and the seconds it took, in order, as ``("EHLO", 0.002)``: ``connect``,
            ``greeting``, ``TLS`` (the handshake), ``response`` (HTTP, agents), and SMTP's commands; EHLO
            after STARTTLS is an ``EHLO`` of its own.
        keywords: those of the last reply to EHLO, one line each, as ``SIZE 10240000``.
        weight: the share of its weight that an agent asks for, 0 to 1; None where it says nothing of it.
        remark: what an operator should know of it although it does nothing by itself.
        silent: whether a failure was a time-out or "unreachable" before the host accepted the connection:
            only such a one may be the prober's own trouble.

    """

    kind: ProbeResult
    detail: str
    rtt: float | None = None
    ehlo_rtt: float | None = None
    steps: tuple[tuple[str, float], ...] = ()
    tls: Encryption | None = None
    keywords: tuple[str, ...] = ()
    weight: float | None = None
    remark: str | None = None
    silent: bool = False

    @property
    def certificate(self) -> Certificate | None:
        return None if self.tls is None else self.tls.certificate


def one_line(text: str, limit: int = MAX_DETAIL) -> str:
    """Return a text as one line of printable characters, cut to a length."""
    clean = text[: limit + 1]
    if not clean.isprintable():
        clean = "".join(character if character.isprintable() else "\ufffd" for character in clean)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def mismatch(pattern: str, text: str, what: str, shown: str) -> tuple[ProbeResult, str] | None:
    """Return the failure if a text does not match, else None.

    Args:
        pattern: a regular expression that must be found in the text.
        text: where to look.
        what: the text's name, as "the greeting".
        shown: the text as the operator sees it.

    """
    wanted = repr(pattern[:60])
    try:
        there = found(pattern, text)
    except TimeoutError:
        return ProbeResult.UNKNOWN, f"it takes too long to look for {wanted} in {what}: {SLOWLY}"
    return None if there else (ProbeResult.FAILURE, f"{what} does not match {wanted}: {shown}")
