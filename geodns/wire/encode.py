"""Record data from the fields of a zone file to bytes, by dnslib; at compile time only."""

import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address

import dnslib
from dnslib.label import DNSLabelError

from geodns.errors import BadNameError
from geodns.wire.names import labels_of

GENERIC = r"\#"
"""Begins data that is given as bytes, for types without fields here (RFC 3597 section 5)."""


def generic(data: bytes) -> tuple[str, str, str]:
    r"""Return data as ``\#``, its length and its bytes in hexadecimal: fields that fit every type."""
    return GENERIC, str(len(data)), data.hex()


class _PlainBuffer(dnslib.DNSBuffer):  # type: ignore[misc]  # dnslib is untyped
    """A buffer that never compresses: a pointer would be relative to a message that does not exist yet."""

    def encode_name(self, name: dnslib.DNSLabel) -> None:
        self.encode_name_nocompress(name)


def _name(text: str) -> dnslib.DNSLabel:
    return dnslib.DNSLabel(tuple(label.lower() for label in labels_of(text)))


def _txt(*strings: str) -> dnslib.RD:
    return dnslib.TXT([text.encode("latin-1") for text in strings])


def _caa(flags: int, tag: str, value: str) -> bytes:
    """Return a CAA's data (RFC 8659 section 4.1); dnslib's own takes no value with bytes beyond ASCII."""
    return bytes((flags, len(tag))) + tag.encode() + value.encode("latin-1")


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
    "CAA": lambda flags, tag, value: dnslib.RD(_caa(int(flags), tag, value)),
    "TLSA": lambda usage, selector, matching, data: dnslib.TLSA(
        int(usage), int(selector), int(matching), bytes.fromhex(data)
    ),
    "TXT": _txt,
    "SPF": _txt,
    "SOA": lambda mname, rname, *times: dnslib.SOA(
        _name(mname), _name(rname), tuple(int(time) for time in times)
    ),
}

_BAD_NAME = (BadNameError, DNSLabelError)


def encode(rtype: str, fields: tuple[str, ...]) -> bytes:
    """Return a record's data as bytes, names uncompressed and in lower case.

    Raises:
        ValueError: fields that do not fit the type.

    """
    if fields[:1] == (GENERIC,):
        return bytes.fromhex(fields[2])
    buffer = _PlainBuffer()
    try:
        _ENCODERS[rtype](*fields).pack(buffer)
    except (
        KeyError,
        TypeError,
        ValueError,
        struct.error,
        dnslib.BufferError,
        dnslib.DNSError,
        *_BAD_NAME,
    ) as problem:
        raise ValueError(f"{rtype}: {' '.join(fields)}: {problem}") from problem
    return bytes(buffer.data)
