"""gdnsd's configuration and zones → our YAML: pools, checks and fallbacks, with a remark for what is lost."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.cli import main
from geodns.cli.convert.draft import zone_file
from geodns.cli.convert.gdnsd import read_gdnsd
from geodns.cli.convert.gdnsd_config import read_config
from geodns.errors import GeodnsError, UsageError
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.schema import zone_schema
from tests.zonetexts import record_of

NAME = "example.com"
HEAD = "@ SOA ns1 hostmaster ( 1 2h 30M\n 3D 900 ) ; comment\n@ NS ns1\nns1 A 192.0.2.53\n"
CONFIG = """\
options => { listen => [ 127.0.0.1, "[::1]:53035" ] } # comment
service_types => {
  mail => { plugin => tcp_connect, port => 25, interval => 5, timeout => 3, up_thresh => 4, down_thresh => 2 }
  web = { plugin = http_status url_path = /up vhost = www.example.com ok_codes = [ 200, 301 ] }
  script => { plugin => extmon, cmd => ["/bin/true"] }
}
plugins => {
  multifo => {
    service_types => up
    plain => { lb01 => 192.0.2.1, lb02 => 192.0.2.2, lb03 => 192.0.2.3 }
    both => {
      service_types => [ mail, web ]
      addrs_v4 => [ 192.0.2.1, 192.0.2.4 ]
      addrs_v6 => { service_types => mail, lb01_v6 => 2001:DB8::1 }
    }
    strict => { service_types => mail, up_thresh => 0.9, lb01 => 192.0.2.1 }
    scripted => { service_types => script, lb01 => 192.0.2.1 }
    careless => { service_types => mail, ignore_health => true, lb01 => 192.0.2.1 }
  }
  weighted => {
    service_types => mail
    out => { mta1 => [ 192.0.2.11, 45 ], mta2 => [ 192.0.2.12, 60 ] }
    many => { multi => true, mta1 => [ 192.0.2.11, 4 ], mta2 => [ 192.0.2.12, 1 ] }
    groups => { dc1 => { a => [ 192.0.2.21, 2 ] }, dc2 => { a => [ 192.0.2.22, 2 ], b => [ 192.0.2.23, 1 ] } }
    twice => { a => [ 192.0.2.31, 12 ], b => [ 192.0.2.31, 3 ] }
    alias => { service_types => up, a => [ lb01.example.org., 15 ], b => [ lb02.example.org., 99 ] }
  }
  simplefo => {
    service_types => mail
    fo => { primary => 192.0.2.41, secondary => 192.0.2.42 }
  }
  static => { one => 192.0.2.51, name => host.example.org. }
  null => {}
  metafo => { resources => { m => { datacenters => [ d ], dcmap => { d => 192.0.2.61 } } } }
}
"""


def written(folder: Path, records: str, config: str = CONFIG, name: str = NAME) -> Path:
    (folder / "zones").mkdir(exist_ok=True)
    (folder / "config").write_text(config)
    path = folder / "zones" / name
    path.write_text(HEAD + records)
    return path


def imported(folder: Path, records: str, config: str = CONFIG) -> tuple[Zone, list[str]]:
    draft = read_gdnsd(written(folder, records, config), None)
    text = zone_file(draft)
    parsed = parse_zone(NAME, text.encode(), "zone.yaml")
    assert parsed.zone is not None, [text, *map(str, parsed.problems)]
    jsonschema.Draft202012Validator(zone_schema()).validate(yaml.safe_load(text))
    return parsed.zone, [remark.text for remark in draft.remarks]


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


def test_the_zone_file_s_own_ways(tmp_path: Path) -> None:
    written(tmp_path, "")
    (tmp_path / "zones" / "inc").mkdir()
    (tmp_path / "zones" / "inc" / "foo").write_text(
        "$TTL 5\n$ORIGIN bar\nasdf A 192.0.2.1\n$ORIGIN baz.@F\nasdf A 192.0.2.2\n"
        "$ORIGIN quux.@Z\nasdf A 192.0.2.3\n"
    )
    zone, told = imported(
        tmp_path,
        "$INCLUDE inc/foo foo\n"
        f'long TXT "{"x" * 300}"\n'
        "mx MX 10 mail.@Z\n  300/30 DYNA weighted!out\nAPP 5m IN DYNA weighted!out\n"
        "$TTL 7\nno-ttl DYNA weighted!out\n",
    )
    found = {one.owner.removesuffix(f".{NAME}."): one for one in zone.records}
    assert {"asdf.bar.foo", "asdf.baz.foo", "asdf.quux"} <= found.keys()
    assert (found["asdf.quux"].ttl, found["long"].ttl) == (5, 86400), "an include's $TTL ends with it"
    assert found["long"].values == (("x" * 255, "x" * 45),)
    assert found["mx"].values == (("10", f"mail.{NAME}."),)
    assert {rule.owner.removesuffix(f".{NAME}."): rule.ttl for rule in zone.rules} == {
        "mx": 300,
        "app": 300,
        "no-ttl": 7,
    }
    assert len(zone.pools) == 1, "one resource is one pool"
    assert told == ["the lower TTLs of DYNA (300/30) have no counterpart: `min_ttl` is the zone's"]


def test_the_configuration_says_the_default_ttl(tmp_path: Path) -> None:
    zone, _ = imported(tmp_path, "a A 192.0.2.1\n", "options => { zones_default_ttl => 77 }")
    assert {one.ttl for one in zone.records if one.owner.startswith("a.")} == {77}


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


def test_what_is_included_is_searched_beside_the_file_that_includes_it(tmp_path: Path) -> None:
    inner = tmp_path / "zones" / "sub" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "one").write_text("one A 192.0.2.1\n$INCLUDE inner/two\n")
    (inner / "two").write_text(f"two TXT {'x' * 300}\n")
    zone, remarks = imported(tmp_path, "$INCLUDE sub/one\n", "")
    assert remarks == []
    assert {one.owner: one.type for one in zone.records}["one.example.com."] == "A"
    assert {one.owner: one.values for one in zone.records}["two.example.com."] == (("x" * 255, "x" * 45),)


VALUES: dict[str, tuple[str, Any]] = {
    "arrows and commas": ("a => [ b, c, ], d => { e => f, }", {"a": ["b", "c"], "d": {"e": "f"}}),
    "neither": ("a={b=[c d]e={}}", {"a": {"b": ["c", "d"], "e": {}}}),
    "strings": (r'"a b" => ex\097mpl\e x = "i\"n ; #"', {"a b": "example", "x": 'i"n ; #'}),
    "comments": ("# x\na => b ; y\n", {"a": "b"}),
    "nothing": ("", {}),
    "included": ('a => $include{one} $include{ "some" }', {"a": ["x"], "b": "c", "d": "e"}),
}


@pytest.mark.parametrize(("text", "expected"), VALUES.values(), ids=VALUES.keys())
def test_the_language_of_the_configuration(text: str, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("[ x ]")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "1").write_text("b => c")
    (tmp_path / "some" / "2").write_text("d => e")
    (tmp_path / "config").write_text(text)
    assert read_config(tmp_path / "config") == expected


WRONG = {
    "open": ("a => {\n b => c", ":2: the file ends early"),
    "no arrow": ("a b", ":1: `=>` is missing behind 'a'"),
    "no value": ("a => ,", ", where a value is expected"),
    "no key": ("{ a => b }", "{ where a key is expected"),
    "twice": ("a => b\na => c", ":2: 'a' stands here twice"),
    "list": ("[ a ]", "a list where `options`"),
    "no files": (
        "a => $include{nowhere}\n$include{none}",
        ":2: FOLDER/none is included here: No such file",
    ),
    "no file, and more": ("a => $include{nowhere}\n}", ":1: FOLDER/nowhere is included here: No such file"),
    "itself": ("$include{config}", "does one include itself"),
    "deep": ("a => " + "[" * 1000, "nested more than"),
    "a dollar": ('a => "', "cannot stand here"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_configuration_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(GeodnsError) as found:
        read_config(tmp_path / "config")
    assert message.replace("FOLDER", str(tmp_path)) in str(found.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, len(CONFIG)), st.integers(0, 40), st.text('{}[]=>,"\\ a1\n', max_size=4))
def test_any_configuration_is_read_or_refused(tmp_path: Path, at: int, length: int, put: str) -> None:
    path = written(
        tmp_path, "www DYNA weighted!out\nw DYNA multifo!both\n", CONFIG[:at] + put + CONFIG[at + length :]
    )
    try:
        draft = read_gdnsd(path, None)
    except GeodnsError:
        return
    parse_zone(NAME, zone_file(draft).encode(), "zone.yaml")


@pytest.mark.skipif(shutil.which("gdnsd") is None, reason="no gdnsd here: apt-get install gdnsd")
def test_gdnsd_takes_these_files_too(tmp_path: Path) -> None:
    records = "".join(f"w{number} 300 DYNA {row[0]}\n" for number, row in enumerate(POOLS.values()))
    written(tmp_path, f"{records}alias 300 DYNC weighted!alias\nfixed 300 DYNA static!one\n")
    done = subprocess.run(
        ["gdnsd", "-c", str(tmp_path), "checkconf"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["import", *arguments])


def test_the_command_knows_gdnsd_s_folders(tmp_path: Path) -> None:
    path = written(tmp_path, "www 300 DYNA weighted!out\n")
    done = run(str(path))
    assert done.exit_code == 0, done.output
    assert "www: {ttl: 5m, A: {pool: out}}" in done.stdout
    written(tmp_path, "a A 192.0.2.1\n", name="example.org")
    out = tmp_path / "out"
    done = run(str(tmp_path), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert sorted(one.name for one in out.iterdir()) == ["example.com.yaml", "example.org.yaml"]
    written(tmp_path, "a TYPO x\n", name="example.net")
    done = run(str(tmp_path), "--out", str(tmp_path / "again"))
    assert "1 of " in str(done.exception)
    assert f"{tmp_path}/zones/example.net:5: " in done.stderr
    assert len(list((tmp_path / "again").iterdir())) == 2, "one that is bad holds up no other"
    (tmp_path / "config").write_text("$include{nowhere}")
    done = run(str(tmp_path), "--out", str(tmp_path / "never"))
    assert (
        str(done.exception)
        == f"{tmp_path}/config:1: {tmp_path}/nowhere is included here: No such file or directory"
    )
    assert done.stderr == "", "told once, not for each zone"
    assert isinstance(run(str(tmp_path)).exception, UsageError)
    assert isinstance(run(str(tmp_path), "--format", "bind", "--out", str(out)).exception, UsageError)
