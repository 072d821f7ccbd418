"""`geodns serve --rehearse`, in a forked child: what is wrong with a program, its settings or files."""

import contextlib
import hashlib
import os
import select
import shutil
import signal
import sqlite3
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from geodns.cli import main as cli
from geodns.cli import rehearsal
from geodns.health.monitor import Monitor
from geodns.model.state import Forced, ForcedState
from geodns.serve import handover as handovers
from geodns.serve import tcp, trial_queries, udp
from geodns.serve.handover import HANDOVER, AskedSockets, Handover, Program, seal
from geodns.serve.rehearsal import PASSED
from geodns.storage.state_file import StateFile
from geodns.zones import discovery

NOW = 1_795_417_200.0
GOOD = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}\n"
ROUTED = f"{GOOD}routes: [{{use: '@'}}]\n"
SOURCED = "ns: {ns1: 192.0.2.53}\nhosts_from: [{dns: mta.example.net}]\n"
ARGS = ("--workers", "2", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
SOON = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones/out.example.com.yaml").write_text(GOOD)
    store, _ = StateFile.open(tmp_path / "state", NOW)
    store.save_forced(("out.example.com", "mta1"), ForcedState(Forced.DRAINED, "disk", "ann", NOW, None))
    store.close()
    return tmp_path


def running(place: Path, **asked: Any) -> Handover:
    """What a server hands over that was called with `ARGS`."""
    http = ("127.0.0.1", 0)
    same = AskedSockets((("127.0.0.1", 0),), http, (), 2, str(place / "state"))
    return Handover(Program("0.1", "/old/geodns"), replace(same, **asked), (("127.0.0.1", 5300),), (), (), 0)


def rehearsed(place: Path, *args: str, handover: Handover | None = None) -> tuple[int, str]:
    """Return the status of a rehearsal and what it said."""
    told = None if handover is None else seal(handover)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _live(place, (*ARGS, *args), writing, told)
    os.close(writing)
    if told is not None:
        os.close(told)
    said = b""
    try:
        end = time.monotonic() + SOON
        while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = os.read(reading, 65536)
            if not piece:
                break
            said += piece
        else:
            os.killpg(pid, signal.SIGKILL)
        _, how = os.waitpid(pid, 0)
    finally:
        os.close(reading)
    status = os.waitstatus_to_exitcode(how)
    passed = f"{PASSED}{pid}\n"
    assert (passed in said.decode()) == (status == 0)
    return status, said.decode().replace(passed, "")


def _live(place: Path, args: tuple[str, ...], writing: int, told: int | None) -> NoReturn:
    status: Any = 99
    try:
        os.setsid()
        os.chdir(place)
        for number in (1, 2):
            os.dup2(writing, number)
        os.close(writing)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        if told is not None:
            os.environ[HANDOVER] = str(told)
        cli.main(["serve", "--rehearse", *args])
    except SystemExit as end:
        status = end.code
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 98)


def tree(place: Path) -> dict[str, str]:
    return {
        str(one.relative_to(place)): hashlib.sha256(one.read_bytes()).hexdigest() if one.is_file() else ""
        for one in place.rglob("*")
    }


# --- all is well ----------------------------------------------------------------------------------------


def test_a_good_program_says_nothing_and_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((Monitor, "set_targets"), (discovery, "look_up")):
        monkeypatch.setattr(owner, name, lambda *_, name=name: os.write(2, f"{name} was called\n".encode()))
    (place / "zones/in.example.com.yaml").write_text(ROUTED)
    (place / "zones/from.example.com.yaml").write_text(SOURCED)
    (place / "geodns.yaml").write_text("routes_listen: [unix:routes, 127.0.0.1:0]\n")
    asked = running(place, routes=(f"unix:{place}/routes", "127.0.0.1:0"))
    before = tree(place)
    assert rehearsed(place, handover=asked) == (0, "")
    assert tree(place) == before


def test_it_reads_the_state_of_a_server_that_runs(place: Path) -> None:
    store, _ = StateFile.open(place / "state", NOW)
    store.save_note("x", "only in the log of the database")
    before = tree(place)
    assert rehearsed(place, handover=running(place)) == (0, "")
    after = tree(place)
    store.close()
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {"state/geodns.db-shm"}


def test_on_the_way_back_the_state_of_the_newer_program_will_do(place: Path) -> None:
    _newer_state(place)
    assert rehearsed(place, handover=replace(running(place), back=True)) == (0, "")


# --- what the settings and files say ---------------------------------------------------------------------


def _newer_state(place: Path) -> None:
    with contextlib.closing(sqlite3.connect(place / "state/geodns.db")) as database:
        database.execute("PRAGMA user_version = 5")


def _settings(text: str) -> Callable[[Path], object]:
    return lambda place: (place / "geodns.yaml").write_text(text)


