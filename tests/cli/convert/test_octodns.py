"""octoDNS's YAML → our YAML: static records of every type, dynamic ones with their pools."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from geodns.cli import main
from geodns.cli.convert.octodns import read_octodns
from geodns.errors import GeodnsError
from geodns.wire.encode import encode
from tests.cli.convert.octozones import NS, imported
from tests.zonefile.test_record_types import expected
from tests.zonetexts import NAME, record_of

DIGEST = "ab" * 32


STATIC = {
    "A": ("{values: [192.0.2.1, 192.0.2.2]}", ["192.0.2.1", "192.0.2.2"]),
    "AAAA": ("{value: '2001:DB8::1'}", ["2001:db8::1"]),
    "CAA": ("{value: {flags: 0, tag: issue, value: ca.example}}", ['0 issue "ca.example"']),
    "CNAME": ("{value: b.example.}", ["b.example."]),
    "DNAME": ("{value: b.example.}", ["b.example."]),
    "DS": (
        f"{{value: {{key_tag: 1, algorithm: 8, digest_type: 2, digest: {DIGEST}}}}}",
        [f"1 8 2 {DIGEST}"],
    ),
    "HTTPS": (
        "{value: {svcpriority: 1, targetname: ., svcparams: {alpn: [h2], no-default-alpn: ~, port: 853}}}",
        ["1 . alpn=h2 no-default-alpn port=853"],
    ),
    "LOC": (
        (
            "{value: {lat_degrees: 31, lat_minutes: 58, lat_seconds: 52.1, lat_direction: S, "
            "long_degrees: 115, long_minutes: 49, long_seconds: 11.7, long_direction: E, "
            "altitude: 20, size: 10, precision_horz: 10, precision_vert: 2}}"
        ),
        ["31 58 52.1 S 115 49 11.7 E 20m 10m 10m 2m"],
    ),
    "MX": (
        "{values: [{preference: 10, exchange: a.example.}, {priority: 20, value: b.example.}]}",
        ["10 a.example.", "20 b.example."],
    ),
    "NAPTR": (
        "{value: {order: 1, preference: 2, flags: U, service: SIP, regexp: '!^.*$!x!', replacement: .}}",
        ['1 2 "U" "SIP" "!^.*$!x!" .'],
    ),
    "NS": ("{value: ns.example.}", ["ns.example."]),
    "OPENPGPKEY": ("{value: AQPMskmw}", ["AQPMskmw"]),
    "PTR": ("{values: [a.example., b.example.]}", ["a.example.", "b.example."]),
    "SPF": ("{value: v=spf1 -all}", ['"v=spf1 -all"']),
    "SRV": ("{value: {priority: 1, weight: 2, port: 3, target: a.example.}}", ["1 2 3 a.example."]),
    "SSHFP": (
        f"{{value: {{algorithm: 4, fingerprint_type: 2, fingerprint: {DIGEST}}}}}",
        [f"4 2 {DIGEST}"],
    ),
    "SVCB": ("{value: {svcpriority: 0, targetname: b.example.}}", ["0 b.example."]),
    "TLSA": (
        (
            "{value: {certificate_usage: 3, selector: 1, matching_type: 1, "
            f"certificate_association_data: {DIGEST}}}}}"
        ),
        [f"3 1 1 {DIGEST}"],
    ),
    "TXT": ("{values: ['v=DMARC1\\; p=none', 'a \"b\"']}", ['"v=DMARC1; p=none"', '"a \\"b\\""']),
    "URI": ("{value: {priority: 1, weight: 2, target: 'https://a.example/'}}", ['1 2 "https://a.example/"']),
}


@pytest.mark.parametrize(("kind", "body", "texts"), [(kind, *row) for kind, row in STATIC.items()])
def test_static_records(kind: str, body: str, texts: list[str], tmp_path: Path) -> None:
    zone, remarks = imported(f"{NS}a: {{type: {kind}, ttl: 300, {body[1:]}\n", tmp_path)
    assert remarks == []
    found = [encode(kind, value) for value in record_of(zone, "a", kind)]
    assert found == [expected(kind, text) for text in texts]
    assert {one.ttl for one in zone.records if one.type == kind and one.owner.startswith("a.")} == {300}


LEFT_OUT = {
    "ALIAS": ("a: {type: ALIAS, value: b.example.}", "ALIAS: left out"),
    "URLFWD": ("a: {type: URLFWD, value: {}}", "URLFWD: left out"),
    "geo": ("a: {type: A, value: 192.0.2.1, geo: {EU: [192.0.2.2]}}", "`geo` has no counterpart"),
    "CNAME": (
        "a: {type: CNAME, value: b.example., dynamic: {pools: {}, rules: []}}",
        "CNAME: `dynamic` is of A and AAAA here",
    ),
    "no rule": ("a: {type: A, value: 192.0.2.1, dynamic: {}}", "no rule names a pool"),
    "no value": ("a: {type: A}", "A: left out: it has no value"),
    "value twice": ("a: {type: A, values: [192.0.2.1, 192.0.2.1]}", "the same value twice"),
    "proxied": (
        "a: {type: A, value: 192.0.2.1, octodns: {cloudflare: {proxied: true}}}",
        "`proxied` has no counterpart",
    ),
    "ignored": ("a: {type: A, value: 192.0.2.1, octodns: {ignored: true}}", "left out: octoDNS leaves it"),
    "automatic TTL": ("a: {type: A, value: 192.0.2.1, ttl: 1}", "its TTL is automatic: 300 s"),
    "providers": ("a: {type: A, value: 192.0.2.1, octodns: {excluded: [x]}}", "`octodns.excluded` left out"),
    "unknown key": ("a: {type: A, value: 192.0.2.1, colour: red}", "`colour` left out"),
    "value twice by case": ("a: {type: PTR, values: [B.example., b.example.]}", "the same value twice"),
    "weights of a value twice": (
        (
            "a: {type: A, dynamic: {pools: {p: {values: [{value: 192.0.2.1}, {value: 192.0.2.1}]}}, "
            "rules: [{pool: p}]}}"
        ),
        "its weights are added",
    ),
    "field": ("a: {type: MX, value: {preference: 1, exchange: b.example., x: 1}}", "`x` left out"),
}


@pytest.mark.parametrize(("text", "remark"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_has_no_counterpart_is_told_beside_it(text: str, remark: str, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.yaml"
    path.write_text(f"{NS}{text}\n")
    done = CliRunner().invoke(main.geodns, ["import", str(path)])
    assert done.exit_code == 0, done.output
    assert remark in done.stderr
    assert f"{path}:2: " in done.stderr
    assert "  # a: " in done.stdout
    assert remark in done.stdout


def test_a_zone_without_name_servers_gets_one_to_be_filled_in(tmp_path: Path) -> None:
    zone, remarks = imported("a: {type: A, value: 192.0.2.1}\n", tmp_path)
    assert [server.name for server in zone.ns] == [f"ns1.{NAME}."]
    assert len(remarks) == 1
    assert "CHANGE `ns`" in remarks[0]


def test_names_may_be_international(tmp_path: Path) -> None:
    zone, _ = imported(f"{NS}_dmarc.bücher: {{type: TXT, value: é}}\n", tmp_path)
    assert record_of(zone, "_dmarc.xn--bcher-kva", "TXT") == (("\xc3\xa9",),)


def test_the_name_servers_ttl_is_the_zone_s(tmp_path: Path) -> None:
    zone, _ = imported("'': {type: NS, ttl: 86400, values: [ns1.example.net.]}\n", tmp_path)
    assert {one.type: one.ttl for one in zone.records} == {"NS": 86400}


def test_names_that_differ_in_case_are_one(tmp_path: Path) -> None:
    zone, _ = imported(
        "'': {type: NS, values: [NS1.example.net., ns1.example.net.]}\n"
        "Mail: {type: A, value: 192.0.2.1}\n"
        "mail: {type: TXT, value: x}\n"
        f"MAIL.{NAME.upper()}.: {{type: MX, value: {{preference: 1, exchange: Mail}}}}\n"
        f"Sub: {{type: NS, value: ns.example.}}\nsub: {{type: DS, value: 1 8 2 {DIGEST}}}\n"
        "'*.Wild': {type: A, value: 192.0.2.1}\n'*.wild': {type: A, value: 192.0.2.2}\n",
        tmp_path,
    )
    kinds = {(one.owner.removesuffix(f".{NAME}."), one.type) for one in zone.records}
    assert {("mail", "A"), ("mail", "TXT"), ("mail", "MX"), ("sub", "NS"), ("sub", "DS")} <= kinds
    assert record_of(zone, "*.wild", "A") == (("192.0.2.1",), ("192.0.2.2",))
    assert [server.name for server in zone.ns] == ["ns1.example.net."]


def test_old_words_of_fields(tmp_path: Path) -> None:
    zone, remarks = imported(
        f"{NS}a: {{type: MX, values: [{{priority: 7, exchange: m.example.}}, "
        "{priority: 1, preference: 8, value: x., exchange: n.example.}]}\n"
        f"b: {{type: DS, value: {{flags: 5, protocol: 8, algorithm: 2, public_key: {DIGEST}}}}}\n"
        "b.c: {type: NS, value: ns.example.}\n",
        tmp_path,
    )
    assert record_of(zone, "a", "MX") == (("7", "m.example."), ("8", "n.example."))
    assert [encode("DS", value) for value in record_of(zone, "b", "DS")] == [
        expected("DS", f"5 8 2 {DIGEST}")
    ]
    assert remarks == []


TXTS = {
    "two backslashes": (r"'back\\slash'", rb"back\\slash"),
    "one": (r"'back\slash \065'", rb"back\slash \065"),
    "semicolon": (r"'v=DKIM1\; p=a'", b"v=DKIM1; p=a"),
    "in quotes": ("""'"one" "two"'""", b"onetwo"),
    "quotes within": ("""'"a \\" b"'""", b'a \\" b'),
}


@pytest.mark.parametrize(("text", "data"), TXTS.values(), ids=TXTS.keys())
def test_only_a_semicolon_is_escaped_in_a_text(text: str, data: bytes, tmp_path: Path) -> None:
    zone, _ = imported(f"{NS}a: {{type: TXT, value: {text}}}\n", tmp_path)
    assert record_of(zone, "a", "TXT") == ((data.decode("latin-1"),),)


def test_everything_that_is_wrong_is_told_with_its_line_name_and_value(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("\nx: {type: A, value: nowhere}\n")
    text = (
        f"{NS}<<: !include more.yaml\na:\n  type: A\n  values:\n  - 192.0.2.1\n  - 192.0.2.999\n"
        "b: {ttl: 5}\nc: {type: TXT, ttl: soon, value: x}\n"
        "d: {type: MX, value: {preference: 70000, exchange: m}}\n"
    )
    with pytest.raises(GeodnsError) as found:
        imported(text, tmp_path)
    lines = [line.rpartition("/")[2] for line in str(found.value).splitlines()]
    assert [line.split(": ")[:2] for line in lines] == [
        ["more.yaml:2", "x A"],
        [f"{NAME}.yaml:7", "a A"],
        [f"{NAME}.yaml:8", "b"],
        [f"{NAME}.yaml:9", "c TXT"],
        [f"{NAME}.yaml:10", "d MX"],
    ]
    assert "192.0.2.999" in lines[1]


def test_a_name_that_is_no_zone_s_hints_at_origin(tmp_path: Path) -> None:
    path = tmp_path / "etcd.io._0_base.yaml"
    path.write_text(f"{NS}a: {{type: A, value: 192.0.2.1}}\n")
    with pytest.raises(GeodnsError, match="--origin"):
        read_octodns(path, None)
    assert read_octodns(path, "etcd.io.").origin == "etcd.io."
    split = path.rename(tmp_path / "$etcd.io.yaml")
    assert read_octodns(split, None).origin == "etcd.io.", "the apex of a zone in a folder of its own"


@pytest.mark.parametrize(
    "text",
    [
        "a: [1]",
        "a: {value: x}",
        "a: {type: A, ttl: fast, value: x}",
        "a: {type: A, values: [[x]]}",
        "- a",
        "a: !x y",
        "",
    ],
)
def test_what_is_no_octodns_zone_is_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(GeodnsError, match=f"{NAME}.yaml"):
        imported(text, tmp_path)
