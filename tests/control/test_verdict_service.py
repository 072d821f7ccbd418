"""Alerts on pools, the prober and certificates."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.live_set import LiveSet
from geodns.control import verdict_service
from geodns.control.cluster import Cluster
from geodns.control.verdict_alerts import (
    certificate_alerts,
    deferral_alerts,
    family_alerts,
    pool_alerts,
    prober_alerts,
    remark_alerts,
)
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.model.checks import Target
from geodns.model.state import Forced, ForcedState, Verdict
from geodns.model.zone import Zone
from geodns.storage.state_file import StateFile
from tests.sample_zones import DOWN, NAME, SHED, UP, sources, zone
from tests.servicing import Rig

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


HALVES = zone("""
    hosts: {mta1: [192.0.2.11, "2001:db8::11"], mta2: [192.0.2.12, "2001:db8::12"]}
""")


def judged(cluster: Cluster, **verdicts: Verdict) -> None:
    """Believe this of addresses; keys are family and last number, as v4_11."""
    for target in cluster.targets:
        verdict = verdicts.get(f"v{target.address.version}_{str(target.address)[-2:]}", UP)
        cluster.apply_verdicts({target: verdict}, NOW)


def family_texts(cluster: Cluster) -> list[str]:
    seen = [{"check": "smtp", "outcome": "failure", "detail": "timed out"}]
    return [alert.text for alert in family_alerts(cluster, lambda _host, _family: seen)]


def test_a_pool_dead_in_one_family_is_an_alert_that_says_so() -> None:
    cluster = served(HALVES)
    judged(cluster, v4_11=DOWN, v4_12=DOWN)
    (alert,) = pool_alerts(cluster)
    assert alert.text == f"pool main of {NAME}: nobody is live on IPv4, last resort: down"
    judged(cluster, v4_11=DOWN, v4_12=DOWN, v6_11=DOWN, v6_12=DOWN)
    (worse,) = pool_alerts(cluster)
    assert worse.text == f"pool main of {NAME}: nobody is live, last resort: down"
    assert (alert.key, alert.grade) != (worse.key, worse.grade), "an event again"
    assert alert.key == worse.key


def test_a_half_dead_host_is_an_alert_until_it_is_live_there_again() -> None:
    cluster = served(HALVES)
    judged(cluster)
    assert family_texts(cluster) == []
    judged(cluster, v4_11=DOWN)
    assert family_texts(cluster) == [f"host mta1.{NAME}: down on IPv4 alone (192.0.2.11): timed out"]
    (alert,) = family_alerts(cluster, lambda _host, _family: [])
    assert (alert.kind, alert.hosts, alert.data["family"]) == ("state", ((NAME, "mta1"),), "A")
    assert not alert.still_there(), "it ends without an event while it is not live there"
    judged(cluster, v4_11=SHED)
    assert family_texts(cluster) == [f"host mta1.{NAME}: shedding on IPv4 alone (192.0.2.11): timed out"]
    judged(cluster, v4_11=DOWN, v6_11=DOWN)
    assert family_texts(cluster) == [], "down whole is told by its state"
    assert not alert.still_there()
    judged(cluster, v6_11=DOWN)
    assert family_texts(cluster) == [f"host mta1.{NAME}: down on IPv6 alone (2001:db8::11): timed out"]
    assert alert.still_there()
    cluster.force((NAME, "mta1"), ForcedState(Forced.DRAINED, "", "ann", NOW))
    assert family_texts(cluster) == [], "somebody has taken it out"
    cluster.force((NAME, "mta1"), None)
    cluster.serve_zones(compile_zones(cluster.compiled, {}, cluster.live()), NOW)
    assert family_texts(cluster) == []
    assert not alert.still_there(), "what has left the zone is not live again"


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


def test_what_changes_nothing_is_told_as_it_is() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    outcome = ProbeOutcome(ProbeResult.UNKNOWN, "x", remark="the agent says no word of agents")
    (alert,) = remark_alerts(cluster, [(target, (outcome, NOW)), (target, None)])
    assert alert.text.endswith(": the agent says no word of agents")
    assert alert.hosts == ((NAME, "mta1"),)
    assert not list(prober_alerts(None, [(outcome, NOW)])), "it is no trouble of the prober's own"


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


@pytest.mark.parametrize("why", ["down", "new"])
def test_a_host_that_only_defers_does_not_come_back_and_the_alert_says_so(why: str) -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    if why == "down":
        cluster.verdicts[target] = DOWN
    else:
        cluster.newcomers = frozenset({(NAME, "mta1")})
    (alert,) = deferral_alerts(cluster, [(target, ProbeOutcome(ProbeResult.DEFERRED, "RCPT TO: 450 later"))])
    assert ", and the host stays out, for that is no success: look at its queue" in alert.text


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
    found = list(certificate_alerts(cluster, [(target, Certificate("", "", 0.0, NOW + left))], lambda: NOW))
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
    first, second = sorted(certificate_alerts(cluster, bad.items(), lambda: NOW), key=lambda one: one.text)
    assert first.text == (
        f"certificate of mta1.{NAME} at [192.0.2.11]:465 and [2001:db8::11]:465 and [192.0.2.11]:25 and "
        "[2001:db8::11]:25 expires in 3 days: renew it"
    )
    assert first.hosts == ((NAME, "mta1"),)
    assert second.text.startswith(
        f"certificate of mta2.{NAME} at [192.0.2.12]:465 and [192.0.2.12]:25 expires"
    )
    rest = {one: shown for one, shown in bad.items() if one.port == 25 and one.address.version == 4}
    again = [one.key for one in certificate_alerts(cluster, rest.items(), lambda: NOW)]
    assert set(again) == {first.key, second.key}, "no news when one is renewed"


def test_a_certificate_that_another_bad_one_follows_has_not_got_better() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    latest = {target: Certificate("a", "b", 0.0, time.time() + DAY)}
    (alert,) = certificate_alerts(cluster, latest.items(), time.time, latest.get)
    assert not alert.still_there()
    latest[target] = Certificate("a", "b", 0.0, time.time() + 90 * DAY)
    assert alert.still_there()


def test_a_certificate_of_another_name_is_bad() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    shown = Certificate("", "", 0.0, NOW + 30 * DAY, "wrong name")
    (alert,) = certificate_alerts(cluster, [(target, shown)], lambda: NOW)
    assert alert.grade == "bad"
    assert alert.text.endswith(": wrong name")


def test_a_verdict_is_served_whoever_fails_to_hear_of_the_probe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(target: Target, outcome: ProbeOutcome) -> None:
        raise RuntimeError(f"{target.key} {outcome.kind}")

    rig = Rig(tmp_path)
    rig.serve()
    rig.all_are_up()
    verdicts = rig.services.verdicts
    heard: list[ProbeOutcome] = []
    verdicts.subscribe(broken)
    verdicts.subscribe(lambda _, outcome: heard.append(outcome))
    target = next(iter(rig.services.cluster.targets))
    outcome = ProbeOutcome(ProbeResult.FAILURE, "connection refused")

    async def test() -> None:
        verdicts._on_result(target, outcome, UP, DOWN)
        await asyncio.sleep(0.05)

    asyncio.run(test())
    assert heard == [outcome]
    assert rig.services.cluster.verdicts[target] == DOWN
    assert "is lost to one who subscribed" in caplog.text
    rig.close()


def test_after_the_end_no_verdict_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_service, "RECOMPILE_EVERY", 0.05)
    rig = Rig(tmp_path)
    rig.serve()
    verdicts = rig.services.verdicts
    target = next(iter(rig.services.cluster.targets))

    async def test() -> None:
        for after in (UP, DOWN):  # the second waits for its turn
            verdicts._on_result(target, ProbeOutcome(ProbeResult.OK, "220"), Verdict(), after)
            await asyncio.sleep(0.01)
        await verdicts.close()
        published = len(rig.published)
        await asyncio.sleep(0.1)
        assert len(rig.published) == published

    asyncio.run(test())
    stored = StateFile.open(tmp_path / "state", NOW)[0]
    assert stored.load_verdicts(3600, time.time())[target.key] == DOWN, "but it is kept"
    stored.close()
    rig.close()


def test_a_certificate_has_got_better_only_where_a_good_one_was_seen() -> None:
    cluster = served(TLS)
    (target,) = cluster.targets
    old = Certificate("", "", 0.0, time.time() + DAY)
    now: dict[Any, Certificate] = {target: old}
    (alert,) = certificate_alerts(cluster, [(target, old)], time.time, now.get)
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
