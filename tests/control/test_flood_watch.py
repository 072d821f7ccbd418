"""How often, and of what, operators hear while answers are limited."""

from collections.abc import Iterable
from pathlib import Path

from geodns.control.alert_service import Alert, Alerts
from geodns.control.answer_policy_service import EVERY, MOST, FloodWatch
from geodns.responder.rate_limit import Action, Limited
from geodns.storage.event_log import EventLog

SOME = Limited({Action.DROPPED: 30, Action.TRUNCATED: 10}, {"192.0.2.0/24": 35, "2001:db8::/56": 5})


class Told:
    """A watch, and what is told of it."""

    def __init__(self, folder: Path) -> None:
        self.watch = FloodWatch()
        self.now = 0.0
        self._events = EventLog(folder)
        self._alerts = Alerts(self._events, [self])

    def alerts(self) -> Iterable[Alert]:
        return self.watch.alerts(self.now)

    def look(self, now: float) -> None:
        self.now = now
        self._alerts.tell()

    def lines(self) -> list[str]:
        found = [one.text for one in self._events._memory]
        self._events._memory.clear()
        return found


def warnings(watch: FloodWatch, now: float) -> list[str]:
    return [one.text for one in watch.alerts(now)]


def test_a_line_at_once_and_then_one_a_minute(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.look(999.0)
    assert told.lines() == []
    for second in range(150):
        told.watch.note(SOME, 1000.0 + second)
        told.watch.note(SOME, 1000.0 + second)
        told.look(1000.0 + second)
    first, second_line, third = told.lines()
    assert first == (
        "answers are rate limited: 60 dropped, 20 truncated; most to 192.0.2.0/24 (70), 2001:db8::/56 (10)"
    )
    assert second_line == third
    assert second_line == (
        "answers are rate limited: 3600 dropped, 1200 truncated; "
        "most to 192.0.2.0/24 (4200), 2001:db8::/56 (600) in the last minute"
    )


def test_the_last_minute_is_not_forgotten(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.watch.note(SOME, 0.0)
    told.look(0.0)
    told.watch.note(SOME, 1.0)
    told.look(1.0)
    assert len(told.lines()) == 1
    told.look(EVERY)
    assert "30 dropped, 10 truncated" in told.lines()[0]
    told.look(2 * EVERY)
    assert told.lines() == []


def test_three_networks_are_named() -> None:
    watch = FloodWatch()
    watch.note(Limited({Action.BADCOOKIE: 10}, {f"192.0.{one}.0/24": one for one in range(1, 5)}), 0.0)
    assert warnings(watch, 0.0) == [
        "answers are rate limited: 10 badcookie; most to 192.0.4.0/24 (4), 192.0.3.0/24 (3), 192.0.2.0/24 (2)"
    ]


def test_the_warning_goes_a_minute_after() -> None:
    watch = FloodWatch()
    assert warnings(watch, 0.0) == []
    watch.note(SOME, 10.0)
    (shown,) = warnings(watch, 10.0)
    assert shown.startswith("answers are rate limited: 30 dropped, 10 truncated; most to 192.0.2.0/24 (35)")
    assert warnings(watch, 10.0 + EVERY - 1) == [shown]
    assert warnings(watch, 10.0 + EVERY) == []


def test_many_networks_do_not_grow_memory() -> None:
    watch = FloodWatch()
    for number in range(3 * MOST):
        watch.note(Limited({Action.DROPPED: 2}, {f"network {number}": 1, "the worst": 1}), 0.0)
    assert len(watch._networks) <= MOST
    assert "most to the worst (3000)" in warnings(watch, 0.0)[0]
