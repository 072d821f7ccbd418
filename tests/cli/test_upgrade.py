"""`geodns upgrade` against a socket that says what a server would, and where there is none."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from geodns.cli import main as cli
from geodns.cli import upgrade as command
from geodns.storage.lock import lock_state
from tests.unprivileged import unprivileged

DONE = {"done": {"version": "1.3", "before": "1.2", "seconds": 1.44}}
STEPS = [{"step": one} for one in ("rehearsal", "handover", "new control", "new workers")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GEODNS_STATE", "GEODNS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "venv/bin/geodns"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    return tmp_path


class _Server:
    """A server's socket: keeps what is asked, answers with lines, and closes."""

    def __init__(self, state: Path, answers: Sequence[object], *, ends: bool = True) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.asked: list[Any] = []
        self._answers = answers
        self._ends = ends
        self._over = threading.Event()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(state, os.O_PATH | os.O_DIRECTORY)
        self._listening.bind(f"/proc/self/fd/{folder}/upgrade.sock")
        os.close(folder)
        self._listening.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listening.accept()
            with connection:
                self.asked.append(json.loads(connection.makefile("rb").readline()))
                for one in self._answers:
                    text = one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n"
                    connection.sendall(text)
                if not self._ends:
                    self._over.wait(10)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["upgrade", *arguments])
    return int(end.value.code or 0)


def test_it_prints_the_steps_and_how_it_ended(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"said": "geodns: a\x1b[0m warning"}
    with _Server(here / "state", [STEPS[0], said, *STEPS[1:], {"later": "version"}, DONE]) as server:
        assert run() == 0
    assert server.asked == [{"upgrade": {"program": str(here / "venv/bin/geodns"), "args": None}}]
    out, err = capsys.readouterr()
    assert [line.partition(":")[0] for line in out.splitlines()[:4]] == [one["step"] for one in STEPS]
    assert out.splitlines()[4].startswith("upgraded from 1.2 to 1.3 in 1.4 s: ")
    assert err == "  geodns: a\\x1b[0m warning\n"


def test_the_program_is_named_by_its_path_with_its_links(here: Path) -> None:
    (here / "next").symlink_to("venv")
    with _Server(here / "elsewhere", [DONE]) as server:
        assert run("--state", "elsewhere", "--program", "next/bin/geodns") == 0
    assert server.asked[0]["upgrade"]["program"] == str(here / "next/bin/geodns")


def test_it_finds_the_state_as_serve_does(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "etc").mkdir()
    (here / "etc/geodns.yaml").write_text("state: lib\n")
    with _Server(here / "etc/lib", [DONE]):
        assert run("--config", "etc/geodns.yaml") == 0
    monkeypatch.setenv("GEODNS_STATE", "from/the/environment")
    with _Server(here / "from/the/environment", [DONE]) as server:
        assert run("--back") == 0
    assert server.asked == [{"back": {}}]
    assert "went back from 1.2 to 1.3 in 1.4 s: " in capsys.readouterr().out
    deep = here / ("d" * 60) / ("e" * 60)
    with _Server(deep, [DONE]):
        assert run("--state", str(deep)) == 0


@pytest.mark.parametrize(
    ("answers", "status", "says"),
    [
        (
            [STEPS[0], {"failed": "zone x has errors", "step": "rehearsal", "serving": "1.2"}],
            1,
            "geodns: not upgraded (rehearsal): zone x has errors: geodns 1.2 goes on",
        ),
        ([{"failed": "another upgrade is under way"}], 1, "not upgraded: another upgrade is under way"),
        ([STEPS[0]], 1, "the server closed the connection before the end"),
        ([b"what?\n"], 1, "the server says what is no answer: what?"),
        ([b"x" * (command.LONGEST + 1)], 1, "no answer: more than 65536 bytes without an end"),
    ],
    ids=["failed", "busy", "closed", "no-json", "endless"],
)
def test_what_goes_wrong_there(
    here: Path, capsys: pytest.CaptureFixture[str], answers: list[object], status: int, says: str
) -> None:
    with _Server(here / "state", answers):
        assert run() == status
    assert says in capsys.readouterr().err


def test_what_takes_too_long(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "WITHIN", 0.05)
    with _Server(here / "state", [STEPS[0]], ends=False):
        assert run() == 3
    assert "not through within 0.05 s: the upgrade goes on" in capsys.readouterr().err


def test_who_interrupts_it_is_told_that_the_upgrade_goes_on(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, *, back: bool) -> bool:
        assert not back
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_take", interrupted)
    with _Server(here / "state", [STEPS[0]]):
        assert run() == 3
    assert "only this command has ended: the upgrade goes on" in capsys.readouterr().err


# --- where nobody answers --------------------------------------------------------------------------------


@contextlib.contextmanager
def _nothing(_: Path) -> Iterator[None]:
    yield


@contextlib.contextmanager
def _ended(state: Path) -> Iterator[None]:
    state.mkdir()
    (state / "lock").write_text("4194304999\n")
    gone = socket.socket(socket.AF_UNIX)
    gone.bind(str(state / "upgrade.sock"))
    gone.close()
    yield


@contextlib.contextmanager
def _older(state: Path) -> Iterator[None]:
    with contextlib.closing(lock_state(state)):
        yield


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (_nothing, "no server runs there: there is no state: give its state directory with --state"),
        (_ended, "no server runs there: nobody uses state"),
        (_older, f"the server (process {os.getpid()}) cannot be upgraded in place"),
    ],
    ids=["nothing", "ended", "older"],
)
def test_where_no_server_answers(
    here: Path, capsys: pytest.CaptureFixture[str], there: Callable[[Path], Any], says: str
) -> None:
    with there(here / "state"):
        assert run() == 1
    assert says in capsys.readouterr().err


def test_who_may_not_is_told_who_may(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = here / "state"
    with _Server(state, [DONE]), unprivileged():
        assert run("--state", str(state), "--program", "/bin/sh") == 1
    assert "not allowed: only root and the server's own user may: `sudo geodns upgrade`" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--back", "--program", "x"], "take --program out"),
        (["--program", "nowhere/geodns"], "nowhere/geodns is not there"),
        (["--program", "venv"], "venv is a directory"),
        (["--program", "text"], "text is no program"),
    ],
)
def test_wrong_usage(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str) -> None:
    (here / "text").touch()
    assert run(*arguments) == 2
    assert says in capsys.readouterr().err


def test_settings_that_cannot_be_read_name_the_way_round(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "geodns.yaml").write_text("token_file: secret\n")
    assert run() == 1
    err = capsys.readouterr().err
    assert "secret cannot be read" in err
    assert "or give the state directory with --state" in err
