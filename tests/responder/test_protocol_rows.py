"""Messages as bytes: a row for each clause, a query and the whole answer to it, or none."""

from typing import NamedTuple

import pytest

from geodns.responder.answer_policy import DEFAULT, Policy
from geodns.responder.respond import Client
from tests.sample_zones import SERIAL, TCP, UDP, Worker, zone

ZONE = zone(
    """
    soa: {refresh: 1, retry: 2, expire: 3, minimum: 30}
    ns: {n: 192.0.2.53}
    records:
      a: {ttl: 60, A: 192.0.2.1}
      t: {ttl: 60, TXT: [BIG]}
    """.replace("BIG", ", ".join(f"{number}{'x' * 199}" for number in range(8))),
    name="z.test",
)

ID = b"\xab\xcd"
A, SOA, TXT, OPT, AXFR, ANY = b"\0\1", b"\0\6", b"\0\x10", b"\0\x29", b"\0\xfc", b"\0\xff"
IN, CH = b"\0\1", b"\0\3"
ORIGIN = b"\1z\4test\0"
NAME = b"\1a" + ORIGIN
NOBODY = b"\1b" + ORIGIN
LONG = b"\1t" + ORIGIN
ADDRESS = b"\xc0\x0c" + A + IN + b"\0\0\0\x3c\0\4\xc0\0\2\1"
APEX = b"\xc0\x0e"
"""Where the zone's name stands in a message that asks for a name right below it."""
NEGATIVE = b"".join(
    (APEX, SOA, IN, b"\0\0\0\x1e", b"\0\x31", b"\1n", ORIGIN, b"\x0ahostmaster", ORIGIN,
     *(number.to_bytes(4, "big") for number in (SERIAL, 1, 2, 3, 30)))
)  # fmt: skip
"""The SOA, for half a minute."""


def header(high: int = 0, low: int = 0, counts: tuple[int, int, int, int] = (1, 0, 0, 0)) -> bytes:
    """A header (RFC 1035 section 4.1.1): the byte of QR, opcode, AA, TC, RD; that of RA, Z, AD, CD, RCODE."""
    return ID + bytes((high, low)) + b"".join(count.to_bytes(2, "big") for count in counts)


def ask(name: bytes = NAME, rtype: bytes = A, rclass: bytes = IN, tail: bytes = b"", **fields: int) -> bytes:
    """A query with one question, and an additional record where there is a tail."""
    counts = (1, 0, 0, int(bool(tail)))
    return header(fields.get("high", 0), fields.get("low", 0), counts) + name + rtype + rclass + tail


def opt(
    options: bytes = b"",
    *,
    size: int = 1232,
    rcode: int = 0,
    version: int = 0,
    flags: int = 0,
    owner: bytes = b"\0",
) -> bytes:
    """An OPT record (RFC 6891 section 6.1.2)."""
    fixed = OPT + size.to_bytes(2, "big") + bytes((rcode, version)) + flags.to_bytes(2, "big")
    return owner + fixed + len(options).to_bytes(2, "big") + options


def option(code: int, data: bytes = b"") -> bytes:
    """An option of it."""
    return code.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


def answered(name: bytes = NAME, high: int = 0x84, tail: bytes = b"") -> bytes:
    """The address, as it is asked for."""
    return header(high, 0, (1, 1, 0, int(bool(tail)))) + name + A + IN + ADDRESS + tail


def empty(
    question: bytes, rcode: int, *, high: int = 0x80, tail: bytes = b"", authority: bytes = b""
) -> bytes:
    """An answer without an answer."""
    return header(high, rcode, (1, 0, int(bool(authority)), int(bool(tail)))) + question + authority + tail


def bare(rcode: int, high: int = 0x80) -> bytes:
    """The header alone."""
    return header(high, rcode, (0, 0, 0, 0))


FORMERR, NXDOMAIN, NOTIMP, REFUSED = 1, 3, 4, 5
OURS = opt()
RECORD = b"\0" + b"\0\x63" + IN + b"\0\0\0\0" + b"\0\2hi"
"""A record of no use in a query."""
DEEP = b"".join(b"\x3f" + bytes((letter,)) * 63 for letter in b"pqr")


def sized(length: int) -> bytes:
    """A name in the zone of so many bytes."""
    rest = length - len(DEEP) - len(ORIGIN) - 1
    return DEEP + bytes((rest,)) + b"s" * rest + ORIGIN


