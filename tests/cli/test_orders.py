"""The orders on the command line: what is asked of the server, what is printed, and the exit status."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main, order_dialog
from geodns.errors import GeodnsError, NotFoundError, ServerError, UsageError
from tests.answering import NAME, Answering, answering, host

ORDERS = "POST /api/v1/orders"


def dealing(**shares: float) -> dict[str, Any]:
    """A pool as orders show it, that deals these hosts."""
    return {"shares": {"A": shares, "AAAA": {}}, "using": ["main"], "last_resort": None, "live": list(shares)}


def ordered(*, dealt: bool = False, **more: Any) -> dict[str, Any]:
    """What a server answers to an order for mta1, which it has drained unless `more` says otherwise."""
    shown: dict[str, Any] = {
        "hosts": {NAME: {"mta1": host(forced="drained", author="ann@::1", reason="disk", until=None)}},
        "pools": {NAME: {"main": {"before": dealing(mta1=0.5, mta2=0.5), "after": dealing(mta2=1.0)}}},
        "pending": [],
        "notes": [],
        "left": [],
        "dry_run": False,
        "confirm": None,
        "dealt_by": {NAME: {"mta1": ["main"] if dealt else []}},
        "cached_s": {NAME: {"mta1": 30}},
    }
    return shown | more


DANGER = "pool main of out.example.com would have no live host (last resort: drained, 2 hosts)"
TRIED = ordered(dry_run=True)
DANGEROUS = ordered(dry_run=True, confirm=DANGER)


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(ORDERS, TRIED, ordered())
        yield found


@pytest.fixture
def other() -> Iterator[Answering]:
    with answering() as found:
        found.give(ORDERS, TRIED, ordered())
        yield found


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads a geodns.yaml that happens to lie about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")


def run(fake: Answering, *arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main.geodns, [*arguments, "--server", fake.url])


def asked(fake: Answering) -> list[Any]:
    return [one[3] for one in fake.asked if one[0] == "POST"]


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        pytest.param(["drain", "mta1"], {"verb": "drain"}, id="drain"),
        pytest.param(
            ["drain", "mta1", "--for", "2h", "--reason", "disk", "--zone", NAME],
            {"verb": "drain", "for": "2h", "reason": "disk", "zone": NAME},
            id="drain with everything",
        ),
        pytest.param(["undrain", "mta1"], {"verb": "undrain"}, id="undrain"),
        pytest.param(["quarantine", "mta1"], {"verb": "quarantine"}, id="quarantine"),
        pytest.param(["force", "up", "mta1", "--for", "1h"], {"verb": "up", "for": "1h"}, id="force up"),
        pytest.param(["force", "down", "mta1"], {"verb": "down"}, id="force down"),
        pytest.param(["weight", "mta1", "0"], {"verb": "weight", "weight": 0}, id="weight"),
        pytest.param(
            ["weight", "mta1", "mta2", "7"],
            {"verb": "weight", "weight": 7, "hosts": ["mta1", "mta2"]},
            id="weight of several",
        ),
        pytest.param(["clear", "mta*"], {"verb": "clear", "hosts": ["mta*"]}, id="clear"),
    ],
)
def test_an_order_is_tried_and_then_given(
    fake: Answering, arguments: list[str], body: dict[str, Any]
) -> None:
    result = run(fake, *arguments, GEODNS_TOKEN="s3cret")
    assert result.exit_code == 0, result.output
    wanted = {"hosts": ["mta1"], "reason": "", **body}
    assert asked(fake) == [wanted | {"dry_run": True}, wanted | {"yes": False}]
    assert fake.asked[0][2]["Authorization"] == "Bearer s3cret"


def test_what_follows_is_said(fake: Answering) -> None:
    result = run(fake, "drain", "mta1")
    assert result.stdout == (
        f"mta1.{NAME}: up (drained by ann@::1: disk), dealt no more; caches may hold it for 30 s\n"
        f"pool main of {NAME} now deals mta2 100.0%\n"
    )
    assert result.stderr == ""


def test_a_host_that_is_dealt_has_its_share_before_and_after(fake: Answering) -> None:
    weight = {
        "weight": 5,
        "file_weight": 50,
        "reason": "slow",
        "author": "ann@::1",
        "since": "2026-11-23T07:00:00Z",
        "until": None,
        "hides": None,
    }
    change = {"before": dealing(mta1=0.5, mta2=0.5), "after": dealing(mta1=0.1, mta2=0.9)}
    done = ordered(
        dealt=True,
        hosts={NAME: {"mta1": host(forced_weight=weight)}},
        pools={NAME: {"main": change}},
    )
    fake.give(ORDERS, TRIED, done)
    assert run(fake, "weight", "mta1", "5").stdout == (
        f"mta1.{NAME}: up, weight 5 (forced by ann@::1: slow; the file says 50), "
        "dealt by main (A 50.0% → 10.0%)\n"
        f"pool main of {NAME} now deals mta1 10.0%, mta2 90.0%\n"
    )


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(
            {"last_resort": "drained"}, "now deals mta2 100.0% (last resort: drained)", id="last resort"
        ),
        pytest.param(
            {"using": ["main", "reserve"], "shares": {"A": {"b1": 1.0}, "AAAA": {"mta2": 1.0}}},
            "now deals from main, reserve: IPv4 b1 100.0%; IPv6 mta2 100.0%",
            id="families that differ",
        ),
        pytest.param(
            {"shares": {"A": {"mta2": 1.0}, "AAAA": {"mta2": 1.0}}}, "now deals mta2 100.0%\n", id="alike"
        ),
        pytest.param({"using": ["main", "reserve"]}, "now deals from main, reserve: mta2 100", id="fallback"),
        pytest.param(
            {"last_resort": "servfail", "shares": {"A": {}, "AAAA": {}}, "using": []},
            "now deals SERVFAIL",
            id="nobody",
        ),
        pytest.param(
            {"shares": {"A": {f"h{one}": 0.05 for one in range(20)}, "AAAA": {}}}, "and 12 more", id="many"
        ),
    ],
)
def test_a_pool_says_what_it_deals_then(fake: Answering, after: dict[str, Any], expected: str) -> None:
    change = {"before": dealing(mta1=1.0), "after": dealing(mta2=1.0) | after}
    fake.give(ORDERS, TRIED, ordered(pools={NAME: {"main": change}}))
    assert expected in run(fake, "drain", "mta1").stdout


def test_workers_that_have_not_taken_it_are_a_problem_that_is_named(fake: Answering) -> None:
    fake.gives[ORDERS] = [(200, TRIED), (202, ordered(pending=["udp1", "tcp"]))]
    result = run(fake, "drain", "mta1")
    assert result.exit_code == 1
    assert result.stderr == "still pending: udp1, tcp (it may deal the host a moment longer)\n"


def test_notes_are_told_and_what_was_not_done_is_a_problem(fake: Answering) -> None:
    fake.give(ORDERS, TRIED, ordered(notes=["mta1 was x"], left=["mta2 is quarantined"]))
    result = run(fake, "undrain", "mta*")
    assert result.exit_code == 1
    assert "note: mta1 was x\n" in result.stdout
    assert result.stderr == "not done: mta2 is quarantined\n"


def test_an_order_that_a_restart_would_forget_is_status_4(fake: Answering) -> None:
    fake.give(ORDERS, TRIED, ordered(kept=False, notes=["in force, but not kept"]))
    result = run(fake, "drain", "mta1")
    assert (result.exit_code, result.stderr) == (4, "")
    assert "note: in force, but not kept\n" in result.stdout


def test_what_is_not_as_ordered_is_worse_than_what_is_not_kept(fake: Answering) -> None:
    fake.give(ORDERS, TRIED, ordered(kept=False, left=["mta2 is quarantined"]))
    assert run(fake, "undrain", "mta*").exit_code == 1


def test_a_dry_run_asks_once_and_prints_a_table(fake: Answering) -> None:
    result = run(fake, "drain", "mta1", "--dry-run")
    assert result.exit_code == 0
    assert [one["dry_run"] for one in asked(fake)] == [True]
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["A", "mta1", "50.0%", "-"] in rows
    assert ["A", "mta2", "50.0%", "100.0%"] in rows
    assert "nothing was changed" in result.stdout


def test_a_dry_run_says_what_would_have_to_be_confirmed(fake: Answering) -> None:
    fake.give(ORDERS, DANGEROUS)
    result = run(fake, "drain", "mta1", "--dry-run")
    assert (result.exit_code, f"it would ask first: {DANGER}" in result.stdout) == (0, True)


def test_json_is_what_each_server_answers(fake: Answering) -> None:
    result = run(fake, "drain", "mta1", "--json")
    assert json.loads(result.stdout) == {fake.url: ordered()}
    dry = run(fake, "drain", "mta1", "--json", "--dry-run")
    assert json.loads(dry.stdout) == {fake.url: ordered()}


# --- what leaves a pool without a live host -------------------------------------------------------------


def test_without_a_terminal_it_is_refused(fake: Answering) -> None:
    fake.give(ORDERS, DANGEROUS)
    result = run(fake, "drain", "mta*")
    assert isinstance(result.exception, GeodnsError)
    assert (result.exception.status, str(result.exception)) == (
        1,
        "nothing was changed: --yes goes on without asking",
    )
    assert DANGER in result.stderr
    assert "mta1" in result.stderr
    assert [one.get("dry_run") for one in asked(fake)] == [True]


def test_with_yes_it_is_not_asked_for(fake: Answering) -> None:
    fake.give(ORDERS, ordered())
    assert run(fake, "drain", "mta*", "--yes").exit_code == 0
    assert [one["yes"] for one in asked(fake)] == [True]


@pytest.mark.parametrize(("said", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_on_a_terminal_it_is_asked(
    fake: Answering, monkeypatch: pytest.MonkeyPatch, said: str, code: int
) -> None:
    monkeypatch.setattr(order_dialog, "_on_terminal", lambda: True)
    fake.give(ORDERS, DANGEROUS, ordered())
    result = CliRunner().invoke(main.geodns, ["drain", "mta1", "--server", fake.url], input=said)
    assert "Go on? [y/N]" in result.stderr
    assert (result.exit_code, len(asked(fake))) == (code, 1 + (code == 0))
    assert code or asked(fake)[1]["yes"] is True


# --- several servers ------------------------------------------------------------------------------------


def both(fake: Answering, other: Answering, *arguments: str) -> Result:
    return CliRunner(env={"GEODNS_SERVER": f"{fake.url},{other.url}"}).invoke(main.geodns, list(arguments))


def test_every_server_gets_the_order_and_what_they_say_alike_is_said_once(
    fake: Answering, other: Answering
) -> None:
    result = both(fake, other, "drain", "mta1")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{fake.url}, {other.url}:\nmta1.{NAME}: up (drained")
    assert result.stdout.count("dealt no more") == 1
    assert len(asked(fake)) == len(asked(other)) == 2


def test_servers_that_differ_are_reported_one_by_one(fake: Answering, other: Answering) -> None:
    other.give(ORDERS, TRIED, ordered(dealt=True, pools={}))
    result = both(fake, other, "drain", "mta1")
    assert f"{fake.url}:\nmta1.{NAME}: up (drained by ann@::1: disk), dealt no more" in result.stdout
    assert f"{other.url}:\nmta1.{NAME}: up (drained by ann@::1: disk), dealt by main\n" in result.stdout


def test_a_server_that_missed_it_is_named_with_what_to_do(fake: Answering, other: Answering) -> None:
    other.url = "http://127.0.0.1:1"
    result = both(fake, other, "drain", "mta1")
    assert result.exit_code == 1
    assert "dealt no more" in result.stdout
    assert "missed: http://127.0.0.1:1: nobody listens there (connection refused)" in result.stderr
    assert "run this again with --server http://127.0.0.1:1" in result.stderr


def test_a_server_that_refuses_is_a_miss_too(fake: Answering, other: Answering) -> None:
    other.give(ORDERS, {"error": "wrong token: none of this server's is that"}, status=401)
    result = both(fake, other, "drain", "mta1", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)[other.url] == {"error": "wrong token: none of this server's is that"}
    assert len(asked(other)) == 1, "it is not tried again"


def test_what_all_refuse_alike_is_one_error(fake: Answering, other: Answering) -> None:
    for one in (fake, other):
        one.give(ORDERS, {"error": "no host mta9"}, status=404)
    result = both(fake, other, "drain", "mta9")
    assert isinstance(result.exception, NotFoundError)
    assert str(result.exception) == "no host mta9"


def test_one_dangerous_server_stops_the_order_for_all(fake: Answering, other: Answering) -> None:
    other.give(ORDERS, DANGEROUS)
    result = both(fake, other, "drain", "mta1")
    assert result.exit_code == 1
    assert f"{other.url}: {DANGER}" in result.stderr
    assert len(asked(fake)) == len(asked(other)) == 1


# --- wrong use ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["drain", "mta1", "--for", "2"], "`for` '2' has no unit: write 2h or 2m", id="no unit"),
        pytest.param(["drain", "mta1", "--for", "soon"], "`for` 'soon' is no duration", id="no duration"),
        pytest.param(["quarantine", "mta1", "--for", "99999d"], "over ten years", id="for ever"),
        pytest.param(["drain", "mta1", "--author", "a\nb"], "--author is one line", id="author"),
    ],
)
def test_what_is_asked_wrongly_asks_no_server(fake: Answering, arguments: list[str], says: str) -> None:
    result = run(fake, *arguments)
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)
    assert fake.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["drain"],
        ["weight", "mta1"],
        ["weight", "5"],
        ["weight", "mta1", "-1"],
        ["weight", "mta1", "2147483648"],
        ["weight", "mta1", "half"],
        ["undrain", "mta1", "--for", "2h"],
        ["clear", "mta1", "--for", "2h"],
        ["force", "sideways", "mta1"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_status_2(fake: Answering, arguments: list[str]) -> None:
    assert run(fake, *arguments).exit_code == 2
    assert fake.asked == []


@pytest.mark.parametrize(("status", "code"), [(400, 2), (404, 1), (403, 1), (500, 1)])
def test_what_the_server_refuses_is_told(fake: Answering, status: int, code: int) -> None:
    fake.give(ORDERS, {"error": "this is why"}, status=status)
    result = run(fake, "drain", "mta1")
    assert isinstance(result.exception, ServerError if status != 404 else NotFoundError)
    assert (str(result.exception), result.exception.status) == ("this is why", code)


def test_who_orders_may_be_said(fake: Answering) -> None:
    run(fake, "drain", "mta1", "--author", "Søren")
    # What was sent are bytes of UTF-8; the test's server reads a byte as a character.
    assert fake.asked[0][2]["X-Geodns-Author"].encode("latin-1").decode() == "Søren"


@pytest.mark.parametrize("verb", [["drain"], ["quarantine"], ["force", "down"]], ids=" ".join)
def test_the_help_says_what_dns_cannot_do(verb: list[str]) -> None:
    text = " ".join(CliRunner().invoke(main.geodns, [*verb, "--help"]).output.split())
    assert "What DNS cannot do" in text
    assert "queued" in text
    assert "caches" in text or "for the TTL" in text
