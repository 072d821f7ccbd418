"""A report as one HTML file that needs nothing else: no script, no picture, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import jinja2

from geodns.cli.client import Json
from geodns.cli.report.figures import (
    OUT,
    answers_by_step,
    certificates_of,
    changes_of,
    failovers_of,
    host_figures,
    seconds_in,
    slowest,
)
from geodns.cli.report.plots import COLOURS, HEIGHT, WIDTH, Axis, line, stacked, strip
from geodns.cli.report.reputation import reputations_of


def page(
    status: Json,
    history: Mapping[str, Json],
    events: Sequence[Json],
    since: float,
    now: float,
    reputation: Json | None = None,
) -> str:
    """Return the report on the time from `since` to `now`, in seconds since the epoch.

    `history` holds the hosts of ``/api/v1/history`` by zone; events are of kinds ``state``, ``forced`` and
    ``reputation``, oldest first; `reputation` is what ``/api/v1/reputation`` says.
    """
    failovers = failovers_of(events)
    states, forced = changes_of(events, "state"), changes_of(events, "forced")
    times = sorted({at for past in history.values() for columns in past.values() for at in columns["at"]})
    axis = Axis.of(times, now)
    begin = max(since, axis.begin)
    zones, slow, certificates = [], [], []
    for name, past in history.items():
        hosts = status["hosts"].get(name, {})
        figures = [
            replace(
                one,
                drained=seconds_in(
                    OUT,
                    forced.get((name, one.name), ()),
                    hosts.get(one.name, {}).get("forced"),
                    begin,
                    now,
                ),
                shedding=seconds_in({"shedding"}, states.get((name, one.name), ()), one.state, begin, now),
            )
            for one in host_figures(hosts, past, [one for one in failovers if one.zone == name])
        ]
        ranked = sorted(figures, key=lambda one: -(one.dealt or one.intended or 0.0))
        names = [one.name for one in ranked[:COLOURS]]
        zones.append(
            {
                "name": name,
                "serial": status["zones"][name]["serial"],
                "answers": sum(answers_by_step(past).values()),
                "dealt": stacked(past, "share", names, axis),
                "intended": stacked(past, "intended", names, axis),
                "hosts": [
                    (one, strip(_column(past, one.name, "up")), line(_column(past, one.name, "rtt_ms")))
                    for one in figures
                ],
            }
        )
        slow += [(name, one) for one in slowest(figures)]
        certificates += [(name, one) for one in certificates_of(hosts)]
    identity = status.get("identity")
    return _template().render(
        node=status["node"],
        identity=identity if identity != status["node"] else None,
        data_since=_moment(times[0]) if times else None,
        late=bool(times) and times[0] > since + axis.step,
        marks=[(axis.x(at), _mark(at, axis)) for at in axis.marks()],
        version=status["version"],
        warnings=status["warnings"],
        since=_moment(since),
        until=_moment(now),
        now=now,
        zones=zones,
        reputations=reputations_of(reputation or {}, events),
        failovers=failovers,
        slowest=sorted(slow, key=lambda one: -(one[1].mean_ms or 0.0))[:10],
        certificates=sorted(certificates, key=lambda one: one[1].days_left),
        width=WIDTH,
        height=HEIGHT,
    )


def _column(past: Json, host: str, column: str) -> list[float | None]:
    return list(past.get(host, {}).get(column, ()))


def _template() -> jinja2.Template:
    # Texts of mail hosts stand in the page, so everything is escaped.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("geodns.cli", "report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "part": _part,
        "ms": _ms,
        "moment": _moment,
        "span": _span,
        "count": _count,
        "delay": _delay,
    }
    return environment.get_template("page.html")


def _part(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}%}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _delay(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _mark(at: float, axis: Axis) -> str:
    return datetime.fromtimestamp(at, UTC).strftime(
        "%H:%M" if axis.end - axis.begin <= 86400 else "%m-%d %H:%M"
    )


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.1f} d"
