"""Points as bytes and on disk: minutes that become hours, and what is forgotten."""

import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.storage.history_file import (
    HOUR,
    KEPT,
    MINUTE,
    NOTHING,
    TEN_MINUTES,
    HistoryFile,
    Point,
    Points,
    merged,
    packed,
    unpacked,
)

NOON = 1_795_435_200  # 2026-11-23T12:00:00Z
ONE = {"mta1": Point(1, 1, 1, 0.5, 12, 12)}
COUNTS = st.integers(0, 1000)
POINTS = st.dictionaries(
    st.sampled_from(["mta1", "mta2", "søndag"]),
    st.builds(Point, COUNTS.map(float), COUNTS.map(float), COUNTS, COUNTS.map(float), COUNTS, COUNTS, COUNTS),
)


@given(POINTS)
def test_points_survive_the_disk(points: Points) -> None:
    assert unpacked(packed(points)) == points


@pytest.mark.parametrize("data", [b"", b"nonsense", packed({})[:-1]])
def test_bytes_that_are_no_points_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no points of hosts"):
        unpacked(data)


@given(st.lists(POINTS, max_size=4))
def test_merging_in_any_order_gives_the_same_sums(some: list[Points]) -> None:
    for order in itertools.permutations(some):
        assert merged(*order) == merged(*some)
    for host, point in merged(*some).items():
        assert point.probes == sum(points.get(host, NOTHING).probes for points in some)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[HistoryFile]:
    opened, warnings = HistoryFile.open(tmp_path, NOON)
    assert warnings == []
    yield opened
    opened.close()


def test_what_is_added_to_a_minute_is_added(file: HistoryFile) -> None:
    file.add(MINUTE, NOON, {"a.example": ONE, "b.example": ONE})
    file.add(MINUTE, NOON, {"a.example": ONE})
    assert file.read("a.example", MINUTE, NOON, NOON + 1) == [(NOON, {"mta1": Point(2, 2, 2, 1.0, 24, 24)})]
    assert file.read("b.example", MINUTE, NOON, NOON + 1) == [(NOON, ONE)]
    assert file.zones(MINUTE, 0, NOON + 1) == ["a.example", "b.example"]


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"nonsense", "text", None, zlib.compress(b"5"), zlib.compress(b'{"mta1": [1, 2]}')]
    + [
        zlib.compress(json.dumps({"mta1": one}).encode())
        for one in ([1, 1, "x", 0.5, 1, 1], [1, 1, -1, 1, 1, 1], [1] * 5, [1] * 8)
    ],
)
def test_a_row_that_cannot_be_read_hides_no_other(file: HistoryFile, spoilt: Any) -> None:
    for minute in range(60):
        file.add(MINUTE, NOON + minute * MINUTE, {"z": ONE})
    bad = [(spoilt or b"", MINUTE, NOON + 60)]
    file._write("NORMAL", "UPDATE point SET hosts = ? WHERE step = ? AND at = ?", bad)
    assert len(file.read("z", MINUTE, NOON, NOON + HOUR)) == 59
    file.roll_up(NOON + HOUR)
    ((_, points),) = file.read("z", HOUR, NOON, NOON + HOUR)
    assert points["mta1"].samples == 59 * 12


def test_an_hour_is_made_once_it_is_over(file: HistoryFile) -> None:
    for minute in range(60):
        file.add(MINUTE, NOON + minute * MINUTE, {"a.example": ONE})
    file.roll_up(NOON + HOUR - 1)
    assert file.read("a.example", HOUR, 0, NOON + HOUR) == []
    file.roll_up(NOON + HOUR)
    ((at, points),) = file.read("a.example", HOUR, 0, NOON + HOUR)
    assert (at, points["mta1"]) == (NOON, Point(60, 60, 60, 30.0, 720, 720))
    file.roll_up(NOON + 2 * HOUR)
    assert len(file.read("a.example", HOUR, 0, NOON + 9 * HOUR)) == 1


def test_ten_minutes_are_made_as_well_and_each_once(file: HistoryFile) -> None:
    for minute in range(25):
        file.add(MINUTE, NOON + minute * MINUTE, {"a.example": ONE})
    file.roll_up(NOON + 25 * MINUTE)
    made = file.read("a.example", TEN_MINUTES, 0, NOON + HOUR)
    assert [(at, points["mta1"].picks) for at, points in made] == [(NOON, 10), (NOON + TEN_MINUTES, 10)]
    # They outlive the last of their minutes: what is half forgotten would be made anew of the other half.
    for minute in range(24 * 60, 24 * 60 + 25):
        file.roll_up(NOON + minute * MINUTE)
        made = file.read("a.example", TEN_MINUTES, 0, NOON + HOUR)
        assert all(points["mta1"].picks == 10 for at, points in made if at < NOON + 2 * TEN_MINUTES)


def test_hours_that_were_over_while_the_server_was_off_are_made(file: HistoryFile) -> None:
    file.add(MINUTE, NOON, {"a.example": ONE})
    file.add(MINUTE, NOON + HOUR, {"a.example": ONE})
    file.roll_up(NOON + 5 * HOUR)
    assert [at for at, _ in file.read("a.example", HOUR, 0, NOON + 9 * HOUR)] == [NOON, NOON + HOUR]


def test_it_stays_bounded(file: HistoryFile) -> None:
    for hours in range(0, 24 * 100, 24):
        file.add(MINUTE, NOON + hours * HOUR, {"a.example": ONE})
        file.roll_up(NOON + (hours + 1) * HOUR)
    end = NOON + 24 * 100 * HOUR
    assert len(file.read("a.example", MINUTE, 0, end)) == 1
    assert len(file.read("a.example", TEN_MINUTES, 0, end)) == 1
    hours_kept = [at for at, _ in file.read("a.example", HOUR, 0, end)]
    assert len(hours_kept) == 90
    assert min(hours_kept) >= end - 24 * HOUR + HOUR - KEPT[HOUR]


def test_time_outs_are_kept_and_points_without_them_are_as_earlier_versions_wrote_them() -> None:
    points = {"mta1": Point(1, 1, 1, 0.5, 12, 12, 3), "mta2": Point(1, 1, 1, 0.5, 12, 12)}
    assert unpacked(packed(points)) == points
    assert json.loads(zlib.decompress(packed(points)))["mta2"] == [1, 1, 1, 0.5, 12, 12]
