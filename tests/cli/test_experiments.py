"""`geodns experiments`: the arms as a table, and in words what may be believed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import NotFoundError
from tests.answering import NAME, Answering, answering

PATH = "GET /api/v1/experiments"


def rate(value: float, n: int = 1000, reach: float | None = 0.01) -> dict[str, Any]:
    low, high = (None, None) if reach is None else (value - reach, value + reach)
    return {"value": value, "low": low, "high": high, "n": n}


def arm(share: float, pool: str, deferred: dict[str, Any]) -> dict[str, Any]:
    return {
        "share": share,
        "realised": share - 0.01,
        "pool": pool,
        "queries": 12_345,
        "answers": 12_340,
        "failovers": 7,
        "networks": 400,
        "effective_networks": 123.4,
        "undated": 0,
        "rates": {"deferred": deferred, "bounced": rate(0.0), "delivered": rate(0.98)},
    }


BETTER = {
    "metric": "deferred",
    "arm": "trial",
    "against": "control",
    "difference": -0.02,
    "low": -0.03,
    "high": -0.01,
}
ONE: dict[str, Any] = {
    "name": NAME,
    "by": "client",
    "since": "2026-11-01T12:00:00Z",
    "epoch": 2,
    "horizon": "2026-11-15T12:00:00Z",
    "networks": 800,
    "effective_networks": 250.0,
    "left_out_s": 0,
    "arms": {"control": arm(0.8, "main", rate(0.06)), "trial": arm(0.2, "trial", rate(0.04))},
    "verdict": {**BETTER, "enough": True, "why": "trial is 1 to 3 points below control"},
    "others": [
        {**BETTER, "metric": "bounced", "difference": 0.0},
        {**BETTER, "metric": "delivered", "difference": 0.001},
    ],
}


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(PATH, {"experiments": {NAME: {"new-mta": ONE}}})
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["experiments", *arguments])


def test_the_arms_and_the_verdict(fake: Answering) -> None:
    result = run("--server", fake.url)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"experiment new-mta at {NAME} ({NAME}), by client"
    assert lines[1].startswith("epoch 2 since 2026-11-01 12:00")
    assert lines[1].endswith(", 800 networks, effective 250.0")
    assert lines[2].split()[-2:] == ["deferred", "delivered"], "nothing bounced"
    assert lines[4].split()[:8] == ["trial", "trial", "20.0%", "19.0%", "12,345", "12,340", "7", "123.4"]
    assert "4.00% (3.00 to 5.00)" in lines[4]
    assert lines[5] == "deferred, trial against control: -2.00 points (-3.00 to -1.00)"
    assert lines[6:] == ["enough: trial is 1 to 3 points below control"]


def test_one_is_shown_with_all_that_is_compared(fake: Answering) -> None:
    late = {
        **ONE,
        "left_out_s": 900,
        "arms": {name: {**one, "undated": 3} for name, one in ONE["arms"].items()},
    }
    fake.give(PATH, {"experiments": {NAME: {"new-mta": late, "other": ONE}}})
    lines = run("new-mta", "--server", fake.url).stdout.splitlines()
    assert "  beside it: delivered, trial against control: +0.10 points (-3.00 to -1.00)" in lines
    assert not any("bounced" in line for line in lines)
    assert "left out: 15m: an arm was on a fallback, or the control process was away" in lines
    assert "6 events count by when they happened: nobody said when the mail came in" in lines
    assert not any("experiment other" in line for line in lines)


def test_without_intervals_there_are_rates_alone(fake: Answering) -> None:
    arms = {"control": arm(0.8, "main", rate(0.06, reach=None)), "trial": arm(0.2, "trial", rate(0.0, n=0))}
    verdict = {
        **BETTER,
        "difference": None,
        "low": None,
        "high": None,
        "enough": False,
        "why": "install numpy",
    }
    fake.give(PATH, {"experiments": {NAME: {"new-mta": {**ONE, "arms": arms, "verdict": verdict}}}})
    lines = run("--server", fake.url).stdout.splitlines()
    assert lines[3].split()[8] == "6.00%"
    assert lines[4].split()[8] == "-"
    assert lines[5:] == ["deferred, trial against control: no mail yet", "not enough: install numpy"]


def test_as_json_and_none(fake: Answering) -> None:
    assert json.loads(run("--json", "--server", fake.url).stdout) == {"experiments": {NAME: {"new-mta": ONE}}}
    assert json.loads(run("new-mta", "--json", "--server", fake.url).stdout)["experiments"][NAME].keys() == {
        "new-mta"
    }
    result = run("lost", "--server", fake.url)
    assert isinstance(result.exception, NotFoundError)
    assert str(result.exception) == "no experiment 'lost': there is new-mta"
    fake.give(PATH, {"experiments": {}})
    assert run("--server", fake.url).stdout.startswith("no experiment is under way: ")
