"""Simulations over HTTP: what clients would be dealt, of what is served now or with hosts down."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, Field

from geodns.api.bodies import MAX_HOSTS, MAX_NAME, Body, read_body
from geodns.api.connections import SIMULATE, read_in_time
from geodns.api.responses import SERVICES, RefusedError
from geodns.api.schemas import PRINTABLE, Moment, Weight, seconds_of
from geodns.api.schemas_simulate import SimulatedNameJson, SimulationJson
from geodns.compiler.views import ZoneViews
from geodns.config.report import quoted
from geodns.config.times import timestamp
from geodns.control.services import Services
from geodns.control.simulation import SimulatedClient, change_scenario
from geodns.control.simulation_plan import Simulation, SimulationWish, plan_simulation, run_simulation
from geodns.control.simulation_shares import SimulatedName
from geodns.control.simulation_state import ceilings_at, found_down
from geodns.errors import ServerError
from geodns.wire.networks import parse_network

MAX_CLIENTS = 20_000
MAX_BODY = 8 * 2**20
"""Bytes: so many clients with long names."""
MAX_COUNT = 10**9
TIME_LIMIT = 6.0
"""Seconds from the last byte of the request to when dealing is given up; commands wait for 10."""
_EXAMPLE = '{"name": "out.example.com", "down": ["mta1"], "clients": [{"client": "192.0.2.7", "count": 3}]}'

SIMULATING: web.AppKey[asyncio.Lock] = web.AppKey("simulating")
"""One at a time: each takes a core."""


def _address(text: str) -> str:
    try:
        found = ip_address(text)
    except ValueError:
        found = None
    if found is None or "%" in text:
        raise ValueError(f"{quoted(text)} is no address: write one, as 192.0.2.7")
    return str(found)


def _network(text: str) -> str:
    try:
        return str(parse_network(text))
    except ValueError as error:
        raise ValueError(": ".join(map(str, error.args))) from error


_Text = Annotated[str, Field(min_length=1, max_length=MAX_NAME), PRINTABLE]


class SimulatedClientBody(Body):
    """Somebody who asks, `count` times; `name`: for this name alone."""

    client: Annotated[str, AfterValidator(_address), Field(description="The address its queries come from.")]
    ecs: Annotated[str, AfterValidator(_network)] | None = Field(
        None, description="The network that it says it asks for (RFC 7871)."
    )
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1
    name: _Text | None = None


class SimulateBody(Body):
    """A question what would be dealt; without `clients` a sample of the ranges that rules tell apart."""

    name: _Text | None = Field(
        None, description="Every name with a pool, or of the clients' names, if left out."
    )
    type: Literal["A", "AAAA", "MX", "SRV"] | None = None
    clients: Annotated[list[SimulatedClientBody], Field(max_length=MAX_CLIENTS)] | None = None
    down: Annotated[tuple[_Text, ...], Field(max_length=MAX_HOSTS)] = Field(
        (), description="Names, addresses or globs of hosts that probes would find down."
    )
    weights: Annotated[dict[_Text, Weight], Field(max_length=MAX_HOSTS)] = Field(
        {}, description="Forced weights by names, addresses or globs of hosts."
    )
    at: Moment | None = Field(None, description="When; now, if left out.")


def routes() -> list[web.RouteDef]:
    return [web.post(SIMULATE, _simulate)]


async def _simulate(request: web.Request) -> web.Response:
    turn = request.app[SIMULATING]
    if turn.locked():
        raise RefusedError(
            503, "a simulation is under way, and there is one at a time: ask again in a moment"
        )
    async with turn:
        content = await read_in_time(request, MAX_BODY)
        end = time.monotonic() + TIME_LIMIT
        # In threads: a body may have thousands of clients, and a zone thousands of networks.
        wish, at = await asyncio.to_thread(_wish, content)
        try:
            deal = await _prepared(request.app[SERVICES], wish, at, lambda: time.monotonic() < end)
            found = await asyncio.to_thread(deal)
        except ServerError as error:
            raise RefusedError(503, str(error)) from error
    return web.json_response(shown(found))


def _wish(content: bytes) -> tuple[SimulationWish, float | None]:
    body = read_body(content, SimulateBody, _EXAMPLE)
    clients = None if body.clients is None else tuple(map(_client, body.clients))
    wish = SimulationWish(body.name, body.type, clients, body.down, body.weights)
    return wish, None if body.at is None else seconds_of(body.at)


def _client(one: SimulatedClientBody) -> SimulatedClient:
    network = None if one.ecs is None else parse_network(one.ecs)
    name = "" if one.name is None else one.name.lower().rstrip(".") + "."
    return SimulatedClient(one.client, network, one.count, name)


async def _prepared(
    services: Services, wish: SimulationWish, at: float | None, has_time: Callable[[], bool]
) -> Callable[[], Simulation]:
    """Return what deals the clients from what is served now, in any thread."""
    cluster, geo = services.cluster, services.geoip.networks
    served = cluster.compiled
    plan = plan_simulation(wish, served.sources)
    zones = plan.zones.values()
    live = cluster.live_if(found_down(plan.zones, plan.down), plan.weights)
    views: dict[str, ZoneViews] = {}
    if at is not None:
        stages = {host: (one.stage, one.seen) for host, one in services.warmup.hosts.items()}
        live = replace(live, ceilings=ceilings_at(zones, at, stages))
        try:
            async with asyncio.timeout(TIME_LIMIT):
                views = {zone.name: await services.views.at(zone, at) for zone in zones}
        except TimeoutError:
            raise ServerError(
                "its rules name so many networks that another time takes too long: leave `at` out"
            ) from None
    now = time.time() if at is None else at

    def deal() -> Simulation:
        return run_simulation(plan, change_scenario(served, zones, live, geo, now, views), has_time)

    return deal


# --- as JSON --------------------------------------------------------------------------------------------


def shown(found: Simulation) -> SimulationJson:
    """Return a simulation as programs get it."""
    return {
        "at": timestamp(found.at),
        "clients": found.clients,
        "skipped": found.skipped,
        "names": list(map(_name, found.names)),
        "more": found.more,
        "remarks": list(found.remarks),
    }


def _name(one: SimulatedName) -> SimulatedNameJson:
    sample = one.sample
    return {
        "name": one.name,
        "type": one.type,
        "zone": one.zone,
        "queries": one.queries,
        "sample": None if sample is None else {"ranges": sample.ranges, "taken": sample.taken},
        "ttl": None if one.ttls is None else {"least": one.ttls[0], "most": one.ttls[1]},
        "servfail": float(one.servfail),
        "nodata": float(one.nodata),
        "last_resort": float(one.last_resort),
        "hosts": [
            {
                "host": host.host,
                "rank": host.rank,
                "answers": float(host.answers),
                "first": float(host.first),
                "uniform": float(host.uniform),
            }
            for host in one.hosts
        ],
        "rules": [
            {
                "rank": rule.rank,
                "rule": rule.number,
                "when": rule.when,
                "pool": rule.pool,
                "share": float(rule.share),
            }
            for rule in one.rules
        ],
        "pools": [
            {
                "rank": pool.rank,
                "pool": pool.pool,
                "share": float(pool.share),
                "using": list(pool.using),
                "last_resort": pool.last_resort,
            }
            for pool in one.pools
        ],
        "arms": [
            {"arm": arm.arm, "share": float(arm.share), "failover": float(arm.failover)} for arm in one.arms
        ],
        "ceilings": [
            {
                "host": host.host,
                "ceiling": float(host.ceiling),
                "share": float(host.share),
                "within": float(host.ceiling - host.share),
            }
            for host in one.ceilings
        ],
    }
