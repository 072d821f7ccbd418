"""Values of every record type: what a zone file may say, held against dnspython's reading."""

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geodns.wire.codes import NUMBERS
from geodns.wire.encode import encode
from geodns.zonefile.reader import parse_zone
from geodns.zonefile.record_types import IN_THE_FILE, RECORD_TYPES, SIGNING
from tests.zonetexts import NAME, NS, record_of, zone_of

DIGEST = "ab" * 32
TEXTS = {
    "A": "192.0.2.1",
    "NS": "ns.example.net.",
    "MD": "a",
    "MF": "a",
    "MB": "a",
    "MG": "a",
    "MR": "a",
    "MINFO": "a b.example.net.",
    "WKS": "192.0.2.1 6 25 53",
    "PTR": "a",
    "HINFO": '"a b" c',
    "MX": "10 a",
    "TXT": '"one" "two \\" \\\\ \\255" ""',
    "RP": "a .",
    "AFSDB": "1 a",
    "X25": '"311061700956"',
    "ISDN": '"150862028003217" "004"',
    "RT": "10 a",
    "NSAP": "0x47000580005a0000000001e133ffffff00016100",
    "NSAP-PTR": "a",
    "SIG": "A 8 3 86400 20300101000000 20200101000000 1 a AQPMskmw",
    "KEY": "256 3 8 AQPMskmw",
    "PX": "1 a b",
    "GPOS": "-32.6882 116.8652 10.0",
    "AAAA": "2001:db8::1",
    "LOC": "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
    "SRV": "0 5 587 a",
    "NAPTR": '10 10 "s" "x" "!^(.*)$!sip:\\\\1@example.net!" Repl.Example.',
    "KX": "1 a",
    "CERT": "PKIX 1 8 AQPMskmw",
    "DNAME": "example.net.",
    "APL": "1:192.0.2.0/24 !2:2001:db8::/32",
    "DS": f"1 8 2 {DIGEST}",
    "SSHFP": f"4 2 {DIGEST}",
    "IPSECKEY": "10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==",
    "DNSKEY": "256 3 8 AQPMskmw",
    "DHCID": "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
    "TLSA": f"3 1 1 {DIGEST}",
    "SMIMEA": f"3 1 1 {DIGEST}",
    "HIP": "2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK",
    "CDS": "0 0 0 00",
    "CDNSKEY": "0 3 0 AA==",
    "OPENPGPKEY": "AQPMskmw",
    "CSYNC": "66 3 A NS AAAA",
    "ZONEMD": f"1 1 1 {DIGEST}{DIGEST[:32]}",
    "SVCB": "1 a alpn=dot port=853",
    "HTTPS": "0 A.Example.",
    "SPF": '"v=spf1 -all"',
    "NID": "10 0014:4fff:ff20:ee64",
    "L32": "10 10.1.2.0",
    "L64": "10 2001:0DB8:1140:1000",
    "LP": "10 l64",
    "EUI48": "00-00-5e-00-53-2a",
    "EUI64": "00-00-5e-ef-10-00-00-2a",
    "URI": '10 1 "https://example.net/a;b"',
    "CAA": '0 issue "ca.example.net; a=\\"b\\""',
    "AVC": '"x"',
    "AMTRELAY": "10 0 1 192.0.2.1",
    "TYPE65280": "\\# 3 ab cdef",
}

DNSPYTHON_READS = {"NINFO", "RESINFO", "WALLET", "DLV", "DSYNC", "HHIT", "BRID"}
"""Types of which some versions of dnspython know a text, and others do not."""


def values_of(kind: str, text: str) -> list[bytes]:
    quoted = text.replace("'", "''")
    zone = zone_of(f"{NS}records:\n  a.b:\n    {kind}: '{quoted}'\n")
    return [encode(kind, value) for value in record_of(zone, "a.b", kind)]


def expected(kind: str, text: str) -> bytes:
    rdata = dns.rdata.from_text(
        dns.rdataclass.IN,
        dns.rdatatype.from_text(kind),
        text,
        origin=dns.name.from_text(NAME),
        relativize=False,
    )
    return rdata.to_digestable()


