"""Signed queries (RFC 8945): no key is ours, and the answer says so."""

from geodns.wire.names import MAX_LABEL, whole_name

_FIXED = 10
"""Bytes of a record between its owner and its data."""
_TIME_AND_FUDGE = 8
_BADKEY = (17).to_bytes(2, "big")


def unknown_key(packet: bytes, position: int, end: int) -> bytes | None:
    """Return the TSIG record that answers one of an unknown key (section 5.2.1); None: it is broken.

    `position` and `end` say where it stands in the packet.
    """
    found = whole_name(packet, position)
    if found is None:
        return None
    name, behind = found
    record, owner = name + packet[behind:end], len(name)
    start = owner + _FIXED
    algorithm = _name_end(record, start)
    # Class ANY, TTL 0 (section 4.2).
    if algorithm is None or record[owner + 2 : owner + 8] != b"\0\xff\0\0\0\0":
        return None
    mac = algorithm + _TIME_AND_FUDGE
    after_mac = mac + 2 + int.from_bytes(record[mac : mac + 2], "big")
    other = after_mac + 4
    if other + 2 + int.from_bytes(record[other : other + 2], "big") != len(record):
        return None
    # Without a key there is no MAC. The time is the client's own: its clock is not what is wrong.
    data = b"".join((record[start:mac], b"\0\0", record[after_mac : after_mac + 2], _BADKEY, b"\0\0"))
    return record[: owner + 8] + len(data).to_bytes(2, "big") + data


def _name_end(record: bytes, position: int) -> int | None:
    """Return where an uncompressed name ends; None when it is compressed or cut off (section 4.2)."""
    while position < len(record):
        length = record[position]
        position += 1 + length
        if not length:
            return position
        if length > MAX_LABEL:
            return None
    return None
