import os
from ipaddress import ip_address
from pathlib import Path

import dnslib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.config import yaml_nodes
from geodns.model.hosts import Endpoint
from geodns.model.zone import Member, MinLive, NameServer, Tier, Zone
from geodns.wire.encode import encode
from geodns.zonefile.reader import parse_zone, read_zone, read_zones, zone_files
from tests.unprivileged import unprivileged
from tests.zonetexts import LONG, NAME, NS, SHORT, record_of, zone_of


def members(zone: Zone, pool: str) -> dict[str, int]:
    return {member.host: member.weight for member in zone.pool_by_name[pool].members}


def tiers(zone: Zone, owner: str, kind: str) -> tuple[Tier, ...]:
    name = zone.origin if owner == "@" else f"{owner}.{zone.origin}"
    return next((rule.tiers for rule in zone.rules if (rule.owner, rule.type) == (name, kind)), ())


def test_the_shortest_zone_is_whole() -> None:
    zone = zone_of(SHORT)
    assert [host.name for host in zone.hosts] == ["mta1", "mta2", "mta3"]
    assert members(zone, "main") == {"mta1": 1, "mta2": 1, "mta3": 1}
    assert zone.pool_by_name["main"].checks == ("smtp",)
    assert [check.name for check in zone.checks] == ["smtp"]
    assert tiers(zone, "@", "A") == tiers(zone, "@", "AAAA") == (Tier(pool="main"),)
    assert record_of(zone, "mta2", "A") == (("192.0.2.12",),)
    assert record_of(zone, "ns1", "A") == (("192.0.2.53",),)
    assert record_of(zone, "@", "NS") == (("ns1.out.example.com.",),)
    assert (zone.ttl, zone.min_ttl, zone.record_ttl, zone.retire) == (30, 5, 3600, 3600)
    assert (zone.soa.mname, zone.soa.rname) == ("ns1.out.example.com.", "hostmaster.out.example.com.")


def test_the_shortest_zone_has_one_warning() -> None:
    (problem,) = parse_zone(NAME, SHORT.encode(), "zone.yaml").problems
    assert problem.warning
    assert "implicit MX" in problem.what


def test_the_long_zone() -> None:
    zone = zone_of(LONG)
    assert zone.ns == (
        NameServer(
            name="ns1.out.example.com.", addresses=(ip_address("192.0.2.53"), ip_address("2001:db8::53"))
        ),
        NameServer(name="ns2.example.net."),
    )
    check = zone.check_by_name["smtp"]
    assert (check.ehlo, check.starttls, check.greeting_timeout) == ("probe.out.example.com", "offered", 10)
    hosts = zone.host_by_name
    assert list(hosts) == ["mta1", "mta2", "mta3", "mx01", "mx02", "mx03", "mx04"]
    assert hosts["mta1"].addresses == (ip_address("192.0.2.11"), ip_address("2001:db8::11"))
    assert hosts["mta2"].sources == (ip_address("203.0.113.12"),)
    assert hosts["mta3"].probe == Endpoint(address=ip_address("10.0.0.13"), port=2525)
    assert hosts["mx03"].addresses == (ip_address("198.51.100.13"),)
    assert members(zone, "main") == {"mta1": 50, "mta2": 30, "mta3": 20}
    assert members(zone, "reserve") == {"mx01": 10, "mx02": 10, "mx03": 10, "mx04": 10}
    main = zone.pool_by_name["main"]
    assert (main.answers, main.min_live, main.fallback) == (2, MinLive(amount=50, percent=True), "reserve")
    assert tiers(zone, "@", "MX") == (Tier(pool="main", preference=10),)
    assert tiers(zone, "bulk", "A") == tiers(zone, "bulk", "AAAA") == (Tier(pool="reserve"),)
    assert tiers(zone, "in", "MX") == (
        Tier(pool="main", preference=10),
        Tier(pool="reserve", preference=20),
    )
    static = [one for one in zone.records if one.owner == "static.out.example.com."]
    assert [(one.type, one.ttl, one.values) for one in static] == [
        ("A", 300, (("192.0.2.80",), ("192.0.2.81",))),
        ("CAA", 300, (("0", "issue", "ca.example.net"),)),
    ]
    assert record_of(zone, "*.old", "CNAME") == (("static.out.example.com.",),)
    assert record_of(zone, "mta1", "TXT") == (("v=spf1 a -all",),)