@pytest.mark.parametrize(("kind", "text"), TEXTS.items(), ids=TEXTS.keys())
def test_a_value_is_text_as_in_a_zone_file(kind: str, text: str) -> None:
    assert values_of(kind, text) == [expected(kind, text)]


@pytest.mark.parametrize(("kind", "text"), TEXTS.items(), ids=TEXTS.keys())
def test_every_type_takes_the_generic_form(kind: str, text: str) -> None:
    wire = expected(kind, text)
    assert values_of(kind, f"\\# {len(wire)} {wire.hex()}") == [wire]


@pytest.mark.parametrize("kind", sorted({*IN_THE_FILE} - TEXTS.keys() - {"CNAME"} - DNSPYTHON_READS))
def test_types_that_nobody_writes_have_the_generic_form_alone(kind: str) -> None:
    assert values_of(kind, "\\# 2 abcd") == [b"\xab\xcd"]
    with pytest.raises(AssertionError):
        zone_of(f"{NS}records: {{a: {{{kind}: x}}}}\n")


def test_a_type_may_be_called_by_its_number() -> None:
    zone = zone_of(f"{NS}records: {{a: {{TYPE1: 192.0.2.1, TYPE15: 10 b.example.net.}}}}\n")
    assert record_of(zone, "a", "A") == (("192.0.2.1",),)
    assert record_of(zone, "a", "MX") == (("10", "b.example.net."),)


FIELDS = {
    "DS": (f"{{key_tag: 1, algorithm: 8, digest_type: 2, digest: {DIGEST}}}", f"1 8 2 {DIGEST}"),
    "SSHFP": (f"{{algorithm: 4, fingerprint_type: 2, fingerprint: {DIGEST}}}", f"4 2 {DIGEST}"),
    "NAPTR": (
        "{order: 1, preference: 2, flags: U, service: 'a b', regexp: '!^.*$!x\"!', replacement: .}",
        '1 2 "U" "a b" "!^.*$!x\\"!" .',
    ),
    "URI": ("{priority: 1, weight: 2, target: 'https://example.net/;'}", '1 2 "https://example.net/;"'),
    "SVCB": ("{svcpriority: 0, targetname: b}", "0 b"),
    "HTTPS": (
        "{svcpriority: 1, targetname: ., svcparams: {alpn: [h2, h3], port: 8443, no-default-alpn: }}",
        '1 . alpn="h2,h3" port=8443 no-default-alpn',
    ),
    "LOC": (
        (
            "{lat_degrees: 52, lat_minutes: 22, lat_seconds: 23.0, lat_direction: N, long_degrees: 4, "
            "long_minutes: 53, long_seconds: 32.0, long_direction: E, altitude: -2, size: 0}"
        ),
        "52 22 23.000 N 4 53 32.000 E -2m 0m 10000m 10m",
    ),
    "DNAME": ("{value: b}", "b"),
    "OPENPGPKEY": ("{values: [AQPMskmw]}", "AQPMskmw"),
}


@pytest.mark.parametrize(("kind", "fields", "text"), [(kind, *row) for kind, row in FIELDS.items()])
def test_octodns_s_fields(kind: str, fields: str, text: str) -> None:
    zone = zone_of(f"{NS}records:\n  a:\n    {kind}: {fields}\n")
    assert [encode(kind, value) for value in record_of(zone, "a", kind)] == [expected(kind, text)]


def test_an_example_can_be_read() -> None:
    for kind, known in RECORD_TYPES.items():
        if "…" not in known.example:
            assert len(values_of(kind, known.example.strip('"') if kind == "AAAA" else known.example)) == 1


