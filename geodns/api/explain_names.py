"""Says what a name is that no pool answers for: fixed, without that type, delegated, or not there."""

import difflib
from itertools import islice
from typing import NamedTuple

from geodns.responder.lookup import find
from geodns.responder.table import Table, ZoneTable
from geodns.wire import codes
from geodns.wire.codes import name_of
from geodns.wire.message import Query, question
from geodns.wire.names import name_from_wire, name_to_wire

MAX_LOOKED_AT = 20_000
MAX_COMPARED = 1_000
"""Names that are looked through and compared: in a large zone that takes its time."""
SHOWN = 3
_LENGTHS = 3
"""Names that differ by more characters are not taken for slips."""


class Unpooled(NamedTuple):
    """Why no pool is behind a name, and the names that may have been meant."""

    why: str
    near: tuple[str, ...] = ()


def unpooled(table: Table, zone: ZoneTable, name: bytes, rtype: int) -> Unpooled:
    """Say what a name in a zone is, for a type that is not dealt from a pool.

    Args:
        table: that is served.
        zone: the innermost that the name is in.
        name: on the wire, in lower case.
        rtype: its number.

    """
    query = Query(b"\0\0", 0, question(name, rtype), name, rtype, codes.IN, None)
    result = find(table, query)
    match = zone.match(name)
    if result.rcode == codes.NXDOMAIN:
        if result.answer.an:
            return Unpooled("an alias whose target does not exist in this zone")
        return Unpooled("there is no such name", nearest(zone, name))
    if match is not None and match.referral is not None and not result.answer.an:
        return Unpooled(f"delegated: the name servers of {name_from_wire(match.owner)} answer")
    if result.answer.an or match is None:
        by = f" ({name_from_wire(match.owner)})" if match is not None and match.synthesized else ""
        return Unpooled(f"fixed by the zone file{by}: no pool is behind it")
    others = ", ".join(sorted(map(name_of, match.node.rrsets)))
    if others:
        return Unpooled(f"the name is there, but has no {name_of(rtype)}; it has {others}")
    return Unpooled("only names below it are there: it has no records")


def nearest(zone: ZoneTable, name: bytes) -> tuple[str, ...]:
    """Return the names of a zone that are most like one that it does not have."""
    origin = name_from_wire(zone.origin)
    wanted = _within(name_from_wire(name), origin)
    nodes = (
        _within(name_from_wire(node), origin)
        for node in islice(zone.nodes, MAX_LOOKED_AT)
        if node != zone.origin and abs(len(node) - len(name)) <= _LENGTHS
    )
    near = difflib.get_close_matches(wanted, islice(nodes, MAX_COMPARED), SHOWN)
    return tuple(f"{one}.{origin}" for one in near)


def _within(name: str, origin: str) -> str:
    return name.removesuffix(origin).removesuffix(".")


def nearest_outside(table: Table, name: str) -> tuple[str, ...]:
    """Return what may be meant by an absolute name that is in no zone: one of a zone, or a zone's own."""
    wire = name_to_wire(name)
    labels = wire[:-1]
    inside = (labels + origin for origin, zone in table.zones.items() if labels + origin in zone.nodes)
    found = tuple(map(name_from_wire, islice(inside, SHOWN)))
    if found:
        return found
    origins = (
        name_from_wire(origin)
        for origin in islice(table.zones, MAX_LOOKED_AT)
        if abs(len(origin) - len(wire)) <= _LENGTHS
    )
    return tuple(difflib.get_close_matches(name, islice(origins, MAX_COMPARED), SHOWN))
