"""The command finds the zone, and where it is asked, in the files that there are."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from geodns.cli.generate.command import generate
from geodns.cli.main import main

ROUTED = """\
ns: {ns1: 192.0.2.53}
hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}
pools: {main: {hosts: ["mta*"], check: none}}
records: {"@": {A: {pool: main}, MX: {pool: main, preference: 10}}}
local: [example.com]
routes: [{use: "@"}]
"""
PLAIN = "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11}\n"
LISTENERS = """\
routes_listen:
  - {listen: 127.0.0.1:5310, zone: out.example.com}
  - {listen: 127.0.0.1:5311, zone: out.example.com, self: mta1}
  - {listen: "unix:run/routes", zone: two.example.com}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"out.example.com": ROUTED, "in.example.com": PLAIN}, "routes_listen: 127.0.0.1:5310\n")
    return tmp_path


def write(folder: Path, zones: dict[str, str], settings: str) -> None:
    (folder / "zones").mkdir(exist_ok=True)
    for name, text in zones.items():
        (folder / f"zones/{name}.yaml").write_text(text)
    (folder / "geodns.yaml").write_text(settings)


def run(*words: str) -> Result:
    return CliRunner().invoke(generate, words)


@pytest.mark.parametrize("server", ["postfix", "exim", "haraka", "kumomta"])
def test_the_only_zone_with_routes(folder: Path, server: str) -> None:
    del folder
    printed = run(server)
    assert printed.exit_code == 0
    assert f"Made by `geodns generate {server} out.example.com`." in printed.output
    assert "127.0.0.1" in printed.output
    assert run(server, "out.example.com.").output == printed.output
    assert run(server, "--zones", "zones", "--config", "geodns.yaml").output == printed.output


def test_the_listener_of_the_zone(folder: Path) -> None:
    write(folder, {"two.example.com": ROUTED}, LISTENERS)
    assert "inet:127.0.0.1:5310" in run("postfix").output  # the first listener says the zone
    assert f"unix:{folder}/run/routes" in run("postfix", "two.example.com").output
    own = run("postfix", "--listen", "127.0.0.1:5311").output
    assert "inet:127.0.0.1:5311" in own
    assert "may lead back to this machine, mta1" in own
    for given in ("run/routes", "unix:run/routes", f"{folder}/run/routes"):
        assert run("postfix", "--listen", given).output == run("postfix", "two.example.com").output
    below = run("postfix", "two.example.com", "--queue-directory", str(folder)).output
    assert "unix:run/routes" in below


def test_maps_need_a_zone_at_the_listener(folder: Path) -> None:
    assert "socketmap:inet:127.0.0.1:5310:recipient" in run("postfix", "--map").output
    write(folder, {"two.example.com": ROUTED}, "routes_listen: 127.0.0.1:5310\n")
    assert run("postfix", "two.example.com").exit_code == 0


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        pytest.param(("exim",), "log_level: info\n", "geodns.yaml says nowhere to ask: write", id="nowhere"),
        pytest.param(
            ("exim", "in.example.com"),
            "routes_listen: 127.0.0.1:5310\n",
            "in.example.com has no routes: write `routes: ",
            id="no-routes",
        ),
        pytest.param(
            ("exim", "no.example.com"),
            "routes_listen: 127.0.0.1:5310\n",
            "no zone no.example.com in zones: there is",
            id="no-zone",
        ),
        pytest.param(("exim", "-"), "routes_listen: 127.0.0.1:5310\n", "'-'", id="no-name"),
        pytest.param(
            ("exim", "--listen", "127.0.0.1:1"),
            "routes_listen: 127.0.0.1:5310\n",
            "`routes_listen` has 127.0.0.1:5310",
            id="no-such-listener",
        ),
        pytest.param(
            ("exim", "out.example.com"),
            "routes_listen: {listen: 127.0.0.1:5310, zone: two.example.com}\n",
            "no listener under `routes_listen` is for out.example.com",
            id="another-zone's",
        ),
        pytest.param(
            ("exim", "out.example.com", "--listen", "127.0.0.1:5310"),
            "routes_listen: {listen: 127.0.0.1:5310, zone: two.example.com}\n",
            "--listen 127.0.0.1:5310 is for two.example.com, not out.example.com",
            id="another-zone's-listener",
        ),
        pytest.param(("exim",), "routes_listen: 127.0.0.1\n", "has no port", id="wrong-settings"),
        pytest.param(
            ("kumomta",), "routes_listen: unix:/run/routes\n", "KumoMTA cannot ask at a UNIX", id="kumomta"
        ),
    ],
)
def test_what_is_missing(
    folder: Path, words: tuple[str, ...], settings: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, {}, settings)
    with pytest.raises(SystemExit) as ended:
        main(["generate", *words])
    assert ended.value.code in {1, 2}
    assert said in capsys.readouterr().err


def test_a_zone_file_with_a_mistake(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"out.example.com": ROUTED + "oops: 1\n"}, "routes_listen: 127.0.0.1:5310\n")
    with pytest.raises(SystemExit):
        main(["generate", "exim"])
    assert "out.example.com.yaml:7:1: unknown key 'oops'" in capsys.readouterr().err


def test_several_zones_with_routes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, {"two.example.com": ROUTED}, "routes_listen: 127.0.0.1:5310\n")
    for words in (("exim",), ("postfix", "--map", "two.example.com")):
        with pytest.raises(SystemExit):
            main(["generate", *words])
    said = capsys.readouterr().err
    assert "out.example.com, two.example.com in zones have routes: say which zone" in said
    assert "write `zone: two.example.com` at the listener under `routes_listen`" in said
