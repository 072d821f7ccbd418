"""Ready records: made at compile time, renamed and split when an answer is put together.

The owner name of a ready record is the pointer `QNAME` to the question, or whole; names in its data are whole
and uncompressed.
"""

from collections.abc import Iterator, Mapping
from struct import Struct, pack

from geodns.wire.codes import CNAME, IN, NUMBERS
from geodns.wire.names import MAX_NAME, QNAME, owner_end

_FIXED = Struct(">HHIH")
"""Type, class, TTL, length of the data."""

TARGETS: Mapping[int, int] = {
    NUMBERS[name]: offset for name, offset in (("NS", 0), ("MX", 2), ("SRV", 6), ("SVCB", 2), ("HTTPS", 2))
}
"""By type, where in the data the name stands whose addresses are wanted next."""


def record(rtype: int, ttl: int, rdata: bytes, owner: bytes = QNAME, rclass: int = IN) -> bytes:
    """Return a ready record (RFC 1035 section 4.1.3)."""
    return owner + pack(">HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def with_owner(records: bytes, owner: bytes) -> bytes:
    """Return ready records, with another owner name where that is the question's."""
    return b"".join(split_records(records, owner))


def split_records(records: bytes, owner: bytes = QNAME) -> Iterator[bytes]:
    """Yield ready records one by one, with another owner name where that is the question's."""
    position = 0
    while position < len(records):
        fixed = owner_end(records, position)
        end = fixed + _FIXED.size + int.from_bytes(records[fixed + 8 : fixed + 10], "big")
        same = records[position:fixed] == QNAME
        yield (owner if same else records[position:fixed]) + records[fixed:end]
        position = end


def rdata_of(record_bytes: bytes) -> bytes:
    """Return the data of one ready record whose owner name is `QNAME`."""
    return record_bytes[len(QNAME) + _FIXED.size :]


def ttl_of(record_bytes: bytes) -> int:
    """Return the TTL of a ready record whose owner name is `QNAME`, or of the first of several."""
    return int.from_bytes(record_bytes[len(QNAME) + 4 : len(QNAME) + 8], "big")


def cname_from_dname(dname: bytes, name: bytes, owner: bytes) -> bytes | None:
    """Return the CNAME record that a DNAME makes for a name below its owner (RFC 6672 section 3.1).

    None: the target would be too long.
    """
    target = name[: len(name) - len(owner)] + rdata_of(dname)
    return record(CNAME, ttl_of(dname), target) if len(target) <= MAX_NAME else None


def target_of(record_bytes: bytes) -> bytes | None:
    """Return the name in the data of a type in `TARGETS`, in lower case; None: it is cut off."""
    rdata = rdata_of(record_bytes)
    start = position = TARGETS[int.from_bytes(record_bytes[len(QNAME) : len(QNAME) + 2], "big")]
    while position < len(rdata):
        length = rdata[position]
        position += 1 + length
        if not length:
            return rdata[start:position].lower()
    return None
