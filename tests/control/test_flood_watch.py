"""How often, and of what, operators hear while answers are limited."""

import logging

import pytest

from geodns.control.answer_policy_service import EVERY, MOST, FloodWatch
from geodns.responder.rate_limit import Action, Limited

SOME = Limited({Action.DROPPED: 30, Action.TRUNCATED: 10}, {"192.0.2.0/24": 35, "2001:db8::/56": 5})


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_a_line_at_once_and_then_one_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    watch = FloodWatch()
    watch.tell(999.0)
    assert lines(caplog) == []
    for second in range(150):
        watch.note(SOME, 1000.0 + second)
        watch.note(SOME, 1000.0 + second)
        watch.tell(1000.0 + second)
    first, second_line, third = lines(caplog)
    assert first == (
        "answers are rate limited: 60 dropped, 20 truncated; most to 192.0.2.0/24 (70), 2001:db8::/56 (10)"
    )
    assert second_line == third
    assert second_line == (
        "answers are rate limited: 3600 dropped, 1200 truncated; "
        "most to 192.0.2.0/24 (4200), 2001:db8::/56 (600) in the last minute"
    )


def test_the_last_minute_is_not_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    watch = FloodWatch()
    watch.note(SOME, 0.0)
    watch.tell(0.0)
    watch.note(SOME, 1.0)
    watch.tell(1.0)
    assert len(lines(caplog)) == 1
    watch.tell(EVERY)
    assert "30 dropped, 10 truncated" in lines(caplog)[0]
    watch.tell(2 * EVERY)
    assert lines(caplog) == []


def test_three_networks_are_named(caplog: pytest.LogCaptureFixture) -> None:
    watch = FloodWatch()
    watch.note(Limited({Action.BADCOOKIE: 10}, {f"192.0.{one}.0/24": one for one in range(1, 5)}), 0.0)
    watch.tell(0.0)
    assert lines(caplog) == [
        "answers are rate limited: 10 badcookie; most to 192.0.4.0/24 (4), 192.0.3.0/24 (3), 192.0.2.0/24 (2)"
    ]


def test_the_warning_goes_a_minute_after() -> None:
    watch = FloodWatch()
    assert watch.warnings(0.0) == []
    watch.note(SOME, 10.0)
    (shown,) = watch.warnings(10.0)
    assert shown.startswith("answers are rate limited: 30 dropped, 10 truncated; most to 192.0.2.0/24 (35)")
    watch.tell(10.0)
    assert watch.warnings(10.0 + EVERY - 1) == [shown]
    assert watch.warnings(10.0 + EVERY) == []


def test_many_networks_do_not_grow_memory() -> None:
    watch = FloodWatch()
    for number in range(3 * MOST):
        watch.note(Limited({Action.DROPPED: 2}, {f"network {number}": 1, "the worst": 1}), 0.0)
    assert len(watch._networks) <= MOST
    assert "most to the worst (3000)" in watch.warnings(0.0)[0]
