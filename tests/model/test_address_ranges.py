from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from geodns.model.address_ranges import EVERYWHERE, NOWHERE, Bounds, any_of, cover, ranges_of

NEAR_V4 = st.builds(
    lambda number, bits: IPv4Network(((number >> (32 - bits)) << (32 - bits), bits)),
    st.sampled_from([0, 1, 0x0A000000, 0x0A0000FF, 0x0A000100, 0x0A800000, 2**32 - 1]),
    st.integers(0, 32),
)
NEAR_V6 = st.builds(
    lambda number, bits: IPv6Network(((number >> (128 - bits)) << (128 - bits), bits)),
    st.sampled_from([0, 1 << 125, (1 << 125) + 1, (1 << 125) + (1 << 72), 2**128 - 1]),
    st.integers(0, 128),
)
NETWORKS = st.lists(NEAR_V4 | NEAR_V6, max_size=6)


def members(bounds: Bounds, edges: set[int]) -> set[int]:
    spans = list(zip(bounds[::2], bounds[1::2], strict=True))
    return {edge for edge in edges if any(first <= edge < behind for first, behind in spans)}


def edges_of(networks: list[IPv4Network | IPv6Network], version: int) -> set[int]:
    ends = [(int(one[0]), int(one[-1])) for one in networks if one.version == version]
    top = 2 ** (32 if version == 4 else 128)
    return {n for first, last in ends for n in (first - 1, first, last, last + 1) if 0 <= n < top}


def scanned(networks: list[IPv4Network | IPv6Network], version: int, edges: set[int]) -> set[int]:
    return {
        edge
        for edge in edges
        if any(int(one[0]) <= edge <= int(one[-1]) for one in networks if one.version == version)
    }


@given(NETWORKS, NETWORKS)
def test_ranges_hold_what_the_networks_hold(
    one: list[IPv4Network | IPv6Network], other: list[IPv4Network | IPv6Network]
) -> None:
    a, b = ranges_of(one), ranges_of(other)
    for version in (4, 6):
        edges = edges_of([*one, *other], version)
        first, second = scanned(one, version, edges), scanned(other, version, edges)
        for ranges, wanted in ((a, first), (any_of((a, b)), first | second), (a & b, first & second)):
            bounds = ranges.ipv4 if version == 4 else ranges.ipv6
            assert list(bounds) == sorted(set(bounds))
            assert members(bounds, edges) == wanted
    assert cover((a, b), any_of((a, b)))
    assert cover((a,), b) is (a & b == b)


@given(st.lists(NETWORKS, max_size=4))
def test_any_of_many(many: list[list[IPv4Network | IPv6Network]]) -> None:
    assert any_of(map(ranges_of, many)) == ranges_of(one for some in many for one in some)


def test_the_ends_of_all_addresses() -> None:
    everything = ranges_of([ip_network("0.0.0.0/0"), ip_network("::/0")])
    assert (list(everything.ipv4), list(everything.ipv6)) == (list(EVERYWHERE.ipv4), list(EVERYWHERE.ipv6))
    assert not NOWHERE
    assert everything & ranges_of([ip_network("192.0.2.0/24")])
