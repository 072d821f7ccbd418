"""History over HTTP: a zone's points of up to ninety days, and the last half hour of every host."""

import asyncio
import json
import time

from aiohttp import web

from geodns.api.responses import SERVICES
from geodns.config.report import quoted
from geodns.config.times import precise, since_asked
from geodns.control.history import MOST, points_of, step_for
from geodns.errors import NotFoundError, UsageError
from geodns.storage.history_file import DAY, HOUR, MINUTE, TEN_MINUTES

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
        shown = history.history(zone, hosts, since, step)
        # One by one: nothing else is done while a text is made, in whatever thread.
        columns = ", ".join(f"{json.dumps(host)}: {json.dumps(one)}" for host, one in shown.items())
        head = json.dumps({"step_s": step, "zone": zone, "from": precise(since)})
        return f'{head[:-1]}, "hosts": {{{columns}}}}}'

    # In a thread: many points take most of a second, and the probes go on meanwhile.
    return web.json_response(text=await asyncio.to_thread(text))


async def _recent(request: web.Request) -> web.Response:
    return web.json_response({"step_s": MINUTE, "zones": request.app[SERVICES].history.recent()})


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
