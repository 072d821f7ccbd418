"""From a packet to its answer: `respond`, pure but for a worker's `State`.

Three ways lead to an answer. The shortest serves a packet that came before, but for its ID and letter case:
one look-up and one join. The short one serves a question that was answered before, behind an ordinary
header, and lets the shortest know the packet. Everything else takes the long way, which reads the whole
message, finds the name by RFC 1034 section 4.3.2 and RFC 4592, and remembers what the short way may deal.
"""

import logging

from geodns import wire
from geodns.dealing import OTHER_TYPE, State
from geodns.lookup import Found, find
from geodns.table import Table
from geodns.wire import SHAPE, SHAPES

log = logging.getLogger(__name__)

Client = tuple[str, int, str]
"""Address, port, and ``udp`` or ``tcp``."""


def respond(
    table: Table,
    packet: bytes,
    client: Client,
    now: float,  # noqa: ARG001 - what will be limited by time needs it; the transports have it at hand
    state: State,
) -> bytes | None:
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
    return _short_way(table, packet, client, state)


def _short_way(table: Table, packet: bytes, client: Client, state: State) -> bytes | None:
    shape = SHAPES.get(packet[SHAPE])
    if shape is not None:
        end = packet.find(b"\0", wire.HEADER) + 5
        # Lowering type and class too is harmless: `_may_be_known` lets in no type that it could confuse.
        deal = state.known.get(packet[wire.HEADER : end].lower())
        if deal is not None:
            tail = packet[end:]
            limits = state.tails.get(tail) or state.limits(tail)
            if limits is not None and (shape > 1) == bool(tail):
                spin = deal.spin
                at = deal.at
                heads, body, tally = spin.answers[spin.index[at]]
                answer = b"".join((packet[:2], heads[shape], packet[wire.HEADER : end], body, limits[1]))
                if len(answer) <= limits[0]:
                    at += 1
                    deal.at = at if at < spin.size else 0
                    state.counted[tally] += 1
                    state.remember_packet(packet, end, shape, deal)
                    return answer
    return _long_way(table, packet, client, state)


def _long_way(table: Table, packet: bytes, client: Client, state: State) -> bytes | None:
    if not wire.is_query(packet):
        return None
    try:
        query = wire.parse(packet)
    except wire.BadQuery as bad:
        state.count("", OTHER_TYPE, bad.rcode)
        return wire.refusal(packet, bad.rcode)
    limit = wire.size_limit(query.edns, tcp=client[2] == "tcp")
    try:
        found = find(table, query, state)
    except Exception:
        # A bug must cost one answer, not the worker; the sender's resolver asks another server.
        log.exception("no answer for %s type %d", wire.name_from_wire(query.name), query.type)
        found = Found("", wire.SERVFAIL, wire.NOTHING, authoritative=False)
    state.count(found.zone, query.type, found.rcode)
    return wire.message(query, found.rcode, found.answer, limit, authoritative=found.authoritative)
