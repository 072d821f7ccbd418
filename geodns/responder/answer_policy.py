"""Policy: what of the server's settings goes into answers; it travels to the workers with the Table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from geodns.querylog import QueryLog
from geodns.ratelimit import RateLimit


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
