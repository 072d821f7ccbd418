from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli.zonefiles import init
from geodns.errors import GeodnsError, UsageError
from geodns.zonefile.reader import read_zone


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_a_zone_that_check_finds_nothing_in(folder: Path) -> None:
    result = CliRunner().invoke(init, ["Out.Example.com.", "192.0.2.11", "2001:db8::12"])
    assert result.exit_code == 0, result.output
    parsed = read_zone(folder / "zones" / "out.example.com.yaml")
    assert parsed.problems == ()
    assert parsed.zone is not None
    hosts = {host.name: str(host.addresses[0]) for host in parsed.zone.hosts}
    assert hosts == {"mta1": "192.0.2.11", "mta2": "2001:db8::12"}
    assert "zones/out.example.com.yaml written" in result.output
    assert "public address of this server" in result.output


def test_it_takes_name_servers_and_a_folder() -> None:
    servers = ["--ns", "ns1=198.51.100.1", "--ns", "ns1=2001:db8::1", "--ns", "ns2.example.net."]
    result = CliRunner().invoke(init, ["out.example.com", "192.0.2.11", "--zones", "a/b", *servers])
    zone = read_zone(Path("a/b/out.example.com.yaml")).zone
    assert zone is not None
    assert [(server.name, [*map(str, server.addresses)]) for server in zone.ns] == [
        ("ns1.out.example.com.", ["198.51.100.1", "2001:db8::1"]),
        ("ns2.example.net.", []),
    ]
    assert "public address of this server" not in result.output


@pytest.mark.parametrize("name", ["out.example.com.yaml", "out.example.com.yml"])
def test_it_overwrites_nothing(name: str) -> None:
    Path("zones").mkdir()
    Path("zones", name).write_text("mine")
    result = CliRunner().invoke(init, ["out.example.com", "192.0.2.11"])
    assert isinstance(result.exception, GeodnsError)
    assert f"zones/{name} exists" in str(result.exception)
    assert [path.read_text() for path in Path("zones").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.example.com", "mta1"], "'mta1' is no address"),
        (["out.example.com", "192.0.2.1\nttl: 5"], "is no address"),
        (["b☎.example", "192.0.2.1"], "or the punycode form"),
        (["../x", "192.0.2.1"], "no domain name"),
        (["out.example.com", "192.0.2.1", "--ns", "ns1"], "in the zone and has no address"),
        (["out.example.com", "192.0.2.1", "--ns", "ns1.example.net.=192.0.2.1"], "outside the zone"),
    ],
)
def test_wrong_arguments_write_nothing(arguments: list[str], message: str, folder: Path) -> None:
    result = CliRunner().invoke(init, arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_said() -> None:
    Path("zones").write_text("a file")
    result = CliRunner().invoke(init, ["out.example.com", "192.0.2.11"])
    assert isinstance(result.exception, GeodnsError)
    assert "zones" in str(result.exception)
