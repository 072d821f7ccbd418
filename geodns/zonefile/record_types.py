"""Record types of the zone file: fields in octoDNS's words, and an example of each."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from geodns.config.value_types import ADDRESS_SCHEMA
from geodns.wire.codes import NUMBERS, is_data, name_of, number_of
from geodns.zonefile.record_fields import (
    NAME,
    TEXT,
    Field,
    address_of,
    caa_value,
    hex_data,
    in_quotes,
    numeric,
    single,
    strings,
    tag,
    target,
    word,
    words,
)


@dataclass(frozen=True)
class RecordType:
    """A record type that the zone file knows.

    Attributes:
        says: a sentence for operators and their editors.
        pooled: whether a pool may stand for its values.
        as_text: its fields, joined, are zone-file text that becomes bytes; else `Record` keeps them.

    """

    fields: tuple[Field, ...]
    example: str
    says: str
    pooled: bool = False
    as_text: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)


def _word(name: str, default: str | None = None) -> Field:
    return Field(name, word, {"type": ["string", "number"]}, default)


def _quoted(name: str) -> Field:
    return Field(name, in_quotes, TEXT)


def _text(fields: tuple[Field, ...], example: str, says: str) -> RecordType:
    return RecordType(fields, example, says, as_text=True)


_SERVICE = (
    numeric("svcpriority", 65535),
    _word("targetname"),
    Field("svcparams", words, {"type": ["string", "object"]}, ""),
)
_DIGEST = tuple(map(_word, ("key_tag", "algorithm", "digest_type", "digest")))

RECORD_TYPES: dict[str, RecordType] = {
    "A": RecordType(
        single(address_of(4), ADDRESS_SCHEMA), "192.0.2.1", "IPv4 addresses, or a pool.", pooled=True
    ),
    "AAAA": RecordType(
        single(address_of(6), ADDRESS_SCHEMA), '"2001:db8::1"', "IPv6 addresses, or a pool.", pooled=True
    ),
    "MX": RecordType(
        (numeric("preference", 65535), Field("exchange", target, NAME)),
        "10 mail.example.net.",
        "Where mail for the name goes, or pools at their preferences.",
        pooled=True,
    ),
    "NS": RecordType(single(target, NAME), "ns1.example.net.", "Delegates the name to other name servers."),
    "TXT": RecordType(
        single(strings, TEXT), "v=spf1 a ~all", "Text; over 255 bytes it is split into strings."
    ),
    "CNAME": RecordType(single(target, NAME), "mail.example.net.", "The name that this one is an alias of."),
    "DNAME": RecordType(
        single(target, NAME), "example.net.", "The name below which all names below this one are found."
    ),
    "SRV": RecordType(
        (
            numeric("priority", 65535),
            numeric("weight", 65535),
            numeric("port", 65535),
            Field("target", target, NAME),
        ),
        "0 0 587 mail.example.net.",
        "Where a service is, or the hosts of pools by their weights.",
        pooled=True,
    ),
    "CAA": RecordType(
        (numeric("flags", 255, "0"), Field("tag", tag, NAME), Field("value", caa_value, TEXT)),
        "0 issue ca.example.net",
        "Who may issue certificates for the name.",
    ),
    "PTR": RecordType(single(target, NAME), "mail.example.net.", "The name that an address has."),
    "TLSA": RecordType(
        (
            numeric("certificate_usage", 255),
            numeric("selector", 255),
            numeric("matching_type", 255),
            Field("certificate_association_data", hex_data, NAME),
        ),
        "3 1 1 0123…ef",
        "The certificate that a service shows (RFC 6698).",
    ),
    "SPF": RecordType(single(strings, TEXT), "v=spf1 a ~all", "What TXT has taken over (RFC 7208)."),
    "DS": _text(_DIGEST, "12345 13 2 0123…ef", "The digest of a delegated zone's key."),
    "CDS": _text(_DIGEST, "12345 13 2 0123…ef", "The DS that the parent shall have (RFC 7344)."),
    "SSHFP": _text(
        tuple(map(_word, ("algorithm", "fingerprint_type", "fingerprint"))),
        "4 2 0123…ef",
        "The fingerprint of a host's SSH key (RFC 4255).",
    ),
    "NAPTR": _text(
        (
            numeric("order", 65535),
            numeric("preference", 65535),
            *map(_quoted, ("flags", "service", "regexp")),
            _word("replacement"),
        ),
        '10 10 "s" "SIP+D2U" "" _sip._udp.example.net.',
        "How to rewrite a name (RFC 3403).",
    ),
    "URI": _text(
        (numeric("priority", 65535), numeric("weight", 65535), _quoted("target")),
        '10 1 "https://example.net/"',
        "Where a service is, as a URI (RFC 7553).",
    ),
    "SVCB": _text(_SERVICE, "1 . alpn=dot port=853", "How to reach a service (RFC 9460)."),
    "HTTPS": _text(_SERVICE, "1 . alpn=h2,h3", "How to reach a web site (RFC 9460)."),
    "LOC": _text(
        (
            *map(_word, ("lat_degrees", "lat_minutes", "lat_seconds", "lat_direction")),
            *map(_word, ("long_degrees", "long_minutes", "long_seconds", "long_direction")),
            *(
                _word(name, default)
                for name, default in (
                    ("altitude", "0"),
                    ("size", "1"),
                    ("precision_horz", "10000"),
                    ("precision_vert", "10"),
                )
            ),
        ),
        "52 22 23.000 N 4 53 32.000 E -2.00m",
        "Where it is on earth (RFC 1876).",
    ),
    "OPENPGPKEY": _text(single(words, TEXT), "mDMEYj…", "An OpenPGP key in base64 (RFC 7929)."),
}
"""Types whose values may be written as fields; all others are zone-file text alone."""

_EXAMPLES = {
    "AFSDB": "1 afs.example.net.",
    "APL": "1:192.0.2.0/24 !1:192.0.2.64/28",
    "CDNSKEY": "257 3 13 mdsswUyr3DPW…",
    "CERT": "PGP 0 0 mDMEYj…",
    "CSYNC": "66 3 A NS AAAA",
    "DNSKEY": "257 3 13 mdsswUyr3DPW…",
    "EUI48": "00-00-5e-00-53-2a",
    "HINFO": '"RFC8482" ""',
    "LP": "10 l64.example.net.",
    "RP": "hostmaster.example.net. .",
    "SMIMEA": "3 1 1 0123…ef",
    "ZONEMD": "2018031500 1 1 0123…ef",
}
_ANY_DATA = r"\# 4 0a000001"

SIGNING = frozenset({"RRSIG", "NSEC", "NSEC3", "NSEC3PARAM"})
"""Types that signing makes; no file may have them."""

IN_THE_FILE = tuple(
    name for name, number in NUMBERS.items() if is_data(number) and name not in {"SOA", *SIGNING}
)
"""The names of all types that a file can have records of."""


@lru_cache(1024)
def kind_of(word: str) -> str | None:
    """Return the type that a word of a file names, A for ``TYPE1``; None when it names none."""
    number = number_of(word)
    if number is None or not is_data(number):
        return None
    name = name_of(number)
    return None if name in SIGNING or name == "SOA" else name


@lru_cache(1024)
def record_type(kind: str) -> RecordType:
    """Return the record type of a name that `kind_of` has given."""
    known = RECORD_TYPES.get(kind)
    if known is not None:
        return known
    example = _EXAMPLES.get(kind, _ANY_DATA)
    return _text(single(words, TEXT), example, f"{kind} records, as a zone file has them.")


@lru_cache(1)
def schemas() -> dict[str, RecordType]:
    """Return all types with a name, those with fields first."""
    return {**RECORD_TYPES, **{kind: record_type(kind) for kind in IN_THE_FILE}}


GENERIC_PATTERN = "^TYPE[1-9][0-9]{0,4}$"
"""Types without a name (RFC 3597 section 5)."""
