"""Record data from the fields of a zone file to wire form, encoded by dnslib."""

import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

import dnslib
from dnslib.label import DNSLabelError

from geodns.errors import BadNameError
from geodns.names import labels_of


class _PlainBuffer(dnslib.DNSBuffer):  # type: ignore[misc]  # dnslib is untyped
    """A buffer that never compresses: a pointer would be relative to a message that does not exist yet."""

    def encode_name(self, name: dnslib.DNSLabel) -> None:
        """Append a whole name."""
        self.encode_name_nocompress(name)


def _name(text: str) -> dnslib.DNSLabel:
    return dnslib.DNSLabel(tuple(label.lower() for label in labels_of(text)))


_ENCODERS: Mapping[str, Callable[..., dnslib.RD]] = {
    "A": lambda address: dnslib.A(tuple(IPv4Address(address).packed)),
    "AAAA": lambda address: dnslib.AAAA(tuple(IPv6Address(address).packed)),
    "NS": lambda target: dnslib.NS(_name(target)),
    "CNAME": lambda target: dnslib.CNAME(_name(target)),
    "PTR": lambda target: dnslib.PTR(_name(target)),
    "DNAME": lambda target: dnslib.CNAME(_name(target)),  # the same form; dnslib has no class for it
    "DS": lambda tag, algorithm, kind, *digest: dnslib.DS(
        int(tag), int(algorithm), int(kind), bytes.fromhex("".join(digest))
    ),
    "MX": lambda preference, exchange: dnslib.MX(_name(exchange), int(preference)),
    "SRV": lambda priority, weight, port, target: dnslib.SRV(
        int(priority), int(weight), int(port), _name(target)
    ),
    "CAA": lambda flags, tag, value: dnslib.CAA(int(flags), tag, value),
    "TLSA": lambda usage, selector, matching, data: dnslib.TLSA(
        int(usage), int(selector), int(matching), bytes.fromhex(data)
    ),
    "TXT": lambda *strings: dnslib.TXT([text.encode("latin-1") for text in strings]),
    "SOA": lambda mname, rname, *times: dnslib.SOA(
        _name(mname), _name(rname), tuple(int(time) for time in times)
    ),
}

_BAD_NAME = (BadNameError, DNSLabelError)


def encode(rtype: str, fields: tuple[str, ...]) -> bytes:
    """Return a record's data in wire form, names uncompressed and in lower case.

    Args:
        rtype: one of `wire.TYPE_NUMBERS`.
        fields: as `model.Record` has them.

    Raises:
        ValueError: fields that do not fit the type.

    """
    buffer = _PlainBuffer()
    try:
        _ENCODERS[rtype](*fields).pack(buffer)
    except (TypeError, ValueError, struct.error, dnslib.BufferError, dnslib.DNSError, *_BAD_NAME) as problem:
        raise ValueError(f"{rtype}: {' '.join(fields)}: {problem}") from problem
    return bytes(buffer.data)
