"""Overrides, written to a file and taken up again by commands."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import GeodnsError, UsageError
from tests.answering import NAME, Answering, answering
from tests.cli.test_orders import ordered

STATE = {"geodns_state": 1, "node": "ns1", "at": "2026-11-25T03:00:00Z", "forced": [], "weights": []}
POST = "POST /api/v1/state"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    monkeypatch.chdir(tmp_path)
    with answering() as found:
        found.give("GET /api/v1/state", STATE)
        found.give(POST, imported(dry_run=True), imported())
        yield found


def imported(**more: Any) -> dict[str, Any]:
    return ordered(imposed=["mta1: drained"], expired=[], unknown=[]) | more


def run(fake: Answering, *arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main.geodns, [*arguments, "--server", fake.url], input=given)


def test_it_is_printed_or_written_to_a_file(fake: Answering) -> None:
    assert json.loads(run(fake, "export-state").stdout) == STATE
    assert json.loads(run(fake, "export-state", "-").stdout) == STATE
    assert run(fake, "export-state", "state.json").stdout == ""
    assert json.loads(Path("state.json").read_text("utf-8")) == STATE


def test_a_file_that_cannot_be_written_is_told(fake: Answering) -> None:
    result = run(fake, "export-state", "nowhere/state.json")
    assert isinstance(result.exception, GeodnsError)
    assert str(result.exception) == "nowhere/state.json cannot be written: No such file or directory"


@pytest.mark.parametrize("arguments", [["state.json"], ["-"], []], ids=str)
def test_it_is_tried_and_then_taken_up(fake: Answering, arguments: list[str]) -> None:
    Path("state.json").write_text(json.dumps(STATE))
    result = run(fake, "import-state", *arguments, given=json.dumps(STATE))
    assert result.exit_code == 0, result.output
    tried, given = (one[1] for one in fake.asked)
    assert tried == "/api/v1/state?dry_run=true"
    assert re.fullmatch(r"/api/v1/state\?id=[0-9a-f]{32}", given)
    assert [one[3] for one in fake.asked] == [STATE, STATE]
    assert f"mta1.{NAME}: up (drained" in result.stdout


def test_with_yes_it_is_not_tried_first(fake: Answering) -> None:
    fake.give(POST, imported())
    run(fake, "import-state", "--yes", given=json.dumps(STATE))
    (given,) = (one[1] for one in fake.asked)
    assert re.fullmatch(r"/api/v1/state\?yes=true&id=[0-9a-f]{32}", given)


def test_a_dry_run_names_everything(fake: Answering) -> None:
    fake.give(POST, imported(dry_run=True, expired=["mta2: its time was over"]))
    result = run(fake, "import-state", "--dry-run", given=json.dumps(STATE))
    assert "override: mta1: drained\n" in result.stdout
    assert "left out: mta2: its time was over\n" in result.stdout
    assert len(fake.asked) == 1


def test_hosts_that_are_unknown_make_it_a_problem(fake: Answering) -> None:
    fake.give(POST, imported(dry_run=True), imported(unknown=["mta9: no such host is served here"]))
    result = run(fake, "import-state", given=json.dumps(STATE))
    assert (result.exit_code, result.stderr) == (1, "left out: mta9: no such host is served here\n")


@pytest.mark.parametrize("arguments", [[], ["--yes"]], ids=str)
def test_a_server_of_a_version_before_orders_takes_up_what_a_later_one_gave(
    fake: Answering, arguments: list[str]
) -> None:
    old = (
        400,
        {"error": "`orders`: not known here; `revision`: not known here: write what export-state has"},
    )
    fake.give(POST, *([] if arguments else [imported(dry_run=True)]), imported())
    fake.gives[POST] = [one for answer in fake.gives[POST] for one in (old, answer)]
    given = STATE | {"orders": [], "revision": {}}
    result = run(fake, "import-state", *arguments, given=json.dumps(given))
    assert result.exit_code == 0, result.output
    assert [set(one[3]) for one in fake.asked] == [set(given), set(STATE)] * (1 if arguments else 2)


def test_nothing_in_it_is_said(fake: Answering) -> None:
    fake.give(POST, imported(imposed=[], hosts={}, pools={}))
    assert run(fake, "import-state", given=json.dumps(STATE)).stdout == "it has no overrides\n"


@pytest.mark.parametrize(
    ("arguments", "given", "error", "says"),
    [
        pytest.param([], "{nonsense", UsageError, "the input is no JSON", id="no JSON"),
        pytest.param([], "[]", UsageError, "the input is no state of geodns", id="a list"),
        pytest.param(["x.json"], "", GeodnsError, "x.json cannot be read: No such file", id="no file"),
    ],
)
def test_what_is_no_state_asks_no_server(
    fake: Answering, arguments: list[str], given: str, error: type[GeodnsError], says: str
) -> None:
    result = run(fake, "import-state", *arguments, given=given)
    assert isinstance(result.exception, error)
    assert says in str(result.exception)
    assert fake.asked == []
