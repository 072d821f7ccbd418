"""What operators are told of the servers that judge together."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest

from geodns.control.alert_service import Alert
from geodns.control.shared_alerts import shared_alerts
from geodns.control.shared_targets import SharedTargets
from geodns.control.shared_view import Lone, SharedView
from geodns.health.quorum_standing import TwoDefinitions
from geodns.model.checks import Check, Target
from tests.sample_zones import NAME

GOOD = SharedView(
    connected=True,
    since=0.0,
    why="",
    group="out",
    agree="quorum",
    store="Redis 7.0.15",
    heard=("ns1", "ns2", "ns3"),
    known=3,
    mode="quorum",
    alone=(),
    alone_count=0,
    tied=0,
    votes={},
    lags={},
    bad={},
    signals={},
    programs="ns1",
)
LONE = Lone("ns3", "down", "[192.0.2.11]:25", "smtp", ((NAME, "mta1"),), "connection refused")
OTHER = LONE._replace(address="[192.0.2.12]:25", hosts=((NAME, "mta2"), (NAME, "mta3")), why="")


@dataclass
class Case:
    view: dict[str, Any]
    more: dict[str, Any]
    says: list[str]


CASES = {
    "well": Case({}, {}, []),
    "away-for-a-moment": Case({"connected": False, "why": "refused"}, {"away": 1.0}, []),
    "away": Case(
        {"connected": False, "why": "refused", "mode": "own", "heard": ("ns1",)},
        {"away": 3.0},
        ["shared: refused: this server judges by what it knows itself"],
    ),
    "away-but-heard": Case(
        {"connected": False, "why": "refused", "http": {"ns3": "", "ns2": "", "ns4": "status 404"}},
        {"away": 3.0},
        ["shared: refused: votes come from the peers by HTTP while Redis is away: ns2, ns3"],
    ),
    "trouble": Case({"why": "the memory of Redis is full"}, {}, ["shared: the memory of Redis is full"]),
    "half": Case(
        {"mode": "own", "heard": ("ns1",)},
        {},
        ["ns1 hears 1 of 3 servers, fewer than half: its own verdicts are served"],
    ),
    "own-as-told": Case({"mode": "own", "agree": "own"}, {}, []),
    "doubled": Case(
        {"why": "twin"},
        {"doubled": ["ns2"]},
        ["two live servers say that they are ns2: give each its own `node`; neither votes until then"],
    ),
    "unsigned": Case(
        {},
        {"unsigned": True},
        [
            (
                "shared: without secret_file whoever may write to that Redis can take hosts out: write the "
                "same secret on all servers of the group"
            )
        ],
    ),
    "bad": Case(
        {"bad": {"a": 2, "b": 1}},
        {"last_bad": "orders: b"},
        ["shared: 3 values were skipped, the last one orders: b"],
    ),
    "clock": Case(
        {},
        {"clock": -3600.4},
        ["shared: the clock of ns1 is 3,600 s behind that of Redis 7.0.15: let NTP set both"],
    ),
    "tied": Case(
        {"tied": 1}, {}, ["the servers are evenly divided on 1 address: what was served before stays"]
    ),
    "alone": Case(
        {"alone": (LONE, OTHER), "alone_count": 2},
        {},
        [
            (
                f"ns3 alone says down of mta1.{NAME} (smtp [192.0.2.11]:25): connection refused; "
                f"ns3 alone says down of mta2.{NAME} and mta3.{NAME} (smtp [192.0.2.12]:25)"
            )
        ],
    ),
    "definitions": Case(
        {},
        {"definitions": [TwoDefinitions("ns2", "smtp [192.0.2.11]:25", 'smtp [192.0.2.11]:25 {"rise":3}')]},
        [
            (
                "ns2 checks an address by other rules than ns1, so neither counts the other's votes: "
                'smtp [192.0.2.11]:25 {"rise":3} there, smtp [192.0.2.11]:25 here'
            )
        ],
    ),
}


def told(case: Case) -> list[Alert]:
    given: dict[str, Any] = {
        "away": 0.0,
        "doubled": (),
        "definitions": (),
        "unsigned": False,
        "last_bad": "",
    } | case.more
    return list(shared_alerts(GOOD._replace(**case.view), "ns1", **given))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_told(case: Case) -> None:
    found = told(case)
    assert [one.text for one in found] == case.says
    assert {one.kind for one in found} <= {"peer"}


def test_more_addresses_than_are_named_are_counted() -> None:
    some = tuple(LONE._replace(address=f"[192.0.2.{number}]:25") for number in range(20))
    (alert,) = told(Case({"alone": some, "alone_count": 500}, {}, []))
    assert alert.text.count("alone says") == 3
    assert alert.text.endswith("; and 497 more")


def test_checks_that_differ_in_names_and_sources_are_one_address() -> None:
    zones = {
        Target(
            check=Check(name="b", source=(ip_address("192.0.2.53"),)),
            address=ip_address("192.0.2.11"),
            port=25,
        ): {"one.example"},
        Target(check=Check(name="a"), address=ip_address("192.0.2.11"), port=25): {"two.example"},
        Target(check=Check(name="a"), address=ip_address("192.0.2.12"), port=25): {"two.example"},
    }
    first, second, third = zones
    shared = SharedTargets(zones)
    assert list(shared.targets) == ["smtp [192.0.2.11]:25", "smtp [192.0.2.12]:25"]
    assert shared.targets[first.shared_key].zones == {"one.example", "two.example"}
    assert shared[first.shared_key] == (second, first)
    assert [shared.counts(one) for one in zones] == [False, True, True]
    assert shared.first([third.shared_key, "smtp [192.0.2.99]:25"]) == [third]
    assert "smtp [192.0.2.99]:25" not in shared
