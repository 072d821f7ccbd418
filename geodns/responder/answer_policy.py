"""Policy: settings that shape answers; it travels to the workers with the Table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from geodns.wire.networks import Network


@dataclass(frozen=True, slots=True)
class QueryLog:
    """The queries that are logged.

    Attributes:
        zones: names on the wire in lower case, which stand for all at or below them; empty: all.
        clients: empty: all.
        sample: the part of them that is logged, at random.
        until: seconds of the machine's monotonic clock, when it ends by itself; None: never.

    """

    zones: tuple[bytes, ...] = ()
    clients: tuple[Network, ...] = ()
    sample: float = 1.0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit on answers over UDP.

    Attributes:
        per_second: answers of one kind to one network; after a lull as many may come at once.
        slip: one in so many limited answers is TC or BADCOOKIE instead of dropped; 0: none, 1: all.
        ipv4_prefix: bits of an address that make a network.
        ipv6_prefix: likewise.
        exempt: networks that are never limited.

    """

    per_second: int = 200
    slip: int = 2
    ipv4_prefix: int = 24
    ipv6_prefix: int = 56
    exempt: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings of answers, whatever is in the zones.

    Attributes:
        nsid: the answer to NSID (RFC 5001); empty: none.
        chaos: answers of class CHAOS (RFC 4892), at most 255 bytes each, by name on the wire in lower case.
        cookie_secrets: the first makes cookies, all are accepted (RFC 9018); none: no cookies.
        rate_limit: None: no limit.
        require_cookie: whether clients over the rate limit get BADCOOKIE where they could have a cookie.
        idle: seconds that a TCP connection may be idle, for whoever asks (RFC 7828).
        query_log: None: no query is logged.

    """

    nsid: bytes = b""
    chaos: Mapping[bytes, bytes] = field(default_factory=dict)
    cookie_secrets: tuple[bytes, ...] = ()
    rate_limit: RateLimit | None = None
    require_cookie: bool = False
    idle: float = 10.0
    query_log: QueryLog | None = None


DEFAULT = Policy()
