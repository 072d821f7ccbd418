"""Services of a control process with a zone that has routes."""

from dataclasses import replace

from geodns.control.route_count_service import RouteCountService
from geodns.responder.route_table import CompiledRule, RouteTarget, ZoneRoutes
from geodns.serve.frames import ROUTE_SECONDS, RouteCounts, RouteKey
from tests.sample_zones import NAME
from tests.servicing import Rig

ANY = CompiledRule(1, "any", (), (), (), (), (), (), None, NAME, by_host=False, port=25)
FAST = ANY._replace(digest="fast", recipient=("vip@example.net", "*@*.bank.example"))
GMAIL = ANY._replace(digest="gmail", provider=("google",), by_host=True)
BULK = ANY._replace(digest="bulk", mail_class=("bulk",), over=5_000_000, port=587)
RULES = (FAST, GMAIL, BULK, ANY)
NO_BUCKETS = (0,) * (len(ROUTE_SECONDS) + 1)


def route(rig: Rig, *rules: CompiledRule, local: tuple[str, ...] = ("example.com",)) -> None:
    """Give the zone rules, as its file would."""
    numbered = tuple(rule._replace(number=number) for number, rule in enumerate(rules or RULES, 1))
    compiled = rig.services.cluster.compiled
    target = RouteTarget(NAME, NAME, "main", {"mta1": 3}, ("mta1", "mta2"))
    routes = {NAME: ZoneRoutes(NAME, local, numbered)}
    table = replace(compiled.table, routes=routes, targets={(NAME, NAME): target})
    rig.services.cluster.compiled = replace(compiled, table=table)


def answered(
    counts: RouteCountService, now: float, answers: dict[RouteKey, int], **looked_up: dict[str, int]
) -> None:
    """Let the worker report answers; `looked_up` by host and provider."""
    some = {(NAME, host, one): number for host, by in looked_up.items() for one, number in by.items()}
    counts.take(RouteCounts("routes", answers, some, NO_BUCKETS, 0.0, now), now)
