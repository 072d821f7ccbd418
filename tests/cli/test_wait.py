"""Waiting until a drained host may be rebooted."""

import re
from typing import Any

import pytest
from click.testing import CliRunner, Result

from geodns.cli import main, wait
from geodns.cli.wait import Drained, Readings, drained_by, progress
from geodns.errors import GeodnsError, UsageError
from tests.answering import Answering, answering

ZONE = "out.example.com"
ONE = Drained(ZONE, "mta1", 1000.0, 1030.0)


def host(forced: str | None = "drained", value: float | None = None, **load: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"state": "up", "forced": forced}
    if value is not None or load:
        shown["load"] = {"value": value, "full": 2000, "stale": False, "error": None, "at": "12:00", **load}
    return shown


def test_the_longest_of_all_servers_counts() -> None:
    answers: list[Any] = [
        {"cached_s": {ZONE: {"mta1": 30, "mta2": 5}}},
        {"cached_s": {ZONE: {"mta1": 60}, "b.example": {"mx": 1}}},
    ]
    assert [(str(one), one.cached) for one in drained_by(answers, 1000.0)] == [
        (f"mta1.{ZONE}", 1060.0),
        (f"mta2.{ZONE}", 1005.0),
        ("mx.b.example", 1001.0),
    ]


@pytest.mark.parametrize(
    ("hosts", "now", "queue", "done"),
    [
        pytest.param([host()], 1029.0, None, False, id="in caches"),
        pytest.param([host()], 1030.0, None, True, id="no load is told"),
        pytest.param([host(value=214.0)], 1040.0, "214", False, id="a queue"),
        pytest.param([host(value=0.0), host(value=3.0)], 1040.0, "3", False, id="the longest queue"),
        pytest.param([host(value=0.0), host(value=0.0)], 1040.0, "0", True, id="empty"),
        pytest.param([host(value=0.0, stale=True)], 1040.0, "not known", False, id="the last is too old"),
        pytest.param([host(value=None, stale=False)], 1040.0, "not known", False, id="never read"),
        pytest.param([host(value=0.0, error="refused")], 1040.0, "not known", False, id="exporter dead"),
        pytest.param([host(value=0.0), host(value=None)], 1040.0, "0", True, id="one server knows"),
        pytest.param(
            [host(value=9.0, stale=True), host(value=0.0)], 1040.0, "0", True, id="the other is old"
        ),
    ],
)
def test_how_far_along_it_is(hosts: list[Any], now: float, queue: str | None, *, done: bool) -> None:
    by_server = {f"http://ns{number}": one for number, one in enumerate(hosts)}
    earlier = {
        url: one | {"load": one.get("load") and one["load"] | {"at": "11:59"}}
        for url, one in by_server.items()
    }
    readings = Readings()
    progress(ONE, earlier, 1030.0, readings)
    found = progress(ONE, by_server, now, readings)
    assert found.done is done
    clock = r"\d\d:\d\d:\d\d"
    tail = "" if queue is None else f", queue {queue}"
    assert re.fullmatch(f"mta1.{ZONE}: dealt until {clock}, cached until {clock}{tail}", found.line)


def test_a_load_that_was_read_before_the_caches_end_says_nothing() -> None:
    """Mail may still have come in since; at the first look after the end nobody knows when it was read."""
    readings = Readings()
    looks = [
        (1029.0, "12:00:00", False, "queue 0"),
        (1030.0, "12:00:08", False, "queue 0, read before that"),
        (1031.0, "12:00:08", False, "queue 0, read before that"),
        (1032.0, "12:00:09", True, "queue 0"),
    ]
    for now, at, done, queue in looks:
        found = progress(ONE, {"http://ns1": host(value=0.0, at=at)}, now, readings)
        assert found.done is done
        assert found.line.endswith(f", {queue}")


def test_each_server_reads_by_itself() -> None:
    readings = Readings()
    one, two = (host(value=0.0, at=at) for at in ("12:00:08", "12:00:09"))
    assert not progress(ONE, {"http://ns1": one, "http://ns2": two}, 1030.0, readings).done
    assert not progress(ONE, {"http://ns1": one, "http://ns2": two}, 1031.0, readings).done
    assert progress(
        ONE, {"http://ns1": one, "http://ns2": host(value=0.0, at="12:00:19")}, 1040.0, readings
    ).done


@pytest.mark.parametrize("forced", [None, "quarantined", "up"])
def test_a_host_that_is_drained_no_more_is_told_so(forced: str | None) -> None:
    with pytest.raises(GeodnsError, match="is not drained any more"):
        progress(ONE, {"http://ns1": host(), "http://ns2": host(forced)}, 1040.0, Readings())


def run(
    *statuses: dict[str, Any], monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...] = ()
) -> tuple[Result, Answering]:
    monkeypatch.setattr(wait, "LOOK_EVERY", 0.01)
    order = {
        "hosts": {ZONE: {"mta1": host()}},
        "pools": {},
        "pending": [],
        "dry_run": False,
        "notes": [],
        "left": [],
        "confirm": None,
        "dealt_by": {ZONE: {"mta1": []}},
        "cached_s": {ZONE: {"mta1": 0}},
    }
    with answering() as fake:
        fake.give("POST /api/v1/orders", order)
        fake.give("GET /status", *({"hosts": {ZONE: {"mta1": one}}} for one in statuses))
        environment = {"GEODNS_SERVER": fake.url, "COLUMNS": "200"}
        arguments = ["drain", "mta1", "--wait", "--yes", *more]
        return CliRunner(env=environment).invoke(main.geodns, arguments), fake


def test_it_waits_until_the_queue_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = [host(value=value, at=at) for value, at in ((2.0, "12:00"), (1.0, "12:01"), (0.0, "12:02"))]
    result, fake = run(*statuses, monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    assert "queue 2" in result.output
    assert result.output.splitlines()[-1] == f"mta1.{ZONE}: safe to reboot"
    assert [path for _, path, _, _ in fake.asked].count("/status") == 3


def test_it_ends_when_somebody_undrains(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run(host(value=2.0), host(None, value=2.0), monkeypatch=monkeypatch)
    assert result.exit_code == 1
    assert "safe to reboot" not in result.output


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        pytest.param(host(value=0.0, stale=True), "queue not known", id="stale"),
        pytest.param(host(value=7.0), "queue 7", id="a queue that stays"),
    ],
)
def test_at_its_timeout_it_is_not_safe(
    shown: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, fake = run(shown, monkeypatch=monkeypatch, more=("--timeout", "1s"))
    assert result.exit_code == 3, result.output
    assert f"{why}: not safe to reboot, and the time is over" in result.output
    assert "safe to reboot\n" not in result.output
    assert len(fake.asked) > 5


def test_when_the_queue_is_known_again_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = host(value=0.0, error="refused"), host(value=3.0, at="12:01"), host(value=0.0, at="12:02")
    result, _ = run(*statuses, monkeypatch=monkeypatch, more=("--timeout", "1m"))
    assert result.exit_code == 0, result.output
    assert "queue not known" in result.output
    assert result.output.splitlines()[-1] == f"mta1.{ZONE}: safe to reboot"


def test_a_timeout_without_a_unit_is_called_by_its_name() -> None:
    result = CliRunner().invoke(main.geodns, ["drain", "mta1", "--wait", "--timeout", "3"])
    assert str(result.exception).startswith("--timeout '3' has no unit")


def test_a_timeout_is_of_a_wait() -> None:
    result = CliRunner().invoke(main.geodns, ["drain", "mta1", "--timeout", "1m"])
    assert isinstance(result.exception, UsageError)
