"""Warm-ups over HTTP: where each host stands, and orders."""

from collections.abc import Mapping

from aiohttp import web

from geodns.api.bodies import WarmupOrderBody, read_body
from geodns.api.responses import SERVICES, author_of, cached_json, host_key
from geodns.api.schemas_warmup import WarmupJson, WarmupProviderJson, WarmupsJson
from geodns.control.route_allowance_service import RouteRoom
from geodns.control.services import Services
from geodns.control.warmup_service import WarmingHost, WarmupOrder
from geodns.signals.warmup import ahead


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/v1/warmup", _all),
        web.post("/api/v1/hosts/{zone}/{host}/warmup", _order),
    ]


async def _all(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    return cached_json(request, "warmup", lambda: warmups(services))


async def _order(request: web.Request) -> web.Response:
    content = await request.read()  # first: a host may go while it comes
    services, host = request.app[SERVICES], host_key(request)
    body = read_body(content, WarmupOrderBody, '{"order": "hold", "reason": "…"}')
    order = WarmupOrder(body.order, body.reason, author_of(request), body.day)
    result = await services.warmup.carry(host, order)
    shown = warmup(services.warmup.hosts[host], services.allowances.of(host))
    if result.pending:
        shown["pending"] = list(result.pending)
    if not result.kept:
        shown["kept"] = False
    return web.json_response(shown, status=202 if result.pending else 200)


def warmups(services: Services) -> WarmupsJson:
    """Return every host that warms up."""
    shown: WarmupsJson = {"zones": {}}
    for (zone, host), one in services.warmup.hosts.items():
        shown["zones"].setdefault(zone, {"hosts": {}})["hosts"][host] = warmup(
            one, services.allowances.of((zone, host))
        )
    return shown


def warmup(one: WarmingHost, rooms: Mapping[str, RouteRoom]) -> WarmupJson:
    """Return where a host stands, with what it may get of providers' mail by routes."""
    plan, stage = one.plan, one.stage
    cap = plan.cap(stage.day)
    over = cap is None
    shown: WarmupJson = {
        "plan": plan.plan if isinstance(plan.plan, str) else "own",
        "days": plan.days,
        "start": str(plan.start),
        "day": stage.day,
        "last": len(plan.caps),
        "cap": cap,
        "sent": round(one.sent, 1),
        "counted": one.counted,
        "volume": one.seen.volume,
        "share": float(one.share),
        "ceiling": None if over else min(1.0, float(one.ceiling.share)),
        "held": one.held,
        "overshoot": one.seen.overshoot,
        "ahead": [{"date": str(date), "cap": most} for date, most in ahead(plan, stage)],
    }
    if cap is not None and plan.provider_caps:
        shown["providers"] = {
            limit.provider: _provider(limit.of(cap), rooms.get(limit.provider))
            for limit in plan.provider_caps
        }
    return shown


def _provider(cap: int, room: RouteRoom | None) -> WarmupProviderJson:
    if room is None:
        return {"cap": cap, "sent": 0, "left": 0, "looked_up": 0}
    return {"cap": cap, "sent": room.sent, "left": room.left, "looked_up": room.looked_up}
