"""Cookies against the vectors of RFC 9018, the clock, and secrets that change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire.cookies import AHEAD, FRESH, OLD, CookieStatus, judge, make

CLIENT = bytes.fromhex("2464c4abcf10c957")
ADDRESS = "198.51.100.100"
PACKED = bytes((198, 51, 100, 100))
SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")
OTHER = bytes.fromhex("445536bcd2513298075a5d379663c962")
WHEN = 1559731985


def test_the_vectors_of_the_rfc() -> None:
    """RFC 9018 appendix A.1 to A.4."""
    made = judge(CLIENT, ADDRESS, WHEN, [SECRET])
    assert made == (CookieStatus.CLIENT_ONLY, CLIENT + bytes.fromhex("010000005cf79f111f8130c3eee29480"), 0)

    renewed = judge(made.cookie, ADDRESS, 1559734385, [SECRET])
    assert renewed == (CookieStatus.VALID, CLIENT + bytes.fromhex("010000005cf7a871d4a564a1442aca77"), 0)

    client = bytes.fromhex("fc93fc62807ddb86")
    reserved = client + bytes.fromhex("01abcdef5cf78f71a314227b6679ebf5")
    found = judge(reserved, "203.0.113.203", 1559727985, [SECRET])
    assert found.cookie_status is CookieStatus.VALID, "reserved bytes are hashed as they came"

    six = "2001:db8:220:1:59de:d0f4:8769:82b8"
    client = bytes.fromhex("22681ab97d52c298")
    before = bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715")
    cookie = client + bytes.fromhex("010000005cf7c57926556bd0934c72f8")
    assert judge(cookie, six, 1559741961, [OTHER]).cookie_status is CookieStatus.STALE
    changed = judge(cookie, six, 1559741961, [OTHER, before])
    assert changed == (CookieStatus.VALID, client + bytes.fromhex("010000005cf7c609a6bb79d16625507a"), 0)


@pytest.mark.parametrize(
    ("age", "cookie_status", "same"),
    [
        (0, CookieStatus.VALID, True),
        (FRESH - 1, CookieStatus.VALID, True),
        (FRESH, CookieStatus.VALID, False),
        (OLD, CookieStatus.VALID, False),
        (OLD + 1, CookieStatus.STALE, False),
        (-AHEAD, CookieStatus.VALID, True),
        (-AHEAD - 1, CookieStatus.STALE, False),
    ],
)
@pytest.mark.parametrize("when", [WHEN, 2**32 + 20, 2**32 - 20])
def test_the_age_of_a_cookie(age: int, cookie_status: CookieStatus, same: bool, when: int) -> None:
    """RFC 9018 section 4.3, over the end of 32 bits too."""
    cookie = make(CLIENT, PACKED, when - age, SECRET)
    found = judge(cookie, ADDRESS, when + 0.5, [SECRET])
    assert found.cookie_status is cookie_status
    assert (found.cookie == cookie) is same or not age
    assert (found.fresh > 0) is same
    assert found.cookie == cookie if same else found.cookie == make(CLIENT, PACKED, when, SECRET)


def test_a_cookie_is_given_back_no_longer_than_it_is_fresh() -> None:
    cookie = make(CLIENT, PACKED, WHEN, SECRET)
    fresh = judge(cookie, ADDRESS, WHEN + 100, [SECRET]).fresh
    assert judge(cookie, ADDRESS, WHEN + 100 + fresh - 1, [SECRET]).cookie == cookie
    assert judge(cookie, ADDRESS, WHEN + 100 + fresh, [SECRET]).cookie != cookie


@pytest.mark.parametrize(
    "change",
    [
        lambda cookie: cookie[:7] + b"x" + cookie[8:],
        lambda cookie: cookie[:8] + b"\2" + cookie[9:],
        lambda cookie: cookie[:9] + b"\1" + cookie[10:],
        lambda cookie: cookie[:15] + bytes((cookie[15] ^ 1,)) + cookie[16:],
        lambda cookie: cookie[:-1] + bytes((cookie[-1] ^ 1,)),
        lambda cookie: cookie[:-1],
        lambda cookie: cookie + b"\0",
        lambda cookie: cookie[:16],
    ],
    ids=["client", "version", "reserved", "time", "hash", "short", "long", "shortest"],
)
def test_what_is_not_ours(change: object) -> None:
    assert callable(change)
    cookie = change(make(CLIENT, PACKED, WHEN, SECRET))
    found = judge(cookie, ADDRESS, WHEN, [SECRET])
    assert found.cookie_status is CookieStatus.STALE
    assert found.cookie == make(cookie[:8], PACKED, WHEN, SECRET)


def test_a_cookie_is_for_one_address() -> None:
    cookie = make(CLIENT, PACKED, WHEN, SECRET)
    assert judge(cookie, "198.51.100.101", WHEN, [SECRET]).cookie_status is CookieStatus.STALE
    assert judge(cookie, "::ffff:198.51.100.100", WHEN, [SECRET]).cookie_status is CookieStatus.STALE


@pytest.mark.parametrize("secrets", [(OTHER, SECRET), (OTHER, b"x" * 16, SECRET)])
def test_the_secret_before_is_good_and_its_cookies_are_replaced(secrets: tuple[bytes, ...]) -> None:
    """RFC 9018 section 5."""
    found = judge(make(CLIENT, PACKED, WHEN, SECRET), ADDRESS, WHEN, secrets)
    assert found == (CookieStatus.VALID, make(CLIENT, PACKED, WHEN, OTHER), 0)


def test_addresses_that_name_their_link() -> None:
    cookie = judge(CLIENT, "fe80::1%eth0", WHEN, [SECRET]).cookie
    assert judge(cookie, "fe80::1", WHEN, [SECRET]).cookie_status is CookieStatus.VALID


@given(st.binary(min_size=8, max_size=40), st.floats(0, 2**33), st.ip_addresses().map(str))
def test_any_cookie_is_judged(cookie: bytes, now: float, address: str) -> None:
    found = judge(cookie, address, now, [SECRET])
    assert found.cookie[:8] == cookie[:8]
    assert judge(found.cookie, address, now, [SECRET]).cookie_status is CookieStatus.VALID
