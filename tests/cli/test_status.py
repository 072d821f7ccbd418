import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from geodns.cli import main
from geodns.cli.status import render
from geodns.errors import GeodnsError
from tests.answering import NAME, Answering, answering, host, pool, status


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def run(fake: Answering, *arguments: str) -> Result:
    environment = {"GEODNS_SERVER": fake.url, "COLUMNS": "200"}
    return CliRunner(env=environment).invoke(main.geodns, ["status", *arguments])


def text_of(shown: dict[str, object]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(shown))
    return captured.get()


def test_a_table_shows_hosts_and_pools(fake: Answering) -> None:
    fake.give("GET /status", status("mta1", "mta2"))
    result = run(fake)
    assert result.exit_code == 0, result.output
    assert "ns1: ready, up 1d 2h 3m 4s, geodns 0.1.0" in result.output
    assert f"{NAME}  serial 2026112301" in result.output
    assert "smtp ok 1.9 ms: 220 mta1 ESMTP" in result.output
    assert "mta1 50.0%, mta2 50.0%" in result.output


def test_a_table_shows_the_other_name_servers(fake: Answering) -> None:
    zone = {"digest": "0" * 32, "serial": 7}
    peer = {"seen": "2026-11-30T00:00:00Z", "version": "9.9", "error": None, "zones": {NAME: zone}}
    differs = [{"what": f"zone {NAME} differs"}, {"what": "they hold different orders"}]
    gone: dict[str, Any] = {
        "seen": None,
        "version": None,
        "error": "connection refused",
        "zones": {},
        "differs": [],
    }
    others = {"ns2": peer | {"differs": differs}, "http://192.0.2.55:8053": gone}
    fake.give("GET /status", status("mta1") | {"peers": others})
    shown = run(fake).output
    table = [" ".join(line.split()) for line in shown.partition("\nname servers\n")[2].splitlines()]
    assert table[:2] == ["server seen version differs", "ns1 this one 0.1.0"]
    assert table[2].startswith("ns2 ")
    assert table[2].endswith(f" ago 9.9 zone {NAME} differs; they hold different orders")
    assert table[3] == "http://192.0.2.55:8053 never ? connection refused"
    fake.give("GET /status", status("mta1"))
    assert "name servers" not in run(fake).output


def test_json_is_what_the_server_gave(fake: Answering) -> None:
    shown = status("mta1", node="søndag")
    fake.give("GET /status", shown)
    result = run(fake, "--json")
    assert (result.exit_code, json.loads(result.output)) == (0, shown)
    assert "søndag" in result.output


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        pytest.param(status("mta1"), 0, id="all well"),
        pytest.param(status("mta1", ready=False), 1, id="not ready"),
        pytest.param(status("mta1", warnings=["the disk is full"]), 1, id="a warning"),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["table", "json"])
def test_the_exit_status_says_whether_all_is_well(
    fake: Answering, shown: dict[str, object], code: int, arguments: list[str]
) -> None:
    fake.give("GET /status", shown)
    assert run(fake, *arguments).exit_code == code


def test_what_is_wrong_is_shown() -> None:
    down = host(
        state="down",
        forced="drained",
        effective_weight=12.5,
        factors={"shedding": 0.25},
        checks=[host()["checks"][0] | {"outcome": None, "detail": None, "rtt_ms": None, "at": None}],
        since=None,
    )
    shown = text_of(
        status(
            ready=False,
            warnings=["the disk is full"],
            zones={
                NAME: {"serial": 1, "file": "f", "error": "f:1:2: what"},
                "new.example": {"serial": None, "file": "g", "error": "g:3:4: where"},
            },
            hosts={NAME: {"mta1": down}},
            pools={NAME: {"main": pool("mta1", last_resort="down"), "none": pool(last_resort="servfail")}},
        )
    )
    assert "ns1: not ready" in shown
    assert "warning: the disk is full" in shown
    assert "refused: f:1:2: what" in shown
    assert "refused: g:3:4: where" in shown
    assert "down (drained)" in shown
    assert "12.5 of 50: shedding 0.25" in shown
    assert "smtp not yet" in shown
    assert "main (last resort: down)" in shown
    assert "nobody (last resort: servfail)" in shown