DIGEST = "ab" * 32
TLSA_DATA = "certificate_association_data"
VALUES = {
    "A as text": ("A: 192.0.2.1", "A", (("192.0.2.1",),)),
    "A in a list": ("A: [192.0.2.1, 192.0.2.2]", "A", (("192.0.2.1",), ("192.0.2.2",))),
    "A as value": ("A: {ttl: 60, value: 192.0.2.1}", "A", (("192.0.2.1",),)),
    "A as values": ("A: {values: [192.0.2.1, 192.0.2.2]}", "A", (("192.0.2.1",), ("192.0.2.2",))),
    "A with equal TTLs": (
        "A: [{ttl: 60, value: 192.0.2.1}, {ttl: 1m, value: 192.0.2.2}]",
        "A",
        (("192.0.2.1",), ("192.0.2.2",)),
    ),
    "AAAA": ('AAAA: "2001:DB8:0::1"', "AAAA", (("2001:db8::1",),)),
    "MX as text": ("MX: 10 Mail.Example.net.", "MX", (("10", "mail.example.net."),)),
    "MX as fields": (
        "MX: {preference: 010, exchange: mail.example.net.}",
        "MX",
        (("10", "mail.example.net."),),
    ),
    "MX in both forms": (
        "MX: [5 m1.example.net., {preference: 10, exchange: m2.example.net.}]",
        "MX",
        (("5", "m1.example.net."), ("10", "m2.example.net.")),
    ),
    "MX under values": (
        "MX: {ttl: 60, values: [{preference: 5, exchange: m.example.net.}]}",
        "MX",
        (("5", "m.example.net."),),
    ),
    "null MX": ("MX: 0 .", "MX", (("0", "."),)),
    "MX to the apex": ('MX: "0 @"', "MX", (("0", "out.example.com."),)),
    "NS": ("NS: [ns1.example.net., ns2.example.net.]", "NS", (("ns1.example.net.",), ("ns2.example.net.",))),
    "TXT": ("TXT: v=spf1 ip4:192.0.2.0/24 ~all", "TXT", (("v=spf1 ip4:192.0.2.0/24 ~all",),)),
    "TXT of two records": ("TXT: [one, two]", "TXT", (("one",), ("two",))),
    "TXT of two strings": ('TXT: \'"one" "two \\\\ \\""\'', "TXT", (("one", 'two \\ "'),)),
    "TXT of strings without a blank": ('TXT: \'"one""two"\'', "TXT", (("one", "two"),)),
    "TXT split": (f"TXT: {'x' * 600}", "TXT", (("x" * 255, "x" * 255, "x" * 90),)),
    "TXT in UTF-8": ("TXT: é", "TXT", (("Ã©",),)),
    "TXT with octoDNS's backslash": ("TXT: v=DMARC1\\; p=none", "TXT", (("v=DMARC1; p=none",),)),
    "TXT byte": ("TXT: a\\255", "TXT", (("a\xff",),)),
    "empty TXT": ('TXT: ""', "TXT", (("",),)),
    "CNAME": ("CNAME: mail.example.net.", "CNAME", (("mail.example.net.",),)),
    "CNAME to a wide name": ("CNAME: _a.b-c.example.net.", "CNAME", (("_a.b-c.example.net.",),)),
    "SRV as text": ("SRV: 0 5 587 m.example.net.", "SRV", (("0", "5", "587", "m.example.net."),)),
    "SRV as fields": (
        "SRV: {priority: 0, weight: 5, port: 587, target: m.example.net.}",
        "SRV",
        (("0", "5", "587", "m.example.net."),),
    ),
    "CAA as text": ('CAA: 0 issue "ca.example.net; a=1"', "CAA", (("0", "issue", "ca.example.net; a=1"),)),
    "CAA without flags": (
        "CAA: {tag: ISSUE, value: ca.example.net}",
        "CAA",
        (("0", "issue", "ca.example.net"),),
    ),
    "CAA under value": ("CAA: {value: 0 issue ca.example.net}", "CAA", (("0", "issue", "ca.example.net"),)),
    "PTR": ("PTR: m.example.net.", "PTR", (("m.example.net.",),)),
    "TLSA as text": (f"TLSA: 3 1 1 {DIGEST[:32]} {DIGEST[32:].upper()}", "TLSA", (("3", "1", "1", DIGEST),)),
    "TLSA as fields": (
        f"TLSA: {{certificate_usage: 3, selector: 1, matching_type: 1, {TLSA_DATA}: {DIGEST}}}",
        "TLSA",
        (("3", "1", "1", DIGEST),),
    ),
}


