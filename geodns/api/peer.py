"""Tells the other name servers about this one, and shows these in the status."""

import asyncio
import time
from collections.abc import Mapping

from aiohttp import web

from geodns.api.responses import SERVICES, RefusedError
from geodns.api.schemas_peers import PeerJson, PeerStatesJson, PeerStatusJson, PeerZoneJson
from geodns.config.times import timestamp
from geodns.control.known_peers import PeerView
from geodns.control.peer_service import PATH, STATES_PATH, VOTES_PATH, PeerService
from geodns.control.peers import PeerReport, states_of
from geodns.control.shared_view import NoVotesError
from geodns.errors import UsageError
from geodns.model.shared import ZoneContent

MOST_ZONES = 100
"""Zones in one question for states."""


def routes() -> list[web.RouteDef]:
    return [web.get(PATH, _peer), web.get(STATES_PATH, _states), web.get(VOTES_PATH, _votes)]


async def _peer(request: web.Request) -> web.Response:
    return web.json_response(report_json(request.app[SERVICES].peers.report()))


def report_json(report: PeerReport) -> PeerJson:
    """Return what a server says of itself."""
    return {
        "node": report.node,
        "version": report.version,
        "clock": report.clock,
        "started": report.started,
        "ready": report.ready,
        "zones": _zones(report.zones),
        "orders": report.orders,
        "verdicts": dict(report.verdicts),
        "hosts_from": {
            zone: {title: {"hosts": one.hosts, "digest": one.digest} for title, one in lists.items()}
            for zone, lists in report.hosts_from.items()
        },
    }


def _zones(zones: Mapping[str, ZoneContent]) -> dict[str, PeerZoneJson]:
    return {name: {"digest": one.digest, "serial": one.serial} for name, one in zones.items()}


async def _states(request: web.Request) -> web.Response:
    asked = [name.lower() for name in request.query.get("zones", "").split(",") if name]
    if not 1 <= len(asked) <= MOST_ZONES:
        raise UsageError(f"`zones` names {len(asked)} zones: write 1 to {MOST_ZONES}, with commas")
    shown: PeerStatesJson = {"states": states_of(request.app[SERVICES].cluster, asked)}
    return web.json_response(shown)


async def _votes(request: web.Request) -> web.Response:
    shared = request.app[SERVICES].shared
    if shared is None:
        raise RefusedError(404, "this server shares nothing: `shared` is not in its settings")
    try:
        found = await shared.votes(request.query.get("since"))
    except NoVotesError as error:
        raise RefusedError(503, str(error), 1) from error
    body = await asyncio.to_thread(found.model_dump_json)  # for 10,000 votes it takes a while
    return web.Response(text=body, content_type="application/json")


def peers_json(peers: PeerService) -> dict[str, PeerStatusJson]:
    """Return the other servers by name, as the status shows them; none: this one is alone."""
    return {one.name: _peer_status(one) for one in peers.views()}


def _peer_status(one: PeerView) -> PeerStatusJson:
    ahead = time.time() - time.monotonic()
    return {
        "url": one.url,
        "seen": None if one.seen is None else timestamp(one.seen),
        "version": one.version,
        "clock_offset_s": None if one.offset is None else round(one.offset, 3),
        "lag_ms": None if one.lag is None else round(one.lag * 1000, 1),
        "error": one.error,
        "zones": _zones(one.zones),
        "differs": [
            {
                "topic": each.topic,
                "zone": each.zone,
                "what": each.text,
                "since": timestamp(ahead + each.since),
            }
            for each in one.differs
        ],
    }
