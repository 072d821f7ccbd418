"""Headers, queries and whole messages (RFC 1035 section 4.1).

Names are whole and uncompressed; owner names in ready answers are the pointer `QNAME` to the question, so
that the client's own letter case comes back.
"""

from collections.abc import Mapping, Sequence
from struct import Struct, pack
from typing import NamedTuple

from geodns.wire.codes import FORMERR, IN, NOERROR, NOTIMP, OPT, TSIG
from geodns.wire.edns import BrokenOptError, Edns, read_opt
from geodns.wire.names import MAX_LABEL, MAX_NAME, owner_end
from geodns.wire.tsig import unknown_key

HEADER = 12
TCP_SIZE = 65535
MAX_QUESTION = MAX_NAME + 4

_COUNTS = Struct(">HHHH")
_FIXED = Struct(">HHIH")
_QR, _AA, _TC, _RD = 0x80, 0x04, 0x02, 0x01


# --- queries -------------------------------------------------------------------------------------------


def question(name: bytes, qtype: int) -> bytes:
    """Return the question of class IN for a name on the wire."""
    return name + pack(">HH", qtype, IN)


class Query(NamedTuple):
    """A well-formed query.

    Attributes:
        rd: the RD bit, copied to the answer.
        question: name, type and class as the client wrote them; empty when it asks for a cookie alone.
        name: on the wire in lower case.
        edns: None without an OPT record.
        tsig: the TSIG record of the answer; empty when the query is not signed.

    """

    id: bytes
    rd: int
    question: bytes
    name: bytes
    type: int
    qclass: int
    edns: Edns | None
    tsig: bytes = b""


class BadQuery(Exception):  # noqa: N818 - it is an answer as much as an error
    """A message that is answered by its header alone, with FORMERR or NOTIMP."""

    def __init__(self, rcode: int) -> None:
        super().__init__(rcode)
        self.rcode = rcode


def is_query(packet: bytes) -> bool:
    """Say whether a packet may be answered: it has a whole header with QR clear."""
    return len(packet) >= HEADER and not packet[2] & _QR


def parse(packet: bytes) -> Query:
    """Read a query whose header `is_query` has accepted.

    Raises:
        BadQuery: with the RCODE to answer.

    """
    if packet[2] & 0x78:
        raise BadQuery(NOTIMP)
    counts = _COUNTS.unpack_from(packet, 4)
    if counts[0] > 1:
        raise BadQuery(FORMERR)
    position = end = _question_end(packet) if counts[0] else HEADER
    question = packet[HEADER:end]
    asked = None
    signed = b""
    records = sum(counts[1:])
    for place in range(records):
        start = position
        position, rtype = _skip_record(packet, position)
        # OPT counts in the additional section only (RFC 6891 section 6.1.1), and once.
        if rtype == OPT:
            if asked is not None or place < counts[1] + counts[2] or packet[start]:
                raise BadQuery(FORMERR)
            try:
                asked = read_opt(packet[start:position])
            except BrokenOptError:
                raise BadQuery(FORMERR) from None
        elif rtype == TSIG:  # the very last record (RFC 8945 section 5.1)
            reply = unknown_key(packet, start, position)
            if reply is None or not counts[3] or place != records - 1:
                raise BadQuery(FORMERR)
            signed = reply
    # No question is one for a cookie (RFC 7873 section 5.4), and else a mistake (RFC 9619 section 4).
    if position != len(packet) or not (question or (asked is not None and asked.cookie)):
        raise BadQuery(FORMERR)
    return Query(
        packet[:2],
        packet[2] & _RD,
        question,
        question[:-4].lower(),
        int.from_bytes(question[-4:-2], "big"),
        int.from_bytes(question[-2:], "big"),
        asked,
        signed,
    )


def name_asked(packet: bytes) -> bytes | None:
    """Return the name in the question, on the wire in lower case; None: there is no readable one."""
    if len(packet) < HEADER or not packet[4] | packet[5]:
        return None
    try:
        return packet[HEADER : _question_end(packet) - 4].lower()
    except BadQuery:
        return None


def _question_end(packet: bytes) -> int:
    position = HEADER
    while True:
        if position >= len(packet):
            raise BadQuery(FORMERR)
        length = packet[position]
        if length > MAX_LABEL:  # a pointer: in the first name of a message it can only be a trick
            raise BadQuery(FORMERR)
        position += 1 + length
        if not length:
            break
    if position - HEADER > MAX_NAME or position + 4 > len(packet):
        raise BadQuery(FORMERR)
    return position + 4


def _skip_record(packet: bytes, position: int) -> tuple[int, int]:
    """Return where a record ends, and its type."""
    limit = len(packet)
    while position < limit:
        length = packet[position]
        if length >= 0xC0:
            position += 2
            break
        if length > MAX_LABEL:
            raise BadQuery(FORMERR)
        position += 1 + length
        if not length:
            break
    if position + _FIXED.size > limit:
        raise BadQuery(FORMERR)
    rtype, _, _, length = _FIXED.unpack_from(packet, position)
    end = position + _FIXED.size + length
    if end > limit:
        raise BadQuery(FORMERR)
    return end, rtype