@pytest.mark.parametrize(("text", "kind", "values"), VALUES.values(), ids=VALUES.keys())
def test_a_value_is_text_or_fields_or_a_list(
    text: str, kind: str, values: tuple[tuple[str, ...], ...]
) -> None:
    zone = zone_of(f"{NS}records:\n  a:\n    {text}\n")
    assert record_of(zone, "a", kind) == values
    for value in values:
        encoded = dnslib.DNSBuffer()
        if kind == "TXT":
            dnslib.TXT([part.encode("latin-1") for part in value]).pack(encoded)
        else:
            dnslib.RDMAP[kind].fromZone(list(value)).pack(encoded)
        assert encoded.data


NAMES = {
    "relative": ("a", "a.out.example.com."),
    "absolute": ("a.out.example.com.", "a.out.example.com."),
    "upper case": ("A.Out.EXAMPLE.com.", "a.out.example.com."),
    "apex": ('"@"', "out.example.com."),
    "apex in full": ("out.example.com.", "out.example.com."),
    "wildcard": ('"*"', "*.out.example.com."),
    "deeper wildcard": ('"*.a.b"', "*.a.b.out.example.com."),
    "service": ("_25._tcp.mta1", "_25._tcp.mta1.out.example.com."),
    "a word that YAML takes for no": ("no", "no.out.example.com."),
    "digits": ("010", "010.out.example.com."),
    "escaped dot": ("a\\.b", "a\\.b.out.example.com."),
    "escaped dot at the end": ("a\\.", "a\\..out.example.com."),
}


@pytest.mark.parametrize(("text", "owner"), NAMES.values(), ids=NAMES.keys())
def test_owner_names_are_made_absolute(text: str, owner: str) -> None:
    zone = zone_of(f"{NS}records:\n  {text}: {{TXT: x}}\n")
    assert owner in {record.owner for record in zone.records if record.type == "TXT"}


@pytest.mark.parametrize(
    ("text", "rname"),
    [
        ("hostmaster", "hostmaster.out.example.com."),
        ("hostmaster.example.net.", "hostmaster.example.net."),
        ("hostmaster@example.net", "hostmaster.example.net."),
        ("Host.Master@example.net.", "host\\.master.example.net."),
    ],
)
def test_a_mailbox_is_a_name_or_has_an_at(text: str, rname: str) -> None:
    assert zone_of(f'{NS}soa: {{rname: "{text}"}}\n').soa.rname == rname


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("010", 10),
        ("10s", 10),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("1w", 604800),
        ("0", 0),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert zone_of(f"{NS}ttl: {text}\n").ttl == seconds


def test_a_short_ttl_lowers_min_ttl() -> None:
    assert zone_of(f"{NS}ttl: 2\n").min_ttl == 2


def test_a_rule_has_the_zone_s_ttl_and_its_own_where_it_gives_one() -> None:
    zone = zone_of(SHORT + "ttl: 20\nrecords: {a: {ttl: 10, pool: main}, b: {A: {pool: main, ttl: 0}}}\n")
    assert {rule.owner.partition(".")[0]: rule.ttl for rule in zone.rules} == {"out": 20, "a": 10, "b": 0}


