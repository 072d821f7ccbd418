"""Where two servers differ, by what they say of themselves; since when, and how that reads."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from geodns.compiler.answers import Source
from geodns.compiler.compile import compile_zones
from geodns.control.cluster import Cluster
from geodns.control.peers import (
    FILES_FOLLOW,
    PROBES_FOLLOW,
    ConditionAges,
    HostList,
    PeerDifference,
    PeerReport,
    Topic,
    clock_offset,
    differences,
    differing_verdicts,
    report_of,
    standing,
    states_of,
)
from geodns.model.shared import ZoneContent
from geodns.model.state import HealthState, Verdict
from geodns.zones.listing import Listing
from tests.sample_zones import NAME, zone

ZONE = "out.example.com"
NOW = 1_795_417_200.0


def content(digest: str = "a" * 32, serial: int = 1) -> ZoneContent:
    return ZoneContent(digest=digest, serial=serial)


def report(node: str = "ns1", **changes: Any) -> PeerReport:
    """What a server says that is as the others."""
    said: dict[str, Any] = {
        "node": node,
        "version": "1.0",
        "clock": NOW,
        "started": NOW - 100,
        "ready": True,
        "zones": {ZONE: content()},
        "orders": "none",
        "verdicts": {ZONE: "none"},
        "hosts_from": {ZONE: {"file hosts.txt": HostList(hosts=3, digest="three")}},
    }
    return PeerReport(**(said | changes))


def found(
    other: PeerReport, offset: float = 0.0, here: dict[str, str] | None = None, **there: str
) -> list[tuple[Topic, str | None, str]]:
    own_states = {} if here is None else {ZONE: here}
    return [
        (one.topic, one.zone, one.text)
        for one in differences(report(), other, offset, own_states, {ZONE: there} if there else {})
    ]


OTHER = {ZONE: content("b" * 32)}


@pytest.mark.parametrize(
    ("other", "offset", "expected"),
    [
        pytest.param({}, 4.9, [], id="nothing"),
        pytest.param({"zones": {ZONE: content(serial=9)}}, 0, [], id="serials-are-each-server's-own"),
        pytest.param(
            {"zones": OTHER},
            0,
            [
                (
                    Topic.CONTENT,
                    ZONE,
                    (
                        f"zone {ZONE} differs at ns1 (content aaaaaaaa) and ns2 (content bbbbbbbb): "
                        "bring their files in step"
                    ),
                )
            ],
            id="content",
        ),
        pytest.param({"zones": OTHER, "version": "2.0"}, 0, [], id="digests-of-other-versions"),
        pytest.param({"zones": OTHER, "ready": False, "orders": "some"}, 0, [], id="it-starts"),
        pytest.param(
            {"zones": OTHER, "hosts_from": {ZONE: {"file hosts.txt": HostList(hosts=4, digest="four")}}},
            0,
            [
                (
                    Topic.HOSTS_FROM,
                    ZONE,
                    (
                        f"zone {ZONE}: `hosts_from` gives ns1 and ns2 different hosts: "
                        "file hosts.txt has 3 at ns1 and 4 at ns2"
                    ),
                )
            ],
            id="lists",
        ),
        pytest.param(
            {"zones": {}},
            0,
            [(Topic.CONTENT, ZONE, f"zone {ZONE} is served by ns1 and not by ns2")],
            id="it-lacks-a-zone",
        ),
        pytest.param(
            {"zones": {ZONE: content(), "more.example.org": content()}},
            0,
            [
                (
                    Topic.CONTENT,
                    "more.example.org",
                    "zone more.example.org is served by ns2 and not by ns1",
                )
            ],
            id="it-has-one-more",
        ),
        pytest.param(
            {"orders": "some"},
            0,
            [
                (
                    Topic.ORDERS,
                    None,
                    "ns1 and ns2 hold different orders: `geodns status` of each shows its own",
                )
            ],
            id="orders",
        ),
        pytest.param(
            {},
            -7.6,
            [(Topic.CLOCK, None, "the clock of ns2 is 8 s behind that of ns1: let NTP set both")],
            id="behind",
        ),
        pytest.param(
            {"ready": False},
            5.1,
            [(Topic.CLOCK, None, "the clock of ns2 is 5 s ahead of that of ns1: let NTP set both")],
            id="ahead",
        ),
    ],
)
def test_differences(
    other: dict[str, Any], offset: float, expected: list[tuple[Topic, str | None, str]]
) -> None:
    assert found(report("ns2", **other), offset) == expected


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        pytest.param("up", "down", "up at ns1 and down at ns2", id="down-there"),
        pytest.param("down", "up", "up at ns2 and down at ns1", id="down-here"),
        pytest.param("up", "up", None, id="agreed"),
        pytest.param("up", "shedding", None, id="by-its-load"),
        pytest.param("down", "unknown", None, id="no-verdict"),
        pytest.param("down", "sideways", None, id="a-state-of-a-later-version"),
    ],
)
def test_hosts_that_are_up_here_and_down_there(here: str, there: str, expected: str | None) -> None:
    said = found(report("ns2"), 0, {"mta1": here, "here": "up"}, mta1=there, elsewhere="down")
    assert said == ([] if expected is None else [(Topic.VERDICTS, ZONE, f"host mta1.{ZONE} is {expected}")])


def test_states_are_asked_for_where_the_digests_differ() -> None:
    verdicts = {ZONE: "some", "alike.example": "none", "unknown.example": "some"}
    own = report(verdicts={ZONE: "none", "alike.example": "none"})
    assert differing_verdicts(own, report("ns2", verdicts=verdicts)) == [ZONE]
    assert differing_verdicts(own, report("ns2", verdicts={})) == []


def test_zones_that_differ_in_one_way_are_told_as_one() -> None:
    zones = {f"z{number}.example": content() for number in range(1000)}
    other = report("ns2", zones={ZONE: content("b" * 32)})
    found = list(differences(report(zones={ZONE: content(), **zones}), other, 0, {}, {}))
    (first, second) = standing(found, lambda _: 0, FILES_FOLLOW)
    assert (first.zone, first.number) == (ZONE, 1)
    assert (second.zone, second.number) == (None, 1000)
    assert second.text == (
        "1,000 zones are served by ns1 and not by ns2: "
        "z0.example, z1.example, z10.example, z100.example, z101.example, …"
    )


def test_what_lasts_is_told_and_hosts_of_a_zone_as_one() -> None:
    some = [
        PeerDifference(Topic.CONTENT, ZONE, "content"),
        PeerDifference(Topic.VERDICTS, ZONE, "host mta0 …", "mta0", "are down there"),
        *(PeerDifference(Topic.VERDICTS, ZONE, "…", f"mta{one}", "are down here") for one in range(1, 9)),
    ]
    lasting = ConditionAges()

    def told(now: float) -> list[tuple[Topic, str, float]]:
        lasting.look([one.key for one in some], now)
        return [
            (one.topic, one.text, one.since)
            for one in standing(some, lambda one: lasting.since[one.key], now)
        ]

    assert told(100) == []
    assert told(100 + FILES_FOLLOW) == [(Topic.CONTENT, "content", 100)]
    assert told(100 + PROBES_FOLLOW) == [
        (Topic.CONTENT, "content", 100),
        (Topic.VERDICTS, "host mta0 …", 100),
        (Topic.VERDICTS, f"8 hosts of {ZONE} are down here: mta1, mta2, mta3, mta4, mta5, …", 100),
    ]
    some = some[1:]
    told(200)
    some = [PeerDifference(Topic.CONTENT, ZONE, "content"), *some]
    assert [one[0] for one in told(200 + FILES_FOLLOW - 1)] == [Topic.VERDICTS] * 2  # it began anew


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        pytest.param([], 0, id="alone"),
        pytest.param([30], 0, id="one-against-one"),
        pytest.param([30, 31], -30, id="two-against-one"),
        pytest.param([0.1, -300], 0, id="another-is-wrong"),
        pytest.param([30, 30, 0], 0, id="two-against-two"),
        pytest.param([30, 30, 30], -30, id="three-against-one"),
    ],
)
def test_the_clock_that_most_have(peers: list[float], expected: float) -> None:
    assert clock_offset(peers) == pytest.approx(expected)


def test_a_report_is_of_what_is_served_and_believed() -> None:
    one = zone("hosts: {mta1: 192.0.2.11, mta2: 192.0.2.12}")
    cluster = Cluster({}, {}, {}, {})
    cluster.serve_zones(compile_zones(cluster.compiled, {NAME: Source(one, 7)}, cluster.live()), NOW)
    source, listing = cast(Any, SimpleNamespace(title="file hosts.txt")), Listing({"": one.hosts})
    before = report_of("ns1", "1.0", NOW, NOW, cluster, [(one, source, listing)], "none", ready=True)
    assert before.zones == {NAME: ZoneContent(digest=one.digest, serial=7)}
    assert before.hosts_from[NAME]["file hosts.txt"].hosts == 2
    down = next(target for target in cluster.targets if (NAME, "mta1") in cluster.hosts_of(target))
    cluster.apply_verdicts({down: Verdict(HealthState.DOWN)}, NOW)
    assert states_of(cluster, [NAME, "nowhere.example"])[NAME]["mta1"] is HealthState.DOWN
    shorter = Listing({"": one.hosts[:1]})
    after = report_of("ns1", "1.0", NOW, NOW, cluster, [(one, source, shorter)], "none", ready=True)
    assert after.verdicts != before.verdicts
    assert after.hosts_from != before.hosts_from


# --- what comes from a socket ---------------------------------------------------------------------------


def said(**changes: Any) -> bytes:
    return json.dumps(json.loads(report("ns2").model_dump_json()) | changes).encode()


def test_a_report_of_a_later_version_is_read() -> None:
    assert PeerReport.model_validate_json(said(mood="good")) == report("ns2")
    older = json.loads(said())
    del older["hosts_from"]
    assert PeerReport.model_validate_json(json.dumps(older)).hosts_from == {}


def test_what_it_says_can_be_printed() -> None:
    assert PeerReport.model_validate_json(said(node="\x1b[2J\n")).node == "\\x1b[2J\\n"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"node": ""}, id="no-name"),
        pytest.param({"node": "x" * 64}, id="a-long-name"),
        pytest.param({"clock": "noon"}, id="a-clock-in-words"),
        pytest.param({"clock": 1e999}, id="an-endless-clock"),
        pytest.param({"zones": []}, id="zones-in-a-list"),
        pytest.param({"zones": {ZONE: {"digest": "x", "serial": -1}}}, id="a-serial-below-0"),
        pytest.param({"ready": 1}, id="a-number-for-yes"),
    ],
)
def test_a_bad_report_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PeerReport.model_validate_json(said(**changes))
