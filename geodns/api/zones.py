"""The zones that are served, as the server has read them: for programs that compare."""

import asyncio
import json

from aiohttp import web

from geodns.api.parts import BACKEND
from geodns.errors import NotFoundError
from geodns.model import Zone


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
    return [
        web.get("/api/v1/zones", _zones),
        web.get("/api/v1/zones/{zone}", _zone),
    ]


async def _zones(request: web.Request) -> web.Response:
    zones = request.app[BACKEND].zones()
    return web.json_response(
        {
            "zones": {
                name: {"digest": zone.digest, "hosts": len(zone.hosts), "pools": len(zone.pools)}
                for name, zone in zones.items()
            }
        }
    )


async def _zone(request: web.Request) -> web.Response:
    zones = request.app[BACKEND].zones()
    name = request.match_info["zone"].lower().rstrip(".")
    if name not in zones:
        raise NotFoundError(f"no zone {name} is served; there are {', '.join(zones) or 'none'}")
    # In a thread: a zone may have a hundred thousand records.
    return web.json_response(text=await asyncio.to_thread(_text, zones[name]))


def _text(zone: Zone) -> str:
    return f'{{"name": {json.dumps(zone.name)}, "digest": "{zone.digest}", "zone": {zone.model_dump_json()}}}'
