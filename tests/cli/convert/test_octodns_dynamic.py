"""octoDNS's dynamic records → hosts, pools and checks."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from geodns.cli import main
from geodns.model.zone import Zone
from tests.cli.convert.octozones import NS, imported
from tests.zonetexts import NAME, record_of


def dynamic(
    pools: str,
    rules: str = "[{pool: one}]",
    check: str = "{protocol: TCP, port: 25}",
    values: str = "[192.0.2.9]",
) -> str:
    return (
        f"{NS}www: {{type: A, ttl: 60, values: {values}, octodns: {{healthcheck: {check}}}, "
        f"dynamic: {{pools: {pools}, rules: {rules}}}}}\n"
    )


def shown(zone: Zone) -> dict[str, Any]:
    """Return each pool as addresses with their weights, check and fallback."""
    return {
        pool.name: (
            {str(zone.host_by_name[one.host].addresses[0]): one.weight for one in pool.members},
            next(iter(pool.checks), None),
            pool.fallback,
        )
        for pool in zone.pools
    }


ONE = "{one: {values: [{value: 192.0.2.1}]}}"
DYNAMIC = {
    "weights": (
        dynamic("{one: {values: [{value: 192.0.2.1, weight: 3}, {value: 192.0.2.2}]}}"),
        {
            "www-one": ({"192.0.2.1": 3, "192.0.2.2": 1}, "tcp25", "www-values"),
            "www-values": ({"192.0.2.9": 1}, None, None),
        },
        [],
    ),
    "fallbacks": (
        dynamic(
            "{one: {fallback: two, values: [{value: 192.0.2.1}]}, two: {fallback: null, "
            "values: [{value: 192.0.2.2}]}}"
        ),
        {
            "www-one": ({"192.0.2.1": 1}, "tcp25", "www-two"),
            "www-two": ({"192.0.2.2": 1}, "tcp25", "www-values"),
            "www-values": ({"192.0.2.9": 1}, None, None),
        },
        [],
    ),
    "values that the pool has": (
        dynamic(ONE, values="[192.0.2.1]"),
        {"www-one": ({"192.0.2.1": 1}, "tcp25", None)},
        [],
    ),
    "HTTPS by default": (
        dynamic(ONE, check="{}", values="[192.0.2.1]"),
        {"www-one": ({"192.0.2.1": 1}, "tcp443", None)},
        ["HTTPS /_dns becomes a connection to TCP port 443"],
    ),
    "HTTP": (
        dynamic(ONE, check="{protocol: HTTP, port: 8080, path: /up}", values="[192.0.2.1]"),
        {"www-one": ({"192.0.2.1": 1}, "tcp8080", None)},
        ["HTTP /up becomes a connection to TCP port 8080"],
    ),
    "ICMP": (
        dynamic(ONE, check="{protocol: ICMP}", values="[192.0.2.1]"),
        {"www-one": ({"192.0.2.1": 1}, None, None)},
        ["a check by ICMP has no counterpart"],
    ),
    "up": (
        dynamic("{one: {values: [{value: 192.0.2.1, status: up}]}}", values="[192.0.2.1]"),
        {"www-one": ({"192.0.2.1": 1}, None, None)},
        ["have the status `up`: no check"],
    ),
    "up beside others": (
        dynamic("{one: {values: [{value: 192.0.2.1, status: up}, {value: 192.0.2.2}]}}", values="[]"),
        {"www-one": ({"192.0.2.1": 1, "192.0.2.2": 1}, "tcp25", None)},
        ["are checked like the others"],
    ),
    "down": (
        dynamic("{one: {values: [{value: 192.0.2.1, status: down}, {value: 192.0.2.2}]}}", values="[]"),
        {"www-one": ({"192.0.2.1": 0, "192.0.2.2": 1}, "tcp25", None)},
        ["192.0.2.1 has the status `down`: weight 0"],
    ),
    "all down": (
        dynamic(
            "{one: {fallback: two, values: [{value: 192.0.2.1, status: down}]}, "
            "two: {values: [{value: 192.0.2.2}]}}",
            values="[]",
        ),
        {"www-two": ({"192.0.2.2": 1}, "tcp25", None)},
        ["192.0.2.1 has the status `down`", "pool one left out"],
    ),
    "a rule with no counterpart": (
        dynamic(
            "{one: {values: [{value: 192.0.2.1}]}, eu: {values: [{value: 192.0.2.2}]}}",
            "[{geos: [NA-US-CA, EU-XX], subnets: [10.0.0.1/8], pool: eu}, {pool: one}]",
            values="[]",
        ),
        {"www-one": ({"192.0.2.1": 1}, "tcp25", None)},
        [
            "a subnet of the rule for pool eu left out: '10.0.0.1/8' has bits behind its prefix",
            "the place NA-US-CA (pool eu) left out: geodns knows countries, and no parts of them",
            "the place EU-XX (pool eu) left out: there is none with that code",
            "pool eu left out: nothing leads to it",
        ],
    ),
    "nobody's rule": (
        dynamic(ONE, "[{geos: [EU], pool: one}]", values="[]"),
        {"www-one": ({"192.0.2.1": 1}, "tcp25", None)},
        ["no rule is for everybody: pool one is dealt to all others"],
    ),
    "loop": (
        dynamic("{one: {fallback: one, values: [{value: 192.0.2.1}]}}", values="[]"),
        {"www-one": ({"192.0.2.1": 1}, "tcp25", None)},
        [],
    ),
}


@pytest.mark.parametrize(("text", "pools", "remarks"), DYNAMIC.values(), ids=DYNAMIC.keys())
def test_dynamic_records(text: str, pools: dict[str, Any], remarks: list[str], tmp_path: Path) -> None:
    zone, told = imported(text, tmp_path)
    assert shown(zone) == pools
    assert [one.split(": ", 1)[0] for one in told] == ["A"] * len(remarks)
    assert all(part in one for part, one in zip(remarks, told, strict=True)), told
    (rule,) = zone.rules
    assert (rule.owner, rule.type, rule.ttl) == (f"www.{NAME}.", "A", 60)
    assert rule.tiers[0].pool == next(iter(pools))
    assert all(pool.min_live.amount == 1 for pool in zone.pools if pool.fallback)


CALIFORNIA = (
    "[{geos: [NA-US-CA, NA-CA], subnets: ['10.0.0.0/8', '2001:db8::/32'], pool: us}, "
    "{subnets: ['198.51.100.0/24'], pool: eu}, {pool: one}]"
)
GEO_POOLS = (
    "{one: {values: [{value: 192.0.2.1}]}, eu: {fallback: one, values: [{value: 192.0.2.2}]}, "
    "us: {fallback: eu, values: [{value: 192.0.2.3, status: down}]}}"
)


@pytest.mark.parametrize(
    ("rules", "read"),
    [
        ("[{geos: [EU], pool: eu}, {pool: one}]", [("continents EU", "www-eu")]),
        (
            "[{geos: [EU, NA-US, AF-ZA], pool: eu}, {pool: one}]",
            [("countries US, ZA", "www-eu"), ("continents EU", "www-eu")],
        ),
        # A rule is for subnets or places, and subnets go first; that of California would take all of the US.
        (
            CALIFORNIA,
            [
                ("subnets 10.0.0.0/8, 2001:db8::/32", "www-eu"),  # all that us has is down
                ("subnets 198.51.100.0/24", "www-eu"),
                ("countries CA", "www-eu"),
            ],
        ),
    ],
)
def test_rules_are_taken(rules: str, read: list[tuple[str, str]], tmp_path: Path) -> None:
    zone, _ = imported(dynamic(GEO_POOLS, rules), tmp_path)
    (rule,) = zone.rules
    assert [(one.when, one.use) for one in rule.tiers[0].rules] == read
    assert rule.tiers[0].pool == "www-one"
    assert [one.name for one in zone.chain("www-eu")] == ["www-eu", "www-one", "www-values"]


@pytest.mark.parametrize(
    ("rules", "first"),
    [("[{pool: two}]", "the rule for pool two left out: there is no such pool"), ("[{pool: [one]}]", "")],
    ids=["unknown", "no-name"],
)
def test_a_rule_that_leads_nowhere_leaves_the_plain_values(rules: str, first: str, tmp_path: Path) -> None:
    zone, told = imported(dynamic(ONE, rules, values="[192.0.2.9, 192.0.2.8]"), tmp_path)
    assert record_of(zone, "www", "A") == (("192.0.2.9",), ("192.0.2.8",))
    assert not zone.pools
    assert first in told[0]
    assert told[-1] == "A: no rule names a pool of it: its `values` alone are taken"


def test_an_address_is_one_host_however_many_records_have_it(tmp_path: Path) -> None:
    body = "dynamic: {pools: {one: {values: [{value: 192.0.2.1}]}}, rules: [{pool: one}]}"
    zone, _ = imported(
        f"{NS}a.b: {{type: A, {body}}}\na-b: {{type: A, {body}}}\na-b-1: {{type: TXT, value: x}}\n", tmp_path
    )
    assert [host.name for host in zone.hosts] == ["a-b-2"]
    assert [pool.name for pool in zone.pools] == ["a-b-one", "a-b-one-2"]


def test_a_value_that_stands_twice_in_a_pool_has_both_weights(tmp_path: Path) -> None:
    pool = "[{value: 192.0.2.1, weight: 12}, {value: 192.0.2.1, weight: 3}, {value: 192.0.2.2, weight: 5}]"
    zone, _ = imported(dynamic(f"{{one: {{values: {pool}}}}}", values="[]"), tmp_path)
    assert shown(zone)["www-one"][0] == {"192.0.2.1": 15, "192.0.2.2": 5}


def test_problems_of_the_new_pool_have_the_record_s_line(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(dynamic(ONE, values="[]"))
    done = CliRunner().invoke(main.geodns, ["import", str(path)])
    assert f"{path}:2: warning: www.{NAME}. has pool addresses and no MX" in done.stderr


def test_a_dynamic_record_and_a_plain_one_of_a_name_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(dynamic(ONE, values="[]") + "WWW: {type: A, value: 192.0.2.7}\n")
    done = CliRunner().invoke(main.geodns, ["import", str(path)])
    assert done.exit_code == 1
    assert f"{path}:2: pools and fixed values in one RRset" in done.stderr