def refusal(packet: bytes, rcode: int, *, truncated: bool = False) -> bytes:
    """Return the header alone, for a message of which nothing else can be trusted."""
    return packet[:2] + bytes((_QR | packet[2] & 0x79 | (_TC if truncated else 0), rcode)) + bytes(8)


def question_alone(packet: bytes, end: int, rcode: int, opt: bytes, *, truncated: bool) -> bytes:
    """Return an answer without records, made directly from a query whose question ends at `end`.

    The upper bits of the RCODE stand in `opt`, which is empty for clients without EDNS. Truncated, it makes
    whoever is no forger come again over TCP (RFC 7766 section 5).
    """
    flags = _QR | packet[2] & _RD | (_TC if truncated else 0)
    counts = _COUNTS.pack(end > HEADER, 0, 0, bool(opt))
    return b"".join((packet[:2], bytes((flags, rcode & 0x0F)), counts, packet[HEADER:end], opt))


class Answer(NamedTuple):
    """The ready sections of an answer; owner names that equal the question's are `QNAME`.

    Attributes:
        body: answer, authority and needed additional records.
        an: how many records of `body` are answers; likewise `ns` (authority) and `ar` (additional).
        extra: additional records that may be left out.

    """

    body: bytes
    an: int = 0
    ns: int = 0
    ar: int = 0
    extra: tuple[bytes, ...] = ()


NOTHING = Answer(b"")


def _room(query: Query, limit: int, opt: bytes) -> int:
    return limit - HEADER - len(query.question) - len(opt) - len(query.tsig)


def fits(query: Query, answer: Answer, limit: int, opt: bytes) -> bool:
    """Say whether an answer is within the limit, but for what may be left out; arguments as for `message`."""
    return len(answer.body) <= _room(query, limit, opt)


def message(
    query: Query, rcode: int, answer: Answer, limit: int, opt: bytes, *, authoritative: bool
) -> bytes:
    """Return a whole answer within the limit: without extras that do not fit; else TC and the question alone.

    The upper bits of the RCODE stand in `opt`, which is empty for clients without EDNS.
    """
    flags = _QR | query.rd | (_AA if authoritative else 0)
    if not fits(query, answer, limit, opt):
        if not fits(query, NOTHING, limit, opt):  # the longest of keys for the longest of names
            query = query._replace(tsig=b"")
        return _assemble(query, flags | _TC, rcode, NOTHING, (), opt)
    room = _room(query, limit, opt) - len(answer.body)
    extra: list[bytes] = []
    for one in answer.extra:
        room -= len(one)
        if room < 0:
            # An RRset goes whole: a part of it would pass for all (RFC 2181 section 5).
            while extra and _rrset_of(extra[-1]) == _rrset_of(one):
                extra.pop()
            break
        extra.append(one)
    return _assemble(query, flags, rcode, answer, extra, opt)


def _rrset_of(record_bytes: bytes) -> bytes:
    """Return a record's owner and type."""
    return record_bytes[: owner_end(record_bytes, 0) + 2]


def _assemble(
    query: Query, flags: int, rcode: int, answer: Answer, extra: Sequence[bytes], opt: bytes
) -> bytes:
    additional = answer.ar + len(extra) + bool(opt) + bool(query.tsig)
    counts = _COUNTS.pack(bool(query.question), answer.an, answer.ns, additional)
    head = query.id + bytes((flags, rcode & 0x0F)) + counts + query.question
    return b"".join((head, answer.body, *extra, opt, query.tsig))


class AnswerSummary(NamedTuple):
    """An answer's first bytes, read: the RCODE with its upper bits, AA, TC, and the number of answers."""

    rcode: int
    authoritative: bool
    truncated: bool
    answers: int


def outcome_of(answer: bytes) -> AnswerSummary:
    """Read an answer of ours; only those without any record but OPT have upper bits in their RCODE."""
    rcode = answer[3] & 0x0F
    if answer[6:12] == b"\0\0\0\0\0\1":
        name = name_asked(answer)
        end = HEADER if name is None else HEADER + len(name) + 4
        if answer[end : end + 3] == b"\0" + pack(">H", OPT):
            rcode |= answer[end + 5] << 4
    return AnswerSummary(
        rcode, bool(answer[2] & _AA), bool(answer[2] & _TC), int.from_bytes(answer[6:8], "big")
    )


# --- what nearly all queries begin with, and their answers ------------------------------------------------

AFTER_ID = slice(2, HEADER)
"""The header without the ID."""

ORDINARY_HEADERS: Mapping[bytes, int] = {
    bytes((rd, low)) + _COUNTS.pack(1, 0, 0, additional): 2 * additional + rd
    for rd in (0, _RD)
    for low in range(0, 0x100, 0x10)
    for additional in (0, 1)
}
"""Headers of nearly all queries (opcode QUERY, one question, at most one additional record), and which of
`heads` their answers get."""


def heads(answer: Answer) -> tuple[bytes, bytes, bytes, bytes]:
    """Return an answer's header behind the ID: without and with RD; then both again, counting an OPT."""
    additional = answer.ar + len(answer.extra)
    plain, rd, opt, opt_rd = (
        bytes((_QR | _AA | rd, NOERROR)) + _COUNTS.pack(1, answer.an, answer.ns, additional + opt)
        for opt in (0, 1)
        for rd in (0, _RD)
    )
    return plain, rd, opt, opt_rd
