"""Types, classes and response codes: numbers and names (IANA's registers, and RFC 3597 for other types)."""

import re
from collections.abc import Mapping

_REGISTER = """
A:1 NS:2 MD:3 MF:4 CNAME:5 SOA:6 MB:7 MG:8 MR:9 NULL:10 WKS:11 PTR:12 HINFO:13 MINFO:14 MX:15 TXT:16
RP:17 AFSDB:18 X25:19 ISDN:20 RT:21 NSAP:22 NSAP-PTR:23 SIG:24 KEY:25 PX:26 GPOS:27 AAAA:28 LOC:29
NXT:30 EID:31 NIMLOC:32 SRV:33 ATMA:34 NAPTR:35 KX:36 CERT:37 A6:38 DNAME:39 SINK:40 OPT:41 APL:42
DS:43 SSHFP:44 IPSECKEY:45 RRSIG:46 NSEC:47 DNSKEY:48 DHCID:49 NSEC3:50 NSEC3PARAM:51 TLSA:52
SMIMEA:53 HIP:55 NINFO:56 RKEY:57 TALINK:58 CDS:59 CDNSKEY:60 OPENPGPKEY:61 CSYNC:62 ZONEMD:63
SVCB:64 HTTPS:65 DSYNC:66 HHIT:67 BRID:68 SPF:99 UINFO:100 UID:101 GID:102 UNSPEC:103 NID:104
L32:105 L64:106 LP:107 EUI48:108 EUI64:109 NXNAME:128 TKEY:249 TSIG:250 IXFR:251 AXFR:252 MAILB:253
MAILA:254 ANY:255 URI:256 CAA:257 AVC:258 DOA:259 AMTRELAY:260 RESINFO:261 WALLET:262 CLA:263
IPN:264 TA:32768 DLV:32769
"""


FAMILY_NAMES = {"A": "IPv4", "AAAA": "IPv6"}
"""Address families by the types of their records."""

NUMBERS: Mapping[str, int] = {
    name: int(number) for name, number in (entry.split(":") for entry in _REGISTER.split())
}

_NAMES = {number: name for name, number in NUMBERS.items()}
_GENERIC = re.compile("TYPE(0|[1-9][0-9]{0,4})")


def number_of(name: str) -> int | None:
    """Return the number of a type in capitals, also of ``TYPE65280`` (RFC 3597 section 5); None: no type."""
    known = NUMBERS.get(name)
    if known is None and (generic := _GENERIC.fullmatch(name)) is not None:
        known = int(generic[1])
    return None if known is None or known > 0xFFFF else known


def number(name: str) -> int:
    """Return the number of what is known to be a type, as a record's is.

    Raises:
        KeyError: it is none.

    """
    found = number_of(name)
    if found is None:
        raise KeyError(name)
    return found


def name_of(rtype: int) -> str:
    """Return a type's name, ``TYPE65280`` where it has none."""
    return _NAMES.get(rtype, f"TYPE{rtype}")


def is_data(rtype: int) -> bool:
    """Say whether a zone can have records of a type; others are for queries and messages alone (RFC 6895)."""
    return 0 < rtype < 0xFFFF and rtype != OPT and not 128 <= rtype <= 255


IN = 1
CH = 3
"""Class CHAOS: questions about the server itself."""
NS = 2
CNAME = 5
SOA = 6
HINFO = 13
TXT = 16
DNAME = 39
OPT = 41
DS = 43
TSIG = 250
IXFR = 251
AXFR = 252
ANY = 255

NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4
REFUSED = 5
YXDOMAIN = 6
NOTAUTH = 9
BADVERS = 16
BADCOOKIE = 23

_RCODES = {
    NOERROR: "NOERROR",
    FORMERR: "FORMERR",
    SERVFAIL: "SERVFAIL",
    NXDOMAIN: "NXDOMAIN",
    NOTIMP: "NOTIMP",
    REFUSED: "REFUSED",
    YXDOMAIN: "YXDOMAIN",
    7: "YXRRSET",
    8: "NXRRSET",
    NOTAUTH: "NOTAUTH",
    10: "NOTZONE",
    BADVERS: "BADVERS",
    BADCOOKIE: "BADCOOKIE",
}


def rcode_name(rcode: int) -> str:
    """Return the name of a response code with its upper bits, ``RCODE3841`` where it has none."""
    return _RCODES.get(rcode, f"RCODE{rcode}")
