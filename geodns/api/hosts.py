"""Hosts over HTTP: their status, orders of operators for them, and loads that are pushed."""

from aiohttp import web

from geodns.api.bodies import HostOrderBody, LoadBody, OrderBody, order_of, read_body
from geodns.api.order_answers import answer, outcome_json, status_of, unconfirmed
from geodns.api.responses import SERVICES, author_of, host_key
from geodns.api.schemas_orders import HostOutcomeJson
from geodns.api.status import host_status
from geodns.control.orders import Order, OrderRequest, OrderResult, Verb


def routes() -> list[web.RouteDef]:
    return [
        web.get("/api/v1/hosts/{zone}/{host}", _host),
        web.post("/api/v1/hosts/{zone}/{host}/load", _push_load),
        web.post("/api/v1/orders", _many),
        web.post(f"/api/v1/hosts/{{zone}}/{{host}}/{{verb:{'|'.join(Verb)}}}", _one),
    ]


async def _host(request: web.Request) -> web.Response:
    return web.json_response(host_status(request.app[SERVICES], host_key(request)))


async def _push_load(request: web.Request) -> web.Response:
    body = await request.read()  # first: a host may go while it comes
    services, host = request.app[SERVICES], host_key(request)
    services.loads.expect_push(host)
    services.loads.push(host, read_body(body, LoadBody, '{"value": 412}').value)
    return web.json_response(host_status(services, host))


async def _one(request: web.Request) -> web.Response:
    """Carry out an order for one host; the answer is the host."""
    key = host_key(request)
    body = read_body(await request.read(), HostOrderBody, '{"reason": "…", "for": "2h"}')
    services = request.app[SERVICES]
    order = order_of(Verb(request.match_info["verb"]), body, author_of(request))
    ordered = await services.orders.carry(_request(order, (f"{key[1]}.{key[0]}",), key[0], body))
    if must_be_confirmed(ordered, body):
        return unconfirmed(ordered)
    shown, outcome = host_status(services, key), HostOutcomeJson()
    if body.dry_run:
        return web.json_response({**shown, **outcome_json(ordered, dry_run=True)})
    if ordered.notes:
        outcome["notes"] = list(ordered.notes)
    if ordered.left:
        outcome["left"] = list(ordered.left)
    if not ordered.kept:
        outcome["kept"] = False
    if ordered.pending:
        outcome["pending"] = list(ordered.pending)
    if ordered.shared:
        outcome |= {"shared": True, "peers": list(ordered.peers), "unasked": list(ordered.unasked)}
    outcome |= {"id": ordered.id, "revision": dict(ordered.revision)}
    return web.json_response({**shown, **outcome}, status=status_of(ordered))


async def _many(request: web.Request) -> web.Response:
    """Carry out one order for any number of hosts."""
    body = read_body(await request.read(), OrderBody, '{"verb": "drain", "hosts": ["mta1"], "reason": "…"}')
    order = order_of(body.verb, body, author_of(request))
    asked = _request(order, tuple(body.hosts), body.zone, body)
    ordered = await request.app[SERVICES].orders.carry(asked)
    if must_be_confirmed(ordered, body):
        return unconfirmed(ordered)
    return await answer(request, ordered, dry_run=asked.dry_run)


def must_be_confirmed(ordered: OrderResult, body: HostOrderBody) -> bool:
    """Say whether an order was not carried out because somebody has to say yes first."""
    return bool(ordered.refused) and not body.dry_run


def _request(order: Order, hosts: tuple[str, ...], zone: str | None, body: HostOrderBody) -> OrderRequest:
    return OrderRequest(order, hosts, zone, body.dry_run, body.yes, body.id or "", body.revision)
