"""Rotations know their content, and Tables are short to look at."""

from geodns.responder.table import Table
from geodns.responder.table_changes import TableDelta, pack, unpack
from tests.responder.test_table_changes import key, rotation, zone_table


def test_the_content_of_a_rotation_has_a_name() -> None:
    """Counts of dealt answers find their hosts by it, also after a restart or over a pipe."""
    one, again, other = rotation(1), rotation(1), rotation(2)
    assert one.uid == again.uid != other.uid
    over_a_pipe = unpack(pack(TableDelta(store="rotations", put={one.key: one}))).put
    assert over_a_pipe is not None
    assert over_a_pipe[one.key].uid == one.uid


def test_a_table_is_short_to_look_at() -> None:
    """Else a failing test prints every answer of every zone."""
    table = Table({b"z": zone_table(1, 250)}, {key(1): rotation(1)})
    assert repr(table) == "Table([ZoneTable(z1, 250 names)], 1 rotations)"
    assert repr(rotation(1)) == f"Rotation({key(1)}, [1] answers)"
