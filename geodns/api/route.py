"""Routes over HTTP: where one message leaves and why, and every rule with what it answered."""

import asyncio
import json
import time
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address

from aiohttp import web

from geodns.api.responses import SERVICES
from geodns.api.schemas_routes import RouteRuleJson, RoutesJson, ZoneRoutesJson
from geodns.config.report import quoted
from geodns.config.times import since_asked, timestamp
from geodns.control.route_count_service import CountedRoutes, RouteCountService
from geodns.control.services import Services
from geodns.errors import NotFoundError, UsageError, printable
from geodns.responder.route_deals import by_name
from geodns.responder.route_explained import route_answer
from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.responder.route_words import wanted
from geodns.responder.routes import RouteQuery, decide, domain_of, normal_address
from geodns.storage.route_rows import AnswerKey

PATH, ALL = "/api/v1/route", "/api/v1/routes"
ASKED = ("zone", "recipient", "sender", "class", "client", "sasl", "size")
ALL_ASKED = ("zone", "since", "most")
MAX_SIZE = 10**15


def routes() -> list[web.RouteDef]:
    return [web.get(PATH, _route), web.get(ALL, _routes)]


# --- one message ----------------------------------------------------------------------------------------


async def _route(request: web.Request) -> web.Response:
    told = _told(request, ASKED)
    services = request.app[SERVICES]
    query = _query(told)
    found = _zone(services, told.get("zone"))
    if query.recipient is not None and any(rule.provider for rule in found.rules):
        query = query._replace(provider=await _provider(services, domain_of(query.recipient)))
        found = _zone(services, told.get("zone"))  # it may have changed meanwhile
    # In a thread: the first look-up in ten thousand rules makes their index.
    decision = await asyncio.to_thread(decide, found, query._replace(provider=query.provider or ""))
    rule = decision if isinstance(decision, CompiledRule) else None
    target = None if rule is None else services.cluster.compiled.table.targets.get((found.zone, rule.name))
    # By name, whatever the rule deals: a question takes no host's turn.
    return web.json_response(
        route_answer(found, query, decision, target, None if rule is None else by_name(rule))
    )


async def _provider(services: Services, domain: str) -> str:
    """Return who runs a domain's mail; empty: nobody knows, or not in time."""
    return await services.providers.provider_of(domain) or ""


def _told(request: web.Request, known: Collection[str]) -> dict[str, str]:
    """Return the parameters of a request, each once; raises UsageError for others."""
    strange = sorted(request.query.keys() - set(known))
    if strange:
        raise UsageError(f"there is no {quoted(strange[0])}: write {', '.join(known)}")
    twice = [key for key in known if len(request.query.getall(key, [])) > 1]
    if twice:
        raise UsageError(f"`{twice[0]}` is there twice: write it once")
    return dict(request.query)


def _query(told: Mapping[str, str]) -> RouteQuery:
    recipient, sender = told.get("recipient"), told.get("sender")
    if recipient is not None and not recipient:
        raise UsageError("`recipient` is empty: write an address, as bob@example.org, or leave it out")
    return RouteQuery(
        None if recipient is None else normal_address(recipient),
        None if sender is None else normal_address(sender),
        told.get("class") or None,
        _client(told.get("client")),
        told.get("sasl") or None,
        _size(told.get("size")),
    )


def _client(text: str | None) -> str | None:
    try:
        return None if text is None else str(ip_address(text))
    except ValueError as error:
        raise UsageError(f"`client` {quoted(text or '')} is no address: write one, as 192.0.2.7") from error


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_SIZE))):
        raise UsageError(f"`size` {quoted(text)} is no size: write bytes, as 12000")
    return int(text) or None  # MTAs that do not know it say 0


