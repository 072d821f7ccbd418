"""Policy: what of the server's settings goes into answers; it travels to the workers with the Table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from geodns.wire.networks import Network


@dataclass(frozen=True, slots=True)
class QueryLog:
    """Which queries are logged.

    Attributes:
        zones: by names on the wire in lower case: those at or below one of them; empty: all.
        clients: those of one of these networks; empty: all.
        sample: the part of them that is logged, chosen by chance.
        until: seconds of the machine's monotonic clock, when it ends by itself; None: never.

    """

    zones: tuple[bytes, ...] = ()
    clients: tuple[Network, ...] = ()
    sample: float = 1.0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How answers over UDP are limited.

    Attributes:
        per_second: answers of one kind that a network gets; so many may come at once after a lull.
        slip: one in so many that are over it is answered by TC or BADCOOKIE instead of dropped; 0: none,
            1: all.
        ipv4_prefix: bits of an IPv4 address that make a network.
        ipv6_prefix: bits of an IPv6 address that do.
        exempt: networks that are never limited.

    """

    per_second: int = 200
    slip: int = 2
    ipv4_prefix: int = 24
    ipv6_prefix: int = 56
    exempt: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """How answers are given, whatever is in the zones.

    Attributes:
        nsid: who we are, for whoever asks by NSID (RFC 5001); empty: nobody is told.
        chaos: what questions of class CHAOS get (RFC 4892): a text of at most 255 bytes by name on the wire,
            in lower case.
        cookie_secrets: the first makes cookies, all of them are good (RFC 9018); none: no cookies.
        rate_limit: how many answers a network may get; None: as many as it likes.
        require_cookie: whether clients over the rate limit get BADCOOKIE where they could have a cookie.
        idle: seconds that a TCP connection may be idle, told to whoever asks (RFC 7828).
        query_log: which queries are told to whoever reads the log; None: none.

    """

    nsid: bytes = b""
    chaos: Mapping[bytes, bytes] = field(default_factory=dict)
    cookie_secrets: tuple[bytes, ...] = ()
    rate_limit: RateLimit | None = None
    require_cookie: bool = False
    idle: float = 10.0
    query_log: QueryLog | None = None


DEFAULT = Policy()
