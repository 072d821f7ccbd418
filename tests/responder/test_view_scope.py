"""Who the client is, and for whom else its answer holds (RFC 7871)."""

import random
from ipaddress import ip_address, ip_network

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.responder.lookup import rrset_of, view_for, views_of
from geodns.responder.respond import respond
from geodns.responder.views import NEAR, SEATS, ClientNetwork, client_network, client_number, near_network
from geodns.responder.worker_state import WorkerState
from geodns.wire import edns
from geodns.wire.names import name_to_wire
from tests.responder.viewed import (
    ARM,
    VIEWS,
    ZONE,
    Asked,
    ask,
    key,
    network_of,
    option,
    scanned,
    table,
    view_key,
    with_other_view,
)

# --- who it is -----------------------------------------------------------------------------------------


PUBLIC, PRIVATE, SIX = "192.0.2.53", "10.9.8.7", "2001:db8::53"

ROWS = [
    ("no option", b"", PUBLIC, PUBLIC, False),
    ("a public network", option("198.51.100.0/24"), PUBLIC, "198.51.100.0", True),
    ("a public network, from a private source", option("198.51.100.0/24"), PRIVATE, "198.51.100.0", True),
    ("the other family", option("2001:db8:5::/56"), PUBLIC, "2001:db8:5::", True),
    ("a whole address", option("198.51.100.77/32"), SIX, "198.51.100.77", True),
    ("half the Internet", option("128.0.0.0/1"), PUBLIC, "128.0.0.0", True),
    ("an odd length", option("198.51.100.128/25"), PUBLIC, "198.51.100.128", True),
    ("/0", option("0.0.0.0/0"), PUBLIC, PUBLIC, False),
    ("/0 in IPv6", option("::/0"), SIX, SIX, False),
    ("family 0", b"\0\0\0\0", PUBLIC, PUBLIC, False),
    *(
        (f"{local}, from a public source", option(local), source, source, False)
        for source in (PUBLIC, SIX)
        for local in (
            "10.0.0.0/8",
            "10.1.2.0/24",
            "100.64.0.0/24",
            "127.0.0.0/24",
            "169.254.1.0/24",
            "172.31.255.0/24",
            "192.168.1.0/24",
            "::1/128",
            "fd00:1::/56",
            "fe80::/64",
        )
    ),
    *(
        (f"10.1.2.0/24, from {source}", option("10.1.2.0/24"), source, "10.1.2.0", True)
        for source in (
            PRIVATE,
            "127.0.0.1",
            "100.64.0.1",
            "192.168.0.1",
            "169.254.0.1",
            "fe80::1%eth0",
            "::1",
        )
    ),
    *(
        (f"{near} is public", option(near), PUBLIC, near.partition("/")[0], True)
        for near in ("9.255.255.0/24", "11.0.0.0/24", "100.128.0.0/24", "172.32.0.0/24", "fe00::/64")
    ),
    ("mapped", option("::ffff:192.0.2.0/120"), PUBLIC, PUBLIC, False),
    ("mapped and private", option("::ffff:10.0.0.0/104"), PRIVATE, PRIVATE, False),
    ("a mapped source", b"", "::ffff:192.0.2.53", PUBLIC, False),
    ("a mapped private source", option("10.1.2.0/24"), "::ffff:10.9.8.7", "10.1.2.0", True),
    ("a link-local source", b"", "fe80::5%eth0", "fe80::5", False),
    ("nobody", b"", "", "0.0.0.0", False),
]


