"""What is of concern for as long as it lasts: told when it begins, gets worse and ends, and not between."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from geodns.compiler.compile import compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.alert_service import Alert, Alerts
from geodns.control.cluster import Cluster
from geodns.control.verdict_service import certificate_alerts, pool_alerts, prober_alerts
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.model.zone import Zone
from geodns.storage.event_file import Event
from geodns.storage.event_log import EventLog
from tests.sample_zones import DOWN, NAME, UP, sources, zone

NOW = 1_795_417_200.0
DAY = 86400.0
TLS = zone(
    """
    checks: {tls: {type: smtp, starttls: verified, cert_critical: 2d}}
    hosts: {mta1: 192.0.2.11}
    pools: {main: {hosts: "*", check: tls}}
    """
)


def told(events: EventLog) -> list[Event]:
    return list(events._memory)


class Part:
    """A part of the server with alerts of a test's."""

    def __init__(self) -> None:
        self.found: dict[str, Alert] = {}

    def alerts(self) -> Iterable[Alert]:
        return self.found.values()


def test_each_is_told_once_and_again_when_it_is_worse_and_when_it_is_over(tmp_path: Path) -> None:
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
    assert [(one.kind, one.text, one.zone, one.host) for one in told(events)] == [
        ("certificate", "14 days left", "z", "h"),
        ("certificate", "1 day left", "z", "h"),
        ("prober", "blind", None, None),
        ("certificate", "it is new", "z", "h"),
    ]


def test_what_is_told_elsewhere_or_shown_nowhere(tmp_path: Path) -> None:
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
    assert [(one.text, one.data) for one in told(events)] == [
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
    assert [one.text for one in told(events)] == ["bad", "good again", "bad"]


def test_events_that_cannot_be_written_are_an_alert(tmp_path: Path) -> None:
    events = EventLog(tmp_path)
    events.trouble = "the disk is full"
    alerts = Alerts(events, [])
    alerts.report()
    assert alerts.warnings() == ["the disk is full"]
    assert [one.text for one in told(events)] == ["the disk is full"]


def served(one: Zone, live: LiveSet | None = None) -> Cluster:
    cluster = Cluster({}, {}, {}, {})
    if live is not None:
        cluster.verdicts.update(live.verdicts)
    cluster.serve_zones(compile_zones(cluster.compiled, sources(one), cluster.live()), NOW)
    return cluster


def test_a_pool_without_a_live_host_is_of_concern() -> None:
    one = zone("hosts: {mta1: 192.0.2.11}")
    cluster = served(one)
    assert list(pool_alerts(cluster)) == []
    (target,) = cluster.targets
    cluster.apply_verdicts({target: UP}, NOW)
    cluster.apply_verdicts({target: DOWN}, NOW)
    (alert,) = pool_alerts(cluster)
    assert alert.text == f"pool main of {NAME}: nobody is live, last resort: down"
    assert (alert.kind, alert.pool, alert.still_there()) == ("state", (NAME, "main"), True)
    cluster.serve_zones(compile_zones(cluster.compiled, {}, cluster.live()), NOW)
    assert not alert.still_there()


def test_the_probers_own_troubles() -> None:
    seen = [
        None,
        (ProbeOutcome(ProbeResult.UNKNOWN, "no route"), NOW),
        (ProbeOutcome(ProbeResult.UNKNOWN, "no route"), NOW),
    ]
    found = prober_alerts("hosts refuse the prober", [*seen, (ProbeOutcome(ProbeResult.OK, "220"), NOW)])
    assert [one.text for one in found] == [
        "the prober has trouble of its own, host states may be old: no route",
        "hosts refuse the prober",
    ]


@pytest.mark.parametrize(
    ("left", "grade"),
    [
        pytest.param(30 * DAY, None, id="good"),
        pytest.param(10 * DAY, "warning", id="warning"),
        pytest.param(1 * DAY, "critical", id="critical"),
        pytest.param(-1 * DAY, "expired", id="expired"),
    ],
)
def test_certificates_get_worse_by_grades(left: float, grade: str | None) -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    found = list(certificate_alerts(cluster, [(target, Certificate("", "", 0.0, NOW + left))], NOW))
    assert [one.grade for one in found] == ([] if grade is None else [grade])
    assert all(one.hosts == ((NAME, "mta1"),) for one in found)


def test_a_certificate_of_another_name_is_bad() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    shown = Certificate("", "", 0.0, NOW + 30 * DAY, "wrong name")
    (alert,) = certificate_alerts(cluster, [(target, shown)], NOW)
    assert alert.grade == "bad"
    assert alert.text.endswith(": wrong name")
