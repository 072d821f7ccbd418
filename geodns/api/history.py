"""History over HTTP: a zone's points of up to ninety days, and the last half hour of every host."""

import asyncio
import json
import time
from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any, cast

from aiohttp import web

from geodns.api.responses import SERVICES
from geodns.api.schemas import ColumnsJson, RecentJson, SparklineJson
from geodns.config.report import quoted
from geodns.config.times import precise, since_asked
from geodns.control.history import MOST, points_of, step_for
from geodns.errors import NotFoundError, UsageError
from geodns.storage.history_file import DAY, HOUR, MINUTE, TEN_MINUTES, Step, merged

STEPS = {"1m": MINUTE, "10m": TEN_MINUTES, "1h": HOUR, "1d": DAY}


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/history", _zone), web.get("/api/v1/history/recent", _recent)]


async def _zone(request: web.Request) -> web.Response:
    now = time.time()
    zones, history = request.app[SERVICES].cluster.zones, request.app[SERVICES].history
    zone = request.query.get("zone", next(iter(zones), "") if len(zones) == 1 else "")
    zone = zone.lower().rstrip(".")
    if not zone:
        raise UsageError("say which zone: /api/v1/history?zone=out.example.com&since=24h")
    if zone not in zones:
        raise NotFoundError(f"no zone {zone} is served; there are {', '.join(zones) or 'none'}")
    since = since_asked(request.query.get("since", "24h"), now)
    hosts = {_short(host, zone) for host in request.query.getall("host", [])}
    many = len(hosts or zones[zone].hosts)
    asked = request.query.get("step")
    step = step_for(now - since, many) if asked is None else _step(asked, now - since, many)

    def text() -> str:
        shown = columns(history.steps(zone, since, step), step, hosts)
        # One by one: nothing else is done while a text is made, in whatever thread.
        by_host = ", ".join(f"{json.dumps(host)}: {json.dumps(one)}" for host, one in shown.items())
        head = json.dumps({"step_s": step, "zone": zone, "from": precise(since)})
        return f'{head[:-1]}, "hosts": {{{by_host}}}}}'

    # In a thread: many points take most of a second, and the probes go on meanwhile.
    return web.json_response(text=await asyncio.to_thread(text))


async def _recent(request: web.Request) -> web.Response:
    minutes = request.app[SERVICES].history.last_minutes()
    zones = {zone for _, by_zone in minutes for zone in by_zone}
    shown: RecentJson = {
        "step_s": MINUTE,
        "zones": {
            zone: sparklines(((at, by_zone.get(zone, {})) for at, by_zone in minutes), MINUTE)
            for zone in sorted(zones)
        },
    }
    return web.json_response(shown)


def _short(host: str, zone: str) -> str:
    return host.lower().rstrip(".").removesuffix(f".{zone}")


def _step(text: str, seconds: float, hosts: int) -> int:
    step = STEPS.get(text)
    if step is None:
        raise UsageError(f"`step` {quoted(text)} is none: write {', '.join(STEPS)}, or none")
    points = points_of(seconds, hosts, step)
    if points > MOST:
        raise UsageError(
            f"`step` {text} makes {points:,.0f} points: write one that makes at most {MOST:,}, or `host`"
        )
    return step


def columns(steps: Iterable[Step], step: int, hosts: Collection[str] = ()) -> dict[str, ColumnsJson]:
    """Return a zone's points as columns, by host.

    Args:
        steps: in the order of time.
        step: in seconds; finer points are added up.
        hosts: these alone; empty: all.

    """
    found: dict[str, dict[str, list[Any]]] = {}
    for at, some in groupby(steps, lambda one: one[0] // step * step):
        points = merged(*(points for _, points in some))
        picks = sum(point.picks for point in points.values())
        intended = sum(point.intended for point in points.values())
        for name in points.keys() & set(hosts) if hosts else points:
            point = points[name]
            row = {
                "at": at,
                "answers": round(point.picks, 3),
                "share": round(point.picks / picks, 5) if picks else None,
                "intended": round(point.intended / intended, 5) if intended else None,
                "rtt_ms": round(point.rtt / point.probes * 1000, 2) if point.probes else None,
                "up": round(point.up / point.samples, 4) if point.samples else None,
                "timeouts": point.timeouts,
            }
            own = found.setdefault(name, {key: [] for key in row})
            for key, value in row.items():
                own[key].append(value)
    return cast("dict[str, ColumnsJson]", found)


def sparklines(steps: Iterable[Step], step: int) -> dict[str, SparklineJson]:
    """Return the data of sparklines: by host, latency and answers a second in each step."""
    found: dict[str, SparklineJson] = {}
    for number, (_, points) in enumerate(steps):
        for name, point in points.items():
            own = found.setdefault(name, {"rtt_ms": [None] * number, "rate": [None] * number})
            own["rtt_ms"].append(round(point.rtt / point.probes * 1000, 2) if point.probes else None)
            own["rate"].append(round(point.picks / step, 4))
        for own in found.values():
            for values in (own["rtt_ms"], own["rate"]):
                values.extend([None] * (number + 1 - len(values)))
    return found
