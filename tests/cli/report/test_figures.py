"""Figures of a report: uptime, shares weighted by answers, failovers, certificates."""

from typing import Any

import pytest

from geodns.cli.report.figures import (
    OUT,
    Change,
    Failover,
    certificates_of,
    changes_of,
    failovers_of,
    host_figures,
    seconds_in,
    slowest,
)
from geodns.model.state import TAKEN_OUT


def columns(**some: list[Any]) -> dict[str, list[Any]]:
    length = len(next(iter(some.values())))
    return {
        "at": [60 * number for number in range(length)],
        "answers": [0.0] * length,
        "share": [None] * length,
        "intended": [None] * length,
        "rtt_ms": [None] * length,
        "up": [None] * length,
        **some,
    }


def event(at: int, host: str | None, after: str | None, text: str = "what") -> dict[str, Any]:
    data = {} if after is None else {"before": "x", "after": after}
    return {"at": f"2026-11-25T03:00:{at:02}Z", "zone": "z.example", "host": host, "text": text, "data": data}


ZERO = 1795575600.0
"""2026-11-25T03:00:00Z"""


def test_shares_count_by_answers_and_not_by_minutes() -> None:
    history = {
        "mta1": columns(answers=[90.0, 0.0], intended=[0.5, 0.5], up=[1.0, 0.5], rtt_ms=[1.0, 3.0]),
        "mta2": columns(answers=[10.0, 100.0], intended=[0.5, 0.5], up=[1.0, None]),
        "old": columns(answers=[0.0, 0.0]),
    }
    hosts = {"mta1": {"state": "up"}, "mta2": {"state": "down"}, "new": {"state": "unknown"}}
    mta1, mta2, new, old = host_figures(hosts, history, [Failover("z", "mta1", 1.0, None, "")])
    assert (mta1.dealt, mta1.intended, mta1.uptime) == (0.45, 0.5, 0.75)
    assert (mta1.mean_ms, mta1.worst_ms, mta1.failures) == (2.0, 3.0, 1)
    assert (mta2.dealt, mta2.uptime, mta2.mean_ms, mta2.state) == (0.55, 1.0, None, "down")
    assert (new.dealt, new.uptime, new.answers) == (0.0, None, 0.0)
    assert old.state == "gone"
    assert slowest([mta1, mta2, new, old]) == [mta1]


def test_a_host_that_nobody_checks_is_not_up() -> None:
    (figures,) = host_figures({"mta1": {"state": "up", "unchecked": True}}, {"mta1": columns(up=[None])}, [])
    assert (figures.state, figures.uptime) == ("unchecked", None)


def test_a_zone_without_answers_has_no_shares() -> None:
    (figures,) = host_figures({"mta1": {"state": "up"}}, {"mta1": columns(up=[1.0])}, [])
    assert (figures.dealt, figures.intended, figures.uptime) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [event(1, "mta1", "down", "refused"), event(9, "mta1", "up")],
            [("mta1", 1.0, 9.0, "refused")],
            id="down and up",
        ),
        pytest.param([event(1, "mta1", "down")], [("mta1", 1.0, None, "what")], id="down still"),
        pytest.param([event(1, "mta1", "up")], [], id="began before"),
        pytest.param(
            [event(1, "mta1", "down"), event(2, "mta1", "down"), event(5, "mta1", "shedding")],
            [("mta1", 1.0, 5.0, "what")],
            id="told twice, then shedding",
        ),
        pytest.param(
            [event(1, "a", "down"), event(2, "b", "down"), event(3, "b", "up"), event(4, "a", "up")],
            [("b", 2.0, 3.0, "what"), ("a", 1.0, 4.0, "what")],
            id="two at once, the latest first",
        ),
        pytest.param([event(1, "a", None), event(2, None, "down")], [], id="of something else"),
    ],
)
def test_failovers(events: list[Any], expected: list[Any]) -> None:
    found = failovers_of(events)
    assert [
        (one.host, one.began - ZERO, None if one.ended is None else one.ended - ZERO, one.cause)
        for one in found
    ] == expected


def test_how_long_it_lasted() -> None:
    assert Failover("z", "h", 10.0, 25.0, "").lasted(99.0) == 15.0
    assert Failover("z", "h", 10.0, None, "").lasted(99.0) == 89.0


def test_certificates_by_their_end() -> None:
    def check(days: float | None) -> dict[str, Any]:
        until = None if days is None else "2026-12-01T00:00:00Z"
        shown = {"not_after": until, "days_left": days, "problem": None}
        return {"check": "submission", "address": "192.0.2.1", "certificate": shown}

    hosts = {
        "late": {"checks": [check(90.0), {"check": "smtp"}]},
        "soon": {"checks": [check(3.0), check(None)]},
        "never": {"checks": [{"check": "submission", "certificate": None}]},
    }
    assert [(one.host, one.days_left) for one in certificates_of(hosts)] == [("soon", 3.0), ("late", 90.0)]


@pytest.mark.parametrize(
    ("changes", "current", "seconds"),
    [
        pytest.param([], None, 0, id="never"),
        pytest.param([], "drained", 100, id="all the time"),
        pytest.param(
            [Change(110, None, "drained"), Change(130, "drained", None)], None, 20, id="for a while"
        ),
        pytest.param([Change(130, "drained", None)], None, 30, id="since before"),
        pytest.param([Change(150, None, "quarantined")], "quarantined", 50, id="until now"),
        pytest.param(
            [Change(110, None, "drained"), Change(120, "drained", "down"), Change(130, "down", "up")],
            "up",
            20,
            id="one after another",
        ),
        pytest.param([Change(50, None, "drained"), Change(120, "drained", None)], None, 20, id="before data"),
    ],
)
def test_how_long_a_host_was_out(changes: list[Change], current: str | None, seconds: float) -> None:
    assert seconds_in(OUT, changes, current, 100, 200) == seconds


def test_changes_are_of_one_kind() -> None:
    forced = event(3, "mta1", None) | {
        "kind": "forced",
        "data": {"before": {"forced": None, "weight": None}, "after": {"forced": "drained", "weight": 3}},
    }
    events = [event(1, "mta1", "shedding") | {"kind": "state"}, forced, event(5, None, None)]
    key = ("z.example", "mta1")
    assert changes_of(events, "state") == {key: [Change(ZERO + 1, "x", "shedding")]}
    assert changes_of(events, "forced") == {key: [Change(ZERO + 3, None, "drained")]}
    assert failovers_of([forced]) == []


def test_the_states_that_take_a_host_out_are_those_of_the_model() -> None:
    assert OUT == TAKEN_OUT
