"""``geodns demo --two`` up to where the servers begin; `tests/integration/test_demo.py` runs it."""

import re
import shutil
import time
from pathlib import Path

import pytest

from geodns.cli import demo_two
from geodns.cli.demo_mailhost import REFUSED
from geodns.cli.demo_two import (
    AWAY,
    SharedStore,
    require_for_two,
    settings_of,
    two_servers,
    what_to_try_with_two,
)
from geodns.config.settings import load_settings
from geodns.errors import StartError, UsageError


@pytest.mark.parametrize(
    ("present", "taken"),
    [
        ({"redis-server"}, "redis-server"),
        ({"valkey-server"}, "valkey-server"),
        ({"redis-server", "valkey-server"}, "valkey-server"),
    ],
)
def test_it_takes_valkey_or_redis(present: set[str], taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in present else None)
    assert require_for_two() == f"/usr/bin/{taken}"


def test_without_either_it_says_how_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StartError, match="apt-get install redis-server"):
        require_for_two()


def test_without_its_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_two, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=re.escape("pip install 'geodns[shared]'")):
        require_for_two()


def test_the_second_server_takes_the_next_ports() -> None:
    first, second = two_servers("127.0.0.1:5300", "[::1]:8053")
    assert (str(first.listen), first.url) == ("127.0.0.1:5300", "http://[::1]:8053")
    assert (str(second.listen), second.url) == ("127.0.0.1:5301", "http://[::1]:8054")


def test_port_0_is_two_free_ones() -> None:
    servers = two_servers("127.0.0.1:0", "127.0.0.1:0")
    ports = [one.listen.port for one in servers] + [one.http.port for one in servers]
    assert len(set(ports)) == 4 or ports[0] != ports[1]
    assert 0 not in ports


@pytest.mark.parametrize(
    ("listen", "says"), [("nonsense", "has no port"), ("127.0.0.1:65535", "the second server takes the port")]
)
def test_a_bad_address_is_told(listen: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        two_servers(listen, "127.0.0.1:8053")


def test_their_settings_name_each_other_and_what_they_share(tmp_path: Path) -> None:
    servers = two_servers("127.0.0.1:5300", "127.0.0.1:8053")
    for server in servers:
        file = tmp_path / "geodns.yaml"
        file.write_text(settings_of(server, servers, tmp_path / "shared.sock"))
        loaded = load_settings(file, {}, {})
        assert loaded.node == server.node
        assert loaded.servers == tuple(one.url for one in servers)
        assert loaded.shared is not None
        assert str(tmp_path / "shared.sock") in loaded.shared.url
        assert loaded.ehlo is not None
        assert loaded.ehlo.startswith(REFUSED) is (server is servers[1]), "mail hosts know the second by it"


class Process:
    def __init__(self, pid: int) -> None:
        self.pid = pid


def test_what_to_try_names_both_servers_all_mail_hosts_and_the_store() -> None:
    hosts = {"mta1": Process(11), "mta2": Process(12)}
    servers = two_servers("127.0.0.1:5300", "127.0.0.1:8053")
    shown = what_to_try_with_two("out.example.com", servers, hosts, 99)  # type: ignore[arg-type]
    lines = [line for line in shown.splitlines() if line.startswith("  ")]
    assert any("-p 5300" in line and "-p 5301" in line for line in lines)
    assert any(line.startswith("  kill -USR2 11 12;") for line in lines)
    assert any(line.startswith("  kill -9 99;") for line in lines)
    assert sum("drain mta2" in line for line in lines) == 4


def test_what_they_share_comes_back_after_a_while(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with SharedStore(str(program), tmp_path / "shared.sock") as store:
        first = store.pid
        store.look(0.0)
        assert store.pid == first
        store._process.kill()  # type: ignore[union-attr]
        store._process.wait()  # type: ignore[union-attr]
        store.look(1.0)
        store.look(AWAY)
        assert capsys.readouterr().out == "valkey is gone; it comes back, empty, in 30 s\n"
        store.look(AWAY + 1.0)
        assert store.pid != first
        assert "valkey is back" in capsys.readouterr().out
        last = store._process
    assert last is not None
    assert last.poll() is not None, time.monotonic()
