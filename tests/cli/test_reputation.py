"""`geodns reputation`: hosts, one host by providers, and what overrules it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import NotFoundError
from tests.answering import NAME, Answering, answering

PATH = "GET /api/v1/reputation"
IGNORE = "POST /api/v1/reputation/ignore"
MODE = "POST /api/v1/reputation/mode"
LOW = "▁"
LATER = "2099-12-01T00:00:00Z"


def tally(first: int = 0, **more: Any) -> dict[str, Any]:
    return {"first": first, "delivered": 0, "deferred": 0, "bounced": 0, "complaint": 0, **more}


def host(**more: Any) -> dict[str, Any]:
    return {
        "factor": 1.0,
        "barred": {},
        "egress": {"192.0.2.1": {"listed": []}},
        "totals": {"1h": tally(), "1d": tally(), "7d": tally()},
        "providers": {},
        "hours": {"since": "2026-12-01T00:00:00Z", "first": [0] * 24, "refused": [0] * 24},
        "actions": [],
        **more,
    }


def action(rule: str, **more: Any) -> dict[str, Any]:
    return {
        "rule": rule,
        "provider": None,
        "action": "quarantine",
        "since": "2026-12-01T00:00:00Z",
        "until": None,
        "ended": None,
        "in_force": True,
        "took": 1.0,
        "why": "because",
        **more,
    }


LISTED = {"list": "bl.test", "code": "127.0.0.2", "text": "spam", "since": "2026-12-01T00:00:00Z"}
MTA1 = host(egress={"192.0.2.1": {"listed": [LISTED]}}, actions=[action("bl.test")])
MTA2 = host(
    factor=0.75,
    barred={"yahoo": LATER},
    totals={
        "1h": tally(400, delivered=360, deferred=40),
        "1d": tally(1000, delivered=990, bounced=5, complaint=2),
        "7d": tally(),
    },
    hours={
        "since": "2026-12-01T00:00:00Z",
        "first": [0] * 22 + [1400, 700],
        "refused": [0] * 22 + [200, 700],
    },
    providers={"yahoo": {"1h": tally(100, delivered=60, deferred=40, delay_p50_s=1.5, delay_p95_s=None)}},
    actions=[
        action("yahoo ip", provider="yahoo", action="bar", until=LATER, took=0.25),
        action("bounces over 5%", action="reduce 50%", in_force=False, took=0.0),
        action("any ip", action="bar", ended="2026-12-01T02:00:00Z", took=0.1),
    ],
)
ZONE = {
    "mode": "act",
    "mode_until": LATER,
    "lists": ["bl.test"],
    "common": {"bl.test": ["mta1", "mta3"]},
    "ignored": [{"host": "mta3", "rule": None, "until": LATER, "author": "ops@here", "reason": "known"}],
    "hosts": {"mta1": MTA1, "mta2": MTA2},
}
ANSWER: dict[str, Any] = {
    "zones": {NAME: ZONE},
    "lists": {
        "bl.test": {"ok": True, "why": "", "at": LATER},
        "mute.test": {"ok": False, "why": "it does not answer", "at": LATER},
    },
    "unknown_replies": [{"text": "550 Zork #", "count": 6}],
}


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(PATH, ANSWER)
        found.give(IGNORE, ANSWER)
        found.give(MODE, ANSWER)
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["reputation", *arguments], env={"COLUMNS": "200"})


def test_all_hosts(fake: Answering) -> None:
    result = run("--server", fake.url)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"{NAME}: mode act until 2099-1")
    assert lines[1] == "bl.test hits mta1, mta3 at once: nobody is taken out for it"
    assert lines[2].startswith("ignored for mta3 until 2099-1")
    assert lines[2].endswith(": all by ops@here")
    assert f"mta1 100% bl.test 0 - - - - {LOW * 24}" in lines
    assert f"mta2 75% - 400 90.0% 10.0% 0.0% 0.2% {LOW * 22}█▅" in lines
    assert "mta1: bl.test: quarantine (takes 100%): because" in lines
    assert any(line.startswith("mta2: yahoo ip: bar (takes 25%) until 2099-1") for line in lines)
    assert "mta2: bounces over 5%: reduce 50% (not in force): because" in lines
    assert any(line.startswith("mta2: any ip: bar (takes 10%), given back since 2026-1") for line in lines)
    assert lines[-3:] == [
        "block list bl.test: believed",
        "block list mute.test: not believed: it does not answer",
        "reply that no rule knows, 6 times: 550 Zork #",
    ]


@pytest.mark.parametrize("name", ["mta2", f"mta2.{NAME}", f"mta2.{NAME}."])
def test_one_host_by_providers(fake: Answering, name: str) -> None:
    result = run(name, "--server", fake.url)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "all 1h 400 90.0% 10.0% 0.0% 0.0% - -" in lines
    assert "1d 1000 99.0% 0.0% 0.5% 0.2% - -" in lines
    (yahoo,) = [line for line in lines if line.startswith("yahoo (barred until 2099-1")]
    assert yahoo.endswith("1h 100 60.0% 40.0% 0.0% 0.0% 1.5s -")
    assert f"first attempts, 24 h {LOW * 22}█▅ 1,400 an hour at most" in lines
    assert f"refused {LOW * 22}▂▅ 900 of 2,100" in lines
    assert "mta1: bl.test" not in result.stdout
    assert "block list" not in result.stdout


def test_who_is_not_judged(fake: Answering) -> None:
    result = run("mta9", "--server", fake.url)
    assert isinstance(result.exception, NotFoundError)
    fake.give(PATH, {"zones": {}, "lists": {}, "unknown_replies": []})
    assert run("--server", fake.url).stdout.startswith("no zone file says anything of reputation: write")


def test_as_json(fake: Answering) -> None:
    assert json.loads(run("--json", "--server", fake.url).stdout) == ANSWER
    shown = json.loads(run("mta2", "--json", "--server", fake.url).stdout)
    assert shown["zones"][NAME]["hosts"] == {"mta2": MTA2}


@pytest.mark.parametrize(
    ("arguments", "body", "says"),
    [
        (
            ["ignore", "mta1", "--rule", "bl.test", "--for", "12h", "--reason", "delisted"],
            {"host": "mta1", "rule": "bl.test", "zone": None, "for": "12h", "reason": "delisted"},
            "mta1: bl.test is ignored for 12h\n",
        ),
        (
            ["ignore", "mta1", "--for", "0", "--zone", NAME],
            {"host": "mta1", "rule": None, "zone": NAME, "for": "0", "reason": ""},
            "mta1: reputation counts again\n",
        ),
        (
            ["mode", "observe", "--for", "6h"],
            {"mode": "observe", "zone": None, "for": "6h", "reason": ""},
            f"reputation mode observe for 6h: {NAME}\n",
        ),
        (
            ["mode", "observe", "--for", "0s"],
            {"mode": "observe", "zone": None, "for": "0s", "reason": ""},
            f"reputation mode of the zone file again: {NAME}\n",
        ),
    ],
)
def test_it_is_overruled(fake: Answering, arguments: list[str], body: dict[str, Any], says: str) -> None:
    result = run(*arguments, "--server", fake.url)
    assert (result.exit_code, result.stdout) == (0, says)
    assert [one[3] for one in fake.asked if one[0] == "POST"] == [body]


@pytest.mark.parametrize("lasts", ["2", "soon", "-1h", "20y"])
def test_how_long_has_a_unit(fake: Answering, lasts: str) -> None:
    result = run("ignore", "mta1", f"--for={lasts}", "--server", fake.url)
    assert result.exception is not None
    assert fake.asked == []


def test_each_server_is_told(fake: Answering) -> None:
    result = run("mode", "act", "--for", "1h", "--server", f"{fake.url},http://127.0.0.1:1")
    assert result.exit_code == 1
    assert f"{fake.url}: reputation mode act for 1h: {NAME}" in result.stdout
    assert "run this again with --server http://127.0.0.1:1" in result.stderr
