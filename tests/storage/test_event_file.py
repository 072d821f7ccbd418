"""Events on disk: what is kept, and what goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from geodns.storage import event_file
from geodns.storage.event_file import MAX_AGE, Event, EventFile, EventFilter

NOW = 1_795_417_200.0
ALL = EventFilter()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[EventFile]:
    opened, warnings = EventFile.open(tmp_path, NOW)
    assert warnings == []
    yield opened
    opened.close()


def event(number: int, at: float = NOW, **about: str) -> Event:
    return Event(
        number,
        at,
        "state",
        about.get("zone"),
        about.get("host"),
        None,
        "ann",
        "søndag",
        "→ ”text”",
        {"before": "up", "checks": [{"detail": "→"}]},
    )


def test_events_come_back_as_they_were(file: EventFile) -> None:
    some = [event(1, zone="z"), event(5, host="h"), event(7)]
    file.append(some)
    assert file.after(0, 10, ALL) == some
    assert file.after(1, 1, ALL) == some[1:2]
    assert file.newest(2, ALL) == some[1:]
    assert file.last_id() == 7


@pytest.mark.parametrize(
    "change",
    [
        "data = '{'",
        "data = '5'",
        "data = x'00'",
        "at = 'noon'",
        "at = 1e300",
        "text = x'00'",
        "host = 5",
        "kind = 7e9",
        "text = CAST(x'ff' AS TEXT)",
    ],
)
def test_an_event_that_makes_no_sense_hides_no_other(file: EventFile, change: str) -> None:
    some = [event(1, zone="z"), event(5, host="h"), event(7)]
    file.append(some)
    file._run("NORMAL", [f"UPDATE event SET {change} WHERE id = 5"])
    seen = [one.id for one in file.after(0, 9, ALL)]
    assert seen in ([1, 7], [1, 5, 7])  # 5 becomes text in some columns, which does
    assert [one for one in file.newest(9, ALL) if one.id != 5] == [some[0], some[2]]


def test_events_that_make_no_sense_do_not_count(file: EventFile) -> None:
    """Whoever gets fewer than asked for takes them for all, and would miss those behind."""
    file.append([event(number, zone="z") for number in range(1, 10)])
    file._run("NORMAL", ["UPDATE event SET data = 'x' WHERE id IN (1, 2, 4, 6, 9)"])
    for wanted in (ALL, EventFilter(zone="z")):
        assert [one.id for one in file.after(0, 3, wanted)] == [3, 5, 7]
        assert [one.id for one in file.newest(3, wanted)] == [5, 7, 8]
        assert [one.id for one in file.after(5, 100, wanted)] == [7, 8]


def test_an_empty_file_has_no_last_id(file: EventFile) -> None:
    assert file.last_id() == 0


def test_what_is_old_or_too_much_goes(file: EventFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_file, "MAX_ROWS", 5)
    file.append([event(1, NOW - MAX_AGE - 1), *(event(number) for number in range(2, 7))])
    file.prune(NOW)
    assert [one.id for one in file.after(0, 99, ALL)] == [2, 3, 4, 5, 6]
    file.append([event(7), event(8)])
    file.prune(NOW)
    assert [one.id for one in file.after(0, 99, ALL)] == [4, 5, 6, 7, 8]
