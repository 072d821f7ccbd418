"""The zones that are served, as the server has read them, and the order to read them anew."""

import asyncio
import json

from aiohttp import web

from geodns.api.bodies import ReloadBody, read_body
from geodns.api.responses import SERVICES, RefusedError
from geodns.api.schemas import ReloadedJson, ZonesJson
from geodns.errors import NotFoundError
from geodns.model.zone import Zone


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/v1/zones", _zones),
        web.get("/api/v1/zones/{zone}", _zone),
        web.post("/api/v1/reload", _reload),
    ]


async def _zones(request: web.Request) -> web.Response:
    zones = request.app[SERVICES].cluster.zones
    shown: ZonesJson = {
        "zones": {
            name: {"digest": zone.digest, "hosts": len(zone.hosts), "pools": len(zone.pools)}
            for name, zone in zones.items()
        }
    }
    return web.json_response(shown)


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
    body = read_body(await request.read(), ReloadBody, '{"yes": true}')
    zones = request.app[SERVICES].zones
    unkept = await zones.reload(yes=body.yes)
    if isinstance(body.yes, str) and zones.digest:
        raise RefusedError(
            409,
            f"the yes was to {body.yes}, and what waits now is {zones.digest} ({', '.join(zones.waiting)}): "
            "look at it with `geodns reload`, and say yes to that",
        )
    shown: ReloadedJson = {
        "waiting": {zone: list(why) for zone, why in zones.waiting.items()},
        "kept": unkept is None,
    }
    if zones.digest:
        shown["digest"] = zones.digest
    return web.json_response(shown)
