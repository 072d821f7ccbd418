"""OPT records read and written: sizes, options well formed and not, what an answer says."""

from ipaddress import ip_network

import dns.edns
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire import edns
from geodns.wire.edns import BrokenOptError, Edns

OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


def opt(*options: bytes, size: int = 1232, version: int = 0) -> bytes:
    """Return a query's OPT record."""
    data = b"".join(options)
    fixed = b"\0\0\x29" + size.to_bytes(2, "big") + bytes((0, version, 0, 0))
    return fixed + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize(("size", "counts"), [(0, 512), (511, 512), (513, 513), (1232, 1232), (65535, 65535)])
def test_sizes_under_512_count_as_512(size: int, counts: int) -> None:
    """RFC 6891 section 6.2.3."""
    assert edns.read_opt(opt(size=size)) == Edns(counts, 0, do=False)


def test_every_option_that_we_know() -> None:
    read = edns.read_opt(
        opt(
            edns.option(edns.NSID, b""),
            edns.option(65001, b"unknown"),
            edns.option(edns.SUBNET, b"\0\1\x18\0\xc0\0\2"),
            edns.option(edns.KEEPALIVE, b""),
            edns.option(edns.COOKIE, b"cookies!"),
        )
    )
    subnet = b"\0\1\x18\0\xc0\0\2"
    assert read == Edns(1232, 0, do=False, cookie=b"cookies!", nsid=True, subnet=subnet, keepalive=True)


def test_the_first_of_two_cookies_counts() -> None:
    """RFC 7873 section 5.2."""
    read = edns.read_opt(opt(edns.option(edns.COOKIE, b"cookies!"), edns.option(edns.COOKIE, b"x")))
    assert (read.cookie, read.broken) == (b"cookies!", False)


@pytest.mark.parametrize("length", range(50))
def test_the_sizes_of_cookies(length: int) -> None:
    """RFC 7873 section 5.2.2: 8, or 16 to 40."""
    read = edns.read_opt(opt(edns.option(edns.COOKIE, bytes(length))))
    assert read.broken is (length not in {8, *range(16, 41)})


@pytest.mark.parametrize(
    ("data", "well_formed"),
    [
        ("00 01 18 00 c0 00 02", True),
        ("00 01 17 00 c0 00 02", True),
        ("00 01 20 00 c0 00 02 01", True),
        ("00 01 00 00", True),
        ("00 02 38 00 20 01 0d b8 00 00 00", True),
        ("00 02 80 00" + " 20" * 16, True),
        ("00 02 00 00", True),
        ("00 00 00 00", True),
        ("", False),
        ("00 01 18", False),
        ("00 01 18 01 c0 00 02", False),
        ("00 01 18 18 c0 00 02", False),
        ("00 01 18 00 c0 00", False),
        ("00 01 18 00 c0 00 02 00", False),
        ("00 01 17 00 c0 00 03", False),
        ("00 01 19 00 c0 00 02 40", False),
        ("00 01 21 00 c0 00 02 01 00", False),
        ("00 02 81 00" + " 00" * 17, False),
        ("00 00 08 00 c0", False),
        ("00 00 00 00 00", False),
        ("00 03 08 00 c0", False),
        ("01 01 18 00 c0 00 02", False),
    ],
)
def test_subnets(data: str, well_formed: bool) -> None:
    """RFC 7871 sections 6 and 7.1.2: no scope, no stray bits, no byte too many, a known family."""
    assert edns.read_opt(opt(edns.option(edns.SUBNET, bytes.fromhex(data)))).broken is not well_formed


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("00 01 17 00 c0 00 02", "192.0.2.0/23"),
        ("00 02 14 00 20 01 00", "2001::/20"),
        ("00 01 00 00", "0.0.0.0/0"),
    ],
)
def test_the_network_of_a_subnet(data: str, expected: str) -> None:
    assert edns.network(bytes.fromhex(data)) == ip_network(expected)
    assert edns.subnet_of(ip_network(expected)) == bytes.fromhex(data)


def test_a_subnet_of_nobody() -> None:
    assert edns.subnet_of(None) == b""
    assert edns.network(bytes(4)) is None


@pytest.mark.parametrize(
    "broken",
    [opt(b"\0\x0a"), opt(b"\0\x0a\0\x02x"), opt(b"\0\x0a\0\0\0"), opt(edns.option(99, b"x"), b"\0\0\0")],
    ids=["head cut off", "data cut off", "a byte more", "a second head cut off"],
)
def test_options_fill_the_record(broken: bytes) -> None:
    with pytest.raises(BrokenOptError):
        edns.read_opt(broken)
    assert edns.read_tail(broken) is None


@given(st.binary(max_size=60))
def test_any_data_is_read_or_broken(data: bytes) -> None:
    try:
        read = edns.read_opt(opt(data))
    except BrokenOptError:
        assert edns.read_tail(opt(data)) is None
        return
    assert edns.read_tail(opt(data)) == read
    if read.subnet and not read.broken:
        edns.network(read.subnet)


@pytest.mark.parametrize(
    "tail",
    [b"", OPT[:-1], OPT + b"x", b"\x01" + OPT[1:], b"\x00\x00\x01" + OPT[3:], opt(version=1), b"x"],
    ids=["nothing", "cut off", "garbage behind", "a name", "another type", "version 1", "a byte"],
)
def test_tails_that_are_more_or_less_than_an_opt_record(tail: bytes) -> None:
    assert edns.read_tail(tail) is None


# --- answers -------------------------------------------------------------------------------------------


def read(ours: bytes) -> dns.message.Message:
    """Let dnspython read our OPT record in a message of its own."""
    return dns.message.from_wire(b"\0\1\x80\0\0\0\0\0\0\0\0\1" + ours)


@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("rcode", [0, 3, 16, 23])
def test_our_record(do: bool, rcode: int) -> None:
    ours = edns.opt_record(Edns(4096, 0, do=do), edns.option(edns.NSID, b"ns1"))
    found = read(edns.with_rcode(ours, rcode, edns.error_option(edns.EDE_OTHER, "why")))
    assert (found.edns, found.payload, bool(found.ednsflags & 0x8000)) == (0, 1232, do)
    assert found.rcode() == rcode & ~0x0F, "the lower bits stand in the header"
    assert [option.to_text() for option in found.options] == ["NSID ns1", "EDE 0 (Other): why"]


@pytest.mark.parametrize(("idle", "expected"), [(0, 0), (0.25, 2), (10, 100), (1e6, 65535)])
def test_keepalive_is_told_in_tenths_of_a_second(idle: float, expected: int) -> None:
    """RFC 7828 section 3.1."""
    assert edns.keepalive_option(idle) == b"\0\x0b\0\2" + expected.to_bytes(2, "big")


def test_a_subnet_comes_back_with_a_scope() -> None:
    found = read(edns.opt_record(Edns(1232, 0, do=False), edns.subnet_option(b"\0\1\x18\0\xc0\0\2", 16)))
    [option] = found.options
    assert isinstance(option, dns.edns.ECSOption)
    assert (option.address, option.srclen, option.scopelen) == ("192.0.2.0", 24, 16)
