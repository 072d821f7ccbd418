"""Reputation over HTTP: what is known and done, and what on call overrules."""

import time
from collections.abc import Mapping

from aiohttp import web

from geodns.api.bodies import IgnoreBody, ModeBody, read_body
from geodns.api.responses import SERVICES, author_of, cached_json
from geodns.api.schemas_reputation import (
    ActionJson,
    EgressJson,
    HoursJson,
    IgnoredJson,
    ListJson,
    ProviderTallyJson,
    ReputationHostJson,
    ReputationJson,
    ReputationZoneJson,
    TallyJson,
)
from geodns.config.times import timestamp
from geodns.control.host_lookup import find_hosts
from geodns.control.services import Services
from geodns.control.signal_figures import ZoneFigures
from geodns.errors import NotFoundError, StoreError, UsageError
from geodns.model.mail import MailEvent, MailTally, summed
from geodns.model.state import HostKey
from geodns.model.zone import Zone
from geodns.signals.listings import listed_codes

Spans = Mapping[str, ZoneFigures]
"""Figures of mail by span, host and provider."""
Figured = Mapping[str, Spans]
"""The same by zone."""

PATH = "/api/v1/reputation"
SPANS = {"1h": 3600.0, "1d": 86400.0, "7d": 7 * 86400.0}
"""Of what counts are given; in seconds."""


def routes() -> list[web.RouteDef]:
    return [
        web.get(PATH, _reputation),
        web.post(f"{PATH}/ignore", _ignore),
        web.post(f"{PATH}/mode", _mode),
    ]


