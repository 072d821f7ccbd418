"""From a packet to its answer: `respond`, pure but for a worker's `State`.

Three ways lead to an answer. The shortest serves a packet that came before, but for its ID and letter case:
one look-up and one join. The short one serves a question that was answered before, behind an ordinary
header, and lets the shortest know the packet. Everything else takes the long way, which reads the whole
message, finds the name by RFC 1034 section 4.3.2 and RFC 4592, and remembers what the short way may deal.
"""

import logging

from geodns import edns, wire
from geodns.cookies import Standing
from geodns.dealing import OTHER_TYPE, State
from geodns.lookup import Found, find
from geodns.options import bare
from geodns.table import Table
from geodns.tsig import NOTAUTH
from geodns.wire import SHAPE, SHAPES, Query

log = logging.getLogger(__name__)

Client = tuple[str, int, str]
"""Address, port, and ``udp`` or ``tcp``."""


def respond(table: Table, packet: bytes, client: Client, now: float, state: State) -> bytes | None:
    """Return the answer to a packet, or None when there shall be none.

    Args:
        table: what to answer from.
        packet: as it came.
        client: who asks.
        now: seconds of a clock that only goes forward.
        state: this worker's.

    """
    if table is not state.table:
        state.adopt(table)
    way = state.packets.get(packet[2:].lower())
    if way is not None:
        deal, end, answers = way
        spin, at = deal.spin, deal.at
        head, rest, tally = answers[spin.index[at]]
        at += 1
        deal.at = at if at < spin.size else 0
        state.counted[tally] += 1
        return b"".join((packet[:2], head, packet[wire.HEADER : end], rest))
    return _short_way(table, packet, client, now, state)


def _short_way(table: Table, packet: bytes, client: Client, now: float, state: State) -> bytes | None:
    shape = SHAPES.get(packet[SHAPE])
    if shape is not None:
        end = packet.find(b"\0", wire.HEADER) + 5
        # Lowering type and class too is harmless: `_may_be_known` lets in no type that it could confuse.
        deal = state.known.get(packet[wire.HEADER : end].lower())
        if deal is not None:
            tail = packet[end:]
            reply = state.tails.get(tail) or state.tail_reply(tail, client, now)
            if reply is not None and (shape > 1) == bool(tail):
                size, opt, _, _ = reply
                spin = deal.spin
                at = deal.at
                if opt and spin.error:
                    opt = edns.amended(opt, wire.NOERROR, spin.error)
                heads, body, tally = spin.answers[spin.index[at]]
                answer = b"".join((packet[:2], heads[shape], packet[wire.HEADER : end], body, opt))
                if len(answer) <= size:
                    at += 1
                    deal.at = at if at < spin.size else 0
                    state.counted[tally] += 1
                    state.remember_packet(packet, end, shape, deal)
                    return answer
    return _long_way(table, packet, client, now, state)


def _long_way(table: Table, packet: bytes, client: Client, now: float, state: State) -> bytes | None:
    if not wire.is_query(packet):
        return None
    try:
        query = wire.parse(packet)
    except wire.BadQuery as bad:
        state.count("", OTHER_TYPE, bad.rcode)
        return wire.refusal(packet, bad.rcode)
    asked = query.edns
    odd = asked is not None and (asked.version or asked.broken)
    # To whoever speaks another EDNS we say nothing but that (RFC 6891 section 6.1.3).
    reply = bare(asked) if odd else state.reply(asked, client, now)
    if asked is not None and asked.version:
        found = Found("", wire.BADVERS, wire.NOTHING, authoritative=False)
    elif asked is not None and asked.broken:
        found = Found("", wire.FORMERR, wire.NOTHING, authoritative=False)
    elif query.tsig:
        found = Found("", NOTAUTH, wire.NOTHING, authoritative=False)
    elif not query.question:
        # It only wants a cookie, or to know whether its own is good (RFC 7873 section 5.4).
        rcode = wire.BADCOOKIE if reply.standing is Standing.STALE else wire.NOERROR
        found = Found("", rcode, wire.NOTHING, authoritative=False)
    else:
        found = _found(table, query, state)
    state.count(found.zone, query.type, found.rcode)
    opt = edns.amended(reply.opt, found.rcode, found.error) if reply.opt else b""
    size = wire.TCP_SIZE if client[2] == "tcp" else reply.size
    return wire.message(query, found.rcode, found.answer, size, opt, authoritative=found.authoritative)


def _found(table: Table, query: Query, state: State) -> Found:
    try:
        return find(table, query, state)
    except Exception:
        # A bug must cost one answer, not the worker; the sender's resolver asks another server.
        log.exception("no answer for %s type %d", wire.name_from_wire(query.name), query.type)
        return Found("", wire.SERVFAIL, wire.NOTHING, authoritative=False)
