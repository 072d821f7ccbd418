"""Counts of mail on disk: one transaction a batch, kept for as long as is said, bounded."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.errors import StoreError
from geodns.model.mail import About, MailEvent, MailKey, MailKind
from geodns.storage import signal_file, signal_rows
from geodns.storage.signal_file import (
    BATCHES_KEPT,
    DAY,
    FIVE,
    HOUR,
    Five,
    SignalFile,
    Taken,
)
from geodns.storage.signal_rows import (
    MAX_ERRORS,
    SAID,
    Rejected,
    packed_counts,
    packed_delays,
    unpacked_counts,
    unpacked_delays,
)

NOW = 1_795_478_400  # 2026-11-24T00:00:00Z
HOST = ("out.example.com", "mta1")
GOOD = MailKind(MailEvent.DELIVERED, first=True)
KEY = ("192.0.2.11", "google", GOOD)
KINDS = st.builds(
    MailKind,
    st.sampled_from(MailEvent),
    st.none() | st.sampled_from(About),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
COUNTS = st.dictionaries(
    st.tuples(st.sampled_from(["", "192.0.2.11"]), st.sampled_from(["google", "small-isp"]), KINDS),
    st.integers(1, 10**15),
)
DELAYS = st.dictionaries(
    st.sampled_from(["google", "yahoo"]),
    st.dictionaries(st.integers(-46, 148), st.integers(1, 10**6), min_size=1),
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SignalFile]:
    opened, warnings = SignalFile.open(tmp_path, NOW)
    assert warnings == []
    yield opened
    opened.close()


def take(file: SignalFile, batch: str, at: int = NOW, number: int = 1, now: float = NOW) -> None:
    five = Five({KEY: number}, {"google": {20: number}})
    file.take(batch, Taken(number), {(HOST, at // FIVE * FIVE): five}, now)


def total(file: SignalFile, step: int) -> int:
    return sum(number for _, _, counts in file.counts(step, 0, 2**32) for number in counts.values())


@given(COUNTS)
def test_counts_survive_the_disk(counts: dict[MailKey, int]) -> None:
    assert unpacked_counts(packed_counts(counts)) == counts


@given(DELAYS)
def test_delays_survive_the_disk(delays: dict[str, dict[int, int]]) -> None:
    assert unpacked_delays(packed_delays(delays)) == delays


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"nonsense",
        packed_counts({KEY: 1})[:-1],
        signal_rows._pack([1]),
        signal_rows._pack({"": {"zz": {"google": 1}}}),
        signal_rows._pack({"": {"d-101": {"google": -1}}}),
        signal_rows._pack({"": {"d-101": {"google": "1"}}}),
        signal_rows._pack({"google": 7}),
    ],
)
def test_bytes_that_are_neither_are_an_error(packed: bytes) -> None:
    for read in (unpacked_counts, unpacked_delays):
        with pytest.raises(ValueError, match=r"."):
            read(packed)


def test_a_batch_is_in_every_step(file: SignalFile) -> None:
    take(file, "a", NOW, 2)
    take(file, "b", NOW + 100, 3)
    take(file, "c", NOW + FIVE, 5)
    assert [(at, counts[KEY]) for _, at, counts in file.counts(FIVE, 0, 2**32)] == [(NOW, 5), (NOW + FIVE, 5)]
    for step in (HOUR, DAY):
        assert list(file.counts(step, 0, 2**32)) == [(HOST, NOW, {KEY: 10})]
        assert list(file.delays(step, 0, 2**32)) == [(HOST, NOW, {"google": {20: 10}})]
    assert list(file.counts(HOUR, 0, 2**32, "else.example")) == []
    for hosts, number in (([HOST[1]], 1), (["other"], 0), ([], 0), (None, 1), ([HOST[1], "it's"], 1)):
        assert len(list(file.counts(HOUR, 0, 2**32, HOST[0], hosts))) == number


def test_a_batch_is_remembered_with_what_was_rejected(tmp_path: Path, file: SignalFile) -> None:
    rejected = tuple(Rejected(place, f"no host 'x{place}'") for place in range(MAX_ERRORS + 50))
    file.take("long name " * 50, Taken(7, rejected), {}, NOW)
    file.close()
    again, _ = SignalFile.open(tmp_path, NOW)
    found = again.taken("long name " * 50)
    assert found is not None
    assert (found.accepted, found.duplicate) == (7, True)
    assert [one.place for one in found.rejected] == list(range(MAX_ERRORS + 50))
    assert found.rejected[:MAX_ERRORS] == rejected[:MAX_ERRORS]
    assert {one.error for one in found.rejected[MAX_ERRORS:]} == {SAID}
    assert again.taken("long name") is None
    again.close()


@pytest.mark.parametrize("every", [1, 2, 7])
def test_a_sender_whose_signals_are_all_wrong_takes_little_room(file: SignalFile, every: int) -> None:
    """Three such batches a minute are kept for a week."""
    rejected = tuple(Rejected(place, "no host 'mta9' is served") for place in range(0, 10_000, every))
    file.take("wrong", Taken(0, rejected), {}, NOW)
    found = file.taken("wrong")
    assert found is not None
    assert found.rejected == rejected
    ((packed,),) = file._read("SELECT rejected FROM batch")
    assert len(packed) < 200


def test_what_fails_half_way_is_not_there(file: SignalFile, monkeypatch: pytest.MonkeyPatch) -> None:
    take(file, "a")

    def fails(*_: object) -> bytes:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(signal_file, "packed_delays", fails)  # the last that is written
        with pytest.raises(StoreError):
            take(file, "b", number=9)
    assert file.taken("b") is None
    assert [total(file, step) for step in (FIVE, HOUR, DAY)] == [1, 1, 1]
    take(file, "b", number=9)
    assert [total(file, step) for step in (FIVE, HOUR, DAY)] == [10, 10, 10]


def test_no_batch_is_kept_twice(file: SignalFile) -> None:
    take(file, "a")
    with pytest.raises(StoreError):
        take(file, "a")
    assert total(file, FIVE) == 1


def test_a_row_that_cannot_be_read_is_begun_anew(file: SignalFile, caplog: pytest.LogCaptureFixture) -> None:
    take(file, "a")
    file._database.execute("UPDATE counts SET packed = x'00' WHERE step = 300")
    assert (total(file, FIVE), total(file, HOUR)) == (0, 1)
    assert "counts of mta1.out.example.com are left out" in caplog.text
    take(file, "b")
    assert (total(file, FIVE), total(file, HOUR)) == (1, 2)


def test_steps_are_kept_as_long_as_is_said(file: SignalFile) -> None:
    take(file, "old")
    for age, counts, delays in (
        (13 * DAY, [1, 1, 1], [1, 1]),
        (14 * DAY + HOUR, [0, 1, 1], [0, 1]),
        (90 * DAY, [0, 1, 1], [0, 1]),
        (92 * DAY, [0, 0, 0], [0, 0]),
    ):
        file.prune(NOW + age)
        assert [total(file, step) for step in (FIVE, HOUR, DAY)] == counts
        assert [len(list(file.delays(step, 0, 2**32))) for step in (HOUR, DAY)] == delays


def test_what_came_in_long_ago_stands_in_long_steps_alone(file: SignalFile) -> None:
    take(file, "a", NOW - 20 * DAY)
    assert [total(file, step) for step in (FIVE, HOUR, DAY)] == [0, 1, 1]


def test_batches_are_forgotten_after_a_week_or_when_there_are_too_many(
    file: SignalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        take(file, f"{number}", now=NOW + number)
    file.prune(NOW + BATCHES_KEPT - 1)
    assert file.taken("0") is not None
    file.prune(NOW + BATCHES_KEPT + 1)
    assert [file.taken(f"{number}") is not None for number in range(5)] == [False, False, True, True, True]
    monkeypatch.setattr(signal_file, "MAX_BATCHES", 1)
    file.prune(NOW)
    assert [file.taken(f"{number}") is not None for number in range(5)] == [False] * 4 + [True]


def test_when_hosts_were_heard_of_is_kept(file: SignalFile) -> None:
    file.save_heard({HOST: 5.0})
    file.save_heard({HOST: NOW})
    assert file.heard() == {HOST: NOW}
    file.prune(NOW + 91 * DAY)
    assert file.heard() == {}
