"""Writes the answer to one message as JSON has it: the rule that fits, and why none before it does."""

from collections.abc import Iterator
from itertools import islice

from typing_extensions import TypedDict

from geodns.errors import printable
from geodns.responder.route_deals import Route
from geodns.responder.route_table import CompiledRule, RouteTarget, ZoneRoutes
from geodns.responder.route_words import MOST_CHARACTERS, missed
from geodns.responder.routes import (
    CONDITIONS,
    RouteQuery,
    Undecided,
    domain_of,
    holds,
    names_domain,
)

MOST_MISSED = 100
"""So many rules say what they miss; of the others their number is told."""


class Missed(TypedDict):
    """Why a rule does not fit; without a number it is said of no single rule."""

    rule: int | None
    missed: str


class RouteJson(TypedDict):
    """Where a message goes, and why; null: not told, not known, or no rule fits.

    `rule`: its number in the file, from 1; `live`: the hosts that the name deals now, by name; `host`: the
    one that this message was dealt; `transport`: as Postfix takes it.
    """

    zone: str
    rule: int | None
    provider: str | None
    name: str | None
    pool: str | None
    host: str | None
    transport: str | None
    live: list[str]
    why: list[Missed]


def route_answer(
    routes: ZoneRoutes,
    query: RouteQuery,
    decision: CompiledRule | Undecided,
    target: RouteTarget | None,
    route: Route | None,
    most: int = MOST_MISSED,
    most_live: int | None = None,
) -> RouteJson:
    """Return the answer to a message of which everything may be told.

    Args:
        routes: of the zone.
        query: what is told.
        decision: what `decide` said of it.
        target: of the rule's name.
        route: where the message goes; None: there is no host but the one that asks, or no rule fits.
        most: rules that say what they miss.
        most_live: hosts that are named as live; None: all.

    """
    rule = decision if isinstance(decision, CompiledRule) else None
    return RouteJson(
        zone=routes.zone,
        rule=rule.number if rule else None,
        provider=query.provider or None,
        name=rule.name if rule else None,
        pool=target.pool if rule and target else None,
        host=(route.host or None) if rule and route else None,
        transport=route.transport if rule and route else None,
        live=list(islice(_live(target), most_live)) if rule and target else [],
        why=_why(routes, query, decision, most),
    )


def _live(target: RouteTarget) -> Iterator[str]:
    return (host for host in target.hosts if target.weights.get(host))


def _why(
    routes: ZoneRoutes, query: RouteQuery, decision: CompiledRule | Undecided, most: int
) -> list[Missed]:
    if decision is Undecided.LOCAL:
        return [Missed(rule=None, missed=f"{_local(query.recipient or '')}: no rule is asked for mail to it")]
    before = decision.number - 1 if isinstance(decision, CompiledRule) else len(routes.rules)
    why = [
        Missed(rule=routes.rules[position].number, missed=_missed(routes, position, query))
        for position in range(min(before, most))
    ]
    if before > most:
        why.append(Missed(rule=None, missed=f"{before - most} rules more do not fit"))
    return why


def _local(recipient: str) -> str:
    domain = domain_of(recipient)
    if names_domain(domain):
        return f"{printable(domain[:MOST_CHARACTERS])} is local"
    address = printable(recipient.removesuffix("@")[:MOST_CHARACTERS])
    return f"{address} names no domain, so it may be the MTA's own"


def _missed(routes: ZoneRoutes, position: int, query: RouteQuery) -> str:
    for condition in CONDITIONS:
        if not holds(routes, position, condition, query):
            return missed(condition, routes.rules[position], query)
    return "nobody has looked up the recipient's provider yet"