def _zone(services: Services, asked: str | None) -> ZoneRoutes:
    """Return the routes of the zone that is asked for, or of the only one that has any."""
    found = services.cluster.compiled.table.routes
    there = ", ".join(found) or "none"
    if asked is None and len(found) == 1:
        return next(iter(found.values()))
    if not asked:
        if not found:
            raise NotFoundError("no zone has `routes`: write some in a zone's file")
        raise UsageError(f"say which zone: those with routes are {there}")
    name = asked.lower().removesuffix(".")
    if name in found:
        return found[name]
    why = (
        f"zone {name} has no `routes`"
        if name in services.cluster.zones
        else f"no zone {quoted(name)} is served"
    )
    raise NotFoundError(f"{why}; zones with routes: {there}")


# --- every rule -----------------------------------------------------------------------------------------


async def _routes(request: web.Request) -> web.Response:
    told, now = _told(request, ALL_ASKED), time.time()
    since, most = since_asked(told.get("since", "1h"), now), _most(told.get("most"))
    services = request.app[SERVICES]
    found = services.cluster.compiled.table.routes
    if "zone" in told:
        one = _zone(services, told["zone"])
        found = {one.zone: one}
    counts = services.routes
    shown: RoutesJson = {
        "listen": [printable(str(one)) for one in counts.listeners],
        "zones": {},
        "no_zone": by_outcome((await counts.since("", since, now)).sums.answers.items()),
    }
    for zone, one in found.items():
        counted = await counts.since(zone, since, now)
        # In a thread: ten thousand rules in words take a tenth of a second, and the probes go on meanwhile.
        shown["zones"][zone] = await asyncio.to_thread(zone_json, one, counted, counts, most)
    return web.json_response(text=await asyncio.to_thread(json.dumps, shown))


def _most(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 7):
        raise UsageError(f"`most` {quoted(text)} is no number of rules: write one, as 100")
    return int(text)


def zone_json(
    routes: ZoneRoutes, counted: CountedRoutes, counts: RouteCountService, most: int | None = None
) -> ZoneRoutesJson:
    """Return a zone's rules with what they answered, those alone that answered most where they are many."""
    by_rule: dict[str, dict[AnswerKey, int]] = {}
    for key, number in counted.sums.answers.items():
        by_rule.setdefault(key[0], {})[key] = number
    unmatched = by_rule.pop("", {})
    rows = [(rule, by_rule.pop(rule.digest, {})) for rule in routes.rules]  # equal ones: the first
    unused = sum(not answers for _, answers in rows)
    if most is not None and len(rows) > most:
        busy = sorted(rows, key=lambda row: (-sum(row[1].values()), row[0].number))[:most]
        rows = sorted(busy, key=lambda row: row[0].number)
    looked_up: dict[str, dict[str, int]] = {}
    for (host, provider), number in sorted(counted.sums.looked_up.items()):
        looked_up.setdefault(host, {})[provider] = number
    return {
        "since": timestamp(counted.since),
        "rules": [_rule(routes.zone, rule, answers, counts) for rule, answers in rows],
        "unused": unused,
        "left": len(routes.rules) - len(rows),
        "unmatched": by_outcome(unmatched.items()),
        "looked_up": looked_up,
    }


def _rule(
    zone: str, rule: CompiledRule, answers: Mapping[AnswerKey, int], counts: RouteCountService
) -> RouteRuleJson:
    times = counts.times(zone, rule.digest)
    return {
        "rule": rule.number,
        "digest": rule.digest,
        "when": wanted(rule),
        "use": rule.name,
        "deal": "host" if rule.by_host else "name",
        "port": rule.port,
        "matched": sum(answers.values()),
        "answers": by_outcome(answers.items()),
        "known": timestamp(times.since) if times else None,
        "last": timestamp(times.last) if times and times.last else None,
    }


def by_outcome(answers: Iterable[tuple[AnswerKey, int]]) -> dict[str, dict[str, int]]:
    """Return numbers of answers by outcome and protocol."""
    found: dict[str, dict[str, int]] = {}
    for (_, outcome, protocol), number in sorted(answers):
        found.setdefault(outcome, {})[protocol] = number
    return found
