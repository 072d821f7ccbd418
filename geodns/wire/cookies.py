"""DNS cookies that servers of several makers understand: version 1, SipHash-2-4 (RFC 7873, RFC 9018).

The hash is a C library's: in Python it would cost more than all the rest of an answer.
"""

from collections.abc import Sequence
from enum import IntEnum
from hmac import compare_digest
from struct import Struct
from typing import NamedTuple

from siphash24 import siphash24

from geodns.wire.edns import CLIENT_COOKIE
from geodns.wire.networks import packed

SECRET = 16
"""Bytes of a secret."""

FRESH = 1800
"""Seconds for which a cookie is given back as it is (RFC 9018 section 4.3)."""
OLD = 3600
"""Seconds after which it is worth nothing."""
AHEAD = 300
"""Seconds that the clock of another server of ours may be ahead."""

_START = Struct(">B3xI")
"""Version, three reserved bytes, and the seconds of the time it was made."""
_VERSION = 1
_SERVER_COOKIE = _START.size + 8


class CookieStatus(IntEnum):
    """What a query's cookie says of its sender."""

    NONE = 0
    """It has none."""
    CLIENT_ONLY = 1
    """It has the client's part alone: whoever sent it would like ours."""
    STALE = 2
    """It has a server's part that is not ours, or not any more."""
    VALID = 3
    """It has ours: its address is no forged one."""


class CookieJudgement(NamedTuple):
    """What is thought of a cookie.

    Attributes:
        cookie_status: of the sender.
        cookie: the whole cookie that the answer carries.
        fresh: seconds for which another query with the same cookie gets the same answer; 0 is not at all.

    """

    cookie_status: CookieStatus
    cookie: bytes
    fresh: float


def make(client: bytes, address: bytes, when: int, secret: bytes) -> bytes:
    """Return a whole cookie (RFC 9018 section 4).

    Args:
        client: the client's part.
        address: its address, packed.
        when: seconds since the epoch.
        secret: 16 bytes.

    """
    start = client + _START.pack(_VERSION, when & 0xFFFFFFFF)
    digest: bytes = siphash24(start + address, key=secret).digest()
    return start + digest


def judge(cookie: bytes, address: str, now: float, secrets: Sequence[bytes]) -> CookieJudgement:
    """Judge a well-formed cookie.

    Args:
        cookie: the client's part, and perhaps a server's.
        address: whom it came from.
        now: seconds since the epoch.
        secrets: the first makes cookies, all of them are good: so servers change theirs one after another
            (RFC 9018 section 5).

    """
    client = cookie[:CLIENT_COOKIE]
    client_address = packed(address)
    cookie_status = CookieStatus.STALE if len(cookie) > CLIENT_COOKIE else CookieStatus.CLIENT_ONLY
    if len(cookie) == CLIENT_COOKIE + _SERVER_COOKIE:
        version, when = _START.unpack_from(cookie, CLIENT_COOKIE)
        # Serial numbers: the clock of 32 bits goes round (RFC 1982).
        age = (int(now) - when + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        if version == _VERSION and -AHEAD <= age <= OLD:
            # What is hashed has the reserved bytes as they came, so that they may mean something one day.
            start = cookie[: CLIENT_COOKIE + _START.size]
            for secret in secrets:
                if not compare_digest(
                    siphash24(start + client_address, key=secret).digest(), cookie[len(start) :]
                ):
                    continue
                cookie_status = CookieStatus.VALID
                if secret == secrets[0] and age < FRESH:
                    return CookieJudgement(cookie_status, cookie, min(FRESH - age, FRESH))
                break
    return CookieJudgement(cookie_status, make(client, client_address, int(now), secrets[0]), 0)
