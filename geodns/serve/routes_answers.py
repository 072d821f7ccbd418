"""Answers requests for routes from the Table, the rotations and the providers known."""

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from geodns.responder.route_deals import Dealer, by_name
from geodns.responder.route_explained import route_answer
from geodns.responder.route_table import CompiledRule, RouteTarget, ZoneRoutes
from geodns.responder.routes import RouteQuery, Undecided, decide, domain_of
from geodns.responder.table import Table
from geodns.serve.plan import RoutesListener
from geodns.serve.provider_cache import ProviderCache
from geodns.serve.route_messages import RouteAnswer, RouteOutcome, RouteRequest, allowed

_OUTCOMES: Mapping[Undecided, RouteOutcome] = {
    Undecided.NO_RULE: "none",
    Undecided.LOCAL: "local",
    Undecided.STOPPED: "stopped",
}


MOST_MISSED = 8
"""Rules that POST /route says of why they do not fit. `GET /api/v1/route`, of control's process, says more;
here each message would pay for it, and those of all others wait."""

MOST_LIVE = 100
"""Hosts that it names as live: MTAs read no answer of any length."""


class Wanted(NamedTuple):
    """The domain whose provider decides, and is not known yet."""

    domain: str


def routes_asked(table: Table, listener: RoutesListener, request: RouteRequest) -> ZoneRoutes | None:
    """Return the rules that a request is about; None: there are none, or it is not clear which."""
    asked = request.zone or ""
    if listener.zone and asked and asked != listener.zone:
        return None
    zone = listener.zone or asked
    if not zone and len(table.routes) == 1:
        (zone,) = table.routes
    return table.routes.get(zone)


class Answerer:
    """Answers requests; keeps the rotations.

    Attributes:
        dealer: deals hosts.
        providers: of recipient domains.

    """

    def __init__(self, providers: ProviderCache) -> None:
        self.dealer = Dealer(Random())  # noqa: S311 - no secret
        self.providers = providers

    def answer(
        self,
        table: Table,
        listener: RoutesListener,
        request: RouteRequest,
        times: tuple[float, float],
        *,
        waited: bool = False,
    ) -> tuple[str, RouteAnswer] | Wanted:
        """Return the zone asked and the answer, or whose provider to wait for.

        Args:
            table: with the rules.
            listener: where the request came in.
            request: what is asked.
            times: seconds of the monotonic clock, and since the epoch.
            waited: whether it goes on without a provider that is not known now.

        """
        routes = routes_asked(table, listener, request)
        if routes is None:
            return "", RouteAnswer("unserved")
        query, domain = request.query, domain_of(request.query.recipient or "")
        if domain and (known := self.providers.fresh(domain, times[1])) is not None:
            query = query._replace(provider=known)  # here, what decides is read once, not twice
        decided = decide(routes, query, request.carried)
        if decided is Undecided.PROVIDER:
            query = self._with_provider(query, domain, times)
            if query.provider is None and not waited and domain:
                return Wanted(domain)
            decided = decide(routes, query._replace(provider=query.provider or ""), request.carried)
        if isinstance(decided, Undecided):
            answer = RouteAnswer(_OUTCOMES[decided], provider=query.provider or "")
            return routes.zone, _explained(request, routes, query, decided, answer)
        target = table.targets.get((routes.zone, decided.name))
        if target is not None and decided.by_host and request.deals and query.provider is None:
            query = self._with_provider(query, domain, times)
            # Only a host that some provider bars or caps is worth waiting for: without, it is not dealt.
            limited = target.capped or target.barred
            if query.provider is None and limited and domain and not waited:
                return Wanted(domain)
        provider = query.provider
        if provider == "" and domain and not self.providers.certain(domain, times[1]):
            provider = None  # the look-up failed: it may be one that bars or caps a host
        answer = self._dealt(decided, target, provider, times[0], listener.self_host, request)
        return routes.zone, _explained(request, routes, query, decided, allowed(request, answer))

    def _with_provider(self, query: RouteQuery, domain: str, times: tuple[float, float]) -> RouteQuery:
        return query._replace(provider=self.providers.provider(domain, *times)) if domain else query

    def _dealt(
        self,
        rule: CompiledRule,
        target: RouteTarget | None,
        provider: str | None,
        now: float,
        self_host: str,
        request: RouteRequest,
    ) -> RouteAnswer:
        if target is None:
            return RouteAnswer("name", rule, by_name(rule), None, provider or "")
        route = self.dealer.route(rule, target, provider, now, self_host, single=request.deals)
        outcome: RouteOutcome = "name"
        if route is None:
            outcome = "later"
        elif self.dealer.lists(target, self_host, now):
            outcome = "others"
        elif route.host:
            outcome = "host"
        return RouteAnswer(outcome, rule, route, target, provider or "")


def _explained(
    request: RouteRequest,
    routes: ZoneRoutes,
    query: RouteQuery,
    decided: CompiledRule | Undecided,
    answer: RouteAnswer,
) -> RouteAnswer:
    if not request.explains:
        return answer
    told = route_answer(routes, query, decided, answer.target, answer.route, MOST_MISSED, MOST_LIVE)
    return answer._replace(explained=dict(told))
