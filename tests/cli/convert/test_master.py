"""The zone file that a zone becomes: read by dnspython, and accepted by other servers' own checkers."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from geodns.cli import main
from geodns.cli.convert.master import master_file
from geodns.errors import GeodnsError, UsageError
from geodns.model.zone import Zone
from geodns.wire.encode import encode
from geodns.wire.names import labels_of, name_from_wire
from tests.cli.convert.masters import rrsets_of
from tests.zonefile.test_record_types import TEXTS
from tests.zonetexts import LONG, NAME, NS, zone_of

SAMPLE = Path(__file__).parents[3] / "zones/out.example.com.yaml"


def fixed(zone: Zone) -> dict[tuple[str, str], tuple[int, frozenset[bytes]]]:
    return {
        (one.owner, one.type): (one.ttl, frozenset(encode(one.type, value) for value in one.values))
        for one in zone.records
    }


def test_fixed_records_stand_there_as_they_are_and_dealt_ones_whole() -> None:
    zone = zone_of(LONG)
    found = rrsets_of(master_file(zone, 7), zone.origin)
    assert fixed(zone).items() <= found.items()
    assert found[zone.origin, "A"] == (30, frozenset(bytes((192, 0, 2, last)) for last in (11, 12, 13)))
    assert len(found[zone.origin, "AAAA"][1]) == 1
    assert len(found[zone.origin, "MX"][1]) == 3
    assert len(found[f"in.{zone.origin}", "MX"][1]) == 7
    assert found[f"bulk.{zone.origin}", "A"][1] == frozenset(
        bytes((198, 51, 100, last)) for last in range(11, 15)
    )


def test_a_comment_says_what_is_dealt() -> None:
    text = master_file(zone_of(LONG), 7)
    assert text.count("; dealt from pool main: ") == 3
    assert "; bulk.out.example.com. AAAA: dealt from pool reserve, which has no such address" in text


def test_hosts_without_weight_are_left_out_and_a_fallback_stands_in_for_a_family() -> None:
    zone = zone_of(
        """\
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.1, b: {address: 192.0.2.2, weight: 0}, c: "2001:db8::1"}
pools: {one: {hosts: [a, b], fallback: two}, two: {hosts: [c]}}
records: {p: {pool: one, MX: {pool: one}, SRV: {pool: one, port: 587, priority: 5}}}
"""
    )
    found = rrsets_of(master_file(zone, 7), zone.origin)
    assert found["p.out.example.com.", "A"][1] == {bytes((192, 0, 2, 1))}
    assert len(found["p.out.example.com.", "AAAA"][1]) == 1
    assert len(found["p.out.example.com.", "MX"][1]) == 1
    (service,) = found["p.out.example.com.", "SRV"][1]
    assert service[:6] == bytes((0, 5, 0, 1)) + (587).to_bytes(2, "big")


RULED = """\
ns: {ns1: 192.0.2.53}
hosts: {a: 192.0.2.1, b: 192.0.2.2, c: 192.0.2.3}
pools: {main: {hosts: [a]}, internal: {hosts: [b]}, trial: {hosts: [c]}}
records:
  p: {A: {pool: [{subnets: 10.0.0.0/8, use: internal}, main]}, MX: {pool: main}}
experiments:
  new: {name: p, pool: main, arms: {control: {share: 80, pool: main}, trial: {share: 20, pool: trial}}}
"""


def test_what_everybody_gets_stands_there_and_rules_and_experiments_are_told() -> None:
    text = master_file(zone_of(RULED), 7)
    assert rrsets_of(text, "out.example.com.")["p.out.example.com.", "A"][1] == {bytes((192, 0, 2, 1))}
    name, trial = "p.out.example.com.", "left out: experiment new, pools main (80), trial (20) for main"
    assert [line for line in text.splitlines() if "left out" in line] == [
        f"; {name} A: left out: pool internal for subnets 10.0.0.0/8",
        f"; {name} A: {trial}",
        f"; {name} MX: {trial}",
    ]


def test_the_serial_is_the_file_s_or_the_one_given() -> None:
    assert " 7 3600 " in master_file(zone_of(NS), 7)
    assert " 8 3600 " in master_file(zone_of(NS + "soa: {serial: 8}\n"), 7)


def test_what_lies_below_a_dname_is_a_comment() -> None:
    text = master_file(zone_of(NS + "records: {a: {DNAME: example.net., TXT: x}, b.a: {TXT: y}}\n"), 7)
    assert "\na.out.example.com. 3600 IN TXT " in text
    assert "\n; not served, it is below a DNAME: b.a.out.example.com. 3600 IN TXT " in text


OBSOLETE = {"MD", "MF"}
"""BIND takes them for errors."""


def every_type() -> str:
    lines = [
        f"  t{number}: {{{kind}: {quoted(text)}}}"
        for number, (kind, text) in enumerate(TEXTS.items())
        if kind not in OBSOLETE
    ]
    return NS + "records:\n" + "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


CHECKERS = {
    "NSD": ["nsd-checkzone", NAME, "FILE"],
    "Knot": ["knotc", "-c", "knot.conf", "zone-check"],
    "BIND": ["named-checkzone", "-i", "local", NAME, "FILE"],
}
KNOT = """\
server:
    rundir: {folder}
