"""The OPT record and its options: read from queries, made for answers (RFC 6891)."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from struct import Struct, pack
from typing import NamedTuple

from geodns.wire.codes import OPT

UDP_SIZE = 1232
"""The largest UDP answer: fits any path unfragmented (DNS flag day 2020)."""
UDP_SIZE_PLAIN = 512
"""The largest for clients without EDNS (RFC 1035 section 4.2.1)."""

LENGTH = 11
"""Bytes of an OPT record without options."""

NSID = 3
SUBNET = 8
COOKIE = 10
KEEPALIVE = 11
ERROR = 15

CLIENT_COOKIE = 8
"""Bytes of the client's part of a cookie (RFC 7873 section 4)."""
_COOKIE_SIZES = {CLIENT_COOKIE, *range(16, 41)}

EDE_OTHER = 0
EDE_NOT_AUTHORITATIVE = 20
EDE_NOT_SUPPORTED = 21

_OPTION = Struct(">HH")
SCOPE_AT = _OPTION.size + 3
"""The scope's offset in a whole subnet option: bits of the network for which an answer holds."""

_START = b"\0" + pack(">H", OPT)
_BITS = {1: 32, 2: 128}
"""Bits of an address by its family."""


class BrokenOptError(Exception):
    """An OPT record whose options do not fill its data exactly."""


class Edns(NamedTuple):
    """A query's OPT record, read (RFC 6891 section 6.1.2).

    Attributes:
        size: the UDP payload that the client takes; under 512 counts as 512.
        do: the DNSSEC OK bit, echoed.
        cookie: the client's part and perhaps a server's (RFC 7873); empty without the option.
        nsid: whether it asks who we are (RFC 5001).
        subnet: the data of a client subnet (RFC 7871); empty without the option.
        keepalive: whether it asks how long a connection may be idle (RFC 7828).
        broken: whether the cookie or the subnet is malformed, which is FORMERR.

    """

    size: int
    version: int
    do: bool
    cookie: bytes = b""
    nsid: bool = False
    subnet: bytes = b""
    keepalive: bool = False
    broken: bool = False

    @property
    def names_network(self) -> bool:
        """Whether its subnet has any bits, and so says where the client is."""
        return len(self.subnet) > 4


def read_opt(opt: bytes) -> Edns:
    """Read a whole OPT record.

    Raises:
        BrokenOptError: its options do not fill its data exactly.

    """
    position, end = LENGTH, len(opt)
    cookie = subnet = None
    nsid = keepalive = False
    while position + _OPTION.size <= end:
        code, length = _OPTION.unpack_from(opt, position)
        position += _OPTION.size
        # The first cookie counts (RFC 7873 section 5.2); so does the first subnet.
        if code == COOKIE and cookie is None:
            cookie = opt[position : position + length]
        elif code == SUBNET and subnet is None:
            subnet = opt[position : position + length]
        nsid = nsid or code == NSID
        keepalive = keepalive or code == KEEPALIVE
        position += length
    if position != end:
        raise BrokenOptError
    well_formed = (cookie is None or len(cookie) in _COOKIE_SIZES) and (subnet is None or _is_subnet(subnet))
    size = max(UDP_SIZE_PLAIN, opt[3] << 8 | opt[4])
    do = bool(opt[7] & 0x80)
    return Edns(size, opt[6], do, cookie or b"", nsid, subnet or b"", keepalive, not well_formed)


def read_tail(tail: bytes) -> Edns | None:
    """Read what stands behind a question; None: that is not just an OPT record of version 0."""
    if len(tail) < LENGTH or tail[:3] != _START or tail[6] or len(tail) != LENGTH + tail[9] * 256 + tail[10]:
        return None
    try:
        return read_opt(tail)
    except BrokenOptError:
        return None


def _is_subnet(data: bytes) -> bool:
    """Say whether a query's subnet is well formed (RFC 7871 sections 6 and 7.1.2)."""
    if len(data) < 4 or data[3]:
        return False
    family, source = data[0] << 8 | data[1], data[2]
    if not family:  # "for nobody in particular"
        return not source and len(data) == 4
    if source > _BITS.get(family, -1) or len(data) != 4 + (source + 7) // 8:
        return False
    return not source % 8 or not data[-1] & 0xFF >> source % 8


def network(subnet: bytes) -> IPv4Network | IPv6Network | None:
    """Return the network of a well-formed subnet option; None: it names none."""
    family, source = subnet[1], subnet[2]
    if not family:
        return None
    address = subnet[4:].ljust(_BITS[family] // 8, b"\0")
    return ip_network((address, source))


def subnet_of(network: IPv4Network | IPv6Network | None) -> bytes:
    """Return the data of the option by which a query names a network (RFC 7871 section 6); empty: of none."""
    if network is None:
        return b""
    length, family = network.prefixlen, 1 if network.version == 4 else 2
    return bytes((0, family, length, 0)) + network.network_address.packed[: (length + 7) // 8]


# --- answers -------------------------------------------------------------------------------------------


def option(code: int, data: bytes) -> bytes:
    """Return an option."""
    return _OPTION.pack(code, len(data)) + data


def subnet_option(subnet: bytes, scope: int) -> bytes:
    """Return the query's subnet with the prefix length that the answer holds for (RFC 7871 section 7.2.1)."""
    return option(SUBNET, subnet[:3] + bytes((scope,)) + subnet[4:])


def keepalive_option(idle: float) -> bytes:
    """Return how many seconds a connection may be idle; the option has tenths (RFC 7828 section 3.1)."""
    return option(KEEPALIVE, pack(">H", min(65535, int(idle * 10))))


def error_option(code: int, text: str = "") -> bytes:
    """Return an extended error (RFC 8914 section 2)."""
    return option(ERROR, pack(">H", code) + text.encode())


def opt_record(edns: Edns, options: bytes = b"") -> bytes:
    """Return our OPT record for an answer: our size and version, DO echoed, these options."""
    return b"\0" + pack(">HHBBHH", OPT, UDP_SIZE, 0, 0, 0x8000 if edns.do else 0, len(options)) + options


def with_rcode(opt: bytes, rcode: int, options: bytes = b"") -> bytes:
    """Return our OPT record with the upper bits of an RCODE, and more options at its end."""
    length = (len(opt) - LENGTH + len(options)).to_bytes(2, "big")
    return b"".join((opt[:5], bytes((rcode >> 4,)), opt[6:9], length, opt[LENGTH:], options))