def test_markup_in_what_others_say_is_only_text() -> None:
    check = host()["checks"][0] | {"detail": "220 [red]mta1[/red] ESMTP [/]"}
    shown = text_of(
        status("mta1", warnings=["[bold]x[/nothing]"], hosts={NAME: {"mta1": host(checks=[check])}})
    )
    assert "220 [red]mta1[/red] ESMTP [/]" in shown
    assert "warning: [bold]x[/nothing]" in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (60, "1m"), (3661, "1h 1m 1s"), (86400, "1d")]
)
def test_a_span_is_short(seconds: float, text: str) -> None:
    assert f"up {text}, geodns" in text_of(status(uptime_s=seconds))


def test_watching_goes_on_while_the_server_is_away(fake: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.give("GET /status", status("mta1"), [], status("mta1", node="ns2"))
    turns: list[float] = []

    def sleep(seconds: float) -> None:
        turns.append(seconds)
        if len(turns) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("geodns.cli.status.time.sleep", sleep)
    result = run(fake, "--watch", "--interval", "0.5")
    assert turns == [0.5] * 3
    assert len(fake.asked) == 3
    assert "ns2: ready" in result.output


def test_watching_as_json_is_a_line_each_time(fake: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.give("GET /status", status("mta1"), status("mta2"))
    turns: list[float] = []

    def sleep(seconds: float) -> None:
        turns.append(seconds)
        if len(turns) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("geodns.cli.status.time.sleep", sleep)
    lines = run(fake, "--watch", "--json").stdout.splitlines()
    shown = [json.loads(line)["pools"][NAME]["main"]["live"] for line in lines if line.startswith("{")]
    assert shown == [["mta1"], ["mta2"]]


@pytest.mark.parametrize(
    ("load", "line"),
    [
        ({"value": 1450.0, "stale": False, "error": None}, "1450 of 2000"),
        ({"value": 0.5, "stale": False, "error": "refused"}, "0.5 of 2000 (refused)"),
        ({"value": 1450.0, "stale": True, "error": "refused"}, "1450 of 2000 (stale: refused)"),
        ({"value": None, "stale": False, "error": None}, "not known yet"),
        ({"value": None, "stale": True, "error": None}, "not known yet (stale)"),
    ],
)
def test_a_load_has_its_column(load: dict[str, object], line: str) -> None:
    shown = status("mta1", "mta2")
    busy = host(factors={"load": 0.55}, effective_weight=27.5, load={"full": 2000.0, "at": None, **load})
    shown["hosts"] = {NAME: {"mta1": busy, "mta2": host()}}
    text = text_of(shown)
    assert "27.5 of 50: load 0.55" in text
    rows = [row for row in text.splitlines() if row.startswith("mta1 ")]
    assert f"  {line}  " in rows[0]


# --- a line each ----------------------------------------------------------------------------------------

LONG = "554 5.7.1 Service unavailable; Client host [192.0.2.53] blocked using a list of a very long name"


def crowded() -> dict[str, Any]:
    """A status whose host has much to say."""
    check = host()["checks"][0]
    checks = [check, check | {"check": "submission", "state": "down", "outcome": "failure", "detail": LONG}]
    forced: dict[str, Any] = {"forced": "drained", "reason": "the disk is full " * 5, "author": "ops"}
    mta1 = host(addresses=["192.0.2.11", "2001:db8::11"], checks=checks, source="dns mta.example", **forced)
    return status("mta2", hosts={NAME: {"mta1": mta1, "mta2": host()}})


@pytest.mark.parametrize("width", [60, 80, 132])
def test_a_host_is_one_line_on_a_terminal(width: int) -> None:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(render(crowded()))
    lines = captured.get().splitlines()
    table = lines[[line.startswith("host ") for line in lines].index(True) :]
    assert [line.split()[0] for line in table[:4]] == ["host", "mta1", "mta2", "pool"]
    assert all(len(line) <= width for line in lines)


def test_a_line_in_a_pipe_is_whole(fake: Answering) -> None:
    fake.give("GET /status", crowded())
    result = CliRunner(env={"GEODNS_SERVER": fake.url, "COLUMNS": "80"}).invoke(main.geodns, ["status"])
    row = next(line for line in result.output.splitlines() if line.startswith("mta1"))
    assert row.endswith(f"submission failure 1.9 ms: {LONG}; smtp ok 1.9 ms: 220 mta1 ESMTP")
    assert "192.0.2.11, 2001:db8::11" in row
    assert ("the disk is full " * 5).strip() in row


TWO: dict[str, Any] = {
    "zones": {name: {"serial": 1, "file": "", "error": None} for name in (NAME, "in.example.com")},
    "hosts": {
        NAME: {"mta1": host(), "mta2": host(addresses=["192.0.2.12"])},
        "in.example.com": {"mta1": host(addresses=["2001:db8::11"]), "mx1": host()},
    },
    "pools": {NAME: {"main": pool("mta1")}, "in.example.com": {"inbound": pool("mx1")}},
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mta2"], {NAME: ["mta2"]}),
        (["mta1.in.example.com"], {"in.example.com": ["mta1"]}),
        (["mta*"], {NAME: ["mta1", "mta2"], "in.example.com": ["mta1"]}),
        (["192.0.2.12", "mx1"], {NAME: ["mta2"], "in.example.com": ["mx1"]}),
        (["2001:DB8:0::11"], {"in.example.com": ["mta1"]}),
        (["--zone", "IN.example.com.", "mta1"], {"in.example.com": ["mta1"]}),
        (["--zone", NAME], {NAME: ["mta1", "mta2"]}),
    ],
)
def test_hosts_and_zones_are_chosen(
    fake: Answering, arguments: list[str], expected: dict[str, list[str]]
) -> None:
    fake.give("GET /status", status("mta1", **TWO))
    shown = json.loads(run(fake, "--json", *arguments).output)
    assert {zone: list(hosts) for zone, hosts in shown["hosts"].items()} == expected
    assert list(shown["zones"]) == list(expected)
    assert set(shown["pools"]) <= set(expected)
    assert run(fake, *arguments).output.count("\nmta1 ") == sum("mta1" in one for one in expected.values())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["mta9"], 1, "no host mta9"),
        (["mta1"], 2, "write one of mta1.out.example.com, mta1.in.example.com"),
        (["--zone", "x.example"], 1, "no zone x.example is served; there are out.example.com"),
    ],
)
def test_who_is_not_there_is_told(fake: Answering, arguments: list[str], code: int, says: str) -> None:
    fake.give("GET /status", status("mta1", **TWO))
    result = run(fake, *arguments)
    assert isinstance(result.exception, GeodnsError)
    assert result.exception.status == code
    assert says in str(result.exception)


