"""From a packet to its answer: `respond`, pure but for a worker's `State`.

Three ways lead to an answer. The shortest serves a packet that came before, but for its ID and letter case:
one look-up and one join. The short one serves a question that was answered before, behind an ordinary
header, and lets the shortest know the packet. Everything else takes the long way, which reads the whole
message, finds the name by RFC 1034 section 4.3.2 and RFC 4592, and remembers what the short way may deal.
"""

import logging

from geodns.responder.edns_options import Reply, plain_reply
from geodns.responder.lookup import LookupResult, find
from geodns.responder.rate_limit import ERROR, NO_QUESTION, OTHER_VERSION, Action, Limiter
from geodns.responder.table import Table
from geodns.responder.worker_state import OTHER_TYPE, WorkerState
from geodns.wire import codes, edns
from geodns.wire.cookies import CookieStatus
from geodns.wire.message import (
    HEADER,
    NOTHING,
    SHAPE,
    SHAPES,
    TCP_SIZE,
    BadQuery,
    Query,
    fits,
    is_query,
    message,
    parse,
    question_alone,
    refusal,
)
from geodns.wire.names import name_from_wire
from geodns.wire.tsig import NOTAUTH

log = logging.getLogger(__name__)

FAULT_EVERY = 60.0
"""Seconds from one fault of our own that is logged to the next: whoever finds one might ask all day."""

Client = tuple[str, int, str]
"""Address, port, and ``udp`` or ``tcp``."""


def respond(table: Table, packet: bytes, client: Client, now: float, state: WorkerState) -> bytes | None:
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
    if state.guarded:
        return _guarded(table, packet, client, now, state)
    way = state.packets.get(packet[2:].lower())
    if way is not None:
        deal, end, answers = way
        spin, at = deal.spin, deal.at
        head, rest, tally = answers[spin.index[at]]
        at += 1
        deal.at = at if at < spin.size else 0
        state.counted[tally] += 1
        return b"".join((packet[:2], head, packet[HEADER:end], rest))
    return _short_way(table, packet, client, now, state)


def _short_way(
    table: Table,
    packet: bytes,
    client: Client,
    now: float,
    state: WorkerState,
    limiter: Limiter | None = None,
) -> bytes | None:
    shape = SHAPES.get(packet[SHAPE])
    if shape is not None:
        end = packet.find(b"\0", HEADER) + 5
        # Lowering type and class too is harmless: `_may_be_known` lets in no type that it could confuse.
        deal = state.known.get(packet[HEADER:end].lower())
        if deal is not None:
            tail = packet[end:]
            reply = state.tails.get(tail) or state.tail_reply(tail, client, now)
            if reply is not None and (shape > 1) == bool(tail):
                size, opt, cookie_status, _ = reply
                if limiter is not None and not _admitted(limiter, client, deal.kind, cookie_status, now):
                    return _limited_answer(packet, end, opt, limiter, cookie_status)
                limiter = None  # once is enough, also where this answer turns out too long
                spin = deal.spin
                at = deal.at
                if opt and spin.error:
                    opt = edns.with_rcode(opt, codes.NOERROR, spin.error)
                heads, body, tally = spin.answers[spin.index[at]]
                answer = b"".join((packet[:2], heads[shape], packet[HEADER:end], body, opt))
                if len(answer) <= size:
                    at += 1
                    deal.at = at if at < spin.size else 0
                    state.counted[tally] += 1
                    state.remember_packet(packet, end, shape, deal)
                    return answer
    return _long_way(table, packet, client, now, state, limiter)


def _long_way(
    table: Table,
    packet: bytes,
    client: Client,
    now: float,
    state: WorkerState,
    limiter: Limiter | None = None,
) -> bytes | None:
    if not is_query(packet):
        return None
    try:
        query = parse(packet)
    except BadQuery as bad:
        if limiter is not None and not limiter.allows(client[0], ERROR, now):
            dropped = limiter.limited_action(CookieStatus.NONE) is Action.DROPPED
            return None if dropped else refusal(packet, bad.rcode, truncated=True)
        state.count("", OTHER_TYPE, bad.rcode)
        return refusal(packet, bad.rcode)
    asked = query.edns
    reply = _reply(query, client, now, state)
    if asked is not None and asked.version:
        found = LookupResult("", codes.BADVERS, NOTHING, authoritative=False, kind=OTHER_VERSION)
    elif asked is not None and asked.broken:
        found = LookupResult("", codes.FORMERR, NOTHING, authoritative=False)
    elif query.tsig:
        found = LookupResult("", NOTAUTH, NOTHING, authoritative=False)
    elif not query.question:
        # It only wants a cookie, or to know whether its own is good (RFC 7873 section 5.4).
        rcode = codes.BADCOOKIE if reply.cookie_status is CookieStatus.STALE else codes.NOERROR
        found = LookupResult("", rcode, NOTHING, authoritative=False, kind=NO_QUESTION)
    else:
        found = _found(table, query, now, state)
    if limiter is not None and not _admitted(limiter, client, found.kind, reply.cookie_status, now):
        state.withdraw()
        end = HEADER + len(query.question)
        return _limited_answer(packet, end, reply.opt, limiter, reply.cookie_status)
    state.count(found.zone, query.type, found.rcode)
    size = TCP_SIZE if client[2] == "tcp" else reply.size
    opt = edns.with_rcode(reply.opt, found.rcode, found.error) if reply.opt else b""
    if found.error and opt and not fits(query, found.answer, size, opt):
        opt = edns.with_rcode(reply.opt, found.rcode)  # what is said of an answer must not take its room
    return message(query, found.rcode, found.answer, size, opt, authoritative=found.authoritative)


