"""The routes worker among the other processes: it answers whoever else has died, and comes back itself."""

import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import product
from tests.integration.serving import Server, ask, eventually, number_in, process_state, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(workers=1, routes=[["127.0.0.1", 0]]) as one:
        yield one


def connected(server: Server) -> socket.socket:
    (place,) = server.routes
    if place.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(place.removeprefix("unix:"))
        return client
    host, _, port = place.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def asked(server: Server, recipient: str = "a@b.lab.example") -> str:
    """The whole answer to a line; empty: there was none."""
    try:
        with connected(server) as client:
            client.sendall(f"get {recipient}\n".encode())
            client.shutdown(socket.SHUT_WR)
            return client.makefile().read()
    except OSError:
        return ""


def by_host(number: int) -> str:
    return f"200 relay:[mta1.lab.example]:{number}, [n.lab.example]:{number}\n"


GMAIL = "200 relay:[gmail.lab.example]:25\n"


def test_it_answers_follows_changes_and_counts(server: Server) -> None:
    assert asked(server, "a@gmail.com") == GMAIL
    assert asked(server, "a@localhost") == by_host(1)
    assert server.publish()["pending"] == []
    assert asked(server, "a@localhost") == by_host(2)
    assert number_in(ask(server.listen[0])) == 2
    assert eventually(lambda: server.status()["counted"].get("routes") == 3)


def test_control_is_asked_for_providers_and_its_death_changes_nothing(server: Server) -> None:
    with connected(server) as client:
        client.sendall(b"get a@shop.example\n")
        assert eventually(lambda: server.status()["asked"] == ["shop.example"])
        server.tell("provider", "shop.example", "google")
        assert client.makefile().read() in {GMAIL, by_host(1)}
    assert asked(server, "a@shop.example") == GMAIL
    before = server.pids()
    os.kill(before["control"], signal.SIGSTOP)
    assert asked(server, "b@shop.example") == GMAIL
    os.kill(before["control"], signal.SIGKILL)
    assert asked(server, "c@shop.example") == GMAIL
    assert eventually(lambda: asked(server, "a@localhost") == by_host(2))
    after = server.pids()
    assert after["routes"] == before["routes"]
    assert after["control"] != before["control"]


def test_killed_it_comes_back_with_the_table_and_the_providers() -> None:
    constants = {product.CONTROL_BACKOFF: (30.0, 30.0)}
    with serving(constants, workers=1, routes=[["127.0.0.1", 0]]) as server:
        server.tell("provider", "shop.example", "google")
        before = server.pids()
        os.kill(before["control"], signal.SIGKILL)
        os.kill(before["routes"], signal.SIGKILL)
        assert eventually(lambda: asked(server, "a@shop.example") == GMAIL)
        assert process_state(before["routes"]) == "Z"


def test_the_end_answers_what_was_asked(server: Server) -> None:
    with connected(server) as client, connected(server) as idle:
        client.sendall(b"get a@shop.example\n")
        assert eventually(lambda: server.status()["asked"] == ["shop.example"])
        server.process.send_signal(signal.SIGTERM)
        assert client.makefile().read() == by_host(1)
        assert idle.recv(1) == b""
    assert server.process.wait(10) == 0


def test_whoever_asks_at_the_end_is_refused_and_need_not_wait(server: Server) -> None:
    """However long control takes to end: MTAs would wait for each recipient."""
    pids = server.pids()
    os.kill(pids["control"], signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    try:
        assert eventually(lambda: process_state(pids["routes"]) == "Z")
        with pytest.raises(ConnectionRefusedError):
            connected(server)
    finally:
        os.kill(pids["control"], signal.SIGCONT)
    assert server.process.wait(10) == 0


def test_a_unix_socket_has_its_mode_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "routes"
    with serving(workers=1, routes=[str(path)]) as server:
        assert server.routes == [f"unix:{path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o606
        assert asked(server, "a@gmail.com") == GMAIL
        os.kill(server.pids()["routes"], signal.SIGKILL)
        assert eventually(lambda: asked(server, "a@gmail.com") == GMAIL)
    assert not path.exists()


def test_without_listeners_there_is_no_such_process() -> None:
    with serving(workers=1) as server:
        assert server.routes == []
        assert sorted(server.status()["workers"]) == ["tcp", "udp0"]
