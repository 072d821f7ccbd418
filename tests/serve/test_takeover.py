"""What a program knows of itself, for whoever is to go back to it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from geodns.serve.handover import AskedSockets, Handover, Program
from geodns.serve.takeover import this_program
from geodns.serve.upgrade import replace_program


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    for version in ("1", "2"):
        program = tmp_path / version / "bin/geodns"
        program.parent.mkdir(parents=True)
        program.touch(0o755)
    (tmp_path / "current").symlink_to("1")
    return tmp_path


def test_a_link_that_moves_on_is_no_way_back(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(installed / "current/bin/geodns"), "serve", "--workers", "2"])
    program = this_program("1.0")
    (installed / "current").unlink()
    (installed / "current").symlink_to("2")
    assert program.path == str(installed / "current/bin/geodns"), "the next upgrade may mean the link"
    assert program.as_started().path == str(installed / "1/bin/geodns")
    assert program.args == ("--workers", "2")


def test_a_module_is_started_again_by_the_program_beside_its_python(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installed / "current/bin/python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "argv", [str(installed / "gone/__main__.py"), "serve"])
    monkeypatch.setattr(sys, "executable", str(installed / "current/bin/python"))
    assert this_program("1.0").as_started().path == str(installed / "1/bin/geodns")


def test_a_signal_that_nobody_has_looked_at_yet_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[set[signal.Signals]] = []

    def execve(*_: object) -> None:
        waits.append(set(signal.sigpending()))
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(os, "execve", execve)
    came: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, _: came.append(number))
    try:
        program = Program("1", str(tmp_path / "geodns"))
        given = Handover(program, AskedSockets((), ("127.0.0.1", 0), (), 1), (), (), (), os.dup(2))
        assert replace_program(program, given, {}, lambda: bytes([signal.SIGUSR2])) == "gone"
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert waits == [{signal.SIGUSR2}], "the next program gets it"
    assert came == [signal.SIGUSR2], "where there is none, this one does"
