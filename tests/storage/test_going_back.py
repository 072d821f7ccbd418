"""Files of other formats: what an older version does with a newer one's, and how it gets its own back."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from geodns.errors import StoreError
from geodns.model.state import Forced, ForcedState, ForcedWeight, HealthState, StoredZone, Verdict
from geodns.storage import going_back, replacing
from geodns.storage.database import Database
from geodns.storage.event_file import Event, EventFile, EventFilter
from geodns.storage.formats import FORMATS
from geodns.storage.going_back import check_way_back, give_back
from geodns.storage.history_file import HistoryFile
from geodns.storage.signal_file import SignalFile
from geodns.storage.sqlite_errors import NewerFormatError
from geodns.storage.state_file import StateFile

NOW = 1_795_417_200.0
MTA1, MTA2, MTA3 = (("out.example.com", name) for name in ("mta1", "mta2", "mta3"))
DRAINED = ForcedState(Forced.DRAINED, "disk", "ann", NOW, None)
HELD = ForcedState(Forced.QUARANTINED, "rbl", "bot", NOW, None, 80.0)
WEIGHT = ForcedWeight(5, "slow", "ann", NOW, None, "[50, {}]")
ZONE = "out.example.com"


class NewerState(StateFile):
    """A state file of the format after today's, with a table that today's does not have as it is."""

    VERSION = 2
    SCHEMA = StateFile.SCHEMA.replace(
        "CREATE TABLE verdict (target", "CREATE TABLE colour (name TEXT);CREATE TABLE verdict (target"
    )


class NewerEvents(EventFile):
    VERSION = 2


def _digests(folder: Path) -> dict[str, str]:
    return {
        one.name: hashlib.sha256(one.read_bytes()).hexdigest()
        for one in folder.iterdir()
        if not one.name.endswith("-shm")
    }


def _format(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        ((number,),) = database.execute("PRAGMA user_version")
    return int(number)


def _with_state(folder: Path) -> None:
    store, _ = StateFile.open(folder, NOW)
    store.save_forced(MTA1, DRAINED)
    store.save_forced(MTA2, HELD)
    store.save_zone(ZONE, StoredZone("d", 2026112301, "{}", NOW))
    store.save_verdicts({"smtp 192.0.2.1": Verdict(HealthState.DOWN, 0, 0)}, NOW)
    store.close()


def _newer(folder: Path) -> None:
    """Have the next version take the files over, and orders be given to it."""
    store, (warning,) = NewerState.open(folder, NOW)
    assert "has format 1, and this version of geodns writes 2" in warning
    assert "kept as geodns.db.before-format-2" in warning
    assert store.load_forced() == {MTA1: DRAINED, MTA2: HELD}
    store.clear_forced(MTA1)
    store.save_forced(MTA3, DRAINED)
    store.save_forced_weight(MTA1, WEIGHT)
    store.save_zone(ZONE, StoredZone("e", 2026112309, "{}", NOW))
    store.close()


@pytest.mark.parametrize("kind", [StateFile, EventFile, HistoryFile, SignalFile])
def test_a_file_of_a_newer_format_is_neither_set_aside_nor_changed(
    tmp_path: Path, kind: type[Database]
) -> None:
    kind.open(tmp_path, NOW)[0].close()
    path = tmp_path / kind.FILE_NAME
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 5")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = _digests(tmp_path)
    says = f"{path} was written by a newer geodns (format 5), and this one knows format 1"
    if kind.TAKEN:
        opened, _ = kind.open(tmp_path, NOW)
        assert says in str(opened.offline)
        with pytest.raises(NewerFormatError):
            opened.reopen()
        opened.close()
    else:
        with pytest.raises(NewerFormatError, match="newer geodns"):
            kind.open(tmp_path, NOW)
    assert _digests(tmp_path) == before


def test_an_older_version_goes_by_the_orders_of_a_newer_file(tmp_path: Path) -> None:
    _with_state(tmp_path)
    _newer(tmp_path)
    store, _ = StateFile.open(tmp_path, NOW)
    assert store.load_forced() == {MTA2: HELD, MTA3: DRAINED}
    assert store.load_forced_weights() == {MTA1: WEIGHT}
    with pytest.raises(StoreError, match="newer geodns"):
        store.save_forced(MTA1, DRAINED)
    store.close()


def test_going_back_gives_the_file_of_before_with_the_orders_since(tmp_path: Path) -> None:
    _with_state(tmp_path)
    _newer(tmp_path)
    check_way_back(tmp_path, FORMATS)
    assert give_back(tmp_path, FORMATS) == ("geodns.db",)
    store, warnings = StateFile.open(tmp_path, NOW)
    assert (store.offline, warnings) == (None, [])
    assert store.load_forced() == {MTA2: HELD, MTA3: DRAINED}
    assert store.load_forced_weights() == {MTA1: WEIGHT}
    assert store.load_serials() == {ZONE: 2026112309}
    assert store.load_zones()[ZONE].digest == "d"
    assert set(store.load_verdicts(60, NOW)) == {"smtp 192.0.2.1"}
    store.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["geodns.db", "geodns.db.format-2"]
    assert give_back(tmp_path, FORMATS) == ()
    _newer_again(tmp_path)


def _newer_again(folder: Path) -> None:
    store, _ = NewerState.open(folder, NOW)
    assert store.load_forced() == {MTA2: HELD, MTA3: DRAINED}
    store.close()
    assert [one.name for one in folder.glob("*.before-format-*")] == ["geodns.db.before-format-2"]


def test_going_back_gives_events_back_without_those_since(tmp_path: Path) -> None:
    def event(number: int) -> Event:
        return Event(number, NOW, "server", None, None, None, None, None, "x")

    opened, _ = EventFile.open(tmp_path, NOW)
    opened.append([event(1)])
    opened.close()
    newer, (warning,) = NewerEvents.open(tmp_path, NOW)
    assert "kept as events.db.before-format-2" in warning
    newer.append([event(2)])
    newer.close()
    assert give_back(tmp_path, FORMATS) == ("events.db",)
    opened, _ = EventFile.open(tmp_path, NOW)
    assert [one.id for one in opened.newest(9, EventFilter())] == [1]
    opened.close()
    assert _format(tmp_path / "events.db.format-2") == 2


def test_the_formats_are_those_of_the_files() -> None:
    kinds: tuple[type[Database], ...] = (StateFile, EventFile, HistoryFile, SignalFile)
    assert {kind.FILE_NAME: kind.VERSION for kind in kinds} == FORMATS


def _no_copy(folder: Path) -> None:
    (folder / "geodns.db.before-format-2").unlink()


def _other_copy(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "geodns.db.before-format-2")) as database:
        database.execute("PRAGMA user_version = 7")


def _no_database(folder: Path) -> None:
    (folder / "geodns.db").write_bytes(b"x" * 4096)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_no_copy, "has format 2, the earlier version knows 1, and there is no geodns.db.before-format-2"),
        (_other_copy, "geodns.db.before-format-2 has format 7, and the earlier version knows 1"),
        (_no_database, "geodns.db cannot be read"),
    ],
)
def test_where_there_is_no_way_back_it_says_why_and_changes_nothing(
    tmp_path: Path, spoil: Any, why: str
) -> None:
    _with_state(tmp_path)
    _newer(tmp_path)
    spoil(tmp_path)
    before = _digests(tmp_path)
    for go in (check_way_back, give_back):
        with pytest.raises(StoreError, match=why):
            go(tmp_path, FORMATS)
    assert _digests(tmp_path) == before


def test_orders_that_the_earlier_version_cannot_hold_keep_it_away(tmp_path: Path) -> None:
    _with_state(tmp_path)
    _newer(tmp_path)
    with closing(sqlite3.connect(tmp_path / "geodns.db")) as database, database:
        database.execute("CREATE TABLE other AS SELECT * FROM forced")
        database.execute("UPDATE other SET author = NULL")
        database.execute("DROP TABLE forced")
        database.execute("ALTER TABLE other RENAME TO forced")
    with pytest.raises(StoreError, match="of its forced rows the earlier version can take 0"):
        give_back(tmp_path, FORMATS)
    store, _ = NewerState.open(tmp_path, NOW)
    assert not list(tmp_path.glob("*.new*"))
    store.close()


def test_who_is_killed_on_the_way_back_may_go_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    def move_and_die(*names: Path) -> None:
        kill(replacing.move_aside(*names))

    _with_state(tmp_path)
    _newer(tmp_path)
    for death in (kill, move_and_die):
        with monkeypatch.context() as patch:
            patch.setattr(going_back, "move_aside", death)
            with pytest.raises(Killed):
                give_back(tmp_path, FORMATS)
    give_back(tmp_path, FORMATS)
    store, _ = StateFile.open(tmp_path, NOW)
    assert store.offline is None
    assert store.load_forced() == {MTA2: HELD, MTA3: DRAINED}
    store.close()


def test_a_server_that_runs_is_read_without_a_change(tmp_path: Path) -> None:
    running, _ = StateFile.open(tmp_path, NOW)
    running.save_forced(MTA1, DRAINED)  # in the log beside the file alone
    before = _digests(tmp_path)
    copy = StateFile.copy_of(tmp_path)
    assert copy.load_forced() == {MTA1: DRAINED}
    running.save_forced(MTA2, HELD)
    between = _digests(tmp_path)
    copy.reopen()
    copy.save_forced(MTA3, DRAINED)  # of no account
    copy.close()
    assert _digests(tmp_path) == between != before
    assert running.load_forced() == {MTA1: DRAINED, MTA2: HELD}
    running.close()


def test_a_copy_is_of_what_is_there(tmp_path: Path) -> None:
    assert StateFile.copy_of(tmp_path).load_forced() == {}
    assert list(tmp_path.iterdir()) == []
    _with_state(tmp_path)
    assert set(StateFile.copy_of(tmp_path).load_forced()) == {MTA1, MTA2}
    assert [one.name for one in tmp_path.iterdir()] == ["geodns.db"]
    _newer(tmp_path)
    with pytest.raises(NewerFormatError):
        StateFile.copy_of(tmp_path)
    assert set(StateFile.copy_of(tmp_path, newer=True).load_forced()) == {MTA2, MTA3}
    (tmp_path / "geodns.db").write_bytes(b"x" * 4096)
    with pytest.raises(StoreError, match="cannot be read"):
        StateFile.copy_of(tmp_path)
