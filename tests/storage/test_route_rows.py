"""What routes answered, as bytes and on disk: sums of five minutes and hours, and when rules matched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.storage.history_file import HistoryFile
from geodns.storage.route_rows import (
    FIVE,
    HOUR,
    NO_SUMS,
    ROUTES_KEPT,
    RouteSums,
    RuleTimes,
    packed_sums,
    summed,
    unpacked_sums,
)

NOON = 1_795_435_200  # 2026-11-23T12:00:00Z
ZONE = "out.example.com"
COUNTS = st.integers(0, 1000)
SUMS = st.builds(
    RouteSums,
    st.dictionaries(
        st.tuples(st.sampled_from(["", "d1", "d2"]), st.sampled_from(["name", "local"]), st.just("policy")),
        COUNTS,
    ),
    st.dictionaries(st.tuples(st.sampled_from(["mta1", "mta2"]), st.sampled_from(["", "google"])), COUNTS),
)


@given(SUMS)
def test_sums_survive_the_disk(sums: RouteSums) -> None:
    assert unpacked_sums(packed_sums(sums)) == sums


@given(st.lists(SUMS, max_size=4))
def test_sums_add_up_in_any_order(some: list[RouteSums]) -> None:
    assert summed(*some) == summed(*reversed(some))
    total = sum(number for one in some for number in one.answers.values())
    assert sum(summed(*some).answers.values()) == total


@pytest.mark.parametrize("data", [b"", b"nonsense", packed_sums(NO_SUMS)[:-1]])
def test_bytes_that_are_no_sums_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no sums of routes"):
        unpacked_sums(data)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[HistoryFile]:
    opened, warnings = HistoryFile.open(tmp_path, NOON)
    assert warnings == []
    yield opened
    opened.close()


def answered(number: int) -> RouteSums:
    return RouteSums({("d1", "name", "policy"): number}, {("mta1", "google"): 1})


def test_every_answer_stands_in_five_minutes_and_in_its_hour(file: HistoryFile) -> None:
    file.add_routes(NOON, {ZONE: answered(1)}, NOON)
    file.add_routes(NOON, {ZONE: answered(2)}, NOON)
    file.add_routes(NOON + FIVE, {ZONE: answered(4)}, NOON + FIVE)
    assert file.routes(ZONE, FIVE, NOON, NOON + HOUR) == [
        (NOON, summed(answered(1), answered(2))),
        (NOON + FIVE, answered(4)),
    ]
    assert file.routes(ZONE, HOUR, NOON, NOON + HOUR) == [
        (NOON, summed(answered(1), answered(2), answered(4)))
    ]
    assert file.route_zones(FIVE, NOON) == [ZONE]
    assert file.routes("other.example.com", HOUR, NOON, NOON + HOUR) == []


def test_what_is_old_is_dropped(file: HistoryFile) -> None:
    file.add_routes(NOON, {ZONE: answered(1)}, NOON)
    later = NOON + ROUTES_KEPT[FIVE] + HOUR
    file.add_routes(later, {}, later)
    assert file.routes(ZONE, FIVE, 0, later) == []
    assert file.routes(ZONE, HOUR, 0, later) == [(NOON, answered(1))]
    later = NOON + ROUTES_KEPT[HOUR] + HOUR
    file.add_routes(later, {}, later)
    assert file.routes(ZONE, HOUR, 0, later) == []


def test_times_of_rules_are_kept_until_they_are_gone(file: HistoryFile) -> None:
    one, other = (ZONE, "d1"), (ZONE, "d2")
    file.keep_route_rules({one: RuleTimes(NOON), other: RuleTimes(NOON)})
    file.keep_route_rules({one: RuleTimes(NOON, NOON + 5)}, [other])
    assert file.route_rules() == {one: RuleTimes(NOON, NOON + 5)}