def _zone(text: str) -> Callable[[Path], object]:
    return lambda place: (place / "zones/out.example.com.yaml").write_text(text)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_zone("ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.999}\n"), "out.example.com.yaml:2:"),
        (lambda place: (place / "zones/out.example.com.yaml").unlink(), "no zones in"),
        (lambda place: (place / "zones").rename(place / "gone"), "zones cannot be read"),
        (_settings("listne: 127.0.0.1:53\n"), "geodns.yaml:1:1"),
        (_settings("cookie_secret_file: secrets\n"), "secrets: there is no such file"),
        (_settings("http_tls: {cert: cert.pem}\n"), "cert.pem"),
        (_settings("token_file: token\n"), "token cannot be read"),
        (_settings("geoip: [places.mmdb]\n"), "places.mmdb cannot be read"),
        (_newer_state, "was written by a newer geodns (format 5)"),
        (lambda place: (place / "state/geodns.db").write_bytes(b"x" * 5000), "geodns.db cannot be read"),
    ],
    ids=[
        "zone",
        "no-zones",
        "no-folder",
        "settings",
        "cookies",
        "certificate",
        "token",
        "geoip",
        "newer-state",
        "no-state",
    ],
)
def test_files_that_a_start_could_not_use(place: Path, spoil: Callable[[Path], object], says: str) -> None:
    spoil(place)
    before = tree(place)
    status, said = rehearsed(place, handover=running(place))
    assert status == 1
    assert says in said
    assert said.count("\n") == 1, said
    assert tree(place) == before


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"listen": (("192.0.2.53", 53), ("2001:db8::53", 53))},
            "change listen: listen says 127.0.0.1:0, the server runs with 192.0.2.53:53, [2001:db8::53]:53",
        ),
        ({"http": ("127.0.0.1", 8053)}, "http says 127.0.0.1:0, the server runs with 127.0.0.1:8053"),
        ({"routes": ("unix:/run/r",)}, "routes_listen says nothing, the server runs with unix:/run/r"),
        ({"workers": 4}, "restart to change workers: workers says 2, the server runs with 4"),
        ({"state": "/var/lib/other"}, "restart to change state: "),
    ],
    ids=["listen", "http", "routes", "workers", "state"],
)
def test_settings_that_move_sockets(place: Path, asked: Mapping[str, Any], says: str) -> None:
    status, said = rehearsed(place, handover=running(place, **asked))
    assert status == 1
    assert says in said


def test_a_handover_of_a_later_format(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = handovers.pack(running(place))
    later = told[:16] + struct.pack(">I", handovers.FORMAT + 1) + told[20:]
    monkeypatch.setattr(handovers, "pack", lambda _: later)
    status, said = rehearsed(place, handover=running(place))
    assert (status, said) == (1, "geodns: the handover has format 2; this program knows up to 1\n")


def test_a_directory_that_is_gone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chdir = os.chdir

    def leave(path: Path) -> None:
        chdir(path)
        shutil.rmtree(path)

    asked = running(place)
    monkeypatch.setattr(os, "chdir", leave)
    status, said = rehearsed(place, handover=asked)
    assert status == 1
    assert "the directory in which the server was started is gone" in said
    assert said.count("\n") == 1, said


# --- a broken program ------------------------------------------------------------------------------------


def _raise(error: BaseException) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> NoReturn:
        raise error

    return broken


def _die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _hang(*_: Any, **__: Any) -> None:
    time.sleep(SOON)


def _refused(_table: Any, packet: bytes, *_: Any) -> bytes:
    return packet[:2] + b"\x80\x05" + packet[4:]


@pytest.mark.parametrize(
    ("where", "name", "broken", "says"),
    [
        (rehearsal, "build", _raise(ImportError("No module named 'aiohttp'")), "No module named 'aiohttp'"),
        (rehearsal, "build", _raise(AttributeError("x")), "making its services: AttributeError: x"),
        (rehearsal, "compile_zones", _raise(KeyError("k")), "while it was compiling the zones: KeyError"),
        (rehearsal, "build", _die, "while it was making its services"),
        (rehearsal, "build", _hang, "it took more than 1.5 s, and was then making its services"),
        (rehearsal, "ask_workers", _die, "while it was having its workers answer"),
        (udp, "serve", _raise(ValueError("u")), "worker udp0 (pid "),
        (udp, "serve", _die, "was killed by SIGKILL"),
        (udp, "serve", _hang, "the UDP worker's answer for out.example.com. SOA is missing: timed out"),
        (tcp, "serve", _raise(ValueError("t")), "worker tcp (pid "),
        (udp, "respond", lambda *_: None, "the UDP worker's answer for out.example.com. SOA is missing"),
        (udp, "respond", _refused, "SOA has response code 5, not 0"),
        (tcp, "respond", _refused, "the TCP worker's answer for out.example.com. SOA has response code 5"),
    ],
)
def test_a_program_that_cannot_serve(
    place: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, broken: Any, says: str
) -> None:
    monkeypatch.setattr(where, name, broken)
    monkeypatch.setattr(trial_queries, "WITHIN", 0.3)
    if (where, broken) == (rehearsal, _hang):
        monkeypatch.setattr(rehearsal, "LIMIT", 1.5)
    before = tree(place)
    status, said = rehearsed(place, handover=running(place))
    assert status == 1, said
    assert says in said.splitlines()[-1], said
    assert tree(place) == before
