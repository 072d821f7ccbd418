"""Networks of clients: read from text, and fast to search for an address."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from socket import AF_INET, AF_INET6, inet_pton

Network = IPv4Network | IPv6Network

HOW = 'write an address and how many bits count, as 192.0.2.0/24 or "2001:db8::/32"'


def parse_network(text: str) -> Network:
    """Read a network; an address alone is a network of one.

    Raises:
        ValueError: with two arguments: what is wrong, and what to write instead.

    """
    bits = text.partition("/")[2]
    try:
        # A netmask is refused: nobody reads it at sight. So is the name of a link: no client has one.
        if (not bits or bits.isdecimal()) and "%" not in text:
            return ip_network(text)
        loose = None
    except ValueError:
        loose = _loose(text)
    shown = repr(text[:60])
    if loose is None:
        raise ValueError(f"{shown} is no network", HOW)
    raise ValueError(f"{shown} has bits behind its prefix", f"write {loose}")


def _loose(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def packed(address: str) -> bytes:
    """Return a client's address in 4 or 16 bytes."""
    if ":" in address:
        return inet_pton(AF_INET6, address.partition("%")[0])  # link-local ones name their link
    return inet_pton(AF_INET, address)


class Networks:
    """A set of networks."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._known = tuple(
            (one.max_prefixlen // 8, int(one.netmask), int(one.network_address)) for one in networks
        )

    def __bool__(self) -> bool:
        return bool(self._known)

    def have(self, address: bytes) -> bool:
        """Say whether a packed address is in one of them."""
        number, size = int.from_bytes(address, "big"), len(address)
        # `any` would take twice as long, and whoever forges addresses has this done many times.
        for known, mask, start in self._known:  # noqa: SIM110 - see above
            if number & mask == start and known == size:
                return True
        return False
