"""Alerts on pools, the prober and certificates."""

import time
from typing import Any

import pytest

from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.cluster import Cluster
from geodns.control.verdict_service import certificate_alerts, pool_alerts, prober_alerts
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.model.zone import Zone
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


def served(one: Zone, live: LiveSet | None = None) -> Cluster:
    cluster = Cluster({}, {}, {}, {})
    if live is not None:
        cluster.verdicts.update(live.verdicts)
    cluster.serve_zones(compile_zones(cluster.compiled, sources(one), cluster.live()), NOW)
    return cluster


def test_a_pool_without_a_live_host_is_an_alert() -> None:
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


def test_a_certificate_has_got_better_only_where_a_good_one_was_seen() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    old = Certificate("", "", 0.0, time.time() + DAY)
    now: dict[Any, Certificate] = {target: old}
    (alert,) = certificate_alerts(cluster, [(target, old)], time.time(), now.get)
    assert not alert.still_there(), "the old one is shown still"
    now[target] = Certificate("", "", 0.0, time.time() + 90 * DAY)
    assert alert.still_there()
    now.clear()
    assert not alert.still_there(), "none is shown any more: the host left, or no longer encrypts"
    now[target] = Certificate("", "", 0.0, time.time() + 90 * DAY)
    cluster.serve_zones(compile_zones(Compiled(), {}, cluster.live()), NOW)
    assert not alert.still_there(), "its zone is gone"


def test_the_end_of_the_probers_trouble_claims_no_more_than_was_seen() -> None:
    unknown = (ProbeOutcome(ProbeResult.UNKNOWN, "no route"), NOW)
    texts = [one.resolved for one in prober_alerts("hosts refuse the prober", [unknown])]
    assert texts == [
        "no probe reports this trouble of the prober any more: no route",
        "no reply speaks of refusing the prober any more",
    ]
