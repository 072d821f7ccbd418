"""`hosts_from`: what may stand there, and how what sources find becomes hosts of the zone."""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

import dns.rcode
import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from geodns.model.hosts import DnsSource, FileSource, Host, HostSource
from geodns.model.zone import Zone
from geodns.zonefile.reader import ParsedZone, parse_zone, read_zone, read_zones
from geodns.zonefile.schema import zone_schema
from geodns.zonefile.sources import SourcedHost, SourceResult, in_files
from tests.sample_zones import Worker, host
from tests.zonefile.test_problems import marked
from tests.zonetexts import NAME, NS

DNS = "hosts_from: [{dns: mta.internal.example}]\n"
BOTH = 'hosts_from: [{dns: mta.internal.example, weight: 3}, {file: "hosts.d/*.yaml"}]\n'
VALIDATOR = jsonschema.Draft202012Validator(zone_schema())


def parse(text: str, found: Mapping[str, tuple[Host, ...]] | None = None) -> ParsedZone:
    """Read a zone whose sources have found these hosts, by the beginnings of their titles."""

    def find(zone: str, source: HostSource) -> SourceResult:
        assert zone == NAME
        hosts = next((some for title, some in (found or {}).items() if source.title.startswith(title)), ())
        return SourceResult(tuple(SourcedHost(one, source.title) for one in hosts))

    return parse_zone(NAME, (NS + text).encode(), "zones/zone.yaml", find)


def zone_of(text: str, found: Mapping[str, tuple[Host, ...]] | None = None) -> tuple[Zone, list[str]]:
    parsed = parse(text, found)
    assert parsed.zone is not None, [str(one) for one in parsed.problems]
    return parsed.zone, [one.what for one in parsed.problems if "implicit MX" not in one.what]


ERRORS = {
    "nothing": ("hosts_from: §[]\n", "no sources"),
    "a text": ("hosts_from: §mta.internal.example\n", "where a source of hosts is expected"),
    "neither": ("hosts_from: [§{weight: 2}]\n", "a source without `dns` or `file`"),
    "both": ("hosts_from: [§{dns: a.example, file: hosts.d/a}]\n", "both `dns` and `file`"),
    "unknown key": ("hosts_from: [{§dsn: a.example}]\n", "did you mean 'dns'?"),
    "twice": (
        "hosts_from: [{dns: a.example}, §{dns: A.example., weight: 3}]\n",
        "dns a.example is given twice",
    ),
    "no name": ("hosts_from: [{dns: §'a b'}]\n", "'a b' is no name of a host"),
    "an address": ("hosts_from: [{dns: §192.0.2.1}]\n", "the address 192.0.2.1 where a name is needed"),
    "in the zone": (f"hosts_from: [{{dns: §mta.{NAME}}}]\n", "lies in this zone: geodns would have to ask"),
    "weight": ("hosts_from: [{dns: a.example, weight: §-1}]\n", "weight '-1' is out of range"),
    "interval": ("hosts_from: [{dns: a.example, interval: §10ms}]\n", "10ms is out of range"),
    "resolver": ("hosts_from: [{dns: a.example, resolver: §ns1}]\n", "'ns1' is no resolver"),
    "label": ("hosts_from: [{dns: a.example, name: §-mta}]\n", "'-mta' cannot begin the names of hosts"),
    "long label": (f"hosts_from: [{{dns: §{'a' * 24}.example}}]\n", "write `name: mta`"),
    "weight of files": ("hosts_from: [{file: hosts.d/a, §weight: 2}]\n", "`weight` goes with `dns`"),
    "a folder": ("hosts_from: [{file: §hosts.d/}]\n", "'hosts.d/' is a folder"),
    "a glob of folders": ("hosts_from: [{file: §'*/a.yaml'}]\n", "a glob in a folder's name"),
    "zone files": ("hosts_from: [{file: §'*.yaml'}]\n", "lies among the zone files"),
    "zone files by a detour": ("hosts_from: [{file: §'../zones/*.yaml'}]\n", "lies among the zone files"),
    "a fallback that is none": (DNS + "pools: {a: {hosts: '*', fallback: §b}}\n", "no pool is called 'b'"),
    "an empty pool": (DNS + "pools: {a: {hosts: §[]}}\n", "a pool without hosts"),
}