@pytest.mark.parametrize("arguments", [["mta1"], ["--zone", NAME]])
def test_a_server_that_starts_is_not_ready_and_denies_nothing(fake: Answering, arguments: list[str]) -> None:
    fake.give("GET /status", status(ready=False, zones={}, hosts={}, pools={}))
    result = run(fake, *arguments)
    assert (result.exit_code, result.output.partition(", up ")[0]) == (1, "ns1: not ready")


def test_a_host_that_one_server_lacks_is_shown_of_the_other(fake: Answering, other: Answering) -> None:
    fake.give("GET /status", status("mta1"))
    other.give("GET /status", status("mta1", hosts={NAME: {"mta2": host()}}))
    result = both(fake, other, "mta1")
    assert "no host mta1" in result.output
    assert "\nmta1 " in result.output
    assert result.exit_code == 1


# --- several servers ------------------------------------------------------------------------------------


@pytest.fixture
def other() -> Iterator[Answering]:
    with answering() as found:
        yield found


def both(fake: Answering, other: Answering, *arguments: str) -> Result:
    environment = {"GEODNS_SERVER": f"{fake.url},{other.url}", "COLUMNS": "200"}
    return CliRunner(env=environment).invoke(main.geodns, ["status", *arguments])


def test_servers_that_agree_are_shown_once(fake: Answering, other: Answering) -> None:
    fake.give("GET /status", status("mta1", "mta2"))
    other.give("GET /status", status("mta1", "mta2", node="ns2"))
    result = both(fake, other)
    assert result.exit_code == 0, result.output
    assert f"ns1 ({fake.url}): ready, up 1d 2h 3m 4s" in result.output
    assert f"ns2 ({other.url}): ready" in result.output
    assert "they agree on every zone, host and pool" in result.output
    assert result.output.count("mta1 50.0%, mta2 50.0%") == 1


