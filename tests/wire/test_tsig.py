"""Signed queries: told that their key is unknown, as dnspython understands it."""

import dns.flags
import dns.message
import dns.rcode
import dns.tsig
import dns.tsigkeyring
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire.names import MAX_NAME
from geodns.wire.tsig import unknown_key
from tests.sample_zones import ORIGIN, TCP, UDP, Worker, zone

KEY = dns.tsigkeyring.from_text({"Key.Example.": "MTIzNDU2Nzg5MDEyMzQ1Ng=="})
ZONE = zone('hosts: {mta1: 192.0.2.11}\nrecords: {"@": {A: 192.0.2.1}}')


def signed(*, edns: bool = True) -> bytes:
    query = dns.message.make_query(ORIGIN, "A", use_edns=0 if edns else False, id=0xABCD)
    query.use_tsig(KEY)
    return query.to_wire()


@pytest.mark.parametrize("edns", [False, True])
@pytest.mark.parametrize("client", [UDP, TCP])
def test_an_unknown_key(edns: bool, client: tuple[str, int, str]) -> None:
    """RFC 8945 section 5.2.1: NOTAUTH, error BADKEY, no MAC."""
    worker = Worker(ZONE)
    worker.ask("@")
    for _ in range(2):
        answer = worker.raw(signed(edns=edns), client)
        assert answer is not None
        with pytest.raises(dns.tsig.PeerBadKey):
            dns.message.from_wire(answer, keyring=KEY)
        found = dns.message.from_wire(answer, ignore_trailing=False, keyring=False)
        assert (found.rcode(), found.answer) == (dns.rcode.NOTAUTH, [])
        assert (found.edns == 0) is edns
        assert found.tsig is not None
        assert (found.tsig.name.to_text(), found.tsig[0].mac, found.tsig[0].original_id) == (
            "Key.Example.",
            b"",
            0xABCD,
        )


def _record() -> tuple[bytes, bytes]:
    """Return a signed query up to its TSIG record, and that record."""
    packet = signed(edns=False)
    place = packet.index(b"\x03Key")
    return packet[:place], packet[place:]


def test_the_longest_key_for_the_longest_name_is_not_worth_a_larger_answer() -> None:
    """RFC 1035 section 4.2.1: 512 bytes without EDNS; over TCP there is room."""
    name = ".".join(["a" * 63] * 3 + ["b" * 44]) + "." + ORIGIN
    query = dns.message.make_query(name, "A", use_edns=False)
    long_key = ".".join(["k" * 63] * 3 + ["k" * 61]) + "."
    query.use_tsig(dns.tsigkeyring.from_text({long_key: "MTIzNDU2Nzg5MDEyMzQ1Ng=="}))
    worker = Worker(ZONE)
    short, whole = worker.raw(query.to_wire()), worker.raw(query.to_wire(), TCP)
    assert short is not None
    assert whole is not None
    assert len(short) <= 512 < len(whole)
    found = dns.message.from_wire(short)
    assert (found.rcode(), bool(found.flags & dns.flags.TC)) == (dns.rcode.NOTAUTH, True)


HEAD, TSIG = _record()
CLASS = TSIG.index(b"\0\xfa") + 2


