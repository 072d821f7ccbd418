"""``geodns simulate``: from files without a server, and what it asks a server."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from tests.answering import Answering, answering
from tests.api.test_simulate import served
from tests.sample_zones import NAME
from tests.zones.mmdb import maxmind, write_mmdb

TEXT = """\
ns: {ns1: 192.0.2.53}
ttl: 5
hosts:
  mta1: 192.0.2.11
  mta2: {address: 192.0.2.12, weight: 3}
  de1: 192.0.2.21
  new1: {address: 192.0.2.15, warmup: {plan: [1000, 2000], start: 2026-12-01}}
pools:
  main: {hosts: [mta1, mta2, new1], volume: 10000, answers: 1}
  german: {hosts: [de1], when_down: servfail}
records:
  "@": {A: {pool: [{countries: [DE], use: german}, main]}, MX: {pool: main, preference: 10}}
"""
DAY = "2026-12-01T12:00:00Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / f"{NAME}.yaml").write_text(TEXT)
    write_mmdb(tmp_path / "country.mmdb", [("198.51.100.0/24", maxmind("DE"))])
    (tmp_path / "geodns.yaml").write_text("geoip: [country.mmdb]\n")
    (tmp_path / "clients").write_text("198.51.100.7\n192.0.2.7 ecs=203.0.113.0/24 3\nnobody\n")
    return tmp_path


def run(*words: str, folder: Path | None = None) -> Result:
    files = ["--zones", str(folder / "zones"), "--config", str(folder / "geodns.yaml")] if folder else []
    return CliRunner(env={"COLUMNS": "200"}).invoke(main.geodns, ["simulate", *words, *files])


def rows(result: Result) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_a_folder_of_files_is_dealt_without_a_server(folder: Path) -> None:
    result = run(NAME, "--clients", str(folder / "clients"), "--at", DAY, folder=folder)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"{folder}/clients:3: 'nobody' is no address")
    shown = rows(result)
    assert shown[0] == f"at {DAY}, clients 2"
    assert f"{NAME}. A zone {NAME}, queries 4, TTL 5 s" in shown
    assert [line for line in shown if "countries DE" in line] == ["1 25.00% german countries DE"]
    assert "2 75.00% main -" in shown
    assert "german 25.00% german -" in shown
    assert "de1 25.00% 25.00% 25.00%" in shown
    assert [line for line in shown if line.startswith("new1 ")][1].startswith("new1 7.")
    assert f"{NAME}. MX zone {NAME}, queries 4, TTL 5 s" in shown
    assert "10 main 100.00% main -" in shown


def test_without_clients_a_sample_stands_for_them(folder: Path) -> None:
    result = run("--at", DAY, "--type", "a", folder=folder)
    shown = rows(result)
    assert "for each name a sample of the ranges of addresses" in shown[0]
    assert f"{NAME}. A zone {NAME}, sample of 4 ranges, clients 4, TTL 5 s" in shown
    assert "1 25.00% german countries DE" in shown
    assert f"{NAME}. MX" not in result.output


def test_who_gets_servfail_is_an_exit_status(folder: Path) -> None:
    given = ("--clients", str(folder / "clients"), "--at", DAY, "--json")
    result = run(NAME, *given, "--down", "de1", "--weight", "mta1=0", "--weight", "new1=0", folder=folder)
    assert result.exit_code == 1
    found = json.loads(result.stdout)["names"]
    assert [(one["type"], one["servfail"]) for one in found] == [("A", 0.25), ("MX", 0)]
    assert [(host["host"], host["first"]) for host in found[0]["hosts"]] == [("mta2", 0.75)]
    assert found[0]["pools"][0] == {
        "rank": 0,
        "pool": "german",
        "share": 0.25,
        "using": [],
        "last_resort": "servfail",
    }


def test_the_query_log_is_read_for_a_name(folder: Path) -> None:
    line = (
        "2026-11-29 20:05:49,123 INFO control: client {}#4242 udp: {} A IN + → NOERROR AA 1 answer 65 bytes\n"
    )
    (folder / "log").write_text(
        line.format("198.51.100.7", NAME)
        + line.format("192.0.2.7", NAME) * 3
        + line.format("192.0.2.7", f"mta1.{NAME}") * 2
        + "2026-11-29 20:05:49,123 INFO control: zones\n"
    )
    result = run(NAME, "--log", str(folder / "log"), "--at", DAY, folder=folder)
    assert result.stderr == "queries for other names: 2\nlines that are no queries: 1\n"
    assert "1 25.00% german countries DE" in rows(result)
    result = run("--log", str(folder / "log"), "--at", DAY, folder=folder)
    assert "queries for names that are not simulated: 2" in result.stdout


def test_what_is_not_looked_at_is_noted(folder: Path) -> None:
    (folder / "zones" / "broken.example.yaml").write_text("hosts: [")
    (folder / "geodns.yaml").write_text("node: ns1\n")
    result = run(NAME, "--at", DAY, folder=folder)
    assert result.exit_code == 0
    assert "broken.example.yaml has errors, and nothing is dealt from it" in result.stderr
    assert "rules name places, and geodns.yaml has no `geoip` files: no client meets them" in result.stderr
    assert "1 0.00% german countries DE" in rows(result)
    (folder / "zones" / f"{NAME}.yaml").write_text(TEXT.replace("warmup", "hosts"))
    assert run(NAME, folder=folder).exit_code == 1


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--clients", "a", "--log", "b"], 2, "--clients and --log both say who asks: give one of them"),
        (["--clients", "/nowhere"], 2, "/nowhere: No such file or directory"),
        (["--log", "/nowhere"], 2, "/nowhere: No such file or directory"),
        (["--at", "tomorrow"], 2, "--at 'tomorrow' is no time: write it as 2026-11-25T03:00:00Z"),
        (["--at", "2h"], 2, "--at '2h' is no time"),
        (["--type", "TXT"], 2, "--type 'TXT': write A, AAAA, MX or SRV"),
        (["--weight", "mta1"], 2, "--weight 'mta1': write a host and its weight, as mta1=20"),
        (["--weight", "=3"], 2, "--weight '=3': write a host"),
        (["--weight", "mta1=x"], 2, "--weight 'mta1=x': write a host"),
        (["--weight", "mta1=2147483648"], 2, "is out of range: write 0 to 2147483647"),
        (["--weight", "mta1=1", "--weight", "mta1=2"], 2, "gives mta1 two weights, 1 and 2: give one"),
        (["--down", "mta9"], 1, "no host mta9: did you mean mta2?"),
        (["www.example.org"], 1, f"www.example.org. is in no zone here; there are {NAME}"),
        ([f"mta1.{NAME}"], 1, f"no pool is behind mta1.{NAME}. for A or AAAA or MX or SRV"),
        ([NAME, "--type", "SRV"], 1, f"no pool is behind {NAME}. for SRV"),
    ],
)
def test_one_clear_error_each(folder: Path, words: list[str], status: int, text: str) -> None:
    result = run(*words, folder=folder)
    assert result.exception is not None
    assert getattr(result.exception, "status", None) == status
    assert text in str(result.exception)


def test_a_folder_without_zone_files(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        result = CliRunner().invoke(main.geodns, ["simulate", "--zones", str(folder)])
        assert "no zone file" in str(result.exception) or "missing" in str(result.exception)


def ask(*words: str) -> tuple[Result, Answering]:
    with answering() as fake:
        fake.give("POST /api/v1/simulate", served({"name": NAME, "down": ["mta1"]})[1])
        environment = {"GEODNS_SERVER": fake.url, "COLUMNS": "200"}
        return CliRunner(env=environment).invoke(main.geodns, ["simulate", *words]), fake


def test_a_server_is_asked_with_all_that_was_said(folder: Path) -> None:
    words = (NAME, "--type", "a", "--down", "mta1,mta2", "--down", "x*", "--weight", "mta3=4", "--at", DAY)
    result, fake = ask(*words, "--clients", str(folder / "clients"))
    assert result.exit_code == 0, result.output
    ((method, path, _, body),) = fake.asked
    assert (method, path) == ("POST", "/api/v1/simulate")
    assert body == {
        "name": NAME,
        "type": "A",
        "down": ["mta1", "mta2", "x*"],
        "weights": {"mta3": 4},
        "at": DAY,
        "clients": [
            {"client": "192.0.2.7", "count": 3, "ecs": "203.0.113.0/24"},
            {"client": "198.51.100.7", "count": 1},
        ],
    }
    assert f"{NAME}. A  zone {NAME}" in result.output
    result, fake = ask("--json")
    assert fake.asked[0][3] == {}
    assert json.loads(result.stdout)["names"][0]["name"] == f"{NAME}."


def test_of_several_servers_the_first_that_answers_is_asked() -> None:
    with answering() as fake:
        fake.give("POST /api/v1/simulate", served({"name": NAME})[1])
        result = CliRunner().invoke(main.geodns, ["simulate", "--server", f"127.0.0.1:1,{fake.url}"])
    assert result.exit_code == 0
    assert "asking the next" in result.stderr
