"""From a client to its view of a name: one look-up in sorted ranges of addresses, and one hash more."""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from siphash24 import siphash24

from geodns.wire.networks import packed, parse_network

_BITS = {False: 32, True: 128}
_HASHED = 64
BUCKETS = 4096
"""Numbers that clients hash to where a pool picks by client."""
NEAR: Mapping[bool, int] = {False: 24, True: 56}
"""Bits of a client's network, by whether it is IPv6, where a hash decides: all of it gets the same."""


class ClientNetwork(NamedTuple):
    """Whom an answer is for.

    Attributes:
        ipv6: the family.
        address: the first address of the network, as a number.
        scoped: whether the client's own option named it, so that the answer says for whom else it holds.

    """

    ipv6: bool
    address: int
    scoped: bool = False


def _bounds(*networks: str) -> tuple[int, ...]:
    """Return where each of some networks begins and where the next address is, in order."""
    read = sorted(map(parse_network, networks), key=lambda one: int(one.network_address))
    return tuple(
        chain.from_iterable((int(one.network_address), int(one.broadcast_address) + 1) for one in read)
    )


_LOCAL: Mapping[bool, tuple[int, ...]] = {
    False: _bounds(
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"
    ),
    True: _bounds("::1", "fc00::/7", "fe80::/10"),
}
"""By whether it is IPv6: private networks, those of carriers' translators, loopback and link-local."""

_MAPPED = 0xFFFF
"""The first 96 bits of an IPv6 address that stands for an IPv4 one (RFC 4291 section 2.5.5.2)."""


def is_local(client: ClientNetwork) -> bool:
    """Say whether a network has no meaning but where it is: others have the same addresses."""
    return bool(bisect_right(_LOCAL[client.ipv6], client.address) & 1)


def client_network(subnet: bytes, source: str) -> ClientNetwork:
    """Return whom an answer is for.

    The client's option decides where it names a public network, or a local one for a source that is local
    itself; else the source does.

    Args:
        subnet: the data of a well-formed client-subnet option (RFC 7871); empty: there is none.
        source: the client's address; empty: a TCP client that was gone before it was accepted.

    """
    address = packed(source) if source else bytes(4)
    number = int.from_bytes(address, "big")
    ipv6 = len(address) > 4
    if ipv6 and number >> 32 == _MAPPED:
        ipv6, number = False, number & 0xFFFFFFFF
    itself = ClientNetwork(ipv6, number)
    if len(subnet) <= 4:  # there is none, or its prefix has no bits: for nobody in particular
        return itself
    ipv6 = subnet[1] == 2
    number = int.from_bytes(subnet[4:].ljust(16 if ipv6 else 4, b"\0"), "big")
    named = ClientNetwork(ipv6, number, scoped=True)
    if (ipv6 and number >> 32 == _MAPPED) or (is_local(named) and not is_local(itself)):
        return itself
    return named


def _numbers(views: Sequence[int]) -> "array[int]":
    return array("H" if max(views) < 1 << 16 else "I", views)


class Partition:
    """All addresses, divided among views: each range of addresses has one.

    Args:
        ipv4: where each range begins, and the number of its view; the first begins at 0, neighbours differ.
        ipv6: likewise.

    """

    __slots__ = ("_shift", "_starts", "_views")

    def __init__(
        self, ipv4: tuple[Sequence[int], Sequence[int]], ipv6: tuple[Sequence[int], Sequence[int]]
    ) -> None:
        # Half of each IPv6 address is enough, unless a rule names networks longer than /64.
        self._shift = 0 if any(start & (1 << 64) - 1 for start in ipv6[0]) else 64
        wide: Sequence[int] = (
            tuple(ipv6[0]) if not self._shift else array("Q", (start >> 64 for start in ipv6[0]))
        )
        self._starts: dict[bool, Sequence[int]] = {False: array("I", ipv4[0]), True: wide}
        self._views = {False: _numbers(ipv4[1]), True: _numbers(ipv6[1])}

    def number(self, client: ClientNetwork) -> int:
        """Return the number of a client's view, where nobody asks for the scope."""
        ipv6, address, _ = client
        if ipv6:
            address >>= self._shift
        return self._views[ipv6][bisect_right(self._starts[ipv6], address) - 1]

    def find(self, client: ClientNetwork) -> tuple[int, int]:
        """Return the number of a client's view, and how many bits of its address decide that (the scope).

        Everybody whose address begins with the same bits has the same view; of fewer bits that is not true.
        Where all of a family has one view it is still 1: 0 would hold for the other family, too (RFC 7871
        section 7.3.1), which has others.
        """
        ipv6, address, _ = client
        starts = self._starts[ipv6]
        bits = _BITS[ipv6]
        if ipv6 and self._shift:
            address >>= self._shift
            bits -= self._shift
        place = bisect_right(starts, address)
        # The prefix must be so long that neither the address before the range nor the one behind shares it.
        below = (address ^ (starts[place - 1] - 1)).bit_length() if place > 1 else bits + 1
        above = (address ^ starts[place]).bit_length() if place < len(starts) else bits + 1
        return self._views[ipv6][place - 1], bits + 1 - min(below, above, bits)

    def __len__(self) -> int:
        return len(self._views[False]) + len(self._views[True])


def hash_seed(purpose: str, salt: int) -> bytes:
    """Return the key of a hash: the same in every process and on every server."""
    return salt.to_bytes(8, "big") + purpose.encode()[:8].ljust(8, b"\0")


def near_network(client: ClientNetwork) -> int:
    """Return a client's /24 or /56 as 64 bits: no IPv6 network in use begins as an IPv4 one does."""
    if client.ipv6:
        return client.address >> 72 << 8
    return client.address >> 8 << 8


def client_number(seed: bytes, client: ClientNetwork, numbers: int) -> int:
    """Return a number under `numbers` by SipHash-2-4 of the client's network."""
    digest = siphash24(near_network(client).to_bytes(8, "big"), key=seed).digest()
    return int.from_bytes(digest, "little") * numbers >> _HASHED
