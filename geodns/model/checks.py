"""Checks, what they probe, and how many of a pool's checks must pass."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

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
"""Default ports; an agent has none."""


_NOT_SHARED = {"name", "type", "port", "source"}
MAX_SHARED_TEXT = 200
"""Characters of a shared key's text; a longer one is a digest."""


class Check(Frozen):
    """A check: a probe of hosts, and the rules by which its results make verdicts; HAProxy's words.

    Times are seconds. Where a field is None: `ehlo` is this machine's host name, `sni` is `host` or else the
    mail host's own name, `host` is `sni` or else the address, without `rcpt_to` no mail is begun, without
    `slow` no answer is slow. `require` is in capitals, the names of `header` are in small letters, `status`
    has pairs of the first and the last code. RFC 5321 section 4.5.3.2 lets greetings be slow.
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
    sni: str | None = Field(default=None, description="The name sent in TLS, which the certificate must fit.")
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
    rcpt_4xx: Literal["keep", "shed"] = Field(
        default="keep",
        description="What a 4xx to `rcpt_to` does to the weight. keep: nothing, and `fall` in a row are a "
        "warning; shed: what a 4xx greeting does.",
    )
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
    send: str = Field(
        default="",
        description="What an agent is sent first, for those that wait; line ends as \\n in quotes.",
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
        return self.type in {"smtps", "https"}

    @property
    def encrypts(self) -> bool:
        """Whether there is TLS, and so a certificate."""
        return self.implicit_tls or self.starttls != "ignore"

    @property
    def verifies(self) -> bool:
        return self.verify == "required" if self.implicit_tls else self.starttls == "verified"

    @property
    def degraded(self) -> Fraction:
        return Fraction(self.degraded_weight).limit_denominator(1000)

    def shared_text(self, host: str | None = None) -> str:
        """Return what servers that share verdicts know the check by beside its type; empty: the defaults.

        Args:
            host: that the certificate must fit.

        """
        if host is None:
            return self._shared_text
        return _shared({**self._shared_keys, "name": host})  # no key of a check once its own name is left out

    @cached_property
    def _shared_keys(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude=_NOT_SHARED, exclude_defaults=True)

    @cached_property
    def _shared_text(self) -> str:
        return _shared(self._shared_keys)


def _shared(said: Mapping[str, Any]) -> str:
    text = json.dumps(said, sort_keys=True, separators=(",", ":")) if said else ""
    if len(text) > MAX_SHARED_TEXT:
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return text


BUILT_IN_CHECKS: tuple[Check, ...] = (
    Check(name="smtp"),
    Check(name="tcp", type="tcp"),
    Check(name="submission", type="submission", port=PORTS["submission"], starttls="offered"),
    Check(name="smtps", type="smtps", port=PORTS["smtps"]),
    Check(name="lmtp", type="lmtp", port=PORTS["lmtp"]),
    Check(name="http", type="http", port=PORTS["http"]),
    Check(name="https", type="https", port=PORTS["https"]),
)
"""One of each type that has a default port."""


def shared_place(key: str) -> str:
    """Return the type, address and port of a shared key, without what its check says."""
    return " ".join(key.split(" ", 2)[:2])


class Target(Frozen):
    """An address and port under a check: probed once, whichever pools and zones use it.

    Attributes:
        host: the host's whole name, if the certificate must fit it and the check names no other.

    """

    check: Check
    address: Address
    port: int
    host: str | None = None

    @cached_property
    def key(self) -> str:
        """Identifies the target across restarts: check, address, port and what the check says."""
        said = self.check.model_dump_json() + (self.host or "")
        digest = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        return f"{self.check.name} [{self.address}]:{self.port} {digest}"

    @cached_property
    def shared_key(self) -> str:
        """Identifies what is probed among the servers of a zone, as ``smtp [192.0.2.1]:25 {"rise":3}``.

        The check's keys are there where they differ from their defaults, so that a version with more keys
        says the same; its name is not, nor is the address to connect from, of which each server has its own.
        """
        place = f"{self.check.type} [{self.address}]:{self.port}"
        text = self.check.shared_text(self.host)
        return f"{place} {text}" if text else place

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.address, self.port, self.check.name))


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """The checks of a pool's hosts, and how many of them an address must pass."""

    checks: tuple[Check, ...]
    need: int = 1