async def _reputation(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    figures = await _figures(services)
    return cached_json(request, "reputation", lambda: reputation_json(services, figures, time.time()))


async def _answer(services: Services) -> web.Response:
    figures = await _figures(services)
    return web.json_response(reputation_json(services, figures, time.time()))


async def _figures(services: Services) -> Figured:
    """Read what became of the mail; by zone, span, host and provider."""
    try:
        return {
            zone: {span: await services.signals.recent.of(zone, seconds) for span, seconds in SPANS.items()}
            for zone in services.reputation.zones()
        }
    except StoreError:
        return {}  # an alert says so


async def _ignore(request: web.Request) -> web.Response:
    example = '{"host": "mta1.out.example.com", "rule": "yahoo ip", "for": "12h", "reason": "…"}'
    body = read_body(await request.read(), IgnoreBody, example)
    services = request.app[SERVICES]
    (host,) = _one(find_hosts([body.host], services.cluster.zones, body.zone), body.host)
    await services.reputation.ignore(host, body.rule, body.seconds, author_of(request), body.reason)
    return await _answer(services)


def _one(found: list[HostKey], name: str) -> list[HostKey]:
    if len(found) != 1:
        raise UsageError(f"`host`: {name} fits {len(found)} hosts: write one")
    return found


async def _mode(request: web.Request) -> web.Response:
    body = read_body(await request.read(), ModeBody, '{"mode": "observe", "for": "6h", "reason": "…"}')
    services = request.app[SERVICES]
    zones = list(services.reputation.zones()) if body.zone is None else [body.zone]
    if not zones:
        raise NotFoundError("no zone file says anything of reputation")
    for zone in zones:
        await services.reputation.set_mode(zone, body.mode, body.seconds, author_of(request), body.reason)
    return await _answer(services)


def reputation_json(services: Services, figures: Figured, now: float) -> ReputationJson:
    """Return what is known of all zones that are judged."""
    judged = services.reputation.zones()
    lists: dict[str, ListJson] = {}
    for name, zone in judged.items():
        known = services.reputation.lists_of(name)
        for dnsbl in zone.reputation.dnsbl if zone.reputation else ():
            state = known.get(dnsbl.name)
            said = ListJson(
                ok=state is not None and state.ok,
                why="it was not asked yet" if state is None else state.why or state.lacks,
                at=timestamp(state.at) if state else None,
            )
            if dnsbl.name not in lists or not said["ok"]:  # several zones may ask it
                lists[dnsbl.name] = said
    return ReputationJson(
        zones={name: _zone_json(services, zone, figures.get(name, {}), now) for name, zone in judged.items()},
        lists=lists,
        unknown_replies=[
            {"text": text, "count": count} for text, count in services.signals.unknown_replies()
        ],
    )


def _zone_json(services: Services, zone: Zone, figures: Spans, now: float) -> ReputationZoneJson:
    service, name = services.reputation, zone.name
    order = service.mode_order(name)
    return ReputationZoneJson(
        mode=service.mode(zone),
        mode_until=timestamp(order.until) if order else None,
        lists=[one.name for one in zone.reputation.dnsbl] if zone.reputation else [],
        common={str(cause): sorted(hosts) for cause, hosts in service.common(name).items()},
        ignored=[
            IgnoredJson(
                host=one.host[1],
                rule=one.rule,
                until=timestamp(one.until),
                author=one.author,
                reason=one.reason,
            )
            for one in service.ignored
            if one.host[0] == name
        ],
        hosts={host.name: _host_json(services, zone, host.name, figures, now) for host in zone.hosts},
    )


def _host_json(services: Services, zone: Zone, name: str, figures: Spans, now: float) -> ReputationHostJson:
    service, key = services.reputation, (zone.name, name)
    host = zone.host_by_name[name]
    egress: dict[str, EgressJson] = {str(one): EgressJson(listed=[]) for one in host.sources}
    listings = service.listings.get(zone.name)
    for dnsbl, address, listing in listings.of(host, zone.reputation) if listings and zone.reputation else ():
        egress[str(address)]["listed"].append(
            {
                "list": dnsbl.name,
                "code": listed_codes(listing),
                "text": listing.text,
                "since": timestamp(listing.since),
            }
        )
    providers: dict[str, dict[str, ProviderTallyJson]] = {}
    totals: dict[str, TallyJson] = {}
    for span in SPANS:
        known = figures.get(span, {}).get(name, {})
        for provider, one in known.items():
            providers.setdefault(provider, {})[span] = ProviderTallyJson(
                **_tally_json(one.tally, one.undated), delay_p50_s=one.delay_p50, delay_p95_s=one.delay_p95
            )
        undated = sum(one.undated for one in known.values())
        totals[span] = _tally_json(summed(one.tally for one in known.values()), undated)
    return ReputationHostJson(
        factor=float(service.factor(key)),
        barred={provider: timestamp(until) for provider, until in service.barred(key).items()},
        egress=egress,
        totals=totals,
        providers=providers,
        hours=_hours_json(services, key, now),
        actions=_actions(services, zone, name, now),
    )


def _hours_json(services: Services, host: HostKey, now: float) -> HoursJson:
    hours = services.signals.hours(host, now)
    return HoursJson(
        since=timestamp(now // 3600 * 3600 - 3600 * (len(hours) - 1)),
        first=[hour.first for hour in hours],
        refused=[hour.refused for hour in hours],
    )


def _actions(services: Services, zone: Zone, host: str, now: float) -> list[ActionJson]:
    service = services.reputation
    standings, act = service.standings.get(zone.name), service.mode(zone) == "act"
    found = []
    for key, one in standings.known.items() if standings else ():
        if key.host != host:
            continue
        took = 1 - one.factor_at(now)
        if one.action.kind == "quarantine" and one.ended is None:
            in_force = act and service.is_quarantined((zone.name, host))
            took = 1 - took if in_force else took
        else:
            in_force = act and took > 0
        found.append(
            ActionJson(
                rule=key.cause.rule,
                provider=key.cause.provider,
                action=str(one.action),
                since=timestamp(one.since),
                until=timestamp(one.until) if one.until else None,
                ended=None if one.ended is None else timestamp(max(one.ended, one.since)),
                in_force=in_force,
                took=float(took) if in_force else 0.0,
                why=one.why,
            )
        )
    return found


def _tally_json(tally: MailTally, undated: int) -> TallyJson:
    return TallyJson(
        first=tally.first,
        delivered=tally[MailEvent.DELIVERED],
        deferred=tally[MailEvent.DEFERRED],
        retried=tally[MailEvent.RETRIED],
        bounced=tally[MailEvent.BOUNCED],
        expired=tally[MailEvent.EXPIRED],
        complaint=tally[MailEvent.COMPLAINT],
        inbox=tally[MailEvent.INBOX],
        spam=tally[MailEvent.SPAM],
        opened=tally[MailEvent.OPENED],
        clicked=tally[MailEvent.CLICKED],
        refused={str(about): count for about, count in tally.refused.items() if count},
        undated=undated,
    )
