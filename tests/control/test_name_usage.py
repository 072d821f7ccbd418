"""Names that were queried: bounded, and known after a restart."""

import pytest

from geodns.control import name_usage
from geodns.control.edit_guard import USED_FOR
from geodns.control.name_usage import NameUsage
from geodns.wire.names import name_to_wire


def names(*texts: str) -> list[bytes]:
    return [name_to_wire(text) for text in texts]


def test_the_last_time_counts_and_survives() -> None:
    one = NameUsage()
    one.add(names("a.example.", "b.example."), 100.0)
    one.add(names("a.example."), 200.0)
    assert one.names == {"a.example.": 200.0, "b.example.": 100.0}
    again = NameUsage(one.note(300.0))
    assert again.names == one.names
    assert NameUsage(one.note(150.0 + USED_FOR)).names == {"a.example.": 200.0}


@pytest.mark.parametrize("noted", [None, "", "nonsense", "[]", '{"a.": "x"}', "7"])
def test_notes_of_another_version_are_nothing(noted: str | None) -> None:
    assert NameUsage(noted).names == {}


def test_memory_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(name_usage, "MAX_NAMES", 2)
    monkeypatch.setattr(name_usage, "MAX_NOTED", 1)
    one = NameUsage()
    for at, name in enumerate(("a.", "b.", "a.", "c.")):
        one.add(names(name), float(at))
    assert one.names == {"a.": 2.0, "c.": 3.0}
    assert NameUsage(one.note(4.0)).names == {"c.": 3.0}