class Row(NamedTuple):
    """A query and its answer.

    Attributes:
        query: the packet.
        answer: likewise; None when there is none.
        client: who asks.
        policy: what is told besides.
        now: by the clock.

    """

    query: bytes
    answer: bytes | None
    client: Client = UDP
    policy: Policy = DEFAULT
    now: float = 0.0


CLIENT_COOKIE = bytes.fromhex("2464c4abcf10c957")
SERVER_COOKIE = bytes.fromhex("010000005cf79f111f8130c3eee29480")
MADE = 1559731985.0
"""When that one was made, for this client and by this secret (RFC 9018 appendix A.1)."""
CLIENT: Client = ("198.51.100.100", 40000, "udp")
COOKIES = Policy(cookie_secrets=(bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf"),))
NAMED = Policy(nsid=b"ns1", chaos={b"\2id\6server\0": b"ns1"})

ROWS = {
    # --- the header -----------------------------------------------------------------------------------------
    "RFC 1035 4.1.1: the ID comes back, and AA is set": Row(ask(), answered()),
    "RFC 1035 4.1.1: RD comes back": Row(ask(high=0x01), answered(high=0x85)),
    "RFC 1035 4.1.1: AA of a query means nothing": Row(ask(high=0x04), answered()),
    "RFC 1035 4.1.1: TC of a query means nothing": Row(ask(high=0x02), answered()),
    "RFC 1035 4.1.1: RA is for answers, and not for ours": Row(ask(low=0x80), answered()),
    "RFC 1035 4.1.1: Z comes back clear": Row(ask(low=0x40), answered()),
    "RFC 4035 3.2.3: AD is for answers that were validated": Row(ask(low=0x20), answered()),
    "RFC 4035 3.1.6: CD is cleared by a server that is authoritative": Row(ask(low=0x10), answered()),
    "RFC 1035 4.1.1: RCODE of a query means nothing": Row(ask(low=0x03), answered()),
    "RFC 1035 4.1.1: a response is not answered": Row(ask(high=0x80), None),
    "RFC 1035 4.1.1: a response of any opcode is not answered": Row(ask(high=0xF8), None),
    "RFC 1035 4.1.1: no header, no answer": Row(header()[:11], None),
    "RFC 1035 4.1.1: nothing at all": Row(b"", None),
    "RFC 1035 4.1.1: opcode 1 is not implemented": Row(ask(high=0x08), bare(NOTIMP, 0x88)),
    "RFC 1035 4.1.1: opcode 2 is not implemented": Row(ask(high=0x10), bare(NOTIMP, 0x90)),
    "RFC 1996 3.8: NOTIFY is not implemented": Row(ask(ORIGIN, SOA, high=0x24), bare(NOTIMP, 0xA0)),
    "RFC 2136 2.2: UPDATE is not implemented": Row(ask(ORIGIN, SOA, high=0x28), bare(NOTIMP, 0xA8)),
    "RFC 8490 5.4: DSO is not implemented": Row(header(0x30, 0, (0, 0, 0, 0)), bare(NOTIMP, 0xB0)),
    "RFC 8906 3.1.4: opcode 15 is not implemented": Row(ask(high=0x79), bare(NOTIMP, 0xF9)),
    "RFC 8906 3.1.4: nor is it with all bits set": Row(header(0x7F, 0xF0, (0, 0, 0, 0)), bare(NOTIMP, 0xF9)),
    # --- counts ---------------------------------------------------------------------------------------------
    "RFC 9619 4: no question": Row(header(0, 0, (0, 0, 0, 0)), bare(FORMERR)),
    "RFC 9619 4: two questions": Row(header(0, 0, (2, 0, 0, 0)) + (NAME + A + IN) * 2, bare(FORMERR)),
    "RFC 9619 4: 65,535 questions": Row(header(1, 0, (65535, 0, 0, 0)) + NAME + A + IN, bare(FORMERR, 0x81)),
    "RFC 1035 4.1.1: a question is missing": Row(header(), bare(FORMERR)),
    "RFC 1035 4.1.1: a record is missing": Row(header(0, 0, (1, 0, 0, 1)) + NAME + A + IN, bare(FORMERR)),
    "RFC 1035 4.1.1: 65,535 records are missing": Row(
        header(0, 0, (1, 65535, 65535, 65535)) + NAME + A + IN, bare(FORMERR)
    ),
    "RFC 1035 4.1: bytes are left over": Row(ask() + b"\0", bare(FORMERR)),
    "RFC 1035 4.1: a record is left over": Row(ask() + RECORD, bare(FORMERR)),
    "RFC 1035 4.1.3: a record's data is cut off": Row(ask(tail=RECORD[:-1]), bare(FORMERR)),
    "RFC 1035 4.1: an answer in a query means nothing": Row(
        header(0, 0, (1, 1, 0, 0)) + NAME + A + IN + RECORD, answered()
    ),
    "RFC 1035 4.1: an authority in a query means nothing": Row(
        header(0, 0, (1, 0, 1, 0)) + NAME + A + IN + RECORD, answered()
    ),
    "RFC 1035 4.1: another additional record means nothing": Row(ask(tail=RECORD), answered()),
    "RFC 1035 4.1.4: its owner may be compressed": Row(ask(tail=b"\xc0\x0c" + RECORD[1:]), answered()),
    # --- the question ---------------------------------------------------------------------------------------
    "RFC 4343 3: letters come back as they were": Row(ask(b"\1A\1z\4TesT\0"), answered(b"\1A\1z\4TesT\0")),
    "RFC 1035 4.1.4: a pointer in the question": Row(ask(b"\xc0\x0c"), bare(FORMERR)),
    "RFC 1035 4.1.4: a pointer behind a label": Row(ask(b"\1a\xc0\x0e"), bare(FORMERR)),
    "RFC 1035 3.1: a label of 64 bytes, or of a kind that there is not": Row(
        ask(b"\x40" + b"a" * 64 + ORIGIN), bare(FORMERR)
    ),
    "RFC 6891 5: a label of the extended kind": Row(ask(b"\x41\x01" + ORIGIN), bare(FORMERR)),
    "RFC 1035 3.1: a label of 63 bytes": Row(
        ask(b"\x3f" + b"a" * 63 + ORIGIN),
        empty(
            b"\x3f" + b"a" * 63 + ORIGIN + A + IN,
            NXDOMAIN,
            high=0x84,
            authority=b"\xc0\x4c" + NEGATIVE[2:],
        ),
    ),
    "RFC 1035 2.3.4: a name of 256 bytes": Row(ask(sized(256)), bare(FORMERR)),
    "RFC 1035 2.3.4: a name of 255 bytes": Row(
        ask(sized(255)),
        empty(
            sized(255) + A + IN,
            NXDOMAIN,
            high=0x84,
            authority=(0xC000 + 12 + 255 - len(ORIGIN)).to_bytes(2, "big") + NEGATIVE[2:],
        ),
    ),
    "RFC 1035 4.1.2: a name without an end": Row(header() + b"\1a\1z\4test", bare(FORMERR)),
    "RFC 1035 4.1.2: a name without a type": Row(header() + NAME, bare(FORMERR)),
    "RFC 1035 4.1.2: a type without a class": Row(header() + NAME + A + b"\0", bare(FORMERR)),
    "RFC 2181 11: a label may hold any byte": Row(
        ask(b"\4\0.\xff " + ORIGIN),
        empty(b"\4\0.\xff " + ORIGIN + A + IN, NXDOMAIN, high=0x84, authority=b"\xc0\x11" + NEGATIVE[2:]),
    ),
    "RFC 2308 5: the negative TTL is the SOA's minimum": Row(
        ask(NOBODY), empty(NOBODY + A + IN, NXDOMAIN, high=0x84, authority=NEGATIVE)
    ),
    "RFC 2308 2.2: no data": Row(
        ask(rtype=b"\0\x1c"), empty(NAME + b"\0\x1c" + IN, 0, high=0x84, authority=NEGATIVE)
    ),
    "RFC 3597 2: an unknown type is a type": Row(
        ask(rtype=b"\xff\x00"), empty(NAME + b"\xff\x00" + IN, 0, high=0x84, authority=NEGATIVE)
    ),
    "RFC 8906 3.1.2: a type that is none, either": Row(
        ask(rtype=b"\0\0"), empty(NAME + b"\0\0" + IN, 0, high=0x84, authority=NEGATIVE)
    ),
    "RFC 6891 6.1.1: OPT is no type to ask for, but it is answered": Row(
        ask(rtype=OPT), empty(NAME + OPT + IN, 0, high=0x84, authority=NEGATIVE)
    ),
    "RFC 8482 4.2: ANY": Row(
        ask(rtype=ANY),
        header(0x84, 0, (1, 1, 0, 0)) + NAME + ANY + IN + b"\xc0\x0c\0\x0d" + IN + b"\0\0\x0e\x10"
        b"\0\x09\x07RFC8482\0",
    ),
    "RFC 1034 3.7.1: class ANY is none of ours": Row(ask(rclass=ANY), empty(NAME + A + ANY, REFUSED)),
    "RFC 1035 3.2.4: class HS is none of ours": Row(ask(rclass=b"\0\4"), empty(NAME + A + b"\0\4", REFUSED)),
    "RFC 1035 4.1.1: a name of no zone of ours": Row(
        ask(b"\1q\0", high=1), empty(b"\1q\0" + A + IN, REFUSED, high=0x81)
    ),
    "RFC 8906 3.1.1: the root": Row(ask(b"\0"), empty(b"\0" + A + IN, REFUSED)),
    "RFC 5936 2.2.1: no transfers": Row(ask(ORIGIN, AXFR), empty(ORIGIN + AXFR + IN, REFUSED), TCP),
    "RFC 5936 4.2: nor over UDP": Row(ask(ORIGIN, AXFR), empty(ORIGIN + AXFR + IN, REFUSED)),
    "RFC 1995 2: no increments either": Row(
        ask(ORIGIN, b"\0\xfb"), empty(ORIGIN + b"\0\xfb" + IN, REFUSED), TCP
    ),
    # --- EDNS -----------------------------------------------------------------------------------------------
    "RFC 6891 6.1.1: no OPT for who has sent none": Row(ask(), answered()),
    "RFC 6891 6.1.1: OPT for who has sent one": Row(ask(tail=opt()), answered(tail=OURS)),
    "RFC 6891 6.1.1: OPT behind another record": Row(
        header(0, 0, (1, 0, 0, 2)) + NAME + A + IN + RECORD + opt(), answered(tail=OURS)
    ),
    "RFC 6891 6.1.1: OPT before another record": Row(
        header(0, 0, (1, 0, 0, 2)) + NAME + A + IN + opt() + RECORD, answered(tail=OURS)
    ),
    "RFC 6891 6.1.1: two OPT": Row(header(0, 0, (1, 0, 0, 2)) + NAME + A + IN + opt() * 2, bare(FORMERR)),
    "RFC 6891 6.1.1: OPT among the answers": Row(
        header(0, 0, (1, 1, 0, 0)) + NAME + A + IN + opt(), bare(FORMERR)
    ),
    "RFC 6891 6.1.1: OPT in the authority section": Row(
        header(0, 0, (1, 0, 1, 0)) + NAME + A + IN + opt(), bare(FORMERR)
    ),
    "RFC 6891 6.1.2: OPT of another name than the root": Row(ask(tail=opt(owner=NAME)), bare(FORMERR)),
    "RFC 6891 6.1.2: an unknown option is ignored": Row(
        ask(tail=opt(option(65001, b"12345"))), answered(tail=OURS)
    ),
    "RFC 6891 6.1.2: two of it, one empty": Row(
        ask(tail=opt(option(100) + option(100, b"1"))), answered(tail=OURS)
    ),
    "RFC 6891 6.1.2: an option longer than the record": Row(
        ask(tail=opt(option(65001, b"12345")[:-1])), bare(FORMERR)
    ),
    "RFC 6891 6.1.2: half an option": Row(ask(tail=opt(b"\xfd")), bare(FORMERR)),
    "RFC 6891 6.1.3: version 1": Row(ask(tail=opt(version=1)), empty(NAME + A + IN, 0, tail=opt(rcode=1))),
    "RFC 6891 6.1.3: version 255, with an option and DO": Row(
        ask(tail=opt(option(100), version=255, flags=0x8000)),
        empty(NAME + A + IN, 0, tail=opt(rcode=1, flags=0x8000)),
    ),
    "RFC 6891 6.1.3: the RCODE of a query's OPT means nothing": Row(
        ask(tail=opt(rcode=255)), answered(tail=OURS)
    ),
    "RFC 6891 6.1.4: unknown flags come back clear": Row(ask(tail=opt(flags=0x7FFF)), answered(tail=OURS)),
    "RFC 3225 3: DO comes back": Row(ask(tail=opt(flags=0x8000)), answered(tail=opt(flags=0x8000))),
    "RFC 6891 6.2.3: a size under 512 is 512": Row(ask(tail=opt(size=0)), answered(tail=OURS)),
    "RFC 6891 6.2.3: our size is our own": Row(ask(tail=opt(size=65535)), answered(tail=OURS)),
    "RFC 6891 7: an error has its OPT too, and RFC 8914 4.21: it says that the name is not ours": Row(
        ask(b"\1q\0", tail=opt()),
        empty(b"\1q\0" + A + IN, REFUSED, tail=opt(option(15, b"\0\x14"))),
    ),
    "RFC 6891 7: OPT over TCP": Row(ask(tail=opt()), answered(tail=OURS), TCP),
    "RFC 2181 9: what does not fit is cut off": Row(ask(LONG, TXT), empty(LONG + TXT + IN, 0, high=0x86)),
    "RFC 6891 6.2.5: nor does it fit our own size": Row(
        ask(LONG, TXT, tail=opt(size=4096)), empty(LONG + TXT + IN, 0, high=0x86, tail=OURS)
    ),
    "RFC 7830 3: padding is ignored": Row(ask(tail=opt(option(12, bytes(64)))), answered(tail=OURS)),
    "RFC 7828 3.2.1: keepalive over UDP is ignored": Row(ask(tail=opt(option(11))), answered(tail=OURS)),
    # --- options ----------------------------------------------------------------------------------------
    "RFC 9018 A.1: a client without a server cookie": Row(
        ask(tail=opt(option(10, CLIENT_COOKIE))),
        answered(tail=opt(option(10, CLIENT_COOKIE + SERVER_COOKIE))),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 7873 5.2.5: a good cookie comes back": Row(
        ask(tail=opt(option(10, CLIENT_COOKIE + SERVER_COOKIE))),
        answered(tail=opt(option(10, CLIENT_COOKIE + SERVER_COOKIE))),
        CLIENT,
        COOKIES,
        MADE + 1799,
    ),
    "RFC 7873 5.2.4: a bad one is answered with a good one": Row(
        ask(tail=opt(option(10, CLIENT_COOKIE + bytes(8)))),
        answered(tail=opt(option(10, CLIENT_COOKIE + SERVER_COOKIE))),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 7873 5.2.4: so is one of 32 bytes": Row(
        ask(tail=opt(option(10, CLIENT_COOKIE + bytes(32)))),
        answered(tail=opt(option(10, CLIENT_COOKIE + SERVER_COOKIE))),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 7873 5.2: the first of two counts": Row(
        ask(tail=opt(option(10, CLIENT_COOKIE) + option(10, b"x" * 8))),
        answered(tail=opt(option(10, CLIENT_COOKIE + SERVER_COOKIE))),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 7873 5.4: a cookie and no question": Row(
        header(counts=(0, 0, 0, 1)) + opt(option(10, CLIENT_COOKIE)),
        header(0x80, 0, (0, 0, 0, 1)) + opt(option(10, CLIENT_COOKIE + SERVER_COOKIE)),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 7873 5.4: a bad cookie and no question gets BADCOOKIE": Row(
        header(counts=(0, 0, 0, 1)) + opt(option(10, CLIENT_COOKIE + bytes(16))),
        header(0x80, 23 & 15, (0, 0, 0, 1)) + opt(option(10, CLIENT_COOKIE + SERVER_COOKIE), rcode=23 >> 4),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 7873 5.1: OPT without a cookie, and no question": Row(
        header(counts=(0, 0, 0, 1)) + opt(), bare(FORMERR), CLIENT, COOKIES, MADE
    ),
    **{
        f"RFC 7873 5.2.2: a cookie of {size} bytes": Row(
            ask(tail=opt(option(10, bytes(size)))),
            empty(NAME + A + IN, FORMERR, tail=OURS),
            CLIENT,
            COOKIES,
            MADE,
        )
        for size in (0, 7, 9, 15, 41, 100)
    },
    "RFC 5001 2.2: who we are": Row(
        ask(tail=opt(option(3))), answered(tail=opt(option(3, b"ns1"))), policy=NAMED
    ),
    "RFC 5001 2.1: whatever is in the question for it": Row(
        ask(tail=opt(option(3, b"who?"))), answered(tail=opt(option(3, b"ns1"))), policy=NAMED
    ),
    "RFC 5001 2.2: nobody is told": Row(ask(tail=opt(option(3))), answered(tail=OURS)),
    "RFC 7871 7.2.1: a subnet comes back with scope 0": Row(
        ask(tail=opt(option(8, b"\0\1\x18\0\xc0\0\2"))),
        answered(tail=opt(option(8, b"\0\1\x18\0\xc0\0\2"))),
    ),
    "RFC 7871 6: so does an odd one": Row(
        ask(tail=opt(option(8, b"\0\1\x19\0\xc0\0\2\x80"))),
        answered(tail=opt(option(8, b"\0\1\x19\0\xc0\0\2\x80"))),
    ),
    "RFC 7871 6: and one of IPv6": Row(
        ask(tail=opt(option(8, b"\0\2\x20\0\x20\1\x0d\xb8"))),
        answered(tail=opt(option(8, b"\0\2\x20\0\x20\1\x0d\xb8"))),
    ),
    "RFC 7871 6: nobody's subnet, of no family": Row(
        ask(tail=opt(option(8, bytes(4)))), answered(tail=opt(option(8, bytes(4))))
    ),
    "RFC 7871 7.1.2: nobody's subnet": Row(
        ask(tail=opt(option(8, b"\0\1\0\0"))), answered(tail=opt(option(8, b"\0\1\0\0")))
    ),
    **{
        f"RFC 7871 {what}": Row(ask(tail=opt(option(8, data))), empty(NAME + A + IN, FORMERR, tail=OURS))
        for what, data in {
            "6: nothing in it": b"",
            "6: half of it": b"\0\1\x18",
            "7.1.2: a scope in a query": b"\0\1\x18\x18\xc0\0\2",
            "6: an address that is too short": b"\0\1\x18\0\xc0\0",
            "6: an address that is too long": b"\0\1\x18\0\xc0\0\2\0",
            "6: bits behind the prefix": b"\0\1\x17\0\xc0\0\3",
            "6: 33 bits of IPv4": b"\0\1\x21\0\xc0\0\2\1\x80",
            "6: 129 bits of IPv6": b"\0\2\x81\0" + bytes(16) + b"\x80",
            "7.1.2: an unknown family": b"\0\3\x08\0\x0a",
        }.items()
    },
    "RFC 7828 3.3.2: keepalive over TCP": Row(
        ask(tail=opt(option(11))), answered(tail=opt(option(11, b"\0\x64"))), TCP
    ),
    "RFC 6891 6.1.3: no option for who knows another version": Row(
        ask(tail=opt(option(3) + option(8, b"\0\1\0\0") + option(10, CLIENT_COOKIE), version=1)),
        empty(NAME + A + IN, 0, tail=opt(rcode=1)),
        CLIENT,
        COOKIES,
        MADE,
    ),
    "RFC 6891 6.1.2: an option cut off is no question for a cookie": Row(
        ask(tail=opt(option(10, CLIENT_COOKIE)[:-1])), bare(FORMERR), CLIENT, COOKIES, MADE
    ),
    "RFC 4892 2: id.server": Row(
        ask(b"\2ID\6server\0", TXT, CH),
        header(0x84, 0, (1, 1, 0, 0))
        + b"\2ID\6server\0"
        + TXT
        + CH
        + b"\xc0\x0c"
        + TXT
        + CH
        + b"\0\0\0\0\0\4\3ns1",
        policy=NAMED,
    ),
    "RFC 4892 2: nobody is told": Row(
        ask(b"\2id\6server\0", TXT, CH), empty(b"\2id\6server\0" + TXT + CH, REFUSED)
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize("warm", [False, True], ids=["first", "again"])
def test_row(row: Row, warm: bool) -> None:
    """Every row by the full lookup, and by the caches once its question and packet are known."""
    worker = Worker(ZONE, policy=row.policy).at(row.now)
    for packet in (ask(), ask(tail=opt()), row.query, row.query, row.query) if warm else ():
        worker.raw(packet, row.client)
    answer = worker.raw(row.query, row.client)
    assert (answer and answer.hex(" ")) == (row.answer and row.answer.hex(" "))
