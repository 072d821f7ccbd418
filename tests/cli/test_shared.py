"""`geodns shared`: who is heard, whose verdicts hold, and the rights at Redis."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import UsageError
from tests.answering import Answering, answering

SHARED: dict[str, Any] = {
    "connected": True,
    "since": "2026-11-26T12:00:00Z",
    "why": "",
    "group": "out",
    "agree": "quorum",
    "store": "Redis 7.0.15",
    "heard": ["ns1", "ns2"],
    "known": 3,
    "mode": "quorum",
    "alone": [],
    "alone_count": 0,
    "tied": 0,
    "skipped": {},
    "signals": {"ns1": {"told": None, "today": 1200}, "ns2": {"told": None, "today": 7}},
    "programs": "ns1",
}
LONE = {
    "server": "ns2",
    "says": "down",
    "hosts": ["mta1.out.example.com"],
    "check": "smtp",
    "address": "[192.0.2.11]:25",
    "why": "connection refused",
}


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        yield found


def asked(fake: Answering, *more: str, **shared: Any) -> Result:
    fake.give("GET /status", {"node": "ns1", "shared": SHARED | shared})
    return CliRunner().invoke(main.geodns, ["shared", "status", "--server", fake.url, *more])


def test_who_is_heard_is_shown(fake: Answering) -> None:
    done = asked(fake, alone=[LONE], alone_count=3, tied=2, skipped={"not signed": 1})
    assert done.exit_code == 0, done.output
    first, *rest = done.output.splitlines()
    assert first.startswith("ns1: group out, connected to Redis 7.0.15 since ")
    assert rest == [
        "  hears 2 of 3 servers: ns1, ns2",
        "  what most servers see is served",
        "  ns2 alone says down of mta1.out.example.com (smtp [192.0.2.11]:25): connection refused",
        "  and so of 2 addresses more",
        "  evenly divided on addresses: 2",
        "  counts of mail today: ns1 1,200, ns2 7; programs' orders come from ns1",
        "  skipped values: 1 not signed",
    ]


@pytest.mark.parametrize(
    ("shared", "status", "says"),
    [
        ({"connected": False, "why": "connection refused"}, 1, "not connected"),
        ({"connected": False, "http": {"ns2": ""}}, 1, "votes come by HTTP from ns2, as Redis does not"),
        ({"http": {"ns3": "status 404"}}, 0, "ns3 is not heard by HTTP: status 404"),
        (
            {"connected": False, "mode": "own", "known": 1, "heard": ["ns1"]},
            1,
            "has heard of no other server",
        ),
        ({"mode": "own", "heard": ["ns1"]}, 1, "each server serves what it sees itself"),
        ({"mode": "own", "agree": "own"}, 0, "each server serves what it sees itself"),
        ({"mode": "frozen"}, 1, "the last common verdicts are served"),
        ({"mode": "later"}, 1, "later"),
    ],
)
def test_the_exit_status_says_whether_all_is_well(
    fake: Answering, shared: dict[str, Any], status: int, says: str
) -> None:
    done = asked(fake, **shared)
    assert done.exit_code == status
    assert says in done.output


def test_a_server_that_shares_nothing_says_so(fake: Answering) -> None:
    fake.give("GET /status", {"node": "ns1"})
    done = CliRunner().invoke(main.geodns, ["shared", "status", "--server", fake.url])
    assert (done.exit_code, done.output) == (0, "ns1: shares nothing: `shared` is not in its settings\n")


def test_a_server_that_is_away_is_told(fake: Answering) -> None:
    done = asked(fake, "--server", "http://127.0.0.1:1")
    assert done.exit_code == 1
    assert "http://127.0.0.1:1" in done.output
    assert "group out" in done.output


def test_json_is_as_the_servers_give_it(fake: Answering) -> None:
    done = asked(fake, "--json")
    assert json.loads(done.output) == {fake.url: SHARED}


def test_the_rights_are_for_one_group_alone() -> None:
    done = CliRunner().invoke(main.geodns, ["shared", "acl", "out", "--user", "ns"])
    assert done.exit_code == 0
    assert done.output.startswith("ACL SETUSER ns reset on >PASSWORD ~{geodns:out}:* ")
    assert "+@all" not in done.output


@pytest.mark.parametrize("arguments", [["Out"], ["a*"], ["out", "--user", "a b"], ["out", "--user", "x>y"]])
def test_names_that_would_say_something_else_to_redis_are_refused(arguments: list[str]) -> None:
    done = CliRunner().invoke(main.geodns, ["shared", "acl", *arguments])
    assert isinstance(done.exception, UsageError)
