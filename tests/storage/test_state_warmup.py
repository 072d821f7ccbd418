"""Where hosts stand in their warm-ups, in the state file."""

import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from geodns.model.warmup import WarmupStage
from geodns.storage.state_file import FILE_NAME, StateFile
from tests.storage.test_state_file import MTA1, MTA2, NOW, reopen

STAGE = WarmupStage(date(2026, 12, 1), 3, date(2026, 12, 3), True, 412.5, NOW, "wait", "ops@here")


def test_stages_survive_and_only_the_last_ones(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    store.save_warmups({MTA1: STAGE, MTA2: STAGE})
    kept = {MTA2: replace(STAGE, held=None, author="")}
    store.save_warmups(kept)
    store.close()
    store = reopen(tmp_path)
    assert store.load_warmups() == kept
    store.close()


@pytest.mark.parametrize(
    "change",
    ["start = 'soon'", "day = -1", "day = 1000", "date = 5", "dealt = -1", "dealt = 'x'", "active = 1e12"],
)
def test_a_row_that_makes_no_sense_is_left_out_alone(tmp_path: Path, change: str) -> None:
    store = reopen(tmp_path)
    store.save_warmups({MTA1: STAGE, MTA2: STAGE})
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute(f"UPDATE warmup SET {change} WHERE host = 'mta1'")
    database.close()
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "warmup mta1.out.example.com" in warning
    assert store.load_warmups() == {MTA2: STAGE}
    store.close()
