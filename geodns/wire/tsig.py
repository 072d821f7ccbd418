"""Signed queries (RFC 8945): no key is ours, and the answer says so."""

from geodns.wire.names import whole_name

_FIXED = 10
"""Bytes of a record between its owner and its data."""
_TIME_AND_FUDGE = 8
_BADKEY = (17).to_bytes(2, "big")


def unknown_key(packet: bytes, position: int, end: int) -> bytes | None:
    """Return the TSIG record that answers one of an unknown key (section 5.2.1); None: it is broken.

    Compressed names are taken, although section 4.2 forbids them for the algorithm: NSD, Knot and BIND do so.
    `position` and `end` say where the record stands in the packet.
    """
    key = whole_name(packet, position)
    if key is None:
        return None
    owner, behind = key
    fixed = packet[behind : behind + _FIXED]
    found = whole_name(packet, behind + _FIXED)
    # Class ANY, TTL 0 (section 4.2).
    if found is None or fixed[2:8] != b"\0\xff\0\0\0\0":
        return None
    algorithm, mac = found[0], found[1] + _TIME_AND_FUDGE
    after_mac = mac + 2 + int.from_bytes(packet[mac : mac + 2], "big")
    other = after_mac + 4
    if other + 2 + int.from_bytes(packet[other : other + 2], "big") != end:
        return None
    # Without a key there is no MAC. The time is the client's own: its clock is not what is wrong.
    time, original_id = packet[found[1] : mac], packet[after_mac : after_mac + 2]
    data = b"".join((algorithm, time, b"\0\0", original_id, _BADKEY, b"\0\0"))
    return owner + fixed[:8] + len(data).to_bytes(2, "big") + data
