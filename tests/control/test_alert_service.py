"""What is of concern for as long as it lasts: told when it begins, gets worse and ends, and not between."""

import logging
from collections.abc import Hashable
from pathlib import Path

import pytest

from geodns.compiler.compile import compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.alert_service import Alert, Alerts, of_certificates, of_pools, of_prober
from geodns.control.cluster import Cluster
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


def test_each_is_told_once_and_again_when_it_is_worse_and_when_it_is_over(tmp_path: Path) -> None:
    events = EventLog(tmp_path)
    found: dict[Hashable, Alert] = {}
    concerns = Alerts(lambda: found, events)
    concerns.tell()
    found["a"] = Alert("certificate", "14 days left", "it is new", "warning", zone="z", host="h")
    concerns.tell()
    found["a"] = Alert("certificate", "13 days left", "it is new", "warning", zone="z", host="h")
    concerns.tell()
    found["a"] = Alert("certificate", "1 day left", "it is new", "critical", logging.ERROR, "z", "h")
    found["b"] = Alert("prober", "blind", "it sees")
    concerns.tell()
    del found["a"]
    concerns.tell()
    assert [(one.kind, one.text, one.host) for one in told(events)] == [
        ("certificate", "14 days left", "h"),
        ("certificate", "1 day left", "h"),
        ("prober", "blind", None),
        ("certificate", "it is new", "h"),
    ]


def served(one: Zone, live: LiveSet | None = None) -> Cluster:
    cluster = Cluster({}, {}, {}, {})
    if live is not None:
        cluster.verdicts.update(live.verdicts)
    cluster.serve_zones(compile_zones(cluster.compiled, sources(one), cluster.live()), NOW)
    return cluster


def test_a_pool_without_a_live_host_is_of_concern() -> None:
    one = zone("hosts: {mta1: 192.0.2.11}")
    cluster = served(one)
    assert dict(of_pools(cluster)) == {}
    (target,) = cluster.targets
    cluster.judged({target: UP}, NOW)
    cluster.judged({target: DOWN}, NOW)
    (concern,) = dict(of_pools(cluster)).values()
    assert concern.text == f"pool main of {NAME}: nobody is live, last resort: down"
    assert (concern.kind, concern.zone, concern.pool) == ("state", NAME, "main")


def test_the_probers_own_troubles() -> None:
    seen = [
        None,
        (ProbeOutcome(ProbeResult.UNKNOWN, "no route"), NOW),
        (ProbeOutcome(ProbeResult.UNKNOWN, "no route"), NOW),
    ]
    found = dict(of_prober("hosts refuse the prober", [*seen, (ProbeOutcome(ProbeResult.OK, "220"), NOW)]))
    assert [one.text for one in found.values()] == [
        "hosts refuse the prober",
        "the prober has trouble of its own, host states may be old: no route",
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
    found = dict(of_certificates(cluster, [(target, Certificate("", "", 0.0, NOW + left))], NOW))
    assert [one.grade for one in found.values()] == ([] if grade is None else [grade])
    assert all((one.zone, one.host) == (NAME, "mta1") for one in found.values())


def test_a_certificate_of_another_name_is_bad() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    shown = Certificate("", "", 0.0, NOW + 30 * DAY, "wrong name")
    (concern,) = dict(of_certificates(cluster, [(target, shown)], NOW)).values()
    assert concern.grade == "bad"
    assert concern.text.endswith(": wrong name")
