"""Which file killed its reader, as the next process finds it."""

import json
import os
import threading
from pathlib import Path

import pytest

from geodns.storage.reading_log import MAX_BYTES, MOST_DEATHS, ReadingLog


@pytest.fixture
def zone(tmp_path: Path) -> Path:
    path = tmp_path / "a.example.yaml"
    path.write_text("hosts: {}")
    return path


def log(tmp_path: Path) -> ReadingLog:
    """A process that starts; whatever was before it has died."""
    return ReadingLog(tmp_path / "reading")


def test_a_file_that_killed_two_is_not_read_until_it_changes(tmp_path: Path, zone: Path) -> None:
    for _ in range(MOST_DEATHS):
        assert log(tmp_path).begin(zone)
    for _ in range(3):
        assert not log(tmp_path).begin(zone)
    one = log(tmp_path)
    assert one.begin(tmp_path / "b.example.yaml"), "others are read"
    os.utime(zone, ns=(1, 1))
    assert one.begin(zone)
    one.end()
    assert log(tmp_path).begin(zone)


def test_one_that_reads_well_and_then_kills_is_set_aside(tmp_path: Path, zone: Path) -> None:
    for _ in range(2):
        one = log(tmp_path)
        assert one.begin(zone), "it is read"
        one.end()
        assert one.begin(zone), "and killed by what comes then"
    assert not log(tmp_path).begin(zone)


def test_one_that_is_served_begins_anew(tmp_path: Path, zone: Path) -> None:
    for _ in range(3):
        one = log(tmp_path)
        assert one.begin(zone)
        one.end()
        one.survived([zone])
    log(tmp_path).begin(zone)
    one = log(tmp_path)
    assert one.is_suspected(zone)
    assert one.begin(zone)
    one.end()
    one.survived([zone])
    log(tmp_path).begin(zone)
    assert log(tmp_path).begin(zone)


def test_another_edit_that_kills_is_counted_by_itself(tmp_path: Path, zone: Path) -> None:
    log(tmp_path).begin(zone)
    zone.write_text("hosts: {mta1: 192.0.2.1}")
    log(tmp_path).begin(zone)
    assert log(tmp_path).begin(zone)
    assert not log(tmp_path).begin(zone)


def test_of_a_file_that_another_asks_for_it_dies_alone(tmp_path: Path, zone: Path) -> None:
    hosts = tmp_path / "hosts.yaml"
    hosts.touch()
    for _ in range(MOST_DEATHS):
        one = log(tmp_path)
        assert one.begin(zone)
        assert one.begin(hosts)
    one = log(tmp_path)
    assert one.begin(zone)
    assert not one.begin(hosts)
    one.end()
    assert not log(tmp_path).is_suspected(zone)


def test_what_two_threads_read_is_apart(tmp_path: Path, zone: Path) -> None:
    other = tmp_path / "b.example.yaml"
    other.touch()
    one = log(tmp_path)
    assert one.begin(zone)

    def read_twice() -> None:
        one.begin(other)
        one.end()
        one.begin(other)

    thread = threading.Thread(target=read_twice)
    thread.start()
    thread.join()
    one.end()
    after = log(tmp_path)
    assert (after.is_suspected(zone), after.is_suspected(other)) == (False, True)


def test_whoever_ends_in_order_is_not_killed(tmp_path: Path, zone: Path) -> None:
    for _ in range(4):
        one = log(tmp_path)
        assert one.begin(zone)
        one.close()


def test_whoever_ends_because_of_it_is(tmp_path: Path, zone: Path) -> None:
    for _ in range(MOST_DEATHS):
        one = log(tmp_path)
        assert one.begin(zone)
        one.died()
        one.close()
    assert not log(tmp_path).begin(zone)


def test_a_file_that_is_gone_is_nobodys_death(tmp_path: Path) -> None:
    for _ in range(4):
        assert log(tmp_path).begin(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "5",
        "[]",
        '{"deaths": 5, "reading": null}',
        '{"deaths": {}, "reading": 7}',
        '{"deaths": {}, "reading": ["a.example.yaml", [1, 2, 3, 4]]}',
        "[" * 10_000,
        json.dumps({"deaths": {"a": [[1], "many"]}, "reading": None}),
    ],
)
def test_what_makes_no_sense_counts_as_nothing(tmp_path: Path, zone: Path, text: str) -> None:
    (tmp_path / "reading").write_text(text)
    assert log(tmp_path).begin(zone)
    assert (tmp_path / "reading").stat().st_size < MAX_BYTES


def test_where_it_cannot_be_written_everything_is_read(tmp_path: Path, zone: Path) -> None:
    for _ in range(4):
        one = ReadingLog(tmp_path / "nowhere" / "reading")
        assert one.begin(zone)
    one.end()
    one.died()
    one.close()
