"""What outlives a restart: batches, places and messages that were put off, together or not at all."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from geodns.cli.follow import follower as follower_module
from geodns.cli.follow import spool as spool_module
from geodns.cli.follow.follower import Follower
from geodns.cli.follow.log_file import LogFile
from geodns.cli.follow.signals import Sender
from geodns.cli.follow.spool import Spool, SpooledBatch
from geodns.errors import StoreError

LINE = (
    "Nov 29 16:10:53 mta1 postfix/smtp[7]: 3F1A22C0D1: to=<joe@gmail.com>, relay=mx[203.0.113.27]:25, "
    "delay=1, delays=0/0/0/1, dsn=4.7.0, status=deferred (host mx[203.0.113.27] said: 421 later)\n"
)


def opened(folder: Path) -> Spool:
    spool, warnings = Spool.open(folder / "state", 0.0)
    assert warnings == []
    return spool


def test_batches_wait_in_order_until_they_are_done(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.keep(
        [SpooledBatch("a", 1, b"A"), SpooledBatch("b", 2, b"B")], {"place": "7"}, {"M1": "{}", "M2": "{}"}
    )
    spool.keep([SpooledBatch("a", 1, b"again")], {"place": "8"}, {"M1": None, "M2": "{2}", "M3": "{}"})
    identity = spool.identity()
    spool.close()
    spool = opened(tmp_path)
    assert (spool.identity(), spool.known("place"), spool.known("other")) == (identity, "8", None)
    assert list(spool.waiting()) == [("M2", "{2}"), ("M3", "{}")]
    assert spool.oldest() == SpooledBatch("a", 1, b"A")
    spool.done("a")
    assert spool.oldest() == SpooledBatch("b", 2, b"B")
    assert (spool.count(), spool.waiting_bytes()) == (1, 1)
    spool.done("b")
    assert spool.oldest() is None
    spool.close()


def test_the_oldest_are_dropped_and_counted_where_too_much_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "MOST_BYTES", 1000)
    spool = opened(tmp_path)
    dropped = [spool.keep([SpooledBatch(str(number), 3, b"x" * 300)], {}, {}) for number in range(6)]
    assert dropped == [0, 0, 0, 3, 3, 3]
    assert spool.waiting_bytes() == 900
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.name == "3"
    spool.close()


def test_lines_are_not_passed_over_while_the_disk_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    told: list[str] = []
    follower = Follower(spool, Sender(egress="192.0.2.1"), told.append)
    (tmp_path / "log").write_text(LINE)
    real, failures = spool.keep, [StoreError("the disk is full"), StoreError("the disk is full")]

    def keep(*given: object) -> int:
        if failures:
            raise failures.pop()
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(spool, "keep", keep)
    monkeypatch.setattr(follower_module, "PAUSE", 0.0)
    followed = follower.followed(LogFile(tmp_path / "log", None, told.append))
    assert asyncio.run(followed.step(0.0)) == len(LINE)
    assert told == ["the disk is full"] * 2
    assert spool.count() == 1
    spool.close()


def test_a_place_and_its_batch_are_kept_together(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    follower = Follower(spool, Sender(egress="192.0.2.1"), pytest.fail)
    (tmp_path / "log").write_text(LINE)
    followed = follower.followed(LogFile(tmp_path / "log", None, pytest.fail))
    assert asyncio.run(followed.step(0.0)) == len(LINE)
    place = follower.opened(str(tmp_path / "log"))
    assert place is not None
    assert place.offset == len(LINE)
    spool.close()
    # A process that is killed between the two is one whose transaction is undone: another must find neither.
    database = sqlite3.connect(tmp_path / "state" / "follow.db")
    assert database.execute("SELECT count(*) FROM batches").fetchone() == (1,)
    assert database.execute("SELECT count(*) FROM waiting").fetchone() == (1,)
    assert "joe" not in "".join(map(str, database.execute("SELECT * FROM waiting").fetchall()))
    database.close()
    again = opened(tmp_path)
    follower = Follower(again, Sender(egress="192.0.2.1"), pytest.fail)
    followed = follower.followed(LogFile(tmp_path / "log", place, pytest.fail))
    assert asyncio.run(followed.step(0.0)) == 0
    with (tmp_path / "log").open("a") as file:
        file.write(LINE.replace("16:10", "16:20").replace("delay=1,", "delay=601,"))
    asyncio.run(followed.step(1.0))
    again.done(again.oldest().name)  # type: ignore[union-attr]
    second = again.oldest()
    assert second is not None
    assert b'"event": "retried"' in second.body
    again.close()


def test_a_damaged_spool_is_set_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "follow.db").write_bytes(b"no database" * 500)
    spool, warnings = Spool.open(tmp_path / "state", 0.0)
    assert "logs are read from their beginning" in warnings[0]
    spool.close()