CHECKS = {
    "built-in kept": ("smtp: {fall: 5}", "smtp", {"type": "smtp", "fall": 5, "rise": 2, "port": 25}),
    "tcp keeps its type": ("tcp: {port: 587}", "tcp", {"type": "tcp", "port": 587}),
    "own name is smtp": ("mine: {}", "mine", {"type": "smtp", "port": 25}),
    "fast_interval follows a short interval": ("smtp: {interval: 500ms}", "smtp", {"fast_interval": 0.5}),
    "a type's name": ("submission: {rise: 1}", "submission", {"type": "submission", "port": 587, "rise": 1}),
    "agent's name": ("agent: {port: 9777}", "agent", {"type": "agent", "port": 9777}),
    "a type's name with another type": ("lmtp: {type: tcp}", "lmtp", {"type": "tcp", "port": 25}),
    "submission": ("s: {type: submission}", "s", {"port": 587, "starttls": "offered"}),
    "submission without TLS": ("s: {type: submission, starttls: ignore}", "s", {"starttls": "ignore"}),
    "smtps": (
        "s: {type: smtps, verify: required}",
        "s",
        {"port": 465, "starttls": "ignore", "verify": "required"},
    ),
    "lmtp": ("l: {type: lmtp}", "l", {"port": 24}),
    "http": ("h: {type: http}", "h", {"port": 80, "path": "/", "status": ((200, 399),)}),
    "https": ("h: {type: https}", "h", {"port": 443, "verify": "none"}),
    "agent": ("a: {type: agent, port: 9777}", "a", {"port": 9777, "rise": 2}),
    "agent that waits": ('a: {type: agent, port: 9777, send: "x\\n"}', "a", {"send": "x\n"}),
    "smtp that becomes a submission": (
        "smtp: {type: submission}",
        "smtp",
        {"type": "submission", "port": 587},
    ),
    "one source": ("s: {source: 192.0.2.1}", "s", {"source": (ip_address("192.0.2.1"),)}),
    "a source of each family": (
        's: {source: [192.0.2.1, "2001:db8::1"]}',
        "s",
        {"source": (ip_address("192.0.2.1"), ip_address("2001:db8::1"))},
    ),
    "one keyword": ("s: {require: size}", "s", {"require": ("SIZE",)}),
    "keywords": ("s: {require: [SIZE, 8bitmime, size]}", "s", {"require": ("SIZE", "8BITMIME")}),
    "certificate": (
        "s: {starttls: verified, sni: MX.example.net., cert_warning: 3w, cert_critical: 1d}",
        "s",
        {"starttls": "verified", "sni": "mx.example.net", "cert_warning": 1814400, "cert_critical": 86400},
    ),
    "envelope": (
        "s: {mail_from: probe@example.net, rcpt_to: postmaster}",
        "s",
        {"mail_from": "probe@example.net", "rcpt_to": "postmaster"},
    ),
    "the null sender": ('s: {mail_from: "", rcpt_to: a@b.example}', "s", {"mail_from": ""}),
    "proxy": ("s: {type: tcp, proxy_protocol: v2}", "s", {"proxy_protocol": "v2"}),
    "a status": ("h: {type: http, status: 200}", "h", {"status": ((200, 200),)}),
    "many status": (
        "h: {type: http, status: [2xx, 301, 400-499]}",
        "h",
        {"status": ((200, 299), (301, 301), (400, 499))},
    ),
    "web": (
        "h: {type: https, path: /healthz?a=b, host: a.example, expect: 'ok$', header: {X-Health: ^green$}}",
        "h",
        {"path": "/healthz?a=b", "host": "a.example", "expect": "ok$", "header": (("x-health", "^green$"),)},
    ),
    "short timeout": ("smtp: {timeout: 4s}", "smtp", {"timeout": 4, "greeting_timeout": 10}),
}


@pytest.mark.parametrize(("text", "name", "expected"), CHECKS.values(), ids=CHECKS.keys())
def test_checks(text: str, name: str, expected: dict[str, object]) -> None:
    zone = zone_of(f"{NS}checks: {{{text}}}\n")
    assert expected.items() <= zone.check_by_name[name].model_dump().items()


