import pickle

from hypothesis import given
from hypothesis import strategies as st

from geodns.responder.views import ClientNetwork, Partition, client_number, hash_seed

V4 = st.sampled_from([0, 1, 0x0A000000, 0x0A0000FF, 0x0A000100, 0x0A800000, 2**31, 2**32 - 1]) | st.integers(
    0, 2**32 - 1
)
V6 = st.sampled_from([0, 1 << 64, 1 << 125, (1 << 125) + 5, 2**128 - 1]) | st.integers(0, 2**128 - 1)


def ranges(starts: set[int]) -> tuple[list[int], list[int]]:
    begins = sorted({0, *starts})
    return begins, [number % 3 for number in range(len(begins))]


@given(st.sets(V4, max_size=8), st.sets(V6, max_size=8), st.booleans(), st.data())
def test_the_scope_is_true_and_no_longer_than_it_must_be(
    four: set[int], six: set[int], ipv6: bool, data: st.DataObject
) -> None:
    partition = pickle.loads(pickle.dumps(Partition(ranges(four), ranges(six))))
    starts, views = ranges(six) if ipv6 else ranges(four)
    bits = 128 if ipv6 else 32
    client = data.draw(st.sampled_from(starts) | (V6 if ipv6 else V4))
    view, scope = partition.find(ClientNetwork(ipv6, client))

    def scanned(address: int) -> int:
        return views[max(place for place, start in enumerate(starts) if start <= address)]

    def block(length: int) -> tuple[int, int]:
        size = 1 << (bits - length)
        return client // size * size, client // size * size + size

    assert view == scanned(client)
    first, behind = block(scope)
    assert not any(first < start < behind for start in starts)
    assert scope  # 0 would hold for the other family, too
    if scope > 1:
        first, behind = block(scope - 1)
        assert any(first < start < behind for start in starts)


def test_the_hash_is_the_same_everywhere() -> None:
    """It decides which clients keep their host and arm: another value would move them all."""
    seed = hash_seed("arm", 7)
    four = ClientNetwork(ipv6=False, address=0xC0000207)
    assert client_number(seed, four, 10_000) == client_number(seed, four._replace(address=0xC00002FF), 10_000)
    six = ClientNetwork(ipv6=True, address=0x20010DB8 << 96 | 5)
    found = [
        client_number(key, one, 2**64) for key in (seed, hash_seed("affinity", 0)) for one in (four, six)
    ]
    assert found == [0xED4A9448673ADACA, 0x62A449D3721B51FC, 0x397BC65ED70655EE, 0xDE19B26B9EE9B1DB]


def test_there_may_be_very_many_views() -> None:
    """Each of several pools of an MX may have a list of its own."""
    many = list(range(70_000))
    partition = Partition((many, many), ([0], [0]))
    assert partition.find(ClientNetwork(ipv6=False, address=69_999))[0] == 69_999
