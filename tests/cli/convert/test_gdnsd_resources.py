"""Resources of gdnsd's plugins → hosts, pools and checks."""

from pathlib import Path
from typing import Any

import pytest

from geodns.cli.convert.gdnsd import read_gdnsd
from geodns.errors import GeodnsError
from geodns.model.zone import Zone
from tests.cli.convert.gdnsdzones import NAME, imported, written
from tests.zonetexts import record_of


def shown(zone: Zone) -> dict[str, Any]:
    """Return each pool as hosts with weights, checks, answers and fallback."""
    return {
        pool.name: (
            {str(zone.host_by_name[one.host].addresses[0]): one.weight for one in pool.members},
            tuple(pool.checks),
            pool.answers,
            pool.fallback,
        )
        for pool in zone.pools
    }


POOLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "multifo": (
        "multifo!plain",
        {"plain": ({"192.0.2.1": 1, "192.0.2.2": 1, "192.0.2.3": 1}, (), 3, None)},
        [],
    ),
    "both families": (
        "multifo!both",
        {
            "both": ({"192.0.2.1": 1, "192.0.2.4": 1}, ("mail", "web"), 2, None),
            "both-aaaa": ({"2001:db8::1": 1}, ("mail",), 1, None),
        },
        [],
    ),
    "up_thresh": (
        "multifo!strict",
        {"strict": ({"192.0.2.1": 1}, ("mail",), 1, None)},
        ["below `up_thresh` gdnsd deals the dead as well"],
    ),
    "a script": (
        "multifo!scripted",
        {"scripted": ({"192.0.2.1": 1}, (), 1, None)},
        ["'script', by extmon, has no counterpart: not checked"],
    ),
    "ignore_health": (
        "multifo!careless",
        {"careless": ({"192.0.2.1": 1}, (), 1, None)},
        ["`ignore_health`: its hosts are not checked"],
    ),
    "weighted": (
        "weighted!out",
        {"out": ({"192.0.2.11": 45, "192.0.2.12": 60}, ("mail",), 1, None)},
        [],
    ),
    "multi": (
        "weighted!many",
        {"many": ({"192.0.2.11": 4, "192.0.2.12": 1}, ("mail",), 2, None)},
        ["geodns deals up to 2, and keeps the shares"],
    ),
    "groups": (
        "weighted!groups",
        {"groups": ({"192.0.2.21": 2, "192.0.2.22": 2, "192.0.2.23": 1}, ("mail",), 3, None)},
        ["its groups become one pool"],
    ),
    "an address twice": ("weighted!twice", {"twice": ({"192.0.2.31": 15}, ("mail",), 1, None)}, []),
    "simplefo": (
        "simplefo!fo",
        {
            "fo": ({"192.0.2.41": 1}, ("mail",), 1, "fo-secondary"),
            "fo-secondary": ({"192.0.2.42": 1}, ("mail",), 1, None),
        },
        [],
    ),
}


@pytest.mark.parametrize(("resource", "pools", "remarks"), POOLS.values(), ids=POOLS.keys())
def test_resources_become_pools(
    resource: str, pools: dict[str, Any], remarks: list[str], tmp_path: Path
) -> None:
    zone, told = imported(tmp_path, f"www 300 DYNA {resource} ; comment\n")
    assert shown(zone) == pools
    assert len(told) == len(remarks), told
    assert all(part in one for part, one in zip(remarks, told, strict=True)), told
    assert {rule.owner for rule in zone.rules} == {f"www.{NAME}."}
    assert {rule.ttl for rule in zone.rules} == {300}
    assert {rule.type for rule in zone.rules} == (
        {"A", "AAAA"} if len(pools) > 1 and "both" in pools else {"A"}
    )


def test_service_types_become_checks(tmp_path: Path) -> None:
    zone, _ = imported(tmp_path, "www 300 DYNA multifo!both\n")
    mail, web = (next(one for one in zone.checks if one.name == name) for name in ("mail", "web"))
    assert (mail.type, mail.port, mail.interval, mail.timeout, mail.rise, mail.fall) == (
        "tcp",
        25,
        5,
        3,
        4,
        2,
    )
    assert (web.type, web.port, web.path, web.host) == ("http", 80, "/up", "www.example.com")
    assert web.status == ((200, 200), (301, 301))


def test_static_records_and_aliases(tmp_path: Path) -> None:
    zone, told = imported(tmp_path, "a 60 DYNA static!one\nb 60 DYNC static!name\nc 60 DYNC weighted!alias\n")
    assert record_of(zone.model_copy(), "a", "A") == (("192.0.2.51",),)
    assert record_of(zone, "b", "CNAME") == (("host.example.org.",),)
    assert record_of(zone, "c", "CNAME") == (("lb02.example.org.",),)
    assert len(told) == 1
    assert "the heaviest, lb02.example.org., is taken alone" in told[0]


LEFT_OUT = {
    "geography": ("geoip!x", "geography has no counterpart"),
    "data centres": ("metafo!m", "an order of data centres has no counterpart"),
    "null": ("null", "this plugin has no counterpart"),
}


@pytest.mark.parametrize(("resource", "remark"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_has_no_counterpart_is_told(resource: str, remark: str, tmp_path: Path) -> None:
    zone, told = imported(tmp_path, f"www 300 DYNA {resource}\n")
    assert not zone.rules
    assert len(told) == 1
    assert remark in told[0]


def test_names_of_hosts_keep_away_from_names_of_the_zone(tmp_path: Path) -> None:
    zone, _ = imported(tmp_path, "mta1 TXT x\nmta2 300 DYNA weighted!out\n")
    names = {host.name for host in zone.hosts}
    assert len(names) == 2
    assert not names & {"mta1", "mta2"}


def test_a_resource_that_is_not_there_is_a_problem_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "www 300 DYNA weighted!typo\nx A 192.0.2.300\n")
    with pytest.raises(GeodnsError) as found:
        read_gdnsd(path, None)
    first, second = str(found.value).splitlines()
    assert first.startswith(f"{path}:5: www DYNA weighted!typo: the configuration has no such resource")
    assert second.startswith(f"{path}:6: ")
