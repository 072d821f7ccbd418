"""Sockets for routes: ports, files of UNIX sockets, and what stands in their way."""

import os
import socket
import stat
from pathlib import Path

import pytest

from geodns.errors import StartError
from geodns.serve.plan import RoutesListener
from geodns.serve.privileges import Identity
from geodns.serve.routes_sockets import open_routes
from tests.unprivileged import NOBODY


def opened(path: Path, mode: int = 0o660) -> "socket.socket":
    """A connection to a socket that is open at a path for the time of a block."""
    with open_routes((RoutesListener(path, mode=mode),), None):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        return client


@pytest.mark.parametrize("mode", [0o660, 0o600, 0o666])
def test_a_socket_has_its_mode_from_the_start_and_goes_with_the_server(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "routes"
    with open_routes((RoutesListener(path, mode=mode),), None) as sockets:
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert sockets.places == (f"unix:{path}",)
        assert [*tmp_path.iterdir()] == [path]
    assert [*tmp_path.iterdir()] == []


def test_a_free_port_is_taken_and_told() -> None:
    with open_routes((RoutesListener(("127.0.0.1", 0)), RoutesListener(("::1", 0))), None) as sockets:
        ports = [one.getsockname()[1] for one in sockets.listening]
        assert sockets.places == (f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}")
        with socket.create_connection(("127.0.0.1", ports[0])):
            pass


def test_what_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with opened(path):
        pass
    assert not path.exists()


def test_another_server_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    with open_routes((RoutesListener(path),), None):
        with pytest.raises(StartError, match="another server answers there"):
            open_routes((RoutesListener(path),), None)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_its_successor_keeps_its_file(tmp_path: Path) -> None:
    """Where somebody took the file away and another server put its own there."""
    path = tmp_path / "routes"
    with open_routes((RoutesListener(path),), None):
        path.unlink()
        after = open_routes((RoutesListener(path),), None)
    with after:
        assert path.is_socket()
    assert not path.exists()


def test_all_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="there is no folder"):
        open_routes((RoutesListener(tmp_path / "one"), RoutesListener(tmp_path / "none" / "two")), None)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("a file", "there is a file that is no socket: give another path, or take it away"),
        ("a folder", "there is a file that is no socket: give another path, or take it away"),
        ("a link", "there is a file that is no socket: give another path, or take it away"),
        ("no folder", "there is no folder {folder}: make it, or give another path"),
        ("a file for a folder", "there is no folder {folder}: make it, or give another path"),
        ("too long", "a socket's path has at most 107 bytes: give a shorter one"),
    ],
)
def test_what_stands_in_the_way(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "sub" / "routes"
    match kind:
        case "a file":
            path.parent.mkdir()
            path.write_text("precious")
        case "a folder":
            path.mkdir(parents=True)
        case "a link":
            path.parent.mkdir()
            path.symlink_to(tmp_path / "elsewhere")
        case "a file for a folder":
            path.parent.write_text("precious")
        case "too long":
            path = path.with_name("x" * 108)
    with pytest.raises(StartError) as refused:
        open_routes((RoutesListener(path),), None)
    assert str(refused.value) == f"unix:{path}: {text.format(folder=path.parent)}"
    assert not (tmp_path / "elsewhere").exists()
    if kind == "a file":
        assert path.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_socket_belongs_to_the_user_that_the_server_becomes(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    with open_routes((RoutesListener(path),), Identity("nobody", NOBODY, NOBODY, (NOBODY,))):
        found = path.stat()
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)


def test_a_taken_port_is_told_of() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = other.getsockname()
        with pytest.raises(StartError, match="give routes_listen another port"):
            open_routes((RoutesListener(address),), None)
