"""Who runs domains' mail, in the state file."""

import sqlite3
from pathlib import Path

import pytest

from geodns.model.providers import LookedUp
from geodns.storage.state_file import FILE_NAME, StateFile
from tests.storage.test_state_file import NOW, reopen

GOOGLE = LookedUp("google", NOW, NOW + 300)
NOBODY = LookedUp("", NOW - 10, NOW + 290.5)


def test_what_was_looked_up_survives_the_newest_last(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    store.save_providers({"a.example": GOOGLE, "b.example": NOBODY, "c.example": NOBODY}, ())
    store.save_providers({"c.example": GOOGLE}, {"b.example", "x.example"})
    store.save_providers({"d.example": NOBODY}, ())
    store.close()
    store = reopen(tmp_path)
    known = {"d.example": NOBODY, "a.example": GOOGLE, "c.example": GOOGLE}
    assert list(store.load_providers().items()) == list(known.items())
    store.close()


@pytest.mark.parametrize(
    "change", ["provider = 'nobody-knows'", "provider = 5", "confirmed = 'x'", "fresh = 1e12", "fresh = -1"]
)
def test_a_row_that_makes_no_sense_is_left_out_alone(tmp_path: Path, change: str) -> None:
    store = reopen(tmp_path)
    store.save_providers({"a.example": GOOGLE, "b.example": NOBODY}, ())
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute(f"UPDATE provider SET {change} WHERE domain = 'a.example'")
    database.close()
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "provider a.example" in warning
    assert store.load_providers() == {"b.example": NOBODY}
    store.close()
