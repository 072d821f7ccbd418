"""Alerts on hosts, pools, the prober and certificates, from what is known of them now."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from geodns.config.report import first_names
from geodns.control.alert_service import Alert
from geodns.control.cluster import Cluster
from geodns.errors import printable
from geodns.health.mass_failure import Suspect
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.health.tls import name_for, places_of, warning_of
from geodns.model.base import FAMILIES, Family
from geodns.model.checks import Target
from geodns.model.state import NOT_LIVE, NOTHING_KNOWN, Forced, HealthState, HostKey, PoolKey
from geodns.wire.codes import FAMILY_NAMES

MOST_CHECKS = 8
"""Checks of a host in an event."""


def pool_alerts(cluster: Cluster) -> Iterator[Alert]:
    """Return an alert for each pool that deals its last resort, in both families or in one."""
    for key, choice in cluster.compiled.choices.items():
        if choice.last_resort is not None:
            deals = {one: choice.of(one) for one in FAMILIES}
            dead = {FAMILY_NAMES[one]: deal for one, deal in deals.items() if deal.last_resort is not None}
            some = any(deal.live for deal in deals.values())
            where = f" on {' and '.join(dead)}" if some else ""
            pool = f"pool {key[1]} of {key[0]}"
            who = "no warm host" if any(deal.warmup for deal in dead.values()) else "nobody"
            yield Alert(
                ("pool", key),
                f"{pool}: {who} is live{where}, last resort: {choice.last_resort}",
                kind="state",
                resolved=f"{pool}: somebody is live again",
                still_there=partial(_has_pool, cluster, key),
                grade=f"{choice.last_resort}{where}",
                level=logging.ERROR,
                pool=key,
            )


def family_alerts(
    cluster: Cluster, checks: Callable[[HostKey, Family], list[dict[str, str]]]
) -> Iterator[Alert]:
    """Return an alert for each family in which a host is not live that is live in the other.

    Args:
        cluster: the running state.
        checks: returns the last results of a host's checks in a family.

    """
    for host, dead in cluster.half_dead.items():
        forced = cluster.forced.get(host)
        if forced is not None and forced.forced is not Forced.UP:
            continue  # it has been taken out, whatever its addresses do
        addresses = cluster.zone(host[0]).host_by_name[host[1]].by_family
        for family, state in dead.items():
            seen = checks(host, family)
            why = "; ".join(sorted({check["detail"] for check in seen if check["outcome"] != ProbeResult.OK}))
            name, word = f"host {host[1]}.{host[0]}", FAMILY_NAMES[family]
            yield Alert(
                ("family", host, family),
                f"{name}: {state} on {word} alone ({', '.join(map(str, addresses[family]))})"
                f"{f': {why}' if why else ''}",
                kind="state",
                resolved=f"{name}: live on {word} again",
                still_there=partial(_is_live_on, cluster, host, family),
                grade=str(state),
                hosts=(host,),
                data={"family": family, "state": str(state), "checks": seen[:MOST_CHECKS]},
            )


def prober_alerts(hint: str | None, seen: Iterable[tuple[ProbeOutcome, float] | None]) -> Iterator[Alert]:
    """Return the prober's own troubles.

    Args:
        hint: why hosts may refuse the prober; None: they do not.
        seen: the last result of each target.

    """
    details = {
        one[0].detail
        for one in seen
        if one is not None and one[0].kind is ProbeResult.UNKNOWN and one[0].remark is None
    }
    for detail in sorted(details):
        text = f"the prober has trouble of its own, host states may be old: {detail}"
        resolved = f"no probe reports this trouble of the prober any more: {detail}"
        yield Alert(("prober", detail), text, kind="prober", resolved=resolved)
    if hint is not None:
        resolved = "no reply speaks of refusing the prober any more"
        yield Alert("hint", hint, kind="prober", resolved=resolved, level=logging.ERROR)


def remark_alerts(
    cluster: Cluster, seen: Iterable[tuple[Target, tuple[ProbeOutcome, float] | None]]
) -> Iterator[Alert]:
    """Return what operators should know of outcomes that change nothing by themselves."""
    found = [(target, one[0].remark) for target, one in seen if one is not None and one[0].remark is not None]
    for target, remark in sorted(found, key=lambda one: one[0].key):
        yield _of_target(
            cluster, target, "remark", printable(remark), "what it says is understood again", grade="remark"
        )


def suspect_alerts(suspects: Mapping[PoolKey, Suspect]) -> Iterator[Alert]:
    """Return the pools in doubt; their events are the guard's news."""
    for key, one in suspects.items():
        until = (
            "they count as failures by now"
            if one.held_for is None
            else f"their verdicts are held for {one.held_for:.0f} s more"
        )
        text = (
            f"pool {key[1]} of {key[0]}: {one.failing} of {one.hosts} hosts fell silent at once, "
            f"the prober itself may be cut off (prober_suspect): {until}"
        )
        yield Alert(("suspect", key), text, event="", pool=key)