@pytest.mark.parametrize(("text", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_an_error_is_named_with_its_place(text: str, message: str) -> None:
    text, place = marked(text)
    parsed = parse(text)
    told = [one for one in parsed.problems if message in f"{one.what}: {one.instead}"]
    assert [(one.line - 1, one.column) for one in told] == [place], [str(one) for one in parsed.problems]
    assert "empty pool" in text or parsed.zone is None or told[0].warning


@pytest.mark.parametrize(
    ("text", "source"),
    [
        pytest.param(
            "{dns: MTA.internal.example.}", DnsSource(dns="mta.internal.example", label="mta"), id="short"
        ),
        pytest.param(
            '{dns: a.example, weight: 0, name: MX, interval: 1m, resolver: "127.0.0.1:8600"}',
            DnsSource.model_validate(
                {
                    "dns": "a.example",
                    "label": "mx",
                    "weight": 0,
                    "interval": 60,
                    "resolver": "127.0.0.1",
                    "port": 8600,
                }
            ),
            id="long",
        ),
        pytest.param(
            f'{{dns: mta.{NAME}, resolver: "2001:db8::53"}}',
            DnsSource.model_validate({"dns": f"mta.{NAME}", "label": "mta", "resolver": "2001:db8::53"}),
            id="in the zone, but answered elsewhere",
        ),
        pytest.param("{file: ./hosts.d//*.yaml}", FileSource(file="hosts.d/*.yaml"), id="files"),
        pytest.param(
            "{file: /etc/mta/one.yaml}", FileSource(file="/etc/mta/one.yaml"), id="a file elsewhere"
        ),
    ],
)
def test_a_source_is_read(text: str, source: HostSource) -> None:
    for form in (f"hosts_from: {text}\n", f"hosts_from: [{text}]\n"):
        zone, _ = zone_of(form)
        assert zone.sources == (source,)
        VALIDATOR.validate(yaml.safe_load(NS + form))
        assert Zone.model_validate_json(zone.model_dump_json()) == zone


@pytest.mark.parametrize(
    "text", ["[]", "a.example", "{}", "{dns: a, file: b}", "{file: a, weight: 2}", "{dns: a, wieght: 2}"]
)
def test_the_schema_refuses(text: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(f"{NS}hosts_from: {text}\n"))


FOUND = {"dns": (host("mta-1", "192.0.2.1", weight=3), host("mta-2", "192.0.2.2", weight=3))}


def test_found_hosts_are_hosts_of_the_zone() -> None:
    zone, problems = zone_of(BOTH, FOUND | {"file": (host("x1", "192.0.2.9", weight=7),)})
    assert problems == []
    assert [one.name for one in zone.hosts] == ["mta-1", "mta-2", "x1"]
    assert zone.source_of == {
        "mta-1": "dns mta.internal.example",
        "mta-2": "dns mta.internal.example",
        "x1": "file hosts.d/*.yaml",
    }
    (pool,) = zone.pools
    assert [(one.host, one.weight) for one in pool.members] == [("mta-1", 3), ("mta-2", 3), ("x1", 7)]
    assert Worker(zone).ask("mta-1").answer[0][0].to_text() == "192.0.2.1"
    assert zone.digest != zone_of(BOTH, FOUND)[0].digest


def test_globs_and_names_take_what_is_found() -> None:
    text = BOTH + "hosts: {own: 192.0.2.8}\npools: {a: {hosts: {'mta-*': 9, own: 1}}, b: {hosts: [x1]}}\n"
    text += "records: {'@': {pool: a}, b: {pool: b}}\n"
    zone, problems = zone_of(text, FOUND)
    assert problems == ["no host is called 'x1' now"]
    assert [(one.host, one.weight) for one in zone.pools[0].members] == [
        ("own", 1),
        ("mta-1", 9),
        ("mta-2", 9),
    ]
    assert zone.pools[1].members == ()
    worker = Worker(zone)
    assert worker.ask("@").rcode() == dns.rcode.NOERROR
    assert worker.ask("b").rcode() == dns.rcode.SERVFAIL
    zone, problems = zone_of(text)
    assert problems == ["the glob 'mta-*' matches no host now", "no host is called 'x1' now"]


@pytest.mark.parametrize(
    "more", ["", "pools: {main: {hosts: '*', check: smtp}}\nrecords: {'@': {pool: main}}\n"]
)
def test_a_zone_without_any_host_answers_servfail_and_never_no_address(more: str) -> None:
    zone, _ = zone_of(DNS + more)
    worker = Worker(zone)
    for rtype in ("A", "AAAA"):
        answer = worker.ask("@", rtype)
        assert (answer.rcode(), answer.answer) == (dns.rcode.SERVFAIL, [])
    assert worker.ask("@", "SOA").rcode() == dns.rcode.NOERROR
    assert worker.ask("nobody").rcode() == dns.rcode.NXDOMAIN


def test_mx_of_a_pool_without_hosts_is_servfail_unless_another_pool_has_some() -> None:
    text = DNS + "hosts: {own: 192.0.2.8}\npools: {a: {hosts: 'mta-*'}, b: {hosts: [own]}}\nrecords:\n"
    text += "  one: {MX: {pool: a}}\n"
    text += "  two: {MX: [{pool: a, preference: 10}, {pool: b, preference: 20}]}\n"
    worker = Worker(zone_of(text)[0])
    assert worker.ask("one", "MX").rcode() == dns.rcode.SERVFAIL
    assert [one.to_text() for one in worker.ask("two", "MX").answer[0]] == [f"20 own.{NAME}."]


@pytest.mark.parametrize(
    ("text", "found", "hosts", "warning"),
    [
        pytest.param(
            "hosts: {mta-1: 192.0.2.8}\n",
            FOUND,
            ["mta-1 192.0.2.8", "mta-2 192.0.2.2"],
            "host 'mta-1' of dns mta.internal.example stands in `hosts` already",
            id="a name that the file has",
        ),
        pytest.param(
            "hosts: {own: 192.0.2.1}\n",
            FOUND,
            ["own 192.0.2.1", "mta-2 192.0.2.2"],
            "host 'mta-1' of dns mta.internal.example has the address 192.0.2.1, which a host in `hosts` has "
            "already",
            id="an address that the file has",
        ),
        pytest.param(
            "",
            FOUND | {"file": (host("x", "192.0.2.2", "192.0.2.9"),)},
            ["mta-1 192.0.2.1", "mta-2 192.0.2.2", "x 192.0.2.9"],
            "host 'x' of file hosts.d/*.yaml has the address 192.0.2.2, which a host in "
            "dns mta.internal.example has already",
            id="an address of another source",
        ),
        pytest.param(
            "records: {mta-1: {A: 192.0.2.77}}\n",
            FOUND,
            ["mta-2 192.0.2.2"],
            "host 'mta-1' of dns mta.internal.example has a name that `records` or `ns` speaks of",
            id="a name of a record",
        ),
        pytest.param(
            f"records: {{mta-1.{NAME}.: {{CNAME: a.example.}}}}\n",
            FOUND,
            ["mta-2 192.0.2.2"],
            "host 'mta-1' of dns mta.internal.example has a name that `records` or `ns` speaks of",
            id="an alias",
        ),
        pytest.param(
            "",
            {"file": (host("ns1", "192.0.2.1"), host("x", "192.0.2.9"))},
            ["x 192.0.2.9"],
            "host 'ns1' of file hosts.d/*.yaml has a name that `records` or `ns` speaks of",
            id="a name server",
        ),
        pytest.param(
            "pools: {a: {hosts: {'mta*': 1, '*-2': 5}}}\nrecords: {'@': {pool: a}}\n",
            FOUND,
            ["mta-1 192.0.2.1", "mta-2 192.0.2.2"],
            "'mta*' and '*-2' give host 'mta-2' different weights",
            id="globs that do not agree",
        ),
        pytest.param(
            "hosts: {own: 192.0.2.8}\npools: {a: {hosts: [own]}}\nrecords: {'@': {pool: a}}\n",
            FOUND,
            ["own 192.0.2.8", "mta-1 192.0.2.1", "mta-2 192.0.2.2"],
            "no pool has host 'mta-1' of dns mta.internal.example (and 1 more)",
            id="nobody's",
        ),
    ],
)
def test_what_is_found_never_makes_the_file_bad(
    text: str, found: dict[str, tuple[Host, ...]], hosts: list[str], warning: str
) -> None:
    zone, problems = zone_of(BOTH + text, found)
    assert [f"{one.name} {' '.join(map(str, one.addresses))}" for one in zone.hosts] == hosts
    assert problems == [warning]


def test_more_hosts_than_min_live_may_yet_come() -> None:
    text = DNS + "pools: {a: {hosts: 'mta-*', min_live: 3, fallback: b}, b: {hosts: '*'}}\n"
    zone_of(text + "records: {'@': {pool: a}}\n", {"dns": (host("mta-1", "192.0.2.1"),)})


NAMES = st.sampled_from(["mta-1", "mta-2", "own", "ns1", "old", "static", "www", "alias", "x"])
ONE = st.builds(
    host,
    NAMES,
    st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]),
    weight=st.integers(0, 3),
)
TEXT = (
    BOTH
    + """\
hosts: {own: 192.0.2.1}
pools:
  a: {hosts: {'mta-*': 1, '*': 2}, check: smtp, min_live: 2, fallback: b}
  b: {hosts: [own, mta-2]}
records:
  '@': {pool: a, MX: {pool: a}}
  b: {pool: b}
  static: {A: 192.0.2.9}
  alias: {CNAME: static}
  www: {pool: b}
  old: {NS: ns.example.net.}
"""
)


