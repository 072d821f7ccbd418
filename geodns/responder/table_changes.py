"""A Table to the next in small deltas, which workers take between two queries.

`deltas` makes an update, a run of deltas whose last one commits; `TableReplica` applies it.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from geodns.responder.answer_policy import Policy
from geodns.responder.route_table import CompiledRule, ZoneRoutes
from geodns.responder.table import EMPTY, SLICE, NameNode, Nodes, Rotation, RotationKey, Table, ZoneTable
from geodns.wire.message import Answer

K = TypeVar("K")
V = TypeVar("V")

SLICE_ANSWERS = 250
"""Distinct answers of the rotations in one delta, as with `SLICE`; a larger rotation comes alone."""
MOST_ANSWERS = 4 * SLICE_ANSWERS
"""Distinct answers of a rotation that comes whole: those of a larger one come before it, in slices."""

_Piece = tuple[tuple[Answer, tuple[str, ...]], ...] | tuple[CompiledRule, ...]


class TableDelta(NamedTuple):
    """One slice of an update.

    Attributes:
        restart: forget everything, also what earlier deltas brought.
        open_zone: a new zone without its nodes, which follow in later deltas.
        names: how many nodes the open zone will have.
        nodes: some of the open zone's.
        store: the mapping of the Table that `put` and `drop` are for: rotations, views, partitions,
            targets or routes.
        put: new entries, and others for the same keys.
        drop: keys of entries that go.
        piece: answers, each with its hosts, of a rotation that is too large for one delta and follows; or
            rules of routes that do.
        lengths: how many of them each part of that rotation has, or how many rules the routes.
        policy: None: as it was.
        commit: the update's number in its last delta: the new Table is whole; else None.

    """

    restart: bool = False
    open_zone: ZoneTable | None = None
    names: int = 0
    nodes: Mapping[bytes, NameNode] | None = None
    drop_zones: tuple[bytes, ...] = ()
    store: str = ""
    put: Mapping[Any, Any] | None = None
    drop: tuple[Any, ...] = ()
    piece: _Piece = ()
    lengths: tuple[int, ...] = ()
    policy: Policy | None = None
    commit: int | None = None


def deltas(old: Table | None, new: Table, number: int) -> Iterator[TableDelta]:
    """Yield the update from one Table to another, whose zones and keyed entries compare by identity.

    Args:
        old: what the replica has; None: not known.
        new: what it shall have.
        number: of the update, for its last delta.

    """
    before = EMPTY if old is None else old
    if old is None:
        yield TableDelta(restart=True)
    for store in _STORES:
        yield from _put(store, getattr(before, store), getattr(new, store))
    for origin, zone in new.zones.items():
        if before.zones.get(origin) is not zone:
            bare = ZoneTable(zone.name, zone.origin, zone.negative, {})
            yield TableDelta(open_zone=bare, names=len(zone.nodes))
            for nodes in _slices(zone.nodes):
                yield TableDelta(nodes=nodes)
    for gone in _slices(dict.fromkeys(before.zones.keys() - new.zones.keys())):
        yield TableDelta(drop_zones=tuple(gone))
    for store in _STORES:
        for unused in _slices(dict.fromkeys(getattr(before, store).keys() - getattr(new, store).keys())):
            yield TableDelta(store=store, drop=tuple(unused))
    if new.policy != before.policy:
        yield TableDelta(policy=new.policy)
    yield TableDelta(commit=number)


def _put(store: str, before: Mapping[K, V], after: Mapping[K, V]) -> Iterator[TableDelta]:
    fresh = {key: one for key, one in after.items() if before.get(key) is not one}
    for some in _STORES[store](fresh):
        if len(some) == 1 and store == "rotations":
            yield from _in_pieces(*some.items())
        elif store == "routes":
            yield from _rules_in_pieces(*some.items())
        else:
            yield TableDelta(store=store, put=some)


def _in_pieces(entry: tuple[RotationKey, Rotation]) -> Iterator[TableDelta]:
    """Yield a rotation, its answers before it if they are very many."""
    key, rotation = entry
    lengths = tuple(len(part.answers) for part in rotation.parts)
    if sum(lengths) <= MOST_ANSWERS:
        yield TableDelta(store="rotations", put={key: rotation})
        return
    answers = (pair for part in rotation.parts for pair in zip(part.answers, part.sets, strict=True))
    while piece := tuple(islice(answers, SLICE_ANSWERS)):
        yield TableDelta(piece=piece)
    bare = rotation.with_parts(replace(part, answers=(), sets=()) for part in rotation.parts)
    yield TableDelta(store="rotations", put={key: bare}, lengths=lengths)


def _rules_in_pieces(entry: tuple[str, ZoneRoutes]) -> Iterator[TableDelta]:
    """Yield a zone's routes, their rules before them if they are very many."""
    zone, routes = entry
    rules = routes.rules
    if len(rules) <= SLICE:
        yield TableDelta(store="routes", put={zone: routes})
        return
    for first in range(0, len(rules), SLICE):
        yield TableDelta(store="routes", piece=rules[first : first + SLICE])
    yield TableDelta(store="routes", put={zone: routes.with_rules(())}, lengths=(len(rules),))