@pytest.mark.parametrize(
    ("name", "port"), [("submission", 587), ("smtps", 465), ("lmtp", 24), ("https", 443)]
)
def test_a_pool_may_use_a_type_that_nobody_declared(name: str, port: int) -> None:
    zone = zone_of(f"{NS}hosts: {{a: 192.0.2.1}}\npools: {{main: {{hosts: [a], check: {name}}}}}\n")
    (check,) = zone.checks
    assert (check.name, check.type, check.port) == (name, name, port)
    assert check.encrypts is (name != "lmtp")


POOLS = {
    "names": ("[a1, b]", {"a1": 1, "b": 7}),
    "one name": ("b", {"b": 7}),
    "glob": ('"a*"', {"a1": 1, "a2": 1, "a10": 1}),
    "question mark": ('["a?"]', {"a1": 1, "a2": 1}),
    "range": ('["a[1-2]"]', {"a1": 1, "a2": 1}),
    "weights": ("{a1: 3, b: 0}", {"a1": 3, "b": 0}),
    "name beats glob": ('{"*": 5, b: 9}', {"a1": 5, "a2": 5, "a10": 5, "b": 9}),
    "glob after the name": ('{b: 9, "*": 5}', {"a1": 5, "a2": 5, "a10": 5, "b": 9}),
    "globs that agree": ('{"a*": 2, "*1": 2}', {"a1": 2, "a2": 2, "a10": 2}),
}


@pytest.mark.parametrize(("text", "expected"), POOLS.values(), ids=POOLS.keys())
def test_pool_hosts(text: str, expected: dict[str, int]) -> None:
    hosts = "hosts: {a1: 192.0.2.1, a2: 192.0.2.2, a10: 192.0.2.3, b: {address: 192.0.2.4, weight: 7}}\n"
    zone = zone_of(f"{NS}{hosts}pools: {{p: {{hosts: {text}}}}}\n")
    assert members(zone, "p") == expected
    assert zone.pool_by_name["p"].members == tuple(
        Member(host=host.name, weight=expected[host.name]) for host in zone.hosts if host.name in expected
    )


RANGES = {
    "padded": (
        '"mx[08-10]": "192.0.2.[8-10]"',
        {"mx08": "192.0.2.8", "mx09": "192.0.2.9", "mx10": "192.0.2.10"},
    ),
    "decimal in IPv6": ('"m[9-10]": "2001:db8::[9-10]"', {"m9": "2001:db8::9", "m10": "2001:db8::10"}),
    "hexadecimal in IPv6": (
        '"m[1-3]": "2001:db8::[9-b]"',
        {"m1": "2001:db8::9", "m2": "2001:db8::a", "m3": "2001:db8::b"},
    ),
    "middle of an address": ('"m[1-2]": "192.0.[2-3].1"', {"m1": "192.0.2.1", "m2": "192.0.3.1"}),
}


@pytest.mark.parametrize(("text", "expected"), RANGES.values(), ids=RANGES.keys())
def test_ranges_of_hosts_and_addresses_go_together(text: str, expected: dict[str, str]) -> None:
    zone = zone_of(f"{NS}hosts: {{{text}}}\n")
    assert {host.name: str(host.addresses[0]) for host in zone.hosts} == expected


def test_ranges_in_everything_a_host_has() -> None:
    zone = zone_of(
        NS + 'hosts: {"m[1-2]": {address: ["192.0.2.[1-2]", "2001:db8::[1-2]"], egress: "203.0.113.[5-6]",'
        ' probe: "10.0.0.[7-8]:2525", weight: 4}}\n'
    )
    host = zone.host_by_name["m2"]
    assert host.addresses == (ip_address("192.0.2.2"), ip_address("2001:db8::2"))
    assert host.egress == (ip_address("203.0.113.6"),)
    assert host.probe == Endpoint(address=ip_address("10.0.0.8"), port=2525)
    assert host.weight == 4


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("10.0.0.1", ("10.0.0.1", None)),
        ("10.0.0.1:25", ("10.0.0.1", 25)),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:26", ("2001:db8::1", 26)),
    ],
)
def test_where_to_probe(text: str, endpoint: tuple[str, int | None]) -> None:
    zone = zone_of(f'{NS}hosts: {{a: {{address: 192.0.2.1, probe: "{text}"}}}}\n')
    address, port = endpoint
    assert zone.hosts[0].probe == Endpoint(address=ip_address(address), port=port)


