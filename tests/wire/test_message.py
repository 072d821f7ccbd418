"""Queries read, answers put together within their limits."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.wire import codes
from geodns.wire.edns import Edns
from geodns.wire.message import Answer, BadQuery, Query, is_query, message, parse, refusal
from geodns.wire.records import record

NAME = b"\x03out\x07example\x03com\x00"
QUESTION = NAME + b"\x00\x01\x00\x01"
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


def packet(
    question: bytes = QUESTION,
    *,
    flags: bytes = b"\x01\x00",
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    rest: bytes = b"",
) -> bytes:
    return b"\xab\xcd" + flags + b"".join(count.to_bytes(2, "big") for count in counts) + question + rest


# --- queries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", False),
        (b"\0" * 11, False),
        (b"\0" * 12, True),
        (b"\0\0\x80" + b"\0" * 9, False),
        (b"\0\0\x7f" + b"\0" * 9, True),
    ],
    ids=["nothing", "short", "a header", "QR", "any flag but QR"],
)
def test_what_may_be_answered(data: bytes, expected: bool) -> None:
    assert is_query(data) is expected


def test_parses_a_query() -> None:
    question = b"\x03OuT\x07eXample\x03com\x00\x00\x1c\x00\x01"
    opt = b"\x00\x00\x29\x10\x00\x07\x00\x80\x00\x00\x05\x00\x63\x00\x01x"
    query = parse(packet(question, counts=(1, 0, 0, 1), rest=opt))
    assert query == Query(b"\xab\xcd", 1, question, NAME, 28, 1, Edns(4096, 0, do=True))


RR = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04"


def test_records_beside_the_opt_are_skipped() -> None:
    query = parse(packet(counts=(1, 1, 1, 2), rest=RR + RR + OPT + NAME + RR[2:]))
    assert query.edns == Edns(1232, 0, do=False)


def test_a_question_for_a_cookie_alone() -> None:
    """RFC 7873 section 5.4."""
    query = parse(packet(b"", counts=(0, 0, 0, 1), rest=OPT[:-1] + b"\x0c\x00\x0a\x00\x08cookies!"))
    assert (query.question, query.name) == (b"", b"")
    assert query.edns == Edns(1232, 0, do=False, cookie=b"cookies!")


BROKEN = {
    "no question": packet(b"", counts=(0, 0, 0, 0)),
    "no question, no cookie": packet(b"", counts=(0, 0, 0, 1), rest=OPT),
    "two questions": packet(QUESTION * 2, counts=(2, 0, 0, 0)),
    "question missing": packet(b""),
    "name cut off": packet(NAME[:-1]),
    "label cut off": packet(b"\x3fabc"),
    "type cut off": packet(NAME + b"\x00"),
    "class cut off": packet(NAME + b"\x00\x01\x00"),
    "pointer to the header": packet(b"\xc0\x00\x00\x01\x00\x01"),
    "pointer to itself": packet(b"\xc0\x0c\x00\x01\x00\x01"),
    "pointer behind a label": packet(b"\x03out\xc0\x0c\x00\x01\x00\x01"),
    "label type 01": packet(b"\x41" + b"a" * 65 + b"\x00\x00\x01\x00\x01"),
    "label type 10": packet(b"\x81" + b"a" * 129 + b"\x00\x00\x01\x00\x01"),
    "name of 256 bytes": packet(
        b"\x3f" + b"a" * 63 + (b"\x1f" + b"a" * 31) * 5 + b"\x1e" + b"a" * 30 + b"\x00" * 5
    ),
    "trailing bytes": packet(rest=b"\x00"),
    "record not counted": packet(rest=OPT),
    "record missing": packet(counts=(1, 0, 0, 1)),
    "record cut off": packet(counts=(1, 0, 0, 1), rest=OPT[:-1]),
    "record's data cut off": packet(counts=(1, 0, 0, 1), rest=RR[:-1]),
    "record's name cut off": packet(counts=(1, 0, 0, 1), rest=b"\xc0"),
    "record's name of label type 01": packet(counts=(1, 0, 0, 1), rest=b"\x40" + b"\0" * 90),
    "two OPT": packet(counts=(1, 0, 0, 2), rest=OPT * 2),
    "OPT with a name": packet(counts=(1, 0, 0, 1), rest=b"\x01a" + OPT),
    "OPT with a pointer": packet(counts=(1, 0, 0, 1), rest=b"\xc0\x0c" + OPT[1:]),
    "OPT as answer": packet(counts=(1, 1, 0, 0), rest=OPT),
    "OPT as authority": packet(counts=(1, 0, 1, 0), rest=OPT),
    "option cut off": packet(counts=(1, 0, 0, 1), rest=OPT[:-1] + b"\x05\x00\x0a\x00\x02x"),
    "option's head cut off": packet(counts=(1, 0, 0, 1), rest=OPT[:-1] + b"\x03\x00\x0a\x00"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_broken_queries_are_format_errors(data: bytes) -> None:
    with pytest.raises(BadQuery) as caught:
        parse(data)
    assert caught.value.rcode == codes.FORMERR


@pytest.mark.parametrize("opcode", range(1, 16))
def test_other_opcodes_are_not_implemented_whatever_follows(opcode: int) -> None:
    with pytest.raises(BadQuery) as caught:
        parse(packet(b"", flags=bytes((opcode << 3, 0))))
    assert caught.value.rcode == codes.NOTIMP


@given(st.binary(min_size=12, max_size=80))
def test_any_bytes_parse_or_are_a_bad_query(data: bytes) -> None:
    with suppress(BadQuery):
        query = parse(data)
        assert data[12 : 12 + len(query.question)] == query.question


def test_a_refusal_is_a_header_with_id_opcode_and_rd() -> None:
    assert refusal(packet(flags=b"\x7f\xff"), codes.NOTIMP) == b"\xab\xcd\xf9\x04" + bytes(8)


# --- sizes --------------------------------------------------------------------------------------------


SMALL, LARGE = record(1, 30, b"\x01\x02\x03\x04"), record(16, 30, b"x" * 300)
OTHER = record(17, 30, b"x" * 300)


@pytest.mark.parametrize(
    ("answer", "counts", "truncated"),
    [
        (Answer(SMALL, an=1), (1, 1, 0, 0), False),
        (Answer(SMALL, an=1, extra=(LARGE,)), (1, 1, 0, 1), False),
        (Answer(SMALL, an=1, extra=(LARGE, OTHER)), (1, 1, 0, 1), False),
        (Answer(SMALL, an=1, extra=(SMALL, LARGE, LARGE)), (1, 1, 0, 1), False),
        (Answer(LARGE + SMALL, ns=1, ar=1, extra=(LARGE,)), (1, 0, 1, 1), False),
        (Answer(LARGE * 2, an=2, extra=(SMALL,)), (1, 0, 0, 0), True),
        (Answer(LARGE * 2, ns=1, ar=1), (1, 0, 0, 0), True),
    ],
    ids=[
        "fits",
        "extra fits",
        "second extra left out",
        "an RRset goes whole",
        "glue before extras",
        "too large",
        "glue too large",
    ],
)
def test_what_is_left_out_when_it_does_not_fit(
    answer: Answer, counts: tuple[int, ...], truncated: bool
) -> None:
    found = message(parse(packet()), codes.NOERROR, answer, 512, b"", authoritative=True)
    assert tuple(int.from_bytes(found[place : place + 2], "big") for place in (4, 6, 8, 10)) == counts
    assert bool(found[2] & 0x02) is truncated
    assert len(found) <= 512
    assert not truncated or found[12:] == QUESTION


@pytest.mark.parametrize("slack", [0, -1])
def test_the_limit_is_exact(slack: int) -> None:
    query = parse(packet(counts=(1, 0, 0, 1), rest=OPT))
    whole = 12 + len(QUESTION) + len(SMALL) + len(OPT)
    found = message(query, codes.NOERROR, Answer(SMALL, an=1), whole + slack, OPT, authoritative=False)
    assert bool(found[2] & 0x02) is (slack < 0)


@pytest.mark.parametrize(("slack", "kept"), [(0, 1), (-1, 0)])
def test_the_limit_is_exact_for_extras(slack: int, kept: int) -> None:
    whole = 12 + len(QUESTION) + len(SMALL) + len(LARGE)
    answer = Answer(SMALL, an=1, extra=(LARGE,))
    found = message(parse(packet()), codes.NOERROR, answer, whole + slack, b"", authoritative=False)
    assert int.from_bytes(found[10:12], "big") == kept
