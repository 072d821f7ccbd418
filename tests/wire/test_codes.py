"""Names and numbers of types and response codes, as dnspython has them."""

import dns.rcode
import dns.rdatatype
import pytest

from geodns.wire.codes import NUMBERS, is_data, name_of, number, number_of, rcode_name

QUERIES_AND_MESSAGES = {"OPT", "NXNAME", "TKEY", "TSIG", "IXFR", "AXFR", "MAILB", "MAILA", "ANY"}


def test_the_numbers_are_those_that_dnspython_knows() -> None:
    known = {name: int(number) for name, number in dns.rdatatype.RdataType.__members__.items()}
    known = {name.replace("_", "-"): number for name, number in known.items() if not name.startswith("TYPE")}
    assert known.pop("NONE") == 0
    assert {name: NUMBERS.get(name) for name in known} == known


@pytest.mark.parametrize(
    ("name", "expected"),
    [("A", 1), ("TYPE1", 1), ("TYPE65280", 65280), ("TYPE65536", None), ("TYPE", None), ("a", None)],
)
def test_a_name_or_a_number_names_a_type(name: str, expected: int | None) -> None:
    assert number_of(name) == expected
    if expected is None:
        with pytest.raises(KeyError):
            number(name)
    else:
        assert number(name) == expected


def test_every_number_has_a_name() -> None:
    for rtype in range(0x10000):
        assert number_of(name_of(rtype)) == rtype


def test_what_only_queries_and_messages_have_is_no_data() -> None:
    assert {name for name, rtype in NUMBERS.items() if not is_data(rtype)} == QUERIES_AND_MESSAGES
    assert not is_data(0)
    assert not is_data(65535)
    assert is_data(65280)


def test_the_names_of_response_codes_are_those_that_dnspython_knows() -> None:
    for rcode in (*range(11), 16, 23):
        assert rcode_name(rcode) == dns.rcode.to_text(dns.rcode.Rcode(rcode))
    assert rcode_name(3841) == "RCODE3841"
