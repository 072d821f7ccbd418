"""The zones that are served, as the server has read them, and the order to read them anew."""

import asyncio
import json
from typing import Any

from aiohttp import web

from geodns.api.responses import SERVICES
from geodns.errors import NotFoundError, UsageError
from geodns.model.zone import Zone


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
    return [
        web.get("/api/v1/zones", _zones),
        web.get("/api/v1/zones/{zone}", _zone),
        web.post("/api/v1/reload", _reload),
    ]


async def _zones(request: web.Request) -> web.Response:
    zones = request.app[SERVICES].cluster.zones
    return web.json_response(
        {
            "zones": {
                name: {"digest": zone.digest, "hosts": len(zone.hosts), "pools": len(zone.pools)}
                for name, zone in zones.items()
            }
        }
    )


async def _zone(request: web.Request) -> web.Response:
    zones = request.app[SERVICES].cluster.zones
    name = request.match_info["zone"].lower().rstrip(".")
    if name not in zones:
        raise NotFoundError(f"no zone {name} is served; there are {', '.join(zones) or 'none'}")
    # In a thread: a zone may have a hundred thousand records.
    return web.json_response(text=await asyncio.to_thread(_text, zones[name]))


def _text(zone: Zone) -> str:
    return f'{{"name": {json.dumps(zone.name)}, "digest": "{zone.digest}", "zone": {zone.model_dump_json()}}}'


async def _reload(request: web.Request) -> web.Response:
    content = await request.read()
    try:
        body: Any = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        raise UsageError(f'the body is no JSON ({error}): write {{"yes": true}}') from error
    if not isinstance(body, dict) or not body.keys() <= {"yes"}:
        raise UsageError('the body takes {"yes": true} and nothing else')
    yes = body.get("yes", False)
    if not isinstance(yes, bool):
        raise UsageError("`yes` is true or false")
    zones = request.app[SERVICES].zones
    await zones.reload(yes=yes)
    return web.json_response({"waiting": {zone: list(why) for zone, why in zones.waiting.items()}})
