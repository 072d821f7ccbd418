"""Orders with their versions in the state file, beside the overrides that earlier versions read."""

import sqlite3
from pathlib import Path

import pytest

from geodns.errors import StoreError
from geodns.model.shared import OrderVersion, SharedOrder
from geodns.model.state import Forced, ForcedState, ForcedWeight
from geodns.storage.state_file import FILE_NAME, StateFile
from geodns.storage.state_rows import StoredOrder
from tests.storage.test_state_file import MTA1, MTA2, NOW, reopen

DRAINED = ForcedState(Forced.DRAINED, "disk", "ann", NOW)
WEIGHT = ForcedWeight(5, "slow", "ann", NOW)


def order(kind: str = "state", host: str = "mta1", *, ends: bool = False, over: bool = False) -> StoredOrder:
    version = OrderVersion(counter=3, id="0123456789abcdef" * 2)
    content = None if ends else {"forced": "drained", "later": [1, None]}
    made = SharedOrder(
        zone=MTA1[0],
        host=host,
        kind=kind,
        version=version,
        node="ns1",
        at=NOW,
        content=content,
        more={"by": "é"},
    )
    return StoredOrder(made, over)


def kept(*orders: StoredOrder) -> dict[tuple[str, str, str], StoredOrder]:
    return {one.order.key: one for one in orders}


def test_orders_are_kept_with_what_they_impose_and_with_its_end(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    store.save_forced(MTA1, DRAINED, order())
    store.save_forced_weight(MTA1, WEIGHT, order("weight"))
    store.save_order(order("color"))
    store.close()
    store = reopen(tmp_path)
    assert store.load_orders() == kept(order(), order("weight"), order("color"))
    store.clear_forced(MTA1, order(ends=True))
    store.clear_forced_weight(MTA1, order("weight", over=True))
    store.forget_orders([order("color").order.key])
    store.close()
    store = reopen(tmp_path)
    assert store.load_orders() == kept(order(ends=True), order("weight", over=True))
    assert (store.load_forced(), store.load_forced_weights()) == ({}, {})
    store.close()


def test_an_earlier_version_reads_what_is_forced_and_takes_the_orders_along(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    store.save_forced(MTA1, DRAINED, order())
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        query = "SELECT zone, host, forced, reason, author, since, until FROM forced"
        assert database.execute(query).fetchall() == [(*MTA1, "drained", "disk", "ann", NOW, None)]
        database.execute("PRAGMA user_version = 0")
    database.close()
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "was set aside" in warning
    assert store.load_orders() == kept(order())
    store.close()


@pytest.mark.parametrize(
    "change",
    [
        "counter = -1",
        "counter = 'x'",
        "id = 'short'",
        "id = id || 'f'",
        "at = 1e12",
        "content = '{'",
        "content = '[1]'",
        "more = 'null'",
        "node = x'ff'",
        "host = 'mta' || char(10)",
    ],
)
def test_a_row_that_makes_no_sense_is_left_out_alone(tmp_path: Path, change: str) -> None:
    store = reopen(tmp_path)
    store.save_order(order())
    store.save_forced(MTA2, DRAINED, order(host="mta2"))
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute(f"UPDATE shared_order SET {change} WHERE host = 'mta1'")
    database.close()
    store, (warning,) = StateFile.open(tmp_path, NOW)
    assert "shared_order state.mta" in warning
    assert store.load_orders() == kept(order(host="mta2"))
    assert store.load_forced() == {MTA2: DRAINED}
    store.close()


def test_an_end_by_an_earlier_version_is_told_from_a_row_that_is_lost(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    for host in (MTA1, MTA2):
        store.save_forced(host, DRAINED, order(host=host[1]))
        store.save_forced_weight(host, WEIGHT, order("weight", host[1]))
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:  # as earlier versions do
        for table in ("forced", "forced_weight"):
            database.execute(f"DELETE FROM {table} WHERE host = 'mta1'")
        columns = "zone, host, forced, reason, author, since"
        query = f"INSERT OR REPLACE INTO forced ({columns}) VALUES (?, ?, ?, ?, ?, ?)"
        database.execute(query, (*MTA2, "up", "", "", NOW))
    database.close()
    store = reopen(tmp_path)
    gone = {key for key, one in store.load_orders().items() if one.gone}
    assert gone == {(*MTA1, "state"), (*MTA1, "weight")}
    store.clear_forced(MTA2, order(host="mta2", ends=True))
    assert not store.load_orders()[(*MTA2, "state")].gone
    store.close()


def test_what_is_written_together_is_kept_at_once_or_not_at_all(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    with store.together():
        store.save_forced(MTA1, DRAINED, order())
        store.save_forced(MTA2, DRAINED)

    def fail() -> None:
        with store.together():
            store.clear_forced(MTA1)
            store.save_forced(MTA2, ForcedState(Forced.DRAINED, "\ud800", "ann", NOW))

    with pytest.raises(StoreError, match="text that is no Unicode"):
        fail()
    store.clear_forced(MTA2)
    store.close()
    store = reopen(tmp_path)
    assert (store.load_forced(), store.load_orders()) == ({MTA1: DRAINED}, kept(order()))
    store.close()
