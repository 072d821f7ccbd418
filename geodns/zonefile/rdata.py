"""Record data of every type as zone-file text → bytes, and back; dnspython reads and writes it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import dns.exception
import dns.immutable
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SSHFP
import dns.rdtypes.dsbase
import dns.rdtypes.nsbase
import dns.rdtypes.tlsabase
import dns.tokenizer

from geodns.rrtypes import NUMBERS

MAX_RDATA = 0xFFFF
"""Bytes; the length has two of them (RFC 1035 section 4.1.3)."""


class MB(dns.rdtypes.nsbase.NSBase):
    """A type of RFC 1035 that is a name and that dnspython leaves to others."""


class MG(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


class MR(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


class MD(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


class MF(dns.rdtypes.nsbase.NSBase):
    """Likewise."""


@dns.immutable.immutable
class MINFO(dns.rdata.Rdata):
    """Two mailboxes (RFC 1035 section 3.3.7)."""

    __slots__ = ("emailbx", "rmailbx")

    def __init__(self, rdclass: Any, rdtype: Any, rmailbx: dns.name.Name, emailbx: dns.name.Name) -> None:
        super().__init__(rdclass, rdtype)
        self.rmailbx = rmailbx
        self.emailbx = emailbx

    def to_styled_text(self, style: Any) -> str:
        """Return both names."""
        return f"{self.rmailbx.to_styled_text(style)} {self.emailbx.to_styled_text(style)}"

    @classmethod
    def from_text(
        cls,
        rdclass: Any,
        rdtype: Any,
        tok: dns.tokenizer.Tokenizer,
        origin: dns.name.Name | None = None,
        relativize: bool = True,
        relativize_to: dns.name.Name | None = None,
    ) -> "MINFO":
        """Read both names."""
        first = tok.get_name(origin, relativize, relativize_to)
        return cls(rdclass, rdtype, first, tok.get_name(origin, relativize, relativize_to))

    def _to_wire(
        self, file: Any, compress: Any = None, origin: Any = None, canonicalize: bool = False
    ) -> None:
        self.rmailbx.to_wire(file, compress, origin, canonicalize)
        self.emailbx.to_wire(file, compress, origin, canonicalize)

    @classmethod
    def from_wire_parser(cls, rdclass: Any, rdtype: Any, parser: Any, origin: Any = None) -> "MINFO":
        """Read both names from the wire."""
        return cls(rdclass, rdtype, parser.get_name(origin, True), parser.get_name(origin, True))


for _kind in ("MB", "MG", "MR", "MD", "MF", "MINFO"):
    dns.rdata.register_type(sys.modules[__name__], dns.rdatatype.RdataType.make(NUMBERS[_kind]), _kind)


class DS(dns.rdtypes.dsbase.DSBase):
    """A digest of any length: an odd one is a warning of ours, and nobody's zone is refused for it."""

    _digest_length_by_type: dict[int, int] = {}  # noqa: RUF012 - as above it


class CDS(DS):
    """Likewise; digest type 0 says that the parent's DS shall go (RFC 8078 section 4)."""

    _digest_length_by_type: dict[int, int] = {0: 1}  # noqa: RUF012 - as dnspython has it


class DLV(DS):
    """Likewise."""


class TLSA(dns.rdtypes.tlsabase.TLSABase):
    """Likewise."""

    _cert_length_by_mtype: dict[int, int] = {}  # noqa: RUF012 - as above it


class SMIMEA(TLSA):
    """Likewise."""


class SSHFP(dns.rdtypes.ANY.SSHFP.SSHFP):
    """Likewise."""

    _fingerprint_length_by_type: dict[int, int] = {}  # noqa: RUF012 - as above it


for _lenient in (DS, CDS, DLV, TLSA, SMIMEA, SSHFP):
    # dnspython has no way to register another class for a type that it knows.
    _of = dns.rdatatype.RdataType.make(NUMBERS[_lenient.__name__])
    dns.rdata._rdata_classes[dns.rdataclass.IN, _of] = _lenient  # noqa: SLF001 - see above


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn whatever dnspython raises at bad text or bytes into a ValueError with one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError | RecursionError):
            raise
        text = " ".join(str(error).split()).removesuffix(".") or type(error).__name__
        raise ValueError(text) from error


@lru_cache(64)
def _origin(text: str) -> dns.name.Name:
    return dns.name.from_text(text)


def text_to_wire(number: int, text: str, origin: str) -> bytes:
    r"""Return the bytes of a record's data that a zone file has as text, names whole.

    Names are in lower case in those types where signing wants them so (RFC 4034 section 6.2), and in newer
    ones as they stand.

    Args:
        number: the type's.
        text: as in a zone file, ``\# 2 abcd`` for any type (RFC 3597 section 5).
        origin: the absolute name that relative names belong to.

    Raises:
        ValueError: the text is none of the type.

    """
    with _refusals():
        tokens = dns.tokenizer.Tokenizer(text.strip(), idna_codec=dns.name.IDNA_2008_UTS_46)
        rdata = dns.rdata.from_text(
            dns.rdataclass.IN,
            dns.rdatatype.RdataType.make(number),
            tokens,
            origin=_origin(origin),
            relativize=False,
        )
        if not tokens.get().is_eof():
            raise ValueError("there is a second line")
        wire = rdata.to_digestable()
        if len(wire) > MAX_RDATA:
            raise ValueError(f"over {MAX_RDATA} bytes")
        # What cannot be read back would be of no use to anybody.
        dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(number), wire, 0, len(wire))
        return wire


def wire_to_text(number: int, wire: bytes) -> str:
    r"""Return a record's data as a zone file has them: the type's own text, or ``\# 2 abcd``.

    Raises:
        ValueError: the bytes are none of the type.

    """
    with _refusals():
        rdata = dns.rdata.from_wire(
            dns.rdataclass.IN, dns.rdatatype.RdataType.make(number), wire, 0, len(wire)
        )
        return rdata.to_text(chunksize=0) if number in _CHUNKED else rdata.to_text()


_CHUNKED = frozenset(NUMBERS[kind] for kind in ("TLSA", "SMIMEA", "DS", "CDS", "SSHFP", "ZONEMD"))
"""Types with hexadecimal data, which are easier to compare in one piece."""
