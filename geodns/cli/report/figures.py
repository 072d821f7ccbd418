"""The figures of a report, from the API's JSON: uptime, failovers, shares, latency, certificates."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import NamedTuple

from geodns.cli.client import Json


@dataclass(frozen=True, slots=True)
class HostFigures:
    """One host's time.

    Attributes:
        state: now; ``gone`` where it is not served any more.
        uptime: the part of the time in which it was up; None where no probe looked.
        dealt: its part of its zone's answers; None where there were none.
        intended: what that part should have been.
        answers: that it was dealt in.
        mean_ms: of its probes but for time-outs; None where none was answered.
        worst_ms: the same in the slowest step.
        timeouts: of its probes.
        failures: times that it went down.
        drained: seconds that it was drained, quarantined or forced down.
        shedding: seconds that it was shedding.

    """

    name: str
    state: str
    uptime: float | None
    dealt: float | None
    intended: float | None
    answers: float
    mean_ms: float | None
    worst_ms: float | None
    failures: int
    timeouts: int = 0
    drained: float = 0.0
    shedding: float = 0.0


@dataclass(frozen=True, slots=True)
class Failover:
    """A time in which a host was down, in seconds since the epoch.

    Attributes:
        ended: None where it is down still.
        cause: the text of the event with which it began.

    """

    zone: str
    host: str
    began: float
    ended: float | None
    cause: str

    def lasted(self, now: float) -> float:
        """Return how long it was, or is until now, in seconds."""
        return (now if self.ended is None else self.ended) - self.began


@dataclass(frozen=True, slots=True)
class CertificateEnd:
    """A certificate that a host showed, and its end."""

    host: str
    check: str
    address: str
    not_after: str
    days_left: float
    problem: str | None


class Change(NamedTuple):
    """A change of a host's state, or of what is forced on it; at seconds since the epoch."""

    at: float
    before: str | None
    after: str | None


OUT = frozenset({"drained", "quarantined", "down"})
"""`model.state.TAKEN_OUT`, whose types take long to load."""


def changes_of(events: Iterable[Json], kind: str) -> dict[tuple[str, str], list[Change]]:
    """Gather the changes of a kind (``state`` or ``forced``) by zone and host, oldest first."""
    found: dict[tuple[str, str], list[Change]] = {}
    for event in events:
        data = event["data"]
        if event.get("kind", "state") != kind or event["host"] is None or "after" not in data:
            continue
        before, after = data["before"], data["after"]
        if kind == "forced":
            before, after = before["forced"], after["forced"]
        at = datetime.fromisoformat(event["at"]).timestamp()
        found.setdefault((event["zone"], event["host"]), []).append(Change(at, before, after))
    return found


def seconds_in(
    states: Collection[str], changes: Sequence[Change], current: str | None, since: float, now: float
) -> float:
    """Return how long a host was in one of some states; `current` is the one of now."""
    begun = since if (changes[0].before if changes else current) in states else None
    total = 0.0
    for change in changes:
        if change.after in states:
            begun = change.at if begun is None else begun
        elif begun is not None:
            total += max(0.0, change.at - max(begun, since))
            begun = None
    return total if begun is None else total + max(0.0, now - max(begun, since))


def host_figures(hosts: Json, history: Json, failovers: Iterable[Failover]) -> list[HostFigures]:
    """Work out the figures of a zone's hosts, those of now first, in the order of the status.

    Args:
        hosts: of the zone, as ``/status`` shows them.
        history: of the zone's hosts, as ``/api/v1/history`` shows it.
        failovers: of the zone.

    """
    totals = answers_by_step(history)
    failures: dict[str, int] = {}
    for one in failovers:
        failures[one.host] = failures.get(one.host, 0) + 1
    names = [*hosts, *(name for name in history if name not in hosts)]
    return [
        _figures(name, hosts.get(name), history.get(name, {}), totals, failures.get(name, 0))
        for name in names
    ]


def answers_by_step(history: Json) -> dict[int, float]:
    """Sum up a zone's answers in each step, by the step's begin."""
    totals: dict[int, float] = {}
    for columns in history.values():
        for at, answers in zip(columns["at"], columns["answers"], strict=True):
            totals[at] = totals.get(at, 0.0) + answers
    return totals


def _figures(
    name: str, host: Json | None, columns: Json, totals: Mapping[int, float], failures: int
) -> HostFigures:
    times = columns.get("at", ())
    answers = sum(columns.get("answers", ()))
    total = sum(totals.values())
    intended = sum(
        share * totals[at] for at, share in zip(times, columns.get("intended", ()), strict=True) if share
    )
    return HostFigures(
        name,
        "gone" if host is None else "unchecked" if host.get("unchecked") else str(host["state"]),
        _mean(columns.get("up", ())),
        answers / total if total else None,
        intended / total if total else None,
        answers,
        _mean(columns.get("rtt_ms", ())),
        max((value for value in columns.get("rtt_ms", ()) if value is not None), default=None),
        failures,
        sum(columns.get("timeouts", ())),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def failovers_of(events: Iterable[Json]) -> list[Failover]:
    """Pair events of kind ``state``, oldest first, to failovers, the latest first.

    A failover that began before the first event is not known.
    """
    found: list[Failover] = []
    open_: dict[tuple[str, str], Failover] = {}
    for event in events:
        data = event["data"]
        if event.get("kind", "state") != "state" or "after" not in data or event["host"] is None:
            continue  # a host that answers slowly, say: it is up
        key = event["zone"], event["host"]
        at = datetime.fromisoformat(event["at"]).timestamp()
        if data["after"] == "down":
            open_.setdefault(key, Failover(*key, at, None, event["text"]))
        elif (one := open_.pop(key, None)) is not None:
            found.append(Failover(one.zone, one.host, one.began, at, one.cause))
    return sorted([*found, *open_.values()], key=lambda one: -one.began)


def certificates_of(hosts: Json) -> list[CertificateEnd]:
    """Gather the certificates of a zone's hosts, the first to end first."""
    found = [
        CertificateEnd(
            name, check["check"], check["address"], shown["not_after"], shown["days_left"], shown["problem"]
        )
        for name, host in hosts.items()
        for check in host["checks"]
        if (shown := check.get("certificate")) and shown["not_after"]
    ]
    return sorted(found, key=lambda one: one.days_left)


def slowest(figures: Iterable[HostFigures], most: int = 10) -> list[HostFigures]:
    """Return the hosts whose probes took longest."""
    known = [one for one in figures if one.mean_ms is not None]
    return sorted(known, key=lambda one: -(one.mean_ms or 0.0))[:most]