@given(st.lists(ONE, max_size=6), st.lists(ONE, max_size=6))
def test_whatever_sources_find_the_zone_is_good(by_dns: list[Host], by_file: list[Host]) -> None:
    zone, _ = zone_of(TEXT, {"dns": tuple(by_dns), "file": tuple(by_file)})
    addresses = [address for one in zone.hosts for address in one.addresses]
    assert len(addresses) == len(set(addresses))
    assert len({one.name for one in zone.hosts}) == len(zone.hosts)
    assert zone.hosts[0] == host("own", "192.0.2.1")
    worker = Worker(zone)
    for name in ("@", "b", "www"):
        assert worker.ask(name).answer, "own is always there"
    assert zone_of(TEXT, {"dns": tuple(by_dns), "file": tuple(by_file)})[0].digest == zone.digest


# --- files beside the zone file ------------------------------------------------------------------------


def test_files_are_read_beside_the_zone_file(tmp_path: Path) -> None:
    folder = tmp_path / "hosts.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("'mx[1-2]': {address: '192.0.2.[1-2]', weight: 5}\n")
    (folder / "b.yaml").write_text("b1: {adress: 192.0.2.3}\n")
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(NS + "hosts_from: {file: 'hosts.d/*.yaml'}\n")
    parsed = read_zone(path)
    assert parsed.zone is not None
    assert [(one.name, one.weight) for one in parsed.zone.hosts] == [("mx1", 5), ("mx2", 5)]
    assert parsed.zone.source_of == dict.fromkeys(("mx1", "mx2"), "file hosts.d/a.yaml")
    assert [str(one) for one in parsed.problems if not one.warning] == [
        f"{folder}/b.yaml:1:5: a host without an address: write `address: 192.0.2.1`, or a list of addresses",
        f"{folder}/b.yaml:1:6: unknown key 'adress': did you mean 'address'?",
    ]


