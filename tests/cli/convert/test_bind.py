"""BIND zone files → our YAML → what is served, held against the very records of the file."""

import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geodns.cli import main
from geodns.cli.convert.bind import guessed_origin, read_bind, text_of_strings
from geodns.cli.convert.draft import zone_file
from geodns.cli.convert.master import master_file
from geodns.errors import GeodnsError, ZoneError
from geodns.model.zone import Zone
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.schema import zone_schema
from tests.cli.convert.masters import ODD, RICH, Rrsets, rrsets_of
from tests.sample_zones import TCP, Worker

HEAD = "$TTL 1h\n@ SOA ns1 hostmaster 7 1h 10m 1w 5m\n@ NS ns1\nns1 A 192.0.2.53\n"


def imported(text: str | bytes, folder: Path, name: str = "db.example.com") -> tuple[Zone, list[str]]:
    """Return the zone that a zone file becomes, and the remarks."""
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    draft = read_bind(path, None)
    parsed = parse_zone(draft.origin[:-1], zone_file(draft).encode(), "zone.yaml")
    assert parsed.zone is not None, [zone_file(draft), *map(str, parsed.problems)]
    return parsed.zone, [remark.text for remark in draft.remarks]


def served(zone: Zone) -> Rrsets:
    """Return every RRset of a zone, as its export has them and dnspython reads them."""
    return rrsets_of(master_file(zone, 1), zone.origin)


@pytest.mark.parametrize("text", [HEAD, RICH], ids=["small", "rich"])
def test_what_is_served_is_what_the_file_says(text: str, tmp_path: Path) -> None:
    zone, remarks = imported(text, tmp_path)
    assert served(zone) == rrsets_of(text, "example.com.")
    assert remarks == []


@pytest.mark.parametrize("text", [HEAD, RICH, ODD], ids=["small", "rich", "odd"])
def test_what_is_written_fits_the_schema(text: str, tmp_path: Path) -> None:
    path = tmp_path / "db.example.com"
    path.write_text(text)
    jsonschema.Draft202012Validator(zone_schema()).validate(yaml.safe_load(zone_file(read_bind(path, None))))


def test_what_is_odd_is_served_with_a_remark(tmp_path: Path) -> None:
    zone, remarks = imported(ODD, tmp_path)
    found, expected = served(zone), rrsets_of(ODD, "example.com.")
    for key in [key for key in expected if key[1] in {"RRSIG", "NSEC", "NSEC3PARAM"}]:
        del expected[key]
    del expected["example.com.", "DS"]  # the parent's
    assert found == expected
    assert len(remarks) == 6
    assert {remark for remark in remarks if "TTLs" in remark} == {
        "A has TTLs from 5 to 60: one RRset has one (RFC 2181), the lowest"
    }
    for part in (
        "A has TTLs from 5 to 60",
        "A has the same value twice",
        "1 RRsets of NSEC3PARAM",
        "1 RRsets of RRSIG",
        "1 RRsets of NSEC",
        "www.example.net. A lies outside the zone: left out",
    ):
        assert any(part in remark for remark in remarks), part


def test_every_rrset_of_the_file_is_answered(tmp_path: Path) -> None:
    zone, _ = imported(RICH, tmp_path)
    worker = Worker(zone)
    for (owner, kind), (ttl, values) in rrsets_of(RICH, "example.com.").items():
        if "deleg." in owner or kind == "SOA":
            continue  # referrals and the serial are tested elsewhere
        answer = worker.ask(owner, kind, client=TCP)
        (rrset,) = answer.answer
        assert (rrset.ttl, frozenset(one.to_digestable() for one in rrset)) == (ttl, values), (owner, kind)