def _whole(
    bare: Rotation | ZoneRoutes, lengths: tuple[int, ...], pieces: Iterable[Any]
) -> Rotation | ZoneRoutes:
    if isinstance(bare, ZoneRoutes):
        return bare.with_rules(tuple(pieces))
    rest = iter(pieces)
    parts = []
    for part, length in zip(bare.parts, lengths, strict=True):
        answers, sets = zip(*islice(rest, length), strict=True)
        parts.append(replace(part, answers=answers, sets=sets))
    return bare.with_parts(parts)


def _slices(mapping: Mapping[K, V]) -> Iterator[dict[K, V]]:
    items = iter(mapping.items())
    while some := dict(islice(items, SLICE)):
        yield some


def _rotation_slices(rotations: Mapping[RotationKey, Rotation]) -> Iterator[dict[RotationKey, Rotation]]:
    """Yield slices by their number of answers: rotations differ a thousandfold."""
    some: dict[RotationKey, Rotation] = {}
    weight = 0
    for key, rotation in rotations.items():
        own = sum(len(part.answers) for part in rotation.parts)
        if some and (weight + own > SLICE_ANSWERS or len(some) == SLICE):
            yield some
            some, weight = {}, 0
        some[key] = rotation
        weight += own
    if some:
        yield some


def _one_by_one(mapping: Mapping[K, V]) -> Iterator[dict[K, V]]:
    for key, one in mapping.items():
        yield {key: one}


_STORES: Mapping[str, Callable[[Mapping[Any, Any]], Iterator[dict[Any, Any]]]] = {
    "rotations": _rotation_slices,
    "partitions": _one_by_one,  # one may have 100,000 ranges
    "views": _slices,
    "targets": _slices,
    "routes": _one_by_one,  # one may have 10,000 rules
}
"""The keyed mappings of a Table in the order sent, each with its way of slicing."""


ROUTE_STORES = frozenset({"targets", "routes"})
"""Those that the routes worker alone needs."""


class TableReplica:
    """Applies updates; `table` is the last whole one."""

    def __init__(self, table: Table = EMPTY) -> None:
        self.table = table
        self._zones = dict(table.zones)
        self._stores: dict[str, dict[Any, Any]] = {store: dict(getattr(table, store)) for store in _STORES}
        self._policy = table.policy
        self._nodes = Nodes(0)
        self._pieces: list[Any] = []

    def take(self, delta: TableDelta) -> int | None:
        """Apply one delta; return the update's number once it is complete, else None."""
        if delta.restart:
            self._zones, self._policy = {}, EMPTY.policy
            self._stores = {store: {} for store in _STORES}
            self._pieces = []
        self._pieces += delta.piece
        if delta.lengths:
            ((key, bare),) = (delta.put or {}).items()
            self._stores[delta.store][key] = _whole(bare, delta.lengths, self._pieces)
            self._pieces = []
        elif delta.store:
            self._stores[delta.store].update(delta.put or {})
            for key in delta.drop:
                self._stores[delta.store].pop(key, None)
        if delta.open_zone is not None:
            zone = delta.open_zone
            self._nodes = Nodes(delta.names)
            self._zones[zone.origin] = ZoneTable(zone.name, zone.origin, zone.negative, self._nodes)
        if delta.nodes is not None:
            self._nodes.add(delta.nodes)
        for origin in delta.drop_zones:
            self._zones.pop(origin, None)
        if delta.policy is not None:
            self._policy = delta.policy
        if delta.commit is None:
            return None
        stores = {store: dict(entries) for store, entries in self._stores.items()}
        self.table = Table(dict(self._zones), policy=self._policy, **stores)
        return delta.commit


def outdated(old: Table, new: Table) -> list[Nodes]:
    """Return the nodes that are no longer answered from once a Table has replaced another."""
    return [
        zone.nodes
        for origin, zone in old.zones.items()
        if new.zones.get(origin) is not zone and isinstance(zone.nodes, Nodes)
    ]


def pack(delta: TableDelta) -> bytes:
    """Return a delta's bytes for another process of this server."""
    return pickle.dumps(delta, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> TableDelta:
    """Return the delta that `pack` wrote; only for bytes of this server's own processes."""
    delta: TableDelta = pickle.loads(data)  # noqa: S301 - from a socket pair that only our processes hold
    return delta
