"""Moments as operators and programs write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from geodns.config.times import moment_asked, precise, since_asked
from geodns.errors import UsageError

NOW = 1_795_417_200.0  # 2026-11-23T07:00:00Z
EAST = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("1h", NOW - 3600, id="ago"),
        pytest.param("90", NOW - 90, id="seconds"),
        pytest.param("100000w", 0, id="before all"),
        pytest.param("2026-11-23T07:00:00Z", NOW, id="utc"),
        pytest.param("2026-11-23T08:00:00+01:00", NOW, id="with a zone"),
        pytest.param("2026-11-23T07:00", NOW, id="without"),
        pytest.param("2026-11-23", NOW - 7 * 3600, id="a day"),
        pytest.param("0001-01-01", 0, id="long ago"),
    ],
)
def test_since(text: str, seconds: float) -> None:
    assert since_asked(text, NOW) == seconds


def test_a_time_without_a_zone_is_of_the_zone_that_is_asked_for() -> None:
    assert since_asked("2026-11-23T08:00", NOW, EAST) == NOW
    here = datetime.fromtimestamp(NOW).astimezone().replace(tzinfo=None).isoformat()
    assert since_asked(here, NOW, None) == NOW


def test_a_moment_is_a_time_and_no_duration() -> None:
    for text in ("2026-11-23T07:00:00Z", "2026-11-23T08:00+01:00", "2026-11-23T07:00"):
        assert moment_asked(text) == NOW
    for text in ("", "1h", "tomorrow", "2026-13-01", "1969-01-01", "2200-01-01", "0001-01-01T00:00+23:59"):
        with pytest.raises(UsageError, match="is no time: write it as 2026-11-25T03:00:00Z"):
            moment_asked(text)


@pytest.mark.parametrize("text", ["", "yesterday", "1y", "2026-13-01", "-1h", "\N{ARABIC-INDIC DIGIT ONE}h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="write a duration, as 30m, 1h, 7d, or a time"):
        since_asked(text, NOW)


def test_to_the_millisecond() -> None:
    assert precise(NOW + 0.1239) == "2026-11-23T07:00:00.123Z"
    assert datetime.fromisoformat(precise(NOW)) == datetime.fromtimestamp(NOW, UTC)
