"""What is of concern for as long as it lasts, told when it begins, gets worse and ends.

Whoever is on call sees it in the status meanwhile; the events say since when, and that it is over.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from geodns.control.cluster import Cluster
from geodns.health.outcome import Certificate, ProbeOutcome, ProbeResult
from geodns.health.tls import name_for, warning_of
from geodns.model.checks import Target
from geodns.storage.event_log import EventLog

LOOK_EVERY = 1.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that an operator should know for as long as it lasts.

    Attributes:
        kind: of the event, one of `events.KINDS`.
        text: of the event.
        over: of the event that ends it.
        grade: tells how bad it is: with another it is told again.
        level: of the line in the log.
        zone: which it is about; likewise `host` and `pool`.

    """

    kind: str
    text: str
    over: str
    grade: str = ""
    level: int = logging.WARNING
    zone: str | None = None
    host: str | None = None
    pool: str | None = None


class Alerts:
    """Looks again and again, and tells what has changed.

    Args:
        look: returns what is of concern now, by what it is about.
        events: told.

    """

    def __init__(self, look: Callable[[], Mapping[Hashable, Alert]], events: EventLog) -> None:
        self._look = look
        self._events = events
        self._told: Mapping[Hashable, Alert] = {}

    async def watch(self) -> None:
        """Look again and again; never return."""
        while True:
            self.tell()
            await asyncio.sleep(LOOK_EVERY)

    def tell(self) -> None:
        """Tell what has begun, got another grade or ended since the last time."""
        before, self._told = self._told, dict(self._look())
        for about, one in self._told.items():
            known = before.get(about)
            if known is None or known.grade != one.grade:
                self._say(one, one.text, one.level)
        for about in before.keys() - self._told.keys():
            self._say(before[about], before[about].over, logging.INFO)

    def _say(self, one: Alert, text: str, level: int) -> None:
        self._events.tell(one.kind, text, level=level, zone=one.zone, host=one.host, pool=one.pool)


# --- what there is to look at ---------------------------------------------------------------------------


def found(
    cluster: Cluster,
    hint: str | None,
    seen: Iterable[tuple[ProbeOutcome, float] | None],
    certificates: Iterable[tuple[Target, Certificate]],
) -> Iterator[tuple[Hashable, Alert]]:
    """Return all that is of concern now, by what it is about.

    Args:
        cluster: what is served.
        hint: what hosts that refuse the prober mean; None where they do not.
        seen: the last result of each target.
        certificates: what hosts showed of themselves last.

    """
    yield from of_pools(cluster)
    yield from of_prober(hint, seen)
    yield from of_certificates(cluster, certificates, time.time())


def of_pools(cluster: Cluster) -> Iterator[tuple[Hashable, Alert]]:
    """Return the pools whose answers are a last resort."""
    for (zone, pool), choice in cluster.compiled.choices.items():
        if choice.last_resort is not None:
            last = str(choice.last_resort)
            text = f"pool {pool} of {zone}: nobody is live, last resort: {last}"
            over = f"pool {pool} of {zone}: somebody is live again"
            yield (
                ("pool", zone, pool),
                Alert("state", text, over, last, logging.ERROR, zone=zone, pool=pool),
            )


def of_prober(
    hint: str | None, seen: Iterable[tuple[ProbeOutcome, float] | None]
) -> Iterator[tuple[Hashable, Alert]]:
    """Return that hosts refuse the prober, and what troubles it itself."""
    if hint is not None:
        yield "hint", Alert("prober", hint, "hosts no longer refuse the prober", level=logging.ERROR)
    for detail in sorted(
        {one[0].detail for one in seen if one is not None and one[0].kind is ProbeResult.UNKNOWN}
    ):
        text = f"the prober has trouble of its own, host states may be old: {detail}"
        yield ("blind", detail), Alert("prober", text, f"the prober has no such trouble any more: {detail}")


def of_certificates(
    cluster: Cluster, certificates: Iterable[tuple[Target, Certificate]], now: float
) -> Iterator[tuple[Hashable, Alert]]:
    """Return the certificates that are old or bad."""
    for target, certificate in certificates:
        text = warning_of(target, certificate, now)
        if text is None:
            continue
        left = certificate.not_after - now
        grade = "warning"
        if not certificate.not_after or (
            target.check.verifies and certificate.problem not in {None, "expired"}
        ):
            grade = "bad"
        elif left < max(0.0, target.check.cert_critical):
            grade = "expired" if left < 0 else "critical"
        where = f"[{target.address}]:{target.port}"
        over = f"certificate of {name_for(target)} at {where}: nothing is wrong with it any more"
        hosts = cluster.hosts_of(target)
        zone, host = hosts[0] if len(hosts) == 1 else (None, None)
        level = logging.WARNING if grade == "warning" else logging.ERROR
        about = ("certificate", name_for(target), where)
        yield about, Alert("certificate", text, over, grade, level, zone, host)