WRONG = {
    "signing": ("RRSIG: x", "signing is not known yet"),
    "proof": ("NSEC: x", "signing is not known yet"),
    "SOA": ("SOA: x", "write it under `soa`"),
    "query type": ("ANY: x", "unknown key 'ANY'"),
    "OPT": ("OPT: x", "unknown key 'OPT'"),
    "type 0": ("TYPE0: x", "unknown key 'TYPE0'"),
    "SOA by number": ("TYPE6: x", "unknown key 'TYPE6'"),
    "NSEC by number": ("TYPE47: x", "unknown key 'TYPE47'"),
    "text of a type without a name": ("TYPE65280: x", "is no TYPE65280"),
    "generic length": ('TYPE65280: "\\\\# 3 abcd"', "wrong length"),
    "generic A": ('A: "\\\\# 3 abcdef"', "is no A"),
    "generic MX": ('MX: "\\\\# 2 000a"', "is no MX"),
    "DS digest": ("DS: 1 8 2 abc", "is no DS"),
    "word with a blank": ("SSHFP: {algorithm: 4 4, fingerprint_type: 1, fingerprint: ab}", "not one word"),
    "field missing": ("DS: {key_tag: 1}", "DS without `algorithm`"),
    "a second line": ('HINFO: "a b\\nc d"', "a second line"),
    "an open quotation": ("HINFO: '\"a b'", "is no HINFO"),
    "two DNAMEs": ("DNAME: [a.example., b.example.]", "one target"),
    "over 65535 bytes": (f"TYPE65280: '\\# 65536 {'00' * 65536}'", "is no TYPE65280"),
    "type twice": ("A: 192.0.2.1, TYPE1: 192.0.2.2", "TYPE1 is A"),
    "parameter": ("HTTPS: {svcpriority: 1, targetname: ., svcparams: {'a b': x}}", "is no parameter"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_value_is_told(text: str, message: str) -> None:
    parsed = parse_zone(NAME, f"{NS}records: {{a: {{{text}}}}}\n".encode(), "zone.yaml")
    assert parsed.zone is None
    assert message in "\n".join(map(str, parsed.problems))
    assert all(problem.line == 2 and problem.column for problem in parsed.problems)


def test_signing_s_types_are_none_of_the_file_s() -> None:
    assert not SIGNING & {*IN_THE_FILE}
    assert {"DNSKEY", "CDS", "CDNSKEY", "DS"} <= {*IN_THE_FILE}


@given(
    st.sampled_from(sorted(TEXTS)),
    st.text(max_size=40)
    | st.sampled_from(sorted(TEXTS.values())).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.text(max_size=2)).map(
            lambda cut: text[: cut[0]] + cut[1] + text[cut[0] + 1 :]
        )
    ),
)
@example("LOC", "1 2 3 N 4 5 6 E 1e999m")
@example("APL", "1:192.0.2.0/999999999999")
@example("NSAP", "0x")
@example("CAA", '0 issue "\\')
@example("MX", "10 \u3002")
@example("MX", "10 xn--\u00fc.example.")
@example("CNAME", "\u00fc\u200d")
def test_any_text_is_a_value_or_refused(kind: str, text: str) -> None:
    shown = "".join(f"\\U{ord(letter):08x}" for letter in text if ord(letter) not in range(0xD800, 0xE000))
    parsed = parse_zone(NAME, f'{NS}records: {{a: {{{kind}: "{shown}"}}}}\n'.encode(), "zone.yaml")
    assert (parsed.zone is None) == any(not problem.warning for problem in parsed.problems)
    if parsed.zone is not None:
        for value in record_of(parsed.zone, "a", kind):
            assert len(encode(kind, value)) <= 65535


NAMES = {
    "owner": ("bücher: {A: 192.0.2.1}", "xn--bcher-kva.out.example.com.", "A"),
    "upper case": ("BÜCHER: {A: 192.0.2.1}", "xn--bcher-kva.out.example.com.", "A"),
    "decomposed": ("bu\u0308cher: {A: 192.0.2.1}", "xn--bcher-kva.out.example.com.", "A"),
    "beside an underscore": ("_dmarc.bücher: {TXT: x}", "_dmarc.xn--bcher-kva.out.example.com.", "TXT"),
    "wildcard": ('"*.bücher": {TXT: x}', "*.xn--bcher-kva.out.example.com.", "TXT"),
    "full width": ("\uff41\uff0eb: {TXT: x}", "a.b.out.example.com.", "TXT"),
    "sharp s": ("straße: {TXT: x}", "xn--strae-oqa.out.example.com.", "TXT"),
}


@pytest.mark.parametrize(("text", "owner", "kind"), NAMES.values(), ids=NAMES.keys())
def test_owners_may_be_international(text: str, owner: str, kind: str) -> None:
    zone = zone_of(f"{NS}records:\n  {text}\n")
    assert (owner, kind) in {(one.owner, one.type) for one in zone.records}


