"""Zones that are too many for a heartbeat travel beside it, and come out as they went in."""

import pytest

from geodns.model.shared import Heartbeat, ZoneContent
from geodns.storage.shared_messages import MAX_VALUE, Beat, Messages
from geodns.storage.shared_zones import OthersZones, OwnZones, is_part

CONTENT = ZoneContent(digest="0" * 16, serial=2026113001)
MESSAGES = Messages("out", b"secret")


def beat(zones: int, of: str = "example.com") -> Heartbeat:
    names = (f"out{number}.{of}" for number in range(zones))
    return Heartbeat(node="ns1", epoch=1, seq=0, version="1.0", at=1.0, zones=dict.fromkeys(names, CONTENT))


def taken(others: OthersZones, own: OwnZones, heartbeat: Heartbeat, *, lost: bool = False) -> set[str]:
    """Send a heartbeat, and return the zones that others read in it."""
    sent, parts = own.split(heartbeat)
    assert len(MESSAGES.seal_beat(Beat(sent, "0" * 16, 1))) <= MAX_VALUE
    for field, part in parts.items():
        assert is_part(field)
        if part is not None:
            key = MESSAGES.key("sums", "ns1")
            raw = MESSAGES.seal_sum(key, field.encode(), 1, 1, part)
            if not lost:
                others.take("ns1", field, MESSAGES.open_sum(key, field.encode(), raw))
    return set(others.join(sent).zones)


@pytest.mark.parametrize("zones", [0, 1, 700, 1_200, 3_000, 20_000])
def test_however_many_zones_all_are_heard(zones: int) -> None:
    heartbeat = beat(zones)
    assert taken(OthersZones(), OwnZones(), heartbeat) == set(heartbeat.zones)


def test_what_fits_is_said_as_earlier_versions_read_it() -> None:
    assert OwnZones().split(beat(700)) == (beat(700), {})


def test_nothing_is_written_again_while_the_zones_stay() -> None:
    own = OwnZones()
    assert own.split(beat(3_000))[1]
    sent, parts = own.split(beat(3_000))
    assert (sent.zones, parts) == ({}, {})


def test_parts_that_are_missing_leave_what_was_known_before() -> None:
    others, own = OthersZones(), OwnZones()
    assert taken(others, own, beat(3_000), lost=True) == set()
    own = OwnZones()
    known = taken(others, own, beat(3_000))
    assert taken(others, own, beat(3_100), lost=True) == known
    assert taken(others, OwnZones(), beat(3_100)) == set(beat(3_100).zones)


def test_parts_of_before_are_taken_away() -> None:
    own = OwnZones()
    own.there(["zones/0", "zones/7"])
    sent, parts = own.split(beat(3_000))
    assert parts["zones/7"] is None
    assert isinstance(parts["zones/0"], list)
    sent, parts = own.split(beat(2))
    assert len(sent.zones) == 2
    assert parts
    assert set(parts.values()) == {None}


@pytest.mark.parametrize("content", [None, 5, "x", {"a": 1}, [1], [""], ["x" * 256], [["a"]]])
def test_what_is_no_part_is_passed_over(content: object) -> None:
    others, (sent, _) = OthersZones(), OwnZones().split(beat(3_000))
    others.take("ns1", "zones/0", content)  # type: ignore[arg-type] # as it may come
    assert others.join(sent) == sent