database:
    storage: {folder}
zone:
  - domain: {name}
    file: {folder}/zone
"""
ZONES: dict[str, Callable[[], str]] = {
    "sample": SAMPLE.read_text,
    "long": lambda: LONG,
    "every type": every_type,
    "a delegation": lambda: (
        NS + "records:\n  sub: {NS: [ns.sub, ns.example.net.], TXT: x}\n  ns.sub: {A: 192.0.2.9}\n"
    ),
    "a DNAME": lambda: NS + "records: {a: {DNAME: b.example.net.}, b.a: {TXT: x}}\n",
    "odd names": lambda: (
        NS + "records: {'a\\.b\\032\\000\\@': {TXT: x}, 'a.*.b': {TXT: x}, '*.c': {TXT: x}}\n"
    ),
}


@pytest.mark.parametrize("program", CHECKERS)
@pytest.mark.parametrize("name", ZONES)
def test_other_servers_accept_it(program: str, name: str, tmp_path: Path) -> None:
    if shutil.which(CHECKERS[program][0]) is None:
        pytest.skip(f"{program} is not here: apt-get install nsd knot bind9-utils")
    path = tmp_path / "zone"
    path.write_text(master_file(zone_of(ZONES[name]()), 7))
    (tmp_path / "knot.conf").write_text(KNOT.format(folder=tmp_path, name=NAME))
    command = [str(path) if word == "FILE" else word for word in CHECKERS[program]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


OCTET = st.integers(0, 255).map(lambda octet: bytes((octet,)))
LABEL = st.lists(OCTET, min_size=1, max_size=63).map(b"".join)
NAMES = (
    st.lists(LABEL, min_size=1, max_size=4)
    .map(lambda labels: b"".join(bytes((len(label),)) + label for label in labels).lower())
    .filter(lambda wire: len(wire) < 200)
    .map(lambda wire: name_from_wire(wire + b"\0"))
)
VALUES = (
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str))
    | st.tuples(st.just("AAAA"), st.ip_addresses(v=6).map(str))
    | st.tuples(
        st.just("MX"), st.tuples(st.integers(0, 65535), NAMES).map(lambda pair: f"{pair[0]} {pair[1]}")
    )
    | st.tuples(
        st.sampled_from(("TXT", "SPF")),
        st.lists(st.binary(max_size=255), min_size=1, max_size=3).map(
            lambda strings: " ".join(
                '"' + "".join(f"\\{byte:03d}" for byte in string) + '"' for string in strings
            )
        ),
    )
    | st.tuples(
        st.integers(65280, 65534).map(lambda number: f"TYPE{number}"),
        st.binary(max_size=300).map(lambda data: f"\\# {len(data)} {data.hex()}"),
    )
    | st.sampled_from(sorted(item for item in TEXTS.items() if item[0] != "DNAME"))
)


@given(
    st.dictionaries(
        NAMES,
        st.tuples(
            st.lists(VALUES, min_size=1, max_size=3, unique_by=lambda one: one[0]), st.integers(0, 2**31 - 1)
        ),
        max_size=4,
    )
)
def test_any_zone_comes_back_as_it_was(names: dict[str, tuple[list[tuple[str, str]], int]]) -> None:
    lines = [NS + ("records:" if names else "")]
    for name, (values, ttl) in names.items():
        lines.append(f"  {quoted(name + NAME + '.')}:\n    ttl: {ttl}")
        lines += [f"    {kind}: {quoted(text)}" for kind, text in values]
    zone = zone_of("\n".join(lines) + "\n")
    found = rrsets_of(master_file(zone, 7), zone.origin)
    del found[zone.origin, "SOA"]

    def folded(rrsets: dict[tuple[str, str], tuple[int, frozenset[bytes]]]) -> object:
        return {(labels_of(owner), kind): rrset for (owner, kind), rrset in rrsets.items()}

    assert folded(found) == folded(fixed(zone))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["export", *arguments])


def test_the_command_prints_a_zone_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.yaml").write_text(LONG)
    (tmp_path / "other.example.yaml").write_text("broken")
    done = run(NAME.upper() + ".", "--zones", str(tmp_path))
    assert done.exit_code == 0
    assert "mta1.out.example.com. 3600 IN A 192.0.2.11" in done.stdout


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.example", GeodnsError, "no zone nowhere.example"),
        ("other.example", GeodnsError, "not a mapping"),
        ("a..b", UsageError, "no domain name"),
    ],
)
def test_the_command_tells_what_is_wrong(
    name: str, error: type[GeodnsError], message: str, tmp_path: Path
) -> None:
    (tmp_path / "other.example.yaml").write_text("broken")
    done = run(name, "--zones", str(tmp_path))
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
