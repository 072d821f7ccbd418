"""DNS cookies of version 1, SipHash-2-4, which servers of several makers share (RFC 7873, RFC 9018).

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
"""Age in seconds up to which a cookie is returned unchanged (RFC 9018 section 4.3)."""
OLD = 3600
"""Age in seconds above which a cookie is stale."""
AHEAD = 300
"""Seconds that the clock of another server of ours may be ahead."""

_START = Struct(">B3xI")
"""Version, three reserved bytes, and when it was made in seconds since the epoch."""
_VERSION = 1
_SERVER_COOKIE = _START.size + 8


class CookieStatus(IntEnum):
    """A query's cookie: the trust it earns its sender."""

    NONE = 0
    """None."""
    CLIENT_ONLY = 1
    """The client's part alone: it asks for ours."""
    STALE = 2
    """A server's part that is not ours, or not any more."""
    VALID = 3
    """Ours: its address is not forged."""


class CookieJudgement(NamedTuple):
    """The verdict on a cookie, and the one that the answer carries.

    Attributes:
        fresh: seconds for which the same cookie gets the same judgement; 0: not at all.

    """

    cookie_status: CookieStatus
    cookie: bytes
    fresh: float


def make(client: bytes, address: bytes, when: int, secret: bytes) -> bytes:
    """Return a whole cookie for a client's part, packed address and a time since the epoch (RFC 9018)."""
    start = client + _START.pack(_VERSION, when & 0xFFFFFFFF)
    digest: bytes = siphash24(start + address, key=secret).digest()
    return start + digest


def judge(cookie: bytes, address: str, now: float, secrets: Sequence[bytes]) -> CookieJudgement:
    """Judge a well-formed cookie; `now` is in seconds since the epoch.

    The first secret makes cookies, all are accepted: so servers change theirs one after another (RFC 9018
    section 5).
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