@pytest.mark.parametrize(
    "record",
    [
        b"\xc0\x04" + TSIG[CLASS - 2 :],
        b"\xc0" + bytes([len(HEAD)]) + TSIG[CLASS - 2 :],
        b"\xff\xff" + TSIG[CLASS - 2 :],
        TSIG[:CLASS] + b"\0\1" + TSIG[CLASS + 2 :],
        TSIG[: CLASS + 2] + b"\0\0\0\1" + TSIG[CLASS + 6 :],
        TSIG[: CLASS + 6] + b"\0\0",
        TSIG[: CLASS + 6] + b"\0\3" + b"\1a\0",
        TSIG[: CLASS + 6] + b"\0\2" + b"\xc0\x0c",
    ],
    ids=[
        "into the header",
        "round in circles",
        "beyond",
        "class IN",
        "TTL 1",
        "no data",
        "an algorithm alone",
        "a compressed algorithm alone",
    ],
)
def test_broken_ones(record: bytes) -> None:
    assert Worker(ZONE).raw(HEAD + record) == HEAD[:2] + b"\x81\x01" + bytes(8)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [(b"\xc0\x0c", ORIGIN), (b"\x03Key\xc0\x0c", f"Key.{ORIGIN}"), (b"\xc0\x10", ORIGIN.partition(".")[2])],
    ids=["a pointer", "a label and a pointer", "a pointer into a name"],
)
def test_an_owner_name_may_be_compressed(owner: bytes, expected: str) -> None:
    """As of every record (RFC 1035 section 4.1.4): the key is unknown all the same."""
    answer = Worker(ZONE).raw(HEAD + owner + TSIG[CLASS - 2 :])
    assert answer is not None
    found = dns.message.from_wire(answer, keyring=False)
    assert found.tsig is not None
    assert (found.rcode(), found.tsig.name.to_text(), found.tsig[0].error) == (
        dns.rcode.NOTAUTH,
        expected,
        dns.rcode.BADKEY,
    )


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (b"\xc0\x0c", ORIGIN),
        (b"\x0bhmac-sha256\xc0\x10", f"hmac-sha256.{ORIGIN.partition('.')[2]}"),
        (b"\xc0" + bytes([len(HEAD)]), "Key.Example."),
    ],
    ids=["a pointer", "a label and a pointer", "a pointer to the key's own name"],
)
def test_an_algorithm_name_may_be_compressed(algorithm: bytes, expected: str) -> None:
    """RFC 8945 section 4.2 forbids it, but NSD, Knot and BIND answer BADKEY all the same."""
    start = CLASS + 8
    plain = TSIG[start : TSIG.index(b"\0", start) + 1]
    data = algorithm + TSIG[start + len(plain) :]
    record = TSIG[: start - 2] + len(data).to_bytes(2, "big") + data
    answer = Worker(ZONE).raw(HEAD + record)
    assert answer is not None
    found = dns.message.from_wire(answer, keyring=False, ignore_trailing=False)
    assert found.tsig is not None
    assert (found.rcode(), found.tsig[0].algorithm.to_text(), found.tsig[0].error) == (
        dns.rcode.NOTAUTH,
        expected,
        dns.rcode.BADKEY,
    )
    assert b"\xc0" not in answer[answer.index(b"\x03Key") :], "RFC 8945: never compressed by us"


@pytest.mark.parametrize("end", [b"\xc0" + bytes([len(HEAD) + CLASS + 8]), b"\xff\xff", b"\xc0\x04"])
def test_an_algorithm_name_that_leads_nowhere_is_broken(end: bytes) -> None:
    start = CLASS + 8
    data = end + TSIG[TSIG.index(b"\0", start) + 1 :]
    record = TSIG[: start - 2] + len(data).to_bytes(2, "big") + data
    assert Worker(ZONE).raw(HEAD + record) == HEAD[:2] + b"\x81\x01" + bytes(8)


def test_it_is_the_last_record() -> None:
    """RFC 8945 section 5.1."""
    opt = b"\0\0\x29\x04\xd0" + bytes(6)
    packet = HEAD[:11] + b"\2" + HEAD[12:] + TSIG + opt
    assert Worker(ZONE).raw(packet) == HEAD[:2] + b"\x81\x01" + bytes(8)
    as_answer = HEAD[:7] + b"\1" + HEAD[8:11] + b"\0" + HEAD[12:] + TSIG
    assert Worker(ZONE).raw(as_answer) == HEAD[:2] + b"\x81\x01" + bytes(8)


@given(st.integers(0, len(TSIG) - 1), st.integers(0, 255), st.integers(0, len(TSIG)))
def test_any_bytes_are_answered_or_broken(place: int, octet: int, end: int) -> None:
    record = bytearray(TSIG)
    record[place] = octet
    packet = HEAD + bytes(record[:end])
    found = unknown_key(packet, len(HEAD), len(packet))
    assert found is None or len(found) <= end + 2 * MAX_NAME, "both names may have been pointers"
