"""Sorts what control sends by the workers that it is for, and keeps what newborn workers need."""

from collections import OrderedDict
from dataclasses import replace

from geodns.responder.route_table import KnownProvider, RouteNews
from geodns.responder.table import Table
from geodns.responder.table_changes import ROUTE_STORES, TableDelta, TableReplica
from geodns.serve.frames import framed, unpack_change

MOST_PROVIDERS = 20_000
"""Domains whose providers are kept, those told last."""


def keep_providers(known: OrderedDict[str, KnownProvider], news: RouteNews) -> None:
    """Add what is told of domains to what is known, and forget what was told longest ago beyond the bound."""
    for domain, provider in news.providers.items():
        known[domain] = provider
        known.move_to_end(domain)
    while len(known) > MOST_PROVIDERS:
        known.popitem(last=False)


class TableRelay:
    """The current Table, and what has come since.

    Attributes:
        number: of the last whole Table; 0: none has come.
        providers: told so far: a routes worker that is born while control is away goes on with them.

    """

    def __init__(self) -> None:
        self.number = 0
        self.providers: OrderedDict[str, KnownProvider] = OrderedDict()
        self._replica = TableReplica()
        self._dns: list[bytes] = []
        self._routes: list[bytes] = []

    def take(self, payload: bytes) -> tuple[bytes, bytes]:
        """Take a frame of control's; return what of it DNS workers get, and what the routes worker gets."""
        change = unpack_change(payload)
        frame = framed(payload)
        if isinstance(change, RouteNews):
            keep_providers(self.providers, change)
            return b"", frame  # what hosts may be dealt is for whoever counts it: not for a successor
        if change.restart:
            self._dns.clear()
            self._routes.clear()
        dns, routes = _readers(change)
        if dns:
            self._dns.append(frame)
        if routes:
            self._routes.append(frame)
        number = self._replica.take(change)
        if number is not None:
            self._dns.clear()
            self._routes.clear()
            self.number = number
        return frame if dns else b"", frame if routes else b""

    def table(self, *, routes: bool) -> Table:
        """Return the last whole Table as far as DNS workers, or the routes worker, need it."""
        whole = self._replica.table
        if routes:
            return Table(routes=whole.routes, targets=whole.targets)
        return replace(whole, routes={}, targets={})

    def since(self, *, routes: bool) -> bytes:
        """Return the frames since the last whole Table."""
        return b"".join(self._routes if routes else self._dns)


def _readers(change: TableDelta) -> tuple[bool, bool]:
    """Say whether DNS workers, and the routes worker, need a delta."""
    for_routes = change.store in ROUTE_STORES
    for_all = change.restart or change.commit is not None
    return not for_routes, for_routes or for_all
