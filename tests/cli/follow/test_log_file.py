"""A log file that is read once, whatever happens to its name and its length."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.cli.follow import log_file
from geodns.cli.follow.log_file import LogFile, Place


class Reading:
    """A log, with a clock of its own, and restarts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "mail.log"
        self.told: list[str] = []
        self.now = 0.0
        self.place: Place | None = None
        self.log = LogFile(self.path, None, self.told.append)

    def write(self, text: str, name: str = "mail.log") -> None:
        with (self.path.parent / name).open("a") as file:
            file.write(text)

    def restart(self) -> None:
        self.log.close()
        self.log = LogFile(self.path, self.place, self.told.append)

    def read(self, seconds: float = 0.0) -> str:
        """What comes up to now, and within some seconds."""
        found = b""
        end = self.now + seconds
        while True:
            piece = self.log.read(self.now)
            if piece is not None:
                assert piece.start.offset + len(piece.data) == piece.end.offset
                self.place = piece.end
                found += piece.data
            elif self.now >= end:
                return found.decode()
            else:
                self.now += 0.5


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    return Reading(tmp_path)


def test_whole_lines_are_read_once(reading: Reading) -> None:
    assert reading.read() == ""
    assert not reading.log.readable
    reading.write("one\ntwo\nth")
    assert reading.read() == "one\ntwo\n"
    assert reading.log.readable
    assert reading.read(60) == ""
    reading.write("ree\n")
    reading.restart()
    assert reading.read() == "three\n"
    assert reading.told == [f"{reading.path} is not there; waiting for it"]


def test_a_renamed_file_is_read_to_its_end_while_its_writer_has_it_open(reading: Reading) -> None:
    reading.write("one\n")
    assert reading.read() == "one\n"
    reading.path.rename(reading.path.with_name("mail.log.1"))
    assert reading.read(60) == ""  # nothing took its name yet
    reading.write("late\n", "mail.log.1")
    reading.write("two\n")
    assert reading.read(1) == "late\n"
    reading.write("later", "mail.log.1")
    assert reading.read(log_file.QUIET + 1) == "latertwo\n"  # what has no end of line is complete by then
    assert reading.place == Place(1, b"two\n", reading.path.stat().st_ino, 4)


@pytest.mark.parametrize("down", [False, True])
def test_a_file_that_is_cut_off_is_read_on_in_its_copy(reading: Reading, *, down: bool) -> None:
    reading.write("one\ntwo\n")
    assert reading.read() == "one\ntwo\n"
    reading.write("three\n")
    shutil.copy(reading.path, reading.path.with_name("mail.log.1"))
    os.truncate(reading.path, 0)
    if down:
        reading.restart()
    reading.write("four\n")
    assert reading.read(log_file.QUIET + 1) == "three\nfour\n"
    assert reading.told == []


def test_a_file_that_is_cut_off_and_longer_again_is_noticed(reading: Reading) -> None:
    reading.write("one\n")
    assert reading.read() == "one\n"
    os.truncate(reading.path, 0)
    reading.write("two\nthree\nfour\n")
    assert reading.read(1) == "two\nthree\nfour\n"
    assert reading.told == [f"{reading.path} was cut off at byte 4 or before, and there is no copy of it"]


def test_what_was_rotated_twice_while_nobody_read_is_read_in_order(reading: Reading) -> None:
    reading.write("one\n")
    assert reading.read() == "one\n"
    reading.write("two\n")
    for text in ("three\n", "four\n"):
        for number in (1, 0):
            old = reading.path.with_name(f"mail.log.{number}") if number else reading.path
            if old.exists():
                old.rename(reading.path.with_name(f"mail.log.{number + 1}"))
        reading.write(text)
    reading.restart()
    assert reading.read(2 * log_file.QUIET + 2) == "two\nthree\nfour\n"


@pytest.mark.parametrize(
    "names",
    [
        ("mail.log.10", "mail.log.9", "mail.log.1", "mail.log.0"),
        ("mail.log-20261127", "mail.log-20261128", "mail.log-20261201"),
        ("mail.log.20261128-000001", "mail.log.20261128-120000", "mail.log.20261129-000000"),
    ],
)
def test_old_files_are_read_in_the_order_of_their_names(reading: Reading, names: tuple[str, ...]) -> None:
    reading.write("first\n")
    assert reading.read() == "first\n"
    reading.path.rename(reading.path.with_name(names[0]))
    for name in reversed(names[1:]):  # whatever the times of their last lines
        reading.write(f"{name}\n", name)
    reading.write("x\n", "mail.log.bak")
    reading.write("last\n")
    reading.restart()
    found = reading.read(len(names) * (log_file.QUIET + 1))
    assert found.splitlines() == [*names[1:], "last"]


def test_what_cannot_be_found_again_is_told(reading: Reading) -> None:
    reading.write("one\n")
    assert reading.read() == "one\n"
    reading.path.unlink()
    reading.write("gz", "mail.log.1.gz")
    reading.write("two\n")
    reading.restart()
    assert reading.read() == "two\n"
    assert reading.told == [f"{reading.path}: what was read up to byte 4 is gone: lines may be missing"]


def test_names_of_batches_are_never_used_again(reading: Reading) -> None:
    """The same bytes at the same offset in another file are other lines."""
    seen = set()
    for _ in range(5):
        reading.write("one\n")
        piece = reading.log.read(reading.now)
        assert piece is not None
        seen.add((piece.start.number, piece.start.offset, piece.end.offset))
        os.truncate(reading.path, 0)
        assert reading.read() == ""
    assert len(seen) == 5


def test_endless_lines_are_passed_over(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "CHUNK", 1000)
    reading.write("x" * 2500 + "\none\n")
    assert reading.read().endswith("\none\n")


def rotated(reading: Reading, *, copy: bool) -> None:
    for number in range(40, 0, -1):
        old = reading.path.with_name(f"mail.log.{number}")
        if old.exists():
            old.rename(reading.path.with_name(f"mail.log.{number + 1}"))
    if copy:
        shutil.copy(reading.path, reading.path.with_name("mail.log.1"))
        os.truncate(reading.path, 0)
    else:
        reading.path.rename(reading.path.with_name("mail.log.1"))
        reading.path.touch()


STEPS = ("write", "torn", "late", "read", "wait", "rename", "copy", "restart")


@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_whatever_happens_each_line_comes_once(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        reading = Reading(Path(name))
        written = found = ""

        def write(text: str, file: str = "mail.log") -> None:
            nonlocal written
            reading.write(text, file)
            written += text

        write("line 0\n")
        found += reading.read()  # a first start begins with the file that is there
        renamed = False  # whether the last file was renamed a moment ago, and its writer may have it open
        for number, step in enumerate(steps, 1):
            match step:
                case "write":
                    write(f"line {number}\n")
                case "torn":
                    write(f"line {number} is ")
                    found += reading.read()
                    write("torn\n")
                case "late" if renamed:
                    write(f"line {number} is late\n", "mail.log.1")
                case "read":
                    found += reading.read()
                case "wait":
                    found += reading.read(log_file.QUIET + 1)
                case "rename" | "copy":
                    rotated(reading, copy=step == "copy")
                case "restart":
                    reading.restart()
            renamed = step == "rename" or (renamed and step in {"late", "read"})
        write("the end\n")
        found += reading.read(60 * (log_file.QUIET + 1))
        reading.log.close()
        assert sorted(found.splitlines()) == sorted(written.splitlines())
        assert [told for told in reading.told if "waiting for it" not in told] == []
