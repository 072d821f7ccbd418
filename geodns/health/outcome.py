"""What one probe found: the word that the state machine takes, and the text that the operator reads."""

from dataclasses import dataclass
from enum import StrEnum

from geodns.config.regex import SLOWLY, found

MAX_DETAIL = 200
"""Characters."""


class ProbeResult(StrEnum):
    """How a probe ended (the table of DESIGN section 6).

    ``ok`` and ``failure`` speak for themselves. ``shedding``: a 4xx greeting, the host has enough to do.
    ``deferred``: a 4xx later, which says nothing. ``unknown``: trouble of our own, which says nothing either.
    """

    OK = "ok"
    SHEDDING = "shedding"
    DEFERRED = "deferred"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a host showed of itself.

    Attributes:
        subject: whose it is; the names it is good for where it has no subject.
        issuer: who signed it.
        not_before: seconds since the epoch from which it is good.
        not_after: and until which.
        problem: ``expired``, ``not yet valid``, ``wrong name``, ``self-signed``, ``unknown issuer`` or
            another complaint about its chain; None when nothing was found. The chain is judged only where the
            check verifies it.

    """

    subject: str
    issuer: str
    not_before: float
    not_after: float
    problem: str | None = None

    def days_left(self, now: float) -> float:
        """Return for how many days it is still good; negative once it has expired.

        Args:
            now: seconds since the epoch.

        """
        return (self.not_after - now) / 86400


@dataclass(frozen=True, slots=True)
class Encryption:
    """The TLS of a connection.

    Attributes:
        version: as ``TLSv1.3``; None where the handshake failed.
        cipher: its name in OpenSSL; None likewise.
        certificate: the host's; None where none was seen or it cannot be read.

    """

    version: str | None
    cipher: str | None
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """What one probe found.

    Attributes:
        kind: the judgement.
        detail: one line of at most 200 printable characters: the greeting, or what went wrong.
        rtt: seconds from the start of the connection to the greeting (TCP: to the connection), or to the
            judgement where there was none; None when the probe never got as far as the host.
        ehlo_rtt: seconds from EHLO to its 250, the first of them; None when it did not come so far.
        steps: what was waited for and the seconds it took, in order, as ``("EHLO", 0.002)``: ``connect``,
            ``greeting``, ``TLS`` (the handshake), ``response`` (HTTP, agents), and SMTP's commands; EHLO
            after STARTTLS is an ``EHLO`` of its own.
        tls: None where there was none.
        keywords: what the last reply to EHLO offered, one line each, as ``SIZE 10240000``.
        weight: the share of its weight that the host asks for, 0 to 1; None where it says nothing of it.

    """

    kind: ProbeResult
    detail: str
    rtt: float | None = None
    ehlo_rtt: float | None = None
    steps: tuple[tuple[str, float], ...] = ()
    tls: Encryption | None = None
    keywords: tuple[str, ...] = ()
    weight: float | None = None

    @property
    def certificate(self) -> Certificate | None:
        """What the host showed of itself, if it did."""
        return None if self.tls is None else self.tls.certificate


def one_line(text: str, limit: int = MAX_DETAIL) -> str:
    """Return a text as one line of printable characters, cut to a length."""
    clean = text[: limit + 1]
    if not clean.isprintable():
        clean = "".join(character if character.isprintable() else "\ufffd" for character in clean)
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


def mismatch(pattern: str, text: str, what: str, said: str) -> tuple[ProbeResult, str] | None:
    """Return what it means that a text is not as expected; None: it is.

    Args:
        pattern: a regular expression that must be found in it.
        text: where to look.
        what: the text's name, as "the greeting".
        said: what the operator sees of it.

    """
    shown = repr(pattern[:60])
    try:
        there = found(pattern, text)
    except TimeoutError:
        return ProbeResult.UNKNOWN, f"it takes too long to look for {shown} in {what}: {SLOWLY}"
    return None if there else (ProbeResult.FAILURE, f"{what} does not match {shown}: {said}")
