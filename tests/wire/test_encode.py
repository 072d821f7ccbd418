"""Record data, held against dnspython's reading of the same zone-file text."""

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire.encode import encode, generic
from geodns.zonefile.record_types import RECORD_TYPES

NUMBER = st.integers(0, 65535).map(str)
BYTE = st.integers(0, 255).map(str)
LONG = st.integers(0, 2**32 - 1).map(str)
LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAME = st.lists(LABEL, max_size=5).map(lambda labels: ".".join(labels) + ".")
FIELDS = {
    "A": st.tuples(st.ip_addresses(v=4).map(str)),
    "AAAA": st.tuples(st.ip_addresses(v=6).map(str)),
    "NS": st.tuples(NAME),
    "CNAME": st.tuples(NAME),
    "PTR": st.tuples(NAME),
    "DNAME": st.tuples(NAME),
    "DS": st.tuples(NUMBER, BYTE, st.just("2"), st.binary(min_size=32, max_size=32).map(bytes.hex)),
    "MX": st.tuples(NUMBER, NAME),
    "SRV": st.tuples(NUMBER, NUMBER, NUMBER, NAME),
    "CAA": st.tuples(BYTE, st.sampled_from(("issue", "issuewild", "iodef")), LABEL),
    "TLSA": st.one_of(
        [
            st.tuples(BYTE, BYTE, st.just(matching), st.binary(min_size=least, max_size=most).map(bytes.hex))
            for matching, least, most in (("0", 1, 64), ("1", 32, 32), ("2", 64, 64), ("255", 1, 64))
        ]
    ),
    "SOA": st.tuples(NAME, NAME, LONG, LONG, LONG, LONG, LONG),
}


def test_every_type_has_its_own_test() -> None:
    with_fields = {name for name, kind in RECORD_TYPES.items() if not kind.as_text}
    assert {*with_fields, "SOA", "DS"} == {*FIELDS, "TXT", "SPF"}


@pytest.mark.parametrize("rtype", FIELDS)
@given(drawn=st.data())
def test_fields_become_the_bytes_that_dnspython_makes_of_them(rtype: str, drawn: st.DataObject) -> None:
    fields = drawn.draw(FIELDS[rtype])
    expected = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(rtype), " ".join(fields))
    assert encode(rtype, fields) == expected.to_wire()


@given(st.lists(st.binary(max_size=255), min_size=1, max_size=5))
def test_the_strings_of_a_txt_record(strings: list[bytes]) -> None:
    expected = b"".join(bytes((len(one),)) + one for one in strings)
    assert encode("TXT", tuple(one.decode("latin-1") for one in strings)) == expected
    assert encode("SPF", tuple(one.decode("latin-1") for one in strings)) == expected


@given(st.binary(max_size=300), st.sampled_from(("A", "DS", "NAPTR", "TYPE65280")))
def test_generic_data_are_what_they_say_whatever_the_type(data: bytes, rtype: str) -> None:
    fields = generic(data)
    assert fields == ("\\#", str(len(data)), data.hex())
    assert encode(rtype, fields) == data


@pytest.mark.parametrize(
    ("rtype", "fields", "expected"),
    [
        ("NS", ("NS1.Example.COM.",), b"\x03ns1\x07example\x03com\x00"),
        ("PTR", (r"a\.b.c.",), b"\x03a.b\x01c\x00"),
        ("CNAME", (".",), b"\x00"),
        ("MX", ("0", "."), b"\x00\x00\x00"),
        ("SRV", ("0", "0", "25", "a.a.a."), b"\0\0\0\0\0\x19\x01a\x01a\x01a\x00"),
    ],
    ids=["lower case", "dot in a label", "root", "null MX", "no compression"],
)
def test_names(rtype: str, fields: tuple[str, ...], expected: bytes) -> None:
    assert encode(rtype, fields) == expected


@pytest.mark.parametrize(
    ("rtype", "fields"),
    [
        ("A", ("2001:db8::1",)),
        ("SSHFP", ("1", "1", "00")),
        ("A", ("192.0.2.1", "192.0.2.2")),
        ("A", ()),
        ("AAAA", ("192.0.2.1",)),
        ("NS", ("a..b.",)),
        ("NS", (("a" * 64) + ".",)),
        ("NS", (("a" * 63 + ".") * 5,)),
        ("MX", ("65536", "a.")),
        ("MX", ("-1", "a.")),
        ("MX", ("ten", "a.")),
        ("SRV", ("0", "0", "65536", "a.")),
        ("CAA", ("256", "issue", "a")),
        ("CAA", ("0", "x" * 256, "a")),
        ("TLSA", ("3", "1", "1", "xyz")),
        ("TLSA", ("256", "1", "1", "00")),
        ("TXT", ("x" * 256,)),
        ("TXT", ("\N{EURO SIGN}",)),
        ("SOA", ("a.", "b.", "1", "2", "3", "4")),
        ("SOA", ("a.", "b.", "4294967296", "2", "3", "4", "5")),
    ],
)
def test_fields_that_do_not_fit_are_refused(rtype: str, fields: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{rtype}: "):
        encode(rtype, fields)
