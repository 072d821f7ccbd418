"""The history over HTTP: the step that is taken or refused, and the hosts that are meant."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.api.history import columns, sparklines
from geodns.storage.history_file import Point, Points
from tests.api.test_app import ask as app_ask
from tests.sample_zones import NAME
from tests.servicing import FakeServices
from tests.storage.test_history_file import POINTS

HOSTS = "hosts: {" + ", ".join(f"mta{number}: 192.0.2.{number + 1}" for number in range(200)) + "}"


def ask(query: str) -> tuple[int, Any]:
    status, shown, _ = app_ask("GET", f"/api/v1/history?{query}", FakeServices(HOSTS))
    return status, shown


@pytest.mark.parametrize(
    ("query", "step"),
    [
        pytest.param("", 600, id="a day of many hosts"),
        pytest.param("host=mta1", 60, id="a day of one"),
        pytest.param("host=mta1&host=mta2.out.example.com.&step=1m", 60, id="asked for"),
        pytest.param("host=mta1&step=1m&since=90d", 60, id="of a day are kept"),
        pytest.param("since=7d", 3600, id="a week"),
        pytest.param("since=90d", 86400, id="ninety days of many"),
        pytest.param("since=90d&step=1d", 86400, id="by the day"),
    ],
)
def test_the_step_is_as_fine_as_it_may_be(query: str, step: int) -> None:
    status, shown = ask(query)
    assert (status, shown["step_s"], shown["zone"], shown["hosts"]) == (200, step, NAME, {})


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("step=1m", "`step` 1m makes 288,000 points: write one that makes at most 100,000, or `host`"),
        ("step=1h&since=90d", "`step` 1h makes 432,000 points"),
        ("step=5m", "`step` '5m' is none: write 1m, 10m, 1h, 1d, or none"),
        ("zone=none.example", f"no zone none.example is served; there are {NAME}"),
    ],
)
def test_too_much_is_refused_with_what_to_write_instead(query: str, says: str) -> None:
    status, shown = ask(query)
    assert status in {400, 404}
    assert shown["error"].startswith(says)


def test_columns_of_a_zone() -> None:
    steps = [
        (60, {"mta1": Point(3, 2, 2, 0.5, 4, 4), "mta2": Point(1, 2, 0, 0.0, 4, 1)}),
        (120, {"mta1": Point(samples=0)}),
    ]
    shown = columns(steps, 60)
    assert shown["mta1"] == {
        "at": [60, 120],
        "answers": [3, 0],
        "share": [0.75, None],
        "intended": [0.5, None],
        "rtt_ms": [250.0, None],
        "up": [1.0, None],
        "timeouts": [0, 0],
    }
    assert shown["mta2"]["up"] == [0.25]
    assert columns(steps, 60, ["mta2", "gone"]).keys() == {"mta2"}


def test_finer_points_are_added_up_with_the_shares_of_all() -> None:
    steps = [(at, {"mta1": Point(3, 2, 2, 0.5, 4, 4), "mta2": Point(1, 2)}) for at in (540, 600, 660, 1200)]
    assert columns(steps, 600, ["mta1"]) == {
        "mta1": {
            "at": [0, 600, 1200],
            "answers": [3, 6, 3],
            "share": [0.75] * 3,
            "intended": [0.5] * 3,
            "rtt_ms": [250.0] * 3,
            "up": [1.0] * 3,
            "timeouts": [0] * 3,
        }
    }


@given(st.lists(POINTS, max_size=6))
def test_sparklines_are_all_as_long_as_the_time(some: list[Points]) -> None:
    shown: dict[str, Any] = sparklines(((at * 60, points) for at, points in enumerate(some)), 60)
    assert shown.keys() == {host for points in some for host in points}
    for own in shown.values():
        assert [len(own["rtt_ms"]), len(own["rate"])] == [len(some)] * 2