def test_the_serials_that_servers_have_come_to_are_shown_and_are_no_disagreement(
    fake: Answering, other: Answering
) -> None:
    fake.give("GET /status", status("mta1", "mta2"))
    later = status("mta1", "mta2", node="ns2")
    later["zones"][NAME] = {**later["zones"][NAME], "serial": 2026112309}
    other.give("GET /status", later)
    result = both(fake, other)
    assert result.exit_code == 0, result.output
    assert "they agree on every zone, host and pool" in result.output
    said = f"serials of {NAME} (each server counts its own edits): ns1 2026112301, ns2 2026112309"
    assert said in result.output


def test_where_servers_disagree_is_shown_and_is_a_problem(fake: Answering, other: Answering) -> None:
    fake.give("GET /status", status("mta1", "mta2"))
    hosts = {NAME: {"mta1": host(forced="drained", author="ops", reason="[red]"), "mta2": host()}}
    other.give("GET /status", status("mta2", node="ns2", hosts=hosts))
    result = both(fake, other)
    assert result.exit_code == 1
    assert "they disagree on" in result.output
    rows = [line for line in result.output.splitlines() if line.startswith(f"host mta1.{NAME}")]
    assert "up (drained by ops: [red])" in rows[0]
    shown = json.loads(both(fake, other, "--json").output)
    assert shown["servers"][other.url]["node"] == "ns2"
    assert shown["differences"][0] == {
        "what": f"host mta1.{NAME}",
        "says": {fake.url: "up", other.url: "up (drained by ops: [red])"},
    }


@pytest.mark.parametrize(
    ("shown", "code", "says"),
    [
        pytest.param({"error": "no token: show it"}, 401, "no token: show it", id="no token"),
        pytest.param(b"<html>", 200, "the answer is no JSON", id="no geodns"),
        pytest.param(
            status("mta1", warnings=["the disk is full"]), 200, "warning: the disk is", id="warning"
        ),
    ],
)
def test_a_server_with_trouble_is_a_problem_and_the_other_is_shown(
    fake: Answering, other: Answering, shown: Any, code: int, says: str
) -> None:
    fake.give("GET /status", shown, status=code)
    other.give("GET /status", status("mta1"))
    result = both(fake, other)
    assert result.exit_code == 1
    assert says in result.output
    assert fake.url in result.output
    assert "mta1 100.0%" in result.output


def test_no_server_at_all_is_a_problem(fake: Answering, other: Answering) -> None:
    fake.url, other.url = "http://127.0.0.1:1", "http://127.0.0.1:2"
    result = both(fake, other)
    assert (result.exit_code, result.output.count("nobody listens there")) == (1, 2)
