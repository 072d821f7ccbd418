"""What belongs at a parent, and what is wrong with what it says."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from geodns.cli.parent_records import (
    UNREACHABLE,
    Delegation,
    DelegationFinding,
    ParentSays,
    ServerSays,
    delegation_of,
    describe_name,
    findings,
    form_fields,
    master_lines,
    remarks,
)
from tests.sample_zones import NAME, zone

TEXT = """
    ns: {ns1: [203.1.113.53, "2a00::53"], ns2.example.net.: []}
    hosts: {mta1: 192.0.2.11}
"""
WANTED = delegation_of(zone(TEXT))
NS1, NS2 = f"ns1.{NAME}.", "ns2.example.net."
GLUE = frozenset(WANTED.servers[NS1])
GOOD = ParentSays("a.example. 192.0.2.1", names=frozenset({NS1, NS2}), glue={NS1: GLUE})
SERVER = ServerSays(f"{NS1} 203.1.113.53", {}, 2026112501)


def told(*parents: ParentSays, servers: tuple[ServerSays, ...] = (SERVER,)) -> list[DelegationFinding]:
    return findings(WANTED, "example.com.", parents, servers)


def test_what_belongs_there() -> None:
    assert WANTED.parent == "example.com."
    assert master_lines(WANTED) == [
        "out.example.com.      3600  IN  NS    ns1.out.example.com.",
        "out.example.com.      3600  IN  NS    ns2.example.net.",
        "ns1.out.example.com.  3600  IN  A     203.1.113.53",
        "ns1.out.example.com.  3600  IN  AAAA  2a00::53",
    ]
    assert form_fields(WANTED, "example.com.") == [
        ("NS", "out", "ns1.out.example.com", "3600"),
        ("NS", "out", "ns2.example.net", "3600"),
        ("A", "ns1.out", "203.1.113.53", "3600"),
        ("AAAA", "ns1.out", "2a00::53", "3600"),
    ]


@pytest.mark.parametrize(
    ("ns", "expected"),
    [
        pytest.param('{ns1: [203.1.113.53, "2a00::53"], ns2.example.net.: []}', [], id="one elsewhere"),
        pytest.param("{ns1: 203.1.113.53}", ["one name server alone"], id="one"),
        pytest.param(
            "{ns1: 203.1.113.53, ns2: 203.1.113.54}", ["all name servers are in 203.1.113.0/24"], id="near"
        ),
        pytest.param("{ns1: 203.1.113.53, ns2: 198.1.2.54}", [], id="apart"),
        pytest.param(
            "{ns1: 10.0.0.53, ns2: 198.1.2.54}", [f"{NS1} 10.0.0.53 cannot be reached"], id="private"
        ),
    ],
)
def test_what_can_be_said_without_asking(ns: str, expected: list[str]) -> None:
    found = remarks(delegation_of(zone(f"ns: {ns}\nhosts: {{mta1: 192.0.2.11}}")))
    assert len(found) == len(expected)
    assert all(part in one.text for part, one in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(GOOD, [], id="all well"),
        pytest.param(
            replace(GOOD, names=frozenset({NS1})),
            [("error", f"example.com. lacks NS {NS2}: add it")],
            id="NS",
        ),
        pytest.param(
            replace(GOOD, names=GOOD.names | {"old.example."}),
            [("error", "example.com. has NS old.example., which the zone has not")],
            id="another NS",
        ),
        pytest.param(
            replace(GOOD, glue={}),
            [
                ("error", f"lacks the glue {NS1} A 203.1.113.53: add it"),
                ("error", f"lacks the glue {NS1} AAAA 2a00::53: add it"),
            ],
            id="no glue",
        ),
        pytest.param(
            replace(GOOD, glue={NS1: GLUE | {ip_address("203.1.113.99")}}),
            [("error", f"has the glue {NS1} A 203.1.113.99, which the zone has not")],
            id="other glue",
        ),
        pytest.param(
            replace(GOOD, glue={NS1: GLUE, NS2: frozenset({ip_address("198.1.2.3")})}),
            [],
            id="glue of a server elsewhere is its owner's affair",
        ),
        pytest.param(replace(GOOD, ttl=7 * 86400), [("warning", "is cached for 168 h")], id="a long TTL"),
        pytest.param(replace(GOOD, signed=True), [("error", "has a DS record")], id="DS"),
        pytest.param(
            ParentSays("a", missing=True),
            [("error", "does not delegate out.example.com. (it says that there is no such name)")],
            id="no name",
        ),
        pytest.param(ParentSays("a"), [("error", "does not delegate out.example.com.: put")], id="no data"),
        pytest.param(
            ParentSays("a", other=("CNAME",)), [("error", "has CNAME at out.example.com.")], id="an alias"
        ),
        pytest.param(ParentSays("a", own=True), [("note", "serves out.example.com. itself")], id="both"),
        pytest.param(
            ParentSays("a", trouble=UNREACHABLE), [("note", "this machine has no way there")], id="no IPv6"
        ),
        pytest.param(
            ParentSays("a", trouble="no answer"), [("error", "a of example.com.: no answer")], id="silent"
        ),
    ],
)
def test_what_a_parent_may_say(said: ParentSays, expected: list[tuple[str, str]]) -> None:
    found = told(said)
    assert [one.level for one in found] == [level for level, _ in expected]
    assert all(part in one.text for (_, part), one in zip(expected, found, strict=True))


def test_one_silent_server_of_several_is_a_warning() -> None:
    assert [one.level for one in told(GOOD, ParentSays("b", trouble="no answer"))] == ["warning"]


def test_parents_that_disagree_are_told_so() -> None:
    found = told(GOOD, replace(GOOD, names=frozenset({NS1})))
    assert [one.level for one in found] == ["error", "warning"]
    assert "do not say the same" in found[1].text


def test_no_parent_at_all() -> None:
    (found,) = told()
    assert (found.level, "no name server of example.com. was found" in found.text) == ("error", True)


def test_own_servers_that_do_not_serve_the_zone() -> None:
    broken = ServerSays("ns2", {"TCP": "nobody listens on port 53 there"}, 2026112501)
    found = told(GOOD, servers=(SERVER, broken))
    assert found == [
        DelegationFinding("error", "ns2 does not serve the zone over TCP: nobody listens on port 53 there")
    ]


def test_what_this_machine_cannot_reach_is_a_note() -> None:
    lost = ServerSays("ns2", {"UDP": UNREACHABLE, "TCP": UNREACHABLE})
    (found,) = told(GOOD, servers=(SERVER, lost))
    assert (found.level, "ns2 was not asked" in found.text) == ("note", True)


def test_other_serials_are_a_note() -> None:
    (found,) = told(GOOD, servers=(SERVER, replace(SERVER, server="ns2", serial=7)))
    assert (found.level, "ns2 7" in found.text) == ("note", True)


def test_the_root_and_unicode() -> None:
    assert Delegation("com.", {"ns1.example.": ()}).parent == "."
    assert form_fields(Delegation("com.", {"ns1.example.": ()}), ".") == [
        ("NS", "com", "ns1.example", "3600")
    ]
    assert describe_name("xn--bcher-kva.example.") == "xn--bcher-kva.example. (bücher.example.)"
    assert describe_name("xn--.example.") == "xn--.example."
