"""A Table to the next in small deltas, which workers take between two queries.

`deltas` makes an update, a run of deltas whose last one commits; `TableReplica` applies it.
"""

import pickle
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeVar

from geodns.responder.answer_policy import Policy
from geodns.responder.table import EMPTY, SLICE, NameNode, Nodes, Rotation, RotationKey, Table, ZoneTable

K = TypeVar("K")
V = TypeVar("V")

SLICE_ANSWERS = 250
"""Distinct answers of the rotations in one delta, as with `SLICE`; a larger rotation comes alone."""


class TableDelta(NamedTuple):
    """One slice of an update.

    Attributes:
        restart: forget everything, also what earlier deltas brought.
        open_zone: a new zone without its nodes, which follow in later deltas.
        names: how many nodes the open zone will have.
        nodes: some of the open zone's.
        rotations: new ones, and others for the same keys.
        policy: None: as it was.
        commit: the update's number in its last delta: the new Table is whole; else None.

    """

    restart: bool = False
    open_zone: ZoneTable | None = None
    names: int = 0
    nodes: Mapping[bytes, NameNode] | None = None
    drop_zones: tuple[bytes, ...] = ()
    rotations: Mapping[RotationKey, Rotation] | None = None
    drop_rotations: tuple[RotationKey, ...] = ()
    policy: Policy | None = None
    commit: int | None = None


def deltas(old: Table | None, new: Table, number: int) -> Iterator[TableDelta]:
    """Yield the update from one Table to another, whose zones and rotations compare by identity.

    Args:
        old: what the replica has; None: not known.
        new: what it shall have.
        number: of the update, for its last delta.

    """
    before = EMPTY if old is None else old
    if old is None:
        yield TableDelta(restart=True)
    fresh = {key: one for key, one in new.rotations.items() if before.rotations.get(key) is not one}
    for rotations in _rotation_slices(fresh):
        yield TableDelta(rotations=rotations)
    for origin, zone in new.zones.items():
        if before.zones.get(origin) is not zone:
            bare = ZoneTable(zone.name, zone.origin, zone.negative, {})
            yield TableDelta(open_zone=bare, names=len(zone.nodes))
            for nodes in _slices(zone.nodes):
                yield TableDelta(nodes=nodes)
    for gone in _slices(dict.fromkeys(before.zones.keys() - new.zones.keys())):
        yield TableDelta(drop_zones=tuple(gone))
    for unused in _slices(dict.fromkeys(before.rotations.keys() - new.rotations.keys())):
        yield TableDelta(drop_rotations=tuple(unused))
    if new.policy != before.policy:
        yield TableDelta(policy=new.policy)
    yield TableDelta(commit=number)


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


class TableReplica:
    """Applies updates; `table` is the last whole one."""

    def __init__(self, table: Table = EMPTY) -> None:
        self.table = table
        self._zones = dict(table.zones)
        self._rotations = dict(table.rotations)
        self._policy = table.policy
        self._nodes = Nodes(0)

    def take(self, delta: TableDelta) -> int | None:
        """Apply one delta; return the update's number once it is complete, else None."""
        if delta.restart:
            self._zones, self._rotations, self._policy = {}, {}, EMPTY.policy
        if delta.rotations is not None:
            self._rotations.update(delta.rotations)
        if delta.open_zone is not None:
            zone = delta.open_zone
            self._nodes = Nodes(delta.names)
            self._zones[zone.origin] = ZoneTable(zone.name, zone.origin, zone.negative, self._nodes)
        if delta.nodes is not None:
            self._nodes.add(delta.nodes)
        for origin in delta.drop_zones:
            self._zones.pop(origin, None)
        for key in delta.drop_rotations:
            self._rotations.pop(key, None)
        if delta.policy is not None:
            self._policy = delta.policy
        if delta.commit is None:
            return None
        self.table = Table(dict(self._zones), dict(self._rotations), self._policy)
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
