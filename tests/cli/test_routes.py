"""`geodns route` and `geodns routes`: rule by rule where a message leaves, and what rules answered."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import NotFoundError
from tests.answering import NAME, Answering, answering

ROUTE, ROUTES = "GET /api/v1/route", "GET /api/v1/routes"
ANSWER: dict[str, Any] = {
    "zone": NAME,
    "rule": 3,
    "provider": "google",
    "name": f"gmail.{NAME}",
    "pool": "gmail",
    "host": None,
    "transport": f"relay:[gmail.{NAME}]:25",
    "live": ["mta1", "mta2"],
    "why": [
        {"rule": 1, "missed": "nothing tells the class"},
        {"rule": None, "missed": "1 rules more do not fit"},
    ],
}
NOTHING: dict[str, Any] = {"rule": None, "name": None, "pool": None, "transport": None, "live": []}
RULE: dict[str, Any] = {
    "rule": 1,
    "digest": "d1",
    "when": {"recipient": "vip@example.net", "size": "over 5MB"},
    "use": f"fast.{NAME}",
    "deal": "host",
    "port": 587,
    "matched": 1234,
    "answers": {"name": {"policy": 1234}},
    "known": "2026-11-01T12:00:00Z",
    "last": "2026-11-26T12:00:00Z",
}
UNUSED = RULE | {"rule": 2, "when": {}, "use": NAME, "deal": "name", "port": 25, "matched": 0, "last": None}
ZONE: dict[str, Any] = {
    "since": "2026-11-25T12:00:00Z",
    "rules": [RULE, UNUSED, UNUSED | {"rule": 3, "known": "2026-11-26T12:00:00Z"}],
    "unused": 2,
    "left": 7,
    "unmatched": {"local": {"policy": 5, "socketmap": 1}},
    "looked_up": {"mta1": {"": 1, "google": 1000}},
}
SHOWN: dict[str, Any] = {
    "listen": ["127.0.0.1:5310"],
    "zones": {NAME: ZONE},
    "no_zone": {"malformed": {"http": 2}},
}


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(ROUTE, ANSWER)
        found.give(ROUTES, SHOWN)
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, arguments)


def query(fake: Answering) -> dict[str, list[str]]:
    return parse_qs(urlsplit(fake.asked[-1][1]).query, keep_blank_values=True)


def test_a_message_is_followed_rule_by_rule(fake: Answering) -> None:
    result = run("route", "--server", fake.url, "--recipient", "bob@example.org")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"zone {NAME}, provider google",
        "  rule 1 does not fit: nothing tells the class",
        "  1 rules more do not fit",
        f"  rule 3 fits: it leaves by gmail.{NAME}",
        f"relay:[gmail.{NAME}]:25",
        "pool gmail deals mta1, mta2",
    ]
    assert query(fake) == {"recipient": ["bob@example.org"]}


def test_everything_that_is_told_is_asked(fake: Answering) -> None:
    told = ("--sender", "", "--class", "bulk", "--client", "192.0.2.7", "--sasl", "bob", "--size", "1.5 MB")
    result = run("route", NAME, "--server", fake.url, *told, "--json")
    assert json.loads(result.stdout) == ANSWER
    assert query(fake) == {
        "zone": [NAME],
        "sender": [""],
        "class": ["bulk"],
        "client": ["192.0.2.7"],
        "sasl": ["bob"],
        "size": ["1500000"],
    }


@pytest.mark.parametrize(
    ("size", "number"), [("12000", 12000), ("5kb", 5000), ("2KiB", 2048), ("1GB", 10**9), ("7B", 7)]
)
def test_sizes_have_units(size: str, number: int, fake: Answering) -> None:
    assert run("route", "--server", fake.url, "--size", size).exit_code == 0
    assert query(fake) == {"size": [str(number)]}


def test_a_size_that_is_none_is_wrong_usage(fake: Answering) -> None:
    result = run("route", "--server", fake.url, "--size", "large")
    assert (result.exit_code, fake.asked) == (2, [])
    assert "'large' is no size: write bytes, or a unit, as 12000 or 5MB" in result.stderr


@pytest.mark.parametrize(
    ("more", "status", "last"),
    [
        (NOTHING, 1, ["no rule says where it leaves: the MTA sends it its own way"]),
        ({"live": []}, 0, [f"relay:[gmail.{NAME}]:25", "pool gmail: nobody is live"]),
    ],
)
def test_where_nothing_is_to_be_had_it_says_so(
    more: dict[str, Any], status: int, last: list[str], fake: Answering
) -> None:
    fake.give(ROUTE, ANSWER | more)
    result = run("route", "--server", fake.url)
    assert result.exit_code == status
    assert result.stdout.splitlines()[-len(last) :] == last


def test_a_zone_without_routes_is_an_error(fake: Answering) -> None:
    fake.give(ROUTE, {"error": "no zone has `routes`"}, status=404)
    result = run("route", "--server", fake.url)
    assert isinstance(result.exception, NotFoundError)


def test_rules_with_what_they_answered_and_those_that_never_did(fake: Answering) -> None:
    result = run("routes", "--server", fake.url)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"routes of {NAME}, look-ups since 2026-11-25 ")
    assert lines[2].startswith(
        "1 recipient vip@example.net; size over 5MB fast:587, by host 1,234 2026-11-26 "
    )
    assert lines[3] == "2 every message @ 0 -"
    assert lines[5:8] == [
        "and 7 rules more",
        "local recipients: policy 5, socketmap 1",
        "hosts looked up: mta1 1,001 (not known 1, google 1,000)",
    ]
    assert lines[8].startswith("never matched since 2026-11-25 ")
    assert ": rules 2, 3 (there since 2026-11-26 " in lines[8]
    assert lines[9] == "of no zone: malformed: http 2"
    assert query(fake) == {"since": ["1d"]}


def test_rules_of_one_zone_as_json(fake: Answering) -> None:
    result = run("routes", NAME, "--server", fake.url, "--since", "7d", "--json")
    assert json.loads(result.stdout) == SHOWN
    assert query(fake) == {"zone": [NAME], "since": ["7d"]}


def test_where_every_rule_has_matched_or_nobody_answers_it_says_so(fake: Answering) -> None:
    fake.give(ROUTES, SHOWN | {"listen": [], "zones": {NAME: ZONE | {"rules": [RULE]}}, "no_zone": {}})
    lines = run("routes", "--server", fake.url).stdout.splitlines()
    assert lines[-2].startswith("every rule has matched since 2026-11-25 ")
    assert lines[-1] == "nobody answers MTAs: `routes_listen` of the server's settings is empty"
    fake.give(ROUTES, {"listen": ["127.0.0.1:5310"], "zones": {}, "no_zone": {}})
    assert run("routes", "--server", fake.url).stdout == (
        "no zone has `routes`: write some in a zone's file\n"
    )