IMPLIED = {
    "other records": ("records: {www: {A: 192.0.2.9}}", True, True),
    "TXT at the apex": ('records: {"@": {TXT: x, MX: "0 ."}}', True, True),
    "A at the apex": ('records: {"@": {A: 192.0.2.9}}', True, False),
    "a rule at the apex": ('records: {"@": {AAAA: {pool: main}}}', True, False),
    "pools of one's own": ("pools: {p: {hosts: [mta1]}}", False, False),
}


@pytest.mark.parametrize(("text", "pool", "rule"), IMPLIED.values(), ids=IMPLIED.keys())
def test_what_hosts_alone_imply(text: str, *, pool: bool, rule: bool) -> None:
    zone = zone_of(f"{SHORT}{text}\n")
    assert ("main" in zone.pool_by_name) == pool
    assert bool(tiers(zone, "@", "A")) == rule


def test_a_zone_without_hosts_only_has_records() -> None:
    zone = zone_of(NS + "records: {www: {A: 192.0.2.9}}\n")
    assert (zone.hosts, zone.pools, zone.rules, zone.checks) == ((), (), (), ())


def test_a_delegation_keeps_its_glue() -> None:
    zone = zone_of(NS + "records:\n  sub: {NS: [ns.sub, ns.example.net.]}\n  ns.sub: {A: 192.0.2.7}\n")
    assert record_of(zone, "ns.sub", "A") == (("192.0.2.7",),)


def test_a_host_may_be_a_name_server_at_the_same_address() -> None:
    zone = zone_of("ns: {mta1: 192.0.2.11}\nhosts: {mta1: 192.0.2.11}\n")
    assert [record.type for record in zone.records if record.owner == "mta1.out.example.com."] == ["A"]


def test_aliases_are_read() -> None:
    zone = zone_of(NS + "hosts: {a: &one {address: [192.0.2.1], weight: 3}, b: 192.0.2.2}\nrecords: {}\n")
    assert zone.host_by_name["a"].weight == 3
    again = zone_of(NS + "records: {a: &x {TXT: &text same}, b: *x, c: {TXT: *text}}\n")
    assert record_of(again, "c", "TXT") == (("same",),)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert parse_zone(NAME, b"\xef\xbb\xbf" + SHORT.encode(), "zone.yaml").zone is not None


def test_without_libyaml_a_zone_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    expected = zone_of(LONG)
    monkeypatch.setattr(yaml_nodes, "_LOADER", yaml.BaseLoader)
    assert zone_of(LONG) == expected
    (problem,) = parse_zone(NAME, b"[" * 5000, "zone.yaml").problems
    assert "nested more than" in problem.what
    (problem,) = parse_zone(NAME, NS.encode() + b'ttl: "\\U00110000"', "zone.yaml").problems
    assert "no valid YAML" in problem.what


def test_the_zone_s_name_is_in_lower_case_and_comes_from_the_file(tmp_path: Path) -> None:
    for name in ("Out.Example.com.yaml", "b.example.com.yml"):
        (tmp_path / name).write_text(SHORT)
        zone = read_zone(tmp_path / name).zone
        assert zone is not None
        assert zone.name == name.lower().rpartition(".")[0]


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "out.example.com.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    (problem,) = read_zone(path).problems
    assert str(problem) == f"{path}: over 32 MiB: split the zone into several"


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    parsed = read_zone(tmp_path / "out.example.com.yaml")
    assert parsed.zone is None
    assert "cannot be read: No such file" in str(parsed.problems[0])


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "out.example.com.yaml"
    path.write_text(SHORT)
    path.chmod(0)
    with unprivileged():
        parsed = read_zone(path)
    assert "Permission denied" in str(parsed.problems[0])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "out.example.com.yaml"
    os.mkfifo(path)
    assert "no regular file" in str(read_zone(path).problems[0])


