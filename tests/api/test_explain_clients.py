"""Explanations of names whose answer depends on the client: who counts, which rule applies and why."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from geodns.api.explain import Asking, explain
from geodns.api.schemas_explain import ClientAnswerJson, ExplanationJson
from geodns.compiler.answers import Source
from geodns.compiler.compile import Compiled, compile_zones
from geodns.compiler.views import compile_views
from geodns.control.cluster import Cluster
from geodns.model.address_ranges import ranges_of
from geodns.model.views import GeoNetworks
from tests.sample_zones import NAME, SERIAL, zone

TUESDAY = datetime(2026, 12, 1, 9, 0, tzinfo=UTC).timestamp()
GEO = GeoNetworks(
    {"DE": ranges_of([ip_network("198.51.100.0/24"), ip_network("2001:db8:100::/40")])},
    {"EU": ranges_of([ip_network("198.51.0.0/16")])},
    {64500: ranges_of([ip_network("203.0.113.0/24")])},
)
TEXT = """
    hosts: {a: 192.0.2.1, b: [192.0.2.2, "2001:db8::2"], c: 192.0.2.3, d: 192.0.2.4}
    pools:
      main: {hosts: [a, b]}
      eu: {hosts: [b]}
      day: {hosts: [c]}
      sticky: {hosts: [a, b, c, d], pick: client}
      trial: {hosts: [d]}
    records:
      "@":
        A:
          pool:
            - {subnets: 10.0.0.0/8, use: sticky}
            - {subnets: 10.1.0.0/16, use: day}
            - {countries: [DE, FR], use: eu}
            - {asns: 64500, hours: "Mon-Fri 08:00-18:00", tz: Europe/Berlin, use: day}
            - {hours: "20:00-21:00", use: day}
            - main
        MX: [{pool: [{continents: EU, use: eu}, main], preference: 10}, {pool: day, preference: 20}]
      alias: {CNAME: "@"}
      "t": {A: {pool: main}}
      slots: {A: {pool: main}}
    experiments:
      new:
        {name: t, pool: main, salt: 7, arms: {old: {share: 60, pool: main}, new: {share: 40, pool: trial}}}
      hourly:
        {name: slots, pool: main, by: time, arms: {old: {share: 1, pool: main}, new: {share: 1, pool: trial}}}
