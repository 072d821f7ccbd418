import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from geodns.cli.status_words import ago, host_of, moment, state_of, weight_of
from tests.answering import host

TODAY = datetime.now(UTC).strftime("%Y-%m-%d")


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(os.environ, "TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def forced_weight(**more: Any) -> dict[str, Any]:
    return {
        "weight": 5,
        "file_weight": 50,
        "reason": "",
        "author": "ops",
        "until": None,
        "hides": None,
    } | more


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param(host(), "up", id="nothing"),
        pytest.param(host(state="down", forced="drained"), "down (drained)", id="an old server"),
        pytest.param(host(families={"A": "down", "AAAA": "up"}), "up, IPv4 down", id="half dead"),
        pytest.param(host(families={"A": "up", "AAAA": "up"}), "up", id="both families"),
        pytest.param(host(unchecked=True, families={"A": "up"}), "unchecked", id="unchecked"),
        pytest.param(host(unchecked=True, forced="drained"), "unchecked (drained)", id="unchecked, drained"),
        pytest.param(
            host(families={"A": "up", "AAAA": "shedding"}, forced="drained"),
            "up, IPv6 shedding (drained)",
            id="half dead, drained",
        ),
        pytest.param(
            host(state="down", forced="up", author="ops", reason="testing", until=f"{TODAY}T14:00:00Z"),
            "down (forced up until 14:00 by ops: testing)",
            id="forced up",
        ),
        pytest.param(
            host(forced="quarantined", author="ops", reason="", until=None),
            "up (quarantined by ops)",
            id="no reason",
        ),
        pytest.param(
            host(forced="down", author="ops", reason="x", until="2199-01-02T03:04:05Z"),
            "up (forced down until 2199-01-02 03:04 by ops: x)",
            id="another day",
        ),
    ],
)
def test_the_real_state_and_what_is_forced(shown: dict[str, Any], expected: str) -> None:
    assert state_of(shown) == expected
    assert host_of(shown) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param(host(forced_weight=None), "50", id="plain"),
        pytest.param(
            host(effective_weight=12.5, factors={"shedding": 0.25}), "12.5 of 50: shedding 0.25", id="lowered"
        ),
        pytest.param(
            host(weight=5, effective_weight=5, forced_weight=forced_weight(reason="slow")),
            "5 (forced to 5 by ops: slow; the file says 50)",
            id="forced",
        ),
    ],
)
def test_a_weight(shown: dict[str, Any], expected: str) -> None:
    assert weight_of(shown) == expected


def test_a_host_with_a_forced_weight() -> None:
    shown = host(forced="drained", forced_weight=forced_weight())
    assert host_of(shown) == "up (drained), weight 5 (forced by ops; the file says 50)"


@pytest.mark.usefixtures("in_utc")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-25T14:00:00Z", "14:00"),
        ("2026-11-26T00:00:00Z", "2026-11-26 00:00"),
        ("soon", "soon"),
    ],
)
def test_a_moment_has_its_date_when_that_is_not_today(text: str, expected: str) -> None:
    assert moment(text, datetime(2026, 11, 25, 23, 59, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("since", "shown"),
    [
        ("2026-11-23T07:00:00Z", "now"),
        ("2026-11-23T06:59:18Z", "42s ago"),
        ("2026-11-23T06:56:01Z", "3m 59s ago"),
        ("2026-11-20T02:30:12Z", "3d 4h ago"),
        ("soon", "soon"),
        (None, ""),
    ],
)
def test_times_are_told_as_how_long_ago(since: str | None, shown: str) -> None:
    assert ago(since, datetime(2026, 11, 23, 7, tzinfo=UTC).timestamp()) == shown
