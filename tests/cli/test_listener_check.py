"""Listeners of routes that name what no zone has."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli.listener_check import listener_problems
from geodns.cli.zonefiles import check
from geodns.config.route_keys import RoutesListen
from geodns.config.server_keys import Listen
from tests.zonetexts import SHORT, zone_of

ROUTES = '{use: "@"}\n'
ROUTED = zone_of(f"{SHORT}routes: {ROUTES}")
FOUND = zone_of(f"{SHORT}routes: {ROUTES}hosts_from: {{dns: mta.example.net}}\n")
BARE = zone_of(SHORT)
HERE = "out.example.com"


def told(zones: dict[str, object], zone: str | None, self_host: str | None) -> list[str]:
    one = RoutesListen(listen=Listen("127.0.0.1", 5310), zone=zone, self_host=self_host)
    return [str(problem) for problem in listener_problems("geodns.yaml", [one], zones)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("zones", "zone", "self_host", "expected"),
    [
        ({HERE: ROUTED}, HERE, "mta1", ""),
        ({HERE: ROUTED}, None, "mta1", ""),
        ({HERE: ROUTED}, None, None, ""),
        ({HERE: ROUTED, "b": BARE}, None, None, ""),
        ({HERE: ROUTED, "b": None}, None, None, ""),
        (
            {HERE: ROUTED, "b": ROUTED},
            None,
            "else",
            "warning: 2 zones have routes, and no `zone` says which: maps get none, so mail waits: write a",
        ),
        ({HERE: ROUTED, "b": ROUTED}, HERE, None, ""),
        ({HERE: None}, HERE, "else", ""),
        ({HERE: None}, None, "else", ""),
        ({HERE: FOUND}, HERE, "else", ""),
        (
            {HERE: ROUTED},
            HERE,
            "mta9",
            "`self` is 'mta9', and zone out.example.com has no such host: did",
        ),
        (
            {HERE: ROUTED},
            None,
            "x",
            "`self` is 'x', and zone out.example.com has no such host: there is",
        ),
        (
            {HERE: ROUTED},
            "out.exmple.com",
            "x",
            "no zone is called 'out.exmple.com': did you",
        ),
        (
            {HERE: BARE},
            HERE,
            None,
            "warning: zone out.example.com has no routes: write `rou",
        ),
        ({HERE: BARE}, None, None, "warning: no zone has routes: write `routes` into a zone file"),
    ],
)
def test_what_no_zone_has_is_told(
    zones: dict[str, object], zone: str | None, self_host: str | None, expected: str
) -> None:
    warning, _, text = expected.rpartition("warning: ")
    where = f"geodns.yaml: {'warning: ' if 'warning: ' in expected else ''}routes_listen 127.0.0.1:5310: "
    assert warning == ""
    assert [one.startswith(f"{where}{text}") for one in told(zones, zone, self_host)] == [True] * bool(
        expected
    )


def test_check_looks_at_the_listeners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zones").mkdir()
    file = tmp_path / "zones" / f"{HERE}.yaml"
    file.write_text(f"{SHORT}records: {{'@': {{MX: '0 .'}}}}\nroutes: {ROUTES}")
    (tmp_path / "geodns.yaml").write_text(
        f"routes_listen: {{listen: unix:run/a, zone: {HERE}, self: mta0}}\n"
    )
    result = CliRunner().invoke(check, [])
    assert result.output.startswith(
        "geodns.yaml: routes_listen unix:run/a: `self` is 'mta0', and zone out.ex"
    )
    assert result.exit_code == 1
    # One file says nothing of the others.
    assert CliRunner().invoke(check, [str(file)]).exit_code == 0
