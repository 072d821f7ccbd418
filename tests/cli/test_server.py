"""`geodns reload` and `geodns querylog`, on one server and on several."""

from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import ServerError
from tests.answering import NAME, Answering, answering, status

RELOAD = "POST /api/v1/reload"
PATH = "/api/v1/querylog"


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(RELOAD, {"waiting": {}})
        found.give("GET /status", status("mta1"))
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["reload", *arguments])


def test_one_server_says_what_it_serves(fake: Answering) -> None:
    result = run("--yes", "--server", fake.url)
    assert (result.exit_code, result.stdout) == (0, "zones are served as their files say: 1\n")
    assert [one[3] for one in fake.asked if one[0] == "POST"] == [{"yes": False}], "nothing waits"


WAITS = {"waiting": {NAME: ["3 of 4 hosts go"]}, "digest": "0123456789abcdef"}


def test_a_yes_is_to_what_waits_as_it_was_shown(fake: Answering) -> None:
    fake.give(RELOAD, WAITS, {"waiting": {}})
    result = run("--yes", "--server", fake.url)
    assert (result.exit_code, result.stdout) == (0, "zones are served as their files say: 1\n")
    said = [one[3] for one in fake.asked if one[0] == "POST"]
    assert said == [{"yes": False}, {"yes": "0123456789abcdef"}]


def test_a_yes_may_name_what_it_is_to(fake: Answering) -> None:
    result = run("--yes", "0123456789abcdef", "--server", fake.url)
    assert result.exit_code == 0
    assert fake.asked[0][3] == {"yes": "0123456789abcdef"}
    fake.give(RELOAD, WAITS)
    assert "`geodns reload --yes 0123456789abcdef` serves it" in run("--server", fake.url).stderr


def test_an_older_server_gets_a_yes_to_all(fake: Answering) -> None:
    fake.give(RELOAD, {"waiting": {NAME: ["3 of 4 hosts go"]}}, {"waiting": {}})
    assert run("--yes", "--server", fake.url).exit_code == 0
    assert fake.asked[1][3] == {"yes": True}


def test_what_waits_is_a_problem(fake: Answering) -> None:
    fake.give(RELOAD, {"waiting": {NAME: ["3 of 4 hosts go"]}})
    result = run("--server", fake.url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{NAME} waits: 3 of 4 hosts go: `geodns reload --yes`")


@pytest.mark.parametrize(
    ("command", "order", "answer"),
    [
        (["reload"], RELOAD, {"waiting": {}}),
        (["querylog", "off"], "POST /api/v1/querylog", {"on": False, "written": 0, "dropped": 0}),
    ],
)
def test_what_is_not_on_disk_is_said(
    fake: Answering, command: list[str], order: str, answer: dict[str, Any]
) -> None:
    fake.give(order, answer | {"kept": False})
    result = CliRunner().invoke(main.geodns, [*command, "--server", fake.url])
    assert result.exit_code == 4
    assert "note: in force, but not kept" in result.stderr


def test_every_server_reads_its_files_and_one_that_is_not_there_is_named(fake: Answering) -> None:
    result = run("--server", f"{fake.url},http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, f"{fake.url}: zones are served as their files say: 1\n")
    assert "nobody listens there" in result.stderr
    assert "run this again with --server http://127.0.0.1:1" in result.stderr


def test_what_the_only_server_says_is_the_error(fake: Answering) -> None:
    fake.give(RELOAD, {"error": "wrong token"}, status=401)
    result = run("--server", fake.url)
    assert isinstance(result.exception, ServerError)
    assert str(result.exception) == "wrong token"


# --- the query log --------------------------------------------------------------------------------------

OFF = {"on": False, "written": 0, "dropped": 0}
ON = {
    "on": True,
    "written": 12,
    "dropped": 3,
    "zones": ["out.example.com"],
    "clients": ["192.0.2.0/24"],
    "sample": 0.01,
    "until": "2026-11-25T01:00Z",
}


def query_log(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["querylog", *arguments])


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (OFF, "the query log is off"),
        (OFF | {"written": 5, "dropped": 1}, "the query log is off (5 written, 1 dropped)"),
        (
            ON,
            "the query log is on: out.example.com; 192.0.2.0/24; 1% of the queries; until 2026-11-25T01:00Z",
        ),
        (
            ON | {"zones": [], "clients": [], "sample": 1, "until": None},
            "the query log is on: all zones; all clients; every query; until it is switched off",
        ),
    ],
)
def test_alone_it_shows_what_is_so(fake: Answering, shown: dict[str, Any], text: str) -> None:
    fake.give(f"GET {PATH}", shown)
    result = query_log("--server", fake.url)
    sums = " (12 written, 3 dropped)" if shown["on"] else ""
    assert (result.exit_code, result.stdout) == (0, f"{text}{sums}\n")
    assert [one[:2] for one in fake.asked] == [("GET", PATH)]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["on"], {"on": True, "zones": [], "clients": []}),
        (
            ["on", "--zone", "a.example", "--zone", "b.example", "--client", "192.0.2.0/24"],
            {"on": True, "zones": ["a.example", "b.example"], "clients": ["192.0.2.0/24"]},
        ),
        (
            ["on", "--sample", "1%", "--for", "unlimited"],
            {"on": True, "zones": [], "clients": [], "sample": "1%", "for": "unlimited"},
        ),
        (["off"], {"on": False}),
    ],
)
def test_what_is_asked_for_is_sent(fake: Answering, arguments: list[str], body: dict[str, Any]) -> None:
    fake.give(f"POST {PATH}", ON if body["on"] else OFF)
    result = query_log(*arguments, "--server", fake.url, "--token", "s3cret")
    assert result.exit_code == 0, result.output
    (asked,) = fake.asked
    assert asked[:2] == ("POST", PATH)
    assert asked[2]["Authorization"] == "Bearer s3cret"
    assert asked[3] == body


def test_the_server_may_be_named_before_the_word(fake: Answering) -> None:
    fake.give(f"POST {PATH}", OFF)
    assert query_log("--server", fake.url, "--token", "s3cret", "off").stdout == "the query log is off\n"
    assert fake.asked[0][2]["Authorization"] == "Bearer s3cret"


def test_what_the_server_refuses_is_told(fake: Answering) -> None:
    fake.give(f"POST {PATH}", {"error": "`sample` is wrong"}, status=400)
    result = query_log("on", "--sample", "x", "--server", fake.url)
    assert isinstance(result.exception, ServerError)
    assert str(result.exception) == "`sample` is wrong"


def test_workers_that_have_not_heard_of_it_are_named(fake: Answering) -> None:
    fake.give(f"POST {PATH}", OFF | {"pending": ["udp1"]}, status=202)
    result = query_log("off", "--server", fake.url)
    assert (result.exit_code, result.stderr) == (1, "still pending: udp1 (it will follow in a moment)\n")


def test_several_servers_are_all_switched_and_one_that_is_not_there_is_a_problem(fake: Answering) -> None:
    fake.give(f"POST {PATH}", OFF)
    result = query_log("off", "--server", f"{fake.url},http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, f"{fake.url}: the query log is off\n")
    assert "nobody listens there" in result.stderr
    assert "run this again with --server http://127.0.0.1:1" in result.stderr