def test_a_folder_means_its_zone_files(tmp_path: Path) -> None:
    for name in (
        "b.example.yaml",
        "a.example.yml",
        ".#a.example.yaml",
        ".a.yaml",
        "a.example.yaml~",
        "#a.yaml",
        "README",
    ):
        (tmp_path / name).write_text(SHORT)
    (tmp_path / "folder.yaml").mkdir()
    extra = tmp_path / "README"
    assert [path.name for path in zone_files([tmp_path, extra, extra])] == [
        "a.example.yml",
        "b.example.yaml",
        "README",
    ]


def test_two_files_of_one_zone_are_an_error(tmp_path: Path) -> None:
    for name in ("a.example.yaml", "a.example.yml"):
        (tmp_path / name).write_text(SHORT)
    first, second = read_zones(zone_files([tmp_path])).values()
    assert first.zone is not None
    assert second.zone is None
    assert "is zone a.example already" in str(second.problems[0])


def many_records(count: int) -> str:
    lines = (f"  h{i}: {{A: 10.{i >> 16}.{i >> 8 & 255}.{i & 255}, TXT: x}}\n" for i in range(count // 2))
    return f"{NS}records:\n{''.join(lines)}"


def test_20_000_records_load() -> None:
    assert len(zone_of(many_records(20_000)).records) == 20_002


def test_the_digest_follows_what_the_zone_says() -> None:
    assert zone_of(LONG).digest == zone_of(LONG + "# a comment\n").digest
    assert zone_of(LONG).digest != zone_of(LONG.replace("weight: 50", "weight: 51")).digest


def whole_or_refused(text: bytes) -> None:
    parsed = parse_zone(NAME, text, "zone.yaml")
    assert (parsed.zone is None) == any(not problem.warning for problem in parsed.problems)
    assert list(parsed.problems) == sorted(parsed.problems)
    for problem in parsed.problems:
        str(problem).encode()
    if parsed.zone is not None:
        assert Zone.model_validate(parsed.zone.model_dump()) == parsed.zone


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@example(b'"\\ud800": 1')
@example(b"? a\n? b\n")
@example(b"%YAML 9.9\n--- {}\n")
def test_any_bytes_are_a_zone_or_refused(text: bytes) -> None:
    whole_or_refused(text)


WORDS = st.sampled_from(
    [
        *("ns", "hosts", "pools", "records", "checks", "soa", "ttl", "min_ttl", "address", "weight", "check"),
        *("A", "AAAA", "MX", "TXT", "NS", "CNAME", "SRV", "CAA", "TLSA", "PTR", "pool", "value", "values"),
        *(
            "preference",
            "exchange",
            "mta1",
            "mta[1-2]",
            "*",
            "@",
            "main",
            "smtp",
            "ns1",
            "fallback",
            "answers",
        ),
        *(
            "192.0.2.1",
            "'2001:db8::1'",
            "192.0.2.[1-2]",
            "50%",
            "10 mta1",
            "0 .",
            "0 0 25 a",
            "3 1 1 00",
            "-1",
        ),
        *("~", "null", '""', '\'"a" "b"\'', "a\\.", "\\", "a.b.", "[1-]", "1.5s"),
    ]
) | st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: "'" + text.replace("'", "''") + "'")
TREES = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]")
        | st.dictionaries(WORDS, inner, max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        )
    ),
    max_leaves=12,
)
KEYS = ("soa", "checks", "hosts", "pools", "records", "ttl", "retire")


@given(st.dictionaries(st.sampled_from(KEYS), TREES, max_size=5))
def test_any_values_under_known_keys_are_a_zone_or_refused(sections: dict[str, str]) -> None:
    whole_or_refused((NS + "".join(f"{key}: {value}\n" for key, value in sections.items())).encode())


