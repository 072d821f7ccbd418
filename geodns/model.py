"""What a zone file says, as frozen models: zone, host, pool, check, record, rule.

Names of hosts, pools and checks are the short ones of the file. Owner names and names in record data are
absolute, in lower case and end in a dot (``mta1.out.example.com.``); a zone's own name has none
(``out.example.com``), like its file. Times are whole or fractional seconds.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Address = IPv4Address | IPv6Address
Family = Literal["A", "AAAA"]
FAMILIES: tuple[Family, ...] = ("A", "AAAA")

Ttl = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""Seconds; RFC 2181 section 8 gives the bound."""

Seconds = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Any number of 32 bits, as the SOA's times are (RFC 1035 section 3.3.13)."""

MAX_ANSWERS = 32


class Frozen(BaseModel):
    """A model that cannot change and takes no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def family_of(address: Address) -> Family:
    """Return the record type that carries an address."""
    return "A" if address.version == 4 else "AAAA"


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
    type: CheckType = "smtp"
    port: int = Field(default=25, ge=1, le=65535)
    source: tuple[Address, ...] = ()
    proxy_protocol: Literal["v1", "v2"] | None = None
    interval: float = Field(default=10.0, ge=0.1, le=86400)
    fast_interval: float = Field(default=2.0, ge=0.1, le=86400)
    connect_timeout: float = Field(default=3.0, gt=0, le=600)
    greeting_timeout: float = Field(default=10.0, gt=0, le=600)
    step_timeout: float = Field(default=5.0, gt=0, le=600)
    timeout: float = Field(default=25.0, gt=0, le=600)
    rise: int = Field(default=2, ge=1, le=1000)
    fall: int = Field(default=3, ge=1, le=1000)
    ehlo: str | None = None
    expect: str | None = None
    require: tuple[str, ...] = ()
    starttls: Literal["ignore", "offered", "verified"] = "ignore"
    verify: Literal["none", "required"] = "none"
    sni: str | None = None
    cert_warning: float = Field(default=14 * 86400.0, ge=0)
    cert_critical: float = Field(default=0.0, ge=0)
    mail_from: str = ""
    rcpt_to: str | None = None
    path: str = "/"
    host: str | None = None
    status: tuple[tuple[int, int], ...] = ((200, 399),)
    header: tuple[tuple[str, str], ...] = ()
    slow: float | None = Field(default=None, gt=0, le=600)
    degraded_weight: float = Field(default=0.5, gt=0, le=1)
    slowstart: float = Field(default=0.0, ge=0, le=86400)

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


class Endpoint(Frozen):
    """Where a host is probed when that is not where it is dealt.

    Attributes:
        address: where to connect.
        port: None means the check's port.

    """

    address: Address
    port: int | None = Field(default=None, ge=1, le=65535)


class Host(Frozen):
    """A mail host.

    Attributes:
        name: its key under ``hosts`` (after ranges are written out); also its label in the zone.
        addresses: where it takes mail, in the order of the file.
        weight: its weight in pools that give none of their own; 0 is never dealt.
        egress: the addresses its mail leaves from; `sources` falls back to `addresses`.
        probe: where to probe it instead of its addresses.

    """

    name: str
    addresses: tuple[Address, ...]
    weight: int = Field(default=1, ge=0, le=2**31 - 1)
    egress: tuple[Address, ...] = ()
    probe: Endpoint | None = None

    @property
    def sources(self) -> tuple[Address, ...]:
        """The addresses its mail leaves from."""
        return self.egress or self.addresses


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


def target_of(zone: "Zone", host: Host, address: Address, check: Check) -> Target:
    """Return what is probed to judge one address of a host.

    Hosts of several names that share an address share a probe too, unless a certificate is looked at.
    """
    certified = check.encrypts and check.sni is None and check.host is None
    name = zone.host_name(host.name).removesuffix(".") if certified else None
    if host.probe is None:
        return Target(check=check, address=address, port=check.port, host=name)
    port = host.probe.port or check.port
    return Target(check=check, address=host.probe.address, port=port, host=name)


class MinLive(Frozen):
    """What of a pool must be live before its fallback stays out.

    Attributes:
        amount: hosts, or percent of the pool's weight.
        percent: which of the two.

    """

    amount: int = Field(ge=0)
    percent: bool = False


class Member(Frozen):
    """A host in a pool, with its weight there."""

    host: str
    weight: int = Field(ge=0, le=2**31 - 1)


class Pool(Frozen):
    """Hosts that are dealt together.

    Attributes:
        name: its key under ``pools``.
        members: the hosts and their weights, in the order of the file.
        checks: the names of the checks that judge them; none means always up.
        need: how many of these must find an address good.
        answers: how many hosts an answer names.
        min_live: below it the fallback serves too.
        fallback: the pool that helps out.
        fallback_mode: ``add`` the fallback's hosts to the survivors, or ``replace`` these.
        when_down: what to answer when nobody is live: everybody (``serve-all``) or SERVFAIL.
        hold: seconds that verdicts are held, at most, when most of its hosts fail at once: the prober may
            be cut off.

    """

    name: str
    members: tuple[Member, ...]
    checks: tuple[str, ...] = ()
    need: int = Field(default=1, ge=1)
    answers: int = Field(default=2, ge=1, le=MAX_ANSWERS)
    min_live: MinLive = MinLive(amount=50, percent=True)
    fallback: str | None = None
    fallback_mode: Literal["add", "replace"] = "add"
    when_down: Literal["serve-all", "servfail"] = "serve-all"
    hold: float = Field(default=30.0, ge=0, le=3600)


@dataclass(frozen=True, slots=True)
class Jury:
    """What judges the addresses of a pool's hosts.

    Attributes:
        checks: in the order of the file.
        need: how many of them must find an address good.

    """

    checks: tuple[Check, ...]
    need: int = 1


class Soa(Frozen):
    """The zone's SOA (RFC 1035 section 3.3.13), without a serial unless the operator gives one.

    Attributes:
        mname: the primary server, absolute.
        rname: the mailbox as a name, absolute.
        serial: None means automatic.
        refresh: seconds; likewise `retry`, `expire` and `minimum` (RFC 2308: the negative TTL).
        ttl: seconds, of the record itself; None means the zone's `record_ttl`.

    """

    mname: str
    rname: str
    serial: int | None = Field(default=None, ge=0, le=2**32 - 1)
    refresh: Seconds = 3600
    retry: Seconds = 600
    expire: Seconds = 604800
    minimum: Seconds = 30
    ttl: Ttl | None = None


class NameServer(Frozen):
    """A name server of the zone: its absolute name, and its addresses when it lies inside."""

    name: str
    addresses: tuple[Address, ...] = ()


class Record(Frozen):
    r"""A fixed RRset.

    Attributes:
        owner: absolute.
        type: the mnemonic in capitals, or TYPE and a number where it has none.
        ttl: seconds.
        values: one a record, each as the fields of a zone file, names in them absolute. Strings stand
            unquoted, encoded as latin-1 (one character a byte); those of TXT and SPF are not over 255 bytes.
            Types that have no fields here have ``\#``, the data's length and its bytes in hexadecimal
            (RFC 3597 section 5).

    """

    owner: str
    type: str
    ttl: Ttl
    values: tuple[tuple[str, ...], ...]


class Tier(Frozen):
    """A pool in a rule; the preference is of MX answers and 0 elsewhere."""

    pool: str
    preference: int = Field(default=0, ge=0, le=65535)


class Rule(Frozen):
    """An RRset that is dealt: which pools answer for an owner name and type.

    Attributes:
        owner: absolute.
        type: A, AAAA or MX.
        ttl: seconds when all is well; never over what the live set allows.
        tiers: one pool for A and AAAA; for MX any number, each at its preference.

    """

    owner: str
    type: Literal["A", "AAAA", "MX"]
    ttl: Ttl
    tiers: tuple[Tier, ...]


class Zone(Frozen):
    """A whole zone file.

    Attributes:
        name: without the final dot.
        ttl: seconds, of answers that are dealt; may fall to `min_ttl`.
        record_ttl: seconds, of everything else.
        min_ttl: seconds.
        retire: seconds that a host taken out of the file goes on answering for its own name.
        soa: what its SOA says.
        ns: its name servers.
        checks: those that a pool uses or the file declares, built-in ones included.
        hosts: in the order of the file.
        pools: in the order of the file.
        records: everything fixed that the file states or implies, but SOA: name servers and their
            addresses, the hosts' own addresses, `records`.
        rules: everything dealt.

    """

    name: str
    ttl: Ttl = 30
    record_ttl: Ttl = 3600
    min_ttl: Ttl = 5
    retire: float = 3600.0
    soa: Soa
    ns: tuple[NameServer, ...]
    checks: tuple[Check, ...] = ()
    hosts: tuple[Host, ...] = ()
    pools: tuple[Pool, ...] = ()
    records: tuple[Record, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def origin(self) -> str:
        """The zone's name, absolute."""
        return f"{self.name}."

    @cached_property
    def host_by_name(self) -> dict[str, Host]:
        """Hosts by their names."""
        return {host.name: host for host in self.hosts}

    @cached_property
    def pool_by_name(self) -> dict[str, Pool]:
        """Pools by their names."""
        return {pool.name: pool for pool in self.pools}

    @cached_property
    def check_by_name(self) -> dict[str, Check]:
        """Checks by their names."""
        return {check.name: check for check in self.checks}

    @cached_property
    def digest(self) -> str:
        """What the zone says, as a short text that changes when it does."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=16).hexdigest()

    @property
    def soa_ttl(self) -> int:
        """The TTL of the SOA record, in seconds."""
        return self.record_ttl if self.soa.ttl is None else self.soa.ttl

    def host_name(self, host: str) -> str:
        """Return a host's absolute name."""
        return f"{host}.{self.origin}"

    def jury_of(self, pool: Pool) -> Jury | None:
        """Return what judges a pool's hosts; None where nothing does."""
        return self._juries.get((pool.checks, pool.need))

    @cached_property
    def _juries(self) -> dict[tuple[tuple[str, ...], int], Jury]:
        return {
            (pool.checks, pool.need): Jury(tuple(self.check_by_name[name] for name in pool.checks), pool.need)
            for pool in self.pools
            if pool.checks
        }

    def chain(self, pool: str) -> tuple[Pool, ...]:
        """Return a pool and its fallbacks, nearest first; each once, even in a loop."""
        found: dict[str, Pool] = {}
        name: str | None = pool
        while name is not None and name not in found:
            found[name] = self.pool_by_name[name]
            name = found[name].fallback
        return tuple(found.values())

    @cached_property
    def juries_by_host(self) -> dict[str, tuple[Jury | None, ...]]:
        """For each host, what judges it in the pools that have it; None where nothing does."""
        juries: dict[str, dict[tuple[tuple[str, ...], int], Jury | None]] = {
            host.name: {} for host in self.hosts
        }
        for pool in self.pools:
            jury = self.jury_of(pool)
            for member in pool.members:
                juries[member.host][pool.checks, pool.need if jury else 0] = jury
        return {host: tuple(found.values()) for host, found in juries.items()}

    @cached_property
    def targets_by_host(self) -> dict[str, dict[Address, frozenset[Target]]]:
        """For each host, what is probed for each of its addresses, over all pools that have it."""
        return {
            host.name: {
                address: frozenset(
                    target_of(self, host, address, check)
                    for jury in self.juries_by_host[host.name]
                    if jury is not None
                    for check in jury.checks
                )
                for address in host.addresses
            }
            for host in self.hosts
        }
