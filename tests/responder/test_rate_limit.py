"""Who gets how many answers: the bound, told by arithmetic, and who is never held to it."""

import os
import random
import subprocess
import sys
from collections import Counter
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder import rate_limit
from geodns.responder.answer_policy import RateLimit
from geodns.responder.rate_limit import (
    CELLS,
    ERROR,
    MAX_COUNTED,
    MAX_REPORTED,
    Action,
    Cells,
    Limiter,
    denied,
    empty,
    positive,
)
from geodns.wire.cookies import CookieStatus

A = positive(b"\x03out\x07example\x03com\0", 1)
CLIENT = "192.0.2.7"
NOW = 1_000_000.0


def cells() -> Cells:
    """Cells of one process, quickly made."""
    return Cells(memoryview(bytearray(16 * CELLS)).cast("d"), b"s" * 16)


def limiter(shared: Cells | None = None, *, require_cookie: bool = False, **limit: Any) -> Limiter:
    return Limiter(RateLimit(**limit), shared or cells(), random.Random(1), require_cookie=require_cookie)


def passing(one: Limiter, times: int, address: str = CLIENT, kind: bytes = A, now: float = NOW) -> int:
    return sum(one.allows(address, kind, now) for _ in range(times))


@pytest.mark.parametrize("rate", [1, 2, 3, 7, 200, 1000])
def test_a_second_s_worth_comes_at_once_and_then_the_rate(rate: int) -> None:
    one = limiter(per_second=rate)
    assert passing(one, rate + 50) == rate
    assert passing(one, rate + 50, now=NOW + 0.5) in {rate // 2, (rate + 1) // 2}
    assert passing(one, rate + 50, now=NOW + 60) == rate, "a lull saves up a second's worth and no more"


steps = st.lists(st.floats(0, 3) | st.just(0.0), max_size=120)


@given(rate=st.integers(1, 50), steps=steps, start=st.floats(0, 1e7), split=st.randoms())
def test_never_more_than_the_rate_over_any_span(
    rate: int, steps: list[float], start: float, split: random.Random
) -> None:
    """Whichever of two workers answers: at most a span's seconds times the rate, and a second's worth."""
    shared = cells()
    workers = [limiter(shared, per_second=rate) for _ in range(2)]
    now = start
    passed = []
    for step in steps:
        now += step
        for _ in range(rate // 2 + 1):
            passed += [now] if split.choice(workers).allows(CLIENT, A, now) else []
    for first in range(0, len(passed), 7):
        for last in range(first, len(passed)):
            assert last - first + 1 <= rate + rate * (passed[last] - passed[first]) + 0.01 + 1e-6 * rate


@given(rate=st.integers(1, 50), steps=st.lists(st.floats(0, 3), max_size=60))
def test_who_stays_below_the_rate_is_never_limited(rate: int, steps: list[float]) -> None:
    one = limiter(per_second=rate)
    now = NOW
    for step in steps:
        now += 1 / rate + step
        assert one.allows(CLIENT, A, now)


def test_networks_and_kinds_do_not_limit_each_other() -> None:
    one = limiter(per_second=5)
    others = [
        ("192.0.3.7", A),
        ("2001:db8::1", A),
        (CLIENT, positive(b"\x03out\x07example\x03com\0", 28)),
        (CLIENT, positive(b"\x07example\x03com\0", 1)),
        (CLIENT, empty(b"\x03out\x07example\x03com\0")),
        (CLIENT, denied(b"\x03out\x07example\x03com\0")),
        (CLIENT, ERROR),
    ]
    assert passing(one, 1000) == 5
    assert [passing(one, 100, *other) for other in others] == [5] * len(others)


@given(secret=st.binary(min_size=16, max_size=16))
def test_ten_thousand_networks_over_the_limit_leave_others_alone(secret: bytes) -> None:
    """A collision needs both rows: with 10,000 of 65,536 cells full, one network in forty."""
    one = limiter(Cells(memoryview(bytearray(16 * CELLS)).cast("d"), secret), per_second=1)
    for number in range(10_000):
        passing(one, 2, f"10.{number >> 8}.{number & 255}.1")
    left_alone = sum(passing(one, 1, f"11.{number >> 8}.{number & 255}.1") for number in range(400))
    assert left_alone > 370


@pytest.mark.parametrize(
    ("one", "other", "limit", "same"),
    [
        ("192.0.2.1", "192.0.2.254", {}, True),
        ("192.0.2.1", "192.0.3.1", {}, False),
        ("192.0.2.1", "192.0.2.2", {"ipv4_prefix": 32}, False),
        ("192.0.2.1", "203.0.113.9", {"ipv4_prefix": 0}, True),
        ("2001:db8:0:1::1", "2001:db8:0:ff::1", {}, True),
        ("2001:db8:0:1::1", "2001:db8:0:100::1", {}, False),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", {"ipv6_prefix": 64}, False),
        ("fe80::1%eth0", "fe80::2%eth1", {}, True),
    ],
)
def test_what_makes_a_network(one: str, other: str, limit: dict[str, Any], *, same: bool) -> None:
    found = limiter(per_second=1, **limit)
    assert passing(found, 5, one) == 1
    assert passing(found, 5, other) == (0 if same else 1)


@given(address=st.ip_addresses(), bits=st.integers(0, 128), rate=st.integers(1, 3))
def test_the_exempt_are_never_limited_and_others_are(address: Any, bits: int, rate: int) -> None:
    network = ip_network((address, min(bits, address.max_prefixlen)), strict=False)
    one = limiter(per_second=rate, exempt=(network,))
    assert passing(one, 20, str(address)) == 20
    assert one.take() is None
    other = "192.0.2.1" if address.version == 6 else "2001:db8::1"
    assert passing(one, 20, other) == rate


# --- what becomes of the rest ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slip", "least", "most"), [(0, 0, 0), (1, 1000, 1000), (2, 430, 570), (10, 60, 145)]
)
def test_one_in_slip_is_truncated(slip: int, least: int, most: int) -> None:
    one = limiter(slip=slip)
    seen = Counter(one.limited_action(CookieStatus.NONE) for _ in range(1000))
    assert least <= seen[Action.TRUNCATED] <= most
    assert seen[Action.TRUNCATED] + seen[Action.DROPPED] == 1000


@pytest.mark.parametrize("cookie_status", list(CookieStatus))
@pytest.mark.parametrize("require_cookie", [False, True])
def test_badcookie_is_for_those_who_can_have_one(
    cookie_status: CookieStatus, *, require_cookie: bool
) -> None:
    one = limiter(slip=1, require_cookie=require_cookie)
    told = require_cookie and cookie_status in {CookieStatus.CLIENT_ONLY, CookieStatus.STALE}
    assert one.limited_action(cookie_status) is (Action.BADCOOKIE if told else Action.TRUNCATED)


@pytest.mark.parametrize(("slip", "least", "most"), [(0, 0, 0), (1, 1000, 1000), (2, 430, 570)])
def test_a_cookie_gets_no_more_answers_than_none(slip: int, least: int, most: int) -> None:
    """Whoever forges addresses can send one, too."""
    one = limiter(slip=slip, require_cookie=True)
    seen = Counter(one.limited_action(CookieStatus.CLIENT_ONLY) for _ in range(1000))
    assert least <= seen[Action.BADCOOKIE] <= most
    assert seen[Action.BADCOOKIE] + seen[Action.DROPPED] == 1000


def test_what_was_limited_is_counted_by_action_and_network() -> None:
    one = limiter(per_second=1, slip=1)
    assert one.take() is None
    for address, times in ((CLIENT, 3), ("192.0.2.8", 2), ("2001:db8::1", 4)):
        for _ in range(times):
            if not one.allows(address, A, NOW):
                one.limited_action(CookieStatus.NONE)
    found = one.take()
    assert found is not None
    assert (found.actions, found.networks) == (
        {Action.TRUNCATED: 7},
        {"192.0.2.0/24": 4, "2001:db8::/56": 3},
    )
    assert one.take() is None


def test_a_flood_of_forged_addresses_does_not_grow_memory() -> None:
    one = limiter(per_second=1, slip=0)
    for number in range(40_000):
        address = f"{11 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.9"
        for _ in range(2):
            if not one.allows(address, A, NOW):
                one.limited_action(CookieStatus.NONE)
    assert len(one._pairs) <= rate_limit.REMEMBERED
    assert len(one._most) == MAX_COUNTED
    found = one.take()
    assert found is not None
    assert sum(found.actions.values()) >= 40_000, "all of them are counted, though not by network"
    assert len(found.networks) == MAX_REPORTED


def test_an_address_whose_network_was_forgotten_meanwhile_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "REMEMBERED", 1)
    one = limiter(per_second=1, slip=0)
    assert [one.allows(CLIENT, A, NOW) for _ in range(2)] == [True, False]
    one.allows("203.0.113.1", A, NOW)
    assert one.allows(CLIENT, A, NOW) is False
    one.limited_action(CookieStatus.NONE)
    found = one.take()
    assert found is not None
    assert found.networks == {"192.0.2.0/24": 1}


def test_shared_cells_are_one_mebibyte_and_have_a_secret_of_their_own() -> None:
    one, other = Cells.shared(), Cells.shared()
    assert one.times.nbytes == 1 << 20
    assert one.secret != other.secret
    one.times[5] = 1.5
    assert (one.times[5], other.times[5]) == (1.5, 0.0)


def test_where_cells_are_is_a_secret_also_without_python_s_own() -> None:
    """Under PYTHONHASHSEED=0 everybody knows how Python hashes."""
    program = (
        "import random, sys; from geodns.responder.rate_limit import *; found = set()\n"
        "for secret in range(50):\n"
        "    one = Limiter(RateLimit(), Cells.shared(), random.Random(1), require_cookie=False)\n"
        "    found.add(one._pair('192.0.2.1', ERROR)[:2])\n"
        "print(len(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "50\n"
