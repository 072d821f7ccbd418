"""Alerts on pools, the prober and certificates."""

import time

import pytest

from geodns.compiler.compile import compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control.cluster import Cluster
from geodns.control.verdict_service import (
    certificate_alerts,
    deferral_alerts,
    pool_alerts,
    prober_alerts,
)
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


def test_a_host_that_defers_recipients_is_an_alert() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    (alert,) = deferral_alerts(
        cluster, [(target, ProbeOutcome(ProbeResult.DEFERRED, "RCPT TO: 452 4.3.1 disk full"))]
    )
    assert alert.text == (
        f"check tls of mta1.{NAME} at [192.0.2.11]:25: recipients are deferred (RCPT TO: 452 4.3.1 disk full)"
        ", and the host keeps its weight: look at its queue, disk and filters, or write `rcpt_4xx: shed`"
    )
    assert (alert.kind, alert.hosts, alert.still_there()) == ("state", ((NAME, "mta1"),), True)


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


def test_the_same_certificate_at_two_addresses_of_a_host_is_one_alert() -> None:
    cluster = served(
        zone(
            """
            checks: {tls: {type: smtp, starttls: offered}, mx: {type: smtps, port: 465}}
            hosts: {mta1: {address: [192.0.2.11, "2001:db8::11"]}, mta2: 192.0.2.12}
            pools: {main: {hosts: "*", check: [tls, mx]}}
            """
        )
    )
    old = Certificate("mta1", "Someone", 0.0, NOW + 3 * DAY)
    bad = dict.fromkeys(cluster.targets, old)
    first, second = sorted(certificate_alerts(cluster, bad.items(), NOW), key=lambda one: one.text)
    assert first.text == (
        f"certificate of mta1.{NAME} at [192.0.2.11]:465 and [2001:db8::11]:465 and [192.0.2.11]:25 and "
        "[2001:db8::11]:25 expires in 3 days: renew it"
    )
    assert first.hosts == ((NAME, "mta1"),)
    assert second.text.startswith(
        f"certificate of mta2.{NAME} at [192.0.2.12]:465 and [192.0.2.12]:25 expires"
    )
    rest = {one: shown for one, shown in bad.items() if one.port == 25 and one.address.version == 4}
    again = [one.key for one in certificate_alerts(cluster, rest.items(), NOW)]
    assert set(again) == {first.key, second.key}, "no news when one is renewed"


def test_a_certificate_that_another_bad_one_follows_has_not_got_better() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    latest = {target: Certificate("a", "b", 0.0, time.time() + DAY)}
    (alert,) = certificate_alerts(cluster, latest.items(), time.time(), latest.get)
    assert not alert.still_there()
    latest[target] = Certificate("a", "b", 0.0, time.time() + 90 * DAY)
    assert alert.still_there()


def test_a_certificate_of_another_name_is_bad() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    shown = Certificate("", "", 0.0, NOW + 30 * DAY, "wrong name")
    (alert,) = certificate_alerts(cluster, [(target, shown)], NOW)
    assert alert.grade == "bad"
    assert alert.text.endswith(": wrong name")
