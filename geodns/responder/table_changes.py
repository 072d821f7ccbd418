"""One Table to the next in small slices, for workers that hold the one before."""

import pickle
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeVar

from geodns.responder.answer_policy import Policy
from geodns.responder.table import EMPTY, SLICE, NameNode, Nodes, Rotation, RotationKey, Table, ZoneTable

K = TypeVar("K")
V = TypeVar("V")

SLICE_ANSWERS = 250
"""Distinct answers of the rotations in one change, for the same reason; a larger rotation comes alone."""


class TableDelta(NamedTuple):
    """One slice of the way from a Table to the next; the last slice of a way has `commit`.

    Attributes:
        restart: forget everything, also what earlier changes of this way brought.
        open_zone: a zone that is made anew, without its nodes; later `nodes` are its.
        names: how many nodes the open zone will have.
        nodes: some of the open zone's nodes.
        drop_zones: zones that go.
        rotations: new ones and ones that take another's place.
        drop_rotations: keys that nothing names any longer.
        policy: another one.
        commit: this way's number, when with this change the new Table is whole; else None.

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
    """Yield the changes that lead from one Table to another; they compare by identity.

    Args:
        old: what the other side has; None when that is not known.
        new: what it shall have.
        number: told in the last change.

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
    """Yield slices by what they weigh: rotations differ a thousandfold."""
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
    """Puts changes together into Tables.

    Attributes:
        table: the last whole one.

    """

    def __init__(self, table: Table = EMPTY) -> None:
        self.table = table
        self._zones = dict(table.zones)
        self._rotations = dict(table.rotations)
        self._policy = table.policy
        self._nodes = Nodes(0)

    def take(self, change: TableDelta) -> int | None:
        """Apply one change; after the last of a way, `table` is the new one.

        Returns:
            The way's number when it is complete, else None.

        """
        if change.restart:
            self._zones, self._rotations, self._policy = {}, {}, EMPTY.policy
        if change.rotations is not None:
            self._rotations.update(change.rotations)
        if change.open_zone is not None:
            zone = change.open_zone
            self._nodes = Nodes(change.names)
            self._zones[zone.origin] = ZoneTable(zone.name, zone.origin, zone.negative, self._nodes)
        if change.nodes is not None:
            self._nodes.add(change.nodes)
        for origin in change.drop_zones:
            self._zones.pop(origin, None)
        for key in change.drop_rotations:
            self._rotations.pop(key, None)
        if change.policy is not None:
            self._policy = change.policy
        if change.commit is None:
            return None
        self.table = Table(dict(self._zones), dict(self._rotations), self._policy)
        return change.commit


def outdated(old: Table, new: Table) -> list[Nodes]:
    """Return the nodes of which nobody answers any more once a Table has taken another's place."""
    return [
        zone.nodes
        for origin, zone in old.zones.items()
        if new.zones.get(origin) is not zone and isinstance(zone.nodes, Nodes)
    ]


def pack(change: TableDelta) -> bytes:
    """Return a change's bytes for another process of this server."""
    return pickle.dumps(change, protocol=pickle.HIGHEST_PROTOCOL)


def unpack(data: bytes) -> TableDelta:
    """Return the change that `pack` wrote; only for bytes of this server's own processes."""
    change: TableDelta = pickle.loads(data)  # noqa: S301 - from a socket pair that only our processes hold
    return change