def test_no_files_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(NS + "hosts_from: {file: 'hosts.d/*.yaml'}\n")
    assert any("cannot be read: No such file" in one.what for one in read_zone(path).problems)
    (tmp_path / "hosts.d").mkdir()
    assert any("no file fits 'hosts.d/*.yaml'" in one.what for one in read_zone(path).problems)


def test_a_source_in_another_zone_that_is_served_is_a_warning(tmp_path: Path) -> None:
    one, other = tmp_path / f"{NAME}.yaml", tmp_path / "internal.example.yaml"
    one.write_text(NS + DNS)
    other.write_text(NS + "records: {mta: {A: 192.0.2.1}}\n")
    parsed = read_zones([one, other])
    assert [p.what for p in parsed[one].problems if "served here" in p.what] == [
        "dns mta.internal.example lies in zone internal.example, which is served here"
    ]
    one.write_text(NS + "hosts_from: {dns: mta.internal.example, resolver: 192.0.2.53}\n")
    assert not any("served here" in p.what for p in read_zones([one, other])[one].problems)


SHARED = """
defaults: {hosts: {weight: 5, load: {url: "http://{host}.net/{address}", metric: q, full: 100}}}
"""
LOOKED_UP = Host(name="mta-192-0-2-7", addresses=(ip_address("192.0.2.7"),))


def test_hosts_of_sources_take_what_they_do_not_say_from_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "hosts.d").mkdir()
    (tmp_path / "hosts.d" / "one.yaml").write_text(
        "a: 192.0.2.1\nb: {address: 192.0.2.2, weight: 1}\n"
        "c: {address: 192.0.2.3, load: {url: 'http://x.net/', metric: z, full: 7}}\n"
    )
    zone = tmp_path / "zone.yaml"
    zone.write_text(NS + BOTH + SHARED)
    files = in_files(tmp_path)

    def find(name: str, source: HostSource) -> SourceResult:
        if isinstance(source, DnsSource):
            return SourceResult((SourcedHost(LOOKED_UP, source.title),))
        return files(name, source)

    read = read_zone(zone, find).zone
    assert read is not None
    shown = {one.name: (one.weight, one.load and (one.load.url, one.load.full)) for one in read.hosts}
    assert shown == {
        "a": (5, ("http://a.net/192.0.2.1", 100)),
        "b": (1, ("http://b.net/192.0.2.2", 100)),
        "c": (5, ("http://x.net/", 7)),
        "mta-192-0-2-7": (5, ("http://mta-192-0-2-7.net/192.0.2.7", 100)),
    }
    assert {one.host: one.weight for one in read.pools[0].members}["a"] == 5


@pytest.mark.parametrize("found", [(), (LOOKED_UP,)])
def test_what_is_wrong_with_the_defaults_does_not_depend_on_what_sources_find(
    found: tuple[Host, ...],
) -> None:
    parsed = parse(DNS + "defaults: {hosts: {load: {metric: q, full: 9}}}\n", {"dns": found})
    (problem,) = (one.what for one in parsed.problems if not one.warning)
    assert problem == "`metric` without `url`"
