"""Hosts over HTTP: their status, orders of operators for them, and loads that are pushed."""

import json
from typing import Any

from aiohttp import web

from geodns.api.json_types import Json
from geodns.api.order_answers import answer, rest, unconfirmed
from geodns.api.responses import SERVICES, RefusedError, author_of, host_key
from geodns.api.status import host_status
from geodns.config.times import seconds_asked
from geodns.control.orders import Order, OrderRequest, OrderResult, Verb
from geodns.errors import UsageError
from geodns.model.limits import MAX_REASON, MAX_WEIGHT
from geodns.signals.host_load_poller import as_load

MAX_HOSTS = 1_000
"""Names, addresses and globs in one order."""
MAX_NAME = 300
"""Characters of each."""

_OF_ONE = {"reason", "for", "weight", "badness", "dry_run", "yes"}
_OF_MANY = {*_OF_ONE, "verb", "hosts", "zone"}
_ENDING = {Verb.UNDRAIN, Verb.CLEAR}
"""These end something, so they have no end themselves."""


def routes() -> list[web.RouteDef]:
    """Return where all of it is."""
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
    services.loads.push(host, read_value(body))
    return web.json_response(host_status(services, host))


async def _one(request: web.Request) -> web.Response:
    """Carry out an order for one host; the answer is the host."""
    key = host_key(request)
    body = await read_object(request, _OF_ONE, '{"reason": "…", "for": "2h"}')
    order = _order(request, Verb(request.match_info["verb"]), body)
    ordered = await request.app[SERVICES].orders.carry(
        OrderRequest(order, (f"{key[1]}.{key[0]}",), key[0], _truth(body, "dry_run"), _truth(body, "yes"))
    )
    if must_be_confirmed(ordered, body):
        return unconfirmed(ordered)
    shown = host_status(request.app[SERVICES], key)
    if _truth(body, "dry_run"):
        return web.json_response(shown | rest(ordered, dry_run=True))
    told = {"notes": list(ordered.notes)} if ordered.notes else {}
    told |= {"left": list(ordered.left)} if ordered.left else {}
    if ordered.pending:
        return web.json_response(shown | told | {"pending": list(ordered.pending)}, status=202)
    return web.json_response(shown | told)


async def _many(request: web.Request) -> web.Response:
    """Carry out one order for any number of hosts."""
    body = await read_object(request, _OF_MANY, '{"verb": "drain", "hosts": ["mta1"], "reason": "…"}')
    verb = body.get("verb")
    if verb not in list(Verb):
        raise RefusedError(400, f"`verb` is one of {', '.join(Verb)}")
    hosts, zone = body.get("hosts"), body.get("zone")
    if not isinstance(hosts, list) or not 1 <= len(hosts) <= MAX_HOSTS or not all(map(_is_name, hosts)):
        raise RefusedError(400, f"`hosts` is a list of 1 to {MAX_HOSTS} names, addresses or globs")
    if zone is not None and not _is_name(zone):
        raise RefusedError(400, "`zone` is the name of a zone")
    wish = OrderRequest(
        _order(request, Verb(verb), body), tuple(hosts), zone, _truth(body, "dry_run"), _truth(body, "yes")
    )
    ordered = await request.app[SERVICES].orders.carry(wish)
    if must_be_confirmed(ordered, body):
        return unconfirmed(ordered)
    return answer(request, ordered, dry_run=wish.dry_run)


def must_be_confirmed(ordered: OrderResult, body: Json) -> bool:
    """Say whether an order was not carried out because somebody has to say yes first."""
    return bool(ordered.refused) and not (_truth(body, "dry_run") or _truth(body, "yes"))


async def read_object(request: web.Request, keys: set[str], example: str) -> Json:
    """Read the body, an object with no other keys than these; one that is missing is empty."""
    content = await request.read()
    try:
        body: Any = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is no JSON ({error}): write {example}") from error
    if not isinstance(body, dict) or not body.keys() <= keys:
        raise RefusedError(400, f"the body takes {', '.join(sorted(keys))} and nothing else, as {example}")
    return body


def _order(request: web.Request, verb: Verb, body: Json) -> Order:
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
        raise RefusedError(400, f"`reason` is one line of at most {MAX_REASON} characters")
    seconds = None
    if body.get("for") is not None:
        if verb in _ENDING:
            raise RefusedError(400, f"`for` has no meaning here: {verb} ends something at once")
        seconds = seconds_asked(body["for"], "leave it out: it holds until it is ended")
    weight, badness = _weight(verb, body.get("weight")), _badness(verb, body.get("badness"))
    return Order(verb, reason, author_of(request), seconds, weight, badness)


def _badness(verb: Verb, given: Any) -> float | None:
    if given is None:
        return None
    if verb is not Verb.QUARANTINE:
        raise RefusedError(400, "`badness` has no meaning here: a program gives it with a quarantine")
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given <= 100:
        raise RefusedError(400, "`badness` is a number from 0 to 100; the worst hosts are taken out first")
    return float(given)


def _weight(verb: Verb, given: Any) -> int | None:
    if verb is not Verb.WEIGHT:
        if given is not None:
            raise RefusedError(400, f"`weight` has no meaning here: {verb} leaves weights as they are")
        return None
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= MAX_WEIGHT:
        raise RefusedError(400, f"`weight` is a whole number from 0 (never dealt) to {MAX_WEIGHT}")
    return given


def _truth(body: Json, key: str) -> bool:
    given = body.get(key, False)
    if not isinstance(given, bool):
        raise RefusedError(400, f"`{key}` is true or false")
    return given


def _is_name(given: Any) -> bool:
    return isinstance(given, str) and 0 < len(given) <= MAX_NAME and given.isprintable()


_BODY = 'write {"value": 412}'


def read_value(body: bytes) -> float:
    """Return the load that somebody pushes.

    Raises:
        UsageError: says what is wrong, and what to write instead.

    """
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is no JSON ({error}): {_BODY}") from error
    if not isinstance(given, dict) or given.keys() != {"value"}:
        raise UsageError(f"the body takes `value` and nothing else: {_BODY}")
    try:
        return as_load(given["value"])
    except ValueError as error:
        raise UsageError(f"`value`: {error}: {_BODY}") from error