@given(
    TREES,
    st.sampled_from(["@", "a", "mta1", "*"]),
    st.sampled_from(["A", "MX", "TXT", "CAA", "TLSA", "pool", "ttl"]),
)
def test_any_value_of_a_record_is_a_zone_or_refused(value: str, owner: str, kind: str) -> None:
    whole_or_refused(f'{SHORT}records: {{"{owner}": {{{kind}: {value}}}}}\n'.encode())


@given(st.text(st.characters(codec="utf-8"), max_size=400))
@example("\\#")
@example("")
def test_a_quoted_text_comes_out_as_its_bytes(text: str) -> None:
    shown = "".join(f"\\{byte:03d}" for byte in text.encode())
    (value,) = record_of(zone_of(f"{NS}records: {{a: {{TXT: '\"{shown}\"'}}}}\n"), "a", "TXT")
    data = text.encode()
    split = [data[start : start + 255] for start in range(0, max(1, len(data)), 255)]
    assert encode("TXT", value) == b"".join(bytes((len(one),)) + one for one in split)


@pytest.mark.parametrize("hosts", ["hosts:", "hosts: {}", "hosts:\n  # mta1: 192.0.2.11"])
def test_a_zone_whose_hosts_are_all_commented_out_is_refused(hosts: str) -> None:
    """It would replace a good zone by one whose name has no address."""
    parsed = parse_zone(NAME, f"ns: {{ns1: 192.0.2.53}}\n{hosts}\n".encode(), "zone.yaml")
    assert parsed.zone is None
    assert "no hosts: write one, as mta1: 192.0.2.11" in str(parsed.problems[0])


@pytest.mark.parametrize(
    ("check", "names", "need"),
    [
        ("smtp", ("smtp",), 1),
        ("[smtp]", ("smtp",), 1),
        ("[smtp, tcp]", ("smtp", "tcp"), 2),
        ("{any_of: [tcp, smtp]}", ("tcp", "smtp"), 1),
        ("{any_of: smtp}", ("smtp",), 1),
        ("{need: 2, of: [smtp, web, tcp]}", ("smtp", "web", "tcp"), 2),
    ],
)
def test_what_judges_a_pool(check: str, names: tuple[str, ...], need: int) -> None:
    one = zone_of(
        f"{NS}checks: {{web: {{type: tcp, port: 80}}}}\n"
        "hosts: {mta1: 192.0.2.1}\n"
        "pools:\n"
        f"  main: {{hosts: [mta1], check: {check}}}\n"
        "  side: {hosts: [mta1], check: web}\n"
        "  free: {hosts: [mta1], check: none}\n  unsaid: {hosts: [mta1]}\n"
        "records: {a: {pool: main}, b: {pool: side}, c: {pool: free}, "
        "d: {pool: unsaid}}\n"
    )
    jury = one.check_policy_of(one.pool_by_name["main"])
    assert jury is not None
    assert tuple(check.name for check in jury.checks) == names
    assert jury.need == need
    assert one.check_policy_of(one.pool_by_name["free"]) is None
    unsaid = one.check_policy_of(one.pool_by_name["unsaid"])
    assert unsaid is not None
    assert ([check.name for check in unsaid.checks], unsaid.need) == (["smtp"], 1), "silence is not agreement"


@pytest.mark.parametrize(
    ("text", "weight"),
    [("0.25", (1, 4)), ("25%", (1, 4)), ("33.3%", (333, 1000)), (".1", (1, 10)), ("1", (1, 1))],
)
def test_what_a_slow_host_keeps(text: str, weight: tuple[int, int]) -> None:
    said = f"{{slow: 500ms, slowstart: 10m, degraded_weight: {text}}}"
    check = zone_of(f"{NS}checks: {{smtp: {said}}}\nhosts: {{a: 192.0.2.1}}\n").check_by_name["smtp"]
    assert (check.slow, check.slowstart) == (0.5, 600)
    assert check.degraded.as_integer_ratio() == weight
