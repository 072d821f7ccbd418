"""Points on disk: minutes that become hours, and what is forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.storage.history_file import HOUR, KEPT, MINUTE, TEN_MINUTES, HistoryFile, Point

NOON = 1_795_435_200  # 2026-11-23T12:00:00Z
ONE = {"mta1": Point(1, 1, 1, 0.5, 12, 12)}


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
