"""Alerts: an event when one begins, gets worse or ends, and none between."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from geodns.control.alert_service import Alert, Alerts
from geodns.storage.event_file import Event
from geodns.storage.event_log import EventLog


def reported(events: EventLog) -> list[Event]:
    return list(events._memory)


class Part:
    """A part of the server with alerts of a test's."""

    def __init__(self) -> None:
        self.found: dict[str, Alert] = {}

    def alerts(self) -> Iterable[Alert]:
        return self.found.values()


def test_each_is_an_event_once_and_again_when_it_is_worse_and_when_it_is_over(tmp_path: Path) -> None:
    events, part = EventLog(tmp_path), Part()
    found, alerts = part.found, Alerts(events, [part])
    alerts.report()
    old = Alert(
        "a", "14 days left", "certificate", resolved="it is new", grade="warning", hosts=(("z", "h"),)
    )
    found["a"] = old
    alerts.report()
    found["a"] = replace(old, text="13 days left")
    alerts.report()
    found["a"] = replace(old, text="1 day left", grade="critical", level=logging.ERROR)
    found["b"] = Alert("b", "blind", "prober", resolved="it sees")
    alerts.report()
    assert alerts.warnings() == ["1 day left", "blind"]
    del found["a"]
    alerts.report()
    assert [(one.kind, one.text, one.zone, one.host) for one in reported(events)] == [
        ("certificate", "14 days left", "z", "h"),
        ("certificate", "1 day left", "z", "h"),
        ("prober", "blind", None, None),
        ("certificate", "it is new", "z", "h"),
    ]


def test_what_is_reported_elsewhere_or_shown_nowhere(tmp_path: Path) -> None:
    events, part = EventLog(tmp_path), Part()
    alerts = Alerts(events, [part])
    part.found["a"] = Alert("a", "shown alone", event="")
    part.found["b"] = Alert(
        "b", "told alone", shown=False, data={"stale": True}, resolved_data={"stale": False}
    )
    part.found["c"] = Alert("c", "shown so", event="told so", resolved="over")
    alerts.report()
    assert alerts.warnings() == ["shown alone", "shown so"]
    part.found.clear()
    alerts.report()
    assert [(one.text, one.data) for one in reported(events)] == [
        ("told alone", {"stale": True}),
        ("told so", {}),
        ("over", {}),
    ]


def test_what_has_left_has_not_got_better(tmp_path: Path) -> None:
    events, part = EventLog(tmp_path), Part()
    alerts, there = Alerts(events, [part]), [True]
    for _ in range(2):
        part.found["a"] = Alert("a", "bad", resolved="good again", still_there=lambda: bool(there))
        alerts.report()
        part.found.clear()
        alerts.report()
        there.clear()
    assert [one.text for one in reported(events)] == ["bad", "good again", "bad"]


def test_events_that_cannot_be_written_are_an_alert(tmp_path: Path) -> None:
    events = EventLog(tmp_path)
    events.trouble = "the disk is full"
    alerts = Alerts(events, [])
    alerts.report()
    assert alerts.warnings() == ["the disk is full"]
    assert [one.text for one in reported(events)] == ["the disk is full"]


def test_a_fault_of_ours_in_one_part_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Part):
        def alerts(self) -> Iterable[Alert]:
            yield from self.found.values()
            if self.found.pop("b", None) is None:
                raise RuntimeError("a fault of ours")

    events, broken, other = EventLog(tmp_path), Broken(), Part()
    alerts = Alerts(events, [broken, other])
    broken.found = {"a": Alert("a", "bad", resolved="good"), "b": Alert("b", "bad too", resolved="good too")}
    alerts.report()
    other.found["c"] = Alert("c", "another")
    for _ in range(3):
        alerts.report()
    assert alerts.warnings() == ["bad", "bad too", "another"], "the last that it could say"
    assert [one.text for one in reported(events)] == ["bad", "bad too", "another"]
    assert caplog.text.count("the alerts of Broken are those of a moment ago") == 1
