"""How hosts are judged: a check, its targets, and the jury of a pool's checks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from geodns.model.base import Address, Frozen

CheckType = Literal["smtp", "submission", "smtps", "lmtp", "tcp", "http", "https", "agent"]

PORTS: Mapping[str, int] = MappingProxyType(
    {
        "smtp": 25,
        "submission": 587,  # RFC 6409
        "smtps": 465,  # RFC 8314
        "lmtp": 24,  # RFC 2033 has no port but "not 25"; 24 is "any private mail system"
        "tcp": 25,
        "http": 80,
        "https": 443,
    }
)
"""Where each type of check connects unless told otherwise; an agent has no port of its own."""


class Check(Frozen):
    """How the hosts of a pool are judged (DESIGN section 6; the words are HAProxy's).

    Attributes:
        name: its key under ``checks``.
        type: the dialogue that is spoken.
        port: TCP port.
        source: addresses to connect from, at most one of each family; the system chooses for a family
            that has none.
        proxy_protocol: the version of the PROXY header that is sent before everything else.
        interval: seconds from one probe's start to the next.
        fast_interval: the same while a change is pending.
        connect_timeout: seconds for the TCP handshake.
        greeting_timeout: seconds for the whole greeting; RFC 5321 section 4.5.3.2 lets servers be slow.
        step_timeout: seconds for each later reply, and for the TLS handshake.
        timeout: seconds for everything together.
        rise: successes in a row that bring a host up.
        fall: failures that take it down.
        ehlo: the name the prober gives; None means the server's own host name.
        expect: a regular expression that the greeting's text (http: the body) must match somewhere.
        require: EHLO keywords that must be offered, in capital letters.
        starttls: ``ignore``; ``offered``: STARTTLS must be offered and its handshake must work;
            ``verified``: and the certificate must be good for the host's name.
        verify: the same for TLS from the start: ``none``, or ``required``.
        sni: the name for TLS and for the certificate; None means `host`, or else the mail host's own.
        cert_warning: seconds left of a certificate from which an operator is warned.
        cert_critical: seconds left from which a verified certificate is none any more.
        mail_from: the sender of a mail that is begun and never sent; empty is the null sender.
        rcpt_to: its recipient; None means that no mail is begun.
        path: what is asked of a web server.
        host: the Host header; None means `sni`, or else the address.
        status: the HTTP status codes that are good, as pairs of the first and the last.
        header: headers of the response, by their names in small letters, and the regular expressions
            that must match in them.
        slow: seconds from EHLO to its 250 from which an answer is slow; None means that none is.
        degraded_weight: the part of its weight that a host keeps while it is slow.
        slowstart: seconds in which a host that comes back from down rises to its weight; 0 is at once.

    """

    name: str
    type: CheckType = Field(
        default="smtp",
        description="The dialogue: smtp, submission, smtps, lmtp, http, https, agent (HAProxy's agent-check) "
        "or tcp, which only connects.",
    )
    port: int = Field(default=25, ge=1, le=65535, description="The TCP port.")
    source: tuple[Address, ...] = Field(
        default=(), description="The address to connect from, or one of each family."
    )
    proxy_protocol: Literal["v1", "v2"] | None = Field(
        default=None, description="The PROXY header to send before the dialogue."
    )
    interval: float = Field(default=10.0, ge=0.1, le=86400, description="From one probe's start to the next.")
    fast_interval: float = Field(
        default=2.0, ge=0.1, le=86400, description="The same while a change is pending."
    )
    connect_timeout: float = Field(default=3.0, ge=0.001, le=600, description="For the TCP handshake.")
    greeting_timeout: float = Field(default=10.0, ge=0.001, le=600, description="For the whole greeting.")
    step_timeout: float = Field(default=5.0, ge=0.001, le=600, description="For each later reply.")
    timeout: float = Field(default=25.0, ge=0.001, le=600, description="For everything together.")
    rise: int = Field(default=2, ge=1, le=1000, description="Good probes in a row that bring a host up.")
    fall: int = Field(default=3, ge=1, le=1000, description="Bad probes that take it down.")
    ehlo: str | None = Field(default=None, description="The name given in EHLO.")
    expect: str | None = Field(
        default=None,
        description="A regular expression that the greeting's text (http: the body) must match somewhere.",
    )
    require: tuple[str, ...] = Field(
        default=(), description="EHLO keywords that must be offered, as [SIZE, 8BITMIME]."
    )
    starttls: Literal["ignore", "offered", "verified"] = Field(
        default="ignore",
        description="offered: STARTTLS must be offered and its handshake must work; verified: and the "
        "certificate good.",
    )
    verify: Literal["none", "required"] = Field(
        default="none", description="required: the certificate must be good."
    )
    sni: str | None = Field(default=None, description="The name for TLS and for the certificate.")
    cert_warning: float = Field(
        default=14 * 86400.0,
        ge=0,
        le=366 * 86400,
        description="Time left of a certificate from which to warn.",
    )
    cert_critical: float = Field(
        default=0.0,
        ge=0,
        le=366 * 86400,
        description="Time left of a verified certificate from which the host fails.",
    )
    mail_from: str = Field(default="", description="The sender for `rcpt_to`.")
    rcpt_to: str | None = Field(default=None, description="A recipient that must be taken; no mail is sent.")
    path: str = Field(default="/", description="What to ask a web server.")
    host: str | None = Field(default=None, description="The Host header.")
    status: tuple[tuple[int, int], ...] = Field(
        default=((200, 399),),
        description="Good HTTP status codes, as 200, 2xx or 200-399, or a list of these.",
    )
    header: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="Headers that the response must have, each with a regular expression for its value.",
    )
    slow: float | None = Field(
        default=None,
        ge=0.001,
        le=600,
        description="From EHLO to its 250: from here on an answer is slow.",
    )
    degraded_weight: float = Field(
        default=0.5,
        ge=0.01,
        le=1,
        description="What a host keeps of its weight while most of its answers are slow.",
    )
    slowstart: float = Field(
        default=0.0,
        ge=0,
        le=86400,
        description="In how long a host that comes back from down rises from 5 % to its weight; 0: at once.",
    )

    @property
    def implicit_tls(self) -> bool:
        """Whether TLS comes before everything else."""
        return self.type in {"smtps", "https"}

    @property
    def encrypts(self) -> bool:
        """Whether there is TLS in the dialogue, and so a certificate."""
        return self.implicit_tls or self.starttls != "ignore"

    @property
    def verifies(self) -> bool:
        """Whether the certificate must be good."""
        return self.verify == "required" if self.implicit_tls else self.starttls == "verified"

    @property
    def degraded(self) -> Fraction:
        """What a slow host keeps of its weight."""
        return Fraction(self.degraded_weight).limit_denominator(1000)


BUILT_IN_CHECKS: tuple[Check, ...] = (
    Check(name="smtp"),
    Check(name="tcp", type="tcp"),
    Check(name="submission", type="submission", port=PORTS["submission"], starttls="offered"),
    Check(name="smtps", type="smtps", port=PORTS["smtps"]),
    Check(name="lmtp", type="lmtp", port=PORTS["lmtp"]),
    Check(name="http", type="http", port=PORTS["http"]),
    Check(name="https", type="https", port=PORTS["https"]),
)
"""One of each type that has a port of its own."""


class Target(Frozen):
    """One thing to probe, whichever pools and zones use it.

    Attributes:
        check: how.
        address: where.
        port: the TCP port there.
        host: the host's whole name, where its certificate is looked at and the check says no other.

    """

    check: Check
    address: Address
    port: int
    host: str | None = None

    @cached_property
    def key(self) -> str:
        """A text that names the target over restarts: check, address, port and what the check says."""
        said = self.check.model_dump_json() + (self.host or "")
        digest = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        return f"{self.check.name} [{self.address}]:{self.port} {digest}"

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.address, self.port, self.check.name))


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """What judges the addresses of a pool's hosts.

    Attributes:
        checks: in the order of the file.
        need: how many of them must find an address good.

    """

    checks: tuple[Check, ...]
    need: int = 1
