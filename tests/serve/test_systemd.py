import os
import socket
from pathlib import Path

import pytest

from geodns.errors import StartError
from geodns.serve import systemd
from geodns.serve.systemd import Notifier, take_sockets


def told(server: socket.socket) -> str:
    server.settimeout(5)
    return server.recv(4096).decode()


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_notices_arrive(tmp_path: Path, abstract: bool) -> None:
    name = f"@geodns-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": name, "HOME": "/"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0{name[1:]}" if abstract else name)
        notifier = Notifier(environ)
        notifier.ready()
        notifier.alive()
        notifier.stopping()
        assert [told(server) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "STOPPING=1"]
    notifier.ready()  # nobody is there any more
    assert environ == {"HOME": "/"}


PID = str(os.getpid())


@pytest.mark.parametrize(
    ("environ", "every"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "/run/x"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000"}, 1.5),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": PID}, 1.5),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3²"}, None),
        ({"WATCHDOG_USEC": "3000000"}, None),
    ],
)
def test_a_watchdog_is_told_twice_in_its_time(environ: dict[str, str], every: float | None) -> None:
    assert Notifier(environ).every == every
    assert environ == {}


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_FDS": "2"}, {"LISTEN_FDS": "2", "LISTEN_PID": "1"}, {"LISTEN_PID": PID}],
    ids=["none", "no-pid", "another's", "no-number"],
)
def test_no_sockets_for_us(environ: dict[str, str]) -> None:
    assert take_sockets(environ) == ()
    assert environ == {}


def test_sockets_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        first = os.dup(one.fileno())
        second = os.dup(one.fileno())
        if second != first + 1:
            pytest.skip("the descriptors are not in a row")
        os.set_inheritable(first, True)
        monkeypatch.setattr(systemd, "_FIRST", first)
        environ = {"LISTEN_PID": PID, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "dns"}
        given = take_sockets(environ)
        assert environ == {}
        assert [(name, it.getsockname()) for name, it in given] == [
            ("dns", one.getsockname()),
            ("unknown", one.getsockname()),
        ]
        assert not os.get_inheritable(first)
        for _, it in given:
            it.close()


@pytest.mark.parametrize(
    ("count", "says"), [("1", "is no socket"), ("two", "is no number"), ("²", "is no number")]
)
def test_what_is_no_socket(count: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(systemd, "_FIRST", file.fileno())
        with pytest.raises(StartError, match=says):
            take_sockets({"LISTEN_PID": PID, "LISTEN_FDS": count})
