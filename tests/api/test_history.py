"""The history over HTTP: the step that is taken or refused, and the hosts that are meant."""

from typing import Any

import pytest

from tests.api.test_app import ask as app_ask
from tests.sample_zones import NAME
from tests.servicing import FakeServices

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