def deferral_alerts(cluster: Cluster, deferring: Iterable[tuple[Target, ProbeOutcome]]) -> Iterator[Alert]:
    """Return an alert for each target that goes on deferring its check's recipient."""
    for target, outcome in deferring:
        down = cluster.verdicts.get(target, NOTHING_KNOWN).state is HealthState.DOWN
        out = down or cluster.newcomers.issuperset(cluster.hosts_of(target))
        effect = "stays out, for that is no success" if out else "keeps its weight"
        text = (
            f"recipients are deferred ({printable(outcome.detail)}), and the host {effect}: "
            "look at its queue, disk and filters, or write `rcpt_4xx: shed`"
        )
        yield _of_target(cluster, target, "deferral", text, "recipients are no longer deferred", grade=effect)


def _of_target(
    cluster: Cluster, target: Target, about: str, text: str, resolved: str, *, grade: str = ""
) -> Alert:
    """Return an alert on one target, whose sentences name its check and hosts."""
    hosts = cluster.hosts_of(target)
    names = first_names(tuple(f"{host}.{zone}" for zone, host in hosts))
    what = f"check {target.check.name} of {names} at [{target.address}]:{target.port}"
    return Alert(
        (about, target),
        f"{what}: {text}",
        kind="state",
        resolved=f"{what}: {resolved}",
        still_there=partial(_is_probed, cluster, target),
        grade=grade,
        hosts=hosts,
        data={"check": target.check.name, "address": str(target.address)},
    )


def certificate_alerts(
    cluster: Cluster,
    certificates: Iterable[tuple[Target, Certificate]],
    clock: Callable[[], float],
    latest: Callable[[Target], Certificate | None] = lambda _: None,
) -> Iterator[Alert]:
    """Return an alert for each certificate of a host that is old or bad, at whichever of its addresses.

    Args:
        cluster: what is probed.
        certificates: the last ones seen.
        clock: returns seconds since the epoch, now and when it is asked whether an alert has got better.
        latest: returns a target's certificate once the alert has ended: another bad one is no improvement.

    """
    bad: dict[tuple[str, Certificate], list[tuple[int, str, Target, Certificate]]] = {}
    now = clock()
    for target, certificate in certificates:
        if warning_of(target, certificate, now) is not None:
            rank = _GRADES.index(_grade(target, certificate, now))
            same = bad.setdefault((name_for(target), replace(certificate, problem=None)), [])
            same.append((rank, target.key, target, certificate))
    for (name, certificate), same in bad.items():
        same.sort(key=lambda one: one[:2])
        rank, _, worst, shown = same[0]
        grade = _GRADES[rank]
        targets = [one[2] for one in same]
        yield Alert(
            ("certificate", name, certificate),
            warning_of(worst, shown, now, targets) or "",
            kind="certificate",
            resolved=f"certificate of {name} at {places_of(targets)}: nothing is wrong with it any more",
            still_there=partial(_are_well, cluster, tuple(targets), latest, clock),
            grade=grade,
            level=logging.WARNING if grade == "warning" else logging.ERROR,
            hosts=tuple(dict.fromkeys(host for one in targets for host in cluster.hosts_of(one))),
        )


def _is_live_on(cluster: Cluster, host: HostKey, family: Family) -> bool:
    """Say whether a host is served and live in a family."""
    source = cluster.sources.get(host[0])
    known = None if source is None else source.zone.host_by_name.get(host[1])
    return (
        known is not None
        and family in known.by_family
        and cluster.family_states(host)[family] not in NOT_LIVE
    )


_GRADES = ("bad", "expired", "critical", "warning")
"""Grades of certificates, the worst first."""


def _grade(target: Target, certificate: Certificate, now: float) -> str:
    left = certificate.not_after - now
    if not certificate.not_after or (target.check.verifies and certificate.problem not in {None, "expired"}):
        return "bad"
    if left < max(0.0, target.check.cert_critical):
        return "expired" if left < 0 else "critical"
    return "warning"


def _are_well(
    cluster: Cluster,
    targets: tuple[Target, ...],
    latest: Callable[[Target], Certificate | None],
    clock: Callable[[], float],
) -> bool:
    """Tell whether good certificates were seen, and no bad one: a host that left has not got better."""
    shown = [(one, latest(one)) for one in targets if _is_probed(cluster, one)]
    seen = [(one, certificate) for one, certificate in shown if certificate is not None]
    now = clock()
    return bool(seen) and all(warning_of(one, certificate, now) is None for one, certificate in seen)


def _has_pool(cluster: Cluster, key: PoolKey) -> bool:
    return key in cluster.compiled.choices


def _is_probed(cluster: Cluster, target: Target) -> bool:
    return target in cluster.targets
