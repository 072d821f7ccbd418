"""What a request for a route is answered, from the Table, the rotations and the providers known."""

from collections.abc import Mapping
from typing import NamedTuple

from geodns.responder.route_deals import Dealer, by_name
from geodns.responder.route_table import CompiledRule, RouteTarget, ZoneRoutes
from geodns.responder.routes import Carried, RouteQuery, Undecided, decide, domain_of
from geodns.responder.table import Table
from geodns.serve.plan import RoutesListener
from geodns.serve.provider_cache import ProviderCache
from geodns.serve.route_messages import RouteAnswer, RouteOutcome, RouteRequest, allowed

_OUTCOMES: Mapping[Undecided, RouteOutcome] = {
    Undecided.NO_RULE: "none",
    Undecided.LOCAL: "local",
    Undecided.STOPPED: "stopped",
}


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
        self.dealer = Dealer()
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
        query = request.query
        decided = decide(routes, query, request.carried)
        if decided is Undecided.PROVIDER:
            provider = self._provider(query, times)
            if provider is None and not waited:
                return Wanted(domain_of(query.recipient or ""))
            decided = decide(routes, query._replace(provider=provider or ""), request.carried)
            query = query if provider is None else query._replace(provider=provider)
        if isinstance(decided, Undecided):
            return routes.zone, RouteAnswer(_OUTCOMES[decided], provider=query.provider or "")
        target = table.targets.get((routes.zone, decided.name))
        rule = decided
        if target is not None and rule.by_host:
            limited = bool(target.capped or target.barred)
            if query.provider is None and request.deals:
                query = query._replace(provider=self._provider(query, times))
                if query.provider is None and limited and not waited and _told(request):
                    return Wanted(domain_of(query.recipient or ""))
            # What a provider bars, or may get of a host, cannot be kept where nobody knows the provider.
            if not request.deals or (query.provider is None and limited):
                rule = rule._replace(by_host=False)
        return routes.zone, allowed(
            request, self._dealt(rule, target, query.provider or "", times[0], listener.self_host)
        )

    def _provider(self, query: RouteQuery, times: tuple[float, float]) -> str | None:
        domain = domain_of(query.recipient or "")
        return self.providers.provider(domain, *times) if domain else None

    def _dealt(
        self, rule: CompiledRule, target: RouteTarget | None, provider: str, now: float, self_host: str
    ) -> RouteAnswer:
        if target is None:
            return RouteAnswer("name", rule, by_name(rule), None, provider)
        route = self.dealer.route(rule, target, provider, now, self_host)
        outcome: RouteOutcome = "name"
        if route is None:
            outcome = "later"
        elif self_host in target.hosts:
            outcome = "others"
        elif route.host:
            outcome = "host"
        return RouteAnswer(outcome, rule, route, target, provider)


def _told(request: RouteRequest) -> bool:
    """Say whether a request tells the recipient, whose provider could be asked for."""
    return request.carried is not Carried.SENDER and bool(domain_of(request.query.recipient or ""))
