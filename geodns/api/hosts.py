"""What operators order over HTTP: drain hosts, give them back, force their states and weights."""

from collections.abc import Mapping

from aiohttp import web

from geodns.api.bodies import HostOrderBody, OrderBody, order_of, read_body
from geodns.api.responses import BACKEND, CARRY, answer, author_of, host_key, outcome_json, unconfirmed
from geodns.api.schemas import DealtJson, HostOutcomeJson, PoolChangeJson
from geodns.compiler.choice import Choice, shares
from geodns.control.orders import OrderRequest, OrderResult, PoolChange, Verb
from geodns.model.base import Family
from geodns.model.state import PoolKey


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
    return [
        web.post("/api/v1/orders", _many),
        web.post(f"/api/v1/hosts/{{zone}}/{{host}}/{{verb:{'|'.join(Verb)}}}", _one),
    ]


async def _one(request: web.Request) -> web.Response:
    """Carry out an order for one host; the answer is the host."""
    key = host_key(request)
    body = read_body(await request.read(), HostOrderBody, '{"reason": "…", "for": "2h"}')
    order = order_of(Verb(request.match_info["verb"]), body, author_of(request))
    ordered = await request.app[CARRY](
        OrderRequest(order, (f"{key[1]}.{key[0]}",), key[0], body.dry_run, body.yes)
    )
    if must_be_confirmed(ordered, body):
        return unconfirmed(ordered)
    shown, told = request.app[BACKEND].host(key), HostOutcomeJson()
    if body.dry_run:
        return web.json_response({**shown, **outcome_json(ordered, dry_run=True)})
    if ordered.notes:
        told["notes"] = list(ordered.notes)
    if ordered.left:
        told["left"] = list(ordered.left)
    if ordered.pending:
        told["pending"] = list(ordered.pending)
    return web.json_response({**shown, **told}, status=202 if ordered.pending else 200)


async def _many(request: web.Request) -> web.Response:
    """Carry out one order for any number of hosts."""
    body = read_body(await request.read(), OrderBody, '{"verb": "drain", "hosts": ["mta1"], "reason": "…"}')
    order = order_of(body.verb, body, author_of(request))
    wish = OrderRequest(order, tuple(body.hosts), body.zone, body.dry_run, body.yes)
    ordered = await request.app[CARRY](wish)
    if must_be_confirmed(ordered, body):
        return unconfirmed(ordered)
    return answer(request, ordered, dry_run=wish.dry_run)


def must_be_confirmed(ordered: OrderResult, body: HostOrderBody) -> bool:
    """Say whether an order was not carried out because somebody has to say yes first."""
    return bool(ordered.refused) and not (body.dry_run or body.yes)


def pools_json(changes: Mapping[PoolKey, PoolChange]) -> dict[str, dict[str, PoolChangeJson]]:
    """Return what pools deal before and after, by zone and pool."""
    shown: dict[str, dict[str, PoolChangeJson]] = {}
    for (zone, pool), change in changes.items():
        shown.setdefault(zone, {})[pool] = {
            "before": choice_json(change.before),
            "after": choice_json(change.after),
        }
    return shown


def choice_json(choice: Choice) -> DealtJson:
    """Return what a pool deals."""
    return {
        "shares": {"A": _shares(choice, "A"), "AAAA": _shares(choice, "AAAA")},
        "using": list(choice.using),
        "last_resort": choice.last_resort,
        "live": list(choice.live),
    }


def _shares(choice: Choice, family: Family) -> dict[str, float]:
    return {host: float(share) for host, share in shares(choice.of(family)).items()}
