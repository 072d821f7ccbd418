"""`geodns warmup`: the table, the drawings, and orders on one server and on several."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main
from geodns.errors import AmbiguousError, NotFoundError
from tests.answering import NAME, Answering, answering

PATH = "GET /api/v1/warmup"
ORDER = f"POST /api/v1/hosts/{NAME}/new1/warmup"
NEW1: dict[str, Any] = {
    "plan": "sendgrid",
    "days": "calendar",
    "start": "2026-12-01",
    "day": 3,
    "last": 6,
    "cap": 936,
    "sent": 412.0,
    "counted": True,
    "volume": 200000,
    "share": 0.0046,
    "ceiling": 0.00468,
    "held": None,
    "overshoot": 93,
    "ahead": [{"date": f"2026-12-0{4 + at}", "cap": 1320 * 2**at} for at in range(3)],
}
OVER = NEW1 | {"day": 7, "cap": None, "ceiling": None, "ahead": [], "counted": False}


@pytest.fixture
def fake() -> Iterator[Answering]:
    with answering() as found:
        found.give(PATH, {"zones": {NAME: {"hosts": {"new1": NEW1, "new2": OVER}}}})
        found.give(ORDER, NEW1 | {"held": "held by ops (lists)"})
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["warmup", *arguments])


def test_the_table_and_the_days_ahead(fake: Answering) -> None:
    result = run("--server", fake.url)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["HOST", "PLAN", "DAY", "CAP", "SENT", "SHARE", "CEILING", "HELD"]
    assert lines[1] == [f"new1.{NAME}", "sendgrid", "3/6", "936", "412", "0.46%", "0.47%", "-"]
    assert lines[2][2:7] == ["7/6", "over", "412", "(by", "share)"]
    assert lines[4][:2] == [f"new1.{NAME}", "▇▇▇█"]
    assert "ahead: 2026-12-04 1,320, 2026-12-05 2,640, 2026-12-06 5,280\n" in result.stdout


def test_nobody_warms_up(fake: Answering) -> None:
    fake.give(PATH, {"zones": {}})
    assert run("--server", fake.url).stdout.startswith("no host warms up")


def test_as_json(fake: Answering) -> None:
    assert json.loads(run("--json", "--server", fake.url).stdout)["zones"][NAME]["hosts"]["new1"] == NEW1


def test_the_drawing_is_svg(fake: Answering, tmp_path: Path) -> None:
    file = tmp_path / "plans.svg"
    assert run("--svg", str(file), "--server", fake.url).exit_code == 0
    root = ET.fromstring(file.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [4, 1]
    wrong = run("--svg", str(tmp_path / "no" / "plans.svg"), "--server", fake.url)
    assert "No such file or directory" in str(wrong.exception)


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["hold", "new1", "--reason", "lists"], {"order": "hold", "reason": "lists"}),
        (["resume", f"new1.{NAME}"], {"order": "resume", "reason": ""}),
        (["restart", "new1"], {"order": "restart", "reason": ""}),
        (["skip-to", "5", "new1"], {"order": "skip-to", "day": 5, "reason": ""}),
    ],
)
def test_orders(fake: Answering, arguments: list[str], body: dict[str, Any]) -> None:
    result = run(*arguments, "--server", fake.url)
    said = f"new1.{NAME}: day 3 of 6, 936 messages today (held by ops (lists))\n"
    assert (result.exit_code, result.stdout) == (0, said)
    assert [one[3] for one in fake.asked if one[0] == "POST"] == [body]


def test_one_server_that_is_late_or_away_is_a_problem(fake: Answering) -> None:
    fake.give(ORDER, NEW1 | {"pending": ["udp0"]}, status=202)
    result = run("hold", "new1", "--server", f"{fake.url},http://127.0.0.1:1")
    assert result.exit_code == 1
    assert f"{fake.url}: new1.{NAME}: day 3" in result.stdout
    assert "still pending: udp0" in result.stderr
    assert "run this again with --server http://127.0.0.1:1" in result.stderr


def test_an_order_that_is_not_kept_has_a_status_of_its_own(fake: Answering) -> None:
    fake.give(ORDER, NEW1 | {"kept": False})
    result = run("hold", "new1", "--server", fake.url)
    assert result.exit_code == 4
    assert "in force, but not kept" in result.stderr


def test_who_is_meant(fake: Answering) -> None:
    with pytest.raises(NotFoundError, match=r"mta1: no such host warms up: `geodns warmup` lists"):
        raise run("hold", "mta1", "--server", fake.url).exception or AssertionError
    two = {"hosts": {"new1": NEW1}}
    fake.give(PATH, {"zones": {NAME: two, "other.example": two}})
    assert isinstance(run("hold", "new1", "--server", fake.url).exception, AmbiguousError)
    assert run("skip-to", "0", "new1", "--server", fake.url).exit_code == 2
