"""The section `defaults`: what many share is said once, and what stands in a host, pool or check wins."""

import pytest
import yaml

from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from tests.zonefile.test_schema import VALIDATOR

REST = "ns: {ns1: 192.0.2.53}\nrecords: {'@': {MX: {pool: main, preference: 10}}}\n"
LONG = """
    defaults:
      hosts: {weight: 10, load: {url: "http://{host}.example.net/{address}", metric: q, full: 2000}}
      pools: {answers: 3, min_live: 60%, check: [smtp, web]}
      checks: {interval: 5s, fast_interval: 1s, starttls: offered, cert_warning: 10d, slow: 500ms, path: /ok}
    checks:
      web: {type: http, port: 8080}
      mail: {interval: 20s}
    hosts:
      mta1: 192.0.2.11
      mta2: {address: ["2001:db8::12", 192.0.2.12], weight: 20, load: {full: 100}}
      "mx[1-2]": {address: "192.0.2.[21-22]"}
    pools:
      main: {hosts: [mta1, mta2], fallback: reserve}
      reserve: {hosts: "mx*", answers: 1, check: mail}
"""


def read(text: str) -> Zone:
    parsed = parse_zone("out.example.com", f"{REST}{yaml_of(text)}".encode(), "f")
    assert parsed.zone is not None, parsed.problems
    assert not [one for one in parsed.problems if "pool addresses" not in one.what], parsed.problems
    VALIDATOR.validate(yaml.safe_load(f"{REST}{yaml_of(text)}"))
    return parsed.zone


def yaml_of(text: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in text.splitlines()) + "\n"


def test_hosts_take_what_they_do_not_say() -> None:
    hosts = read(LONG).host_by_name
    assert {name: host.weight for name, host in hosts.items()} == {
        "mta1": 10,
        "mta2": 20,
        "mx1": 10,
        "mx2": 10,
    }
    loads = {name: (host.load.url, host.load.full) for name, host in hosts.items() if host.load is not None}
    assert loads == {
        "mta1": ("http://mta1.example.net/192.0.2.11", 2000),
        "mta2": ("http://mta2.example.net/[2001:db8::12]", 100),
        "mx1": ("http://mx1.example.net/192.0.2.21", 2000),
        "mx2": ("http://mx2.example.net/192.0.2.22", 2000),
    }


def test_pools_take_what_they_do_not_say() -> None:
    main, reserve = read(LONG).pools
    assert (main.answers, main.min_live.amount, main.checks) == (3, 60, ("smtp", "web"))
    assert (reserve.answers, reserve.min_live, reserve.checks) == (
        1,
        type(reserve).model_fields["min_live"].default,
        ("mail",),
    )


def test_checks_take_what_they_can_use() -> None:
    checks = {check.name: check for check in read(LONG).checks}
    assert {name: check.interval for name, check in checks.items()} == {"web": 5, "mail": 20, "smtp": 5}
    assert (checks["smtp"].starttls, checks["smtp"].slow, checks["smtp"].cert_warning) == (
        "offered",
        0.5,
        864000,
    )
    assert (checks["web"].path, checks["web"].slow, checks["web"].starttls) == ("/ok", None, "ignore")


def test_so_does_the_pool_that_a_file_does_not_write() -> None:
    zone = read(
        "defaults: {pools: {answers: 1}, checks: {interval: 7s}}\nhosts: {a: 192.0.2.1, b: 192.0.2.2}"
    )
    (pool,), (check,) = zone.pools, zone.checks
    assert (pool.answers, pool.checks, check.interval) == (1, ("smtp",), 7)
    assert [member.host for member in pool.members] == ["a", "b"]


def test_defaults_change_nothing_that_they_do_not_say() -> None:
    text = "hosts: {a: 192.0.2.1, b: {address: 192.0.2.2, weight: 3}}"
    assert read(f"defaults: {{hosts: {{weight: 1}}, pools: {{answers: 2}}}}\n{text}") == read(text)


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        ("{hosts: {weigth: 3}}", "4:20: unknown key 'weigth': did you mean 'weight'?"),
        ("{hosts: {address: 192.0.2.9}}", "4:20: unknown key 'address'"),
        ("{hosts: {weight: x}}", "4:28: weight 'x' is no whole number"),
        ("{hosts: {load: {metric: q, full: 9}}}", "4:27: `metric` without `url`"),
        ("{pools: {hosts: [a]}}", "4:20: unknown key 'hosts'"),
        ("{pools: {check: nothing}}", "no check is called 'nothing'"),
        ("{checks: {<<: {interval: 3s}}}", "4:21: a merge key: write the keys out, or what many share under"),
        ("{checks: 3}", "4:20: '3' where a mapping of defaults is expected"),
        ("[a]", "4:11: a list where a mapping of defaults is expected"),
        ("{zones: 3}", "4:12: unknown key 'zones': known here: hosts, pools, checks"),
    ],
)
def test_a_wrong_default_is_told_once(defaults: str, problem: str) -> None:
    text = f"{REST}hosts: {{a: 192.0.2.1, b: 192.0.2.2}}\ndefaults: {defaults}\n"
    parsed = parse_zone("out.example.com", text.encode(), "f")
    assert [str(one) for one in parsed.problems if problem in str(one)] == [
        str(one) for one in parsed.problems if not one.warning
    ]
    assert len([one for one in parsed.problems if not one.warning]) == 1


@pytest.mark.parametrize(
    ("defaults", "rest"),
    [
        pytest.param("{checks: {rcpt_4xx: shed}}", "checks: {smtp: {rcpt_to: a@b.net}}", id="rcpt_4xx"),
        pytest.param("{checks: {starttls: verified, cert_critical: 3d}}", "", id="cert_critical"),
    ],
)
def test_a_default_that_a_check_cannot_use_is_left_out(defaults: str, rest: str) -> None:
    read(f"hosts: {{a: 192.0.2.1}}\ndefaults: {defaults}\n{rest}\n")


def test_a_default_is_no_problem_of_a_built_in_check_that_nobody_uses() -> None:
    defaults = "defaults: {checks: {verify: required, cert_critical: 30d}}"
    used = "hosts: {a: 192.0.2.1}\npools: {main: {hosts: [a], check: smtps}}"
    parsed = parse_zone("out.example.com", f"{REST}{defaults}\n{used}\n".encode(), "f")
    (problem,) = (str(one) for one in parsed.problems if not one.warning)
    assert "cert_critical 30d is over cert_warning 14d" in problem
    read(f"{defaults}\n{used.replace('smtps', 'smtp')}\n")


def test_a_url_has_a_range_or_the_hosts_own() -> None:
    load = '{url: "http://{host}.x[01-02].net/", metric: q, full: 9}'
    text = f'{REST}hosts: {{"mx[01-02]": {{address: "192.0.2.[1-2]", load: {load}}}}}\n'
    parsed = parse_zone("out.example.com", text.encode(), "f")
    (problem,) = (str(one) for one in parsed.problems if not one.warning)
    assert "a range beside {host} or {address}: take one of the two" in problem
