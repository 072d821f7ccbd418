"""Sorts what control sends by the workers that it is for, and keeps what newborn workers need."""

import time
from dataclasses import replace

from geodns.responder.route_table import RouteNews
from geodns.responder.table import Table
from geodns.responder.table_changes import ROUTE_STORES, TableDelta, TableReplica
from geodns.serve.frames import ControlLeaves, framed, unpack_from_control
from geodns.serve.known_providers import KnownProviders


class TableRelay:
    """The current Table, and what has come since.

    Attributes:
        number: of the last whole Table; 0: none has come.
        carried: counters that control has handed in, leaving for an upgrade; None: it has not.
        providers: told so far: a routes worker that is born while control is away goes on with them.

    """

    def __init__(self) -> None:
        self.number = 0
        self.carried: bytes | None = None
        self.providers = KnownProviders()
        self._replica = TableReplica()
        self._dns: list[bytes] = []
        self._routes: list[bytes] = []

    def take(self, payload: bytes) -> tuple[bytes, bytes]:
        """Take a frame of control's; return what of it DNS workers get, and what the routes worker gets."""
        change = unpack_from_control(payload)
        if isinstance(change, ControlLeaves):
            self.carried = change.counters
            return b"", b""
        frame = framed(payload)
        if isinstance(change, RouteNews):
            self.providers.take(change.providers, time.time())
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