@pytest.mark.parametrize(
    ("subnet", "source", "address", "scoped"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_who_the_client_is(subnet: bytes, source: str, address: str, scoped: bool) -> None:
    expected = ip_address(address)
    found = client_network(subnet, source)
    assert found == ClientNetwork(expected.version == 6, int(expected), scoped)


TWO = table([0xC0000200, 0xC0000300, 0x0A000000], [0x20010DB8 << 96])
"""Of `rules` 192.0.2.0/24 has pool `three`, what is behind it `one`, 10.0.0.0 to there `two`."""


@pytest.mark.parametrize(
    ("asked", "pool", "scope"),
    [
        (Asked(subnet="192.0.2.0/24", source="9.9.9.9"), "three", 24),
        (Asked(subnet="192.0.2.7/32", source="9.9.9.9"), "three", 24),
        (Asked(subnet="192.0.2.0/23", source="9.9.9.9"), "three", 24),
        (Asked(subnet="192.0.0.0/16", source="9.9.9.9"), "two", 23),
        (Asked(subnet="192.0.2.0/24", source="9.9.9.9", transport="tcp"), "three", 24),
        (Asked(subnet="0.0.0.0/0"), "three", 0),
        (Asked(subnet="10.1.0.0/16"), "three", 0),
        (Asked(subnet="10.1.0.0/16", source="10.0.0.5"), "two", 16),
        (Asked(subnet="::ffff:9.9.9.0/120"), "three", 0),
        (Asked(), "three", None),
        (Asked("alias", subnet="8.0.0.0/8"), "near", 24),
    ],
)
def test_rows_of_rfc_7871(asked: Asked, pool: str, scope: int | None) -> None:
    """Sections 7.1.2, 7.2.1 and 11.1; the scope may be longer or shorter than the source."""
    state = WorkerState(random.Random(1))
    for _ in range(3):
        found = ask(TWO, asked, state)
        assert found.rcode == 0
        assert [one.rstrip("0123456789") for one in found.pools] == [pool]
        if scope != 16:
            assert found.scope == scope
        else:
            assert 0 < (found.scope or 0) <= 16


@pytest.mark.parametrize(
    "name", ["none", "text", "mixed"], ids=["NXDOMAIN", "NODATA", "NODATA and SERVFAIL of some views"]
)
def test_answers_without_data_are_for_everybody(name: str) -> None:
    """Section 7.4: resolvers share them."""
    state = WorkerState(random.Random(1))
    for subnet in (
        "8.8.8.0/24",
        "9.9.9.0/24",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "2001:db8::/56",
        "12.0.0.0/8",
    ):
        for of in (TWO, with_other_view(TWO, "mixed"), table(range(0, 2**32, 2**26), [0])):
            found = ask(of, Asked(name, subnet=subnet), state)
            assert found.scope == 0 or found.pools


MALFORMED = {
    "too short": b"\0\1\x18",
    "a scope": b"\0\1\x18\x18\xc0\0\2",
    "bits behind the prefix": b"\0\1\x17\0\xc0\0\3",
    "bits behind an odd prefix": b"\0\2\x31\0\x20\1\x0d\xb8\0\0\x40",
    "too little of the address": b"\0\1\x18\0\xc0\0",
    "too much of the address": b"\0\1\x18\0\xc0\0\2\0",
    "33 bits of IPv4": b"\0\1\x21\0\xc0\0\2\0\0",
    "129 bits of IPv6": b"\0\2\x81\0" + bytes(17),
    "no such family": b"\0\3\x08\0\xc0",
    "family 0 with an address": b"\0\0\x08\0\xc0",
    "family 0 with a scope": b"\0\0\0\1",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_network_is_formerr(data: bytes) -> None:
    state = WorkerState(random.Random(1))
    whole = edns.option(edns.SUBNET, data)
    query = Asked().packet[:-2] + len(whole).to_bytes(2, "big") + whole
    for _ in range(3):
        answer = respond(TWO, query, Asked().client, 0.0, state)
        assert answer is not None
        found = dns.message.from_wire(answer)
        assert (found.rcode(), found.options) == (dns.rcode.FORMERR, ())


# --- for whom it holds ---------------------------------------------------------------------------------

V4 = st.sampled_from(
    [1, 0x08000000, 0x0B000000, 0x20000000, 0x20000080, 0x20000100, 0x20010000]
) | st.integers(1, 2**32 - 1)
V6 = st.sampled_from(
    [1 << 125, (1 << 125) + (1 << 64), (1 << 125) + (1 << 72), (1 << 125) + 1]
) | st.integers(1, 2**128 - 1)


@given(
    st.lists(V4, max_size=8),
    st.lists(V6, max_size=8),
    st.booleans(),
    st.sampled_from(["rules", "mixed", "alias", "x.w", "again"]),
    st.data(),
)
def test_two_clients_within_a_scope_get_the_same(
    four: list[int],
    six: list[int],
    ipv6: bool,
    name: str,
    data: st.DataObject,
) -> None:
    """Against a plain scan of the ranges; through aliases and wildcards; whoever of them asked first."""
    of, state = table(four, six), WorkerState(random.Random(1))
    starts, bits = (six, 128) if ipv6 else (four, 32)
    chosen = st.sampled_from([1, *starts]) | (V6 if ipv6 else V4)

    def drawn(address: int) -> str:
        length = data.draw(st.integers(1, bits))
        return str(
            ip_network(((address >> (bits - length) << (bits - length)).to_bytes(bits // 8, "big"), length))
        )

    one = drawn(data.draw(chosen))
    first = ask(of, Asked(name, subnet=one), state)
    client = client_network(option(one), Asked().source)
    starts = starts if client.scoped else four
    expected = scanned(of, view_key("rules" if name == "rules" else "mixed"), client, starts)
    got = {pool.rstrip("0123456789") for pool in first.pools}
    assert got <= {rotation.tiers[0][0] for rotation in expected.keys if rotation is not None}
    assert bool(got) is (expected.keys[0] not in {None, key("dead")})
    assert first.scope is not None
    if first.pools and first.scope:
        assert first.scope >= (NEAR[ipv6] if expected.near else 0)
        size = bits - first.scope
        inside = (network_of(one).address >> size << size) + data.draw(st.integers(0, (1 << size) - 1))
        other = f"{ip_address(inside.to_bytes(bits // 8, 'big'))}/{bits}"
        if client_network(option(other), "9.9.9.9").scoped:
            assert ask(of, Asked(name, subnet=other), state) == first


@given(V4, st.integers(0, 255), st.sampled_from(["arm", "affinity"]))
def test_a_hash_decides_for_a_whole_network(address: int, last: int, seed: str) -> None:
    one = ClientNetwork(ipv6=False, address=address)
    other = one._replace(address=address >> 8 << 8 | last)
    assert near_network(one) == near_network(other)
    assert client_number(seed.encode().ljust(16), one, SEATS) == client_number(
        seed.encode().ljust(16), other, SEATS
    )


# --- look-ups for others -------------------------------------------------------------------------------


def test_what_stands_behind_a_name() -> None:
    def found(name: str, rtype: int = 1) -> object:
        return rrset_of(TWO, name_to_wire(f"{name}.{ZONE}."), rtype)

    assert found("rules") == found("RULES".lower()) == view_key("rules")
    assert found("alias") == found("again") == found("deep.x.w") == view_key("mixed")
    assert found("plain") == key("plain")
    assert found("text") is found("none") is found("rules", 28) is None
    assert rrset_of(TWO, name_to_wire("example.net."), 1) is None


def test_the_views_of_a_name() -> None:
    one = view_key("mixed")
    assert views_of(TWO, one) == VIEWS[one]
    number, view, scope = view_for(TWO, one, network_of("8.0.0.1"))
    assert (number, view, scope) == (0, VIEWS[one][0], 24)
    assert view_for(with_other_view(TWO, "rules"), view_key("rules"), network_of("8.0.0.1"))[0::2] == (0, 0)
    assert ARM