"""


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    one = zone(TEXT)
    found = Cluster({}, {}, {}, {})
    views = {NAME: compile_views(one, GEO, TUESDAY)}
    found.serve_zones(compile_zones(Compiled(), {NAME: Source(one, SERIAL)}, found.live(), views), 0.0)
    return found


def told(
    cluster: Cluster, client: str | None = None, ecs: str | None = None, name: str = NAME, rtype: str = "A"
) -> ExplanationJson:
    asking = Asking(client, None if ecs is None else ip_network(ecs))
    return explain(cluster, name, rtype, asking, geo=GEO)


def by_client(*arguments: Any, **named: Any) -> ClientAnswerJson:
    shown = told(*arguments, **named)["by_client"]
    assert shown is not None
    return shown


def applying(shown: ClientAnswerJson) -> list[int]:
    return [one["rule"] for one in shown["rules"] if one["applies"]]


@pytest.mark.parametrize(
    ("client", "ecs", "rule", "why", "pool"),
    [
        ("10.1.2.3", None, 1, "it lies in 10.0.0.0/8", "sticky"),
        ("192.0.2.7", "198.51.100.0/24", 3, "GeoIP: country DE", "eu"),
        ("192.0.2.7", "2001:db8:100::/56", 3, "GeoIP: country DE", "eu"),
        ("203.0.113.9", None, 4, "it is Tue 10:00 in Europe/Berlin; GeoIP: AS 64500", "day"),
        ("192.0.2.7", None, 6, "it is for all others", "main"),
    ],
)
def test_the_first_rule_that_a_client_meets_applies(
    cluster: Cluster, client: str, ecs: str | None, rule: int, why: str, pool: str
) -> None:
    for name in (NAME, f"alias.{NAME}"):
        shown = told(cluster, client, ecs, name)
        answer = shown["by_client"]
        assert answer is not None
        assert applying(answer) == [rule]
        assert answer["rules"][rule - 1]["why"] == why
        assert {one["why"] for one in answer["rules"][rule:]} <= {f"rule {rule} comes first"}
        assert [tier["pool"] for tier in shown["tiers"]] == [pool]
        (view,) = (one for one in answer["views"] if one["applies"])
        assert rule in view["rules"]


def test_each_rule_before_says_why_it_does_not_apply(cluster: Cluster) -> None:
    assert [one["why"] for one in by_client(cluster, "192.0.2.7")["rules"]] == [
        "it lies in none of the subnets",
        "it lies in none of the subnets",
        "GeoIP: not country DE or FR",
        "GeoIP: not AS 64500",
        "it is Tue 09:00 in UTC",
        "it is for all others",
    ]


def test_a_place_that_no_file_knows_is_said_so(cluster: Cluster) -> None:
    shown = explain(cluster, NAME, "A", Asking("192.0.2.7"))["by_client"]
    assert shown is not None
    assert shown["rules"][2]["why"] == "no GeoIP file knows country DE or FR"


def test_a_rule_that_never_matches_says_which_hide_it(cluster: Cluster) -> None:
    assert [one["hidden_by"] for one in by_client(cluster)["rules"]] == [[], [1], [], [], [], []]


@pytest.mark.parametrize(
    ("client", "ecs", "network", "by", "why", "scope"),
    [
        ("192.0.2.7", "198.51.100.0/24", "198.51.100.0/24", "ecs", "its option names this network", 24),
        ("192.0.2.7", None, "192.0.2.7", "source", "it names no network, so its own address counts", 0),
        ("192.0.2.7", "0.0.0.0/0", "192.0.2.7", "source", "0.0.0.0/0 names nobody, so", 0),
        ("192.0.2.7", "10.0.0.0/8", "192.0.2.7", "source", "10.0.0.0/8 is not public", 0),
        ("10.9.9.9", "10.1.0.0/16", "10.1.0.0/16", "ecs", "its option names this network", 24),
    ],
)
def test_who_counts_as_the_client_and_why(
    cluster: Cluster, client: str, ecs: str | None, network: str, by: str, why: str, scope: int
) -> None:
    shown = by_client(cluster, client, ecs)["client"]
    assert shown is not None
    assert (shown["network"], shown["by"], shown["scope"]) == (network, by, scope)
    assert why in shown["why"]


def test_each_list_of_mx_has_its_rules(cluster: Cluster) -> None:
    shown = by_client(cluster, "192.0.2.7", "198.51.7.0/24", rtype="MX")
    assert [(one["rule"], one["preference"], one["applies"]) for one in shown["rules"]] == [
        (1, 10, True),
        (2, 10, False),
    ]


def test_without_a_client_all_views_are_shown_and_what_each_deals(cluster: Cluster) -> None:
    shown = told(cluster)
    answer = shown["by_client"]
    assert answer is not None
    assert answer["client"] is None
    assert [one["applies"] for one in answer["rules"]] == [None] * 6
    assert [one["why"] for one in answer["rules"]] == [*[""] * 3, "its hours are", "its hours are not", ""]
    assert {tier["pool"] for tier in shown["tiers"]} == {"main", "eu", "day", "sticky"}
    assert shown["next"] == []
    dealt = {tuple(view["rules"]): view["deals"][0]["pools"] for view in answer["views"]}
    assert dealt[6,] == {"main": {"a": 0.5, "b": 0.5}}
    assert dealt[3,] == {"eu": {"b": 1.0}}
    assert set(dealt[1,]["sticky"]) == {"a", "b", "c", "d"}


def test_affinity_shows_the_hosts_of_the_clients_bucket(cluster: Cluster) -> None:
    shown = told(cluster, "10.1.2.3")
    answer = shown["by_client"]
    assert answer is not None
    (one,) = answer["affinity"]
    assert one["pool"] == "sticky"
    assert all(found["hosts"] == one["hosts"] for found in shown["next"])


def test_an_experiment_by_client_shows_arm_and_seat(cluster: Cluster) -> None:
    arms = set()
    for number in range(20):
        shown = told(cluster, f"192.0.{number}.7", name=f"t.{NAME}")
        answer = shown["by_client"]
        assert answer is not None
        assert answer["experiment"] is not None
        arm = answer["experiment"]["arm"]
        arms.add(arm)
        assert [tier["pool"] for tier in shown["tiers"]] == [{"old": "main", "new": "trial"}[arm]]
        bounds = {"old": "the arm has 0 to 5999", "new": "the arm has 6000 to 9999"}
        assert answer["experiment"]["why"].endswith(bounds[arm])
    assert arms == {"old", "new"}
    (view,) = by_client(cluster, name=f"t.{NAME}")["views"]
    assert [(one["arm"], one["share"]) for one in view["deals"]] == [("new/old", 0.6), ("new/new", 0.4)]


def test_an_experiment_by_time_shows_when_its_slot_ends(cluster: Cluster) -> None:
    shown = by_client(cluster, "192.0.2.7", name=f"slots.{NAME}")["experiment"]
    assert shown is not None
    assert shown["why"] == "its slot ends at 2026-12-01T10:00:00Z"


def test_a_name_without_rules_depends_on_nobody(cluster: Cluster) -> None:
    assert told(cluster, "192.0.2.7", name=f"a.{NAME}")["by_client"] is None