def _found(table: Table, query: Query, now: float, state: WorkerState) -> LookupResult:
    try:
        return find(table, query, state)
    except Exception:
        # A bug must cost one answer, not the worker; the sender's resolver asks another server.
        if now >= state.fault_told + FAULT_EVERY:
            state.fault_told = now
            log.exception("no answer for %s type %d", name_from_wire(query.name), query.type)
        return LookupResult("", codes.SERVFAIL, NOTHING, authoritative=False)


# --- where answers are limited, or queries logged --------------------------------------------------------

_LIMITED = edns.error_option(edns.EDE_OTHER, "rate limited")
_REASONS: dict[bytes, bytes] = {}
"""Our OPT records without options (there are two), and the same with the reason."""


def _guarded(table: Table, packet: bytes, client: Client, now: float, state: WorkerState) -> bytes | None:
    """Do what `respond` does, within the rate limit, and tell the query log."""
    limiter = state.limiter if client[2] == "udp" else None  # an address that speaks TCP is no forged one
    recorder = state.recorder
    if recorder is not None and limiter is not None:
        limiter.action = None
    way = state.packets.get(packet[2:].lower())
    answer: bytes | None
    if way is None:
        answer = _short_way(table, packet, client, now, state, limiter)
    elif limiter is None or limiter.allows(client[0], way[0].kind, now):
        deal, end, answers = way
        spin, at = deal.spin, deal.at
        head, rest, tally = answers[spin.index[at]]
        at += 1
        deal.at = at if at < spin.size else 0
        state.counted[tally] += 1
        answer = b"".join((packet[:2], head, packet[HEADER:end], rest))
    else:
        tail = packet[way[1] :]
        reply = state.tails.get(tail) or state.tail_reply(tail, client, now)
        opt = b"" if reply is None else reply.opt
        answer = _limited_answer(packet, way[1], opt, limiter, CookieStatus.NONE)
    if recorder is not None:
        action = "" if limiter is None or limiter.action is None else limiter.action
        recorder.note(packet, client, answer, action, now, state.epoch)
    return answer


def _admitted(limiter: Limiter, client: Client, kind: bytes, cookie_status: CookieStatus, now: float) -> bool:
    return cookie_status is CookieStatus.VALID or limiter.allows(client[0], kind, now)


def _limited_answer(
    packet: bytes, end: int, opt: bytes, limiter: Limiter, cookie_status: CookieStatus
) -> bytes | None:
    """Return what a client over the limit gets: nothing, or too little to be of use to a forger.

    Args:
        packet: the query.
        end: where its question ends.
        opt: our OPT record for the answer that it does not get.
        limiter: has refused it.
        cookie_status: what its cookie says.

    """
    action = limiter.limited_action(cookie_status)
    if action is Action.DROPPED:
        return None
    if action is Action.BADCOOKIE:
        # It carries our cookie, with which the client may come again (RFC 7873 section 5.2.3).
        opt = edns.with_rcode(opt, codes.BADCOOKIE)
        return question_alone(packet, end, codes.BADCOOKIE, opt, truncated=False)
    return question_alone(packet, end, codes.NOERROR, opt and _with_reason(opt), truncated=True)


def _with_reason(opt: bytes) -> bytes:
    if len(opt) > edns.LENGTH:
        return edns.with_rcode(opt, codes.NOERROR, _LIMITED)
    ready = _REASONS.get(opt)
    if ready is None:
        ready = _REASONS[opt] = edns.with_rcode(opt, codes.NOERROR, _LIMITED)
    return ready


def _reply(query: Query, client: Client, now: float, state: WorkerState) -> Reply:
    asked = query.edns
    # To whoever speaks another EDNS we say nothing but that (RFC 6891 section 6.1.3).
    odd = asked is not None and (asked.version or asked.broken)
    return plain_reply(asked) if odd else state.reply(asked, client, now)