MUTATION = st.tuples(st.integers(0, len(RICH) - 1), st.integers(0, 3), st.binary(max_size=3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(MUTATION, min_size=1, max_size=4))
def test_any_bytes_are_a_zone_or_refused(tmp_path: Path, mutations: list[tuple[int, int, bytes]]) -> None:
    text = bytearray(RICH.encode())
    for position, length, put in mutations:
        text[position : position + length] = put
    path = tmp_path / "db.example.com"
    path.write_bytes(text)
    try:
        draft = read_bind(path, None)
    except GeodnsError:
        return
    parsed = parse_zone(draft.origin[:-1], zone_file(draft).encode(), "zone.yaml")
    if parsed.zone is not None:
        master_file(parsed.zone, 1)


@pytest.mark.skipif(shutil.which("nsd-checkzone") is None, reason="no NSD here: apt-get install nsd")
@pytest.mark.parametrize("text", [HEAD, RICH, ODD.replace("www.example.net. A 192.0.2.1\n", "")])
def test_nsd_loads_these_files_too(text: str, tmp_path: Path) -> None:
    path = tmp_path / "zone"
    path.write_text(text)
    done = subprocess.run(
        ["nsd-checkzone", "example.com", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_names_are_relative_and_sorted_and_servers_have_their_addresses(tmp_path: Path) -> None:
    path = tmp_path / "example.com.zone"
    path.write_text(HEAD + "www A 192.0.2.1\na.www TXT x\nmail MX 10 mail\nmail A 192.0.2.2\n")
    assert zone_file(read_bind(path, None)).partition("\n")[2] == (
        "\nrecord_ttl: 1h\n"
        "soa: {mname: ns1, rname: hostmaster, serial: 7, refresh: 1h, retry: 10m, expire: 7d, minimum: 5m}\n"
        "ns:\n  ns1: 192.0.2.53\n"
        "\nrecords:\n"
        "  mail: {MX: 10 mail, A: 192.0.2.2}\n"
        "  www: {A: 192.0.2.1}\n"
        "  a.www: {TXT: x}\n"
    )


DIRECTIVES = {
    "origin": (HEAD + "$ORIGIN sub.example.com.\na A 192.0.2.1\n", "a.sub.example.com."),
    "generate": (HEAD + "$GENERATE 1-3 h$ A 192.0.2.$\n", "h3.example.com."),
    "class and TTL": (HEAD + "a IN 5 A 192.0.2.1\nb 5 IN A 192.0.2.1\n", "b.example.com."),
    "no owner": (HEAD + "a A 192.0.2.1\n  TXT x\n", "a.example.com."),
    "parentheses": (HEAD + "a TXT ( one ; comment\n two )\n", "a.example.com."),
    "no final line end": (HEAD + "a A 192.0.2.1", "a.example.com."),
    "byte order mark": ("\ufeff" + HEAD + "a A 192.0.2.1\n", "a.example.com."),
    "bytes of a label": (HEAD + "a\\.b\\032\\000 A 192.0.2.1\n", "a\\.b\\032\\000.example.com."),
}


@pytest.mark.parametrize(("text", "owner"), DIRECTIVES.values(), ids=DIRECTIVES.keys())
def test_a_zone_file_s_ways_are_known(text: str, owner: str, tmp_path: Path) -> None:
    zone, remarks = imported(text, tmp_path)
    assert owner in {one.owner for one in zone.records}
    assert remarks == []


def test_files_are_included_from_beside_it(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("a A 192.0.2.1\n$INCLUDE last\n")
    (tmp_path / "last").write_text("b A 192.0.2.2\n")
    zone, _ = imported(HEAD + "$INCLUDE more sub\nc A 192.0.2.3\n", tmp_path)
    found = {one.owner for one in zone.records}
    assert {"a.sub.example.com.", "b.sub.example.com.", "c.example.com."} <= found


def test_bytes_beyond_ascii_stand_for_themselves(tmp_path: Path) -> None:
    zone, _ = imported(HEAD.encode() + b'a TXT "\xff\xc3\xa9"\nb\xfc A 192.0.2.1\n', tmp_path)
    assert {one.owner: one.values for one in zone.records if one.type == "TXT"} == {
        "a.example.com.": (("\xff\xc3\xa9",),)
    }
    assert "b\\252.example.com." in {one.owner for one in zone.records}


def test_without_a_ttl_nsd_s_is_taken_and_told(tmp_path: Path) -> None:
    zone, remarks = imported(HEAD.removeprefix("$TTL 1h\n") + "a 5 A 192.0.2.1\nb A 192.0.2.1\n", tmp_path)
    assert {one.owner: one.ttl for one in zone.records}["b.example.com."] == 3600
    assert len(remarks) == 1
    assert "no $TTL" in remarks[0]


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("db.example.com", "example.com."),
        ("example.com.zone", "example.com."),
        ("example.com", "example.com."),
        ("example.com.db", "example.com."),
    ],
)
def test_a_file_s_name_is_its_zone_s(name: str, origin: str) -> None:
    assert guessed_origin(Path("x") / name) == origin


@pytest.mark.parametrize("address", ["", "ns1 A 192.0.2.9\n"])
def test_a_zone_without_name_servers_gets_one_to_be_filled_in(address: str, tmp_path: Path) -> None:
    zone, remarks = imported("$TTL 1h\n@ SOA ns1 h 1 2 3 4 5\n" + address, tmp_path)
    assert [server.name for server in zone.ns] == ["ns1.example.com."]
    assert "CHANGE `ns`" in remarks[0]


def test_the_soa_says_what_the_zone_is(tmp_path: Path) -> None:
    zone, _ = imported(
        "$TTL 5\na.example. SOA n.a.example. h.a.example. 1 2 3 4 5\na.example. NS n.b.\n", tmp_path
    )
    assert zone.name == "a.example"


WRONG = {
    "nothing": ("x", ":1: "),
    "bad address": (HEAD + "a A 192.0.2.256", ":5: "),
    "unknown type": (HEAD + "a TYPO x\n", "unknown rdatatype 'TYPO'"),
    "another class": (HEAD + "a CH TXT x\n", "RR class is not zone's class"),
    "no such file": (HEAD + "$INCLUDE nowhere\n", "No such file"),
    "two zones": (HEAD + "b SOA n h 1 2 3 4 5\n", "a file is one zone"),
    "query type": (HEAD + "a TYPE251 \\# 0\n", ":5: a.example.com. IXFR cannot stand in a zone"),
    "a range too long": (HEAD + "$GENERATE 1-100000000 a$ A 192.0.2.1\n", "100,000,000 records"),
    "an include of itself": (HEAD + "$INCLUDE db.example.com\n", "does one include itself"),
    "no range": (HEAD + "$GENERATE 3-1 a$ A 192.0.2.1\n", "'3-1' is no range"),
    "too many": (HEAD + "$GENERATE 1-9999999 a A 192.0.2.1\n", "more than"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_zone_file_is_told(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodns.cli.convert.master_reader.MAX_RECORDS", 1000)
    with pytest.raises(GeodnsError) as found:
        imported(text, tmp_path)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_all_that_is_wrong_is_told_with_its_line_record_and_value(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("; nothing\nx MX 10\n")
    text = (
        HEAD + "a A 192.0.2.256\n  A 192.0.2.257\nb TYPO x\nc TXT ( a ; (\n b )\nd MX (\n 70000\n m )\n"
        "$INCLUDE more\n$BOGUS\ne SRV 1 2 3 192.0.2.1\nf TXT x"
    )
    with pytest.raises(ZoneError) as found:
        imported(text, tmp_path)
    told = [line.rpartition("/")[2] for line in str(found.value).splitlines()]
    expected = [
        ("db.example.com:5: ", "a A 192.0.2.256"),
        ("db.example.com:6: ", "a.example.com. A 192.0.2.257"),
        ("db.example.com:7: ", "b TYPO x"),
        ("db.example.com:10: ", "d MX ( 70000 m )"),
        ("db.example.com:14: ", "$BOGUS"),
        ("more:2: ", "x MX 10"),
    ]
    assert [
        (line.startswith(place), record in line) for line, (place, record) in zip(told, expected, strict=True)
    ] == [(True, True)] * 6, told


def test_what_others_read_is_read(tmp_path: Path) -> None:
    (tmp_path / "more").write_bytes(b'$TTL 60\na TXT "\xff"\n')
    zone, remarks = imported(
        HEAD + "$INCLUDE more\nb A 192.0.2.1\n"
        '$GENERATE 1-2 c$ IN 5 TXT "text $"\n$GENERATE 8-9 d$ 7 IN MX 10 d${-7,3}\n'
        "n NID 10 14:4f:0:1\nn L64 10 2001:db8:0:1\n"
        "Mail A 192.0.2.2\nmail MX 10 X\n MX 10 x\n",
        tmp_path,
    )
    found = {(one.owner.partition(".")[0], one.type): one for one in zone.records}
    assert found["a", "TXT"].values == (("\xff",),)
    assert found["b", "A"].ttl == 60
    assert (found["c2", "TXT"].values, found["c2", "TXT"].ttl) == ((("text", "2"),), 5)
    assert (found["d9", "MX"].values, found["d9", "MX"].ttl) == ((("10", "d002.example.com."),), 7)
    assert found["n", "NID"].values[0][2] == "000a0014004f00000001"
    assert found["n", "L64"].values[0][2] == "000a20010db800000001"
    assert found["mail", "MX"].values == (("10", "x.example.com."),)
    assert remarks == ["MX has the same value twice: written once"]


def test_an_alias_with_parameters_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "db.example.com"
    path.write_text(HEAD + "b A 192.0.2.1\na HTTPS 0 b alpn=h2\na A 192.0.2.1\n")
    done = run(str(path))
    assert done.exit_code == 0, done.output
    assert f"{path}:6: warning: parameters beside priority 0" in done.stderr
    zone, _ = imported(path.read_text(), tmp_path)
    assert {one.type: one for one in zone.records}["HTTPS"].values[0][2].endswith("0001000302" + b"h2".hex())


@pytest.mark.parametrize("name", ["*.example.com", "a.*.example.com"])
def test_a_zone_s_name_may_have_an_asterisk(name: str, tmp_path: Path) -> None:
    zone, remarks = imported(HEAD + "a A 192.0.2.1\n* TXT x\n", tmp_path, f"db.{name}")
    assert zone.name == name
    assert remarks == []
    worker = Worker(zone)
    assert len(worker.ask(f"a.{name}.", "A").answer) == 1
    assert len(worker.ask(f"b.{name}.", "TXT").answer) == 1


def test_every_wildcard_is_one_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "db.example.com"
    path.write_text(HEAD + "*.*.* TXT x\n*.a A 192.0.2.1\n")
    done = run(str(path))
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["db.127", "etcd.io._0_base", "192.0.2"])
def test_a_name_that_is_no_zone_s_hints_at_origin(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(HEAD)
    with pytest.raises(GeodnsError, match="--origin"):
        read_bind(path, None)
    assert read_bind(path, "etcd.io.").origin == "etcd.io."
    path.write_text(HEAD.replace("@", "a.example."))
    assert read_bind(path, None).origin == "a.example."


@pytest.mark.parametrize("name", ["db.example.org", "example.net.v2", "example.com.db.bak"])
def test_what_is_relative_ends_in_the_soa_s_name_whatever_the_file_is_called(
    name: str, tmp_path: Path
) -> None:
    text = HEAD.replace("@", "example.com.") + "www A 192.0.2.1\n$ORIGIN sub\nx A 192.0.2.2\n"
    zone, remarks = imported(text, tmp_path, name)
    assert remarks == []
    assert {f"{one}.example.com." for one in ("www", "x.sub")} <= {one.owner for one in zone.records}


def test_the_root_zone_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "db.root"
    path.write_text(HEAD.replace("@", "."))
    with pytest.raises(GeodnsError, match=r"^[^\n]*: the root zone cannot be served$"):
        read_bind(path, None)


def test_remarks_on_the_terminal_name_the_line_and_the_record(tmp_path: Path) -> None:
    path = tmp_path / "db.example.com"
    path.write_text(HEAD + "a 5 A 192.0.2.1\na 6 A 192.0.2.2\n")
    assert run(str(path)).stderr == (
        f"{path}:5: a A has TTLs from 5 to 6: one RRset has one (RFC 2181), the lowest\n"
    )


def test_problems_of_records_have_the_source_s_line(tmp_path: Path) -> None:
    path = tmp_path / "db.example.com"
    path.write_text(HEAD + "a TXT x\na CNAME b\nb A 192.0.2.1\nc TXT y\nc MX 10 nowhere\n")
    done = run(str(path))
    assert f"{path}:6: CNAME of a.example.com. beside other data" in done.stderr
    assert f"{path}:9: warning: MX of c.example.com. points at nowhere" in done.stderr
    path.write_text(HEAD.replace("@ NS ns1\n", "\n@ NS ns2\n"))
    assert f"{path}:4: warning: NS of example.com. points at ns2" in run(str(path)).stderr


STRINGS = {
    "one": ((b"a b",), "a b"),
    "backslash": ((b"a\\b",), "a\\\\b"),
    "byte": ((b"\xff\n",), "\\255\\010"),
    "quotation marks first": ((b'"a',), '"\\"a"'),
    "quotation marks within": ((b'a"b',), 'a"b'),
    "blanks around": ((b" a ",), '" a "'),
    "nothing": ((b"",), '""'),
    "two": ((b"a", b"b"), '"a" "b"'),
    "two of our own": ((b"a" * 255, b"b"), "a" * 255 + "b"),
    "two full ones": ((b"a" * 255, b"b" * 255), "a" * 255 + "b" * 255),
    "full and empty": ((b"a" * 255, b""), f'"{"a" * 255}" ""'),
}


@pytest.mark.parametrize(("strings", "text"), STRINGS.values(), ids=STRINGS.keys())
def test_strings_come_back_as_they_were(strings: tuple[bytes, ...], text: str, tmp_path: Path) -> None:
    assert text_of_strings(strings) == text
    shown = " ".join('"' + "".join(f"\\{byte:03d}" for byte in one) + '"' for one in strings)
    zone, _ = imported(f"{HEAD}a TXT {shown}\n", tmp_path)
    (values,) = (one.values for one in zone.records if one.type == "TXT")
    assert values == (tuple(one.decode("latin-1") for one in strings),)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.geodns, ["import", *arguments])


def test_the_command_writes_what_check_accepts(tmp_path: Path) -> None:
    file, out = tmp_path / "db.example.com", tmp_path / "zones"
    file.write_text(ODD)
    done = run(str(file), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert f"{file}:" in done.stderr
    text = (out / "example.com.yaml").read_text()
    assert "  # a: A has TTLs from 5 to 60" in text
    assert "\n# www.example.net. A lies outside the zone: left out\n" in text
    assert CliRunner().invoke(main.geodns, ["check", str(out)]).exit_code == 0
    again = run(str(file), "--out", str(out))
    assert isinstance(again.exception, GeodnsError)
    assert "exists: take it away first" in str(again.exception)
    assert run(str(file)).stdout == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--origin", "example.net"], "its SOA is example.com.'s"),
        (["--origin", "a..b"], "no domain name"),
        (["--format", "octodns"], "not a mapping"),
    ],
)
def test_the_command_tells_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "example.com.zone"
    file.write_text(RICH)
    done = run(str(file), *arguments)
    assert isinstance(done.exception, GeodnsError)
    assert message in str(done.exception)
    assert done.stdout == ""


def test_what_would_not_be_served_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "example.com.zone"
    file.write_text(HEAD + "a CNAME b\na A 192.0.2.1\n")
    done = run(str(file), "--out", str(tmp_path / "zones"))
    assert isinstance(done.exception, GeodnsError)
    assert "nothing is written" in str(done.exception)
    assert "beside other data" in done.stderr
    assert not (tmp_path / "zones").exists()