def test_whatever_has_a_name_may_have_an_international_one() -> None:
    parsed = parse_zone(
        "bücher.example",
        """\
ns: {nś1: 192.0.2.53}
soa: {rname: hostmaster@bücher.example}
hosts: {"mü[1-2]": "192.0.2.[1-2]"}
pools: {main: {hosts: ["mü[1-2]"]}}
records:
  bücher.example.: {pool: main, MX: 10 mü1, CAA: {tag: issue, value: ca.example}}
  a: {CNAME: köln.example.}
""".encode(),
        "",
    )
    zone = parsed.zone
    assert zone is not None, parsed.problems
    assert zone.name == "xn--bcher-kva.example"
    assert zone.ns[0].name == "xn--n1-2sa.xn--bcher-kva.example."
    assert zone.soa.rname == "hostmaster.xn--bcher-kva.example."
    assert [host.name for host in zone.hosts] == ["xn--m1-xka", "xn--m2-xka"]
    (mail,) = next(one.values for one in zone.records if one.type == "MX")
    assert mail == ("10", "xn--m1-xka.xn--bcher-kva.example.")
    (alias,) = next(one.values for one in zone.records if one.type == "CNAME")
    assert alias == ("xn--kln-sna.example.",)


def test_targets_in_zone_file_text_may_be_international() -> None:
    assert values_of("SVCB", "0 köln.example.") == [expected("SVCB", "0 xn--kln-sna.example.")]


def test_an_rrset_may_fill_a_message() -> None:
    texts = ", ".join(f'"{number:0>250}"' for number in range(245))
    zone = zone_of(f"{NS}records: {{a: {{TXT: [{texts}]}}}}\n")
    assert len(record_of(zone, "a", "TXT")) == 245
    many = ", ".join(f"10.0.{number >> 8}.{number & 255}" for number in range(4078))
    assert len(record_of(zone_of(f"{NS}records: {{a: {{A: [{many}]}}}}\n"), "a", "A")) == 4078


@pytest.mark.parametrize("ttl", ["60", "2147483647"])
def test_the_name_servers_may_stand_among_the_records(ttl: str) -> None:
    zone = zone_of(
        f'records: {{"@": {{NS: {{ttl: {ttl}, values: [ns1, ns.example.net.]}}}}, ns1: {{A: 192.0.2.1}}}}\n'
    )
    assert [server.name for server in zone.ns] == ["ns1.out.example.com.", "ns.example.net."]
    assert zone.soa.mname == "ns1.out.example.com."
    assert [one.ttl for one in zone.records if one.type == "NS"] == [int(ttl)]


def test_what_records_repeat_of_hosts_and_servers_has_their_ttl() -> None:
    zone = zone_of(
        "ns: {ns1: 192.0.2.53}\nhosts: {mta1: 192.0.2.11}\n"
        'records: {"@": {NS: {ttl: 5, value: ns1}},'
        " ns1: {ttl: 6, A: 192.0.2.53}, mta1: {ttl: 7, A: 192.0.2.11}}\n"
    )
    found = {(one.owner.partition(".")[0], one.type): one.ttl for one in zone.records}
    assert found == {("out", "NS"): 5, ("ns1", "A"): 6, ("mta1", "A"): 7}


def test_the_soa_may_have_a_ttl_of_its_own() -> None:
    zone = zone_of("ns: {ns1: 192.0.2.53}\nsoa: {ttl: 2h, expire: 4294967295}\n")
    assert (zone.soa_ttl, zone.soa.expire) == (7200, 4294967295)
    assert zone_of("ns: {ns1: 192.0.2.53}\nrecord_ttl: 60\n").soa_ttl == 60


def test_every_name_of_a_type_is_a_number() -> None:
    assert {*TEXTS} - {"TYPE65280"} <= {*NUMBERS}


def test_names_of_an_old_type_may_be_compressed_by_others() -> None:
    packet = b"\x01a\x00\xc0\x00"
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.from_text("MINFO"), packet, 0, len(packet))
    assert rdata.to_text() == "a. a."
